//! The double backward pass: docs/derivation.md §9.

use super::calculus::work::{Results, of, of_lanes, store_matrices, store_values, view};
use super::calculus::{Step, StorageOrder};
use crate::compute::DoubleBackward;
use crate::options::Problem;
use crate::{Cotangents, Cpu, DoubleGradient, Eigenpairs, ElementOf, HermitianBatch, Result, Scalar, View, ViewMut};

impl<T: Scalar> DoubleBackward<T> for Cpu {
    fn double_backward<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        h: HermitianBatch<I, Self, View<'a>>,
        downstream: Cotangents<O, Self, View<'a>>,
        out: DoubleGradient<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()> {
        let DoubleGradient { a_bar, values_bar_bar, vectors_bar_bar, status } = out;
        let mut results = Results::new(status.memory, 1, problem.batch);
        results.matrices = view(a_bar.memory, 1, problem.batch);
        results.vectors = view(vectors_bar_bar.memory, 1, problem.batch);
        results.values = view(values_bar_bar.memory, 1, problem.batch);
        scratch.each(self, results, |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start(problem, &pairs, matrices.clone());
            T::calculate(&mut work.group, Step::Gaps);
            work.load_cotangents(&pairs, cotangents, downstream, matrices.clone());
            work.load_hermitian(h, matrices);
            work.scale_bars();
            T::calculate(&mut work.group, Step::DoubleBackward);
            work.restore_values();
            work.restore_vectors(|group| &mut group.given);
            work.restore_second();
            work.note_split_ties::<O>(problem);
            work.store(|group| &group.given, StorageOrder::Columns, of_lanes(&mut results.vectors, 0, lanes.clone()));
            for (lane, b) in lanes.clone().enumerate() {
                let values = of(&mut results.values, 0, b);
                store_values(&work.group.columns.dot, work.group.shape.width, lane, values);
            }
            store_matrices(work, results, lanes);
        })
    }
}
