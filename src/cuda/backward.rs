//! Ā on the device, part by part: docs/derivation.md, equations (8) and (10), by matrix products around elementwise kernels; small
//! matrices in one kernel.

use super::device::{Cuda, lock};
use crate::compute::Backward;
use crate::cuda::driver::gemm::{Form, Product};
use crate::cuda::driver::nvtx::range;
use crate::cuda::eigh::behind;
use crate::cuda::kernel::module::{LaunchShape, arguments, launch};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::workspace::Workspace;
use crate::options::Problem;
use crate::{
    Cotangents, Dropped, Eigenpairs, Element, ElementOf, Gradient, GradientForm, Real, Result, Scalar, Triangle, View, ViewMut,
};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;
use std::mem::offset_of;

/// Device addresses of what is read and written, the first of their matrices; 0 for a cotangent that is absent.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub values: CUdeviceptr,
    pub vectors: CUdeviceptr,
    pub kept: CUdeviceptr,
    pub found: CUdeviceptr,
    pub values_bar: CUdeviceptr,
    pub vectors_bar: CUdeviceptr,
    /// Or B̄, of factors.
    pub a_bar: CUdeviceptr,
    pub gauge_defect: CUdeviceptr,
    pub tie_defect: CUdeviceptr,
    pub status: CUdeviceptr,
}

impl Operands {
    /// Those of the matrices from `first` on, each of so many vectors of n components.
    pub fn from<O: Element, G: Element>(self, first: usize, n: usize, vectors: usize) -> Self {
        let (vectors, entries) = (first * vectors, first * vectors * n);
        let real = size_of::<<O::Scalar as Element>::Real>();
        Self {
            values: behind(self.values, vectors, size_of::<O::Real>()),
            vectors: behind(self.vectors, entries, size_of::<O>()),
            kept: behind(self.kept, vectors, size_of::<bool>()),
            found: behind(self.found, first, size_of::<u32>()),
            values_bar: behind(self.values_bar, vectors, size_of::<O::Real>()),
            vectors_bar: behind(self.vectors_bar, entries, size_of::<O>()),
            a_bar: behind(self.a_bar, entries, size_of::<G>()),
            gauge_defect: behind(self.gauge_defect, vectors, real),
            tie_defect: behind(self.tie_defect, first, real),
            status: behind(self.status, first, size_of::<u32>()),
        }
    }
}

/// `struct rules` of kernels/backward/backward.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Rules {
    ties: c_int,
    dropped_zero: c_int,
    form: c_int,
    tie_rtol: f64,
    round_off: f64,
}

// The same on both sides.
const _: () = assert!(size_of::<Rules>() == 32 && offset_of!(Rules, round_off) == 24);

impl<T: Scalar> Backward<T> for Cuda {
    fn backward<'a, O: ElementOf<T>, G: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        out: Gradient<G, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::backward");
        let (bars, _copy) = self.bars(&cotangents)?;
        let all = Operands {
            values: self.input(&pairs.spectrum.values)?,
            vectors: self.input(&pairs.vectors)?,
            kept: self.input(&pairs.spectrum.kept)?,
            found: self.input(&pairs.spectrum.status)?,
            values_bar: bars.values,
            vectors_bar: bars.vectors,
            a_bar: self.output(&out.a_bar)?,
            gauge_defect: self.output(&out.gauge_defect)?,
            tie_defect: self.output(&out.tie_defect)?,
            status: self.output(&out.status)?,
        };
        if let Some(layout) = workspace.on_chip {
            return self.assemble_on_chip::<T, O, G>(problem, layout, all);
        }
        let _turn = lock(&workspace.turn);
        for first in (0..problem.batch).step_by(workspace.part) {
            let batch = workspace.part.min(problem.batch - first);
            BackwardPart { cuda: self, problem, batch, at: all.from::<O, G>(first, problem.n, problem.n), workspace }
                .run::<O, G>()?;
        }
        Ok(())
    }
}

