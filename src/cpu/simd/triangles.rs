//! Which matrices plainly are Hermitian and finite: by square tiles, each beside its mirror image;
//! smaller matrices in lanes.

use crate::cpu::simd::moves::{Runs, into_lanes};
use crate::cpu::simd::transpose::MAX_WIDTH;
use crate::cpu::simd::vector::{Vector, dispatch};
use crate::cpu::types::for_each_type;
use crate::{Element, Real};
use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};
use std::array::from_fn;
use std::f64::consts::SQRT_2;

/// The components of the largest matrix in lanes: one smaller than the largest tile, of 16 real
/// numbers.
const MOST: usize = 256;

/// Types whose triangles are compared many components at a time.
pub trait Compare: Element {
    /// The first of some n×n matrices that is not plainly Hermitian and finite: |A − Aᴴ| ≤
    /// `tolerance`·max|A| may not hold. None if all are.
    fn doubtful(n: usize, a: &[Self], tolerance: f64) -> Option<usize>;
}

macro_rules! compare {
    ($($t:ty: $real:ty, $parts:literal, $_abreast:literal);*) => { $(
        impl Compare for $t {
            fn doubtful(n: usize, a: &[Self], tolerance: f64) -> Option<usize> {
                // A modulus is at most √2 times the larger part; once more for rounding.
                let factor = <$real>::of(SQRT_2 / tolerance * (1.0 + 4.0 * <$real>::PRECISION.epsilon()));
                dispatch(Doubtful::<'_, $real, $parts> { n, a: cast_slice(a), factor })
            }
        }
    )* }
}
for_each_type!(compare);

/// Matrices of numbers of C components; `factor` is √2 over the tolerance.
struct Doubtful<'a, R, const C: usize> {
    n: usize,
    a: &'a [R],
    factor: R,
}

impl<R: Vector, const C: usize> WithSimd for Doubtful<'_, R, C> {
    type Output = Option<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> Option<usize> {
        match R::width(s) / C {
            0 => Some(0), // no vectors
            side if self.n < side => self.in_lanes(s),
            side => self.by_tiles(s, side),
        }
    }
}

/// What vectors of components say: the largest of A, the largest of A − Aᴴ, and 0, or NaN after one
/// that is not finite.
#[derive(Clone, Copy)]
struct Seen<V> {
    largest: V,
    difference: V,
    zeros: V,
}

impl<R: Vector, const C: usize> Doubtful<'_, R, C> {
    #[inline(always)]
    fn in_lanes<S: Simd>(&self, s: S) -> Option<usize> {
        let (n, zero) = (self.n, R::splat(s, R::zero()));
        let (size, width) = (n * n * C, R::width(s));
        let mut lanes = [zero; MOST];
        for (group, a) in self.a.chunks(size * width).enumerate() {
            into_lanes::<S, R, C>(s, a, Runs::rows(n, C, n), &mut lanes[..size]);
            let numbers: &[[R::V<S>; C]] = lanes[..size].as_chunks().0;
            let mut seen = Seen { largest: zero, difference: zero, zeros: zero };
            for i in 0..n {
                for j in 0..=i {
                    let (x, y) = (numbers[i * n + j], numbers[j * n + i]);
                    for part in 0..C {
                        let y = if part == 0 { y[part] } else { R::negs(s, y[part]) };
                        seen = seen.and::<S, R>(s, x[part], y);
                    }
                }
            }
            if let Some(lane) = R::first(s, R::not(s, seen.plain::<S, R>(s, self.factor))) {
                return Some(group * width + lane);
            }
        }
        None
    }

    /// By tiles of `side` rows. Each lane has a largest component of its own, which is at most that
    /// of the matrix.
    #[inline(always)]
    fn by_tiles<S: Simd>(&self, s: S, side: usize) -> Option<usize> {
        let (n, zero) = (self.n, R::splat(s, R::zero()));
        let sign: [R; MAX_WIDTH] = from_fn(|part| if part % C == 0 { R::zero() } else { R::neg_zero() });
        let sign = R::vectors(s, &sign)[0];
        // the last tile reaches back rather than beyond the end
        let starts = |tile: usize| (n - side).min(tile * side);
        for (matrix, a) in self.a.chunks_exact(n * n * C).enumerate() {
            let mut seen = Seen { largest: zero, difference: zero, zeros: zero };
            let row = |i: usize, j: usize| R::vectors(s, &a[(i * n + j) * C..][..side * C])[0];
            for p in 0..n.div_ceil(side) {
                for q in 0..=p {
                    let (i, j) = (starts(p), starts(q));
                    let mut tile = [zero; MAX_WIDTH];
                    let tile = &mut tile[..side];
                    for (k, to) in tile.iter_mut().enumerate() {
                        *to = row(j + k, i);
                    }
                    R::transpose::<S, C>(s, tile);
                    for (k, &mirrored) in tile.iter().enumerate() {
                        seen = seen.and::<S, R>(s, row(i + k, j), R::xors(s, mirrored, sign));
                    }
                }
            }
            if R::any(s, R::not(s, seen.plain::<S, R>(s, self.factor))) {
                return Some(matrix);
            }
        }
        None
    }
}

impl<V: Copy> Seen<V> {
    /// With x and the conjugate of its mirror image y.
    #[inline(always)]
    fn and<S: Simd, R: Vector<V<S> = V>>(self, s: S, x: V, y: V) -> Self {
        let difference = R::subs(s, x, y);
        Self {
            largest: R::maxs(s, self.largest, R::abss(s, x)),
            difference: R::maxs(s, self.difference, R::abss(s, difference)),
            // 0·∞ and 0·NaN are NaN
            zeros: R::mul_adds(s, difference, R::splat(s, R::zero()), self.zeros),
        }
    }

    /// Where nothing is in doubt.
    #[inline(always)]
    fn plain<S: Simd, R: Vector<V<S> = V>>(&self, s: S, factor: R) -> R::Mask<S> {
        R::at_most(s, R::mul_adds(s, self.difference, R::splat(s, factor), self.zeros), self.largest)
    }
}
