//! The double backward pass: docs/derivation.md §9.

mod gradient;

pub use gradient::DoubleGradient;

use crate::{Cotangents, Eigenpairs, Element, ElementOf, Engine, HermitianBatch, Plan, Result, View, ViewMut};

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// Memory for what the double backward pass gives.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is none.
    pub fn double_gradient<O: ElementOf<T::Scalar>>(&self) -> Result<DoubleGradient<O, B>> {
        self.double_gradients(1)
    }

    /// Memory for what the double backward pass gives of `directions` losses.
    ///
    /// # Errors
    /// As [`Plan::tangents`].
    pub fn double_gradients<O: ElementOf<T::Scalar>>(&self, directions: usize) -> Result<DoubleGradient<O, B>> {
        DoubleGradient::zeros(self.backend(), self.count::<O>(directions)?, self.problem().n)
    }

    /// The double backward pass, as [`Eigenpairs::double_backward`], into caller-owned memory; of
    /// several losses as [`Plan::backward_into`].
    ///
    /// # Errors
    /// As [`Plan::jvp_into`].
    pub fn double_backward_into<'a, O: ElementOf<T::Scalar>, I: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        cotangents: Cotangents<O, B, View<'a>>,
        h: HermitianBatch<I, B, View<'a>>,
        downstream: Cotangents<O, B, View<'a>>,
        out: DoubleGradient<O, B, ViewMut<'a>>,
        scratch: &B::Scratch,
    ) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        self.expect_pairs(&pairs)?;
        let directions = self.directions(out.status.shape()[0]);
        let count = directions * batch;
        cotangents.expect(count, n, n)?;
        downstream.expect(count, n, n)?;
        h.data.expect("H", [count, n, n])?;
        out.expect(count, n)?;
        self.expect_scratch(scratch)?;
        let (mut rest, mut out) = ((cotangents, downstream, h.data), out);
        for _ in 0..directions {
            let ((cotangents, rest0), (downstream, rest1)) = (rest.0.split_at(batch), rest.1.split_at(batch));
            let ((data, rest2), (of_here, others)) = (rest.2.split_at(batch), out.split_at(batch));
            let here = HermitianBatch { data, triangle: h.triangle };
            self.backend().double_backward(self.problem(), pairs, cotangents, here, downstream, of_here, scratch)?;
            (rest, out) = ((rest0, rest1, rest2), others);
        }
        Ok(())
    }
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// The double backward pass: from a cotangent H of Ā, that is of the result of
    /// [`Eigenpairs::backward`], to cotangents of A, λ̄ and V̄. `downstream` are cotangents that λ
    /// and V receive because λ̄ and V̄ were made of them, such as the user's framework finds.
    ///
    /// No gap between dropped eigenvalues is divided by: what such a quotient would tend to is
    /// known in closed form.
    ///
    /// # Shapes
    /// λ̄ `[directions·batch, n]`, V̄ and H `[directions·batch, n, n]`; results likewise.
    ///
    /// # Errors
    /// As [`Eigenpairs::backward`].
    ///
    /// # Source
    /// docs/derivation.md §9.
    pub fn double_backward<I: ElementOf<O::Scalar>>(
        &self,
        cotangents: &Cotangents<O, B>,
        h: &HermitianBatch<I, B>,
        downstream: Option<&Cotangents<O, B>>,
    ) -> Result<DoubleGradient<O, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let downstream = downstream.map_or(Cotangents::from_columns(None, None), Cotangents::view);
        let mut out = plan.double_gradients(plan.directions(h.batch()))?;
        let scratch = &plan.scratch()?;
        plan.double_backward_into(self.view(), cotangents.view(), h.view(), downstream, out.view_mut(), scratch)?;
        self.unless_tied(&out.status)?;
        Ok(out)
    }
}