impl Cuda {
    /// Enqueues Ā of a batch.
    fn assemble_on_chip<T: Scalar, O: ElementOf<T>, G: ElementOf<T>>(
        &self,
        problem: &Problem,
        layout: Layout,
        at: Operands,
    ) -> Result<()> {
        let _range = range(c"eigengrad::fused");
        let kernel = self.alone(layout.instantiation(O::DTYPE, &[G::DTYPE]))?;
        let rules = Rules {
            ties: problem.tie_rule(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            form: form(problem.gradient),
            tie_rtol: problem.tie_rtol::<O::Real>(),
            round_off: problem.round_off::<O>(),
        };
        let Operands { values, vectors, kept, found, values_bar, vectors_bar, a_bar, gauge_defect, tie_defect, status } = at;
        let arguments = arguments![
            problem.batch as i64,
            rules,
            values,
            kept,
            found,
            vectors,
            values_bar,
            vectors_bar,
            a_bar,
            gauge_defect,
            tie_defect,
            status,
        ];
        let _current = self.bind()?;
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { launch(self.stream(), kernel.function, layout.shape(problem.batch), arguments) }
    }
}

/// What is worked on at a time: matrices with as many vectors as the workspace has columns, which is the problem's n unless they come
/// from factors.
pub(super) struct BackwardPart<'a, T> {
    pub cuda: &'a Cuda,
    pub problem: &'a Problem,
    pub batch: usize,
    pub at: Operands,
    pub workspace: &'a Workspace<T>,
}

