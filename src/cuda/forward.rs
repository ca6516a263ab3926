//! A = V Λ Vᴴ on the device, part by part: prepare, cuSOLVER, certificate, spectrum, store.

use super::device::Cuda;
use super::kernels::{Shape, arguments, launch};
use super::range::range;
use super::solver::Memory;
use super::workspace::{Kernels, Workspace};
use crate::options::Problem;
use crate::{Element, HermitianRef, Real, Result, SpectrumMut, Triangle};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;

/// `struct cut` of kernels/spectrum.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Cut {
    everything: c_int,
    at_most: c_int,
    nulls: c_int,
    atol: f64,
    rtol: f64,
    tie_rtol: f64,
}

impl Cut {
    fn new<R: Element>(problem: &Problem, nulls: usize) -> Self {
        let (atol, rtol) = problem.tau.unwrap_or_default();
        let everything = c_int::from(problem.tau.is_none());
        Self {
            everything,
            at_most: problem.at_most as c_int,
            nulls: nulls as c_int,
            atol,
            rtol,
            tie_rtol: problem.tie_rtol::<R>(),
        }
    }
}

/// Device addresses of the results, the first of their matrices.
#[derive(Clone, Copy)]
pub(super) struct Outputs {
    values: CUdeviceptr,
    kept: CUdeviceptr,
    rank: CUdeviceptr,
    gap_kept: CUdeviceptr,
    gap_dropped: CUdeviceptr,
    pub status: CUdeviceptr,
    /// 0 where only values are asked for.
    pub vectors: CUdeviceptr,
}

/// The address `elements` of size `size` behind `address`; 0 stays 0.
pub(super) fn behind(address: CUdeviceptr, elements: usize, size: usize) -> CUdeviceptr {
    if address == 0 { 0 } else { address + (elements * size) as CUdeviceptr }
}

impl Outputs {
    /// Those of a spectrum, and of vectors at an address.
    pub fn new<R: Element>(cuda: &Cuda, out: &SpectrumMut<'_, R, Cuda>, vectors: CUdeviceptr) -> Result<Self> {
        Ok(Self {
            values: cuda.output(&out.values)?,
            kept: cuda.output(&out.kept)?,
            rank: cuda.output(&out.rank)?,
            gap_kept: cuda.output(&out.gap_kept)?,
            gap_dropped: cuda.output(&out.gap_dropped)?,
            status: cuda.output(&out.status)?,
            vectors,
        })
    }

    /// The results of the matrices from `first` on, each of so many vectors of n components.
    pub fn from<T: Element, S: Element, R: Element>(self, first: usize, n: usize, vectors: usize) -> Self {
        let (vectors, real) = (first * vectors, size_of::<T::Real>());
        Self {
            values: behind(self.values, vectors, size_of::<R>()),
            kept: behind(self.kept, vectors, size_of::<bool>()),
            rank: behind(self.rank, first, size_of::<u32>()),
            gap_kept: behind(self.gap_kept, first, real),
            gap_dropped: behind(self.gap_dropped, first, real),
            status: behind(self.status, first, size_of::<u32>()),
            vectors: behind(self.vectors, vectors * n, size_of::<S>()),
        }
    }
}

impl Cuda {
    /// Enqueues the decomposition of `a`. Eigenvectors are stored as `S` at `vectors`, eigenvalues as `R`, its real type; without
    /// vectors `S` is `R`.
    pub(super) fn decompose<'a, T, I, S, R>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: SpectrumMut<'a, R, Self>,
        vectors: Option<CUdeviceptr>,
        workspace: &mut Workspace<T>,
    ) -> Result<()>
    where
        T: Kernels,
        I: Element<Scalar = T>,
        S: Element,
        R: Element,
    {
        let n = problem.n;
        let all = Outputs::new(self, &out, vectors.unwrap_or(0))?;
        let input = self.input(&a.data)?;
        for first in (0..problem.batch).step_by(workspace.part) {
            let batch = workspace.part.min(problem.batch - first);
            let part = Part { problem, order: n, batch, out: all.from::<T, S, R>(first, n, n) };
            part.run::<T, I, S>(self, behind(input, first * n * n, size_of::<I>()), a.triangle, workspace)?;
        }
        Ok(())
    }
}

