//! B̄ = V C + V̄_K W with W = Λ_K⁻¹ S_K, C = 2 G S − X W on the device, part by part:
//! docs/derivation.md §12, (38).

use crate::compute::BackwardFactor;
use crate::cuda::backward::{BackwardPart, Operands};
use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::gemm::{Form, Product};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::memory::factor::FactorWorkspace;
use crate::cuda::memory::pointer::DevicePtr;
use crate::{
    Cotangents, Element, ElementOf, FactorGradient, FactorPairs, FactorProblem, Real, Result, Scalar, Status, View, ViewMut,
};
use std::ffi::c_int;

kernels! { Factors:
    /// kernels/factor/factor_backward.cu: labels and V̄; V̄_K.
    MaskColumns<T> = "mask_columns"(i64, c_int, c_int, DevicePtr<c_int>, DevicePtr<T>, DevicePtr<T::Scalar>);
    /// kernels/factor/factor_backward.cu: a factor, weights and S; their product.
    ScaleRows<S> = "scale_rows"(i64, c_int, RealOf<S>, DevicePtr<RealOf<S>>, DevicePtr<S>, DevicePtr<S>);
    /// kernels/factor/factor_backward.cu: B̄ as it is stored, where its status allows it.
    StoreColumns<T> = "store_columns"(i64, c_int, c_int, DevicePtr<T::Scalar>, DevicePtr<Status>, DevicePtr<T>);
}

impl<T: Scalar> BackwardFactor<T> for Cuda {
    fn backward_factor<'a, O: ElementOf<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        out: FactorGradient<O, Self, ViewMut<'a>>,
        workspace: &FactorWorkspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::backward_factor");
        let &FactorProblem { ref matrices, r } = problem;
        let (n, part) = (matrices.n, workspace.squares.part);
        let _turn = lock(&workspace.squares.turn);
        let (bars, _copy) = self.bars(&cotangents)?;
        let all = Operands {
            values: self.input(&pairs.spectrum.values)?,
            vectors: self.input(&pairs.vectors)?,
            kept: self.input(&pairs.spectrum.kept)?,
            found: self.input(&pairs.spectrum.status)?,
            values_bar: bars.values,
            vectors_bar: bars.vectors,
            a_bar: self.output(&out.b_bar)?,
            gauge_defect: self.output(&out.gauge_defect)?,
            tie_defect: self.output(&out.tie_defect)?,
            status: self.output(&out.status)?,
        };
        let projection = self.input(&pairs.projection)?;
        for first in (0..matrices.batch).step_by(part) {
            let batch = part.min(matrices.batch - first);
            let at = all.from(first, n, r);
            let of_squares = BackwardPart { cuda: self, problem: matrices, batch, at, workspace: &workspace.squares };
            let s = projection.behind(first * r * r);
            Factors { part: of_squares, r, columns: workspace.regions.columns, s }.run()?;
        }
        Ok(())
    }
}

/// What is worked on at a time.
struct Factors<'a, T: Scalar, O: Element> {
    part: BackwardPart<'a, T, O, O>,
    r: usize,
    columns: [DevicePtr<T>; 3],
    s: DevicePtr<T>,
}

impl<T: Scalar, O: ElementOf<T>> Factors<'_, T, O> {
    fn run(&self) -> Result<()> {
        self.part.label()?;
        if self.r == 0 {
            return Ok(());
        }
        let (n, r, at, regions) = (self.part.problem.n, self.r, self.part.at, self.part.workspace.regions);
        let ([x, c, w, _], [v_bar, wide_v, wide_b_bar]) = (regions.matrices, self.columns);
        let v = self.part.widened(at.vectors, wide_v)?;
        let b_bar = if O::DTYPE == T::DTYPE { at.a_bar.cast() } else { wide_b_bar };
        let (square, tall) = ([r, r, r], [n, r, r]);
        let (plain, s) = (|x| (Form::Plain, x), (Form::Plain, self.s));
        let beyond = n > r && !at.vectors_bar.is_null(); // V̄ reaches beyond the range of B
        if at.vectors_bar.is_null() {
            self.scale_rows(2.0, regions.lambda_bar, c)?; // 2 diag(λ̄) S
        } else {
            self.mask(v_bar)?;
            self.product([r, r, n], 1.0, (Form::Adjoint, v), plain(v_bar), 0.0, x)?; // X = VᴴV̄_K
            if beyond {
                self.scale_rows(1.0, regions.inverse, w)?;
                self.product(square, -1.0, plain(x), plain(w), 0.0, c)?;
            }
            self.part.f_matrix(x, v_bar)?;
            self.product(square, 2.0, plain(x), s, f64::from(u8::from(beyond)), c)?; // 2 G S − X W
        }
        self.product(tall, 1.0, plain(v), plain(c), 0.0, b_bar)?;
        if beyond {
            self.product(tall, 1.0, plain(v_bar), plain(w), 1.0, b_bar)?;
        }
        self.store(b_bar)
    }

    fn product(
        &self,
        shape: [usize; 3],
        alpha: f64,
        a: (Form, DevicePtr<T>),
        b: (Form, DevicePtr<T>),
        beta: f64,
        c: DevicePtr<T>,
    ) -> Result<()> {
        self.part.multiply(Product { batch: self.part.batch, shape, alpha, a, b, beta, c })
    }

    /// Batch, n and r, as kernels take them.
    fn shape(&self) -> (i64, c_int, c_int) {
        (self.part.batch as i64, self.part.problem.n as c_int, self.r as c_int)
    }

    fn mask(&self, v_bar: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::mask");
        let (cuda, (batch, n, r)) = (self.part.cuda, self.shape());
        let entries = self.part.batch * self.part.problem.n * self.r;
        let arguments = (batch, n, r, self.part.workspace.regions.labels, self.part.at.vectors_bar, v_bar);
        // SAFETY: V̄ and the regions hold a part of this size.
        unsafe { cuda.launch::<MaskColumns<O>>(LaunchShape::thread_for(entries), arguments) }
    }

    fn scale_rows(&self, factor: f64, weight: DevicePtr<T::Real>, out: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::scale");
        let (cuda, (batch, _, r)) = (self.part.cuda, self.shape());
        let factor = <T::Real as Real>::of(factor);
        let arguments = (batch, r, factor, weight, self.s, out);
        let shape = LaunchShape::thread_for(self.part.batch * self.r * self.r);
        // SAFETY: S and the regions hold a part of this size.
        unsafe { cuda.launch::<ScaleRows<T>>(shape, arguments) }
    }

    fn store(&self, from: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::store_columns");
        let (cuda, (batch, n, r), at) = (self.part.cuda, self.shape(), self.part.at);
        let arguments = (batch, n, r, from, at.status, at.a_bar);
        let shape = LaunchShape::team_for(self.part.batch, self.part.problem.n * self.r);
        // SAFETY: the outputs and the region hold a part of this size.
        unsafe { cuda.launch::<StoreColumns<O>>(shape, arguments) }
    }
}
