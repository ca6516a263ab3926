//! λ̇ and V̇ of Ȧ, f(A), and the map E ↦ s·V (W ∘ Vᴴ E V) Vᴴ, of a group: docs/derivation.md, (4),
//! (5) and §11.

use super::formulas::Formulas;
use super::group::DerivativeGroup;
use super::multiply::{MultiplyBy, Term};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;

impl<S: Simd, R: Vector, const C: usize, W: MultiplyBy<S, R, C>> Formulas<S, R, C, W> {
    /// λ̇ = Re diag P and V̇ = V (F ∘ P), P = Vᴴ Ȧ V, 0 outside K.
    #[inline(always)]
    pub fn jvp(&self, group: &mut DerivativeGroup<R>) {
        self.congruence(&mut group.p, &group.given, &group.v, &mut group.temporary);
        self.omega(group);
        self.product(&mut group.out, Term::Set, &group.vh, &group.omega, &self.whole());
        self.mask(&mut group.out, &group.columns.label);
    }

    /// Ω = F ∘ P, anti-Hermitian, and diag P on K, from the upper triangle of P; and what P says of
    /// ties.
    #[inline(always)]
    pub fn omega(&self, group: &mut DerivativeGroup<R>) {
        self.tie_defect(group);
        let s = self.x.s;
        let (p, omega) = (self.x.numbers(&group.p), self.x.numbers_mut(&mut group.omega));
        let (f, label) = (R::vectors(s, &group.weights), R::vectors(s, &group.columns.label));
        let dot = R::vectors_mut(s, &mut group.columns.dot);
        for i in 0..self.n {
            for j in i + 1..self.n {
                let entry = self.x.scale(p[self.at(i, j)], f[self.at(i, j)]);
                omega[self.at(i, j)] = entry;
                omega[self.at(j, i)] = self.neg(self.x.conj(entry));
            }
            omega[self.at(i, i)] = self.real(self.x.zero());
            dot[i] = R::if_equal(s, label[i], self.x.zero(), self.x.zero(), p[self.at(i, i)][0]);
        }
    }

    /// The largest |P_ij| within a tied group relative to ‖P‖_F, which is ‖Ȧ‖_F: a direction that
    /// leaves the group tied has none.
    #[inline(always)]
    fn tie_defect(&self, group: &mut DerivativeGroup<R>) {
        let (s, zero) = (self.x.s, self.x.zero());
        let (mut largest, mut squares) = (zero, zero);
        if group.tied {
            let (p, label) = (self.x.numbers(&group.p), R::vectors(s, &group.columns.label));
            for i in 0..self.n {
                for j in i + 1..self.n {
                    let square = self.x.norm_sqr(p[self.at(i, j)]);
                    let within = R::if_equal(s, label[i], label[j], R::if_equal(s, label[i], zero, zero, square), zero);
                    largest = R::maxs(s, largest, within);
                    squares = R::mul_adds(s, square, self.splat(2.0), squares);
                }
                squares = R::adds(s, squares, self.x.norm_sqr(p[self.at(i, i)]));
            }
        }
        let defect = R::sqrts(s, R::divs(s, largest, R::if_equal(s, squares, zero, self.splat(1.0), squares)));
        R::vectors_mut(s, &mut group.tie_defect)[0] = defect;
    }

    /// V_K f(Λ_K) V_Kᴴ, f being 0 on D.
    #[inline(always)]
    pub fn spectral(&self, group: &mut DerivativeGroup<R>) {
        let (vh, f) = (self.x.numbers(&group.vh), R::vectors(self.x.s, &group.columns.f));
        let scaled = self.x.numbers_mut(&mut group.temporary);
        for i in 0..self.n {
            for (k, &f) in f.iter().enumerate() {
                scaled[self.at(k, i)] = self.x.scale(vh[self.at(k, i)], f);
            }
        }
        self.product(&mut group.out, Term::Set, &group.temporary, &group.vh, &self.upper());
        self.mirror(&mut group.out);
    }

    /// s·V (W ∘ Vᴴ E V) Vᴴ.
    #[inline(always)]
    pub fn map(&self, group: &mut DerivativeGroup<R>) {
        let s = self.x.s;
        self.congruence(&mut group.p, &group.given, &group.v, &mut group.temporary);
        let (p, w) = (self.x.numbers_mut(&mut group.p), R::vectors(s, &group.weights));
        let scale = R::vectors(s, &group.scale)[0];
        for i in 0..self.n {
            for j in i..self.n {
                let entry = self.x.scale(self.x.scale(p[self.at(i, j)], w[self.at(i, j)]), scale);
                p[self.at(i, j)] = entry;
                p[self.at(j, i)] = if i == j { self.real(entry[0]) } else { self.x.conj(entry) };
            }
        }
        self.expand(&mut group.out, &group.p, &group.vh, &mut group.temporary);
    }
}
