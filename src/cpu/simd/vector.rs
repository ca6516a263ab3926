//! [`Vector`]: pulp's SIMD operations by one name for `f32` and `f64`.

use crate::Real;
use crate::cpu::simd::transpose::Transpose;
use pulp::{Simd, WithSimd, bytemuck};
use std::marker::PhantomData;

/// A component type with vectors of it, one component for each lane.
pub(in crate::cpu) trait Vector: Real + Transpose + bytemuck::Pod {
    type V<S: Simd>: Copy + bytemuck::Pod;
    /// Yes or no in each lane.
    type Mask<S: Simd>: Copy;
    fn vectors<S: Simd>(s: S, x: &[Self]) -> &[Self::V<S>];
    fn vectors_mut<S: Simd>(s: S, x: &mut [Self]) -> &mut [Self::V<S>];
    fn splat<S: Simd>(s: S, x: Self) -> Self::V<S>;
    fn adds<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    fn subs<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    fn muls<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    fn divs<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    /// x·y + z, rounded once.
    fn mul_adds<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>, z: Self::V<S>) -> Self::V<S>;
    /// −x·y + z, rounded once.
    fn neg_mul_adds<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>, z: Self::V<S>) -> Self::V<S>;
    fn maxs<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    fn abss<S: Simd>(s: S, x: Self::V<S>) -> Self::V<S>;
    fn sqrts<S: Simd>(s: S, x: Self::V<S>) -> Self::V<S>;
    fn negs<S: Simd>(s: S, x: Self::V<S>) -> Self::V<S>;
    /// The common bits of both.
    fn ands<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    /// The bits of either.
    fn ors<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    /// The bits in which they differ.
    fn xors<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::V<S>;
    /// x = y.
    fn equal<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::Mask<S>;
    /// x < y.
    fn less<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::Mask<S>;
    /// x ≤ y.
    fn at_most<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>) -> Self::Mask<S>;
    fn both<S: Simd>(s: S, x: Self::Mask<S>, y: Self::Mask<S>) -> Self::Mask<S>;
    fn not<S: Simd>(s: S, x: Self::Mask<S>) -> Self::Mask<S>;
    /// Whether any lane says yes.
    fn any<S: Simd>(s: S, x: Self::Mask<S>) -> bool;
    /// In each lane a where yes, b where no.
    fn select<S: Simd>(s: S, mask: Self::Mask<S>, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// The largest of all lanes.
    fn largest<S: Simd>(s: S, x: Self::V<S>) -> Self;

    /// The number of lanes.
    #[inline(always)]
    fn width<S: Simd>(_: S) -> usize {
        size_of::<Self::V<S>>() / size_of::<Self>()
    }

    /// The first lane that says yes. pulp's own (0.22.3) counts from the last one where a lane is a
    /// bit, as with AVX-512.
    #[inline(always)]
    fn first<S: Simd>(s: S, x: Self::Mask<S>) -> Option<usize> {
        let yes = Self::any(s, x).then(|| Self::select(s, x, Self::splat(s, Self::one()), Self::splat(s, Self::zero())))?;
        bytemuck::cast_slice::<_, Self>(&[yes]).iter().position(|&yes| yes != Self::zero())
    }

    /// In each lane a if x = y, otherwise b.
    #[inline(always)]
    fn if_equal<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>, a: Self::V<S>, b: Self::V<S>) -> Self::V<S> {
        Self::select(s, Self::equal(s, x, y), a, b)
    }

    /// The sign bit of x.
    #[inline(always)]
    fn signs<S: Simd>(s: S, x: Self::V<S>) -> Self::V<S> {
        Self::ands(s, x, Self::splat(s, Self::neg_zero()))
    }

    /// |x| with the sign of `sign`.
    #[inline(always)]
    fn with_sign<S: Simd>(s: S, x: Self::V<S>, sign: Self::V<S>) -> Self::V<S> {
        Self::ors(s, Self::abss(s, x), Self::signs(s, sign))
    }
}

/// Works by the instruction set at hand; tests ask for others.
#[inline(always)]
pub(in crate::cpu) fn dispatch<W: WithSimd>(work: W) -> W::Output {
    #[cfg(test)]
    return crate::cpu::simd::portable::dispatch(work);
    #[cfg(not(test))]
    pulp::Arch::new().dispatch(work)
}

/// The number of lanes of the instruction set at hand.
pub(in crate::cpu) fn lanes<R: Vector>() -> usize {
    dispatch(CountLanes::<R>(PhantomData))
}

/// Whether vectors have more than one number. Where they have not, as without AVX2 and NEON, no
/// order is compiled for itself: it would take a fifth of the compiler's time.
pub(in crate::cpu) const fn is_wide<S: Simd, R: Vector>() -> bool {
    size_of::<R::V<S>>() > size_of::<R>()
}

