//! What is to be known of one matrix, as bits that the device can set: [`Status`].

use crate::TieRule;
use crate::element::{Pod, sealed::Sealed};
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of findings about one matrix; empty is well.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(u32);

impl Sealed for Status {}
impl Pod for Status {}

impl Status {
    /// Nothing to report.
    pub const OK: Self = Self(0);
    /// An entry of A is NaN or infinite: λ, V and the gradient are NaN, nothing is kept.
    pub const NOT_FINITE: Self = Self(1);
    /// The eigensolver did not converge: λ, V and the gradient are NaN, nothing is kept.
    pub const NOT_CONVERGED: Self = Self(1 << 1);
    /// A kept and a dropped eigenvalue are within the solver's round-off, whoever cut: the gradient
    /// there is infinite or round-off.
    pub const TIE_ACROSS_CUT: Self = Self(1 << 2);
    /// Information: kept eigenvalues tie. The gradient is exact for losses that see each tied group
    /// as a subspace with a mean eigenvalue; a loss tr(C f(A)) is none, and its defect can be 0 all
    /// the same: take [`Eigenpairs::spectral`](crate::Eigenpairs::spectral).
    pub const TIED: Self = Self(1 << 3);
    /// The loss depends on the phase of an eigenvector: its gradient is not defined.
    pub const PHASE_DEPENDENT: Self = Self(1 << 4);
    /// An entry of the gradient is not finite in the type it is stored in.
    pub const GRADIENT_NOT_FINITE: Self = Self(1 << 5);

    /// An eigenvalue overflows the type it is stored in: λ, V and the gradient are NaN, nothing is
    /// kept.
    pub const VALUES_OVERFLOW: Self = Self(1 << 6);

    /// The eigensolver's V is not orthonormal, which a backend that was asked to looks for: λ, V
    /// and the gradient are NaN, nothing is kept.
    pub const NOT_ORTHONORMAL: Self = Self(1 << 7);

    /// A kept eigenvalue is outside the domain of the function: what is made of it is NaN.
    pub const OUTSIDE_DOMAIN: Self = Self(1 << 8);

    /// An entry of a function of the matrix, a tangent or a second derivative is not finite in the
    /// type it is stored in.
    pub const RESULT_NOT_FINITE: Self = Self(1 << 9);

    /// "At most r" chose between λ and −λ of equal modulus: which of the two was kept is arbitrary.
    pub const AMBIGUOUS_RANK: Self = Self(1 << 10);

    /// Kept eigenvalues tie, and more is asked of a tied group than its subspace and mean
    /// eigenvalue: the tie defect is beyond round-off, or [`TieRule::Exact`](crate::TieRule::Exact)
    /// divided by round-off.
    pub const TIE_DEFECT: Self = Self(1 << 11);

    /// Kept eigenvalues tie, which [`TieRule::Error`](crate::TieRule::Error) refuses: the result is
    /// NaN.
    pub const TIES_REFUSED: Self = Self(1 << 12);

    /// The largest eigenvalue underflows to 0, though the matrix is not zero: of a factor B of A =
    /// B Bᴴ with tiny entries.
    pub const VALUES_UNDERFLOW: Self = Self(1 << 13);

    /// λ and V do not make A, by its trace, its Frobenius norm or its product with a vector, which
    /// a backend that was asked to looks for: λ, V and the gradient are NaN, nothing is kept.
    pub const LARGE_RESIDUAL: Self = Self(1 << 14);

    /// What is no failure: see [`Status::passes`].
    const INFORMATION: Self = Self::TIED;

