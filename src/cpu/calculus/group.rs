//! The memory of a group of matrices, one in each SIMD lane or a single one: [`DerivativeGroup`].

use crate::cpu::lanes::matrices::{size, stride};
use crate::cpu::simd::aligned::Aligned;
use crate::{Function, Real, Result, Scalar, SchurMultiplier};
use std::ops::Range;

/// How matrices lie, as [`LaneMatrices`](crate::cpu::lanes::matrices::LaneMatrices) has them.
#[derive(Clone, Copy, Debug)]
pub struct GroupShape {
    pub(in crate::cpu) n: usize,
    /// The distance of rows.
    pub(in crate::cpu) stride: usize,
    /// Real and imaginary part, or one part.
    pub(in crate::cpu) parts: usize,
    /// The number of matrices.
    pub(in crate::cpu) width: usize,
    /// Whether this is one large matrix, multiplied by faer.
    pub(in crate::cpu) alone: bool,
}

/// Numbers of a column, `[k, lane]`.
#[derive(Debug)]
pub(in crate::cpu) struct DerivativeColumns<R> {
    pub lambda: Aligned<R>,
    /// F is 0 between equal labels; 0 is dropped.
    pub label: Aligned<R>,
    /// λ̄.
    pub bar: Aligned<R>,
    /// λ̇, or λ̄̄.
    pub dot: Aligned<R>,
    /// λ̄̇, or what λ receives from downstream.
    pub bar_dot: Aligned<R>,
    /// f(λ), 0 on D.
    pub f: Aligned<R>,
    /// f′(λ), 0 on D.
    pub slope: Aligned<R>,
    /// log|λ|, up to a constant where only differences matter.
    pub log: Aligned<R>,
}

/// A group of matrices at work.
#[derive(Debug)]
pub struct DerivativeGroup<R> {
    pub(in crate::cpu) shape: GroupShape,
    pub(in crate::cpu) v: Aligned<R>,
    /// Vᴴ: with it, every product has the form Aᴴ B.
    pub(in crate::cpu) vh: Aligned<R>,
    /// What is given: Ȧ, H or E, and after it V̄.
    pub(in crate::cpu) given: Aligned<R>,
    /// More that is given: V̄̇ or the downstream V̄.
    pub(in crate::cpu) more: Aligned<R>,
    pub(in crate::cpu) temporary: Aligned<R>,
    /// P = Vᴴ Ȧ V, or Q = Vᴴ H V.
    pub(in crate::cpu) p: Aligned<R>,
    /// F ∘ P.
    pub(in crate::cpu) omega: Aligned<R>,
    /// X = Vᴴ V̄ or its adjoint.
    pub(in crate::cpu) x: Aligned<R>,
    /// F ∘ X, or of its adjoint.
    pub(in crate::cpu) fx: Aligned<R>,
    /// 2G.
    pub(in crate::cpu) g: Aligned<R>,
    /// What ends as the result.
    pub(in crate::cpu) out: Aligned<R>,
    /// F, or divided differences: real, of i ≤ j.
    pub(in crate::cpu) weights: Aligned<R>,
    pub(in crate::cpu) columns: DerivativeColumns<R>,
    /// A factor for each matrix.
    pub(in crate::cpu) scale: Aligned<R>,
    /// The largest |P_ij| (or |Q_ij|) in a tied group relative to ‖P‖_F, for each matrix; 0 where
    /// nothing ties.
    pub(in crate::cpu) tie_defect: Aligned<R>,
    /// Whether kept eigenvalues tie in any matrix.
    pub(in crate::cpu) tied: bool,
    /// The distance within which eigenvalues of a given function tie.
    pub(in crate::cpu) within: Aligned<R>,
    /// The first to the last column that is dropped in any matrix.
    pub(in crate::cpu) dropped: Range<usize>,
    pub(in crate::cpu) with_bar: bool,
    pub(in crate::cpu) with_more: bool,
    /// The function, unless it is given by its values.
    pub(in crate::cpu) function: Option<Function>,
    pub(in crate::cpu) kind: SchurMultiplier,
}

impl<R: Real> DerivativeGroup<R> {
    pub(in crate::cpu) fn new<T: Scalar<Real = R>>(n: usize, alone: bool) -> Result<Self> {
        let width = if alone { 1 } else { T::lanes() };
        let shape = GroupShape { n, stride: stride(n), parts: if T::COMPLEX { 2 } else { 1 }, width, alone };
        let reals = |count: usize| Aligned::new(R::of(0.0), count * width);
        // What is beyond n is never read into what is not.
        let matrix = || reals(size(n) * shape.parts);
        let row = || reals(n);
        Ok(Self {
            shape,
            v: matrix()?,
            vh: matrix()?,
            given: matrix()?,
            more: matrix()?,
            temporary: matrix()?,
            p: matrix()?,
            omega: matrix()?,
            x: matrix()?,
            fx: matrix()?,
            g: matrix()?,
            out: matrix()?,
            weights: reals(size(n))?,
            columns: DerivativeColumns {
                lambda: row()?,
                label: row()?,
                bar: row()?,
                dot: row()?,
                bar_dot: row()?,
                f: row()?,
                slope: row()?,
                log: row()?,
            },
            scale: reals(1)?,
            tie_defect: reals(1)?,
            tied: false,
            within: reals(1)?,
            dropped: 0..0,
            with_bar: false,
            with_more: false,
            function: None,
            kind: SchurMultiplier::Divided,
        })
    }
}
