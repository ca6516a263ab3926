//! The derivatives and functions whose small matrices go in one kernel, and what these kernels are
//! told.

use crate::cuda::kernel::on_chip::{Buffers, Demand, Layout, Room};
use crate::cuda::kernel::table::Instantiation;
use crate::options::Problem;
use crate::{Dropped, Dtype, Element, Triangle};
use std::ffi::c_int;
use std::mem::offset_of;

/// `enum read` of kernels/lib/element.cuh: a triangle, or the mean of both.
pub(in crate::cuda) fn read(triangle: Option<Triangle>) -> c_int {
    match triangle {
        Some(Triangle::Lower) => 0,
        Some(Triangle::Upper) => 1,
        None => 2,
    }
}

/// The columns of kernels/jvp/columns.cuh: five real numbers and a label for each, four numbers of
/// the matrix, and two bytes for each tile.
const fn columns(n: usize, real: usize, side: usize, _: usize) -> usize {
    5 * n * real + 4 * n + 24 + 2 * side * side
}

/// Those of kernels/spectral/spectral_map.cu: four real numbers and a label for each, four numbers
/// of the matrix, and a byte for each tile.
const fn mapped(n: usize, real: usize, side: usize, _: usize) -> usize {
    4 * n * real + 4 * n + 24 + side * side
}

const JVP: Demand =
    Demand { kernel: "jvp", places: 2, rows: 8, columns, up_to: [64; 4], large_beyond: [64; 4], two_buffers_from: None };
const MAP: Demand = Demand { kernel: "map", columns: mapped, ..JVP };
const DOUBLE_BACKWARD: Demand = Demand { kernel: "double_backward", places: 4, up_to: [64, 64, 64, 48], ..JVP };
const BACKWARD_JVP: Demand = Demand { kernel: "backward_jvp", ..DOUBLE_BACKWARD };

const DEMANDS: [Demand; 4] = [JVP, MAP, DOUBLE_BACKWARD, BACKWARD_JVP];

/// How each operation goes in one kernel; none where it goes by matrix products.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Layouts {
    pub jvp: Option<Layout>,
    pub map: Option<Layout>,
    pub double_backward: Option<Layout>,
    pub backward_jvp: Option<Layout>,
}

impl Layouts {
    pub fn new(computed: Dtype, n: usize, room: Room) -> Self {
        let [jvp, map, double_backward, backward_jvp] =
            DEMANDS.map(|demand| Layout::new(&demand, computed, n, room, Buffers::One));
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
    let layouts = Layouts::new(computed, n, Room::MOST).each();
    DEMANDS.into_iter().zip(layouts).filter_map(move |(demand, layout)| Some(layout?.instantiation(demand.kernel, &[dtype])))
}

/// `struct tie_rules` of kernels/jvp/columns.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::cuda) struct TieRules {
    ties: c_int,
    dropped_zero: c_int,
    read: c_int,
    tie_rtol: f64,
    round_off: f64,
}

// The same on both sides.
const _: () = assert!(size_of::<TieRules>() == 32 && offset_of!(TieRules, round_off) == 24);

impl TieRules {
    pub fn new<O: Element>(problem: &Problem, read: c_int) -> Self {
        Self {
            ties: problem.tie_rule(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            read,
            tie_rtol: problem.tie_rtol::<O::Real>(),
            round_off: problem.round_off::<O>(),
        }
    }
}
