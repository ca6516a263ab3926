//! faer, compiled once for each type that is computed in: [`Dense`].

use crate::Element;
use crate::cpu::parallel::par;
use crate::cpu::types::for_each_type;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::{temp_mat_scratch, temp_mat_zeroed};
use faer::mat::AsMatMut;
use faer::{Accum, MatMut, MatRef, Par};
use num_traits::One;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

/// The eigensolver and the products of one matrix.
pub trait Dense: Element {
    /// Memory of the eigensolver.
    fn evd_memory(n: usize) -> StackReq;
    /// Memory of an n×n matrix.
    fn product_memory(n: usize) -> StackReq;
    /// An n×n matrix, and the memory behind it.
    fn product(n: usize, memory: &mut MemStack) -> (impl AsMatMut<T = Self, Rows = usize, Cols = usize>, &mut MemStack);
    /// λ ascending and V, from the lower triangle of A; whether it converged.
    fn evd(a: MatRef<'_, Self>, lambda: &mut [Self], vectors: Option<MatMut<'_, Self>>, memory: &mut MemStack) -> bool;
    /// C = Aᴴ B.
    fn adjoint_times(c: MatMut<'_, Self>, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
    /// C = A B, or C + A B.
    fn times(c: MatMut<'_, Self>, accumulate: Accum, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
    /// C = α A Bᴴ, or C + α A Bᴴ, the whole or a triangle of it.
    fn times_adjoint(
        c: (MatMut<'_, Self>, BlockStructure),
        accumulate: Accum,
        alpha: Self,
        a: MatRef<'_, Self>,
        b: MatRef<'_, Self>,
        par: Par,
    );
    /// Components, real and imaginary part in turn, as numbers.
    fn from_components(x: &[Self::Real]) -> &[Self];
    /// As [`Dense::from_components`], to be written.
    fn from_components_mut(x: &mut [Self::Real]) -> &mut [Self];
}

macro_rules! dense {
    ($($t:ty: $real:ty, $_parts:literal, $_abreast:literal);*) => { $(
        impl Dense for $t {
            fn evd_memory(n: usize) -> StackReq {
                evd::self_adjoint_evd_scratch::<$t>(n, ComputeEigenvectors::Yes, par(n), Default::default())
            }
            fn product_memory(n: usize) -> StackReq {
                temp_mat_scratch::<$t>(n, n)
            }
            fn product(n: usize, memory: &mut MemStack) -> (impl AsMatMut<T = $t, Rows = usize, Cols = usize>, &mut MemStack) {
                temp_mat_zeroed::<$t, _, _>(n, n, memory)
            }
            fn evd(a: MatRef<'_, $t>, lambda: &mut [$t], vectors: Option<MatMut<'_, $t>>, memory: &mut MemStack) -> bool {
                let lambda = faer::diag::DiagMut::from_slice_mut(lambda);
                evd::self_adjoint_evd(a, lambda, vectors, par(a.nrows()), memory, Default::default()).is_ok()
            }
            fn adjoint_times(c: MatMut<'_, $t>, a: MatRef<'_, $t>, b: MatRef<'_, $t>) {
                let par = par(a.nrows().max(c.nrows()));
                matmul(c, Accum::Replace, a.adjoint(), b, <$t>::one(), par);
            }
            fn times(c: MatMut<'_, $t>, accumulate: Accum, a: MatRef<'_, $t>, b: MatRef<'_, $t>) {
                matmul(c, accumulate, a, b, <$t>::one(), par(a.nrows().max(a.ncols())));
            }
            fn times_adjoint(
                (c, part): (MatMut<'_, $t>, BlockStructure),
                accumulate: Accum,
                alpha: $t,
                a: MatRef<'_, $t>,
                b: MatRef<'_, $t>,
                par: Par,
            ) {
                use BlockStructure::Rectangular;
                match part {
                    Rectangular => matmul(c, accumulate, a, b.adjoint(), alpha, par),
                    part => triangular::matmul(c, part, accumulate, a, Rectangular, b.adjoint(), Rectangular, alpha, par),
                }
            }
            fn from_components(x: &[$real]) -> &[$t] {
                cast_slice(x)
            }
            fn from_components_mut(x: &mut [$real]) -> &mut [$t] {
                cast_slice_mut(x)
            }
        }
    )* }
}
for_each_type!(dense);
