//! The two ways to Ā: [`Lanes`] puts one small matrix in each SIMD lane, [`Products`] multiplies the blocks of a large one.

use super::backward::Run;
use super::rescale::Rescaled;
use crate::Scalar;
use crate::Stored;
use crate::cpu::dense::products::Products;
use crate::cpu::lanes::backward::Lanes;
use crate::cpu::lanes::kernel::AssembleLanes;
use crate::options::Problem;

/// Scratch memory of one thread.
#[derive(Debug)]
pub(super) struct Assembly<T: Scalar> {
    pub way: Way<T>,
    pub rescaled: Rescaled<T>,
}

/// The way that an order calls for.
#[derive(Debug)]
pub(super) enum Way<T: Scalar> {
    Lanes(Lanes<T>),
    Products(Products<T>),
}

impl<T: Scalar> Assembly<T> {
    pub(super) fn new(n: usize) -> Self {
        let in_lanes = n <= <T as AssembleLanes>::UP_TO;
        let way = if in_lanes { Way::Lanes(Lanes::new(n)) } else { Way::Products(Products::new(n)) };
        Self { way, rescaled: Rescaled::new() }
    }

    /// The number of matrices that are assembled at a time.
    pub(super) fn width(&self) -> usize {
        match &self.way {
            Way::Lanes(lanes) => lanes.width(),
            Way::Products(_) => 1,
        }
    }
}

/// One column of the problem: eigenvalue, label (0 is dropped; F is 0 between equal labels) and λ̄, 0 outside K.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<R> {
    pub k: usize,
    pub lambda: R,
    pub label: R,
    pub lambda_bar: R,
}

/// What was found of a matrix on the way.
pub(super) struct Found<R> {
    /// The largest tie defect in X.
    pub tie_defect: R,
    pub gauge_defect: R,
    /// Whether Ā, as it was computed, is finite.
    pub finite: bool,
}

/// Assembles Ā of as many matrices as are worked on at a time.
pub(super) trait Assemble<T: Scalar> {
    /// Writes Ā, ρ and the spreads of λ̄, and adds what ties are to the statuses; columns of V̄ outside K are not used.
    fn assemble<O: Stored<T>, G: Stored<T>>(&mut self, problem: &Problem, group: Run<'_, O, G>);
    /// What was found of a matrix of the last group.
    fn found(&self, b: usize) -> Found<T::Real>;
}
