//! Householder's reflections and implicit QL: launches of kernels/eigh/small.cu, and of
//! tridiagonalise.cu, implicit_ql.cu and assemble.cu beside it.

use crate::cuda::device::Cuda;
use crate::cuda::kernel::columns::{Columns, ColumnsKernel};
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::memory::allocation::Cursor;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::solver::Memory;
use crate::cuda::solver::cut::{Cut, SpectrumResults};
use crate::{Dtype, Element, Result, Scalar, Status};
use std::ffi::c_int;
use std::marker::PhantomData;

kernels! { Eigenpairs:
    /// kernels/eigh/implicit_ql.cu: d, e; rotations, windows and their numbers out, or without them
    /// λ and info; exponents, the cut, its results.
    ImplicitQl<O> = "implicit_ql"(
        i64,
        c_int,
        c_int,
        c_int,
        c_int,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<u32>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<c_int>,
        Cut,
        SpectrumResults<O>,
    );
}

/// kernels/eigh/small.cu: how A is read, A, or its place; λ, info; the cut, its results, V.
struct Small<I, O>(PhantomData<(I, O)>);

impl<I: Element, O: Element> ColumnsKernel for Small<I, O> {
    type Arguments = (
        i64,
        c_int,
        DevicePtr<I>,
        DevicePtr<I::Scalar>,
        DevicePtr<RealOf<I>>,
        DevicePtr<c_int>,
        Cut,
        SpectrumResults<O>,
        DevicePtr<O>,
    );
    const NAME: &'static str = "small";
    const DTYPES: &'static [Dtype] = &[I::DTYPE, O::DTYPE];
}

/// kernels/eigh/tridiagonalise.cu: how A is read, whether vectors are wanted, A; reflections,
/// exponents, statuses, d, e.
struct Tridiagonalise<I>(PhantomData<I>);

impl<I: Element> ColumnsKernel for Tridiagonalise<I> {
    type Arguments = (
        i64,
        c_int,
        c_int,
        c_int,
        DevicePtr<I>,
        DevicePtr<I::Scalar>,
        DevicePtr<c_int>,
        DevicePtr<Status>,
        DevicePtr<RealOf<I>>,
        DevicePtr<RealOf<I>>,
    );
    const NAME: &'static str = "tridiagonalise";
    const DTYPES: &'static [Dtype] = &[I::DTYPE];
}

/// kernels/eigh/assemble.cu: room for rotations and sweeps; reflections, d, e, rotations, windows
/// and their numbers; λ, info; exponents, the cut, its results, V.
struct Assemble<O>(PhantomData<O>);

impl<O: Element> ColumnsKernel for Assemble<O> {
    type Arguments = (
        i64,
        c_int,
        c_int,
        c_int,
        DevicePtr<O::Scalar>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<u32>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<c_int>,
        Cut,
        SpectrumResults<O>,
        DevicePtr<O>,
    );
    const NAME: &'static str = "assemble";
    const DTYPES: &'static [Dtype] = &[O::DTYPE];
}

/// What is decomposed, and where the results go.
pub(in crate::cuda) struct Job<T: Scalar, I: Element, O: Element> {
    pub batch: usize,
    /// How A is read: [`read`](crate::cuda::kernel::layouts::read), or [`PREPARED`].
    pub from: c_int,
    pub a: DevicePtr<I>,
    pub memory: Memory<T>,
    pub exponent: DevicePtr<c_int>,
    pub cut: Cut,
    /// [`SpectrumResults::NONE`] where λ is not to be cut.
    pub spectrum: SpectrumResults<O>,
    /// Null where only values are asked for.
    pub vectors: DevicePtr<O>,
}

/// A is where V will be, as kernels/eigh/prepare.cu leaves it: `PREPARED` of
/// kernels/eigh/entry.cuh.
pub(in crate::cuda) const PREPARED: c_int = 3;

/// The solver for matrices of one order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cuda) struct Ql {
    n: usize,
    columns: Columns,
    /// Rotations of a matrix that have room in memory, and sweeps.
    room: Room,
    /// Warps of a multiprocessor that hide the latency of a chain of rotations.
    warps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Room {
    turns: usize,
    sweeps: usize,
}

/// Device addresses of what goes from kernel to kernel, for a part of the batch.
struct Scratch<R: Element> {
    diagonal: DevicePtr<R>,
    beside: DevicePtr<R>,
    turns: DevicePtr<R>,
    windows: DevicePtr<u32>,
    sweeps: DevicePtr<c_int>,
}

