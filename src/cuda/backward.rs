//! Ā on the device, part by part: docs/derivation.md, equations (8) and (10), in tiles
//! that weigh what they make; small matrices in one kernel.

use super::device::{Cuda, lock};
use crate::compute::Backward;
use crate::cuda::driver::gemm::{Form, Product};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{LaunchShape, OnChipKernel, RealOf, kernels};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::workspace::{EDGE, Workspace, WorkspaceRegions, tiles};
use crate::options::Problem;
use crate::{
    Cotangents, Dropped, Dtype, Eigenpairs, Element, ElementOf, Gradient, GradientForm, Real, Result, Scalar, Status, Triangle,
    View, ViewMut,
};
use std::ffi::c_int;
use std::marker::PhantomData;
use std::mem::offset_of;

/// Device addresses of what is read and written, the first of their matrices; null for a cotangent
/// that is absent.
#[derive(Clone, Copy)]
pub(super) struct Operands<O: Element, G> {
    pub values: DevicePtr<O::Real>,
    pub vectors: DevicePtr<O>,
    pub kept: DevicePtr<bool>,
    pub found: DevicePtr<Status>,
    pub values_bar: DevicePtr<O::Real>,
    pub vectors_bar: DevicePtr<O>,
    /// Or B̄, of factors.
    pub a_bar: DevicePtr<G>,
    pub gauge_defect: DevicePtr<RealOf<O>>,
    pub tie_defect: DevicePtr<RealOf<O>>,
    pub status: DevicePtr<Status>,
}

impl<O: Element, G: Copy> Operands<O, G> {
    /// Those of the matrices from `first` on, each of so many vectors of n components.
    pub fn from(self, first: usize, n: usize, vectors: usize) -> Self {
        let (vectors, entries) = (first * vectors, first * vectors * n);
        Self {
            values: self.values.behind(vectors),
            vectors: self.vectors.behind(entries),
            kept: self.kept.behind(vectors),
            found: self.found.behind(first),
            values_bar: self.values_bar.behind(vectors),
            vectors_bar: self.vectors_bar.behind(entries),
            a_bar: self.a_bar.behind(entries),
            gauge_defect: self.gauge_defect.behind(vectors),
            tie_defect: self.tie_defect.behind(first),
            status: self.status.behind(first),
        }
    }
}

kernels! { Products:
    /// kernels/backward/columns.cu: rules, pairs, λ̄; λ, labels, λ̄ on K, whether (10) is used, 1/λ,
    /// defects, statuses.
    Label<O> = "label"(
        i64,
        c_int,
        c_int,
        c_int,
        f64,
        RealOf<O>,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O::Real>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<Status>,
    );
    /// kernels/backward/f_matrix.cu: X that becomes G, V̄, what [`Label`] found, ‖V̄_k‖, defects,
    /// statuses.
    FMatrix<S> = "f_matrix"(
        i64,
        c_int,
        c_int,
        RealOf<S>,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<Status>,
    );
    /// kernels/backward/inner.cu: V, V̄, what [`Label`] found; G, ρ, tie defects of tiles.
    Inner<S> = "inner"(
        c_int,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<Status>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
    );
    /// kernels/backward/inner.cu: tiles of a matrix, what [`Inner`] found; tie defects, statuses.
    Report<S> = "report"(
        i64,
        c_int,
        c_int,
        RealOf<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<Status>,
    );
    /// kernels/backward/outer.cu: form, G, V, whether (10) is used; Ā, statuses.
    Outer<G> = "outer"(
        c_int,
        c_int,
        DevicePtr<G::Scalar>,
        DevicePtr<G::Scalar>,
        DevicePtr<c_int>,
        DevicePtr<G>,
        DevicePtr<Status>,
    );
    /// kernels/backward/finish.cu: form; M as [`Factor`] has it; V; whether (10) is used, and
    /// whether only where it is; Ā, statuses.
    Finish<G> = "finish"(
        c_int,
        c_int,
        DevicePtr<G::Scalar>,
        DevicePtr<G::Scalar>,
        DevicePtr<RealOf<G>>,
        RealOf<G>,
        DevicePtr<G::Scalar>,
        DevicePtr<c_int>,
        c_int,
        DevicePtr<G>,
        DevicePtr<Status>,
    );
}

/// kernels/backward/backward.cu.
struct OnChip<O, G>(PhantomData<(O, G)>);

impl<O: Element, G: Element> OnChipKernel for OnChip<O, G> {
    type Arguments = (
        i64,
        Rules,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<G>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<Status>,
    );
    const NAME: &'static str = "backward";
    const DTYPES: &'static [Dtype] = &[O::DTYPE, G::DTYPE];
}

