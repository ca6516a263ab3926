//! Functions of the matrix through its kept spectrum, B = V_K f(Λ_K) V_Kᴴ, with derivatives that
//! are exact wherever eigenvalues tie: f(A), projectors, traces, entropy.

mod fidelity;
mod function;
mod result;

pub use fidelity::{Fidelity, fidelity};
pub use function::{Function, Spectral};
pub use result::HermitianResult;

use crate::{
    Array, Backend, Cpu, Derivative, Eigenpairs, Element, ElementOf, Engine, HermitianBatch, Plan, Result, SchurMultiplier,
    Status, View, ViewMut,
};

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// V_K f(Λ_K) V_Kᴴ, as [`Eigenpairs::spectral`], or with f′, into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn spectral_into<'a, O: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        function: Spectral<O, B, View<'a>>,
        of: Derivative,
        out: HermitianResult<O, B, ViewMut<'a>>,
        scratch: &B::Scratch,
    ) -> Result<()> {
        self.expect_pairs(&pairs)?;
        self.expect_function(&function)?;
        out.expect(self.problem().batch, self.problem().n)?;
        self.expect_scratch(scratch)?;
        self.backend().spectral(self.problem(), pairs, function, of, out, scratch)
    }

    /// s·V (W ∘ Vᴴ E V) Vᴴ into caller-owned memory: for [`SchurMultiplier::Divided`] as
    /// [`Eigenpairs::spectral_derivative`], for [`SchurMultiplier::Product`] f(A) E f(A); s
    /// `[batch]` may be absent. Products f(λ_i) f(λ_j) are formed first: where one overflows, the
    /// matrix has [`Status::RESULT_NOT_FINITE`], whatever E and s are.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    pub fn map_into<'a, O: ElementOf<T::Scalar>, I: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        function: Spectral<O, B, View<'a>>,
        weights: SchurMultiplier,
        e: HermitianBatch<I, B, View<'a>>,
        scale: Option<Array<<T::Scalar as Element>::Real, B, 1, View<'a>>>,
        out: HermitianResult<O, B, ViewMut<'a>>,
        scratch: &B::Scratch,
    ) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        self.expect_pairs(&pairs)?;
        self.expect_function(&function)?;
        e.data.expect("E", [batch, n, n])?;
        scale.as_ref().map_or(Ok(()), |x| x.expect("scale", [batch]))?;
        out.expect(batch, n)?;
        self.expect_scratch(scratch)?;
        self.backend().map(self.problem(), pairs, function, weights, e, scale, out, scratch)
    }

    /// tr f(A) `[batch]`, and statuses, into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn trace_into<'a, O: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        function: Spectral<O, B, View<'a>>,
        out: Array<<T::Scalar as Element>::Real, B, 1, ViewMut<'a>>,
        status: Array<Status, B, 1, ViewMut<'a>>,
    ) -> Result<()> {
        let batch = self.problem().batch;
        self.expect_pairs(&pairs)?;
        self.expect_function(&function)?;
        out.expect("tr f(A)", [batch])?;
        status.expect("status", [batch])?;
        self.backend().trace(self.problem(), pairs, function, out, status)
    }

    fn expect_function<O: ElementOf<T::Scalar>>(&self, function: &Spectral<O, B, View<'_>>) -> Result<()> {
        let Spectral::Given { values, slopes } = function else { return Ok(()) };
        let shape = [self.problem().batch, self.problem().n];
        values.expect("f(λ)", shape)?;
        slopes.expect("f′(λ)", shape)
    }
}

