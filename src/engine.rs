//! Who computes: [`Engine`], a backend that computes in one number type, and the memory that it
//! works in.

use crate::compute::{Compute, Workspaces};
use crate::{Cpu, Scalar};

/// A backend that computes in `T`. [`Cpu`] and `cuda::Cuda` do in `f32`, `f64` and their complex
/// types, and nothing else is one.
///
/// Generic code on the CPU needs [`Scalar`] alone:
///
/// ```
/// use eigengrad::{Cotangents, HermitianBatch, Options, Result, Scalar, eigh};
/// use ndarray::{Array3, ArrayView2};
///
/// fn gradient<T: Scalar>(a: &HermitianBatch<T>, lambda_bar: ArrayView2<'_, T::Real>) -> Result<Array3<T>> {
///     let pairs = eigh(a, &Options::default())?;
///     Ok(pairs.backward(&Cotangents::values(&pairs, lambda_bar)?)?.a_bar().to_owned())
/// }
/// let a = HermitianBatch::new(ndarray::array![[2.0, 0.0], [0.0, 1.0]].view())?;
/// assert_eq!(gradient(&a, ndarray::array![[0.0, 1.0]].view())?, ndarray::array![[[1.0, 0.0], [0.0, 0.0]]]);
/// # eigengrad::Result::<()>::Ok(())
/// ```
///
/// [`Plan`](crate::Plan) has the operations. That no other door leads to them keeps programs
/// without unsafe code in their memory:
///
/// ```compile_fail
/// let plan = eigengrad::Plan::<f32>::new(&eigengrad::Cpu::default(), 1_000_000, 4, &Default::default())?;
/// let problem = plan.problem(); // of which a backend would believe every length
/// # eigengrad::Result::<()>::Ok(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not compute in `{T}`",
    note = "`Cpu` and `cuda::Cuda` compute in `f32`, `f64`, `Complex<f32>` and `Complex<f64>`; halves are stored, and computed in 32 bits"
)]
pub trait Engine<T: Scalar>: Compute<T> {}
impl<T: Scalar, B: Compute<T>> Engine<T> for B {}

/// What [`Plan::workspace`](crate::Plan::workspace) makes for a plan that computes in `T`.
pub type Workspace<T, B = Cpu> = <B as Workspaces<T>>::Workspace;

/// What [`Plan::scratch`](crate::Plan::scratch) makes.
pub type Scratch<T, B = Cpu> = <B as Workspaces<T>>::Scratch;

/// What [`FactorPlan::workspace`](crate::FactorPlan::workspace) makes.
pub type FactorWorkspace<T, B = Cpu> = <B as Workspaces<T>>::FactorWorkspace;

/// Which derivative of a function is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivative {
    /// f.
    Zeroth,
    /// f′.
    First,
}

/// The weights W of [`Plan::map_into`](crate::Plan::map_into).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchurMultiplier {
    /// Divided differences of f on K and 0 on D: the derivative of A ↦ V_K f(Λ_K) V_Kᴴ.
    Divided,
    /// f(λ_i) f(λ_j) on K×K, otherwise 0: E ↦ f(A) E f(A).
    Product,
}
