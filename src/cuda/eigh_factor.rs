//! B Bᴴ = V Λ Vᴴ on the device, part by part: factorise, cuSOLVER on R Rᴴ, (certificate), spectrum,
//! compose, (store).

use crate::compute::EighFactor;
use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::nvtx::range;
use crate::cuda::eigh::{EighPart, Outputs};
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::memory::factor::FactorWorkspace;
use crate::cuda::memory::pointer::DevicePtr;
use crate::{Element, ElementOf, FactorBatch, FactorPairs, FactorProblem, Result, Scalar, Status, View, ViewMut};
use std::ffi::c_int;

kernels! { Factors:
    /// kernels/factor/factor.cu: B; R and its reflections, R Rᴴ, exponents, statuses.
    Factorise<I> = "factorise"(
        i64,
        c_int,
        c_int,
        DevicePtr<I>,
        DevicePtr<I::Scalar>,
        DevicePtr<RealOf<I>>,
        DevicePtr<I::Scalar>,
        DevicePtr<c_int>,
        DevicePtr<Status>,
    );
    /// kernels/factor/factor.cu: those and the eigenvectors of R Rᴴ; V and S.
    Compose<S> = "compose"(
        i64,
        c_int,
        c_int,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<S>,
        DevicePtr<c_int>,
        DevicePtr<Status>,
        DevicePtr<S>,
        DevicePtr<S>,
    );
}

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
            let squares = EighPart { problem: matrices, order: r, batch, out: all.from(first, n, r) };
            let factors = Factors { squares, b: input.behind(first * n * r), projection: projection.behind(first * r * r) };
            factors.run(self, workspace)?;
        }
        Ok(())
    }
}

/// What is worked on at a time.
struct Factors<'a, T, I, O: Element> {
    /// The matrices R Rᴴ, with the results for B Bᴴ.
    squares: EighPart<'a, O>,
    b: DevicePtr<I>,
    projection: DevicePtr<T>,
}

impl<T: Scalar, I: Element<Scalar = T>, O: ElementOf<T>> Factors<'_, T, I, O> {
    fn run(&self, cuda: &Cuda, workspace: &FactorWorkspace<T>) -> Result<()> {
        let entries = self.squares.batch * self.squares.problem.n * self.squares.order;
        let vectors = if O::DTYPE == T::DTYPE { self.squares.out.vectors.cast() } else { workspace.regions.columns[1] };
        self.factorise(cuda, workspace)?;
        self.squares.solve(cuda, workspace.squares.regions.matrices[0], &workspace.squares)?;
        self.compose(cuda, workspace, vectors)?;
        if O::DTYPE != T::DTYPE {
            // SAFETY: the vectors and the output hold so many.
            unsafe { cuda.narrow(entries, vectors, self.squares.out.vectors) }?;
        }
        Ok(())
    }

    /// Batch, n and r, as kernels take them, and a team for each factor.
    fn shape(&self) -> (i64, c_int, c_int, LaunchShape) {
        let EighPart { problem, order, batch, .. } = self.squares;
        (batch as i64, problem.n as c_int, order as c_int, LaunchShape::team_for(batch, problem.n * order))
    }

    fn factorise(&self, cuda: &Cuda, workspace: &FactorWorkspace<T>) -> Result<()> {
        let _range = range(c"eigengrad::factorise");
        let (regions, squares) = (workspace.regions, workspace.squares.regions);
        let (batch, n, r, shape) = self.shape();
        let (factor, m, status) = (regions.columns[0], squares.matrices[0], self.squares.out.spectrum.status);
        let arguments = (batch, n, r, self.b, factor, regions.tau, m, squares.exponent, status);
        // SAFETY: B, the statuses and the regions hold a part of this size.
        unsafe { cuda.launch::<Factorise<I>>(shape, arguments) }
    }

    fn compose(&self, cuda: &Cuda, workspace: &FactorWorkspace<T>, vectors: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::compose");
        let (regions, squares) = (workspace.regions, workspace.squares.regions);
        let (batch, n, r, shape) = self.shape();
        let (factor, u, status) = (regions.columns[0], squares.matrices[0], self.squares.out.spectrum.status);
        let arguments = (batch, n, r, factor, regions.tau, u, squares.exponent, status, vectors, self.projection);
        // SAFETY: the outputs and the regions hold a part of this size.
        unsafe { cuda.launch::<Compose<T>>(shape, arguments) }
    }
}
