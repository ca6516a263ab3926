//! Which solver is the fastest, by type and order.

use super::figure::{Pass, Settled};
use eigengrad::Dtype;
use std::ops::RangeInclusive;

/// The types that are computed in: halves follow them.
const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::F64, Dtype::Complex64, Dtype::Complex128];
const SOLVERS: [&str; 4] = ["on-chip", "ql", "jacobi", "syev"];

/// The fastest solver of a device, by the fastest run, from order to order. Between two orders that
/// were timed the larger one counts; beyond the last nothing is known.
pub fn fastest(found: &[Settled], device: &str) -> Vec<(Dtype, RangeInclusive<usize>, &'static str)> {
    let mut rules: Vec<(Dtype, RangeInclusive<usize>, &'static str)> = Vec::new();
    for dtype in DTYPES {
        let of_dtype: Vec<_> = found
            .iter()
            .map(|settled| &settled.figure)
            .filter(|figure| figure.device == device && figure.dtype == dtype.to_string() && figure.what == Pass::Forward)
            .filter_map(|figure| Some((figure, SOLVERS.into_iter().find(|name| *name == figure.peer)?)))
            .collect();
        let mut orders: Vec<_> = of_dtype.iter().map(|(figure, _)| figure.n).collect();
        orders.sort_unstable();
        orders.dedup();
        let mut first = 1;
        for n in orders {
            let at_order = of_dtype.iter().filter(|(figure, _)| figure.n == n);
            let Some((_, name)) = at_order.min_by(|a, b| a.0.min_ns.total_cmp(&b.0.min_ns)) else { continue };
            match rules.last_mut() {
                Some((of, orders, last)) if *of == dtype && last == name => *orders = *orders.start()..=n,
                _ => rules.push((dtype, first..=n, name)),
            }
            first = n + 1;
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::Figure;

    fn settled(peer: &str, dtype: &str, n: usize, min_ns: f64) -> Settled {
        let (device, version) = ("cuda".into(), "1".into());
        let what = Pass::Forward;
        let figure =
            Figure { peer: peer.into(), version, device, dtype: dtype.into(), n, batch: 3, what, median_ns: 9.0, min_ns };
        Settled { figure, rounds: 1, bytes_per_second: 1.0, copy_bytes_per_second: 1.0 }
    }

    #[test]
    fn neighbouring_orders_are_one_rule() {
        let found = [
            settled("eigengrad", "float32", 4, 0.1),
            settled("ql", "float32", 8, 2.0),
            settled("on-chip", "float32", 8, 3.0),
            settled("ql", "float32", 4, 1.0),
            settled("syev", "float32", 64, 5.0),
            settled("ql", "float32", 64, 6.0),
            settled("torch", "float32", 64, 0.5),
            settled("jacobi", "complex64", 3, 1.0),
        ];
        assert_eq!(
            fastest(&found, "cuda"),
            [(Dtype::F32, 1..=8, "ql"), (Dtype::F32, 9..=64, "syev"), (Dtype::Complex64, 1..=3, "jacobi")]
        );
        assert!(fastest(&found, "cuda:1").is_empty());
    }
}
