//! A = V Λ Vᴴ of small matrices, one in each SIMD lane: Householder, implicit QL, the way back.

use crate::cpu::lanes::back_transform::{read, reflect, write};
use crate::cpu::lanes::cut::{Select, Selections};
use crate::cpu::lanes::group::{EighGroup, part};
use crate::cpu::lanes::pack::pack;
use crate::cpu::lanes::ql::{Entry, Progress, Sweep, ql};
use crate::cpu::lanes::rayleigh::rayleigh;
use crate::cpu::lanes::rotations::{identity, rotate};
use crate::cpu::lanes::tridiagonal::Tridiagonalise;
use crate::cpu::simd::numbers::Numbers;
use crate::cpu::simd::vector::{Vector, dispatch, is_wide, lanes};
use crate::cpu::types::for_each_type;
use crate::options::Problem;
use crate::{Element, Result, Status, Triangle};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

/// The order N, or n if that is 0.
#[inline(always)]
fn order<const N: usize>(n: usize) -> usize {
    if N == 0 { n } else { N }
}

/// The lane solver, compiled once for each type and instruction set.
pub trait EighLanes: Element {
    /// Memory for a group, or two.
    fn group(n: usize) -> Result<EighGroup<Self::Real>>;
    /// λ and, where there is memory for them, V of at most as many matrices as the group holds.
    fn eigh_lanes(group: &mut EighGroup<Self::Real>, triangle: Triangle, a: &[Self], vectors: Option<&mut [Self]>);
    /// Cuts what [`EighLanes::eigh_lanes`] found, as many matrices as there is room for; whether
    /// all is as usual, see [`Select`].
    fn select_lanes(group: &mut EighGroup<Self::Real>, problem: &Problem, out: Selections<'_, Self::Real>) -> bool;
}

macro_rules! eigh_lanes {
    ($($t:ty: $real:ty, $parts:literal, $abreast:literal);*) => { $(
        impl EighLanes for $t {
            fn group(n: usize) -> Result<EighGroup<$real>> {
                EighGroup::new(n, $parts, $abreast, lanes::<$real>())
            }
            fn eigh_lanes(group: &mut EighGroup<$real>, triangle: Triangle, a: &[Self], vectors: Option<&mut [Self]>) {
                let (a, vectors) = (cast_slice(a), vectors.map(cast_slice_mut));
                dispatch(Solve::<'_, $real, $parts, $abreast> { group, triangle, a, vectors });
            }
            fn select_lanes(group: &mut EighGroup<$real>, problem: &Problem, out: Selections<'_, $real>) -> bool {
                dispatch(Select { group, problem, out })
            }
        }
    )* }
}
for_each_type!(eigh_lanes);

/// Decomposes a group, or two, stage by stage.
struct Solve<'a, R, const C: usize, const COLUMNS: usize> {
    group: &'a mut EighGroup<R>,
    triangle: Triangle,
    a: &'a [R],
    vectors: Option<&'a mut [R]>,
}

impl<R: Vector, const C: usize, const COLUMNS: usize> WithSimd for Solve<'_, R, C, COLUMNS> {
    type Output = ();

    /// The smallest orders are compiled for themselves: their loops are as short as what it takes
    /// to begin one.
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        if const { !is_wide::<S, R>() } {
            return self.solve::<S, 0>(s);
        }
        match self.group.n {
            4 => self.solve::<S, 4>(s),
            8 => self.solve::<S, 8>(s),
            16 => self.solve::<S, 16>(s),
            _ => self.solve::<S, 0>(s),
        }
    }
}

