//! Real and complex numbers of vectors: scalar arithmetic, in every lane at once.
//!
//! Loops over the parts, not closures: what is not inlined is compiled without the instruction set,
//! and then calls each operation.

use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::marker::PhantomData;

/// Arithmetic on numbers of C vectors.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Numbers<S, R, const C: usize> {
    pub s: S,
    component: PhantomData<R>,
}

pub(in crate::cpu) type Number<S, R, const C: usize> = [<R as Vector>::V<S>; C];

impl<S: Simd, R: Vector, const C: usize> Numbers<S, R, C> {
    #[inline(always)]
    pub fn new(s: S) -> Self {
        Self { s, component: PhantomData }
    }

    #[inline(always)]
    pub fn numbers<'a>(&self, x: &'a [R]) -> &'a [Number<S, R, C>] {
        R::vectors(self.s, x).as_chunks().0
    }

    #[inline(always)]
    pub fn numbers_mut<'a>(&self, x: &'a mut [R]) -> &'a mut [Number<S, R, C>] {
        R::vectors_mut(self.s, x).as_chunks_mut().0
    }

    #[inline(always)]
    pub fn zero(&self) -> R::V<S> {
        R::splat(self.s, R::zero())
    }

    #[inline(always)]
    pub fn splat(&self, x: R) -> R::V<S> {
        R::splat(self.s, x)
    }

    /// a·b.
    #[inline(always)]
    pub fn mul(&self, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        self.mul_add([self.zero(); C], a, b)
    }

    #[inline(always)]
    pub fn scale(&self, x: Number<S, R, C>, by: R::V<S>) -> Number<S, R, C> {
        let mut y = x;
        for y in &mut y {
            *y = R::muls(self.s, *y, by);
        }
        y
    }

    #[inline(always)]
    pub fn conj(&self, x: Number<S, R, C>) -> Number<S, R, C> {
        let mut y = x;
        for y in &mut y[1..] {
            *y = R::negs(self.s, *y);
        }
        y
    }

    /// x + a·b.
    #[inline(always)]
    pub fn mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        let mut y = x;
        for (part, y) in y.iter_mut().enumerate() {
            *y = match (C, part) {
                (1, _) => R::mul_adds(s, a[0], b[0], x[0]),
                (_, 0) => R::neg_mul_adds(s, a[1], b[1], R::mul_adds(s, a[0], b[0], x[0])),
                _ => R::mul_adds(s, a[1], b[0], R::mul_adds(s, a[0], b[1], x[1])),
            };
        }
        y
    }

    /// x − a·b.
    #[inline(always)]
    pub fn neg_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        let mut y = x;
        for (part, y) in y.iter_mut().enumerate() {
            *y = match (C, part) {
                (1, _) => R::neg_mul_adds(s, a[0], b[0], x[0]),
                (_, 0) => R::mul_adds(s, a[1], b[1], R::neg_mul_adds(s, a[0], b[0], x[0])),
                _ => R::neg_mul_adds(s, a[1], b[0], R::neg_mul_adds(s, a[0], b[1], x[1])),
            };
        }
        y
    }

    /// x + conj(a)·b.
    #[inline(always)]
    pub fn conj_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        let mut y = x;
        for (part, y) in y.iter_mut().enumerate() {
            *y = match (C, part) {
                (1, _) => R::mul_adds(s, a[0], b[0], x[0]),
                (_, 0) => R::mul_adds(s, a[1], b[1], R::mul_adds(s, a[0], b[0], x[0])),
                _ => R::neg_mul_adds(s, a[1], b[0], R::mul_adds(s, a[0], b[1], x[1])),
            };
        }
        y
    }

    /// x − conj(a)·b.
    #[inline(always)]
    pub fn neg_conj_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        let mut y = x;
        for (part, y) in y.iter_mut().enumerate() {
            *y = match (C, part) {
                (1, _) => R::neg_mul_adds(s, a[0], b[0], x[0]),
                (_, 0) => R::neg_mul_adds(s, a[1], b[1], R::neg_mul_adds(s, a[0], b[0], x[0])),
                _ => R::mul_adds(s, a[1], b[0], R::neg_mul_adds(s, a[0], b[1], x[1])),
            };
        }
        y
    }

    /// A real number.
    #[inline(always)]
    pub fn real(&self, re: R::V<S>) -> Number<S, R, C> {
        let mut x = [self.zero(); C];
        x[0] = re;
        x
    }

    /// |x|².
    #[inline(always)]
    pub fn norm_sqr(&self, x: Number<S, R, C>) -> R::V<S> {
        let mut sum = self.zero();
        for part in x {
            sum = R::mul_adds(self.s, part, part, sum);
        }
        sum
    }
}
