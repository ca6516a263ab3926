//! Derivatives beyond the gradient: λ̇ and V̇ along a direction, the double backward pass, the tangent of the gradient, and the
//! Hessian of a loss times a direction.

use crate::options::addressable;
use crate::plan::expect;
use crate::{
    Cotangents, CotangentsRef, DoubleGradient, DoubleGradientMut, Eigenpairs, EigenpairsRef, Element, Engine, Error,
    HermitianBatch, HermitianRef, Matrices, MatricesMut, Plan, Result, Status, Stored, Tangents, TangentsMut, TieRule,
};

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// Scratch memory for derivatives beyond the first and for functions of the spectrum.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn scratch(&self) -> Result<B::Scratch> {
        self.backend().scratch(self.problem())
    }

    /// Memory for the tangents along `directions` directions.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if they cannot be addressed; [`Error::Backend`] if there is none.
    pub fn tangents<O: Stored<T::Scalar>>(&self, directions: usize) -> Result<Tangents<O, B>> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        let count = directions.checked_mul(batch).ok_or(Error::TooLarge { batch: usize::MAX, n })?;
        addressable::<O>(count, n)?;
        Tangents::zeros(self.backend(), count, n)
    }

    /// Memory for a Hermitian matrix for each of the batch.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn matrices<O: Stored<T::Scalar>>(&self) -> Result<Matrices<O, B>> {
        Matrices::zeros(self.backend(), self.problem().batch, self.problem().n)
    }

    /// Memory for what the double backward pass gives.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn double_gradient<O: Stored<T::Scalar>>(&self) -> Result<DoubleGradient<O, B>> {
        DoubleGradient::zeros(self.backend(), self.problem().batch, self.problem().n)
    }

    /// λ̇ and V̇, as [`Eigenpairs::jvp`], into caller-owned memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if a view has another length than the plan's; [`Error::Workspace`]; [`Error::Backend`].
    pub fn jvp_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        a_dot: HermitianRef<'a, O, B>,
        out: TangentsMut<'a, O, B>,
        scratch: &mut B::Scratch,
    ) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        let directions = B::len_mut(&out.status).checked_div(batch).unwrap_or(0);
        self.expect_pairs(&pairs)?;
        expect("status", directions * batch, B::len_mut(&out.status))?;
        expect("Ȧ", directions * batch * n * n, B::len(&a_dot.data))?;
        expect("λ̇", directions * batch * n, B::len_mut(&out.values))?;
        expect("V̇", directions * batch * n * n, B::len_mut(&out.vectors))?;
        self.expect_scratch(scratch)?;
        self.backend().jvp(self.problem(), pairs, a_dot, out, scratch)
    }

    /// The tangent of Ā, as [`Eigenpairs::backward_jvp`], into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn backward_jvp_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        cotangents: CotangentsRef<'a, O, B>,
        a_dot: HermitianRef<'a, O, B>,
        cotangents_dot: CotangentsRef<'a, O, B>,
        out: MatricesMut<'a, O, B>,
        scratch: &mut B::Scratch,
    ) -> Result<()> {
        self.expect_pairs(&pairs)?;
        self.expect_cotangents(&cotangents)?;
        self.expect_cotangents(&cotangents_dot)?;
        self.expect_matrices("Ȧ", &a_dot)?;
        self.expect_matrices_mut("Ā̇", &out)?;
        self.expect_scratch(scratch)?;
        self.backend().backward_jvp(self.problem(), pairs, cotangents, a_dot, cotangents_dot, out, scratch)
    }

    /// The double backward pass, as [`Eigenpairs::double_backward`], into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn double_backward_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        cotangents: CotangentsRef<'a, O, B>,
        h: HermitianRef<'a, O, B>,
        downstream: CotangentsRef<'a, O, B>,
        out: DoubleGradientMut<'a, O, B>,
        scratch: &mut B::Scratch,
    ) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        self.expect_pairs(&pairs)?;
        self.expect_cotangents(&cotangents)?;
        self.expect_cotangents(&downstream)?;
        self.expect_matrices("H", &h)?;
        expect("Ā", batch * n * n, B::len_mut(&out.a_bar))?;
        expect("λ̄̄", batch * n, B::len_mut(&out.values_bar_bar))?;
        expect("V̄̄", batch * n * n, B::len_mut(&out.vectors_bar_bar))?;
        expect("status", batch, B::len_mut(&out.status))?;
        self.expect_scratch(scratch)?;
        self.backend().double_backward(self.problem(), pairs, cotangents, h, downstream, out, scratch)
    }

    pub(crate) fn expect_matrices<O: Stored<T::Scalar>>(&self, what: &'static str, e: &HermitianRef<'_, O, B>) -> Result<()> {
        expect(what, self.problem().batch * self.problem().n * self.problem().n, B::len(&e.data))
    }

    pub(crate) fn expect_matrices_mut<O: Stored<T::Scalar>>(
        &self,
        what: &'static str,
        out: &MatricesMut<'_, O, B>,
    ) -> Result<()> {
        expect(what, self.problem().batch * self.problem().n * self.problem().n, B::len_mut(&out.data))?;
        expect("status", self.problem().batch, B::len_mut(&out.status))
    }

    pub(crate) fn expect_scratch(&self, scratch: &B::Scratch) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        if self.backend().scratch_serves(scratch, self.problem()) { Ok(()) } else { Err(Error::Workspace { batch, n }) }
    }
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// The tangents of the kept eigenpairs along Ȧ, the forward derivative: λ̇ = diag P and V̇ = V (F ∘ P) with P = Vᴴ Ȧ V.
    ///
    /// The gauge is that of parallel transport, v_jᴴ v̇_j = 0: an eigenvector turns no phase that A does not make it turn. Inside a
    /// tied group F is what the options' [`TieRule`] says. `a_dot` holds one direction or several, direction after
    /// direction: what depends on the eigenpairs alone is then done once.
    ///
    /// # Shapes
    /// Ȧ `[directions·batch, n, n]`; λ̇ `[directions·batch, n]`, V̇ `[directions·batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless Ȧ is of whole directions; [`Error::Matrices`] for tied matrices under [`TieRule::Error`];
    /// [`Error::Backend`].
    ///
    /// # Source
    /// docs/derivation.md, equations (4) and (5).
    pub fn jvp(&self, a_dot: &HermitianBatch<O, B>) -> Result<Tangents<O, B>> {
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        let (batch, n) = (self.batch(), self.n());
        let directions = a_dot.batch().checked_div(batch).unwrap_or(0);
        if a_dot.n() != n || directions * batch != a_dot.batch() {
            return Err(Error::Shape { what: "Ȧ", expected: vec![batch, n, n], got: vec![a_dot.batch(), a_dot.n(), a_dot.n()] });
        }
        let mut tangents = plan.tangents(directions)?;
        plan.jvp_into(self.as_ref(), a_dot.as_ref(), tangents.as_mut(), &mut plan.scratch()?)?;
        self.unless_tied(|| tangents.status_view())?;
        Ok(tangents)
    }

    /// The tangent of the gradient Ā of [`Eigenpairs::backward`] when A moves along Ȧ and the cotangents along λ̄̇ and V̄̇: forward
    /// over reverse. V̄ is held fixed as V moves as [`Eigenpairs::jvp`] says; how V̄ follows V is in V̄̇.
    ///
    /// # Shapes
    /// As [`Eigenpairs::backward`]; Ȧ and the result `[batch, n, n]`.
    ///
    /// # Errors
    /// As [`Eigenpairs::backward`].
    ///
    /// # Source
    /// docs/derivation.md §10.
    pub fn backward_jvp(
        &self,
        cotangents: &Cotangents<O, B>,
        a_dot: &HermitianBatch<O, B>,
        cotangents_dot: &Cotangents<O, B>,
    ) -> Result<Matrices<O, B>> {
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        cotangents.expect(self.batch(), self.n())?;
        cotangents_dot.expect(self.batch(), self.n())?;
        self.expect_matrices("Ȧ", a_dot)?;
        let mut out = plan.matrices()?;
        let scratch = &mut plan.scratch()?;
        plan.backward_jvp_into(
            self.as_ref(),
            cotangents.as_ref(),
            a_dot.as_ref(),
            cotangents_dot.as_ref(),
            out.as_mut(),
            scratch,
        )?;
        self.unless_tied(|| out.status_view())?;
        Ok(out)
    }

    /// The double backward pass: from a cotangent H of Ā, that is of the result of [`Eigenpairs::backward`], to cotangents of A, λ̄
    /// and V̄. `downstream` are cotangents that λ and V receive because λ̄ and V̄ were made of them, such as the user's framework finds.
    ///
    /// No gap between dropped eigenvalues is divided by: what such a quotient would tend to is known in closed form.
    ///
    /// # Shapes
    /// λ̄ `[batch, n]`, V̄ `[batch, n, n]`, H `[batch, n, n]`; results likewise.
    ///
    /// # Errors
    /// As [`Eigenpairs::backward`].
    ///
    /// # Source
    /// docs/derivation.md §9.
    pub fn double_backward(
        &self,
        cotangents: &Cotangents<O, B>,
        h: &HermitianBatch<O, B>,
        downstream: Option<&Cotangents<O, B>>,
    ) -> Result<DoubleGradient<O, B>> {
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        cotangents.expect(self.batch(), self.n())?;
        downstream.map_or(Ok(()), |x| x.expect(self.batch(), self.n()))?;
        self.expect_matrices("H", h)?;
        let none = CotangentsRef { values: None, vectors: None };
        let downstream = downstream.map_or(none, Cotangents::as_ref);
        let mut out = plan.double_gradient()?;
        let scratch = &mut plan.scratch()?;
        plan.double_backward_into(self.as_ref(), cotangents.as_ref(), h.as_ref(), downstream, out.as_mut(), scratch)?;
        self.unless_tied(|| out.status_view())?;
        Ok(out)
    }

    /// The Hessian of a loss of kept eigenpairs times a direction Ȧ. `cotangents` are the loss's; `second` is given λ̇ and V̇ and returns
    /// the tangents λ̄̇ and V̄̇ of the cotangents along them, that is the loss's own Hessian times (λ̇, V̇).
    ///
    /// # Shapes
    /// Ȧ and the result `[batch, n, n]`.
    ///
    /// # Errors
    /// Those of [`Eigenpairs::jvp`], of [`Eigenpairs::backward_jvp`] and of `second`.
    ///
    /// # Source
    /// docs/derivation.md §10.
    pub fn hvp(
        &self,
        cotangents: &Cotangents<O, B>,
        a_dot: &HermitianBatch<O, B>,
        second: impl FnOnce(&Tangents<O, B>) -> Result<Cotangents<O, B>>,
    ) -> Result<Matrices<O, B>> {
        let cotangents_dot = second(&self.jvp(a_dot)?)?;
        self.backward_jvp(cotangents, a_dot, &cotangents_dot)
    }

    pub(crate) fn expect_matrices(&self, what: &'static str, e: &HermitianBatch<O, B>) -> Result<()> {
        let (expected, got) = (vec![self.batch(), self.n(), self.n()], vec![e.batch(), e.n(), e.n()]);
        if expected == got { Ok(()) } else { Err(Error::Shape { what, expected, got }) }
    }

    /// An error for tied matrices under the rule that refuses them.
    fn unless_tied<'s>(&self, status: impl FnOnce() -> B::View<'s, Status>) -> Result<()> {
        if self.problem.ties != TieRule::Error {
            return Ok(());
        }
        Error::unless_clear(&self.backend.download(status())?, |status| status.intersects(Status::TIES_REFUSED))
    }
}
