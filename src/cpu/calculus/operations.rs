//! The operations, from memory to memory: a group at a time is loaded, calculated, stored and reported on.

use super::kernel::Step;
use super::work::{Results, Scratch, Work, of, of_lanes, store_values, view};
use crate::cpu::{Cpu, Kernels};
use crate::options::Problem;
use crate::{
    CotangentsRef, DoubleGradientMut, EigenpairsRef, Element, FunctionRef, HermitianRef, MatricesMut, Of, Stored, TangentsMut,
    Weights,
};
use std::ops::Range;

impl<T: Kernels> Scratch<T> {
    pub(in crate::cpu) fn jvp<O: Stored<T>>(
        &self,
        cpu: &Cpu,
        problem: &Problem,
        pairs: EigenpairsRef<'_, O, Cpu>,
        a_dot: HermitianRef<'_, O, Cpu>,
        out: TangentsMut<'_, O, Cpu>,
    ) {
        let batch = problem.batch;
        let directions = out.status.len().checked_div(batch).unwrap_or(0);
        let mut results = Results::new(out.status, directions, batch);
        results.vectors = view(out.vectors, directions, batch);
        results.values = view(out.values, directions, batch);
        self.each(cpu, results, |work, results, lanes| {
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
    }

    #[allow(clippy::too_many_arguments, reason = "inputs and outputs of one operation")]
    pub(in crate::cpu) fn backward_jvp<O: Stored<T>>(
        &self,
        cpu: &Cpu,
        problem: &Problem,
        pairs: EigenpairsRef<'_, O, Cpu>,
        cotangents: CotangentsRef<'_, O, Cpu>,
        a_dot: HermitianRef<'_, O, Cpu>,
        cotangents_dot: CotangentsRef<'_, O, Cpu>,
        out: MatricesMut<'_, O, Cpu>,
    ) {
        self.each(cpu, matrices(problem, out), |work, results, lanes| {
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
        });
    }

    #[allow(clippy::too_many_arguments, reason = "inputs and outputs of one operation")]
    pub(in crate::cpu) fn double_backward<O: Stored<T>>(
        &self,
        cpu: &Cpu,
        problem: &Problem,
        pairs: EigenpairsRef<'_, O, Cpu>,
        cotangents: CotangentsRef<'_, O, Cpu>,
        h: HermitianRef<'_, O, Cpu>,
        downstream: CotangentsRef<'_, O, Cpu>,
        out: DoubleGradientMut<'_, O, Cpu>,
    ) {
        let DoubleGradientMut { a_bar, values_bar_bar, vectors_bar_bar, status } = out;
        let mut results = Results::new(status, 1, problem.batch);
        results.matrices = view(a_bar, 1, problem.batch);
        results.vectors = view(vectors_bar_bar, 1, problem.batch);
        results.values = view(values_bar_bar, 1, problem.batch);
        self.each(cpu, results, |work, results, lanes| {
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
            work.store(|group| &group.given, of_lanes(&mut results.vectors, 0, lanes.clone()));
            for (lane, b) in lanes.clone().enumerate() {
                let values = of(&mut results.values, 0, b);
                store_values(&work.group.columns.dot, work.group.shape.width, lane, values);
            }
            store_matrices(work, results, lanes);
        });
    }

    pub(in crate::cpu) fn spectral<O: Stored<T>>(
        &self,
        cpu: &Cpu,
        problem: &Problem,
        pairs: EigenpairsRef<'_, O, Cpu>,
        function: FunctionRef<'_, O, Cpu>,
        of: Of,
        out: MatricesMut<'_, O, Cpu>,
    ) {
        self.each(cpu, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start_function(problem, &pairs, function, of, matrices);
            T::calculate(&mut work.group, Step::Adjoin);
            T::calculate(&mut work.group, Step::Spectral);
            work.scale(|group| &mut group.out, |by| by.f[usize::from(of == Of::Slopes)]);
            store_matrices(work, results, lanes);
        });
    }

    #[allow(clippy::too_many_arguments, reason = "inputs and outputs of one operation")]
    pub(in crate::cpu) fn map<O: Stored<T>>(
        &self,
        cpu: &Cpu,
        problem: &Problem,
        pairs: EigenpairsRef<'_, O, Cpu>,
        function: FunctionRef<'_, O, Cpu>,
        weights: Weights,
        e: HermitianRef<'_, O, Cpu>,
        scale: Option<&[T::Real]>,
        out: MatricesMut<'_, O, Cpu>,
    ) {
        self.each(cpu, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start_function(problem, &pairs, function, Of::Values, matrices.clone());
            work.group.kind = weights;
            for (lane, b) in matrices.clone().enumerate() {
                work.group.scale[lane] = scale.map_or(num_traits::One::one(), |x| x[b]);
            }
            T::calculate(&mut work.group, Step::Function);
            work.load_hermitian(e, matrices);
            T::calculate(&mut work.group, Step::Map);
            let divided = weights == Weights::Divided;
            work.scale(|group| &mut group.out, |by| if divided { by.f[1] } else { by.f[0].twice() }.plus(by.direction));
            store_matrices(work, results, lanes);
        });
    }
}

impl<T: Kernels> Work<T> {
    /// Loads λ̄ and V̄, and what belongs to them beside: their tangents, or what comes from downstream.
    fn load_cotangents<O: Stored<T>>(
        &mut self,
        pairs: &EigenpairsRef<'_, O, Cpu>,
        cotangents: CotangentsRef<'_, O, Cpu>,
        more: CotangentsRef<'_, O, Cpu>,
        matrices: Range<usize>,
    ) {
        let n = self.group.shape.n;
        let all = matrices.start * n * n..matrices.end * n * n;
        self.load_values(|columns| &mut columns.bar, cotangents.values, pairs.kept, matrices.clone());
        self.load_values(|columns| &mut columns.bar_dot, more.values, pairs.kept, matrices);
        (self.group.with_bar, self.group.with_more) = (cotangents.vectors.is_some(), more.vectors.is_some());
        if let Some(v_bar) = cotangents.vectors {
            self.load(|group| &mut group.out, &v_bar[all.clone()]);
        }
        if let Some(v_bar) = more.vectors {
            self.load(|group| &mut group.more, &v_bar[all]);
        }
    }
}

/// Where one Hermitian matrix for each of the batch goes.
fn matrices<'a, O: Element>(problem: &Problem, out: MatricesMut<'a, O, Cpu>) -> Results<'a, O, O::Real> {
    let mut results = Results::new(out.status, 1, problem.batch);
    results.matrices = view(out.data, 1, problem.batch);
    results
}

/// Stores the matrices that are in `out`, and reports.
fn store_matrices<T: Kernels, O: Stored<T>>(work: &mut Work<T>, results: &mut Results<'_, O, O::Real>, lanes: Range<usize>) {
    work.store(|group| &group.out, of_lanes(&mut results.matrices, 0, lanes.clone()));
    for (lane, b) in lanes.enumerate() {
        results.report(0, b, work.found[lane]);
    }
}
