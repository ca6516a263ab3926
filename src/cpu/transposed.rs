//! Matrices that lie otherwise than the operations want them: ½(A + Aᴴ) for A, and Vᵀ for V.

use crate::{Element, Real, Scalar};

/// One entry, from that at its place and that at the mirrored one; halves are added, since their
/// sum does not overflow.
pub(super) fn mean<T: Scalar>(x: T, mirrored: T) -> T {
    let half = T::Real::of(0.5);
    x.scale(half) + mirrored.conj().scale(half)
}

/// The columns, one after the other, of matrices of n rows.
pub(super) fn columns<T: Scalar, O: Element<Scalar = T>>(n: usize, k: usize, rows: &[O], out: &mut Vec<T>) {
    out.clear();
    for rows in rows.chunks_exact((n * k).max(1)) {
        out.extend((0..n * k).map(|at| rows[at % n * k + at / n].widen()));
    }
}

/// The means of consecutive n×n matrices.
pub(super) fn means<T: Scalar, I: Element<Scalar = T>>(n: usize, a: &[I], out: &mut Vec<T>) {
    out.clear();
    for a in a.chunks_exact((n * n).max(1)) {
        out.extend((0..n * n).map(|at| mean(a[at].widen(), a[at % n * n + at / n].widen())));
    }
}
