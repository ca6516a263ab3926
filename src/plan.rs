//! [`Plan`]: one problem size on one backend, run over caller-owned inputs, outputs and workspace
//! without allocating.

#[cfg(feature = "foreign")]
use crate::compute::Lent;
use crate::options::{Problem, addressable};
use crate::{
    Array, Backend, Cotangents, Cpu, Eigenpairs, Element, ElementOf, Engine, Error, Gradient, HermitianBatch, Options, Result,
    Spectrum, Status, Storage, View, ViewMut,
};
use std::marker::PhantomData;

/// The eigendecomposition of `batch` n×n matrices stored as `T`, and its backward pass, ready to
/// run again and again.
///
/// ```
/// use eigengrad::{Cotangents, Cpu, HermitianBatch, Options, Plan};
/// use ndarray::array;
///
/// # fn main() -> eigengrad::Result<()> {
/// let plan = Plan::<f64>::new(&Cpu::default(), 1, 2, &Options::default())?;
/// let (workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<f64>()?, plan.gradient::<f64>()?);
/// for step in 0..2 {
///     let a = array![[2.0, 0.0], [0.0, f64::from(step)]];
///     plan.eigh_into(HermitianBatch::new(a.view())?.view(), pairs.view_mut(), &workspace)?;
///     let cotangents = Cotangents::new(&pairs, Some(array![[0.0, 1.0]].view()), None)?;
///     plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace)?;
/// }
/// assert_eq!(gradient.a_bar(), array![[[1.0, 0.0], [0.0, 0.0]]]); // of diag(2, 1), whose second eigenvalue is 2
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Plan<T: Element, B: Backend = Cpu> {
    backend: B,
    problem: Problem,
    element: PhantomData<T>,
}

impl<T: Element, B: Engine<T::Scalar>> Plan<T, B> {
    /// Resolves the options for this shape and element type.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Tolerance`].
    pub fn new(backend: &B, batch: usize, n: usize, options: &Options) -> Result<Self> {
        Ok(Self { backend: backend.clone(), problem: Problem::new::<T>(batch, n, options)?, element: PhantomData })
    }

