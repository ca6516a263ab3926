//! λ̇ and V̇ of Ȧ, f(A), and the map E ↦ s·V (W ∘ Vᴴ E V) Vᴴ, of a group: docs/derivation.md, (4), (5) and §11.

use super::formulas::Formulas;
use super::group::Group;
use super::multiply::{Term, Way};
use crate::cpu::vector::Vector;
use pulp::Simd;

impl<S: Simd, R: Vector, const C: usize, W: Way<R, C>> Formulas<S, R, C, W> {
    /// λ̇ = Re diag P and V̇ = V (F ∘ P), P = Vᴴ Ȧ V, 0 outside K.
    #[inline(always)]
    pub fn jvp(&self, group: &mut Group<R>) {
        self.congruence(&mut group.p, &group.given, &group.v, &mut group.temporary);
        self.omega(group);
        self.product(&mut group.out, Term::Set, &group.vh, &group.omega, &self.whole());
        self.mask(&mut group.out, &group.columns.label);
    }

    /// Ω = F ∘ P, anti-Hermitian, and diag P on K, from the upper triangle of P.
    #[inline(always)]
    pub fn omega(&self, group: &mut Group<R>) {
        let s = self.x.s;
        let (p, omega) = (self.x.numbers(&group.p), self.x.numbers_mut(&mut group.omega));
        let (f, label) = (R::vectors(s, &group.weights), R::vectors(s, &group.columns.label));
        let dot = R::vectors_mut(s, &mut group.columns.dot);
        for j in 0..self.shape.n {
            for i in 0..j {
                let entry = self.x.scale(p[self.at(i, j)], f[self.at(i, j)]);
                omega[self.at(i, j)] = entry;
                omega[self.at(j, i)] = self.neg(self.x.conj(entry));
            }
            omega[self.at(j, j)] = self.real(self.x.zero());
            dot[j] = R::if_equal(s, label[j], self.x.zero(), self.x.zero(), p[self.at(j, j)][0]);
        }
    }

    /// V_K f(Λ_K) V_Kᴴ, f being 0 on D.
    #[inline(always)]
    pub fn spectral(&self, group: &mut Group<R>) {
        let (vh, f) = (self.x.numbers(&group.vh), R::vectors(self.x.s, &group.columns.f));
        let scaled = self.x.numbers_mut(&mut group.temporary);
        for i in 0..self.shape.n {
            for (k, &f) in f.iter().enumerate() {
                scaled[self.at(k, i)] = self.x.scale(vh[self.at(k, i)], f);
            }
        }
        self.product(&mut group.out, Term::Set, &group.temporary, &group.vh, &self.upper());
        self.by_rows(&mut group.out);
    }

    /// s·V (W ∘ Vᴴ E V) Vᴴ.
    #[inline(always)]
    pub fn map(&self, group: &mut Group<R>) {
        let s = self.x.s;
        self.congruence(&mut group.p, &group.given, &group.v, &mut group.temporary);
        let (p, w) = (self.x.numbers_mut(&mut group.p), R::vectors(s, &group.weights));
        let scale = R::vectors(s, &group.scale)[0];
        for j in 0..self.shape.n {
            for i in 0..=j {
                let entry = self.x.scale(self.x.scale(p[self.at(i, j)], w[self.at(i, j)]), scale);
                p[self.at(i, j)] = entry;
                p[self.at(j, i)] = if i == j { self.real(entry[0]) } else { self.x.conj(entry) };
            }
        }
        self.expand(&mut group.out, &group.p, &group.vh, &mut group.temporary);
    }
}
