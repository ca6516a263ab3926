//! Losses that compare eigenpairs with those of given matrices, with their cotangents: what stands
//! between the forward and the backward pass of a training step.

use crate::array::arrays;
use crate::{
    Array, Backend, Cotangents, Cpu, Eigenpairs, Element, ElementOf, Engine, Owned, Plan, Real, Result, Scalar, Storage, View,
    ViewMut,
};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};
use num_traits::{One, Zero};

/// L = Σ_k w_k (a·(λ_k − λ*_k)² + b·(1 − |v*_kᴴ v_k|²) + c·Σ_i (|v_ik|² − |v*_ik|²)²) of a matrix,
/// over its kept pairs: the three fields are a, b and c.
///
/// No phase of an eigenvector changes it. The basis of a tied subspace does, as the backward pass
/// tells.
///
/// ```
/// use eigengrad::{HermitianBatch, Options, PairLoss, Targets, eigh};
/// use ndarray::array;
///
/// # fn main() -> eigengrad::Result<()> {
/// let matrix = |x: f64| HermitianBatch::new(array![[2.0, x], [x, 1.0]].view());
/// let targets = Targets::of(&eigh(&matrix(0.0)?, &Options::default())?)?;
/// let pairs = eigh(&matrix(0.1)?, &Options::default())?;
/// let (loss, cotangents) = pairs.loss(&PairLoss { overlap: 1.0, ..PairLoss::default() }, &targets)?.split();
/// let gradient = pairs.backward(&cotangents)?;
/// assert!(loss[0] > 0.0 && gradient.a_bar()[[0, 0, 1]] > 0.0); // less of x is better
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairLoss {
    /// a, of the eigenvalues, per squared unit of A.
    pub spectral: f64,
    /// b, of the eigenvectors up to a phase.
    pub overlap: f64,
    /// c, of the intensities |v_ik|².
    pub intensity: f64,
}

arrays! {
    /// What eigenpairs are compared with: pair k with target k.
    Targets<O>(batch, n) {
        /// λ*, `[batch, n]`, in the units of A.
        values, "λ*": O::Real, 2 [batch, n];
        /// V*, one unit vector after the other: `[batch, k, i]`.
        vectors, "V*": O, 3 [batch, n, n];
        /// w, `[batch, n]`; a pair of weight 0 does not count.
        weights, "w": O::Real, 2 [batch, n];
    }
}

arrays! {
    /// A loss of each matrix and its cotangents; what does not count has cotangents 0.
    PairLosses<O>(batch, n) {
        /// L, `[batch]`; NaN of a matrix that has no eigenpairs.
        loss, "L": <O::Real as Element>::Scalar, 1 [batch];
        /// λ̄, `[batch, n]`.
        values_bar, "λ̄": O::Real, 2 [batch, n];
        /// V̄, one vector after the other: `[batch, k, i]`.
        vectors_bar, "V̄": O, 3 [batch, n, n];
    }
}

impl<O: Element> Targets<O> {
    /// The kept pairs of other matrices, with weight 1 each.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory.
    pub fn of<B: Backend>(pairs: &Eigenpairs<O, B>) -> Result<Self> {
        let pairs = pairs.to_host()?;
        let (one, zero) = (<O::Real as Element>::Scalar::one(), <O::Real as Element>::Scalar::zero());
        let weights = pairs.spectrum.kept.iter().map(|&kept| O::Real::narrow(if kept { one } else { zero })).collect();
        let weights = Array::from_host(&Cpu::default(), weights, pairs.spectrum.kept.shape())?;
        Ok(Self { values: pairs.spectrum.values, vectors: pairs.vectors, weights })
    }

    /// A copy on another backend.
    ///
    /// # Errors
    /// As [`Targets::of`].
    pub fn on<B: Backend>(&self, backend: &B) -> Result<Targets<O, B>> {
        Ok(Targets {
            values: Array::from_host(backend, self.values.to_vec(), self.values.shape())?,
            vectors: Array::from_host(backend, self.vectors.to_vec(), self.vectors.shape())?,
            weights: Array::from_host(backend, self.weights.to_vec(), self.weights.shape())?,
        })
    }
}