/// `struct rules` of kernels/backward/backward.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Rules {
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
            return self.backward_on_chip(problem, layout, all);
        }
        let _turn = lock(&workspace.turn);
        for first in (0..problem.batch).step_by(workspace.part) {
            let batch = workspace.part.min(problem.batch - first);
            BackwardPart { cuda: self, problem, batch, at: all.from(first, problem.n, problem.n), workspace }.run()?;
        }
        Ok(())
    }
}

impl Cuda {
    /// Enqueues Ā of a batch.
    fn backward_on_chip<O: Element, G: Element>(&self, problem: &Problem, layout: Layout, at: Operands<O, G>) -> Result<()> {
        let _range = range(c"eigengrad::fused");
        let rules = Rules {
            ties: problem.tie_rule(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            form: form(problem.gradient),
            tie_rtol: problem.tie_rtol::<O::Real>(),
            round_off: problem.round_off::<O>(),
        };
        let Operands { values, vectors, kept, found, values_bar, vectors_bar, a_bar, gauge_defect, tie_defect, status } = at;
        let arguments = (
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
        );
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { self.launch_on_chip::<OnChip<O, G>>(layout, problem.batch, arguments) }
    }
}

/// What is worked on at a time: matrices with as many vectors as the workspace has columns, which
/// is the problem's n unless they come from factors.
pub(super) struct BackwardPart<'a, T: Scalar, O: Element, G> {
    pub cuda: &'a Cuda,
    pub problem: &'a Problem,
    pub batch: usize,
    pub at: Operands<O, G>,
    pub workspace: &'a Workspace<T>,
}

