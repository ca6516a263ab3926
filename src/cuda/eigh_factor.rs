//! B Bᴴ = V Λ Vᴴ on the device, part by part: factorise, cuSOLVER on R Rᴴ, (certificate), spectrum, compose, (store).

use crate::compute::EighFactor;
use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::nvtx::range;
use crate::cuda::eigh::{EighPart, Outputs, behind};
use crate::cuda::kernel::module::{LaunchShape, arguments, launch};
use crate::cuda::memory::factor::FactorWorkspace;
use crate::{Element, ElementOf, FactorBatch, FactorPairs, FactorProblem, Result, Scalar, View, ViewMut};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;

impl<T: Scalar> EighFactor<T> for Cuda {
    fn eigh_factor<'a, I: Element<Scalar = T>, O: ElementOf<T>>(
        &self,
        problem: &FactorProblem,
        b: FactorBatch<I, Self, View<'a>>,
        out: FactorPairs<O, Self, ViewMut<'a>>,
        workspace: &FactorWorkspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigh_factor");
        let &FactorProblem { ref matrices, r } = problem;
        let (n, part) = (matrices.n, workspace.squares.part);
        let _turn = lock(&workspace.squares.turn);
        let all = Outputs::new(self, &out.spectrum, self.output(&out.vectors)?)?;
        let (input, projection) = (self.input(&b.data)?, self.output(&out.projection)?);
        for first in (0..matrices.batch).step_by(part) {
            let batch = part.min(matrices.batch - first);
            let squares = EighPart { problem: matrices, order: r, batch, out: all.from::<T, O, O::Real>(first, n, r) };
            let factors = Factors {
                squares,
                b: behind(input, first * n * r, size_of::<I>()),
                projection: behind(projection, first * r * r, size_of::<T>()),
            };
            factors.run::<T, I, O>(self, workspace)?;
        }
        Ok(())
    }
}

/// What is worked on at a time.
struct Factors<'a> {
    /// The matrices R Rᴴ, with the results for B Bᴴ.
    squares: EighPart<'a>,
    b: CUdeviceptr,
    projection: CUdeviceptr,
}

impl Factors<'_> {
    fn run<T: Scalar, I: Element<Scalar = T>, O: ElementOf<T>>(&self, cuda: &Cuda, workspace: &FactorWorkspace<T>) -> Result<()> {
        let entries = self.squares.batch * self.squares.problem.n * self.squares.order;
        let vectors = if O::DTYPE == T::DTYPE { self.squares.out.vectors } else { workspace.regions.columns[1] };
        self.factorise::<T, I>(cuda, workspace)?;
        self.squares.solve::<T, O>(cuda, workspace.squares.regions.matrices[0], &workspace.squares)?;
        self.compose(cuda, workspace, vectors)?;
        if O::DTYPE != T::DTYPE {
            self.squares.store::<O>(cuda, vectors, entries)?;
        }
        Ok(())
    }

    /// Batch, n and r, as kernels take them, and a team for each factor.
    fn shape(&self) -> (i64, c_int, c_int, LaunchShape) {
        let EighPart { problem, order, batch, .. } = self.squares;
        (batch as i64, problem.n as c_int, order as c_int, LaunchShape::team_for(batch, problem.n * order))
    }

    fn factorise<T: Scalar, I: Element<Scalar = T>>(&self, cuda: &Cuda, workspace: &FactorWorkspace<T>) -> Result<()> {
        let _range = range(c"eigengrad::factorise");
        let (kernels, regions, squares) = (cuda.factor::<I>()?, workspace.regions, workspace.squares.regions);
        let (batch, n, r, shape) = self.shape();
        let (factor, m, status) = (regions.columns[0], squares.matrices[0], self.squares.out.status);
        let arguments = arguments![batch, n, r, self.b, factor, regions.tau, m, squares.exponent, status];
        let _current = cuda.bind()?;
        // SAFETY: B, the statuses and the regions hold a part of this size.
        unsafe { launch(cuda.stream(), kernels.factorise, shape, arguments) }
    }

    fn compose<T: Scalar>(&self, cuda: &Cuda, workspace: &FactorWorkspace<T>, vectors: CUdeviceptr) -> Result<()> {
        let _range = range(c"eigengrad::compose");
        let (kernels, regions, squares) = (cuda.factor::<T>()?, workspace.regions, workspace.squares.regions);
        let (batch, n, r, shape) = self.shape();
        let (factor, u, status) = (regions.columns[0], squares.matrices[0], self.squares.out.status);
        let arguments = arguments![batch, n, r, factor, regions.tau, u, squares.exponent, status, vectors, self.projection];
        let _current = cuda.bind()?;
        // SAFETY: the outputs and the regions hold a part of this size.
        unsafe { launch(cuda.stream(), kernels.scalar()?.compose, shape, arguments) }
    }
}
