//! λ̇ and V̇ of Ȧ: docs/derivation.md, (4) and (5). A group at a time is loaded, calculated, stored and reported on.

use super::calculus::Step;
use super::calculus::work::{Results, of, of_lanes, store_values, view};
use crate::compute::Jvp;
use crate::options::Problem;
use crate::{Cpu, EigenpairsRef, HermitianRef, Result, Scalar, Stored, TangentsMut};

impl<T: Scalar> Jvp<T> for Cpu {
    fn jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        out: TangentsMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        let batch = problem.batch;
        let directions = out.status.len().checked_div(batch).unwrap_or(0);
        let mut results = Results::new(out.status, directions, batch);
        results.vectors = view(out.vectors, directions, batch);
        results.values = view(out.values, directions, batch);
        scratch.each(self, results, |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start(problem, &pairs, matrices.clone());
            T::calculate(&mut work.group, Step::Gaps);
            for direction in 0..directions {
                work.load_hermitian(a_dot, matrices.start + direction * batch..matrices.end + direction * batch);
                T::calculate(&mut work.group, Step::Jvp);
                work.restore_values();
                work.restore_vectors(|group| &mut group.out);
                work.store(|group| &group.out, of_lanes(&mut results.vectors, direction, lanes.clone()));
                for (lane, b) in lanes.clone().enumerate() {
                    let values = of(&mut results.values, direction, b);
                    store_values(&work.group.columns.dot, work.group.shape.width, lane, values);
                    results.report(direction, b, work.finding::<O>(problem, lane));
                }
            }
        });
        Ok(())
    }
}
