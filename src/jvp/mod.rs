//! λ̇ and V̇ along a direction: docs/derivation.md, equations (4) and (5); and the Hessian of a loss
//! times one.

mod tangents;

pub use tangents::Tangents;

use crate::{
    Array, Cotangents, Eigenpairs, Element, ElementOf, Engine, Error, HermitianBatch, HermitianResult, Plan, Result, Status,
    TieRule, View, ViewMut,
};

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// Memory for the tangents along `directions` directions.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if they cannot be addressed; [`Error::Backend`] if there is none.
    pub fn tangents<O: ElementOf<T::Scalar>>(&self, directions: usize) -> Result<Tangents<O, B>> {
        Tangents::zeros(self.backend(), self.count::<O>(directions)?, self.problem().n)
    }

    /// λ̇ and V̇, as [`Eigenpairs::jvp`], into caller-owned memory. Directions that are stored as
    /// another type than the pairs are copied on a device, in memory that is allocated for the
    /// call.
    ///
    /// # Errors
    /// [`Error::Shape`] if a view has another length than the plan's; [`Error::Workspace`];
    /// [`Error::Backend`].
    pub fn jvp_into<'a, O: ElementOf<T::Scalar>, I: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        a_dot: HermitianBatch<I, B, View<'a>>,
        out: Tangents<O, B, ViewMut<'a>>,
        scratch: &B::Scratch,
    ) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        // of whole directions
        let count = out.status.shape()[0].checked_div(batch).unwrap_or(0) * batch;
        self.expect_pairs(&pairs)?;
        a_dot.data.expect("Ȧ", [count, n, n])?;
        out.expect(count, n)?;
        self.expect_scratch(scratch)?;
        self.backend().jvp(self.problem(), pairs, a_dot, out, scratch)
    }
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// The tangents of the kept eigenpairs along Ȧ, the forward derivative: λ̇ = diag P and V̇ = V (F
    /// ∘ P) with P = Vᴴ Ȧ V.
    ///
    /// The gauge is that of parallel transport, v_jᴴ v̇_j = 0: an eigenvector turns no phase that A
    /// does not make it turn. Inside a tied group F is what the options' [`TieRule`] says. `a_dot`
    /// holds one direction or several, direction after direction: what depends on the eigenpairs
    /// alone is then done once.
    ///
    /// # Shapes
    /// Ȧ `[directions·batch, n, n]`; λ̇ `[directions·batch, n]`, V̇ `[directions·batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless Ȧ is of whole directions; [`Error::Matrices`] for tied matrices
    /// under [`TieRule::Error`]; [`Error::Backend`].
    ///
    /// # Source
    /// docs/derivation.md, equations (4) and (5).
    ///
    /// ```
    /// use eigengrad::{HermitianBatch, Options, eigh};
    /// use ndarray::array;
    ///
    /// let pairs = eigh(&HermitianBatch::new(array![[2.0_f64, 0.0], [0.0, 3.0]].view())?, &Options::default())?;
    /// let tangents = pairs.jvp(&HermitianBatch::new(array![[1.0, 1.0], [1.0, 0.0]].view())?)?;
    /// assert_eq!(tangents.values(), array![[1.0, 0.0]]);
    /// assert_eq!(tangents.vectors()[[0, 1, 0]].abs(), 1.0); // v̇ of the first turns towards the second
    /// # eigengrad::Result::<()>::Ok(())
    /// ```
    pub fn jvp<I: ElementOf<O::Scalar>>(&self, a_dot: &HermitianBatch<I, B>) -> Result<Tangents<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let (batch, n) = (self.batch(), self.n());
        let directions = a_dot.batch().checked_div(batch).unwrap_or(0);
        if a_dot.n() != n || directions * batch != a_dot.batch() {
            return Err(Error::Shape { what: "Ȧ", expected: vec![batch, n, n], got: vec![a_dot.batch(), a_dot.n(), a_dot.n()] });
        }
        let mut tangents = plan.tangents(directions)?;
        plan.jvp_into(self.view(), a_dot.view(), tangents.view_mut(), &plan.scratch()?)?;
        self.unless_tied(&tangents.status)?;
        Ok(tangents)
    }

    /// The Hessian of a loss of kept eigenpairs times a direction Ȧ. `cotangents` are the loss's;
    /// `second` is given λ̇ and V̇ and returns the tangents λ̄̇ and V̄̇ of the cotangents along them,
    /// that is the loss's own Hessian times (λ̇, V̇).
    ///
    /// # Shapes
    /// Ȧ and the result `[batch, n, n]`.
    ///
    /// # Errors
    /// Those of [`Eigenpairs::jvp`], of [`Eigenpairs::backward_jvp`] and of `second`.
    ///
    /// # Source
    /// docs/derivation.md §10.
    ///
    /// ```
    /// use eigengrad::{Cotangents, HermitianBatch, Options, eigh};
    /// use ndarray::array;
    ///
    /// let pairs = eigh(&HermitianBatch::new(array![[2.0, 0.0], [0.0, 3.0]].view())?, &Options::default())?;
    /// // The loss is ½ Σ λ² = ½‖A‖², whose cotangent is λ: its Hessian is 1.
    /// let cotangents = Cotangents::values(&pairs, pairs.values())?;
    /// let a_dot = array![[1.0, 1.0], [1.0, 0.0]];
    /// let direction = HermitianBatch::new(a_dot.view())?;
    /// let product = pairs.hvp(&cotangents, &direction, |tangents| Cotangents::values(&pairs, tangents.values()))?;
    /// assert!((&product.data.array() - &a_dot).iter().all(|x: &f64| x.abs() < 1e-14));
    /// # eigengrad::Result::<()>::Ok(())
    /// ```
    pub fn hvp<I: ElementOf<O::Scalar>>(
        &self,
        cotangents: &Cotangents<O, B>,
        a_dot: &HermitianBatch<I, B>,
        second: impl FnOnce(&Tangents<O, B>) -> Result<Cotangents<O, B>>,
    ) -> Result<HermitianResult<O, B>> {
        let cotangents_dot = second(&self.jvp(a_dot)?)?;
        self.backward_jvp(cotangents, a_dot, &cotangents_dot)
    }

    /// An error for tied matrices under the rule that refuses them.
    pub(crate) fn unless_tied(&self, status: &Array<Status, B, 1>) -> Result<()> {
        if self.problem.ties != TieRule::Error {
            return Ok(());
        }
        Error::unless_clear(&status.to_host()?, |status| status.intersects(Status::TIES_REFUSED))
    }
}