impl<R: Element> Scratch<R> {
    /// From an address on, and the end; nothing if that overflows.
    fn lay_out(start: u64, n: usize, batch: usize, room: Room) -> Option<(Self, u64)> {
        let mut cursor = Cursor(start);
        let side_by_side = batch.checked_next_multiple_of(32)?.checked_mul(n)?;
        let scratch = Self {
            diagonal: cursor.take::<R>(side_by_side)?,
            beside: cursor.take::<R>(side_by_side)?,
            turns: cursor.take::<R>(batch.checked_mul(room.turns)?)?,
            windows: cursor.take::<u32>(batch.checked_mul(room.sweeps)?)?,
            sweeps: cursor.take::<c_int>(batch)?,
        };
        Some((scratch, cursor.0))
    }
}

impl Ql {
    /// With room for fewer rotations than any matrix has: all are found where Z is assembled.
    #[cfg(test)]
    fn without_room(self) -> Self {
        Self { room: Room { turns: 4, sweeps: 1 }, ..self }
    }

    /// None where matrices have more columns than threads have registers for, or a block too little
    /// shared memory.
    pub fn new<T: Scalar>(n: usize, most_shared: usize) -> Option<Self> {
        // The most of 12 kinds of spectra were 1.31, 1.18 and 1.11 n² rotations at n = 8, 16 and 32
        // in 32 bits, 1.56, 1.46 and 1.33 in 64, and 2.6 n sweeps. Who needs more gets it in
        // assemble.cu.
        let turns = if size_of::<T::Real>() == 4 { 3 * n * n / 2 } else { 2 * n * n };
        let room = Room { turns: (turns + 64).next_multiple_of(4), sweeps: 6 * n + 16 };
        Columns::new(T::DTYPE, n, most_shared).map(|columns| Self { n, columns, room, warps: 16 })
    }

    /// Bytes of scratch for so many matrices.
    pub fn bytes<T: Scalar>(self, batch: usize) -> Option<usize> {
        if self.columns.is_small() {
            return Some(0);
        }
        Scratch::<T::Real>::lay_out(0, self.n, batch, self.room).and_then(|(_, end)| usize::try_from(end).ok())
    }

    /// Enqueues the decomposition of `batch` matrices that are prepared; λ is not cut.
    ///
    /// # Safety
    /// As that of [`Prepared::solve`](crate::cuda::solver::library::Prepared::solve).
    pub unsafe fn solve<T: Scalar>(self, cuda: &Cuda, batch: usize, with_vectors: bool, memory: Memory<T>) -> Result<()> {
        let vectors = memory.a.only_if(with_vectors);
        let (cut, spectrum) = (Cut::NONE, SpectrumResults::<T>::NONE);
        let job =
            Job { batch, from: PREPARED, a: DevicePtr::<T>::NULL, memory, exponent: DevicePtr::NULL, cut, spectrum, vectors };
        // SAFETY: the caller's.
        unsafe { self.run(cuda, job) }
    }

    /// Matrices that share a warp: fewer where multiprocessors would have too few warps.
    fn lanes(self, batch: usize, multiprocessors: usize) -> usize {
        let enough = |lanes: &usize| batch >= lanes * self.warps * multiprocessors;
        [32, 16].into_iter().find(enough).unwrap_or(8)
    }