/// What is worked on at a time.
pub(super) struct Part<'a> {
    pub problem: &'a Problem,
    /// Of the matrices that are solved; the problem's other eigenvalues are exact zeros.
    pub order: usize,
    pub batch: usize,
    pub out: Outputs,
}

impl Part<'_> {
    fn run<T, I, S>(&self, cuda: &Cuda, a: CUdeviceptr, triangle: Triangle, workspace: &mut Workspace<T>) -> Result<()>
    where
        T: Kernels,
        I: Element<Scalar = T>,
        S: Element,
    {
        let with_vectors = self.out.vectors != 0;
        let in_place = with_vectors && S::DTYPE == T::DTYPE;
        let matrices = if in_place { self.out.vectors } else { workspace.regions.matrices[0] };
        self.prepare::<I>(cuda, (a, triangle), matrices, workspace.regions.exponent)?;
        self.solve::<T, S>(cuda, matrices, workspace)?;
        if with_vectors && !in_place {
            self.store::<S>(cuda, matrices, self.batch * self.order * self.order)?;
        }
        Ok(())
    }

    /// λ and what the cut makes of it, and unless there is nowhere to put vectors those of the matrices in their place.
    pub fn solve<T: Kernels, S: Element>(&self, cuda: &Cuda, matrices: CUdeviceptr, workspace: &mut Workspace<T>) -> Result<()> {
        let (n, batch, regions) = (self.order, self.batch, workspace.regions);
        let with_vectors = self.out.vectors != 0;
        if let Some(solver) = &mut workspace.solver {
            let _range = range(c"eigengrad::solve");
            let memory = Memory { a: matrices, lambda: regions.lambda, info: regions.info, scratch: regions.scratch };
            // SAFETY: the regions are those of a part of this size, and so is the memory of the matrices.
            unsafe { solver.solve::<T>(cuda, batch, with_vectors, memory) }?;
        }
        let certified = cuda.certified && with_vectors && n > 0;
        if certified {
            // SAFETY: the matrices and the region are those of a part of this size.
            unsafe { certify::<T>(cuda, n, batch, matrices, regions.defect) }?;
        }
        let defect = if certified { regions.defect } else { 0 };
        let vectors = if with_vectors { matrices } else { 0 };
        self.spectrum::<T, S>(cuda, [regions.lambda, regions.exponent, regions.info, defect, vectors])
    }

    fn prepare<I: Element>(
        &self,
        cuda: &Cuda,
        (a, triangle): (CUdeviceptr, Triangle),
        matrices: CUdeviceptr,
        exponent: CUdeviceptr,
    ) -> Result<()> {
        let _range = range(c"eigengrad::prepare");
        let (kernels, n, upper) = (cuda.kernels::<I>()?, self.order, c_int::from(triangle == Triangle::Upper));
        let arguments = arguments![self.batch as i64, n as c_int, upper, a, matrices, exponent, self.out.status];
        cuda.bind()?;
        // SAFETY: A, the outputs and the regions hold a part of this size.
        unsafe { launch(cuda.stream(), kernels.prepare, Shape::team_each(self.batch, n), arguments) }
    }

    fn spectrum<T: Kernels, S: Element>(&self, cuda: &Cuda, regions: [CUdeviceptr; 5]) -> Result<()> {
        let _range = range(c"eigengrad::spectrum");
        let (kernels, n) = (cuda.kernels::<S>()?, self.order);
        let [lambda, exponent, info, defect, vectors] = regions;
        let bound = <T::Real as Real>::of(ORTHONORMAL_WITHIN * n as f64 * T::PRECISION.epsilon());
        let Outputs { values, kept, rank, gap_kept, gap_dropped, status, .. } = self.out;
        let cut = Cut::new::<T::Real>(self.problem, self.problem.n - n);
        let arguments = arguments![
            self.batch as i64,
            n as c_int,
            cut,
            lambda,
            exponent,
            info,
            defect,
            bound,
            values,
            kept,
            rank,
            gap_kept,
            gap_dropped,
            status,
            vectors,
        ];
        cuda.bind()?;
        // SAFETY: the outputs and the regions hold a part of this size; null pointers are where the kernel allows them.
        unsafe { launch(cuda.stream(), kernels.spectrum, Shape::thread_each(self.batch), arguments) }
    }

    /// Stores vectors of so many entries.
    pub fn store<S: Element>(&self, cuda: &Cuda, vectors: CUdeviceptr, entries: usize) -> Result<()> {
        let _range = range(c"eigengrad::store");
        let kernels = cuda.kernels::<S>()?;
        let arguments = arguments![entries as i64, vectors, self.out.vectors];
        cuda.bind()?;
        // SAFETY: the vectors and the output hold so many.
        unsafe { launch(cuda.stream(), kernels.store, Shape::thread_for(entries), arguments) }
    }
}

