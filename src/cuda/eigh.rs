//! A = V Λ Vᴴ on the device, part by part: prepare, (probe), a solver, (certificate), spectrum,
//! store. QL prepares and cuts on its way.

use crate::compute::Eigh;
use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::kernel::layouts::read;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::workspace::{Workspace, WorkspaceRegions};
use crate::cuda::solver::Memory;
use crate::cuda::solver::certificate::Certificate;
use crate::cuda::solver::cut::{Cut, SpectrumResults};
use crate::cuda::solver::library::Prepared;
use crate::cuda::solver::ql::{Job, Ql};
use crate::options::Problem;
use crate::{Eigenpairs, Element, ElementOf, HermitianBatch, Result, Scalar, Spectrum, Status, Triangle, View, ViewMut};
use std::ffi::c_int;

kernels! { Eigenpairs:
    /// kernels/eigh/prepare.cu: A in the type computed in, scaled, and its exponent.
    Prepare<I> = "prepare"(i64, c_int, c_int, DevicePtr<I>, DevicePtr<I::Scalar>, DevicePtr<c_int>, DevicePtr<Status>);
    /// kernels/eigh/spectrum.cu: λ, the solver's info, defects and their bound in; what the cut
    /// makes of λ, and vectors out.
    CutSpectrum<S> = "spectrum"(
        i64,
        c_int,
        Cut,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        RealOf<S>,
        SpectrumResults<S>,
        DevicePtr<S::Scalar>,
    );
}

/// What vectors, or values alone, of a computation in `T` may be stored as.
pub(in crate::cuda) trait ResultOf<T: Scalar>: Element<Scalar: Element<Real = <T as Element>::Real>> {}
impl<T: Scalar, S: Element<Scalar: Element<Real = <T as Element>::Real>>> ResultOf<T> for S {}

/// Device addresses of the results, the first of their matrices.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Outputs<S: Element> {
    pub spectrum: SpectrumResults<S>,
    /// Null where only values are asked for.
    pub vectors: DevicePtr<S>,
}

impl<S: Element> Outputs<S> {
    /// Those of a spectrum, and of vectors at an address. `R` is the real type of `S`, or of values
    /// alone `S` itself.
    pub fn new<R: Element<Scalar = RealOf<S>>>(
        cuda: &Cuda,
        out: &Spectrum<R, Cuda, ViewMut<'_>>,
        vectors: DevicePtr<S>,
    ) -> Result<Self> {
        let spectrum = SpectrumResults {
            values: cuda.output(&out.values)?.cast(),
            kept: cuda.output(&out.kept)?,
            rank: cuda.output(&out.rank)?,
            gap_kept: cuda.output(&out.gap_kept)?.cast(),
            gap_dropped: cuda.output(&out.gap_dropped)?.cast(),
            status: cuda.output(&out.status)?,
        };
        Ok(Self { spectrum, vectors })
    }

    /// The results of the matrices from `first` on, each of so many vectors of n components.
    pub fn from(self, first: usize, n: usize, vectors: usize) -> Self {
        Self { spectrum: self.spectrum.from(first, vectors), vectors: self.vectors.behind(first * vectors * n) }
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
        self.eigh_in_parts::<T, I, O>(problem, a, Outputs::new(self, &out.spectrum, vectors)?, workspace)
    }

    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Spectrum<R, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigvalsh");
        self.eigh_in_parts::<T, I, R>(problem, a, Outputs::new(self, &out, DevicePtr::NULL)?, workspace)
    }
}

impl Cuda {
    /// Enqueues the decomposition of `a`.
    fn eigh_in_parts<T: Scalar, I: Element<Scalar = T>, S: ResultOf<T>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'_>>,
        out: Outputs<S>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let n = problem.n;
        let input = self.input(&a.data)?;
        let _turn = lock(&workspace.turn);
        for first in (0..problem.batch).step_by(workspace.part) {
            let batch = workspace.part.min(problem.batch - first);
            let part = EighPart { problem, order: n, batch, out: out.from(first, n, n) };
            part.run::<T, I>(self, input.behind(first * n * n), a.triangle, workspace)?;
        }
        Ok(())
    }
}

/// What is worked on at a time.
pub(in crate::cuda) struct EighPart<'a, S: Element> {
    pub problem: &'a Problem,
    /// Of the matrices that are solved; the problem's other eigenvalues are exact zeros.
    pub order: usize,
    pub batch: usize,
    pub out: Outputs<S>,
}

