//! [`Vector`]: pulp's SIMD operations by one name for `f32` and `f64`.

use crate::Real;
use pulp::Simd;

/// A component type with vectors of it, one component for each lane.
pub(super) trait Vector: Real {
    type V<S: Simd>: Copy;
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
    /// In each lane a if x = y, otherwise b.
    fn if_equal<S: Simd>(s: S, x: Self::V<S>, y: Self::V<S>, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
}

macro_rules! vector {
    ($t:ident $v:ident $as:ident $as_mut:ident $splat:ident $add:ident $sub:ident $mul:ident $div:ident $mul_add:ident
     $neg_mul_add:ident $max:ident $abs:ident $sqrt:ident $neg:ident $equal:ident $select:ident) => {
        impl Vector for $t {
            type V<S: Simd> = S::$v;
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
            fn if_equal<S: Simd>(s: S, x: S::$v, y: S::$v, a: S::$v, b: S::$v) -> S::$v {
                s.$select(s.$equal(x, y), a, b)
            }
        }
    };
}
vector!(f32 f32s as_simd_f32s as_mut_simd_f32s splat_f32s add_f32s sub_f32s mul_f32s div_f32s mul_add_f32s
    negate_mul_add_f32s max_f32s abs_f32s sqrt_f32s neg_f32s equal_f32s select_f32s);
vector!(f64 f64s as_simd_f64s as_mut_simd_f64s splat_f64s add_f64s sub_f64s mul_f64s div_f64s mul_add_f64s
    negate_mul_add_f64s max_f64s abs_f64s sqrt_f64s neg_f64s equal_f64s select_f64s);