impl<R: Vector, const C: usize, const COLUMNS: usize> Solve<'_, R, C, COLUMNS> {
    /// Matrices of order N, or of any if that is 0.
    #[inline(always)]
    fn solve<S: Simd, const N: usize>(self, s: S) {
        let Self { group, triangle, a, mut vectors } = self;
        let size = group.n * group.n * C * group.width;
        let count = a.len().div_ceil(size);
        for (g, a) in a.chunks(size).enumerate() {
            s.vectorize(Reduce::<'_, R, C, COLUMNS, N> { group, g, triangle, a });
        }
        let with_vectors = vectors.is_some();
        match group.groups {
            1 => s.vectorize(ImplicitQl::<'_, R, 1, N> { group, count, with_vectors }),
            _ => s.vectorize(ImplicitQl::<'_, R, 2, N> { group, count, with_vectors }),
        }
        for g in 0..count {
            s.vectorize(Order::<'_, R, N> { group, g });
            if let Some(vectors) = vectors.as_mut().and_then(|vectors| vectors.chunks_mut(size).nth(g)) {
                s.vectorize(TransformBack::<'_, R, C, COLUMNS, N> { group, g, vectors });
            }
        }
    }
}

/// A ↦ T, reflectors, scale.
struct Reduce<'a, R, const C: usize, const PASS: usize, const N: usize> {
    group: &'a mut EighGroup<R>,
    g: usize,
    triangle: Triangle,
    a: &'a [R],
}

impl<R: Vector, const C: usize, const PASS: usize, const N: usize> WithSimd for Reduce<'_, R, C, PASS, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let x = Numbers::<S, R, C>::new(s);
        let group = self.group;
        let (n, groups) = (order::<N>(group.n), group.groups);
        let [a, tau, t] = [&group.a, &group.tau, &group.tridiagonal].map(|memory| part(memory, groups, self.g));
        let a = &mut x.numbers_mut(&mut group.a[a])[..n * (n + 1) / 2];
        let tau = &mut x.numbers_mut(&mut group.tau[tau])[..n];
        let t = &mut R::vectors_mut(s, &mut group.tridiagonal[t]).as_chunks_mut().0[..n];
        R::vectors_mut(s, &mut group.scale).as_chunks_mut().0[self.g] = pack(x, n, self.a, self.triangle, a);
        let rows = &mut x.numbers_mut(&mut group.rows).as_chunks_mut().0[..n];
        Tridiagonalise { x, n, a, tau, rows, t }.run::<PASS>();
    }
}

/// T ↦ Λ and Z of as many groups as there are; with Z, Λ is its Rayleigh quotients. Lanes that do
/// not converge are told from what is left of e.
struct ImplicitQl<'a, R, const G: usize, const N: usize> {
    group: &'a mut EighGroup<R>,
    count: usize,
    with_vectors: bool,
}

impl<R: Vector, const G: usize, const N: usize> WithSimd for ImplicitQl<'_, R, G, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { count, with_vectors, .. } = self;
        let EighGroup { n, tridiagonal, t, z, sweeps, rotations, .. } = self.group;
        let n = order::<N>(*n);
        let t: &mut [Entry<R::V<S>, G>] = &mut R::vectors_mut(s, t).as_chunks_mut().0.as_chunks_mut().0[..n];
        let of_groups: &[[R::V<S>; 2]] = R::vectors(s, tridiagonal).as_chunks().0;
        for (k, [d, e]) in t.iter_mut().enumerate() {
            for g in 0..G {
                let zeros = [R::splat(s, R::zero()); 2];
                [d[g], e[g]] = if g < count { of_groups[g * n + k] } else { zeros };
            }
        }
        let size = z.len() / G;
        if with_vectors {
            for z in z.chunks_exact_mut(size).take(count) {
                identity::<S, R>(s, n, R::vectors_mut(s, z));
            }
        }
        let mut progress = Progress::default();
        loop {
            sweeps.clear();
            let notes = if with_vectors { Some(&mut *sweeps) } else { None };
            let of_pairs = R::vectors_mut(s, rotations).as_chunks_mut().0.as_chunks_mut().0;
            let done = ql::<S, R, G>(s, t, &mut progress, notes, of_pairs);
            for (g, z) in z.chunks_exact_mut(size).take(count).enumerate() {
                s.vectorize(Rotate::<'_, R, G, N> { n, z, g, sweeps, rotations });
            }
            if done {
                break;
            }
        }
        if with_vectors {
            for (g, z) in z.chunks_exact(size).take(count).enumerate() {
                rayleigh::<S, R, G>(s, &of_groups[g * n..][..n], R::vectors(s, z), g, t);
            }
        }
    }
}

/// Z ↦ Z R₁ R₂ ⋯ of one group.
struct Rotate<'a, R, const G: usize, const N: usize> {
    n: usize,
    z: &'a mut [R],
    g: usize,
    sweeps: &'a [Sweep],
    rotations: &'a [R],
}

impl<R: Vector, const G: usize, const N: usize> WithSimd for Rotate<'_, R, G, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let rotations = R::vectors(s, self.rotations).as_chunks().0.as_chunks().0;
        rotate::<S, R, G>(s, order::<N>(self.n), R::vectors_mut(s, self.z), self.g, self.sweeps, rotations);
    }
}

/// Ranks of the eigenvalues of one group, λ in ascending order, statuses.
struct Order<'a, R, const N: usize> {
    group: &'a mut EighGroup<R>,
    g: usize,
}

