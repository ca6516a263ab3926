//! What both batched routines do once their arguments are found good: triangle in, λ and V out,
//! `info` for each matrix.

use super::jacobi;
use super::status::{EXECUTION_FAILED, INVALID_VALUE};
use crate::cublas::device::Device;
use crate::cublas::number::Number;
use crate::stream;
use faer::traits::num_traits::Float;
use std::cmp::Ordering;
use std::env;
use std::ffi::{c_int, c_void};

/// Above this order Jacobi's method gives way to a faster one, unless so few sweeps are allowed
/// that one could tell.
const LARGEST_FOR_JACOBI: usize = 32;
/// "15 sweeps are enough", says the manual.
const SWEEPS_ENOUGH: usize = 15;
/// The workspace is filled with NaN patterns before anything is read, but no more of it than this.
const SPOILT: usize = 1 << 26;

/// The matrices of one call.
pub(super) struct Batch<T: Number> {
    pub(super) vectors: bool,
    pub(super) lower: bool,
    pub(super) n: usize,
    pub(super) leading: usize,
    pub(super) count: usize,
    pub(super) a: Device<T>,
    pub(super) w: Device<T::Real>,
    pub(super) work: Device<u8>,
    pub(super) info: Device<c_int>,
}

/// How each matrix is decomposed.
pub(super) enum Method<R> {
    Jacobi {
        tolerance: R,
        max_sweeps: usize,
        sort: bool,
    },
    /// `spoils` that the eigenvectors come out wrong where the workspace was not zero, as before
    /// cuSOLVER 11.7.3 in complex64.
    Direct {
        spoils: bool,
    },
}

/// jobz, as whether vectors are wanted.
pub(super) fn vectors(jobz: c_int) -> Option<bool> {
    [false, true].get(jobz as usize).copied()
}

/// uplo, as whether the lower triangle is meant.
pub(super) fn lower(uplo: c_int) -> Option<bool> {
    [true, false].get(uplo as usize).copied()
}

/// Has the stream write that argument `number`, counted without the handle, is wrong into `info`,
/// if that can be written to.
pub(super) fn refuse(stream: usize, info: *mut c_int, number: c_int) -> c_int {
    let Some(info) = Device::new(info.cast_const(), 1) else { return INVALID_VALUE };
    let write = move || info.check("info").map(|()| info.write(0, &[-number]));
    stream::enqueue(stream as *mut c_void, Box::new(write)).map_or(EXECUTION_FAILED, |()| INVALID_VALUE)
}

/// Appends work to a stream; not to one that is captured, if EIGENGRAD_EMULATOR_CUSOLVER_CAPTURE is
/// `refuse`.
pub(super) fn enqueue(stream: usize, work: stream::Work) -> Result<(), c_int> {
    let stream = stream as *mut c_void;
    if env::var("EIGENGRAD_EMULATOR_CUSOLVER_CAPTURE").as_deref() == Ok("refuse") {
        stream::resolve(stream)?.refuse_capture()?;
    }
    stream::enqueue(stream, work)
}

impl<T: Number> Batch<T> {
    pub(super) fn run(&self, method: &Method<T::Real>) -> Result<(), String> {
        let n = self.n;
        self.a.check("A")?;
        self.w.check("W")?;
        self.work.check("the workspace")?;
        self.info.check("info")?;
        let dirty = self.spoil(method);
        let [failing, scaled, exchanged] = ["NOT_CONVERGED", "WRONG_VALUES", "WRONG_ORDER"].map(listed);
        let (mut a, mut v) = (vec![T::zero(); n * n], vec![T::zero(); n * n]);
        for k in 0..self.count {
            self.read(k, &mut a);
            let (converged, mut lambda) = decompose(&mut a, &mut v, n, method);
            if scaled.contains(&k) {
                lambda.iter_mut().for_each(|x| *x = *x + *x);
            }
            if exchanged.contains(&k) && n > 1 {
                lambda.swap(0, n - 1);
            }
            if dirty {
                v[..n].fill(T::one()); // of no length 1
            }
            self.write(k, &lambda, &v);
            self.info.write(k, &[if converged && !failing.contains(&k) { 0 } else { n as c_int + 1 }]);
        }
        Ok(())
    }

