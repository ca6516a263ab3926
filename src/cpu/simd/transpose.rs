//! [`Transpose`]: square tiles between the order of storage and lanes, in registers where AVX2 is
//! there.

use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use pulp::bytemuck::cast_slice_mut;

/// The largest number of lanes of any instruction set: AVX-512's 16 f32.
pub(in crate::cpu) const MAX_WIDTH: usize = 16;

/// Components whose tiles are transposed.
pub(in crate::cpu) trait Transpose: Sized {
    /// Transposes a tile of as many vectors as a vector has numbers of PARTS components, 1 or 2.
    fn transpose<S: Simd, const PARTS: usize>(s: S, tile: &mut [Self::V<S>])
    where
        Self: Vector;
}

macro_rules! transpose {
    ($($t:ty: $block:ident, $side:literal);*) => { $(
        impl Transpose for $t {
            #[inline(always)]
            fn transpose<S: Simd, const PARTS: usize>(s: S, tile: &mut [<Self as Vector>::V<S>]) {
                #[cfg(target_arch = "x86_64")]
                if let Some(v3) = x86::avx2(s) {
                    let (tile, blocks) = (cast_slice_mut(tile), Self::width(s) / $side);
                    return match PARTS {
                        1 => x86::transpose::<pulp::$block, $side>(v3, tile, blocks),
                        _ => x86::transpose::<pulp::$block, { $side / 2 }>(v3, tile, blocks),
                    };
                }
                exchange::<_, PARTS>(cast_slice_mut::<_, $t>(tile), Self::width(s) / PARTS);
            }
        }
    )* }
}
transpose!(f32: f32x8, 8; f64: f64x4, 4);

/// The portable way: number by number.
#[inline(always)]
fn exchange<R, const PARTS: usize>(tile: &mut [R], side: usize) {
    let numbers = tile.as_chunks_mut::<PARTS>().0;
    for i in 0..side {
        for j in 0..i {
            numbers.swap(i * side + j, j * side + i);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use pulp::x86::V3;
    #[cfg(feature = "avx512")]
    use pulp::x86::V4;
    use pulp::{Simd, cast, f32x8, f64x4};
    use std::any::Any;
    use std::arch::x86_64::{__m256, __m256d};

    /// AVX2 as part of what `s` stands for.
    #[inline(always)]
    pub fn avx2<S: Simd>(s: S) -> Option<V3> {
        let s: &dyn Any = &s;
        #[cfg(feature = "avx512")]
        if let Some(v4) = s.downcast_ref::<V4>() {
            return Some(**v4);
        }
        s.downcast_ref::<V3>().copied()
    }

    /// Registers of which N rows make a square.
    pub trait Block<const N: usize>: Copy {
        fn transpose(v3: V3, rows: [Self; N]) -> [Self; N];
    }

    /// Transposes a tile by its blocks of N×N; each of its rows is one or several `blocks` long.
    #[inline(always)]
    pub fn transpose<B: Block<N>, const N: usize>(v3: V3, tile: &mut [B], blocks: usize) {
        for p in 0..blocks {
            for q in p..blocks {
                let (mut upper, mut lower) = ([tile[0]; N], [tile[0]; N]);
                for row in 0..N {
                    upper[row] = tile[(p * N + row) * blocks + q];
                    lower[row] = tile[(q * N + row) * blocks + p];
                }
                let upper = B::transpose(v3, upper);
                let lower = if p == q { upper } else { B::transpose(v3, lower) };
                for row in 0..N {
                    tile[(q * N + row) * blocks + p] = upper[row];
                    tile[(p * N + row) * blocks + q] = lower[row];
                }
            }
        }
    }

    /// By pairs of rows, then of pairs, then halves of registers.
    impl Block<8> for f32x8 {
        #[inline(always)]
        fn transpose(v3: V3, rows: [Self; 8]) -> [Self; 8] {
            let avx = v3.avx;
            let r: [__m256; 8] = cast(rows);
            let (low, high) = (four(v3, [r[0], r[1], r[2], r[3]]), four(v3, [r[4], r[5], r[6], r[7]]));
            cast([
                avx._mm256_permute2f128_ps::<0x20>(low[0], high[0]),
                avx._mm256_permute2f128_ps::<0x20>(low[1], high[1]),
                avx._mm256_permute2f128_ps::<0x20>(low[2], high[2]),
                avx._mm256_permute2f128_ps::<0x20>(low[3], high[3]),
                avx._mm256_permute2f128_ps::<0x31>(low[0], high[0]),
                avx._mm256_permute2f128_ps::<0x31>(low[1], high[1]),
                avx._mm256_permute2f128_ps::<0x31>(low[2], high[2]),
                avx._mm256_permute2f128_ps::<0x31>(low[3], high[3]),
            ])
        }
    }

    /// The columns of four rows, in each half of the registers.
    #[inline(always)]
    fn four(v3: V3, [a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
        let avx = v3.avx;
        let (ab, ba) = (avx._mm256_unpacklo_ps(a, b), avx._mm256_unpackhi_ps(a, b));
        let (cd, dc) = (avx._mm256_unpacklo_ps(c, d), avx._mm256_unpackhi_ps(c, d));
        [
            avx._mm256_shuffle_ps::<0x44>(ab, cd),
            avx._mm256_shuffle_ps::<0xEE>(ab, cd),
            avx._mm256_shuffle_ps::<0x44>(ba, dc),
            avx._mm256_shuffle_ps::<0xEE>(ba, dc),
        ]
    }

    /// Pairs: numbers of 64 bits.
    impl Block<4> for f32x8 {
        #[inline(always)]
        fn transpose(v3: V3, rows: [Self; 4]) -> [Self; 4] {
            cast(<f64x4 as Block<4>>::transpose(v3, cast(rows)))
        }
    }

    /// Pairs: halves of registers.
    impl Block<2> for f64x4 {
        #[inline(always)]
        fn transpose(v3: V3, rows: [Self; 2]) -> [Self; 2] {
            let [a, b]: [__m256d; 2] = cast(rows);
            cast([v3.avx._mm256_permute2f128_pd::<0x20>(a, b), v3.avx._mm256_permute2f128_pd::<0x31>(a, b)])
        }
    }

    impl Block<4> for f64x4 {
        #[inline(always)]
        fn transpose(v3: V3, rows: [Self; 4]) -> [Self; 4] {
            let avx = v3.avx;
            let [a, b, c, d]: [__m256d; 4] = cast(rows);
            let (ab, cd) = (avx._mm256_unpacklo_pd(a, b), avx._mm256_unpacklo_pd(c, d));
            let (ba, dc) = (avx._mm256_unpackhi_pd(a, b), avx._mm256_unpackhi_pd(c, d));
            cast([
                avx._mm256_permute2f128_pd::<0x20>(ab, cd),
                avx._mm256_permute2f128_pd::<0x20>(ba, dc),
                avx._mm256_permute2f128_pd::<0x31>(ab, cd),
                avx._mm256_permute2f128_pd::<0x31>(ba, dc),
            ])
        }
    }
}
