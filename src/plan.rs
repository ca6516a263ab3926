//! [`Plan`]: one problem size on one backend, run over caller-owned inputs, outputs and workspace without allocating.

use crate::options::Problem;
use crate::{
    Backend, CotangentsRef, Cpu, Eigenpairs, EigenpairsMut, EigenpairsRef, Element, Engine, Error, Gradient, GradientBuffers,
    GradientMut, HermitianRef, Options, Result, Spectrum, SpectrumBuffers, SpectrumMut, Stored,
};
use std::marker::PhantomData;

/// The eigendecomposition of `batch` n×n matrices stored as `T`, and its backward pass, ready to run again and again.
///
/// ```
/// use eigengrad::{Cotangents, Cpu, HermitianBatch, Options, Plan};
/// use ndarray::array;
///
/// # fn main() -> eigengrad::Result<()> {
/// let plan = Plan::<f64>::new(&Cpu::default(), 1, 2, &Options::default())?;
/// let (mut workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<f64>()?, plan.gradient::<f64>()?);
/// for step in 0..2 {
///     let a = array![[2.0, 0.0], [0.0, f64::from(step)]];
///     plan.eigh_into(HermitianBatch::new(a.view())?.as_ref(), pairs.as_mut(), &mut workspace)?;
///     let cotangents = Cotangents::new(&pairs, Some(array![[0.0, 1.0]].view()), None)?;
///     plan.backward_into(pairs.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut workspace)?;
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
        self.backend.workspace(&self.problem)
    }

    /// Memory for eigenpairs stored as `O`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn eigenpairs<O: Stored<T::Scalar>>(&self) -> Result<Eigenpairs<O, B>> {
        Eigenpairs::zeros(&self.backend, &self.problem)
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
    pub fn gradient<G: Stored<T::Scalar>>(&self) -> Result<Gradient<G, B>> {
        Gradient::zeros(&self.backend, &self.problem)
    }

    /// Eigenpairs in memory of the caller's, such as [`Eigenpairs::into_buffers`] gives back.
    ///
    /// # Errors
    /// [`Error::Shape`] if any of it has another length.
    pub fn eigenpairs_from<O: Stored<T::Scalar>>(
        &self,
        spectrum: SpectrumBuffers<O::Real, B>,
        vectors: B::Buffer<O>,
    ) -> Result<Eigenpairs<O, B>> {
        Eigenpairs::from_buffers(&self.backend, &self.problem, spectrum, vectors)
    }

    /// A spectrum in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if any of it has another length.
    pub fn spectrum_from<R: Element<Scalar = <T::Scalar as Element>::Real>>(
        &self,
        buffers: SpectrumBuffers<R, B>,
    ) -> Result<Spectrum<R, B>> {
        Spectrum::from_buffers(buffers, self.problem.batch, self.problem.n)
    }

    /// A gradient in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if any of it has another length.
    pub fn gradient_from<G: Stored<T::Scalar>>(&self, buffers: GradientBuffers<G, B>) -> Result<Gradient<G, B>> {
        Gradient::from_buffers(&self.backend, &self.problem, buffers)
    }

    /// A = V Λ Vᴴ, as [`eigh`](crate::eigh()), into caller-owned memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if a view has another length than the plan's; [`Error::Workspace`] if the workspace is another plan's;
    /// [`Error::Backend`].
    pub fn eigh_into<'a, O: Stored<T::Scalar>>(
        &self,
        a: HermitianRef<'a, T, B>,
        out: EigenpairsMut<'a, O, B>,
        workspace: &mut B::Workspace,
    ) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        expect("A", batch * n * n, B::len(&a.data))?;
        expect("V", batch * n * n, B::len_mut(&out.vectors))?;
        expect_spectrum(batch, n, &out.spectrum)?;
        self.expect_workspace(workspace)?;
        self.backend.eigh(&self.problem, a, out, workspace)
    }

    /// λ alone, as [`eigvalsh`](crate::eigvalsh), into caller-owned memory.
    ///
    /// # Errors
    /// As [`Plan::eigh_into`].
    pub fn eigvalsh_into<'a, R: Element<Scalar = <T::Scalar as Element>::Real>>(
        &self,
        a: HermitianRef<'a, T, B>,
        out: SpectrumMut<'a, R, B>,
        workspace: &mut B::Workspace,
    ) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        expect("A", batch * n * n, B::len(&a.data))?;
        expect_spectrum(batch, n, &out)?;
        self.expect_workspace(workspace)?;
        self.backend.eigvalsh(&self.problem, a, out, workspace)
    }

    /// Ā of (λ̄, V̄), as [`Eigenpairs::backward`], into caller-owned memory. Under [`TieRule::Error`](crate::TieRule::Error) a tied
    /// matrix gets a NaN gradient and [`Status::TIES_REFUSED`](crate::Status::TIES_REFUSED).
    ///
    /// # Errors
    /// As [`Plan::eigh_into`].
    pub fn backward_into<'a, O: Stored<T::Scalar>, G: Stored<T::Scalar>>(
        &self,
        pairs: EigenpairsRef<'a, O, B>,
        cotangents: CotangentsRef<'a, O, B>,
        out: GradientMut<'a, G, B>,
        workspace: &mut B::Workspace,
    ) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        self.expect_pairs(&pairs)?;
        self.expect_cotangents(&cotangents)?;
        expect("Ā", batch * n * n, B::len_mut(&out.a_bar))?;
        expect("gauge_defect", batch * n, B::len_mut(&out.gauge_defect))?;
        expect("tie_defect", batch, B::len_mut(&out.tie_defect))?;
        expect("status", batch, B::len_mut(&out.status))?;
        self.expect_workspace(workspace)?;
        self.backend.backward(&self.problem, pairs, cotangents, out, workspace)
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    pub(crate) fn expect_pairs<O: Stored<T::Scalar>>(&self, pairs: &EigenpairsRef<'_, O, B>) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        expect("λ", batch * n, B::len(&pairs.values))?;
        expect("V", batch * n * n, B::len(&pairs.vectors))?;
        expect("kept", batch * n, B::len(&pairs.kept))?;
        expect("status", batch, B::len(&pairs.status))
    }

    pub(crate) fn expect_cotangents<O: Stored<T::Scalar>>(&self, cotangents: &CotangentsRef<'_, O, B>) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        expect("λ̄", batch * n, cotangents.values.as_ref().map_or(batch * n, B::len))?;
        expect("V̄", batch * n * n, cotangents.vectors.as_ref().map_or(batch * n * n, B::len))
    }

    fn expect_workspace(&self, workspace: &B::Workspace) -> Result<()> {
        let Problem { batch, n, .. } = self.problem;
        if self.backend.serves(workspace, &self.problem) { Ok(()) } else { Err(Error::Workspace { batch, n }) }
    }
}

/// Whether there is room for `count` eigenvalues of each matrix.
pub(crate) fn expect_spectrum<R: Element, B: Backend>(batch: usize, count: usize, out: &SpectrumMut<'_, R, B>) -> Result<()> {
    expect("λ", batch * count, B::len_mut(&out.values))?;
    expect("kept", batch * count, B::len_mut(&out.kept))?;
    expect("rank", batch, B::len_mut(&out.rank))?;
    expect("gap_kept", batch, B::len_mut(&out.gap_kept))?;
    expect("gap_dropped", batch, B::len_mut(&out.gap_dropped))?;
    expect("status", batch, B::len_mut(&out.status))
}

pub(crate) fn expect(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Shape { what, expected: vec![expected], got: vec![got] }) }
}