    /// Fills the workspace with NaN patterns; says whether that makes the vectors wrong.
    fn spoil(&self, method: &Method<T::Real>) -> bool {
        let mut bytes = vec![0; self.work.len().min(SPOILT)];
        self.work.read(0, &mut bytes);
        let dirty = matches!(method, Method::Direct { spoils: true }) && bytes.iter().any(|byte| *byte != 0);
        bytes.fill(0xff);
        self.work.write(0, &bytes);
        dirty
    }

    /// Matrix `k`, Hermitian, from its one triangle; the imaginary parts on the diagonal are taken
    /// as zero.
    fn read(&self, k: usize, a: &mut [T]) {
        let n = self.n;
        for j in 0..n {
            let rows = self.rows(j);
            self.a.read((k * n + j) * self.leading + rows.start, &mut a[n * j..][rows.clone()]);
            a[j + n * j] = T::from_real(a[j + n * j].re());
            rows.for_each(|i| a[j + n * i] = if i == j { a[j + n * j] } else { a[i + n * j].conj() });
        }
    }

    /// The rows of column `j` in the triangle.
    fn rows(&self, j: usize) -> std::ops::Range<usize> {
        if self.lower { j..self.n } else { 0..j + 1 }
    }

    /// λ, and V over the whole of A; without vectors the triangle is lost.
    fn write(&self, k: usize, lambda: &[T::Real], v: &[T]) {
        let n = self.n;
        self.w.write(k * n, lambda);
        for j in 0..n {
            let column = (k * n + j) * self.leading;
            let rows = self.rows(j);
            match self.vectors {
                true => self.a.write(column, &v[n * j..][..n]),
                false => self.a.write(column + rows.start, &vec![nan(); rows.len()]),
            }
        }
    }
}

fn nan<T: Number>() -> T {
    T::from_real(T::zero().re() / T::zero().re())
}

/// The most matrices that a call takes, if it takes fewer than it does by default:
/// EIGENGRAD_EMULATOR_CUSOLVER_BATCH.
pub(super) fn most_matrices() -> usize {
    env::var("EIGENGRAD_EMULATOR_CUSOLVER_BATCH").ok().and_then(|most| most.parse().ok()).unwrap_or(usize::MAX)
}

/// The matrices of every call that a setting lists, as EIGENGRAD_EMULATOR_NOT_CONVERGED=3,17.
fn listed(setting: &str) -> Vec<usize> {
    let list = env::var(format!("EIGENGRAD_EMULATOR_{setting}")).unwrap_or_default();
    list.split(',').filter_map(|place| place.trim().parse().ok()).collect()
}

/// Whether it converged, and λ, with V in `v`; NaN in both if there was no hope that it would.
fn decompose<T: Number>(a: &mut [T], v: &mut [T], n: usize, method: &Method<T::Real>) -> (bool, Vec<T::Real>) {
    let (zero, one) = (T::zero().re(), T::one().re());
    let nothing = |v: &mut [T]| {
        v.fill(nan());
        (n == 0, vec![nan::<T>().re(); n])
    };
    if n == 0 || !a.iter().all(|x| x.is_finite()) {
        return nothing(v);
    }
    let largest = a.iter().fold(zero, |largest, x| largest.max(x.re().abs()).max(x.im().abs()));
    let scale = if largest > zero { largest.log2().floor().exp2().max(T::Real::min_positive_value()) } else { one };
    // a power of two: no bit is lost, no square overflows
    a.iter_mut().for_each(|x| *x = x.scale(one / scale));
    let (converged, lambda) = match *method {
        Method::Jacobi { tolerance, max_sweeps, .. } if n <= LARGEST_FOR_JACOBI || max_sweeps < SWEEPS_ENOUGH => {
            let converged = jacobi::rotate(a, v, n, tolerance, max_sweeps);
            (converged, (0..n).map(|i| a[i + n * i].re()).collect::<Vec<_>>())
        }
        _ => match T::eigen(a, n) {
            Some((lambda, vectors)) => {
                v.copy_from_slice(&vectors);
                (true, lambda)
            }
            None => return nothing(v),
        },
    };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| lambda[*i].partial_cmp(&lambda[*j]).unwrap_or(Ordering::Equal));
    if matches!(method, Method::Jacobi { sort: false, .. }) {
        order.reverse(); // unsorted, so that nobody takes it for sorted
    }
    let sorted: Vec<T> = order.iter().flat_map(|j| v[n * j..][..n].iter().copied()).collect();
    v.copy_from_slice(&sorted);
    (converged, order.iter().map(|i| lambda[*i] * scale).collect())
}
