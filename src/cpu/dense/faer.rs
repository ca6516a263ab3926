//! faer, compiled once for each type that is computed in: [`Dense`].

use crate::Element;
use crate::cpu::parallel::par;
use crate::cpu::types::for_each_type;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as multiply_by,
};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::linalg::{temp_mat_scratch, temp_mat_zeroed};
use faer::mat::AsMatMut;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Accum, Conj, MatMut, MatRef, Par};
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
    /// λ ascending and V, from the lower triangle of A, which is lost; whether it converged.
    fn evd(a: MatMut<'_, Self>, lambda: &mut [Self], vectors: Option<MatMut<'_, Self>>, memory: &mut MemStack) -> bool;
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
    ($($t:ty: $real:ty, $parts:literal, $_abreast:literal);*) => { $(
        impl Dense for $t {
            fn evd_memory(n: usize) -> StackReq {
                let block = recommended_block_size::<$t>(n, n);
                // What faer asks for a real matrix: of real ones without the copy, where complex
                // ones have the vectors of the tridiagonal matrix.
                let real = evd::self_adjoint_evd_scratch::<$real>(n, ComputeEigenvectors::Yes, par(n), Default::default());
                let copy = if $parts == 1 { temp_mat_scratch::<$t>(n, n).unaligned_bytes_required() } else { 0 };
                let tridiagonal = StackReq::new_aligned::<u8>(real.unaligned_bytes_required() - copy, real.align_bytes());
                let behind = apply_block_householder_sequence_on_the_left_in_place_scratch::<$t>(n, block, n);
                let before = tridiag_in_place_scratch::<$t>(n, par(n), Default::default());
                temp_mat_scratch::<$t>(block, n).and(before.or(tridiagonal).or(behind))
            }
            fn product_memory(n: usize) -> StackReq {
                temp_mat_scratch::<$t>(n, n)
            }
            fn product(n: usize, memory: &mut MemStack) -> (impl AsMatMut<T = $t, Rows = usize, Cols = usize>, &mut MemStack) {
                temp_mat_zeroed::<$t, _, _>(n, n, memory)
            }
            fn evd(
                mut a: MatMut<'_, $t>,
                lambda: &mut [$t],
                mut vectors: Option<MatMut<'_, $t>>,
                memory: &mut MemStack,
            ) -> bool {
                let (n, par) = (a.nrows(), par(a.nrows()));
                let (mut block, memory) = temp_mat_zeroed::<$t, _, _>(recommended_block_size::<$t>(n, n), n - 1, memory);
                let mut block = block.as_mat_mut();
                tridiag_in_place(a.rb_mut(), block.rb_mut(), par, memory, Default::default());
                let reflections = a.rb().submatrix(1, 0, n - 1, n - 1);
                let (diagonal, below) = (a.rb().diagonal(), reflections.diagonal());
                let (lambda, v) = (DiagMut::from_slice_mut(lambda), vectors.rb_mut());
                let solved = evd::tridiagonal_self_adjoint_evd(diagonal, below, lambda, v, par, memory, Default::default());
                if let (Ok(()), Some(vectors)) = (&solved, vectors) {
                    let rows = vectors.subrows_mut(1, n - 1);
                    multiply_by(reflections, block.rb(), Conj::No, rows, par, memory);
                }
                solved.is_ok()
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
