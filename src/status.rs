//! What is to be known of one matrix, as bits that the device can set: [`Status`].

use crate::scalar::{Pod, sealed::Sealed};
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
    /// "At most r" cut between two equal |λ|: which one was kept is arbitrary, and the gradient infinite or round-off.
    pub const TIE_ACROSS_CUT: Self = Self(1 << 2);
    /// Kept eigenvalues tie: the gradient is exact only for losses that see each tied group as a subspace.
    pub const TIED: Self = Self(1 << 3);
    /// The loss depends on the phase of an eigenvector: its gradient is not defined.
    pub const PHASE_DEPENDENT: Self = Self(1 << 4);
    /// An entry of the gradient is not finite in the type it is stored in.
    pub const GRADIENT_NOT_FINITE: Self = Self(1 << 5);

    /// An eigenvalue overflows the type it is stored in: λ, V and the gradient are NaN, nothing is kept.
    pub const VALUES_OVERFLOW: Self = Self(1 << 6);

    /// The eigensolver's V is not orthonormal, which a backend that was asked to looks for: λ, V and the gradient are NaN, nothing is
    /// kept.
    pub const NOT_ORTHONORMAL: Self = Self(1 << 7);

    /// A kept eigenvalue is outside the domain of the function: what is made of it is NaN.
    pub const OUTSIDE_DOMAIN: Self = Self(1 << 8);

    /// An entry of a function of the matrix, a tangent or a second derivative is not finite in the type it is stored in.
    pub const RESULT_NOT_FINITE: Self = Self(1 << 9);

    const NAMES: [(Self, &str); 10] = [
        (Self::NOT_FINITE, "not finite"),
        (Self::NOT_CONVERGED, "not converged"),
        (Self::TIE_ACROSS_CUT, "tie across the cut"),
        (Self::TIED, "tied kept eigenvalues"),
        (Self::PHASE_DEPENDENT, "loss depends on an eigenvector's phase"),
        (Self::GRADIENT_NOT_FINITE, "gradient not finite"),
        (Self::VALUES_OVERFLOW, "eigenvalues overflow"),
        (Self::NOT_ORTHONORMAL, "eigenvectors not orthonormal"),
        (Self::OUTSIDE_DOMAIN, "a kept eigenvalue outside the function's domain"),
        (Self::RESULT_NOT_FINITE, "result not finite"),
    ];

    /// Whether nothing was found.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Whether any finding of `other` is among these.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no eigendecomposition: the matrix is not finite, did not converge, its eigenvalues overflow, or its
    /// eigenvectors are not orthonormal.
    pub const fn failed(self) -> bool {
        self.intersects(Self(Self::NOT_FINITE.0 | Self::NOT_CONVERGED.0 | Self::VALUES_OVERFLOW.0 | Self::NOT_ORTHONORMAL.0))
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
        let found: Vec<_> = Self::NAMES.iter().filter(|(bit, _)| self.intersects(*bit)).map(|(_, name)| *name).collect();
        f.write_str(if found.is_empty() { "ok" } else { "" })?;
        f.write_str(&found.join(", "))
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({self})")
    }
}
