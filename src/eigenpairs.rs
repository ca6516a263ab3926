//! What `eigh` gives: [`Spectrum`] (λ, K, ranks, gaps, statuses) and [`Eigenpairs`] (a spectrum with V).

use crate::batch::expect_len;
use crate::options::Problem;
use crate::{Backend, Cpu, Element, Error, Real, Result, Status, cut};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// Where eigenvalues and what the cut makes of them are written.
#[derive(Debug)]
pub struct SpectrumMut<'a, R: Element, B: Backend = Cpu> {
    /// λ, ascending, `[batch, n]`.
    pub values: B::ViewMut<'a, R>,
    /// Whether each is kept, `[batch, n]`.
    pub kept: B::ViewMut<'a, bool>,
    /// How many are, `[batch]`.
    pub rank: B::ViewMut<'a, u32>,
    /// The smallest distance of two kept eigenvalues, `[batch]`; infinite where there are no two.
    pub gap_kept: B::ViewMut<'a, R::Scalar>,
    /// The smallest distance of a kept and a dropped eigenvalue, `[batch]`; infinite where there are no two.
    pub gap_dropped: B::ViewMut<'a, R::Scalar>,
    /// What is to be known of each matrix, `[batch]`.
    pub status: B::ViewMut<'a, Status>,
}

/// Where eigenpairs are written.
#[derive(Debug)]
pub struct EigenpairsMut<'a, O: Element, B: Backend = Cpu> {
    /// λ and what the cut makes of it.
    pub spectrum: SpectrumMut<'a, O::Real, B>,
    /// V, one eigenvector after the other: `[batch, k, i]` holds component i of eigenvector k.
    pub vectors: B::ViewMut<'a, O>,
}

/// The part of the eigenpairs that the backward pass reads.
#[derive(Debug)]
pub struct EigenpairsRef<'a, O: Element, B: Backend = Cpu> {
    /// λ, ascending, `[batch, n]`.
    pub values: B::View<'a, O::Real>,
    /// V as in [`EigenpairsMut::vectors`].
    pub vectors: B::View<'a, O>,
    /// Whether each is kept, `[batch, n]`.
    pub kept: B::View<'a, bool>,
    /// The statuses of the forward pass, `[batch]`.
    pub status: B::View<'a, Status>,
}

impl<O: Element, B: Backend> Clone for EigenpairsRef<'_, O, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Element, B: Backend> Copy for EigenpairsRef<'_, O, B> {}

/// Eigenvalues `[batch, n]` and what the cut makes of them, owned.
#[derive(Debug)]
pub struct Spectrum<R: Element, B: Backend = Cpu> {
    values: B::Buffer<R>,
    kept: B::Buffer<bool>,
    rank: B::Buffer<u32>,
    gap_kept: B::Buffer<R::Scalar>,
    gap_dropped: B::Buffer<R::Scalar>,
    status: B::Buffer<Status>,
    batch: usize,
    n: usize,
}

/// The memory of a [`Spectrum`]; shapes as in [`SpectrumMut`].
#[derive(Debug)]
#[allow(missing_docs, reason = "named as in SpectrumMut")]
pub struct SpectrumBuffers<R: Element, B: Backend = Cpu> {
    pub values: B::Buffer<R>,
    pub kept: B::Buffer<bool>,
    pub rank: B::Buffer<u32>,
    pub gap_kept: B::Buffer<R::Scalar>,
    pub gap_dropped: B::Buffer<R::Scalar>,
    pub status: B::Buffer<Status>,
}

/// Eigenpairs of a batch, owned: A = V Λ Vᴴ.
#[derive(Debug)]
pub struct Eigenpairs<O: Element, B: Backend = Cpu> {
    pub(crate) backend: B,
    pub(crate) problem: Problem,
    spectrum: Spectrum<O::Real, B>,
    vectors: B::Buffer<O>,
}

