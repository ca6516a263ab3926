//! A = VΛVᴴ by cyclic rotations in the (p, q) plane, each of which makes A_pq zero.

use crate::cublas::number::Number;
use faer::traits::num_traits::Float;

/// Rotates the n×n matrix `a`, column after column, until |offdiag(A)|_F ≤ tolerance·|A|_F, but no
/// more than `max_sweeps` times through all planes; says whether it got there. λ is then the
/// diagonal of `a`, V is `v`.
pub(super) fn rotate<T: Number>(a: &mut [T], v: &mut [T], n: usize, tolerance: T::Real, max_sweeps: usize) -> bool {
    v.fill(T::zero());
    (0..n).for_each(|i| v[i + n * i] = T::one());
    let norm = off_diagonal(a, n, true);
    for sweep in 0.. {
        if off_diagonal(a, n, false) <= tolerance * norm {
            return true;
        }
        if sweep == max_sweeps {
            break;
        }
        for q in 1..n {
            for p in 0..q {
                annihilate(a, v, n, p, q);
            }
        }
    }
    false
}

/// |A|_F, or that of A without its diagonal.
fn off_diagonal<T: Number>(a: &[T], n: usize, with_diagonal: bool) -> T::Real {
    let mut sum = T::zero().re();
    for (place, x) in a.iter().enumerate() {
        if with_diagonal || place % (n + 1) != 0 {
            let (re, im) = (x.re(), x.im());
            sum = sum + re * re + im * im;
        }
    }
    sum.sqrt()
}

/// A ← JᴴAJ, V ← VJ with J = [c s; −w̄s w̄c] in the plane (p, q), w = A_pq / |A_pq|, tan 2θ = 2|A_pq|
/// / (A_qq − A_pp).
fn annihilate<T: Number>(a: &mut [T], v: &mut [T], n: usize, p: usize, q: usize) {
    let (a_pp, a_pq, a_qq) = (a[p + n * p].re(), a[p + n * q], a[q + n * q].re());
    let (one, size) = (T::one().re(), a_pq.abs());
    if size < T::Real::min_positive_value() {
        return;
    }
    let tau = (a_qq - a_pp) / (size + size);
    let t = tau.signum() / (tau.abs() + (tau * tau + one).sqrt());
    let c = one / (t * t + one).sqrt();
    let (cosine, sine, w) = (T::from_real(c), T::from_real(t * c), a_pq.scale(one / size));
    let (phased_sine, phased_cosine) = (sine * w.conj(), cosine * w.conj());
    for matrix in [&mut *a, v] {
        let (left, right) = matrix.split_at_mut(n * q);
        for (x, y) in left[n * p..][..n].iter_mut().zip(&mut right[..n]) {
            (*x, *y) = (cosine * *x - phased_sine * *y, sine * *x + phased_cosine * *y);
        }
    }
    for k in 0..n {
        a[p + n * k] = a[k + n * p].conj();
        a[q + n * k] = a[k + n * q].conj();
    }
    a[p + n * p] = T::from_real(a_pp - t * size);
    a[q + n * q] = T::from_real(a_qq + t * size);
    a[p + n * q] = T::zero();
    a[q + n * p] = T::zero();
}
