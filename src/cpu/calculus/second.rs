//! The double backward pass and the tangent of Ā, of a group: docs/derivation.md §9 and §10.

use super::formulas::Formulas;
use super::group::DerivativeGroup;
use super::multiply::{MultiplyBy, OutputPart, Term};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;

impl<S: Simd, R: Vector, const C: usize, W: MultiplyBy<S, R, C>> Formulas<S, R, C, W> {
    /// Cotangents of A, λ̄ and V̄ of a cotangent H of Ā, into `out`, `dot` and `given`. At first
    /// `given` holds H, `out` V̄, `more` and `bar_dot` what comes from downstream; `p` is Q and `x`
    /// is Xᴴ.
    #[inline(always)]
    pub fn double_backward(&self, group: &mut DerivativeGroup<R>) {
        self.congruence(&mut group.p, &group.given, &group.v, &mut group.temporary);
        self.omega(group);
        self.mirror(&mut group.p);
        group.x.fill(R::zero());
        if group.with_bar {
            self.mask(&mut group.out, &group.columns.label);
            self.product(&mut group.x, Term::Set, &group.out, &group.v, &self.whole());
        }
        self.gradient(group, Side::Adjoint);
        // M − Mᴴ, M = 2 Q G − X (F ∘ Q) + Vᴴ V̄
        group.out.fill(R::zero());
        self.add_skew(&mut group.out, &group.p, &group.g);
        if group.with_bar {
            self.add_skew(&mut group.out, &group.omega, &group.x);
        }
        if group.with_more {
            self.mask(&mut group.more, &group.columns.label);
            self.add_skew(&mut group.out, &group.v, &group.more);
        }
        self.null_block(group);
        self.weigh_double(group);
        self.product(&mut group.given, Term::Set, &group.vh, &group.omega, &self.whole());
        self.mask(&mut group.given, &group.columns.label);
        self.expand(&mut group.out, &group.g, &group.vh, &mut group.temporary);
    }

    /// (F ∘ Q)(F ∘ X)ᴴ and its adjoint on D×D, into `temporary`.
    #[inline(always)]
    fn null_block(&self, group: &mut DerivativeGroup<R>) {
        let dropped = group.dropped.clone();
        if dropped.is_empty() {
            return;
        }
        let f = R::vectors(self.x.s, &group.weights);
        let (x, fx) = (self.x.numbers(&group.x), self.x.numbers_mut(&mut group.fx));
        for i in 0..self.n {
            for j in i + 1..self.n {
                fx[self.at(i, j)] = self.x.scale(x[self.at(i, j)], f[self.at(i, j)]);
                fx[self.at(j, i)] = self.neg(self.x.scale(x[self.at(j, i)], f[self.at(i, j)]));
            }
            fx[self.at(i, i)] = self.real(self.x.zero());
        }
        let part = OutputPart { rows: dropped.clone(), columns: dropped, ..self.upper() };
        self.product(&mut group.temporary, Term::Set, &group.omega, &group.fx, &part);
        self.product(&mut group.temporary, Term::Add, &group.fx, &group.omega, &part);
    }

    /// B of Ā = V B Vᴴ, in place of 2G: ½ F ∘ (M − Mᴴ), ℓ on the diagonal, on D×D half of what
    /// `null_block` left.
    #[inline(always)]
    fn weigh_double(&self, group: &mut DerivativeGroup<R>) {
        let (s, half) = (self.x.s, self.splat(0.5));
        let (m, null) = (self.x.numbers(&group.out), self.x.numbers(&group.temporary));
        let (omega, g) = (self.x.numbers(&group.omega), self.x.numbers_mut(&mut group.g));
        let (f, label) = (R::vectors(s, &group.weights), R::vectors(s, &group.columns.label));
        let ell = R::vectors_mut(s, &mut group.columns.bar_dot);
        for i in 0..self.n {
            for j in i + 1..self.n {
                let at = self.at(i, j);
                let slope = self.dot(omega[at], g[at]);
                ell[i] = R::adds(s, ell[i], slope);
                ell[j] = R::subs(s, ell[j], slope);
                let mut entry = self.x.scale(self.x.scale(m[at], f[at]), half);
                if group.dropped.contains(&i) && group.dropped.contains(&j) {
                    entry = self.unless_dropped([label[i], label[j]], entry, self.x.scale(null[at], half));
                }
                g[at] = entry;
                g[self.at(j, i)] = self.x.conj(entry);
            }
        }
        for j in 0..self.n {
            let mut entry = self.real(ell[j]);
            if group.dropped.contains(&j) {
                entry = self.unless_dropped([label[j]; 2], entry, self.x.scale(self.real(null[self.at(j, j)][0]), half));
            }
            g[self.at(j, j)] = entry;
        }
    }

