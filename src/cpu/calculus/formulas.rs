//! What the formulas have in common: arithmetic on a group, P = Vᴴ A V, V M Vᴴ, triangles and
//! masks.

use super::group::DerivativeGroup;
use super::multiply::{MultiplyBy, OutputPart, Term};
use crate::Triangle;
use crate::cpu::lanes::matrices::LaneMatrices;
use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::marker::PhantomData;

/// Arithmetic on the matrices of a group, and the way to multiply them.
pub(super) struct Formulas<S, R, const C: usize, W> {
    pub x: Numbers<S, R, C>,
    matrices: LaneMatrices<S, R, C>,
    pub n: usize,
    way: PhantomData<W>,
}

impl<S: Simd, R: Vector, const C: usize, W: MultiplyBy<S, R, C>> Formulas<S, R, C, W> {
    #[inline(always)]
    pub fn new(s: S, n: usize) -> Self {
        let matrices = LaneMatrices::new(s, n);
        Self { x: matrices.x, matrices, n, way: PhantomData }
    }

    /// All of a matrix.
    #[inline(always)]
    pub fn whole(&self) -> OutputPart {
        let n = self.n;
        OutputPart { rows: 0..n, columns: 0..n, inner: 0..n, upper: false }
    }

    /// Its upper triangle.
    #[inline(always)]
    pub fn upper(&self) -> OutputPart {
        OutputPart { upper: true, ..self.whole() }
    }

    /// C = Aᴴ B, or C ± Aᴴ B.
    #[inline(always)]
    pub fn product(&self, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart) {
        W::multiply(&self.matrices, c, term, a, b, part);
    }

    /// C ± (Aᴴ B − Bᴴ A), the upper triangle.
    #[inline(always)]
    pub fn add_skew(&self, c: &mut [R], a: &[R], b: &[R]) {
        self.product(c, Term::Add, a, b, &self.upper());
        self.product(c, Term::Subtract, b, a, &self.upper());
    }

    /// P = Vᴴ A V of a Hermitian A, the upper triangle.
    #[inline(always)]
    pub fn congruence(&self, p: &mut [R], a: &[R], v: &[R], temporary: &mut [R]) {
        self.product(temporary, Term::Set, a, v, &self.whole());
        self.product(p, Term::Set, v, temporary, &self.upper());
    }

    /// V M Vᴴ of a Hermitian M, both triangles.
    #[inline(always)]
    pub fn expand(&self, out: &mut [R], m: &[R], vh: &[R], temporary: &mut [R]) {
        self.product(temporary, Term::Set, m, vh, &self.whole());
        self.product(out, Term::Set, temporary, vh, &self.upper());
        self.mirror(out);
    }

    /// Vᴴ.
    #[inline(always)]
    pub fn adjoin(&self, group: &mut DerivativeGroup<R>) {
        let (v, vh) = (self.x.numbers(&group.v), self.x.numbers_mut(&mut group.vh));
        for k in 0..self.n {
            for i in 0..self.n {
                vh[self.at(k, i)] = self.x.conj(v[self.at(i, k)]);
            }
        }
    }

    /// A Hermitian matrix: its other triangle by the one that is read, a real diagonal.
    #[inline(always)]
    pub fn complete(&self, a: &mut [R], triangle: Triangle) {
        match triangle {
            Triangle::Upper => self.mirror(a),
            Triangle::Lower => {
                let a = self.x.numbers_mut(a);
                for i in 0..self.n {
                    for j in 0..i {
                        a[self.at(j, i)] = self.x.conj(a[self.at(i, j)]);
                    }
                    a[self.at(i, i)] = self.real(a[self.at(i, i)][0]);
                }
            }
        }
    }

    /// An upper triangle as a whole Hermitian matrix.
    #[inline(always)]
    pub fn mirror(&self, a: &mut [R]) {
        let a = self.x.numbers_mut(a);
        for i in 0..self.n {
            a[self.at(i, i)] = self.real(a[self.at(i, i)][0]);
            for j in i + 1..self.n {
                a[self.at(j, i)] = self.x.conj(a[self.at(i, j)]);
            }
        }
    }

    /// The columns outside K as 0, whatever they hold.
    #[inline(always)]
    pub fn mask(&self, a: &mut [R], label: &[R]) {
        let (a, label) = (self.x.numbers_mut(a), R::vectors(self.x.s, label));
        for row in a.chunks_exact_mut(self.matrices.stride).take(self.n) {
            for (x, &label) in row.iter_mut().zip(label) {
                for part in x {
                    *part = R::if_equal(self.x.s, label, self.x.zero(), self.x.zero(), *part);
                }
            }
        }
    }

    /// The number of entry (i, j).
    #[inline(always)]
    pub fn at(&self, i: usize, j: usize) -> usize {
        self.matrices.at(i, j)
    }

    #[inline(always)]
    pub fn real(&self, re: R::V<S>) -> Number<S, R, C> {
        self.x.real(re)
    }

    #[inline(always)]
    pub fn splat(&self, x: f64) -> R::V<S> {
        R::splat(self.x.s, R::of(x))
    }

    #[inline(always)]
    pub fn add(&self, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let mut sum = a;
        for (sum, b) in sum.iter_mut().zip(b) {
            *sum = R::adds(self.x.s, *sum, b);
        }
        sum
    }

    #[inline(always)]
    pub fn sub(&self, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let mut difference = a;
        for (difference, b) in difference.iter_mut().zip(b) {
            *difference = R::subs(self.x.s, *difference, b);
        }
        difference
    }

    #[inline(always)]
    pub fn neg(&self, a: Number<S, R, C>) -> Number<S, R, C> {
        let mut negative = a;
        for part in &mut negative {
            *part = R::negs(self.x.s, *part);
        }
        negative
    }

    /// Re(conj(a)·b).
    #[inline(always)]
    pub fn dot(&self, a: Number<S, R, C>, b: Number<S, R, C>) -> R::V<S> {
        let mut sum = self.x.zero();
        for part in 0..C {
            sum = R::mul_adds(self.x.s, a[part], b[part], sum);
        }
        sum
    }

    /// In each lane a where i or j is kept, b where both are dropped.
    #[inline(always)]
    pub fn unless_dropped(&self, labels: [R::V<S>; 2], a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let sum = R::adds(self.x.s, labels[0], labels[1]);
        let mut either = a;
        for (a, b) in either.iter_mut().zip(b) {
            *a = R::if_equal(self.x.s, sum, self.x.zero(), b, *a);
        }
        either
    }
}
