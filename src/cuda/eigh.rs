//! A = V Λ Vᴴ on the device, part by part: prepare, (probe), cuSOLVER, (certificate), spectrum, store.

use crate::compute::Eigh;
use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::layouts::read;
use crate::cuda::kernel::module::{LaunchShape, arguments, launch};
use crate::cuda::memory::workspace::{Workspace, WorkspaceRegions};
use crate::cuda::solver::certificate::Certificate;
use crate::cuda::solver::library::Memory;
use crate::options::Problem;
use crate::{Eigenpairs, Element, ElementOf, HermitianBatch, Result, Scalar, Spectrum, Triangle, View, ViewMut};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;
use std::mem::offset_of;

/// `struct cut` of kernels/eigh/spectrum.cu.
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

// The same on both sides.
const _: () = assert!(size_of::<Cut>() == 40 && offset_of!(Cut, tie_rtol) == 32);

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
pub(in crate::cuda) struct Outputs {
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
pub(in crate::cuda) fn behind(address: CUdeviceptr, elements: usize, size: usize) -> CUdeviceptr {
    if address == 0 { 0 } else { address + (elements * size) as CUdeviceptr }
}

impl Outputs {
    /// Those of a spectrum, and of vectors at an address.
    pub fn new<R: Element>(cuda: &Cuda, out: &Spectrum<R, Cuda, ViewMut<'_>>, vectors: CUdeviceptr) -> Result<Self> {
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

impl<T: Scalar> Eigh<T> for Cuda {
    fn eigh<'a, I: Element<Scalar = T>, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Eigenpairs<O, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigh");
        let vectors = self.output(&out.vectors)?;
        self.eigh_in_parts::<T, I, O, O::Real>(problem, a, out.spectrum, Some(vectors), workspace)
    }

    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Spectrum<R, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigvalsh");
        self.eigh_in_parts::<T, I, R, R>(problem, a, out, None, workspace)
    }
}

impl Cuda {
    /// Enqueues the decomposition of `a`. Eigenvectors are stored as `S` at `vectors`, eigenvalues as `R`, its real type; without
    /// vectors `S` is `R`.
    fn eigh_in_parts<'a, T, I, S, R>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Spectrum<R, Self, ViewMut<'a>>,
        vectors: Option<CUdeviceptr>,
        workspace: &Workspace<T>,
    ) -> Result<()>
    where
        T: Scalar,
        I: Element<Scalar = T>,
        S: Element,
        R: Element,
    {
        let n = problem.n;
        let all = Outputs::new(self, &out, vectors.unwrap_or(0))?;
        let input = self.input(&a.data)?;
        let _turn = lock(&workspace.turn);
        for first in (0..problem.batch).step_by(workspace.part) {
            let batch = workspace.part.min(problem.batch - first);
            let part = EighPart { problem, order: n, batch, out: all.from::<T, S, R>(first, n, n) };
            part.run::<T, I, S>(self, behind(input, first * n * n, size_of::<I>()), a.triangle, workspace)?;
        }
        Ok(())
    }
}

/// What is worked on at a time.
pub(in crate::cuda) struct EighPart<'a> {
    pub problem: &'a Problem,
    /// Of the matrices that are solved; the problem's other eigenvalues are exact zeros.
    pub order: usize,
    pub batch: usize,
    pub out: Outputs,
}