impl<T: Scalar, O: ElementOf<T>, G: ElementOf<T>> BackwardPart<'_, T, O, G> {
    fn run(&self) -> Result<()> {
        self.label()?;
        if self.problem.n == 0 {
            return Ok(());
        }
        let [x, m, wide_v, wide_v_bar] = self.workspace.regions.matrices;
        let regions = self.workspace.regions;
        let v = self.widened(self.at.vectors, wide_v)?;
        if self.at.vectors_bar.is_null() {
            // V diag λ̄
            return self.finish(v, Factor { x: v, weight: regions.lambda_bar, by: 1.0, ..Factor::default() });
        }
        let v_bar = self.widened(self.at.vectors_bar, wide_v_bar)?;
        self.inner(v, v_bar, x)?;
        let fits = self.outer_bytes() <= self.cuda.most_shared();
        if fits {
            self.outer(x, v)?;
            if !self.declared_zero() {
                return Ok(());
            }
        }
        let (batch, shape, a, b) = (self.batch, [self.problem.n; 3], (Form::Plain, v), (Form::Plain, x));
        self.multiply(Product { batch, shape, alpha: 1.0, a, b, beta: 0.0, c: m })?; // V G
        self.finish(
            v,
            match self.problem.dropped {
                Dropped::AsComputed => Factor { m, ..Factor::default() },
                // V G' + ½ V̄ Λ⁻¹
                Dropped::Zero => Factor { m, x: v_bar, weight: regions.inverse, by: 0.5, divides: regions.divides, alone: fits },
            },
        )
    }

    fn declared_zero(&self) -> bool {
        self.problem.dropped == Dropped::Zero
    }

    /// Where the numbers stored as `O` are in the type computed in.
    pub fn widened(&self, stored: DevicePtr<O>, region: DevicePtr<T>) -> Result<DevicePtr<T>> {
        if O::DTYPE == T::DTYPE {
            return Ok(stored.cast());
        }
        // SAFETY: the operand and the region hold a part of this size.
        unsafe { self.cuda.widen(self.batch * self.problem.n * self.workspace.n, stored, region) }?;
        Ok(region)
    }

    pub fn label(&self) -> Result<()> {
        let _range = range(c"eigengrad::label");
        let regions = self.workspace.regions;
        let Operands { values, kept, found, values_bar, gauge_defect, tie_defect, status, .. } = self.at;
        let (n, zero) = (self.workspace.n as c_int, c_int::from(self.declared_zero()));
        let tie_rtol = self.problem.tie_rtol::<O::Real>();
        let arguments = (
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
        );
        // SAFETY: the operands and the regions hold a part of this size; λ̄ and whether (10) is used
        // may be null.
        unsafe { self.cuda.launch::<Label<O>>(LaunchShape::thread_each(self.batch), arguments) }
    }

    /// G of V and V̄, and what the report has of it.
    fn inner(&self, v: DevicePtr<T>, v_bar: DevicePtr<T>, g: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::inner");
        let WorkspaceRegions { lambda, labels, lambda_bar, divides, inverse, ties, .. } = self.workspace.regions;
        let Operands { gauge_defect, tie_defect, status, .. } = self.at;
        let (n, of_matrix) = (self.problem.n, tiles(self.problem.n));
        let shape = LaunchShape { blocks: (self.batch * of_matrix) as u32, threads: (128, 1), shared: 0 };
        let divides = divides.only_if(self.declared_zero());
        let arguments = (n as c_int, v, v_bar, lambda, labels, lambda_bar, divides, inverse, status, g, gauge_defect, ties);
        // SAFETY: the operands and the regions hold a part of this size; whether (10) is used may
        // be null.
        unsafe { self.cuda.launch::<Inner<T>>(shape, arguments) }?;
        let round_off = <T::Real as Real>::of(self.problem.round_off::<O>());
        let arguments = (self.batch as i64, n as c_int, of_matrix as c_int, round_off, ties, gauge_defect, tie_defect, status);
        // SAFETY: as above.
        unsafe { self.cuda.launch::<Report<T>>(LaunchShape::thread_each(self.batch), arguments) }
    }

    /// Of shared memory for a block: `outer_tile::SIZE` of kernels/backward/outer.cu, and a panel.
    fn outer_bytes(&self) -> usize {
        let columns = self.problem.n.next_multiple_of(EDGE);
        (2 * EDGE * (EDGE + 1) + EDGE * columns) * size_of::<T>()
    }

    /// Ā = V G Vᴴ where (10) is not used.
    fn outer(&self, g: DevicePtr<T>, v: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::outer");
        let n = self.problem.n;
        let (blocks, shared) = ((self.batch * n.div_ceil(EDGE)) as u32, self.outer_bytes() as u32);
        let divides = self.workspace.regions.divides.only_if(self.declared_zero());
        let arguments = (n as c_int, form(self.problem.gradient), g, v, divides, self.at.a_bar, self.at.status);
        // SAFETY: the operands and the regions hold a part of this size.
        unsafe { self.cuda.launch::<Outer<G>>(LaunchShape { blocks, threads: (128, 1), shared }, arguments) }
    }

    pub fn f_matrix(&self, x: DevicePtr<T>, v_bar: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::f_matrix");
        let regions = self.workspace.regions;
        let (rows, n) = (self.problem.n, self.workspace.n);
        let Operands { gauge_defect, tie_defect, status, .. } = self.at;
        let round_off = <T::Real as Real>::of(self.problem.round_off::<O>());
        let arguments = (
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
        );
        // SAFETY: the operands and the regions hold a part of this size.
        unsafe { self.cuda.launch::<FMatrix<T>>(LaunchShape::team_for(self.batch, n * rows), arguments) }
    }

    pub fn multiply(&self, product: Product<T>) -> Result<()> {
        let _range = range(c"eigengrad::product");
        // SAFETY: the operands and the regions hold a part of this size, and the regions do not
        // overlap.
        unsafe { self.cuda.multiply(product) }
    }

    fn finish(&self, v: DevicePtr<T>, factor: Factor<T>) -> Result<()> {
        let _range = range(c"eigengrad::finish");
        let n = self.problem.n;
        let Factor { m, x, weight, by, divides, alone } = factor;
        let (form, by) = (form(self.problem.gradient), <T::Real as Real>::of(by));
        let Operands { a_bar, status, .. } = self.at;
        let arguments = (n as c_int, form, m, x, weight, by, v, divides, c_int::from(alone), a_bar, status);
        // `struct block_tile` of kernels/backward/finish.cu
        let edge = if size_of::<T>() == 4 { 64 } else { 32 };
        // SAFETY: the operands and the regions hold a part of this size; all but V, Ā and the
        // statuses may be null.
        unsafe { self.cuda.launch::<Finish<G>>(LaunchShape::tile_each(self.batch, n, edge), arguments) }
    }
}

/// M of kernels/backward/finish.cu: `m` and `x` times `weight` times `by`; where `divides` both
/// halves of (10) are taken. Addresses may be null.
#[derive(Clone, Copy)]
struct Factor<T: Scalar> {
    m: DevicePtr<T>,
    x: DevicePtr<T>,
    weight: DevicePtr<T::Real>,
    by: f64,
    divides: DevicePtr<c_int>,
    /// Whether Ā is there of matrices that do not divide.
    alone: bool,
}

impl<T: Scalar> Default for Factor<T> {
    fn default() -> Self {
        Self { m: DevicePtr::NULL, x: DevicePtr::NULL, weight: DevicePtr::NULL, by: 0.0, divides: DevicePtr::NULL, alone: false }
    }
}

/// `enum form` of kernels/lib/form.cuh.
fn form(form: GradientForm) -> c_int {
    match form {
        GradientForm::Hermitian => 0,
        GradientForm::Triangle(Triangle::Lower) => 1,
        GradientForm::Triangle(Triangle::Upper) => 2,
    }
}