struct CountLanes<R>(PhantomData<R>);

impl<R: Vector> WithSimd for CountLanes<R> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> usize {
        R::width(s)
    }
}

macro_rules! vector {
    ($t:ident $v:ident $as:ident $as_mut:ident $splat:ident $add:ident $sub:ident $mul:ident $div:ident $mul_add:ident
     $neg_mul_add:ident $max:ident $abs:ident $sqrt:ident $neg:ident $and:ident $or:ident $xor:ident
     $mask:ident $equal:ident $less:ident $at_most:ident $both:ident $not:ident $first:ident $select:ident $reduce:ident) => {
        impl Vector for $t {
            type V<S: Simd> = S::$v;
            type Mask<S: Simd> = S::$mask;
            #[inline(always)]
            fn vectors<S: Simd>(_: S, x: &[$t]) -> &[S::$v] {
                S::$as(x).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(_: S, x: &mut [$t]) -> &mut [S::$v] {
                S::$as_mut(x).0
            }
            #[inline(always)]
            fn splat<S: Simd>(s: S, x: $t) -> S::$v {
                s.$splat(x)
            }
            #[inline(always)]
            fn adds<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$add(x, y)
            }
            #[inline(always)]
            fn subs<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$sub(x, y)
            }
            #[inline(always)]
            fn muls<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$mul(x, y)
            }
            #[inline(always)]
            fn divs<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$div(x, y)
            }
            #[inline(always)]
            fn mul_adds<S: Simd>(s: S, x: S::$v, y: S::$v, z: S::$v) -> S::$v {
                s.$mul_add(x, y, z)
            }
            #[inline(always)]
            fn neg_mul_adds<S: Simd>(s: S, x: S::$v, y: S::$v, z: S::$v) -> S::$v {
                s.$neg_mul_add(x, y, z)
            }
            #[inline(always)]
            fn maxs<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$max(x, y)
            }
            #[inline(always)]
            fn abss<S: Simd>(s: S, x: S::$v) -> S::$v {
                s.$abs(x)
            }
            #[inline(always)]
            fn sqrts<S: Simd>(s: S, x: S::$v) -> S::$v {
                s.$sqrt(x)
            }
            #[inline(always)]
            fn negs<S: Simd>(s: S, x: S::$v) -> S::$v {
                s.$neg(x)
            }
            #[inline(always)]
            fn ands<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$and(x, y)
            }
            #[inline(always)]
            fn ors<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$or(x, y)
            }
            #[inline(always)]
            fn xors<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$v {
                s.$xor(x, y)
            }
            #[inline(always)]
            fn equal<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$mask {
                s.$equal(x, y)
            }
            #[inline(always)]
            fn less<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$mask {
                s.$less(x, y)
            }
            #[inline(always)]
            fn at_most<S: Simd>(s: S, x: S::$v, y: S::$v) -> S::$mask {
                s.$at_most(x, y)
            }
            #[inline(always)]
            fn both<S: Simd>(s: S, x: S::$mask, y: S::$mask) -> S::$mask {
                s.$both(x, y)
            }
            #[inline(always)]
            fn not<S: Simd>(s: S, x: S::$mask) -> S::$mask {
                s.$not(x)
            }
            #[inline(always)]
            fn any<S: Simd>(s: S, x: S::$mask) -> bool {
                s.$first(x) < Self::width(s)
            }
            #[inline(always)]
            fn select<S: Simd>(s: S, mask: S::$mask, a: S::$v, b: S::$v) -> S::$v {
                s.$select(mask, a, b)
            }
            #[inline(always)]
            fn largest<S: Simd>(s: S, x: S::$v) -> $t {
                s.$reduce(x)
            }
        }
    };
}
vector!(f32 f32s as_simd_f32s as_mut_simd_f32s splat_f32s add_f32s sub_f32s mul_f32s div_f32s mul_add_f32s
    negate_mul_add_f32s max_f32s abs_f32s sqrt_f32s neg_f32s and_f32s or_f32s xor_f32s
    m32s equal_f32s less_than_f32s less_than_or_equal_f32s and_m32s not_m32s first_true_m32s select_f32s reduce_max_f32s);
vector!(f64 f64s as_simd_f64s as_mut_simd_f64s splat_f64s add_f64s sub_f64s mul_f64s div_f64s mul_add_f64s
    negate_mul_add_f64s max_f64s abs_f64s sqrt_f64s neg_f64s and_f64s or_f64s xor_f64s
    m64s equal_f64s less_than_f64s less_than_or_equal_f64s and_m64s not_m64s first_true_m64s select_f64s reduce_max_f64s);