    /// The tangent of Ā, into `out`. At first `given` holds Ȧ, `out` V̄, `more` V̄̇, `bar_dot` λ̄̇; `x`
    /// is X.
    #[inline(always)]
    pub fn backward_jvp(&self, group: &mut DerivativeGroup<R>) {
        self.congruence(&mut group.p, &group.given, &group.v, &mut group.temporary);
        self.omega(group);
        group.x.fill(R::zero());
        if group.with_bar {
            self.mask(&mut group.out, &group.columns.label);
            self.product(&mut group.x, Term::Set, &group.v, &group.out, &self.whole());
        }
        self.gradient(group, Side::Direct);
        // Ẋ − Ẋᴴ, Ẋ = Vᴴ V̄̇ − Ω X
        group.out.fill(R::zero());
        if group.with_bar {
            self.add_skew(&mut group.out, &group.omega, &group.x);
        }
        if group.with_more {
            self.mask(&mut group.more, &group.columns.label);
            self.add_skew(&mut group.out, &group.v, &group.more);
        }
        self.null_rotation(group);
        // G Ω − Ω G, twice
        self.product(&mut group.temporary, Term::Set, &group.omega, &group.g, &self.upper());
        self.product(&mut group.temporary, Term::Add, &group.g, &group.omega, &self.upper());
        self.weigh_tangent(group);
        self.expand(&mut group.out, &group.p, &group.vh, &mut group.temporary);
    }

    /// P_DD (F ∘ X)_DK, into `given`.
    #[inline(always)]
    fn null_rotation(&self, group: &mut DerivativeGroup<R>) {
        let dropped = group.dropped.clone();
        if dropped.is_empty() {
            return;
        }
        let (s, zero) = (self.x.s, self.real(self.x.zero()));
        let (f, label) = (R::vectors(s, &group.weights), R::vectors(s, &group.columns.label));
        let (p, x, fx) = (self.x.numbers_mut(&mut group.p), self.x.numbers(&group.x), self.x.numbers_mut(&mut group.fx));
        for i in 0..self.n {
            for j in i..self.n {
                let (at, mirrored, labels) = (self.at(i, j), self.at(j, i), [label[i], label[j]]);
                p[at] = self.unless_dropped(labels, zero, p[at]);
                p[mirrored] = self.x.conj(p[at]);
                if i < j {
                    let (upper, lower) = (self.x.scale(x[at], f[at]), self.neg(self.x.scale(x[mirrored], f[at])));
                    fx[at] = self.unless_dropped([label[i]; 2], zero, upper);
                    fx[mirrored] = self.unless_dropped([label[j]; 2], zero, lower);
                } else {
                    fx[at] = zero;
                }
            }
        }
        let part = OutputPart { rows: dropped.clone(), inner: dropped, ..self.whole() };
        self.product(&mut group.given, Term::Set, &group.p, &group.fx, &part);
    }

    /// Ω G − G Ω + Ġ, in place of P: Ġ = ½ F ∘ (Ẋ − Ẋᴴ − (λ̇_j − λ̇_i) 2G), with P_DD (F ∘ X)_DK on
    /// D×K, and λ̄̇ on the diagonal.
    #[inline(always)]
    fn weigh_tangent(&self, group: &mut DerivativeGroup<R>) {
        let (s, half) = (self.x.s, self.splat(0.5));
        let (x_dot, turned, null) = (self.x.numbers(&group.out), self.x.numbers(&group.temporary), self.x.numbers(&group.given));
        let (g, p) = (self.x.numbers(&group.g), self.x.numbers_mut(&mut group.p));
        let (f, label) = (R::vectors(s, &group.weights), R::vectors(s, &group.columns.label));
        let (dot, bar_dot) = (R::vectors(s, &group.columns.dot), R::vectors(s, &group.columns.bar_dot));
        let zero = self.real(self.x.zero());
        for i in 0..self.n {
            for j in i + 1..self.n {
                let (at, mirrored) = (self.at(i, j), self.at(j, i));
                let mut sum = self.sub(x_dot[at], self.x.scale(g[at], R::subs(s, dot[j], dot[i])));
                if group.dropped.contains(&i) {
                    sum = self.add(sum, self.unless_dropped([label[i]; 2], zero, null[at]));
                }
                if group.dropped.contains(&j) {
                    sum = self.sub(sum, self.unless_dropped([label[j]; 2], zero, self.x.conj(null[mirrored])));
                }
                let entry = self.x.scale(self.sub(self.x.scale(sum, f[at]), turned[at]), half);
                p[at] = entry;
                p[mirrored] = self.x.conj(entry);
            }
            let turned = R::muls(s, turned[self.at(i, i)][0], half);
            p[self.at(i, i)] = self.real(R::subs(s, bar_dot[i], turned));
        }
    }

    /// 2G = 2 diag λ̄ + F ∘ (X − Xᴴ), all of it.
    #[inline(always)]
    fn gradient(&self, group: &mut DerivativeGroup<R>, side: Side) {
        let s = self.x.s;
        let (x, g) = (self.x.numbers(&group.x), self.x.numbers_mut(&mut group.g));
        let (f, bar) = (R::vectors(s, &group.weights), R::vectors(s, &group.columns.bar));
        for i in 0..self.n {
            for j in i + 1..self.n {
                let (at, mirrored) = (self.at(i, j), self.at(j, i));
                let twice_skew = match side {
                    Side::Direct => self.sub(x[at], self.x.conj(x[mirrored])),
                    Side::Adjoint => self.sub(self.x.conj(x[mirrored]), x[at]),
                };
                g[at] = self.x.scale(twice_skew, f[at]);
                g[mirrored] = self.x.conj(g[at]);
            }
            g[self.at(i, i)] = self.real(R::adds(s, bar[i], bar[i]));
        }
    }
}

/// Whether `x` is X or Xᴴ.
#[derive(Clone, Copy)]
enum Side {
    Direct,
    Adjoint,
}
