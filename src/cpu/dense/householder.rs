//! B = Q R by Householder's reflections I − τ v vᴴ, τ = 2/‖v‖², and products with Q. Columns lie
//! one after the other.
//!
//! The library's own, since it has to treat null columns as what they are, with no threshold
//! between: R then has a zero row.

use crate::Real;
use crate::Scalar;
use num_traits::Float;

/// Overwrites B `[r, n]` with R in and above the diagonal and, below it, v of reflection k in
/// column k, v_k = 1 left out; returns τ.
pub(in crate::cpu) fn factorise<T: Scalar>(n: usize, b: &mut [T], tau: &mut [T::Real]) {
    for (k, tau) in tau.iter_mut().enumerate() {
        let (left, right) = b.split_at_mut((k + 1) * n);
        let (head, v) = left[k * n + k..].split_at_mut(1);
        *tau = reflection(&mut head[0], v);
        for column in right.chunks_exact_mut(n) {
            reflect(*tau, v, &mut column[k..]);
        }
    }
}

/// X ← Q X for columns of n components, by the reflections that [`factorise`] left.
pub(in crate::cpu) fn multiply<T: Scalar>(n: usize, b: &[T], tau: &[T::Real], x: &mut [T]) {
    for (k, &tau) in tau.iter().enumerate().rev() {
        for column in x.chunks_exact_mut(n) {
            reflect(tau, &b[k * n + k + 1..(k + 1) * n], &mut column[k..]);
        }
    }
}

/// Makes (head, tail) the reflection that maps it to (β, 0), with β in place of head and v₁ = 1;
/// returns τ, 0 for the identity.
fn reflection<T: Scalar>(head: &mut T, tail: &mut [T]) -> T::Real {
    let (zero, one) = (T::Real::of(0.0), T::Real::of(1.0));
    let size = |x: &T| Float::max(Float::abs(x.re()), Float::abs(x.im()));
    let (largest, head_size) = (tail.iter().map(size).fold(zero, Float::max), size(head));
    if largest < Float::min_positive_value() {
        return zero; // 0 beside the largest entry of B, which is 1 or more
    }
    // Scaled, so that no square that counts underflows; overflow is excluded, since B is.
    let scale = one / Float::max(largest, head_size);
    let sum = tail.iter().fold(zero, |sum, x| sum + x.scale(scale).norm_sqr());
    // The phase by a scale of its own: the head may be as much smaller as it likes.
    let (phase, modulus) = if head_size == zero {
        (T::one(), zero)
    } else {
        let by_size = T::from_parts(head.re() / head_size, head.im() / head_size);
        let modulus = Float::sqrt(by_size.norm_sqr());
        (T::from_parts(by_size.re() / modulus, by_size.im() / modulus), modulus)
    };
    let head_norm = modulus * (head_size * scale);
    let norm = Float::sqrt(sum + head_norm * head_norm);
    // v = (head + phase·norm, tail) has no cancellation; divided by its first component.
    let inverse = phase.conj().scale(scale / (head_norm + norm));
    tail.iter_mut().for_each(|x| *x *= inverse);
    *head = -phase.scale(norm / scale);
    // τ = 2 |v₁|² / ‖v‖² = 1 + |head|/norm.
    one + head_norm / norm
}

/// x ← (I − τ v vᴴ) x with v₁ = 1.
fn reflect<T: Scalar>(tau: T::Real, v: &[T], x: &mut [T]) {
    if tau == T::Real::of(0.0) {
        return;
    }
    let (head, tail) = x.split_at_mut(1);
    let dot = v.iter().zip(&*tail).fold(head[0], |sum, (&v, &x)| sum + v.conj() * x).scale(tau);
    head[0] -= dot;
    tail.iter_mut().zip(v).for_each(|(x, &v)| *x -= v * dot);
}
