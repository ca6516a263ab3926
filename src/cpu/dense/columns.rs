//! The columns of one matrix that take part in its gradient: V, V̄, X = Vᴴ V̄, and G of
//! docs/derivation.md, equation (7), made of it.

use crate::cpu::backward::run::Column;
use crate::cpu::dense::matrix::Matrix;
use crate::cpu::memory::filled;
use crate::{Dropped, Element, Real, Result, Scalar};
use faer::{MatMut, MatRef};
use num_traits::Float;
use pulp::Arch;

/// The side of the tiles that are mirrored in the first cache.
pub(in crate::cpu) const TILE: usize = 16;

/// What F is made of in the rows of a tile.
struct Tile<R> {
    lambda: [R; TILE],
    label: [R; TILE],
    inverse: [R; TILE],
}

/// Scratch memory for up to r columns of n components.
#[derive(Debug)]
pub(in crate::cpu) struct Columns<T: Scalar> {
    /// Those that take part, in order of k.
    pub of: Vec<Column<T::Real>>,
    pub v: Matrix<T>,
    pub v_bar: Matrix<T>,
    x: Matrix<T>,
    /// ‖V̄_k‖, where a defect is to be divided by it.
    norms: Vec<T::Real>,
    pub gauge_defect: Vec<T::Real>,
    pub tie_defect: T::Real,
    pub dropped: Dropped,
    pub with_vectors_bar: bool,
    tied: bool,
}

impl<T: Scalar> Columns<T> {
    pub(in crate::cpu) fn new(n: usize, r: usize) -> Result<Self> {
        Ok(Self {
            of: Vec::with_capacity(r),
            v: Matrix::zeros(n, r)?,
            v_bar: Matrix::zeros(n, r)?,
            x: Matrix::zeros(r, r)?,
            norms: filled(T::Real::of(0.0), r)?,
            gauge_defect: filled(T::Real::of(0.0), r)?,
            tie_defect: T::Real::of(0.0),
            dropped: Dropped::AsComputed,
            with_vectors_bar: false,
            tied: false,
        })
    }

    /// Begins a matrix; `tied` says whether labels agree outside D.
    pub(in crate::cpu) fn start(&mut self, dropped: Dropped, with_vectors_bar: bool, tied: bool) {
        self.of.clear();
        self.norms.fill(T::Real::of(0.0));
        self.gauge_defect.fill(T::Real::of(0.0));
        self.tie_defect = T::Real::of(0.0);
        (self.dropped, self.with_vectors_bar, self.tied) = (dropped, with_vectors_bar, tied);
    }

    /// Adds a column if it takes part.
    pub(in crate::cpu) fn column(&mut self, column: Column<T::Real>) {
        let kept = column.label > T::Real::of(0.0);
        if kept || (self.dropped == Dropped::AsComputed && self.with_vectors_bar) {
            self.of.push(column); // otherwise D takes no part
        }
    }

    /// Copies what belongs to the columns out of V and of V̄, which may be given by its rows.
    pub(in crate::cpu) fn load<O: Element<Scalar = T>>(&mut self, v: &[O], v_bar: Option<&[O]>, rows: bool) {
        let (n, columns) = (self.v.rows(), v.len() / self.v.rows().max(1));
        for c in 0..self.of.len() {
            let Column { k, label, .. } = self.of[c];
            let copy = |to: &mut [T], from: &[O]| to.iter_mut().zip(&from[k * n..]).for_each(|(to, x)| *to = x.widen());
            copy(self.v.column_mut(c), v);
            match v_bar.filter(|_| label > T::Real::of(0.0)) {
                Some(v_bar) if rows => {
                    let from = v_bar[k..].iter().step_by(columns);
                    self.v_bar.column_mut(c).iter_mut().zip(from).for_each(|(to, x)| *to = x.widen());
                }
                Some(v_bar) => copy(self.v_bar.column_mut(c), v_bar),
                None => self.v_bar.column_mut(c).fill(T::zero()),
            }
        }
    }