impl<R: Element, B: Backend> Spectrum<R, B> {
    /// Memory for the spectra of `batch` n×n matrices.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub(crate) fn zeros(backend: &B, batch: usize, n: usize) -> Result<Self> {
        Ok(Self {
            values: backend.zeros(batch * n)?,
            kept: backend.zeros(batch * n)?,
            rank: backend.zeros(batch)?,
            gap_kept: backend.zeros(batch)?,
            gap_dropped: backend.zeros(batch)?,
            status: backend.zeros(batch)?,
            batch,
            n,
        })
    }

    /// The memory, as it is.
    pub fn into_buffers(self) -> SpectrumBuffers<R, B> {
        let Self { values, kept, rank, gap_kept, gap_dropped, status, .. } = self;
        SpectrumBuffers { values, kept, rank, gap_kept, gap_dropped, status }
    }

    /// A spectrum in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if any of it has another length.
    pub(crate) fn from_buffers(buffers: SpectrumBuffers<R, B>, batch: usize, n: usize) -> Result<Self> {
        let SpectrumBuffers { values, kept, rank, gap_kept, gap_dropped, status } = buffers;
        expect_len::<R, B>("λ", batch * n, &values)?;
        expect_len::<bool, B>("kept", batch * n, &kept)?;
        expect_len::<u32, B>("rank", batch, &rank)?;
        expect_len::<R::Scalar, B>("gap_kept", batch, &gap_kept)?;
        expect_len::<R::Scalar, B>("gap_dropped", batch, &gap_dropped)?;
        expect_len::<Status, B>("status", batch, &status)?;
        Ok(Self { values, kept, rank, gap_kept, gap_dropped, status, batch, n })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> SpectrumMut<'_, R, B> {
        SpectrumMut {
            values: B::view_mut(&mut self.values),
            kept: B::view_mut(&mut self.kept),
            rank: B::view_mut(&mut self.rank),
            gap_kept: B::view_mut(&mut self.gap_kept),
            gap_dropped: B::view_mut(&mut self.gap_dropped),
            status: B::view_mut(&mut self.status),
        }
    }

    /// λ, K and the statuses.
    #[allow(clippy::type_complexity, reason = "three views")]
    pub(crate) fn views(&self) -> (B::View<'_, R>, B::View<'_, bool>, B::View<'_, Status>) {
        (B::view(&self.values), B::view(&self.kept), B::view(&self.status))
    }
}

impl<R: Element, B: Backend> Spectrum<R, B> {
    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self, backend: &B) -> Result<Spectrum<R, Cpu>> {
        Ok(Spectrum {
            values: backend.download(B::view(&self.values))?.into(),
            kept: backend.download(B::view(&self.kept))?.into(),
            rank: backend.download(B::view(&self.rank))?.into(),
            gap_kept: backend.download(B::view(&self.gap_kept))?.into(),
            gap_dropped: backend.download(B::view(&self.gap_dropped))?.into(),
            status: backend.download(B::view(&self.status))?.into(),
            batch: self.batch,
            n: self.n,
        })
    }
}

impl<R: Element, B: Backend> Spectrum<R, B> {
    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.n
    }
}

