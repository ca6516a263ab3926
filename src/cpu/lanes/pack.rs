//! A of as many matrices as there are lanes ↦ 2⁻ᵉ A, the lower triangle packed by columns, 1 ≤ 2⁻ᵉ
//! max|A| < 2.

use crate::Triangle;
use crate::cpu::lanes::tridiagonal::column;
use crate::cpu::simd::moves::load;
use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::transpose::MAX_WIDTH;
use crate::cpu::simd::vector::Vector;
use pulp::Simd;

/// Packs the triangle of `[n, n]` numbers in `from`. Lanes without a matrix, and those of one that
/// is not finite, become 0. Returns the factors of 2ᵉ, to be multiplied by one after the other, and
/// 0 where an entry is not finite, otherwise 1.
#[inline(always)]
pub(in crate::cpu) fn pack<S: Simd, R: Vector, const C: usize>(
    x: Numbers<S, R, C>,
    n: usize,
    from: &[R],
    triangle: Triangle,
    a: &mut [Number<S, R, C>],
) -> [R::V<S>; 3] {
    let s = x.s;
    match triangle {
        Triangle::Lower => transpose::<_, _, C, true>(x, n, from, a),
        Triangle::Upper => transpose::<_, _, C, false>(x, n, from, a),
    }
    for j in 0..n {
        a[column(n, j) + j][1..].fill(x.zero());
    }
    let (mut largest, mut zeros) = (x.zero(), x.zero());
    for part in a.as_flattened() {
        largest = R::maxs(s, largest, R::abss(s, *part));
        zeros = R::mul_adds(s, *part, x.zero(), zeros); // 0·∞ and 0·NaN are NaN
    }
    let finite = R::equal(s, zeros, x.zero());
    let one = x.splat(R::one());
    let [up @ .., down, lower] = powers(x, R::select(s, finite, largest, x.zero()));
    for part in a.as_flattened_mut() {
        let scaled = R::muls(s, R::muls(s, *part, up[0]), up[1]);
        *part = R::select(s, finite, scaled, x.zero());
    }
    [down, lower, R::select(s, finite, one, x.zero())]
}

/// The factors of 2⁻ᵉ and those of 2ᵉ, 2ᵉ ≤ `largest` < 2ᵉ⁺¹, or of 1 for 0: two of them, since 2⁻ᵉ
/// may overflow.
#[inline(always)]
fn powers<S: Simd, R: Vector, const C: usize>(x: Numbers<S, R, C>, largest: R::V<S>) -> [R::V<S>; 4] {
    let (s, one) = (x.s, x.splat(R::one()));
    let normal = R::at_most(s, x.splat(R::min_positive_value()), largest);
    let (lift, lower) = (x.splat(R::one() / R::epsilon()), x.splat(R::epsilon()));
    let (lift, lower) = (R::select(s, normal, one, lift), R::select(s, normal, one, lower));
    // The exponent bits of a normal number are its power of two.
    let power = R::ands(s, R::muls(s, largest, lift), x.splat(R::infinity()));
    let power = R::if_equal(s, power, x.zero(), one, power);
    [lift, R::divs(s, one, power), power, lower]
}

/// The rows of the triangle into lanes, by tiles; those of the upper are the columns of the lower,
/// conjugated.
#[inline(always)]
fn transpose<S: Simd, R: Vector, const C: usize, const LOWER: bool>(
    x: Numbers<S, R, C>,
    n: usize,
    from: &[R],
    a: &mut [Number<S, R, C>],
) {
    let (width, size) = (R::width(x.s), n * n * C);
    for row in 0..n {
        let (begin, end) = if LOWER { (0, row + 1) } else { (row, n) };
        let (mut j, mut at) = (begin, column(n, begin) + row);
        for first in (begin * C..end * C).step_by(width) {
            let mut tile = [x.zero(); MAX_WIDTH];
            let tile = &mut tile[..width];
            // It may end in the next rows, or the next matrix.
            for (lane, to) in tile.iter_mut().enumerate() {
                *to = load(x.s, from, lane * size + row * n * C + first);
            }
            R::transpose::<_, 1>(x.s, tile);
            for (q, &component) in tile.iter().enumerate().take(end * C - first) {
                let part = (first + q) % C;
                a[at][part] = if LOWER || part == 0 { component } else { R::negs(x.s, component) };
                if part == C - 1 {
                    j += 1;
                    at += if LOWER { n - j } else { 1 };
                }
            }
        }
    }
}
