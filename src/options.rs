//! What to keep of a spectrum and what to make of ties: [`Options`], resolved for one shape and
//! type into a [`Problem`].

use crate::{Element, Error, Precision, Result, Triangle};

/// Which eigenpairs are kept: K = {k : |λ_k| > τ}, of them at most the r largest |λ|; the rest, D,
/// is dropped.
///
/// τ = max(atol, rtol·max|λ|) for each matrix. The comparison is strict, so that the zero matrix
/// keeps nothing. An absolute tolerance given alone means rtol = 0, as in torch's `matrix_rank`.
///
/// Matrices of full rank take [`Cut::none`]: the default drops what may be round-off, and of an
/// ill-conditioned matrix that can be a true eigenvalue.
/// [`Report::kept_over_cutoff`](crate::Report) and [`Report::dropped_over_cutoff`](crate::Report)
/// tell how clear the cut was.
///
/// ```
/// use eigengrad::{Cut, HermitianBatch, Options, eigh};
/// use ndarray::{Array2, array};
///
/// let a = HermitianBatch::new(Array2::from_diag(&array![1e-9, 1e-3, 1.0]).view())?;
/// for (cut, rank) in [(Cut::none(), 3), (Cut::relative(1e-6), 2), (Cut::absolute(0.1), 1), (Cut::at_most(1), 1)] {
///     assert_eq!(eigh(&a, &Options::default().with_cut(cut))?.rank()[0], rank);
/// }
/// # eigengrad::Result::<()>::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cut {
    keep_all: bool,
    atol: Option<f64>,
    rtol: Option<f64>,
    computed_in: Option<Precision>,
    at_most: Option<usize>,
}

impl Cut {
    /// No τ: every eigenpair is kept, null ones too.
    pub fn none() -> Self {
        Self { keep_all: true, ..Self::default() }
    }

    /// At most the `r` largest |λ| among those above the default τ, as [`Cut::with_at_most`].
    pub fn at_most(r: usize) -> Self {
        Self::default().with_at_most(r)
    }

    /// |λ| above a fraction of max|λ|, as [`Cut::with_rtol`].
    pub fn relative(rtol: f64) -> Self {
        Self::default().with_rtol(rtol)
    }

    /// |λ| above a number in the units of A, as [`Cut::with_atol`].
    pub fn absolute(atol: f64) -> Self {
        Self::default().with_atol(atol)
    }

    /// Sets the absolute tolerance, in the units of A (default 0). Without [`Cut::with_rtol`] the
    /// relative one is then 0.
    pub fn with_atol(self, atol: f64) -> Self {
        Self { atol: Some(atol), ..self }
    }

    /// Sets the relative tolerance, a fraction of max|λ| (default [`Precision::cutoff`], and no
    /// less than [`Precision::quantum`]).
    pub fn with_rtol(self, rtol: f64) -> Self {
        Self { rtol: Some(rtol), ..self }
    }

    /// Sets the precision in which the data were computed, which the default relative tolerance
    /// follows: `f32` data cast to `f64` keep the round-off of `f32` (default: the type that the
    /// batch is stored in).
    pub fn with_computed_in(self, precision: Precision) -> Self {
        Self { computed_in: Some(precision), ..self }
    }

    /// What [`Cut::with_computed_in`] has set.
    pub fn computed_in(&self) -> Option<Precision> {
        self.computed_in
    }

    /// Keeps at most the `r` largest |λ| among those above τ. Equal λ on both sides are
    /// [`Status::TIE_ACROSS_CUT`](crate::Status), λ and −λ are
    /// [`Status::AMBIGUOUS_RANK`](crate::Status).
    pub fn with_at_most(self, r: usize) -> Self {
        Self { at_most: Some(r), ..self }
    }
}

/// What the backward does where kept eigenvalues tie, that is where 1/(λ_j − λ_i) means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TieRule {
    /// Divide all the same: infinity or NaN shows.
    Exact,
    /// F = 0 inside the group, and [`Status::TIED`](crate::Status) with the defect that tells
    /// whether this was right.
    ///
    /// Right for every loss that sees the group as a subspace with a mean eigenvalue, and the
    /// default: those are the only losses that have a gradient there, and the numbers that an
    /// eigensolver returns inside a group are round-off.
    #[default]
    ZeroAndReport,
    /// Refuse: NaN for that matrix, and [`Error::Matrices`] from
    /// [`Eigenpairs::backward`](crate::Eigenpairs::backward).
    Error,
}

/// What the caller knows of the dropped eigenvalues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// Nothing: the gradient uses them as they are.
    #[default]
    AsComputed,
    /// They are zero, and what was computed for them is round-off: the gradient needs the kept
    /// eigenvectors only, and is cheaper. Declared for a spectrum whose dropped part is *not* zero
    /// the gradient is wrong by up to max|λ_D| / min|λ_K|.
    Zero,
}

/// Which entries of A the gradient is taken by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GradientForm {
    /// The Hermitian Ā with dL = Re tr(Āᴴ dA), as in PyTorch.
    #[default]
    Hermitian,
    /// By the entries of one triangle alone, the other following by symmetry: twice Ā off the
    /// diagonal, zero in the other triangle.
    Triangle(Triangle),
}