    /// Each finding, its name, and what to do about it.
    const TEXTS: [(Self, &str, &str); 15] = [
        (Self::NOT_FINITE, "not finite", "remove NaN and infinity from the input"),
        (Self::NOT_CONVERGED, "not converged", "scale rows and columns to like units"),
        (Self::TIE_ACROSS_CUT, "tie across the cut", "move the cut into a gap of the spectrum by rtol, atol or at_most"),
        (Self::TIED, "tied kept eigenvalues", "take `spectral` for functions of the matrix"),
        (Self::PHASE_DEPENDENT, "loss depends on an eigenvector's phase", "use |v|², v vᴴ or the projector"),
        (Self::GRADIENT_NOT_FINITE, "gradient not finite", "look at the cotangents and at the gaps of the report"),
        (Self::VALUES_OVERFLOW, "eigenvalues overflow", "scale the matrix, or store results in a wider type"),
        (Self::NOT_ORTHONORMAL, "eigenvectors not orthonormal", "take another eigensolver"),
        (
            Self::OUTSIDE_DOMAIN,
            "a kept eigenvalue outside the function's domain",
            "drop negative and zero eigenvalues by rtol or atol",
        ),
        (Self::RESULT_NOT_FINITE, "result not finite", "look at the inputs and at the gaps of the report"),
        (Self::AMBIGUOUS_RANK, "rank cut between λ and −λ", "keep one more or one less"),
        (Self::TIE_DEFECT, "loss depends on the basis of tied eigenvectors", "take `spectral` or the projector"),
        (Self::TIES_REFUSED, "tied kept eigenvalues refused", "take another rule for ties"),
        (Self::VALUES_UNDERFLOW, "eigenvalues underflow", "scale the factor, or store results in a wider type"),
        (Self::LARGE_RESIDUAL, "eigenpairs do not make the matrix", "take another eigensolver"),
    ];

    /// The findings as bits, whose numbers do not change from version to version: that of
    /// [`Status::NOT_FINITE`] is 1, and each constant has the next bit.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The findings of which these are the bits; nothing if one of them is unknown.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < 1 << Self::TEXTS.len() { Some(Self(bits)) } else { None }
    }

    /// Each finding by name, as [`Display`](fmt::Display) joins them.
    pub fn iter_names(self) -> impl Iterator<Item = (&'static str, Self)> {
        Self::TEXTS.iter().filter(move |(bit, ..)| self.intersects(*bit)).map(|&(bit, name, _)| (name, bit))
    }

    /// Whether nothing was found.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Whether `check()` passes: nothing was found but information, that is [`Status::TIED`].
    pub const fn passes(self) -> bool {
        self.0 & !Self::INFORMATION.0 == 0
    }

    /// What to do about the failures, empty if there are none.
    pub(crate) fn remedies(self) -> String {
        let failures = Self::TEXTS.iter().filter(|(bit, ..)| !bit.passes() && self.intersects(*bit));
        failures.map(|(.., remedy)| *remedy).collect::<Vec<_>>().join("; ")
    }

    /// Whether any finding of `other` is among these.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What leaves no eigendecomposition.
    const FAILURES: Self = Self(
        Self::NOT_FINITE.0 | Self::NOT_CONVERGED.0 | Self::VALUES_OVERFLOW.0 | Self::NOT_ORTHONORMAL.0 | Self::LARGE_RESIDUAL.0,
    );

    /// Whether there is no eigendecomposition: the matrix is not finite, did not converge, its
    /// eigenvalues overflow, its eigenvectors are not orthonormal, or they do not make the matrix.
    pub const fn failed(self) -> bool {
        self.intersects(Self::FAILURES)
    }

    /// Whether a matrix gets no gradient nor any other result: NaN instead.
    pub(crate) const fn refused(self) -> bool {
        self.failed() || self.intersects(Self(Self::OUTSIDE_DOMAIN.0 | Self::TIES_REFUSED.0))
    }

    /// What is found where kept eigenvalues tie under a rule, before any defect is measured.
    pub(crate) const fn of_ties(rule: TieRule, tied: bool) -> Self {
        let found = match rule {
            TieRule::ZeroAndReport => Self::TIED,
            TieRule::Exact => Self(Self::TIED.0 | Self::TIE_DEFECT.0),
            TieRule::Error => Self(Self::TIED.0 | Self::TIES_REFUSED.0),
        };
        found.when(tied)
    }

    /// These findings if `found`, otherwise none.
    pub(crate) const fn when(self, found: bool) -> Self {
        if found { self } else { Self::OK }
    }
}

impl BitOr for Status {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Status {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found: Vec<_> = self.iter_names().map(|(name, _)| name).collect();
        f.write_str(if found.is_empty() { "ok" } else { "" })?;
        f.write_str(&found.join(", "))
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({self})")
    }
}