/// tr f(A) for each matrix and its gradient.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trace<O: Element, B: Backend = Cpu> {
    /// Σ_K f(λ_k), `[batch]`.
    pub values: Array<<O::Scalar as Element>::Real, B, 1>,
    /// What is to be known of each, `[batch]`.
    pub status: Array<Status, B, 1>,
    /// Its gradient V_K f′(Λ_K) V_Kᴴ.
    pub gradient: HermitianResult<O, B>,
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// f(A) on the kept spectrum, V_K f(Λ_K) V_Kᴴ: the dropped eigenvalues count as mapped to 0.
    ///
    /// A kept eigenvalue outside the domain of f makes that matrix NaN, with
    /// [`Status::OUTSIDE_DOMAIN`]; one whose f overflows gives it [`Status::RESULT_NOT_FINITE`].
    ///
    /// # Shapes
    /// `[batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if f was given for other pairs;
    /// [`Error::Backend`](crate::Error::Backend).
    ///
    /// # Source
    /// docs/derivation.md §11.
    ///
    /// ```
    /// use eigengrad::{Function, HermitianBatch, Options, eigh};
    /// use ndarray::array;
    ///
    /// let a = array![[4.0, 0.0], [0.0, 0.0]]; // of rank 1
    /// let pairs = eigh(&HermitianBatch::new(a.view())?, &Options::default())?;
    /// let root = pairs.spectral(&Function::Sqrt.into())?;
    /// assert_eq!(root.data.array(), array![[[2.0, 0.0], [0.0, 0.0]]]);
    /// # eigengrad::Result::<()>::Ok(())
    /// ```
    pub fn spectral(&self, function: &Spectral<O, B>) -> Result<HermitianResult<O, B>> {
        self.spectral_of(function, Derivative::Zeroth)
    }

    /// The derivative of [`Eigenpairs::spectral`] applied to E: V (f¹ ∘ Vᴴ E V) Vᴴ with divided
    /// differences f¹.
    ///
    /// The map is its own adjoint: for E = B̄ it is the gradient Ā, for E = Ȧ it is the tangent of
    /// B. It is exact wherever eigenvalues tie, since a tie has the divided difference f′, and
    /// takes no notice of a [`TieRule`](crate::TieRule).
    ///
    /// # Shapes
    /// E and the result `[batch, n, n]`.
    ///
    /// # Errors
    /// As [`Eigenpairs::spectral`], and [`Error::Shape`](crate::Error::Shape) if E has another
    /// shape.
    ///
    /// # Source
    /// Daleckii and Krein; docs/derivation.md §11.
    pub fn spectral_derivative<I: ElementOf<O::Scalar>>(
        &self,
        function: &Spectral<O, B>,
        e: &HermitianBatch<I, B>,
    ) -> Result<HermitianResult<O, B>> {
        self.map(function, SchurMultiplier::Divided, e, None)
    }

    /// tr f(A) = Σ_K f(λ_k) for each matrix, and its gradient V_K f′(Λ_K) V_Kᴴ.
    ///
    /// # Shapes
    /// Values `[batch]`, gradient `[batch, n, n]`.
    ///
    /// # Errors
    /// As [`Eigenpairs::spectral`].
    ///
    /// # Source
    /// docs/derivation.md §11.
    ///
    /// ```
    /// use eigengrad::{Function, HermitianBatch, Options, eigh};
    /// use ndarray::array;
    ///
    /// let a = array![[2.0_f64, 0.0], [0.0, 0.5]];
    /// let pairs = eigh(&HermitianBatch::new(a.view())?, &Options::default())?;
    /// let log_det = pairs.trace_of(&Function::Log.into())?;
    /// assert!(log_det.values[0].abs() < 1e-15);
    /// assert_eq!(log_det.gradient.data.array(), array![[[0.5, 0.0], [0.0, 2.0]]]); // A⁻¹
    /// # eigengrad::Result::<()>::Ok(())
    /// ```
    pub fn trace_of(&self, function: &Spectral<O, B>) -> Result<Trace<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let mut values = Array::zeros(self.backend(), [self.batch()])?;
        let mut status = Array::zeros(self.backend(), [self.batch()])?;
        plan.trace_into(self.view(), function.view(), values.view_mut(), status.view_mut())?;
        Ok(Trace { values, status, gradient: self.spectral_of(function, Derivative::First)? })
    }

    /// tr(A log A) for each matrix, minus the von Neumann entropy, and its gradient log A + 1 on
    /// the kept space: finite whatever the rank.
    ///
    /// # Errors
    /// As [`Eigenpairs::spectral`].
    pub fn negentropy(&self) -> Result<Trace<O, B>> {
        self.trace_of(&Function::XLogX.into())
    }

    fn spectral_of(&self, function: &Spectral<O, B>, of: Derivative) -> Result<HermitianResult<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let mut out = plan.matrices()?;
        plan.spectral_into(self.view(), function.view(), of, out.view_mut(), &plan.scratch()?)?;
        Ok(out)
    }

    pub(crate) fn map<I: ElementOf<O::Scalar>>(
        &self,
        function: &Spectral<O, B>,
        weights: SchurMultiplier,
        e: &HermitianBatch<I, B>,
        scale: Option<&Array<<O::Scalar as Element>::Real, B, 1>>,
    ) -> Result<HermitianResult<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let mut out = plan.matrices()?;
        let scratch = &plan.scratch()?;
        plan.map_into(self.view(), function.view(), weights, e.view(), scale.map(Array::view), out.view_mut(), scratch)?;
        Ok(out)
    }
}
