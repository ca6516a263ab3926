//! What `eigh` gives: [`Spectrum`] (λ, K, ranks, gaps, statuses) and [`Eigenpairs`] (a spectrum
//! with V).

use crate::array::arrays;
use crate::options::Problem;
use crate::{Array, Backend, Cpu, Element, Owned, Real, Result, Status, Storage, View, ViewMut, cut};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

arrays! {
    /// Eigenvalues and what the cut makes of them.
    Spectrum<R>(batch, n) {
        /// λ, ascending, `[batch, n]`, in the units of A.
        values, "λ": R, 2 [batch, n];
        /// Whether each eigenpair is kept, `[batch, n]`.
        kept, "kept": bool, 2 [batch, n];
        /// How many are, `[batch]`.
        rank, "rank": u32, 1 [batch];
        /// min |λ_j − λ_i| over kept pairs, `[batch]`, in the units of A; infinite where there is
        /// no pair.
        gap_kept, "gap_kept": R::Scalar, 1 [batch];
        /// min |λ_j − λ_i| over pairs of a dropped and a kept one, `[batch]`, in the units of A;
        /// infinite where there is no pair.
        gap_dropped, "gap_dropped": R::Scalar, 1 [batch];
        /// What is to be known of each matrix, `[batch]`.
        status, "status": Status, 1 [batch];
    }
}

arrays! {
    /// Eigenpairs of a batch: A = V Λ Vᴴ.
    Eigenpairs<O>(batch, n) {
        /// V, one eigenvector after the other: `[batch, k, i]` holds component i of eigenvector k.
        vectors, "V": O, 3 [batch, n, n];
        @
        /// λ and what the cut makes of it.
        spectrum: Spectrum<O::Real>(batch, n);
        with problem: Problem;
    }
}

impl<R: Element, B: Backend, S: Storage> Spectrum<R, B, S> {
    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.values.shape()[0]
    }

    /// The number of eigenvalues of each.
    pub fn n(&self) -> usize {
        self.values.shape()[1]
    }
}

impl<'a, R: Element, B: Backend> Spectrum<R, B, View<'a>> {
    /// What operations on eigenpairs read; ranks and gaps are empty.
    pub(crate) fn of_read(
        backend: &B,
        values: Array<R, B, 2, View<'a>>,
        kept: Array<bool, B, 2, View<'a>>,
        status: Array<Status, B, 1, View<'a>>,
    ) -> Result<Self> {
        let nothing = || Array::from_view(backend.nothing(), [0]);
        let (gap_kept, gap_dropped) = (nothing()?, nothing()?);
        Ok(Self { values, kept, rank: Array::from_view(backend.nothing(), [0])?, gap_kept, gap_dropped, status })
    }

    /// Whether what is read has the extents that belong to these sizes.
    pub(crate) fn expect_read(&self, batch: usize, n: usize) -> Result<()> {
        self.values.expect("λ", [batch, n])?;
        self.kept.expect("kept", [batch, n])?;
        self.status.expect("status", [batch])
    }
}

impl<R: Element<Scalar: Real>, S: Storage> Spectrum<R, Cpu, S> {
    /// [`Spectrum::values`] as an array, `[batch, n]`.
    pub fn values(&self) -> ArrayView2<'_, R> {
        self.values.array()
    }

    /// [`Spectrum::kept`] as an array, `[batch, n]`.
    pub fn kept(&self) -> ArrayView2<'_, bool> {
        self.kept.array()
    }

    /// [`Spectrum::rank`] as an array, `[batch]`.
    pub fn rank(&self) -> ArrayView1<'_, u32> {
        self.rank.array()
    }

    /// [`Spectrum::gap_kept`] as an array, `[batch]`.
    pub fn gap_kept(&self) -> ArrayView1<'_, R::Scalar> {
        self.gap_kept.array()
    }

    /// [`Spectrum::gap_dropped`] as an array, `[batch]`.
    pub fn gap_dropped(&self) -> ArrayView1<'_, R::Scalar> {
        self.gap_dropped.array()
    }

    /// [`Spectrum::status`] as an array, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        self.status.array()
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`](crate::Error::Matrices) unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        self.status.check()
    }

    /// min |λ|/τ over K and max |λ|/τ over D of each matrix.
    pub(crate) fn cut_margins(&self, problem: &Problem) -> impl ExactSizeIterator<Item = [R::Scalar; 2]> {
        let n = self.n();
        (0..self.batch()).map(move |b| cut::margins(problem, &self.values[b * n..][..n], &self.kept[b * n..][..n]))
    }
}

impl<O: Element, B: Backend, S: Storage> Eigenpairs<O, B, S> {
    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.problem.batch
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.problem.n
    }
}

impl<O: Element, B: Backend> Eigenpairs<O, B> {
    pub(crate) fn backend(&self) -> &B {
        self.vectors.backend()
    }
}

impl<O: Element, S: Storage> Eigenpairs<O, Cpu, S> {
    /// V, `[batch, n, n]`: `v[[b, .., k]]` is eigenvector k of matrix b, orthonormal, of
    /// unspecified phase.
    ///
    /// Eigenvectors lie one after the other in memory, so the strides are (n², 1, n).
    pub fn vectors(&self) -> ArrayView3<'_, O> {
        self.vectors.array().permuted_axes([0, 2, 1])
    }

    /// min |λ|/τ over K and max |λ|/τ over D of each matrix: how clear the cut was, as
    /// [`Report::kept_over_cutoff`](crate::Report::kept_over_cutoff) and
    /// [`Report::dropped_over_cutoff`](crate::Report::dropped_over_cutoff).
    pub fn cut_margins(&self) -> impl ExactSizeIterator<Item = [<O::Real as Element>::Scalar; 2]> {
        self.spectrum.cut_margins(&self.problem)
    }
}

/// What pairs have of their spectrum.
macro_rules! of_spectrum {
    ($($pairs:ident),*) => { $(
        impl<O: Element, S: Storage> $pairs<O, Cpu, S> {
            /// λ, as [`Spectrum::values`].
            pub fn values(&self) -> ArrayView2<'_, O::Real> {
                self.spectrum.values()
            }

            /// Whether each eigenpair is kept, as [`Spectrum::kept`].
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

            /// What is to be known of each matrix, `[batch]`.
            pub fn status(&self) -> ArrayView1<'_, Status> {
                self.spectrum.status()
            }

            /// Turns the statuses into one error that names the matrices.
            ///
            /// # Errors
            /// [`Error::Matrices`](crate::Error::Matrices) unless all pass: see [`Status::passes`].
            pub fn check(&self) -> Result<()> {
                self.spectrum.check()
            }
        }
    )* };
}
use crate::FactorPairs;
of_spectrum!(Eigenpairs, FactorPairs);
