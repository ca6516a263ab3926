//! λ̇ and V̇ of Ȧ: docs/derivation.md, (4) and (5). A group at a time is loaded, calculated, stored
//! and reported on.

use super::calculus::work::{Results, of, of_lanes, store_values, view};
use super::calculus::{Step, StorageOrder};
use crate::compute::Jvp;
use crate::options::Problem;
use crate::{Cpu, Eigenpairs, ElementOf, HermitianBatch, Result, Scalar, Tangents, View, ViewMut};

impl<T: Scalar> Jvp<T> for Cpu {
    fn jvp<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        a_dot: HermitianBatch<I, Self, View<'a>>,
        out: Tangents<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()> {
        let batch = problem.batch;
        let directions = out.status.len().checked_div(batch).unwrap_or(0);
        let mut results = Results::new(out.status.memory, directions, batch);
        results.vectors = view(out.vectors.memory, directions, batch);
        results.values = view(out.values.memory, directions, batch);
        scratch.each(self, results, |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start(problem, &pairs, matrices.clone());
            T::calculate(&mut work.group, Step::Gaps);
            for direction in 0..directions {
                work.load_hermitian(a_dot, matrices.start + direction * batch..matrices.end + direction * batch);
                T::calculate(&mut work.group, Step::Jvp);
                work.restore_values();
                work.restore_vectors(|group| &mut group.out);
                work.store(|group| &group.out, StorageOrder::Columns, of_lanes(&mut results.vectors, direction, lanes.clone()));
                for (lane, b) in lanes.clone().enumerate() {
                    let values = of(&mut results.values, direction, b);
                    store_values(&work.group.columns.dot, work.group.shape.width, lane, values);
                    results.report(direction, b, work.finding::<O>(problem, lane));
                }
            }
        })
    }
}