    pub(in crate::cpu) fn v(&self) -> MatRef<'_, T> {
        self.v.as_ref().subcols(0, self.of.len())
    }

    pub(in crate::cpu) fn v_bar(&self) -> MatRef<'_, T> {
        self.v_bar.as_ref().subcols(0, self.of.len())
    }

    /// X, or G once it has been made.
    pub(in crate::cpu) fn x(&self) -> MatRef<'_, T> {
        self.x.as_ref().submatrix(0, 0, self.of.len(), self.of.len())
    }

    pub(in crate::cpu) fn x_mut(&mut self) -> MatMut<'_, T> {
        self.x.as_mut().submatrix_mut(0, 0, self.of.len(), self.of.len())
    }

    /// X = Vᴴ V̄, and what it says of phases and of ties.
    pub(in crate::cpu) fn project(&mut self) {
        let r = self.of.len();
        let (v, v_bar) = (self.v.as_ref().subcols(0, r), self.v_bar.as_ref().subcols(0, r));
        T::adjoint_times(self.x.as_mut().submatrix_mut(0, 0, r, r), v, v_bar);
        if T::COMPLEX || self.tied {
            (0..r).for_each(|c| self.gauge(c));
        }
        if self.tied {
            self.compare_ties();
        }
    }

    /// ‖V̄_k‖ and ρ_k = |Im X_kk| / ‖V̄_k‖; where squares might over- or underflow, by V̄_k scaled.
    fn gauge(&mut self, c: usize) {
        let (Column { k, label, .. }, zero) = (self.of[c], T::Real::of(0.0));
        if label == zero {
            return;
        }
        let (v, v_bar) = (self.v.column(c), self.v_bar.column(c));
        let norm = Float::sqrt(sum_of_squares(v_bar));
        let least = Float::sqrt(<T::Real as Float>::min_positive_value()) / Float::epsilon();
        if least <= norm && norm <= T::Real::of(1.0) / least {
            self.norms[k] = norm;
            self.gauge_defect[k] = Float::abs(self.x[(c, c)].im()) / norm;
            return;
        }
        let size = |x: &T| Float::max(Float::abs(x.re()), Float::abs(x.im()));
        let largest = v_bar.iter().map(size).fold(Float::min_positive_value(), Float::max);
        let scale = T::Real::of(1.0) / largest;
        let (mut square, mut x) = (zero, T::zero());
        for (&v, &v_bar) in v.iter().zip(v_bar) {
            let v_bar = v_bar.scale(scale);
            square += v_bar.norm_sqr();
            x += v.conj() * v_bar;
        }
        if square != zero {
            self.norms[k] = largest * Float::sqrt(square);
            self.gauge_defect[k] = Float::abs(x.im()) / Float::sqrt(square);
        }
    }

    /// The largest |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) where labels agree.
    fn compare_ties(&mut self) {
        let half = T::Real::of(0.5);
        for (j, cj) in self.of.iter().enumerate() {
            for (i, ci) in self.of[..j].iter().enumerate().filter(|(_, ci)| ci.label == cj.label) {
                let norm = Float::max(self.norms[ci.k], self.norms[cj.k]);
                if norm > T::Real::of(0.0) {
                    let skew = (self.x[(i, j)] - self.x[(j, i)].conj()).scale(half);
                    let defect = T::from_parts(skew.re() / norm, skew.im() / norm);
                    self.tie_defect = Float::max(self.tie_defect, Float::sqrt(defect.norm_sqr()));
                }
            }
        }
    }

    /// X = Vᴴ V̄ ↦ G = diag λ̄ + F ∘ skew(X), or under λ_D = 0 the G' = ½(G − X Λ⁻¹) of equation
    /// (10), in place.
    pub(in crate::cpu) fn weigh(&mut self) {
        Arch::new().dispatch(|| self.weigh_tiles());
    }

    /// Tile by tile, each with its mirror image.
    #[inline(always)]
    fn weigh_tiles(&mut self) {
        let (half, one, zero) = (T::Real::of(0.5), T::Real::of(1.0), T::Real::of(0.0));
        let r = self.of.len();
        let mut mirror = [[T::zero(); TILE]; TILE];
        let mut row = Tile { lambda: [zero; TILE], label: [zero; TILE], inverse: [zero; TILE] };
        for i0 in (0..r).step_by(TILE) {
            let rows = i0..r.min(i0 + TILE);
            for (i, column) in self.of[rows.clone()].iter().enumerate() {
                (row.lambda[i], row.label[i], row.inverse[i]) = (column.lambda, column.label, one / column.lambda);
            }
            for j0 in (i0..r).step_by(TILE) {
                let columns = j0..r.min(j0 + TILE);
                for (i, column) in rows.clone().enumerate() {
                    let below = &self.x.column(column)[columns.clone()];
                    below.iter().zip(&mut mirror).for_each(|(&x, mirror)| mirror[i] = x);
                }
                for (j, mirror) in columns.clone().zip(&mut mirror) {
                    let cj = self.of[j];
                    let inverse = one / cj.lambda;
                    let above = &mut self.x.column_mut(j)[i0..rows.end.min(j)];
                    for (i, (x, y)) in above.iter_mut().zip(mirror).enumerate() {
                        let equal = row.label[i] == cj.label;
                        let f = if equal { zero } else { one / if equal { one } else { cj.lambda - row.lambda[i] } };
                        let g = (*x - y.conj()).scale(half).scale(f);
                        (*x, *y) = match self.dropped {
                            Dropped::AsComputed => (g, g.conj()),
                            Dropped::Zero => {
                                ((g - x.scale(inverse)).scale(half), (g.conj() - y.scale(row.inverse[i])).scale(half))
                            }
                        };
                    }
                }
                for (i, column) in rows.clone().enumerate() {
                    let first = columns.start.max(column + 1).min(columns.end);
                    let below = &mut self.x.column_mut(column)[first..columns.end];
                    below.iter_mut().zip(&mirror[first - j0..]).for_each(|(x, mirror)| *x = mirror[i]);
                }
            }
        }
        for (j, column) in self.of.iter().enumerate() {
            let g = T::from_parts(column.lambda_bar, zero);
            self.x[(j, j)] = match self.dropped {
                Dropped::AsComputed => g,
                Dropped::Zero => (g - self.x[(j, j)].scale(one / column.lambda)).scale(half),
            };
        }
    }

    pub(in crate::cpu) fn largest_gauge_defect(&self) -> T::Real {
        self.gauge_defect.iter().fold(T::Real::of(0.0), |largest, &defect| Float::max(largest, defect))
    }
}

/// In eight sums, which a processor adds at once.
fn sum_of_squares<T: Scalar>(x: &[T]) -> T::Real {
    let (eights, rest) = x.as_chunks::<8>();
    let mut sums = [T::Real::of(0.0); 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, x)| *sum += x.norm_sqr());
    }
    sums.into_iter().chain(rest.iter().map(|x| x.norm_sqr())).fold(T::Real::of(0.0), |sum, x| sum + x)
}