impl<S: Element> EighPart<'_, S> {
    fn run<T, I>(&self, cuda: &Cuda, a: DevicePtr<I>, triangle: Option<Triangle>, workspace: &Workspace<T>) -> Result<()>
    where
        T: Scalar,
        I: Element<Scalar = T>,
        S: ResultOf<T>,
    {
        let with_vectors = !self.out.vectors.is_null();
        let in_place = with_vectors && S::DTYPE == T::DTYPE;
        let matrices = if in_place { self.out.vectors.cast() } else { workspace.regions.matrices[0] };
        let ql = lock(&workspace.solver).as_ref().and_then(Prepared::ql);
        if let Some(ql) = ql.filter(|_| !cuda.certified) {
            return self.by_ql(cuda, ql, (a, triangle), matrices, workspace.regions);
        }
        self.prepare(cuda, (a, triangle), matrices, workspace.regions.exponent)?;
        self.solve(cuda, matrices, workspace)?;
        if with_vectors && !in_place {
            // SAFETY: the vectors and the output hold so many.
            unsafe { cuda.narrow(self.batch * self.order * self.order, matrices.cast(), self.out.vectors) }?;
        }
        Ok(())
    }

    /// From A as it is to the results, by a solver that prepares and cuts on its way.
    fn by_ql<T, I>(
        &self,
        cuda: &Cuda,
        ql: Ql,
        (a, triangle): (DevicePtr<I>, Option<Triangle>),
        matrices: DevicePtr<T>,
        regions: WorkspaceRegions<T>,
    ) -> Result<()>
    where
        T: Scalar,
        I: Element<Scalar = T>,
        S: ResultOf<T>,
    {
        let _range = range(c"eigengrad::solve");
        let WorkspaceRegions { lambda, info, exponent, scratch, .. } = regions;
        let job = Job {
            batch: self.batch,
            from: read(triangle),
            a,
            memory: Memory { a: matrices, lambda, info, scratch },
            exponent,
            cut: Cut::new::<T::Real>(self.problem, self.problem.n - self.order),
            spectrum: self.out.spectrum,
            vectors: self.out.vectors,
        };
        // SAFETY: A, the outputs, the matrices and the regions are those of a part of this size.
        unsafe { ql.run(cuda, job) }
    }

    /// λ and what the cut makes of it, and unless there is nowhere to put vectors those of the
    /// matrices in their place.
    pub fn solve<T: Scalar>(&self, cuda: &Cuda, matrices: DevicePtr<T>, workspace: &Workspace<T>) -> Result<()>
    where
        S: ResultOf<T>,
    {
        let (n, batch, regions) = (self.order, self.batch, workspace.regions);
        let WorkspaceRegions { lambda, info, scratch, certificate, .. } = regions;
        let with_vectors = !self.out.vectors.is_null();
        let vectors = matrices.only_if(with_vectors);
        let mut defect = DevicePtr::NULL;
        if let Some(solver) = &mut *lock(&workspace.solver) {
            let _range = range(c"eigengrad::solve");
            let measured = cuda.certified || solver.is_measured(cuda);
            if measured {
                // SAFETY: the matrices and the regions are those of a part of this size.
                unsafe { certificate.probe(cuda, n, batch, matrices) }?;
            }
            let memory = Memory { a: matrices, lambda, info, scratch };
            // SAFETY: as above.
            unsafe { solver.solve(cuda, batch, with_vectors, memory, certificate) }?;
            // What is repaired was measured before.
            if cuda.certified || measured && !solver.repairs() {
                // SAFETY: as above.
                unsafe { certificate.measure(cuda, n, batch, vectors, lambda) }?;
                defect = certificate.defect;
            }
        }
        self.spectrum(cuda, regions, defect, vectors)
    }

    fn prepare<I: Element>(
        &self,
        cuda: &Cuda,
        (a, triangle): (DevicePtr<I>, Option<Triangle>),
        matrices: DevicePtr<I::Scalar>,
        exponent: DevicePtr<c_int>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::prepare");
        let shape = LaunchShape::team_each(self.batch, self.order);
        let arguments = (self.batch as i64, self.order as c_int, read(triangle), a, matrices, exponent, self.out.spectrum.status);
        // SAFETY: A, the outputs and the regions hold a part of this size.
        unsafe { cuda.launch::<Prepare<I>>(shape, arguments) }
    }

    /// What the cut makes of λ; defects and vectors may be null.
    fn spectrum<T: Scalar>(
        &self,
        cuda: &Cuda,
        regions: WorkspaceRegions<T>,
        defect: DevicePtr<T::Real>,
        vectors: DevicePtr<T>,
    ) -> Result<()>
    where
        S: ResultOf<T>,
    {
        let _range = range(c"eigengrad::spectrum");
        let n = self.order;
        let arguments = (
            self.batch as i64,
            n as c_int,
            Cut::new::<T::Real>(self.problem, self.problem.n - n),
            regions.lambda,
            regions.exponent,
            regions.info,
            defect,
            Certificate::<T>::bound(n),
            self.out.spectrum,
            vectors.cast(), // null, where the type is another
        );
        // SAFETY: the outputs and the regions hold a part of this size; null pointers are where the
        // kernel allows them.
        unsafe { cuda.launch::<CutSpectrum<S>>(LaunchShape::thread_each(self.batch), arguments) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Options, Status};

    /// Of four matrices the first is right. The second has eigenvectors that are not orthonormal,
    /// the third its eigenvectors in the wrong order, the fourth another trace. Each fails alone;
    /// without eigenvectors the fourth alone does.
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
            let at = |buffer| Cuda::view(buffer).pointer();
            let of_vectors = at(&vectors).only_if(with_vectors);
            let spectrum = SpectrumResults {
                values: at(&values),
                kept: Cuda::view(&kept).pointer(),
                rank: Cuda::view(&rank).pointer(),
                gap_kept: at(&gap_kept),
                gap_dropped: at(&gap_dropped),
                status: Cuda::view(&status).pointer(),
            };
            let out = Outputs { spectrum, vectors: of_vectors };
            let part = EighPart { problem: &problem, order: 2, batch: 4, out };
            let workspace = Workspace::<f64>::new(&cuda, &problem, None).unwrap();
            let certificate = workspace.regions.certificate;
            // SAFETY: all hold what belongs to four matrices of order 2.
            unsafe { certificate.probe(&cuda, 2, 4, at(&matrices)) }.unwrap();
            // SAFETY: as above.
            unsafe { certificate.measure(&cuda, 2, 4, of_vectors, at(&lambda)) }.unwrap();
            let [exponent, info] = [&exponent, &info].map(|ints| Cuda::view(ints).pointer().cast());
            let regions = WorkspaceRegions { lambda: at(&lambda), exponent, info, ..workspace.regions };
            part.spectrum(&cuda, regions, certificate.defect, of_vectors).unwrap();
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
