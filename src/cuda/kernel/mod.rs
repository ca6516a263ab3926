//! Our own kernels: compiled, cached, loaded, launched.

pub(in crate::cuda) mod cache;
pub(in crate::cuda) mod columns;
pub(in crate::cuda) mod compile;
pub(in crate::cuda) mod function;
pub(in crate::cuda) mod launch;
pub(in crate::cuda) mod layouts;
pub(in crate::cuda) mod module;
pub(in crate::cuda) mod on_chip;
pub(in crate::cuda) mod table;

use crate::Result;
use columns::Columns;
use on_chip::{BACKWARD, Layout};
use std::collections::BTreeSet;
use std::path::PathBuf;
use table::{DTYPES, Family, Instantiation, computed, expressions};

/// All modules: three for each type, the second for derivatives beyond the gradient and functions
/// of the spectrum, the third for factors, and one for each type, each of these orders and each
/// kernel that it is made for on its own, gradients stored as eigenpairs are.
pub(in crate::cuda) fn modules(orders: &[usize]) -> Vec<Vec<Instantiation>> {
    let backward = |dtype, n| {
        Layout::of_backward(computed(dtype), n).map(move |layout| layout.instantiation(BACKWARD.kernel, &[dtype, dtype]))
    };
    let alone = |dtype, n| backward(dtype, n).chain(layouts::on_chip(dtype, computed(dtype), n)).map(|kernel| vec![kernel]);
    let of_orders = DTYPES.into_iter().flat_map(|dtype| orders.iter().flat_map(move |&n| alone(dtype, n)));
    let of_columns = DTYPES.into_iter().flat_map(|dtype| {
        let columns: BTreeSet<_> = orders.iter().filter_map(|&n| Columns::new(computed(dtype), n, usize::MAX)).collect();
        columns.into_iter().flat_map(move |columns| columns.kernels(dtype)).map(|kernel| vec![kernel])
    });
    DTYPES.into_iter().flat_map(|dtype| Family::ALL.map(|family| family.of(dtype))).chain(of_orders).chain(of_columns).collect()
}

/// Compiles modules into the cache and returns their files.
pub(in crate::cuda) fn warm(capability: (i32, i32), orders: &[usize]) -> Result<Vec<PathBuf>> {
    let modules: Vec<_> = modules(orders).iter().map(|module| expressions(module)).collect();
    compile::warm(&modules, capability)
}
