//! The tangent of Ā: docs/derivation.md §10.

use super::calculus::Step;
use super::calculus::work::{matrices, store_matrices};
use crate::compute::BackwardJvp;
use crate::options::Problem;
use crate::{Cotangents, Cpu, Eigenpairs, ElementOf, HermitianBatch, HermitianResult, Result, Scalar, View, ViewMut};

impl<T: Scalar> BackwardJvp<T> for Cpu {
    fn backward_jvp<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        a_dot: HermitianBatch<I, Self, View<'a>>,
        cotangents_dot: Cotangents<O, Self, View<'a>>,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()> {
        scratch.each(self, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start(problem, &pairs, matrices.clone());
            T::calculate(&mut work.group, Step::Gaps);
            work.load_cotangents(&pairs, cotangents, cotangents_dot, matrices.clone());
            work.load_hermitian(a_dot, matrices);
            work.scale_bars();
            T::calculate(&mut work.group, Step::BackwardJvp);
            work.restore_second();
            work.note_split_ties::<O>(problem);
            store_matrices(work, results, lanes);
        })
    }
}
