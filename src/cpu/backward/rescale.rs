//! Ā where the plain way leaves the range: of λ·2⁻ᵉ, λ̄·2⁻ʰ and V̄·2⁻ʰ⁻ᵉ the gradient is 2⁻ʰ·Ā.

use super::run::GroupBackward;
use super::run::Run;
use crate::cpu::range::{Power, exponent, is_extreme, lift};
use crate::cpu::transposed;
use crate::options::Problem;
use crate::{Cotangents, Eigenpairs, Element, ElementOf, Gradient, Scalar, Spectrum};

/// Scratch memory, made when it is first needed: copies of what is scaled, and what of them is
/// finite.
#[derive(Debug)]
pub(in crate::cpu) struct Rescaled<T: Element> {
    values: Vec<T::Real>,
    values_bar: Vec<T::Real>,
    v: Vec<T>,
    v_bar: Vec<T>,
    a_bar: Vec<T>,
    /// h of each matrix of the group.
    back: Vec<i32>,
    /// Whether Ā of each matrix is finite.
    pub finite: Vec<bool>,
}

impl<T: Scalar> Rescaled<T> {
    pub fn new() -> Self {
        let reals = Vec::new;
        Self { values: reals(), values_bar: reals(), v: vec![], v_bar: vec![], a_bar: vec![], back: vec![], finite: vec![] }
    }

    /// Ā of a group, of which the matrices that `leave_range` asks for are scaled; the others
    /// have the bits of the plain way.
    pub fn backward<O: ElementOf<T>, G: ElementOf<T>>(
        &mut self,
        problem: &Problem,
        group: Run<'_, '_, O, G>,
        leaves_range: impl Fn(usize) -> bool,
        method: &mut impl GroupBackward<T>,
    ) {
        let Run { n, pairs, cotangents, mut out } = group;
        let batch = pairs.spectrum.status.len();
        self.values.clear();
        self.values.extend(pairs.spectrum.values.iter().map(|x| x.widen()));
        self.v.clear();
        self.v.extend(pairs.vectors.iter().map(|x| x.widen()));
        self.values_bar.clear();
        self.values_bar.extend(cotangents.values.iter().flat_map(|x| x.iter()).map(|x| x.widen()));
        self.v_bar.clear();
        match cotangents.vectors {
            Some(rows) if cotangents.rows => transposed::columns(n, n, &rows, &mut self.v_bar),
            v_bar => self.v_bar.extend(v_bar.iter().flat_map(|x| x.iter()).map(|x| x.widen())),
        }
        self.a_bar.resize(batch * n * n, T::zero());
        self.back.clear();
        for b in 0..batch {
            let back = if leaves_range(b) || is_extreme(&pairs.spectrum.values[b * n..][..n]) {
                self.scale(n, b, &pairs.spectrum.kept)
            } else {
                0
            };
            self.back.push(back);
        }
        let found = &pairs.spectrum;
        let scaled = Run {
            n,
            pairs: Eigenpairs {
                spectrum: Spectrum {
                    values: found.values.like(&self.values),
                    kept: found.kept.like(&found.kept),
                    rank: found.rank.like(&found.rank),
                    gap_kept: found.gap_kept.like(&found.gap_kept),
                    gap_dropped: found.gap_dropped.like(&found.gap_dropped),
                    status: found.status.like(&found.status),
                },
                vectors: pairs.vectors.like(&self.v),
                problem: pairs.problem,
            },
            cotangents: Cotangents {
                values: cotangents.values.map(|x| x.like(&self.values_bar)),
                vectors: cotangents.vectors.map(|x| x.like(&self.v_bar)),
                rows: false,
            },
            out: Gradient {
                a_bar: out.a_bar.like_mut(&mut self.a_bar),
                gauge_defect: out.gauge_defect.reborrow(),
                tie_defect: out.tie_defect.reborrow(),
                status: out.status.reborrow(),
            },
        };
        method.backward::<T, T>(&problem.with_ties_of::<O>(), scaled);
        self.finite.clear();
        for (b, (to, from)) in out.a_bar.chunks_exact_mut(n * n).zip(self.a_bar.chunks_exact(n * n)).enumerate() {
            let power = Power::of(self.back[b]);
            let mut finite = true;
            for (to, &from) in to.iter_mut().zip(from) {
                let entry = T::from_parts(power.times(from.re()), power.times(from.im()));
                finite &= entry.finite();
                *to = G::narrow(entry);
            }
            self.finite.push(finite);
        }
    }

    /// Scales matrix `b` and returns h.
    fn scale(&mut self, n: usize, b: usize, kept: &[bool]) -> i32 {
        let (row, matrix) = (b * n..(b + 1) * n, b * n * n..(b + 1) * n * n);
        let values = &mut self.values[row.clone()];
        let e = lift(values);
        values.iter_mut().for_each(|x| *x = Power::of(-e).times(*x));
        let kept = &kept[row.clone()];
        let values_bar = self.values_bar.get_mut(row).unwrap_or_default();
        let v_bar = self.v_bar.get_mut(matrix).unwrap_or_default();
        let of_values = exponent(values_bar.iter().zip(kept).filter(|x| *x.1).map(|x| *x.0));
        let columns = v_bar.chunks_exact(n).zip(kept).filter(|x| *x.1);
        let of_vectors = exponent(columns.flat_map(|(column, _)| column.iter().flat_map(|x| [x.re(), x.im()])));
        let Some(h) = of_values.max(of_vectors.map(|v| v - e)) else { return 0 };
        let (of_values, of_vectors) = (Power::of(-h), Power::of(-h - e));
        values_bar.iter_mut().for_each(|x| *x = of_values.times(*x));
        v_bar.iter_mut().for_each(|x| *x = T::from_parts(of_vectors.times(x.re()), of_vectors.times(x.im())));
        h
    }
}
