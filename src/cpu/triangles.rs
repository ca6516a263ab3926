//! How large the components of a matrix are, and how far it is from its adjoint: by square tiles, each beside its mirror image.

use super::transpose::MAX_WIDTH;
use super::vector::Vector;
use crate::Element;
use num_complex::Complex;
use pulp::bytemuck::{cast, cast_slice};
use pulp::{Arch, Simd, WithSimd};
use std::marker::PhantomData;

/// Types whose matrices are read by tiles.
pub trait Tiled: Element {
    /// The largest component of A, NaN if one is not finite, and the largest of A − Aᴴ; none if A is smaller than a tile.
    fn extremes(n: usize, a: &[Self]) -> Option<[Self::Real; 2]>;
}

macro_rules! tiled {
    ($($t:ty: $word:ty, $real:ty, $mirror:expr);*) => { $(
        impl Tiled for $t {
            fn extremes(n: usize, a: &[Self]) -> Option<[$real; 2]> {
                Arch::new().dispatch(Extremes::<'_, $word, $real> { n, a: cast_slice(a), mirror: $mirror, components: PhantomData })
            }
        }
    )* }
}
// The sign bit of an imaginary part is that of the word it makes with the real part.
tiled!(f32: f32, f32, 0.0; f64: f64, f64, 0.0; Complex<f32>: f64, f32, -0.0);

impl Tiled for Complex<f64> {
    fn extremes(_: usize, _: &[Self]) -> Option<[f64; 2]> {
        None // words of 128 bits, of which a vector has two: pairs of numbers are as fast
    }
}

/// Of numbers of one word; `mirror` has the bits in which a word differs from its conjugate.
struct Extremes<'a, W, R> {
    n: usize,
    a: &'a [W],
    mirror: W,
    components: PhantomData<R>,
}

impl<W: Vector, R: Vector> WithSimd for Extremes<'_, W, R> {
    type Output = Option<[R; 2]>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> Option<[R; 2]> {
        let Self { n, a, mirror, .. } = self;
        let width = W::width(s);
        let last = n.checked_sub(width)?;
        let (mirror, zero): (R::V<S>, _) = (cast(W::splat(s, mirror)), R::splat(s, R::zero()));
        let (mut largest, mut difference, mut zeros) = (zero, zero, [zero; 2]);
        let tiles = n.div_ceil(width);
        for p in 0..tiles {
            for q in 0..=p {
                // The last tile reaches back rather than beyond the end.
                let (i, j) = (last.min(p * width), last.min(q * width));
                let mut tile = [W::splat(s, W::zero()); MAX_WIDTH];
                let tile = &mut tile[..width];
                for (row, to) in tile.iter_mut().enumerate() {
                    *to = W::vectors(s, &a[(j + row) * n + i..][..width])[0];
                }
                W::transpose(s, tile);
                for (row, &y) in tile.iter().enumerate() {
                    let (x, y): (R::V<S>, R::V<S>) = (cast(W::vectors(s, &a[(i + row) * n + j..][..width])[0]), cast(y));
                    let here = R::abss(s, R::subs(s, x, R::xors(s, y, mirror)));
                    difference = R::maxs(s, difference, here);
                    largest = R::maxs(s, largest, R::maxs(s, R::abss(s, x), R::abss(s, y)));
                    zeros = [R::mul_adds(s, x, zero, zeros[0]), R::mul_adds(s, y, zero, zeros[1])]; // 0·∞ and 0·NaN are NaN
                }
            }
        }
        let zeros = R::adds(s, zeros[0], zeros[1]);
        let finite = !R::any(s, R::not(s, R::equal(s, zeros, zero)));
        Some([if finite { R::largest(s, largest) } else { R::nan() }, R::largest(s, difference)])
    }
}