impl<O: Element, B: Backend, S: Storage> PairLosses<O, B, S> {
    /// L, and the cotangents for the backward pass.
    #[allow(clippy::type_complexity, reason = "a loss is in the real type that is computed in")]
    pub fn split(self) -> (Array<<O::Real as Element>::Scalar, B, 1, S>, Cotangents<O, B, S>) {
        (self.loss, Cotangents::from_columns(Some(self.values_bar), Some(self.vectors_bar)))
    }
}

impl<O: Element, S: Storage> PairLosses<O, Cpu, S> {
    /// [`PairLosses::loss`] as an array, `[batch]`.
    pub fn loss(&self) -> ArrayView1<'_, <O::Real as Element>::Scalar> {
        self.loss.array()
    }

    /// [`PairLosses::values_bar`] as an array, `[batch, n]`.
    pub fn values_bar(&self) -> ArrayView2<'_, O::Real> {
        self.values_bar.array()
    }

    /// [`PairLosses::vectors_bar`] as an array, `[batch, n, n]`: `v_bar[[b, .., k]]` belongs to
    /// eigenvector k.
    pub fn vectors_bar(&self) -> ArrayView3<'_, O> {
        self.vectors_bar.array().permuted_axes([0, 2, 1])
    }
}

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// Memory for a loss of each matrix and its cotangents.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is none.
    pub fn losses<O: ElementOf<T::Scalar>>(&self) -> Result<PairLosses<O, B>> {
        PairLosses::zeros(self.backend(), self.batch(), self.n())
    }

    /// Memory for targets, all of weight 0.
    ///
    /// # Errors
    /// As [`Plan::losses`].
    pub fn targets<O: ElementOf<T::Scalar>>(&self) -> Result<Targets<O, B>> {
        Targets::zeros(self.backend(), self.batch(), self.n())
    }

    /// A loss and its cotangents, as [`Eigenpairs::loss`], into caller-owned memory.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if a view has another length than the plan's;
    /// [`Error::Backend`](crate::Error::Backend).
    pub fn loss_into<'a, O: ElementOf<T::Scalar>>(
        &self,
        loss: &PairLoss,
        pairs: Eigenpairs<O, B, View<'a>>,
        targets: Targets<O, B, View<'a>>,
        out: PairLosses<O, B, ViewMut<'a>>,
    ) -> Result<()> {
        self.expect_pairs(&pairs)?;
        targets.expect(self.batch(), self.n())?;
        out.expect(self.batch(), self.n())?;
        self.backend().loss(self.problem(), loss, pairs, targets, out)
    }
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// A loss of each matrix against targets, and its cotangents: λ̄_k = 2a·w_k(λ_k − λ*_k) and v̄_ik
    /// = w_k(4c·(|v_ik|² − |v*_ik|²)·v_ik − 2b·(v*_kᴴ v_k)·v*_ik).
    ///
    /// # Shapes
    /// Losses `[batch]`, λ̄ `[batch, n]`, V̄ `[batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the targets have another shape than the pairs;
    /// [`Error::Backend`](crate::Error::Backend). A matrix that has no eigenpairs has a loss of
    /// NaN.
    ///
    /// # Source
    /// docs/derivation.md §15.
    pub fn loss(&self, loss: &PairLoss, targets: &Targets<O, B>) -> Result<PairLosses<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let mut out = plan.losses()?;
        plan.loss_into(loss, self.view(), targets.view(), out.view_mut())?;
        Ok(out)
    }
}

/// The factors in the type computed in: a, b and c.
pub(crate) fn factors<T: Scalar>(loss: &PairLoss) -> [T::Real; 3] {
    [loss.spectral, loss.overlap, loss.intensity].map(Real::of)
}