    /// The plan of a problem that was resolved before.
    pub(crate) fn resolved(backend: &B, problem: Problem) -> Self {
        Self { backend: backend.clone(), problem, element: PhantomData }
    }

    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.problem.batch
    }

    /// Their order.
    pub fn n(&self) -> usize {
        self.problem.n
    }

    /// The shape and the options, resolved.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Scratch memory for the operations of this plan.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn workspace(&self) -> Result<B::Workspace> {
        self.backend.workspace(&self.problem, None)
    }

    /// Bytes of the backend's memory that [`Plan::workspace_at`] wants for the whole batch at a
    /// time, if the device has room for it; with less it works in parts. 0 on the CPU, whose
    /// threads have scratch of their own.
    ///
    /// # Errors
    /// [`Error::Backend`] if the backend refuses.
    pub fn workspace_bytes(&self) -> Result<usize> {
        self.backend.workspace_bytes(&self.problem)
    }

    /// As [`Plan::workspace`], in memory of the caller's: `bytes` at a multiple of 256, which need
    /// not be cleared.
    ///
    /// # Safety
    /// The memory is this backend's, and nobody else uses it while the result lives, nor until the
    /// work that it was given to has run; what was enqueued on it before is ordered before the work
    /// of the stream.
    ///
    /// # Errors
    /// [`Error::Backend`] if it is too little for one matrix.
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    pub unsafe fn workspace_at(&self, address: usize, bytes: usize) -> Result<B::Workspace> {
        self.backend.workspace(&self.problem, Some(Lent { address, bytes }))
    }

    /// Memory for eigenpairs stored as `O`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn eigenpairs<O: ElementOf<T::Scalar>>(&self) -> Result<Eigenpairs<O, B>> {
        Eigenpairs::zeros(&self.backend, self.problem.batch, self.problem.n, self.problem)
    }

    /// Memory for eigenvalues stored as `R`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn spectrum<R: Element<Scalar = <T::Scalar as Element>::Real>>(&self) -> Result<Spectrum<R, B>> {
        Spectrum::zeros(&self.backend, self.problem.batch, self.problem.n)
    }

    /// Memory for a gradient stored as `G`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn gradient<G: ElementOf<T::Scalar>>(&self) -> Result<Gradient<G, B>> {
        self.gradients(1)
    }

    /// Memory for the gradients of `directions` losses.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if they cannot be addressed; [`Error::Backend`] if there is none.
    pub fn gradients<G: ElementOf<T::Scalar>>(&self, directions: usize) -> Result<Gradient<G, B>> {
        Gradient::zeros(&self.backend, self.count::<G>(directions)?, self.problem.n)
    }

    /// directions·batch.
    pub(crate) fn count<O: Element>(&self, directions: usize) -> Result<usize> {
        let Problem { batch, n, .. } = self.problem;
        let count = directions.checked_mul(batch).ok_or(Error::TooLarge { batch: usize::MAX, n })?;
        addressable::<O>(count, n).map(|()| count)
    }

    /// Of how many directions `count` matrices are, at least one.
    pub(crate) fn directions(&self, count: usize) -> usize {
        count.checked_div(self.problem.batch).unwrap_or(1).max(1)
    }

    /// Eigenpairs in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if an array has another shape than the plan's.
    pub fn eigenpairs_of<O: ElementOf<T::Scalar>, S: Storage>(
        &self,
        spectrum: Spectrum<O::Real, B, S>,
        vectors: Array<O, B, 3, S>,
    ) -> Result<Eigenpairs<O, B, S>> {
        let pairs = Eigenpairs { spectrum, vectors, problem: self.problem };
        pairs.expect(self.problem.batch, self.problem.n).map(|()| pairs)
    }

    /// What operations on eigenpairs read of them, in memory of the caller's: λ and K `[batch, n]`,
    /// statuses `[batch]`, V `[batch, k, i]`. Ranks and gaps are empty.
    ///
    /// # Errors
    /// [`Error::Shape`] if an array has another shape than the plan's.
    pub fn eigenpairs_view<'a, O: ElementOf<T::Scalar>>(
        &self,
        values: Array<O::Real, B, 2, View<'a>>,
        kept: Array<bool, B, 2, View<'a>>,
        status: Array<Status, B, 1, View<'a>>,
        vectors: Array<O, B, 3, View<'a>>,
    ) -> Result<Eigenpairs<O, B, View<'a>>> {
        let spectrum = Spectrum::of_read(&self.backend, values, kept, status)?;
        let pairs = Eigenpairs { spectrum, vectors, problem: self.problem };
        self.expect_pairs(&pairs).map(|()| pairs)
    }

    /// A = V Λ Vᴴ, as [`eigh`](crate::eigh()), into caller-owned memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if a view has another length than the plan's; [`Error::Workspace`] if the
    /// workspace is another plan's; [`Error::Backend`].
    pub fn eigh_into<'a, O: ElementOf<T::Scalar>>(
        &self,
        a: HermitianBatch<T, B, View<'a>>,
        out: Eigenpairs<O, B, ViewMut<'a>>,
        workspace: &B::Workspace,
    ) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        a.data.expect("A", [batch, n, n])?;
        out.expect(batch, n)?;
        self.expect_workspace(workspace)?;
        self.backend.eigh(&self.problem, a, out, workspace)
    }

    /// λ alone, as [`eigvalsh`](crate::eigvalsh), into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::eigh_into`].
    pub fn eigvalsh_into<'a, R: Element<Scalar = <T::Scalar as Element>::Real>>(
        &self,
        a: HermitianBatch<T, B, View<'a>>,
        out: Spectrum<R, B, ViewMut<'a>>,
        workspace: &B::Workspace,
    ) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        a.data.expect("A", [batch, n, n])?;
        out.expect(batch, n)?;
        self.expect_workspace(workspace)?;
        self.backend.eigvalsh(&self.problem, a, out, workspace)
    }

    /// Ā of (λ̄, V̄), as [`Eigenpairs::backward`], into caller-owned memory. Cotangents may be those
    /// of several losses, direction after direction, as the gradients are: `[directions·batch, …]`.
    /// Under [`TieRule::Error`](crate::TieRule::Error) a tied matrix gets a NaN gradient and
    /// [`Status::TIES_REFUSED`](crate::Status::TIES_REFUSED).
    ///
    /// # Errors
    /// As [`Plan::eigh_into`].
    pub fn backward_into<'a, O: ElementOf<T::Scalar>, G: ElementOf<T::Scalar>>(
        &self,
        pairs: Eigenpairs<O, B, View<'a>>,
        cotangents: Cotangents<O, B, View<'a>>,
        out: Gradient<G, B, ViewMut<'a>>,
        workspace: &B::Workspace,
    ) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        self.expect_pairs(&pairs)?;
        let directions = self.directions(out.status.shape()[0]);
        cotangents.expect(directions * batch, n, n)?;
        out.expect(directions * batch, n)?;
        self.expect_workspace(workspace)?;
        let (mut cotangents, mut out) = (cotangents, out);
        for _ in 0..directions {
            let (here, of_here);
            ((here, cotangents), (of_here, out)) = (cotangents.split_at(batch), out.split_at(batch));
            self.backend.backward(&self.problem, pairs, here, of_here, workspace)?;
        }
        Ok(())
    }

    /// Scratch memory for derivatives beyond the first and for functions of the spectrum.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn scratch(&self) -> Result<B::Scratch> {
        self.backend.scratch(&self.problem, None)
    }

    /// Bytes of the backend's memory that [`Plan::scratch_at`] wants for the whole batch at a time,
    /// if the device has room for it; with less it works in parts. 0 on the CPU, whose threads have
    /// scratch of their own.
    ///
    /// # Errors
    /// [`Error::Backend`] if the backend refuses.
    pub fn scratch_bytes(&self) -> Result<usize> {
        self.backend.scratch_bytes(&self.problem)
    }

    /// As [`Plan::scratch`], in memory of the caller's: `bytes` at a multiple of 256, which need
    /// not be cleared.
    ///
    /// # Safety
    /// The memory is this backend's, and nobody else uses it while the result lives, nor until the
    /// work that it was given to has run; what was enqueued on it before is ordered before the work
    /// of the stream.
    ///
    /// # Errors
    /// [`Error::Backend`] if it is too little for one matrix.
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    pub unsafe fn scratch_at(&self, address: usize, bytes: usize) -> Result<B::Scratch> {
        self.backend.scratch(&self.problem, Some(Lent { address, bytes }))
    }

    pub(crate) fn expect_scratch(&self, scratch: &B::Scratch) -> Result<()> {
        let (batch, n) = (self.problem().batch, self.problem().n);
        if self.backend.scratch_serves(scratch, &self.problem) { Ok(()) } else { Err(Error::Workspace { batch, n }) }
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    pub(crate) fn expect_pairs<O: ElementOf<T::Scalar>>(&self, pairs: &Eigenpairs<O, B, View<'_>>) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        pairs.spectrum.expect_read(batch, n)?;
        pairs.vectors.expect("V", [batch, n, n])
    }

    fn expect_workspace(&self, workspace: &B::Workspace) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        if self.backend.serves(workspace, &self.problem) { Ok(()) } else { Err(Error::Workspace { batch, n }) }
    }
}
