//! The gradient of a loss by A, from its cotangents: docs/derivation.md, equations (8) and (10).

mod cotangents;
mod gradient;
mod jvp;

pub use cotangents::Cotangents;
pub use gradient::{Gradient, Report};

use crate::{Eigenpairs, Element, ElementOf, Engine, Error, Plan, Result, Status, TieRule};

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// The gradient Ā of a loss by A, from its cotangents λ̄ and V̄: Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄))
    /// Vᴴ with F_ij = 1/(λ_j − λ_i), and F = 0 on the diagonal and between dropped pairs.
    ///
    /// Cotangents of several losses, direction after direction, give as many gradients.
    ///
    /// # Shapes
    /// λ̄ `[directions·batch, n]`, V̄ `[directions·batch, n, n]`, either may be absent; Ā
    /// `[directions·batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the cotangents are those of another shape; [`Error::Matrices`] for tied
    /// matrices under [`TieRule::Error`]; [`Error::Backend`].
    ///
    /// # Source
    /// docs/derivation.md, equations (8) and (10).
    ///
    /// ```
    /// use eigengrad::{Cotangents, HermitianBatch, Options, eigh};
    /// use ndarray::array;
    ///
    /// let a = HermitianBatch::new(array![[2.0, 1.0], [1.0, 2.0]].view())?;
    /// let pairs = eigh(&a, &Options::default())?;
    /// // The loss is the larger eigenvalue, 3: its gradient is v vᵀ.
    /// let gradient = pairs.backward(&Cotangents::values(&pairs, array![[0.0, 1.0]].view())?)?;
    /// assert!(gradient.a_bar().iter().all(|x: &f64| (x - 0.5).abs() < 1e-15));
    /// # eigengrad::Result::<()>::Ok(())
    /// ```
    pub fn backward(&self, cotangents: &Cotangents<O, B>) -> Result<Gradient<O, B>> {
        self.backward_as(cotangents)
    }

    /// As [`Eigenpairs::backward`], with the gradient stored as `G`. What overflows it is
    /// [`Status::GRADIENT_NOT_FINITE`].
    ///
    /// # Errors
    /// As [`Eigenpairs::backward`].
    pub fn backward_as<G: ElementOf<O::Scalar>>(&self, cotangents: &Cotangents<O, B>) -> Result<Gradient<G, B>> {
        let plan = Plan::<O, B>::resolved(self.backend(), self.problem);
        let mut gradient = plan.gradients(cotangents.count().map_or(1, |count| plan.directions(count)))?;
        plan.backward_into(self.view(), cotangents.view(), gradient.view_mut(), &plan.workspace()?)?;
        if self.problem.ties == TieRule::Error {
            Error::unless_clear(&gradient.status.to_host()?, |status| status.intersects(Status::TIES_REFUSED))?;
        }
        Ok(gradient)
    }
}