impl EighPart<'_> {
    fn run<T, I, S>(&self, cuda: &Cuda, a: CUdeviceptr, triangle: Option<Triangle>, workspace: &Workspace<T>) -> Result<()>
    where
        T: Scalar,
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
    pub fn solve<T: Scalar, S: Element>(&self, cuda: &Cuda, matrices: CUdeviceptr, workspace: &Workspace<T>) -> Result<()> {
        let (n, batch, regions) = (self.order, self.batch, workspace.regions);
        let WorkspaceRegions { lambda, info, scratch, certificate, .. } = regions;
        let with_vectors = self.out.vectors != 0;
        let vectors = if with_vectors { matrices } else { 0 };
        let mut defect = 0;
        if let Some(solver) = &mut *lock(&workspace.solver) {
            let _range = range(c"eigengrad::solve");
            if cuda.certified || solver.repairs() {
                // SAFETY: the matrices and the regions are those of a part of this size.
                unsafe { certificate.probe::<T>(cuda, n, batch, matrices) }?;
            }
            let memory = Memory { a: matrices, lambda, info, scratch };
            // SAFETY: as above.
            unsafe { solver.solve::<T>(cuda, batch, with_vectors, memory, certificate) }?;
            if cuda.certified {
                // SAFETY: as above.
                unsafe { certificate.measure::<T>(cuda, n, batch, vectors, lambda) }?;
                defect = certificate.defect;
            }
        }
        self.spectrum::<T, S>(cuda, [regions.lambda, regions.exponent, regions.info, defect, vectors])
    }

    fn prepare<I: Element>(
        &self,
        cuda: &Cuda,
        (a, triangle): (CUdeviceptr, Option<Triangle>),
        matrices: CUdeviceptr,
        exponent: CUdeviceptr,
    ) -> Result<()> {
        let _range = range(c"eigengrad::prepare");
        let (kernels, n, read) = (cuda.kernels::<I>()?, self.order, read(triangle));
        let arguments = arguments![self.batch as i64, n as c_int, read, a, matrices, exponent, self.out.status];
        let _current = cuda.bind()?;
        // SAFETY: A, the outputs and the regions hold a part of this size.
        unsafe { launch(cuda.stream(), kernels.prepare, LaunchShape::team_each(self.batch, n), arguments) }
    }

    fn spectrum<T: Scalar, S: Element>(&self, cuda: &Cuda, regions: [CUdeviceptr; 5]) -> Result<()> {
        let _range = range(c"eigengrad::spectrum");
        let (kernels, n) = (cuda.kernels::<S>()?, self.order);
        let [lambda, exponent, info, defect, vectors] = regions;
        let bound = Certificate::bound::<T>(n);
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
        let _current = cuda.bind()?;
        // SAFETY: the outputs and the regions hold a part of this size; null pointers are where the kernel allows them.
        unsafe { launch(cuda.stream(), kernels.spectrum, LaunchShape::thread_each(self.batch), arguments) }
    }

    /// Stores vectors of so many entries.
    pub fn store<S: Element>(&self, cuda: &Cuda, vectors: CUdeviceptr, entries: usize) -> Result<()> {
        let _range = range(c"eigengrad::store");
        let kernels = cuda.kernels::<S>()?;
        let arguments = arguments![entries as i64, vectors, self.out.vectors];
        let _current = cuda.bind()?;
        // SAFETY: the vectors and the output hold so many.
        unsafe { launch(cuda.stream(), kernels.store, LaunchShape::thread_for(entries), arguments) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Options, Status};

    /// Of four matrices the first is right. The second has eigenvectors that are not orthonormal, the third its eigenvectors in the wrong
    /// order, the fourth another trace. Each fails alone; without eigenvectors the fourth alone does.
    #[test]
    fn the_certificate_finds_what_is_wrong() {
        let Ok(cuda) = Cuda::new(0) else { return }; // tests/cuda says so, or fails
        let problem = Problem::new::<f64>(4, 2, &Options::default()).unwrap();
        let matrices = [1.0, 0.0, 0.0, 2.0].repeat(4);
        let v = [[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.6, 0.8], [0.0, 1.0, -1.0, 0.0], [1.0, 0.0, 0.0, 1.0]].concat();
        let lambda = vec![1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.5];
        for with_vectors in [true, false] {
            let [matrices, vectors, lambda] = [&matrices, &v, &lambda].map(|x: &Vec<f64>| cuda.upload(x.clone()).unwrap());
            let zeros = || cuda.zeros::<u32>(4).unwrap();
            let reals = || cuda.zeros::<f64>(8).unwrap();
            let (rank, exponent, info, status) = (zeros(), zeros(), zeros(), cuda.zeros::<Status>(4).unwrap());
            let (values, gap_kept, gap_dropped) = (reals(), reals(), reals());
            let kept = cuda.zeros::<bool>(8).unwrap();
            let at = |buffer| Cuda::view(buffer).address();
            let of_vectors = if with_vectors { at(&vectors) } else { 0 };
            let out = Outputs {
                values: at(&values),
                kept: Cuda::view(&kept).address(),
                rank: Cuda::view(&rank).address(),
                gap_kept: at(&gap_kept),
                gap_dropped: at(&gap_dropped),
                status: Cuda::view(&status).address(),
                vectors: of_vectors,
            };
            let part = EighPart { problem: &problem, order: 2, batch: 4, out };
            let workspace = Workspace::<f64>::new(&cuda, &problem, None).unwrap();
            let certificate = workspace.regions.certificate;
            // SAFETY: all hold what belongs to four matrices of order 2.
            unsafe { certificate.probe::<f64>(&cuda, 2, 4, at(&matrices)) }.unwrap();
            // SAFETY: as above.
            unsafe { certificate.measure::<f64>(&cuda, 2, 4, of_vectors, at(&lambda)) }.unwrap();
            let [exponent, info] = [&exponent, &info].map(|ints| Cuda::view(ints).address());
            part.spectrum::<f64, f64>(&cuda, [at(&lambda), exponent, info, certificate.defect, of_vectors]).unwrap();
            let status = cuda.download(Cuda::view(&status)).unwrap();
            let expected = match with_vectors {
                true => [Status::OK, Status::NOT_ORTHONORMAL, Status::LARGE_RESIDUAL, Status::LARGE_RESIDUAL],
                false => [Status::OK, Status::OK, Status::OK, Status::LARGE_RESIDUAL],
            };
            assert_eq!(status, expected);
            let ranks: Vec<_> = expected.iter().map(|status| if status.failed() { 0 } else { 2 }).collect();
            assert_eq!(cuda.download(Cuda::view(&rank)).unwrap(), ranks);
            let vectors = cuda.download(Cuda::view(&vectors)).unwrap();
            for (of_matrix, status) in vectors.chunks(4).zip(expected) {
                assert!(of_matrix.iter().all(|x| x.is_nan() == (with_vectors && status.failed())));
            }
        }
    }
}