impl<R: Vector, const N: usize> WithSimd for Order<'_, R, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (group, g) = (self.group, self.g);
        let EighGroup { n, width, groups, .. } = *group;
        let n = order::<N>(n);
        let (zero, one) = (R::splat(s, R::zero()), R::splat(s, R::one()));
        let t = R::vectors(s, &group.t);
        let (d, e) = (|k: usize| t[2 * k * groups + g], |k: usize| t[(2 * k + 1) * groups + g]);
        let [power, lower, finite] = R::vectors(s, &group.scale).as_chunks::<3>().0[g];
        let mut converged = one;
        for k in 0..n {
            let mut rank = zero;
            for i in 0..k {
                rank = R::adds(s, rank, R::select(s, R::at_most(s, d(i), d(k)), one, zero));
            }
            for i in k + 1..n {
                rank = R::adds(s, rank, R::select(s, R::less(s, d(i), d(k)), one, zero));
            }
            converged = R::select(s, R::equal(s, e(k), zero), converged, zero);
            let (lambda, rank) = ([R::muls(s, R::muls(s, d(k), power), lower)], [rank]);
            let lanes = cast_slice::<_, R>(&lambda).iter().zip(cast_slice::<_, R>(&rank));
            for (lane, (&lambda, &rank)) in lanes.enumerate() {
                let rank = rank.to_f64() as u32;
                group.lambda[(g * width + lane) * n + rank as usize] = lambda;
                group.ranks[k * width + lane] = rank;
            }
        }
        let (finite, converged) = ([finite], [converged]);
        let lanes = cast_slice::<_, R>(&finite).iter().zip(cast_slice::<_, R>(&converged));
        for (status, (&finite, &converged)) in group.status[g * width..].iter_mut().zip(lanes) {
            *status = Status::NOT_FINITE.when(finite == R::zero()) | Status::NOT_CONVERGED.when(converged == R::zero());
        }
    }
}

/// V of one group.
struct TransformBack<'a, R, const C: usize, const COLUMNS: usize, const N: usize> {
    group: &'a mut EighGroup<R>,
    g: usize,
    vectors: &'a mut [R],
}

impl<R: Vector, const C: usize, const COLUMNS: usize, const N: usize> WithSimd for TransformBack<'_, R, C, COLUMNS, N> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let x = Numbers::<S, R, C>::new(s);
        let group = self.group;
        let EighGroup { n, groups, width, .. } = *group;
        let n = order::<N>(n);
        let [a, tau, z] = [&group.a, &group.tau, &group.z].map(|memory| part(memory, groups, self.g));
        let (a, tau) = (&x.numbers(&group.a[a])[..n * (n + 1) / 2], &x.numbers(&group.tau[tau])[..n]);
        let z = R::vectors(s, &group.z[z]);
        let v = &mut x.numbers_mut(&mut group.v).as_chunks_mut::<COLUMNS>().0[..n];
        for first in (0..n).step_by(COLUMNS) {
            read(x, n, z, first, v);
            reflect(x, a, tau, v);
            let count = COLUMNS.min(n - first);
            write(x, v, &group.ranks[first * width..][..count * width], self.vectors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 6;

    /// λ, V and statuses of full groups; below the diagonal of one matrix's T there is NaN, which
    /// no sweep makes negligible.
    fn eigh(stuck: Option<usize>) -> (Vec<f64>, Vec<f64>, Vec<Status>) {
        let group = &mut f64::group(N).unwrap();
        let (width, size) = (group.width, N * N * group.width);
        let mut random = fastrand::Rng::with_seed(11);
        let a: Vec<f64> = (0..group.groups * size).map(|_| random.f64() - 0.5).collect();
        for (g, a) in a.chunks(size).enumerate() {
            dispatch(Reduce::<'_, f64, 1, 4, 0> { group, g, triangle: Triangle::Lower, a });
        }
        if let Some(b) = stuck {
            let row = b / width * N + N / 2;
            group.tridiagonal[(2 * row + 1) * width + b % width] = f64::NAN;
        }
        let count = group.groups;
        dispatch(ImplicitQl::<'_, f64, 2, 0> { group, count, with_vectors: true });
        let mut v = vec![0.0; a.len()];
        for (g, vectors) in v.chunks_mut(size).enumerate() {
            dispatch(Order::<'_, f64, 0> { group, g });
            dispatch(TransformBack::<'_, f64, 1, 4, 0> { group, g, vectors });
        }
        (group.lambda.clone(), v, group.status.clone())
    }

    #[test]
    fn a_lane_that_does_not_converge_leaves_the_others_alone() {
        let (lambda, v, status) = eigh(None);
        assert_eq!(status, vec![Status::OK; status.len()]);
        for stuck in 0..status.len() {
            let (lambda_beside, v_beside, status) = eigh(Some(stuck));
            for (b, status) in status.into_iter().enumerate() {
                if b == stuck {
                    assert_eq!(status, Status::NOT_CONVERGED);
                    continue;
                }
                assert_eq!(status, Status::OK, "{b} beside {stuck}");
                assert_eq!(lambda_beside[b * N..][..N], lambda[b * N..][..N], "{b} beside {stuck}");
                assert_eq!(v_beside[b * N * N..][..N * N], v[b * N * N..][..N * N], "{b} beside {stuck}");
            }
        }
    }
}
