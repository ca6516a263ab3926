//! Real and complex numbers of vectors: scalar arithmetic, in every lane at once.

use super::vector::Vector;
use pulp::Simd;
use std::array::from_fn;
use std::marker::PhantomData;

/// Arithmetic on n×n matrices of numbers of C vectors, element (i, k) at `k·stride + i`.
pub(super) struct Numbers<S, R, const C: usize> {
    pub s: S,
    pub n: usize,
    pub padded: usize,
    pub stride: usize,
    pub component: PhantomData<R>,
}

pub(super) type Number<S, R, const C: usize> = [<R as Vector>::V<S>; C];

impl<S: Simd, R: Vector, const C: usize> Numbers<S, R, C> {
    #[inline(always)]
    pub fn numbers<'a>(&self, x: &'a [R]) -> &'a [Number<S, R, C>] {
        R::vectors(self.s, x).as_chunks().0
    }

    #[inline(always)]
    pub fn numbers_mut<'a>(&self, x: &'a mut [R]) -> &'a mut [Number<S, R, C>] {
        R::vectors_mut(self.s, x).as_chunks_mut().0
    }

    /// The first n numbers of consecutive columns.
    #[inline(always)]
    pub fn columns<'a, const N: usize>(&self, x: &'a [Number<S, R, C>], first: usize) -> [&'a [Number<S, R, C>]; N] {
        from_fn(|c| &x[(first + c) * self.stride..][..self.n])
    }

    #[inline(always)]
    pub fn zero(&self) -> R::V<S> {
        R::splat(self.s, R::zero())
    }

    #[inline(always)]
    pub fn scale(&self, x: Number<S, R, C>, by: R::V<S>) -> Number<S, R, C> {
        from_fn(|part| R::muls(self.s, x[part], by))
    }

    #[inline(always)]
    pub fn conj(&self, x: Number<S, R, C>) -> Number<S, R, C> {
        from_fn(|part| if part == 0 { x[0] } else { R::negs(self.s, x[part]) })
    }

    /// x + a·b.
    #[inline(always)]
    pub fn mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        from_fn(|part| match (C, part) {
            (1, _) => R::mul_adds(s, a[0], b[0], x[0]),
            (_, 0) => R::neg_mul_adds(s, a[1], b[1], R::mul_adds(s, a[0], b[0], x[0])),
            _ => R::mul_adds(s, a[1], b[0], R::mul_adds(s, a[0], b[1], x[1])),
        })
    }

    /// x + conj(a)·b.
    #[inline(always)]
    pub fn conj_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        from_fn(|part| match (C, part) {
            (1, _) => R::mul_adds(s, a[0], b[0], x[0]),
            (_, 0) => R::mul_adds(s, a[1], b[1], R::mul_adds(s, a[0], b[0], x[0])),
            _ => R::neg_mul_adds(s, a[1], b[0], R::mul_adds(s, a[0], b[1], x[1])),
        })
    }

    /// x − conj(a)·b.
    #[inline(always)]
    pub fn neg_conj_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        from_fn(|part| match (C, part) {
            (1, _) => R::neg_mul_adds(s, a[0], b[0], x[0]),
            (_, 0) => R::neg_mul_adds(s, a[1], b[1], R::neg_mul_adds(s, a[0], b[0], x[0])),
            _ => R::mul_adds(s, a[1], b[0], R::neg_mul_adds(s, a[0], b[1], x[1])),
        })
    }

    /// |x|².
    #[inline(always)]
    pub fn norm_sqr(&self, x: Number<S, R, C>) -> R::V<S> {
        x.iter().fold(self.zero(), |sum, &part| R::mul_adds(self.s, part, part, sum))
    }
}