impl<R: Element<Scalar: Real>> Spectrum<R, Cpu> {
    /// λ, ascending, `[batch, n]`, in the units of A.
    pub fn values(&self) -> ArrayView2<'_, R> {
        array2(self.batch, self.n, &self.values)
    }

    /// Whether each eigenpair is kept, `[batch, n]`.
    pub fn kept(&self) -> ArrayView2<'_, bool> {
        array2(self.batch, self.n, &self.kept)
    }

    /// How many are kept, `[batch]`.
    pub fn rank(&self) -> ArrayView1<'_, u32> {
        ArrayView1::from(&*self.rank)
    }

    /// min |λ_j − λ_i| over kept pairs, `[batch]`, in the units of A; infinite where there is no pair.
    pub fn gap_kept(&self) -> ArrayView1<'_, R::Scalar> {
        ArrayView1::from(&*self.gap_kept)
    }

    /// min |λ_j − λ_i| over pairs of a dropped and a kept one, `[batch]`, in the units of A; infinite where there is no pair.
    pub fn gap_dropped(&self) -> ArrayView1<'_, R::Scalar> {
        ArrayView1::from(&*self.gap_dropped)
    }

    /// min |λ|/τ over K and max |λ|/τ over D of each matrix.
    pub(crate) fn cut_margins(&self, problem: &Problem) -> impl ExactSizeIterator<Item = [R::Scalar; 2]> {
        (0..self.batch).map(move |b| {
            let here = b * self.n..(b + 1) * self.n;
            cut::margins(problem, &self.values[here.clone()], &self.kept[here])
        })
    }

    /// What is to be known of each matrix, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        ArrayView1::from(&*self.status)
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`] unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        Error::unless_clear(&self.status, |status| !status.passes())
    }
}

impl<O: Element, B: Backend> Eigenpairs<O, B> {
    /// Memory for the eigenpairs of a problem.
    pub(crate) fn zeros(backend: &B, problem: &Problem) -> Result<Self> {
        let &Problem { batch, n, .. } = problem;
        let spectrum = Spectrum::zeros(backend, batch, n)?;
        Ok(Self { backend: backend.clone(), problem: *problem, spectrum, vectors: backend.zeros(batch * n * n)? })
    }

    /// The memory, as it is: of the spectrum, and V as in [`EigenpairsMut::vectors`].
    pub fn into_buffers(self) -> (SpectrumBuffers<O::Real, B>, B::Buffer<O>) {
        (self.spectrum.into_buffers(), self.vectors)
    }

    /// Eigenpairs in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if any of it has another length.
    pub(crate) fn from_buffers(
        backend: &B,
        problem: &Problem,
        spectrum: SpectrumBuffers<O::Real, B>,
        vectors: B::Buffer<O>,
    ) -> Result<Self> {
        let &Problem { batch, n, .. } = problem;
        expect_len::<O, B>("V", batch * n * n, &vectors)?;
        let spectrum = Spectrum::from_buffers(spectrum, batch, n)?;
        Ok(Self { backend: backend.clone(), problem: *problem, spectrum, vectors })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> EigenpairsMut<'_, O, B> {
        EigenpairsMut { spectrum: self.spectrum.as_mut(), vectors: B::view_mut(&mut self.vectors) }
    }

    /// The part of it that the backward pass reads.
    pub fn as_ref(&self) -> EigenpairsRef<'_, O, B> {
        EigenpairsRef {
            values: B::view(&self.spectrum.values),
            vectors: B::view(&self.vectors),
            kept: B::view(&self.spectrum.kept),
            status: B::view(&self.spectrum.status),
        }
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<Eigenpairs<O, Cpu>> {
        let vectors = self.backend.download(B::view(&self.vectors))?.into();
        Ok(Eigenpairs {
            backend: self.backend.host(),
            problem: self.problem,
            spectrum: self.spectrum.to_host(&self.backend)?,
            vectors,
        })
    }

    /// λ and what the cut makes of it.
    pub fn spectrum(&self) -> &Spectrum<O::Real, B> {
        &self.spectrum
    }

    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.problem.batch
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.problem.n
    }
}

impl<O: Element> Eigenpairs<O, Cpu> {
    /// V, `[batch, n, n]`: `v[[b, .., k]]` is eigenvector k of matrix b, orthonormal, of unspecified phase.
    ///
    /// Eigenvectors lie one after the other in memory, so the strides are (n², 1, n).
    pub fn vectors(&self) -> ArrayView3<'_, O> {
        array3(self.problem.batch, self.problem.n, &self.vectors).permuted_axes([0, 2, 1])
    }

    /// λ, as [`Spectrum::values`].
    pub fn values(&self) -> ArrayView2<'_, O::Real> {
        self.spectrum.values()
    }

    /// Whether each eigenpair is kept, `[batch, n]`.
    pub fn kept(&self) -> ArrayView2<'_, bool> {
        self.spectrum.kept()
    }

    /// How many are kept, `[batch]`.
    pub fn rank(&self) -> ArrayView1<'_, u32> {
        self.spectrum.rank()
    }

    /// The smallest kept–kept gaps, as [`Spectrum::gap_kept`].
    pub fn gap_kept(&self) -> ArrayView1<'_, <O::Real as Element>::Scalar> {
        self.spectrum.gap_kept()
    }

    /// The smallest kept–dropped gaps, as [`Spectrum::gap_dropped`].
    pub fn gap_dropped(&self) -> ArrayView1<'_, <O::Real as Element>::Scalar> {
        self.spectrum.gap_dropped()
    }

    /// min |λ|/τ over K and max |λ|/τ over D of each matrix: how clear the cut was, as
    /// [`Report::kept_over_cutoff`](crate::Report::kept_over_cutoff) and [`Report::dropped_over_cutoff`](crate::Report::dropped_over_cutoff).
    pub fn cut_margins(&self) -> impl ExactSizeIterator<Item = [<O::Real as Element>::Scalar; 2]> {
        self.spectrum.cut_margins(&self.problem)
    }

    /// What is to be known of each matrix, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        self.spectrum.status()
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`] unless all are clear.
    pub fn check(&self) -> Result<()> {
        self.spectrum.check()
    }
}

pub(crate) fn array2<T>(batch: usize, n: usize, data: &[T]) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((batch, n), data).unwrap_or_else(|_| unreachable!("{batch}·{n} elements were allocated"))
}

pub(crate) fn array3<T>(batch: usize, n: usize, data: &[T]) -> ArrayView3<'_, T> {
    ArrayView3::from_shape((batch, n, n), data).unwrap_or_else(|_| unreachable!("{batch}·{n}·{n} elements were allocated"))
}
