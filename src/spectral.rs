//! Functions of the matrix through its kept spectrum, B = V_K f(Λ_K) V_Kᴴ, with derivatives that are exact wherever eigenvalues tie:
//! f(A), projectors, traces, entropy.

use crate::plan::expect;
use crate::{
    Backend, Cpu, Eigenpairs, EigenpairsRef, Element, Engine, Function, FunctionRef, HermitianBatch, HermitianRef, Matrices,
    MatricesMut, Of, Plan, Result, Spectral, Status, Stored, Weights,
};

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// V_K f(Λ_K) V_Kᴴ, as [`Eigenpairs::spectral`], or with f′, into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn spectral_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        function: FunctionRef<'a, O, B>,
        of: Of,
        out: MatricesMut<'a, O, B>,
        scratch: &mut B::Scratch,
    ) -> Result<()> {
        self.expect_pairs(&pairs)?;
        self.expect_function(&function)?;
        self.expect_matrices_mut("f(A)", &out)?;
        self.expect_scratch(scratch)?;
        self.backend().spectral(self.problem(), pairs, function, of, out, scratch)
    }

    /// s·V (W ∘ Vᴴ E V) Vᴴ into caller-owned memory: for [`Weights::Divided`] as [`Eigenpairs::spectral_derivative`], for
    /// [`Weights::Product`] f(A) E f(A); s `[batch]` may be absent. Products f(λ_i) f(λ_j) are formed first: where one overflows, the
    /// matrix has [`Status::RESULT_NOT_FINITE`], whatever E and s are.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    pub fn map_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        function: FunctionRef<'a, O, B>,
        weights: Weights,
        e: HermitianRef<'a, O, B>,
        scale: Option<B::View<'a, <T::Scalar as Element>::Real>>,
        out: MatricesMut<'a, O, B>,
        scratch: &mut B::Scratch,
    ) -> Result<()> {
        let batch = self.problem().batch;
        self.expect_pairs(&pairs)?;
        self.expect_function(&function)?;
        self.expect_matrices("E", &e)?;
        expect("scale", batch, scale.as_ref().map_or(batch, B::len))?;
        self.expect_matrices_mut("result", &out)?;
        self.expect_scratch(scratch)?;
        self.backend().map(self.problem(), pairs, function, weights, e, scale, out, scratch)
    }

    /// tr f(A) `[batch]`, and statuses, into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn trace_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        function: FunctionRef<'a, O, B>,
        out: B::ViewMut<'a, <T::Scalar as Element>::Real>,
        status: B::ViewMut<'a, Status>,
    ) -> Result<()> {
        let batch = self.problem().batch;
        self.expect_pairs(&pairs)?;
        self.expect_function(&function)?;
        expect("tr f(A)", batch, B::len_mut(&out))?;
        expect("status", batch, B::len_mut(&status))?;
        self.backend().trace(self.problem(), pairs, function, out, status)
    }

    fn expect_function<O: Stored<T::Scalar>>(&self, function: &FunctionRef<'_, O, B>) -> Result<()> {
        let FunctionRef::Given { values, slopes } = function else { return Ok(()) };
        let expected = self.problem().batch * self.problem().n;
        expect("f(λ)", expected, B::len(values))?;
        expect("f′(λ)", expected, B::len(slopes))
    }
}

/// tr f(A) for each matrix and its gradient.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trace<O: Element, B: Backend = Cpu> {
    /// Σ_K f(λ_k), `[batch]`.
    pub values: B::Buffer<<O::Scalar as Element>::Real>,
    /// What is to be known of each, `[batch]`.
    pub status: B::Buffer<Status>,
    /// Its gradient V_K f′(Λ_K) V_Kᴴ.
    pub gradient: Matrices<O, B>,
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// f(A) on the kept spectrum, V_K f(Λ_K) V_Kᴴ: the dropped eigenvalues count as mapped to 0.
    ///
    /// A kept eigenvalue outside the domain of f makes that matrix NaN, with [`Status::OUTSIDE_DOMAIN`]; one whose f overflows gives it
    /// [`Status::RESULT_NOT_FINITE`].
    ///
    /// # Shapes
    /// `[batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if f was given for other pairs; [`Error::Backend`](crate::Error::Backend).
    ///
    /// # Source
    /// docs/derivation.md §11.
    pub fn spectral(&self, function: &Spectral<O, B>) -> Result<Matrices<O, B>> {
        self.spectral_of(function, Of::Values)
    }

    /// The derivative of [`Eigenpairs::spectral`] applied to E: V (f¹ ∘ Vᴴ E V) Vᴴ with divided differences f¹.
    ///
    /// The map is its own adjoint: for E = B̄ it is the gradient Ā, for E = Ȧ it is the tangent of B. It is exact wherever eigenvalues
    /// tie, since a tie has the divided difference f′, and takes no notice of a [`TieRule`](crate::TieRule).
    ///
    /// # Shapes
    /// E and the result `[batch, n, n]`.
    ///
    /// # Errors
    /// As [`Eigenpairs::spectral`], and [`Error::Shape`](crate::Error::Shape) if E has another shape.
    ///
    /// # Source
    /// Daleckii and Krein; docs/derivation.md §11.
    pub fn spectral_derivative(&self, function: &Spectral<O, B>, e: &HermitianBatch<O, B>) -> Result<Matrices<O, B>> {
        self.map(function, Weights::Divided, e, None)
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
    pub fn trace_of(&self, function: &Spectral<O, B>) -> Result<Trace<O, B>> {
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        let (mut values, mut status) = (self.backend.zeros(self.batch())?, self.backend.zeros(self.batch())?);
        plan.trace_into(self.as_ref(), function.as_ref(), B::view_mut(&mut values), B::view_mut(&mut status))?;
        Ok(Trace { values, status, gradient: self.spectral_of(function, Of::Slopes)? })
    }

    /// tr(A log A) for each matrix, minus the von Neumann entropy, and its gradient log A + 1 on the kept space: finite whatever the rank.
    ///
    /// # Errors
    /// As [`Eigenpairs::spectral`].
    pub fn negentropy(&self) -> Result<Trace<O, B>> {
        self.trace_of(&Function::XLogX.into())
    }

    fn spectral_of(&self, function: &Spectral<O, B>, of: Of) -> Result<Matrices<O, B>> {
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        let mut out = plan.matrices()?;
        plan.spectral_into(self.as_ref(), function.as_ref(), of, out.as_mut(), &mut plan.scratch()?)?;
        Ok(out)
    }

    pub(crate) fn map(
        &self,
        function: &Spectral<O, B>,
        weights: Weights,
        e: &HermitianBatch<O, B>,
        scale: Option<&B::Buffer<<O::Scalar as Element>::Real>>,
    ) -> Result<Matrices<O, B>> {
        self.expect_matrices("E", e)?;
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        let mut out = plan.matrices()?;
        let scratch = &mut plan.scratch()?;
        plan.map_into(self.as_ref(), function.as_ref(), weights, e.as_ref(), scale.map(B::view), out.as_mut(), scratch)?;
        Ok(out)
    }
}
