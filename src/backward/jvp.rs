//! The tangent of the gradient: docs/derivation.md §10.

use crate::{Cotangents, Eigenpairs, Element, ElementOf, Engine, HermitianBatch, HermitianResult, Plan, Result, View, ViewMut};

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// Memory for a Hermitian matrix for each of the batch.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is none.
    pub fn matrices<O: ElementOf<T::Scalar>>(&self) -> Result<HermitianResult<O, B>> {
        HermitianResult::zeros(self.backend(), self.problem().batch, self.problem().n)
    }

    /// The tangent of Ā, as [`Eigenpairs::backward_jvp`], into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn backward_jvp_into<'a, O: ElementOf<T::Scalar>, I: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        cotangents: Cotangents<O, B, View<'a>>,
        a_dot: HermitianBatch<I, B, View<'a>>,
        cotangents_dot: Cotangents<O, B, View<'a>>,
        out: HermitianResult<O, B, ViewMut<'a>>,
        scratch: &B::Scratch,
    ) -> Result<()> {
        self.expect_pairs(&pairs)?;
        let (batch, n) = (self.problem().batch, self.problem().n);
        cotangents.expect(batch, n, n)?;
        cotangents_dot.expect(batch, n, n)?;
        a_dot.data.expect("Ȧ", [batch, n, n])?;
        out.expect(batch, n)?;
        self.expect_scratch(scratch)?;
        self.backend().backward_jvp(self.problem(), pairs, cotangents, a_dot, cotangents_dot, out, scratch)
    }
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// The tangent of the gradient Ā of [`Eigenpairs::backward`] when A moves along Ȧ and the
    /// cotangents along λ̄̇ and V̄̇: forward over reverse. V̄ is held fixed as V moves as
    /// [`Eigenpairs::jvp`] says; how V̄ follows V is in V̄̇.
    ///
    /// # Shapes
    /// As [`Eigenpairs::backward`]; Ȧ and the result `[batch, n, n]`.
    ///
    /// # Errors
    /// As [`Eigenpairs::backward`].
    ///
    /// # Source
    /// docs/derivation.md §10.
    pub fn backward_jvp<I: ElementOf<O::Scalar>>(
        &self,
        cotangents: &Cotangents<O, B>,
        a_dot: &HermitianBatch<I, B>,
        cotangents_dot: &Cotangents<O, B>,
    ) -> Result<HermitianResult<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let mut out = plan.matrices()?;
        let scratch = &plan.scratch()?;
        plan.backward_jvp_into(self.view(), cotangents.view(), a_dot.view(), cotangents_dot.view(), out.view_mut(), scratch)?;
        self.unless_tied(&out.status)?;
        Ok(out)
    }
}
