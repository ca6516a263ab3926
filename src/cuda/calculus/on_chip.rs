//! Small matrices in one kernel for each operation: kernels/jvp.cu, map.cu, double_backward.cu and backward_jvp.cu.

use super::function::{Named, Operand};
use super::part::{Bars, Hermitian, Pairs};
use crate::cuda::device::Cuda;
use crate::cuda::fused::{Demand, Layout};
use crate::cuda::kernels::{Argument, Instantiation, arguments, launch};
use crate::options::Problem;
use crate::{Dropped, Dtype, Element, Of, Result, Weights};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;

/// The columns of kernels/moving.cuh: five real numbers and a label for each, four numbers of the matrix, and two bytes for each tile.
const fn columns(n: usize, real: usize, side: usize) -> usize {
    5 * n * real + 4 * n + 24 + 2 * side * side
}

/// Those of kernels/map.cu: four real numbers and a label for each, four numbers of the matrix, and a byte for each tile.
const fn mapped(n: usize, real: usize, side: usize) -> usize {
    4 * n * real + 4 * n + 24 + side * side
}

const JVP: Demand = Demand { kernel: "jvp", places: 2, columns, up_to: [64; 4] };
const MAP: Demand = Demand { kernel: "map", columns: mapped, ..JVP };
const DOUBLE_BACKWARD: Demand = Demand { kernel: "double_backward", places: 4, columns, up_to: [64, 64, 64, 48] };
const BACKWARD_JVP: Demand = Demand { kernel: "backward_jvp", ..DOUBLE_BACKWARD };

/// How each operation goes in one kernel; none where it goes by matrix products.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layouts {
    pub jvp: Option<Layout>,
    pub map: Option<Layout>,
    pub double_backward: Option<Layout>,
    pub backward_jvp: Option<Layout>,
}

impl Layouts {
    pub fn new(computed: Dtype, n: usize, most_shared: usize) -> Self {
        let [jvp, map, double_backward, backward_jvp] =
            [JVP, MAP, DOUBLE_BACKWARD, BACKWARD_JVP].map(|demand| Layout::new(&demand, computed, n, most_shared));
        Self { jvp, map, double_backward, backward_jvp }
    }

    fn each(self) -> [Option<Layout>; 4] {
        [self.jvp, self.map, self.double_backward, self.backward_jvp]
    }

    /// Whether nothing goes by matrix products.
    pub fn are_whole(self) -> bool {
        self.each().iter().all(Option::is_some)
    }
}

/// The kernels of this order for eigenpairs stored as `dtype`.
pub(in crate::cuda) fn on_chip(dtype: Dtype, computed: Dtype, n: usize) -> impl Iterator<Item = Instantiation> {
    Layouts::new(computed, n, usize::MAX).each().into_iter().flatten().map(move |layout| layout.instantiation(dtype, &[]))
}

/// `struct tie_rules` of kernels/moving.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct TieRules {
    ties: c_int,
    dropped_zero: c_int,
    upper: c_int,
    tie_rtol: f64,
    round_off: f64,
}

impl TieRules {
    fn new<O: Element>(problem: &Problem, e: Hermitian) -> Self {
        Self {
            ties: problem.tie_rule(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            upper: e.upper,
            tie_rtol: problem.tie_rtol::<O::Real>(),
            round_off: problem.round_off::<O>(),
        }
    }
}

/// `struct map_rules` of kernels/map.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct MapRules {
    function: Named,
    tie_rtol: f64,
    dropped_zero: c_int,
    slopes: c_int,
    products: c_int,
    upper: c_int,
}

/// What a function is put to.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// f(A), or f′(A).
    Alone(Of),
    /// The map of a matrix, times the numbers at an address unless that is 0.
    Map(Weights, Hermitian, CUdeviceptr),
}

impl Cuda {
    /// Enqueues λ̇ and V̇; `out` are addresses of statuses, values and vectors.
    pub(super) fn jvp_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        a_dot: Hermitian,
        [status, values_dot, vectors_dot]: [CUdeviceptr; 3],
        directions: usize,
    ) -> Result<()> {
        let (batch, directions, rules) = (problem.batch as i64, directions as i64, TieRules::new::<O>(problem, a_dot));
        let Pairs { values, vectors, kept, found } = pairs;
        let arguments =
            arguments![batch, directions, rules, values, kept, found, vectors, a_dot.data, values_dot, vectors_dot, status];
        // SAFETY: the operands hold a batch of this size, those of the directions one for each.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }

    /// Enqueues a function or its map.
    pub(super) fn map_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        function: Operand,
        to: Use,
        [status, out]: [CUdeviceptr; 2],
    ) -> Result<()> {
        let (of, weights, e, scale) = match to {
            Use::Alone(of) => (of, Weights::Divided, Hermitian { data: 0, upper: 0 }, 0),
            Use::Map(weights, e, scale) => (Of::Values, weights, e, scale),
        };
        let rules = MapRules {
            function: function.named,
            tie_rtol: problem.tie_rtol::<O::Real>(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            slopes: c_int::from(of == Of::Slopes),
            products: c_int::from(weights == Weights::Product),
            upper: e.upper,
        };
        let Pairs { values, vectors, kept, found } = pairs;
        let (batch, Operand { values: given, slopes, .. }) = (problem.batch as i64, function);
        let arguments = arguments![batch, rules, values, kept, found, vectors, given, slopes, e.data, scale, out, status];
        // SAFETY: the operands hold a batch of this size; f may be null unless it is given so, E and the factors in any case.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }

    /// Enqueues the double backward pass; `out` are addresses of statuses, λ̄̄, V̄̄ and Ā.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and layout of one operation")]
    pub(super) fn double_backward_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        bars: Bars,
        h: Hermitian,
        downstream: Bars,
        [status, values_bar_bar, vectors_bar_bar, a_bar]: [CUdeviceptr; 4],
    ) -> Result<()> {
        let (batch, rules) = (problem.batch as i64, TieRules::new::<O>(problem, h));
        let Pairs { values, vectors, kept, found } = pairs;
        let arguments = arguments![
            batch,
            rules,
            values,
            kept,
            found,
            vectors,
            bars.values,
            bars.vectors,
            h.data,
            downstream.values,
            downstream.vectors,
            a_bar,
            values_bar_bar,
            vectors_bar_bar,
            status,
        ];
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }

    /// Enqueues the tangent of Ā; `out` are addresses of statuses and matrices.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and layout of one operation")]
    pub(super) fn backward_jvp_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        bars: Bars,
        a_dot: Hermitian,
        bars_dot: Bars,
        [status, out]: [CUdeviceptr; 2],
    ) -> Result<()> {
        let (batch, rules) = (problem.batch as i64, TieRules::new::<O>(problem, a_dot));
        let Pairs { values, vectors, kept, found } = pairs;
        let arguments = arguments![
            batch,
            rules,
            values,
            kept,
            found,
            vectors,
            bars.values,
            bars.vectors,
            a_dot.data,
            bars_dot.values,
            bars_dot.vectors,
            out,
            status,
        ];
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }

    /// Enqueues the kernel of a layout.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and addresses of what its contract says, of a batch of this size in this stream's memory.
    unsafe fn on_chip<O: Element, const N: usize>(
        &self,
        layout: Layout,
        batch: usize,
        arguments: [&dyn Argument; N],
    ) -> Result<()> {
        let kernel = self.alone(layout.instantiation(O::DTYPE, &[]))?;
        let _current = self.bind()?;
        // SAFETY: the kernel is live, its context current; the rest is the caller's.
        unsafe { launch(self.stream(), kernel.function, layout.shape(batch), arguments) }
    }
}