impl<T: Scalar> BackwardPart<'_, T> {
    fn run<O: ElementOf<T>, G: ElementOf<T>>(&self) -> Result<()> {
        self.label::<O>()?;
        if self.problem.n == 0 {
            return Ok(());
        }
        let [x, m, wide_v, wide_v_bar] = self.workspace.regions.matrices;
        let regions = self.workspace.regions;
        let v = self.widened::<O>(self.at.vectors, wide_v)?;
        if self.at.vectors_bar == 0 {
            return self.finish::<G>(v, Factor { m: 0, x: v, weight: regions.lambda_bar, by: 1.0, divides: 0 }); // V diag λ̄
        }
        let v_bar = self.widened::<O>(self.at.vectors_bar, wide_v_bar)?;
        let product = |a, b, c| Product { batch: self.batch, shape: [self.problem.n; 3], alpha: 1.0, a, b, beta: 0.0, c };
        self.multiply(product((Form::Adjoint, v), (Form::Plain, v_bar), x))?; // X = VᴴV̄
        self.f_matrix::<O>(x, v_bar)?;
        self.multiply(product((Form::Plain, v), (Form::Plain, x), m))?; // V G
        self.finish::<G>(
            v,
            match self.problem.dropped {
                Dropped::AsComputed => Factor { m, x: 0, weight: 0, by: 0.0, divides: 0 },
                Dropped::Zero => Factor { m, x: v_bar, weight: regions.inverse, by: 0.5, divides: regions.divides }, // V G' + ½ V̄ Λ⁻¹
            },
        )
    }

    fn declared_zero(&self) -> bool {
        self.problem.dropped == Dropped::Zero
    }

    /// Where the numbers stored as `O` are in the type computed in.
    pub fn widened<O: ElementOf<T>>(&self, stored: CUdeviceptr, region: CUdeviceptr) -> Result<CUdeviceptr> {
        if O::DTYPE == T::DTYPE {
            return Ok(stored);
        }
        let _range = range(c"eigengrad::load");
        let (kernels, entries) = (self.cuda.kernels::<O>()?, self.batch * self.problem.n * self.workspace.n);
        let arguments = arguments![entries as i64, stored, region];
        let _current = self.cuda.bind()?;
        // SAFETY: the operand and the region hold a part of this size.
        unsafe { launch(self.cuda.stream(), kernels.load, LaunchShape::thread_for(entries), arguments) }?;
        Ok(region)
    }

    pub fn label<O: ElementOf<T>>(&self) -> Result<()> {
        let _range = range(c"eigengrad::label");
        let (kernels, regions) = (self.cuda.kernels::<O>()?, self.workspace.regions);
        let Operands { values, kept, found, values_bar, gauge_defect, tie_defect, status, .. } = self.at;
        let (n, zero) = (self.workspace.n as c_int, c_int::from(self.declared_zero()));
        let tie_rtol = self.problem.tie_rtol::<O::Real>();
        let arguments = arguments![
            self.batch as i64,
            n,
            self.problem.tie_rule(),
            zero,
            tie_rtol,
            <T::Real as Real>::of(self.problem.round_off::<O>()),
            values,
            kept,
            found,
            values_bar,
            regions.lambda,
            regions.labels,
            regions.lambda_bar,
            regions.divides,
            regions.inverse,
            gauge_defect,
            tie_defect,
            status,
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the regions hold a part of this size; λ̄ and whether (10) is used may be null.
        unsafe { launch(self.cuda.stream(), kernels.label, LaunchShape::thread_each(self.batch), arguments) }
    }

    pub fn f_matrix<O: ElementOf<T>>(&self, x: CUdeviceptr, v_bar: CUdeviceptr) -> Result<()> {
        let _range = range(c"eigengrad::f_matrix");
        let (kernels, regions) = (self.cuda.kernels::<T>()?, self.workspace.regions);
        let (rows, n) = (self.problem.n, self.workspace.n);
        let Operands { gauge_defect, tie_defect, status, .. } = self.at;
        let round_off = <T::Real as Real>::of(self.problem.round_off::<O>());
        let arguments = arguments![
            self.batch as i64,
            n as c_int,
            rows as c_int,
            round_off,
            x,
            v_bar,
            regions.lambda,
            regions.labels,
            regions.lambda_bar,
            regions.divides,
            regions.inverse,
            regions.norms,
            gauge_defect,
            tie_defect,
            status,
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the regions hold a part of this size.
        unsafe { launch(self.cuda.stream(), kernels.scalar()?.f_matrix, LaunchShape::team_for(self.batch, n * rows), arguments) }
    }

    pub fn multiply(&self, product: Product) -> Result<()> {
        let _range = range(c"eigengrad::product");
        // SAFETY: the operands and the regions hold a part of this size, and the regions do not overlap.
        unsafe { self.cuda.multiply::<T>(product) }
    }

    fn finish<G: ElementOf<T>>(&self, v: CUdeviceptr, factor: Factor) -> Result<()> {
        let _range = range(c"eigengrad::finish");
        let (kernels, n) = (self.cuda.kernels::<G>()?, self.problem.n);
        let Factor { m, x, weight, by, divides } = factor;
        let (form, by) = (form(self.problem.gradient), <T::Real as Real>::of(by));
        let Operands { a_bar, status, .. } = self.at;
        let arguments = arguments![n as c_int, form, m, x, weight, by, v, divides, a_bar, status];
        let edge = if size_of::<T>() == 4 { 64 } else { 32 }; // `struct block_tile` of kernels/backward/outer.cu
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the regions hold a part of this size; all but V, Ā and the statuses may be null.
        unsafe { launch(self.cuda.stream(), kernels.finish, LaunchShape::tile_each(self.batch, n, edge), arguments) }
    }
}

/// M of kernels/backward/outer.cu: `m` and `x` times `weight` times `by`; where `divides` both halves of (10) are taken. Addresses may be null.
#[derive(Clone, Copy)]
struct Factor {
    m: CUdeviceptr,
    x: CUdeviceptr,
    weight: CUdeviceptr,
    by: f64,
    divides: CUdeviceptr,
}

/// `enum form` of kernels/lib/form.cuh.
fn form(form: GradientForm) -> c_int {
    match form {
        GradientForm::Hermitian => 0,
        GradientForm::Triangle(Triangle::Lower) => 1,
        GradientForm::Triangle(Triangle::Upper) => 2,
    }
}