    /// Enqueues a job.
    ///
    /// # Safety
    /// The memory is as above. A is `batch`·n² numbers unless it is prepared. The results are those
    /// of `batch` matrices or null, as are exponents.
    pub unsafe fn run<T, I, O>(self, cuda: &Cuda, job: Job<T, I, O>) -> Result<()>
    where
        T: Scalar,
        I: Element<Scalar = T>,
        O: Element<Scalar: Element<Real = T::Real>>,
    {
        let Self { n, columns, room, .. } = self;
        let Job { batch, from, a, memory, exponent, cut, spectrum, vectors } = job;
        let Memory { a: matrices, lambda, info, scratch } = memory;
        let (count, order, with_vectors) = (batch as i64, n as c_int, !vectors.is_null());
        if columns.is_small() {
            let arguments = (count, from, a, matrices, lambda, info, cut, spectrum, vectors);
            // SAFETY: the caller's.
            return unsafe { cuda.launch_columns::<Small<I, O>>(columns, batch, arguments) };
        }
        let Some((scratch, _)) = Scratch::<T::Real>::lay_out(scratch.address(), n, batch, room) else {
            unreachable!("a workspace was made for as many")
        };
        let Scratch { diagonal, beside, turns, windows, sweeps } = scratch;
        let arguments = (count, order, from, c_int::from(with_vectors), a, matrices, exponent, spectrum.status, diagonal, beside);
        // SAFETY: the caller's; the scratch was laid out for a part of this size.
        unsafe { cuda.launch_columns::<Tridiagonalise<I>>(columns, batch, arguments) }?;
        let (most_turns, most_sweeps) = (room.turns as c_int, room.sweeps as c_int);
        let (of_z, of_windows) = (turns.only_if(with_vectors), windows.only_if(with_vectors));
        let shared = (64 * n * size_of::<T::Real>()) as u32;
        let lanes = self.lanes(batch, cuda.multiprocessors());
        let shape = LaunchShape { blocks: batch.div_ceil(lanes) as u32, threads: (32, 1), shared };
        let arguments = (
            count,
            order,
            lanes as c_int,
            most_turns,
            most_sweeps,
            diagonal,
            beside,
            of_z,
            of_windows,
            sweeps,
            lambda,
            info,
            exponent,
            cut,
            spectrum,
        );
        // SAFETY: as above; what is null is not written.
        unsafe { cuda.launch::<ImplicitQl<O>>(shape, arguments) }?;
        if !with_vectors {
            return Ok(());
        }
        let arguments = (
            count,
            order,
            most_turns,
            most_sweeps,
            matrices.cast(),
            diagonal,
            beside,
            turns,
            windows,
            sweeps,
            lambda,
            info,
            exponent,
            cut,
            spectrum,
            vectors,
        );
        // SAFETY: as above.
        unsafe { cuda.launch_columns::<Assemble<O>>(columns, batch, arguments) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Real};
    use num_complex::Complex;

    /// Hermitian matrices as eigh/prepare.cu leaves them: of any numbers, and of rank 1.
    fn matrices<T: Scalar>(n: usize) -> Vec<T> {
        let mut random = fastrand::Rng::with_seed(n as u64);
        let mut x: Vec<T> = (0..3 * n * n).map(|_| T::from_parts(Real::of(random.f64()), Real::of(random.f64()))).collect();
        for (b, a) in x.chunks_mut(n * n).enumerate() {
            let of = a.to_vec();
            for (e, a) in a.iter_mut().enumerate() {
                let (i, j) = (e % n, e / n);
                *a = if b == 2 { of[i] * of[j].conj() } else { (of[i * n + j] + of[j * n + i].conj()).scale(Real::of(0.5)) };
            }
            a[0] = T::one();
        }
        x
    }

    /// The largest of |AV − VΛ| and |VᴴV − I|, entry by entry, in n·ε.
    fn error<T: Scalar>(cuda: &Cuda, ql: Ql, a: &[T]) -> f64 {
        let (n, batch) = (ql.n, a.len() / (ql.n * ql.n));
        let (vectors, lambda) = (cuda.upload(a.to_vec()).unwrap(), cuda.zeros::<T::Real>(batch * n).unwrap());
        let info = cuda.zeros::<u32>(batch).unwrap();
        let scratch = cuda.zeros::<f64>(ql.bytes::<T>(batch).unwrap() / 8 + 32).unwrap();
        let memory = Memory {
            a: Cuda::view(&vectors).pointer(),
            lambda: Cuda::view(&lambda).pointer(),
            info: Cuda::view(&info).pointer().cast(),
            scratch: Cuda::view(&scratch).pointer().cast(),
        };
        // SAFETY: all hold what belongs to so many matrices.
        unsafe { ql.solve::<T>(cuda, batch, true, memory) }.unwrap();
        assert!(cuda.download(Cuda::view(&info)).unwrap().iter().all(|&info| info == 0));
        let (v, lambda) = (cuda.download(Cuda::view(&vectors)).unwrap(), cuda.download(Cuda::view(&lambda)).unwrap());
        let mut largest = 0.0_f64;
        for ((a, v), lambda) in a.chunks(n * n).zip(v.chunks(n * n)).zip(lambda.chunks(n)) {
            assert!(lambda.is_sorted());
            for (j, i) in (0..n).flat_map(|j| (0..n).map(move |i| (j, i))) {
                let image = (0..n).fold(T::zero(), |sum, k| sum + a[k * n + i] * v[j * n + k]);
                let product = (0..n).fold(T::zero(), |sum, k| sum + v[i * n + k].conj() * v[j * n + k]);
                let one = if i == j { T::one() } else { T::zero() };
                for far in [image - v[j * n + i].scale(lambda[j]), product - one] {
                    largest = largest.max(far.norm_sqr().to_f64().sqrt());
                }
            }
        }
        largest / (n as f64 * T::PRECISION.epsilon())
    }

    /// Where rotations have no room in memory the last kernel finds them.
    fn check<T: Scalar>() {
        let Ok(cuda) = Cuda::new(0) else { return }; // tests/cuda says so, or fails
        for n in [9, 20, 33, 47, 66, 100] {
            let Some(ql) = Ql::new::<T>(n, cuda.most_shared()) else { continue };
            let a = matrices::<T>(n);
            // On the emulator eight matrices share a warp unless none are wanted.
            for ql in [ql, ql.without_room(), Ql { warps: 0, ..ql }] {
                let error = error(&cuda, ql, &a);
                assert!(error < 10.0, "{ql:?}: {error}");
            }
        }
    }

    #[test]
    fn float32() {
        check::<f32>();
    }

    #[test]
    fn complex64() {
        check::<Complex<f32>>();
    }

    #[test]
    fn complex128() {
        check::<Complex<f64>>();
    }
}
