//! The two ways to Ā: [`Lanes`] puts one small matrix in each SIMD lane, [`Products`] multiplies the blocks of a large one.

use super::Kernels;
use super::lanes::Lanes;
use super::products::Products;
use crate::{Dropped, Element};

/// The order up to which lanes win over products for every type, measured (docs/performance.md): beyond, they leave the cache.
const LANES_UP_TO: usize = 64;

/// Scratch memory of one thread.
#[derive(Debug)]
pub(super) struct Assembly<T: Kernels> {
    pub lambda: Vec<T::Real>,
    pub labels: Vec<T::Real>,
    pub way: Way<T>,
}

#[derive(Debug)]
pub(super) enum Way<T: Kernels> {
    Lanes(Lanes<T>),
    Products(Products<T>),
}

impl<T: Kernels> Assembly<T> {
    pub(super) fn new(n: usize) -> Self {
        let zeros = || vec![<T::Real as Default>::default(); n];
        let way = if n <= LANES_UP_TO { Way::Lanes(Lanes::new(n)) } else { Way::Products(Products::new(n)) };
        Self { lambda: zeros(), labels: zeros(), way }
    }

    /// The number of matrices that are assembled at a time.
    pub(super) fn width(&self) -> usize {
        match &self.way {
            Way::Lanes(lanes) => lanes.width(),
            Way::Products(products) => products.width(),
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

/// Assembles Ā of a group of matrices, in this order: start, give every column of every lane, load, assemble, read.
pub(super) trait Assemble<T: Element> {
    /// The number of matrices that are assembled at a time.
    fn width(&self) -> usize;
    /// Begins a group of `lanes` matrices.
    fn start(&mut self, lanes: usize, dropped: Dropped, with_vectors_bar: bool);
    /// Says that kept eigenvalues tie in a matrix of the group.
    fn tied(&mut self) {}
    /// Gives what belongs to one column, in the order of k.
    fn column(&mut self, lane: usize, column: Column<T::Real>);
    /// Gives V and V̄ of the whole group; columns of V̄ outside K are not read.
    fn load<O: Element<Scalar = T>>(&mut self, v: &[O], v_bar: Option<&[O]>);
    /// Computes Ā and the defects.
    fn assemble(&mut self);
    /// Writes ρ of a lane and raises its tie defect to what was found in X.
    fn defects(&self, lane: usize, gauge_defect: &mut [T::Real], tie_defect: &mut T::Real);
    /// Writes Ā of the whole group.
    fn store<G: Element<Scalar = T>>(&self, a_bar: &mut [G]);
}