/// Options of [`eigh`](crate::eigh()) and of the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Which eigenpairs are kept.
    pub cut: Cut,
    /// What to do where kept eigenvalues tie.
    pub ties: TieRule,
    /// Eigenvalues tie when each is within `tie_rtol`·‖A‖₂ of the next (default
    /// [`Precision::tie_cutoff`] of the coarsest precision at hand).
    pub tie_rtol: Option<f64>,
    /// What is known of the dropped eigenvalues.
    pub dropped: Dropped,
    /// Which entries the gradient is taken by.
    pub gradient: GradientForm,
}

impl Options {
    /// Keeps other eigenpairs.
    pub fn with_cut(self, cut: Cut) -> Self {
        Self { cut, ..self }
    }

    /// Does something else where kept eigenvalues tie.
    pub fn with_ties(self, ties: TieRule) -> Self {
        Self { ties, ..self }
    }

    /// Ties are within this fraction of ‖A‖₂ from one to the next; `None` is the default.
    pub fn with_tie_rtol(self, tie_rtol: impl Into<Option<f64>>) -> Self {
        Self { tie_rtol: tie_rtol.into(), ..self }
    }

    /// Knows something of the dropped eigenvalues.
    pub fn with_dropped(self, dropped: Dropped) -> Self {
        Self { dropped, ..self }
    }

    /// Takes the gradient by other entries.
    pub fn with_gradient(self, gradient: GradientForm) -> Self {
        Self { gradient, ..self }
    }
}

/// [`Options`] resolved for one batch shape and element type: what a backend is given.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    /// The number of matrices.
    pub batch: usize,
    /// Their order.
    pub n: usize,
    /// The absolute and the relative part of τ; none keeps everything.
    pub tau: Option<(f64, f64)>,
    /// The largest number of kept eigenpairs.
    pub at_most: usize,
    /// The precision in which the data were computed.
    pub precision: Precision,
    /// The relative distance within which eigenvalues tie, if it was set.
    tie_rtol: Option<f64>,
    /// What to do where they do.
    pub ties: TieRule,
    /// What is known of the dropped eigenvalues.
    pub dropped: Dropped,
    /// Which entries the gradient is taken by.
    pub gradient: GradientForm,
}

impl Problem {
    /// `enum tie_rule` of kernels/lib/status.cuh.
    #[cfg(feature = "cuda")]
    pub(crate) fn tie_rule(&self) -> std::ffi::c_int {
        match self.ties {
            TieRule::ZeroAndReport => 0,
            TieRule::Exact => 1,
            TieRule::Error => 2,
        }
    }

    /// Resolves the defaults for `batch` n×n matrices stored as `T`.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Tolerance`], [`Error::NoDefaultCut`].
    pub(crate) fn new<T: Element>(batch: usize, n: usize, options: &Options) -> Result<Self> {
        addressable::<T>(batch, n)?;
        let Cut { keep_all, atol, rtol, computed_in, at_most } = options.cut;
        let precision = computed_in.unwrap_or(T::PRECISION);
        let default = if atol.is_some() { 0.0 } else { precision.cutoff(n) };
        let by_default = !keep_all && rtol.is_none();
        if by_default && n > 0 && default >= 1.0 {
            return Err(Error::NoDefaultCut { precision, n, rtol: default });
        }
        let atol = atol.unwrap_or(if by_default { precision.quantum(n) } else { 0.0 });
        let rtol = rtol.unwrap_or(default);
        for (what, got) in [("atol", atol), ("rtol", rtol), ("tie_rtol", options.tie_rtol.unwrap_or(0.0))] {
            if got.is_nan() || got < 0.0 {
                return Err(Error::Tolerance { what, got });
            }
        }
        Ok(Self {
            batch,
            n,
            // A gap is at most 2‖A‖₂, and infinity times the zero matrix's norm would be no number.
            tau: (!keep_all).then_some((atol, rtol.min(2.0))),
            at_most: at_most.unwrap_or(n).min(n),
            precision,
            tie_rtol: options.tie_rtol.map(|rtol| rtol.min(2.0)),
            ties: options.ties,
            dropped: options.dropped,
            gradient: options.gradient,
        })
    }

    /// The fraction of ‖A‖₂ within which eigenvalues tie when they are stored as `R`.
    pub fn tie_rtol<R: Element>(&self) -> f64 {
        self.tie_rtol.unwrap_or_else(|| self.precision.coarser(R::PRECISION).tie_cutoff(self.n))
    }

    /// This problem for numbers in the type computed in that were stored as `O`: ties stay what
    /// they are.
    pub(crate) fn with_ties_of<O: Element>(&self) -> Self {
        Self { tie_rtol: Some(self.tie_rtol::<O::Real>()), ..*self }
    }

    /// What defects of cotangents stored as `O` stay below by rounding: [`Precision::round_off`] of
    /// the coarser precision.
    pub fn round_off<O: Element>(&self) -> f64 {
        self.precision.coarser(O::PRECISION).round_off(self.n)
    }
}

/// Whether batch·n·n elements can be addressed.
pub(crate) fn addressable<T: Element>(batch: usize, n: usize) -> Result<()> {
    let largest = isize::MAX as usize / size_of::<T::Scalar>();
    let elements = batch.checked_mul(n).and_then(|x| x.checked_mul(n.max(1)));
    elements.filter(|&x| x <= largest).map(|_| ()).ok_or(Error::TooLarge { batch, n })
}