/// |VᴴV − I| beyond this many n·ε is no round-off.
pub(super) const ORTHONORMAL_WITHIN: f64 = 100.0;

/// Enqueues the measurement of max|VᴴV − I| of `batch` matrices.
///
/// # Safety
/// `matrices` are `batch`·n² scalars and `defect` `batch` reals in device memory of the stream of `cuda`.
pub(super) unsafe fn certify<T: Element>(
    cuda: &Cuda,
    n: usize,
    batch: usize,
    matrices: CUdeviceptr,
    defect: CUdeviceptr,
) -> Result<()> {
    let _range = range(c"eigengrad::certify");
    let kernel = cuda.kernels::<T>()?.scalar()?.certificate;
    let arguments = arguments![batch as i64, n as c_int, matrices, defect];
    cuda.bind()?;
    // SAFETY: the caller's.
    unsafe { launch(cuda.stream(), kernel, Shape::team_each(batch, n), arguments) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Options, Status};

    /// The second of three matrices has eigenvectors that are not orthonormal: it fails, alone.
    #[test]
    fn the_certificate_finds_what_is_not_orthonormal() {
        let Ok(cuda) = Cuda::new(0) else { return }; // tests/cuda says so, or fails
        let problem = Problem::new::<f64>(3, 2, &Options::default()).unwrap();
        let vectors = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.6, 0.8, 0.0, 1.0, -1.0, 0.0];
        let [vectors, lambda] = [vectors, vec![1.0, 2.0, 1.0, 2.0, 1.0, 2.0]].map(|x: Vec<f64>| cuda.upload(x).unwrap());
        let zeros = || cuda.zeros::<u32>(3).unwrap();
        let reals = || cuda.zeros::<f64>(6).unwrap();
        let (rank, exponent, info, status) = (zeros(), zeros(), zeros(), cuda.zeros::<Status>(3).unwrap());
        let (values, gap_kept, gap_dropped, defect) = (reals(), reals(), reals(), reals());
        let kept = cuda.zeros::<bool>(6).unwrap();
        let at = |buffer| Cuda::view(buffer).address();
        let out = Outputs {
            values: at(&values),
            kept: Cuda::view(&kept).address(),
            rank: Cuda::view(&rank).address(),
            gap_kept: at(&gap_kept),
            gap_dropped: at(&gap_dropped),
            status: Cuda::view(&status).address(),
            vectors: at(&vectors),
        };
        let part = Part { problem: &problem, order: 2, batch: 3, out };
        // SAFETY: both hold what belongs to three matrices of order 2.
        unsafe { certify::<f64>(&cuda, 2, 3, at(&vectors), at(&defect)) }.unwrap();
        let [exponent, info] = [&exponent, &info].map(|ints| Cuda::view(ints).address());
        part.spectrum::<f64, f64>(&cuda, [at(&lambda), exponent, info, at(&defect), at(&vectors)]).unwrap();
        let defect = cuda.download(Cuda::view(&defect)).unwrap();
        assert_eq!((defect[0], defect[2]), (0.0, 0.0));
        assert!((defect[1] - 0.6).abs() < 1e-15);
        let status = cuda.download(Cuda::view(&status)).unwrap();
        assert_eq!(status, [Status::OK, Status::NOT_ORTHONORMAL, Status::OK]);
        assert_eq!(cuda.download(Cuda::view(&rank)).unwrap(), [2, 0, 2]);
        let vectors = cuda.download(Cuda::view(&vectors)).unwrap();
        assert!(vectors[4..8].iter().all(|x| x.is_nan()) && vectors[..4].iter().chain(&vectors[8..]).all(|x| x.is_finite()));
    }
}
