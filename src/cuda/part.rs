//! What is worked on at a time, and the steps that all operations have: K, D and ties, products,
//! results.

use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::gemm::{Form, Product};
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::kernel::layouts::read;
use crate::cuda::memory::buffer::DeviceBuffer;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::scratch::{Scratch, ScratchRegions};
use crate::options::Problem;
use crate::{Backend, Cotangents, Dropped, Eigenpairs, Element, ElementOf, HermitianBatch, Real, Result, Scalar, Status, View};
use std::ffi::c_int;

/// Device addresses of eigenpairs, the first of their matrices.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Pairs<O: Element> {
    pub values: DevicePtr<O::Real>,
    pub vectors: DevicePtr<O>,
    pub kept: DevicePtr<bool>,
    pub found: DevicePtr<Status>,
}

/// Of cotangents; null for what is absent.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Bars<O: Element> {
    pub values: DevicePtr<O::Real>,
    pub vectors: DevicePtr<O>,
}

/// Of Hermitian matrices.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Hermitian<O> {
    pub data: DevicePtr<O>,
    /// `enum read` of kernels/lib/element.cuh.
    pub read: c_int,
}

kernels! { Derivatives:
    /// kernels/jvp/columns.cu: rules, pairs, two λ̄; λ, labels, both λ̄ on K, statuses.
    Mask<O> = "mask"(
        i64,
        c_int,
        c_int,
        c_int,
        f64,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O::Real>,
        DevicePtr<O::Real>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<Status>,
    );
    /// kernels/lib/hermitian.cu: what is read, and the matrices; both triangles of them.
    Mirror<O> = "hermitian"(i64, c_int, c_int, DevicePtr<O>, DevicePtr<O::Scalar>);
    /// kernels/lib/results.cu: a factor, one for each matrix, what is stored, statuses so far;
    /// statuses, matrices.
    StoreMatrices<O> = "store_matrices"(
        i64,
        c_int,
        RealOf<O>,
        DevicePtr<RealOf<O>>,
        DevicePtr<O::Scalar>,
        DevicePtr<Status>,
        DevicePtr<Status>,
        DevicePtr<O>,
    );
    /// kernels/lib/results.cu: labels, vectors and values, statuses so far; statuses, values,
    /// vectors.
    StoreVectors<O> = "store_vectors"(
        i64,
        c_int,
        DevicePtr<c_int>,
        DevicePtr<O::Scalar>,
        DevicePtr<RealOf<O>>,
        DevicePtr<Status>,
        DevicePtr<Status>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
    );
}

impl Cuda {
    pub(in crate::cuda) fn pairs<O: Element>(&self, pairs: &Eigenpairs<O, Self, View<'_>>) -> Result<Pairs<O>> {
        Ok(Pairs {
            values: self.input(&pairs.spectrum.values)?,
            vectors: self.input(&pairs.vectors)?,
            kept: self.input(&pairs.spectrum.kept)?,
            found: self.input(&pairs.spectrum.status)?,
        })
    }

    /// Cotangents by columns; and where V̄ is given by its rows, the copy that is.
    pub(in crate::cuda) fn bars<O: Element>(
        &self,
        bars: &Cotangents<O, Self, View<'_>>,
    ) -> Result<(Bars<O>, Option<DeviceBuffer<O>>)> {
        let (values, rows) = (self.given(&bars.values)?, bars.vectors.filter(|_| bars.rows));
        let Some(rows) = rows else { return Ok((Bars { values, vectors: self.given(&bars.vectors)? }, None)) };
        let [batch, n, k] = rows.shape();
        let copy = self.contiguous(rows.memory().strided([batch, k, n], [(n * k) as isize, 1, k as isize])?)?;
        Ok((Bars { values, vectors: Self::view(&copy).pointer() }, Some(copy)))
    }

    /// Hermitian matrices stored as the pairs are, as `O`; and where they are stored as another
    /// type, the copy that is.
    pub(in crate::cuda) fn hermitian<T: Scalar, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        e: &HermitianBatch<I, Self, View<'_>>,
    ) -> Result<(Hermitian<O>, Option<DeviceBuffer<O>>)> {
        let (data, read) = (self.input(&e.data)?, read(e.triangle));
        if I::DTYPE == O::DTYPE {
            return Ok((Hermitian { data: data.cast(), read }, None));
        }
        let entries = e.data.shape().into_iter().product::<usize>();
        let (wide, copy) = (self.zeros::<T>(entries)?, self.zeros::<O>(entries)?);
        let (between, to) = (Self::view(&wide).pointer(), Self::view(&copy).pointer());
        // SAFETY: the operand and the copies hold so many entries.
        unsafe { self.widen(entries, data, between) }?;
        // SAFETY: as above.
        unsafe { self.narrow(entries, between, to) }?;
        Ok((Hermitian { data: to, read }, Some(copy)))
    }

    /// Does the work on one part of the batch after the other.
    pub(in crate::cuda) fn in_parts<T: Scalar, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Pairs<O>,
        scratch: &Scratch<T>,
        work: impl Fn(&DerivativePart<'_, T, O>) -> Result<()>,
    ) -> Result<()> {
        let _turn = lock(&scratch.turn);
        for first in (0..problem.batch).step_by(scratch.part) {
            let batch = scratch.part.min(problem.batch - first);
            let regions = scratch.regions;
            let mut part = DerivativePart { cuda: self, problem, first, batch, pairs, regions, v: DevicePtr::NULL };
            part.v = part.widened(part.matrices(pairs.vectors), regions.wide_v)?;
            work(&part)?;
        }
        Ok(())
    }
}

/// Device addresses of values and vectors that are written, λ̇ and V̇ or λ̄̄ and V̄̄.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct VectorResults<O: Element> {
    pub status: DevicePtr<Status>,
    pub values: DevicePtr<O::Real>,
    pub vectors: DevicePtr<O>,
}

/// A part of the batch. Addresses of operands are those of the whole batch; the functions that take
/// a part's address say so.
pub(in crate::cuda) struct DerivativePart<'a, T: Scalar, O: Element> {
    pub cuda: &'a Cuda,
    pub problem: &'a Problem,
    pub first: usize,
    pub batch: usize,
    pub pairs: Pairs<O>,
    pub regions: ScratchRegions<T>,
    /// V of the part in the type computed in.
    pub v: DevicePtr<T>,
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    /// Where this part's n×n matrices begin.
    pub fn matrices<E>(&self, of_batch: DevicePtr<E>) -> DevicePtr<E> {
        of_batch.behind(self.first * self.problem.n * self.problem.n)
    }

    /// Where this part's columns begin, of n numbers a matrix.
    pub fn columns<E>(&self, of_batch: DevicePtr<E>) -> DevicePtr<E> {
        of_batch.behind(self.first * self.problem.n)
    }

    /// Where this part's numbers begin, of one a matrix.
    pub fn numbers<E>(&self, of_batch: DevicePtr<E>) -> DevicePtr<E> {
        of_batch.behind(self.first)
    }

    /// The part's batch and n, as kernels take them.
    pub fn size(&self) -> (i64, c_int) {
        (self.batch as i64, self.problem.n as c_int)
    }

    /// What defects stay below by rounding, as kernels take it.
    pub fn round_off(&self) -> T::Real {
        Real::of(self.problem.round_off::<O>())
    }

    pub fn declared_zero(&self) -> c_int {
        c_int::from(self.problem.dropped == Dropped::Zero)
    }

    pub fn team(&self) -> LaunchShape {
        LaunchShape::team_each(self.batch, self.problem.n)
    }

    /// Where the numbers of the part, stored as `O`, are in the type computed in: null where there
    /// are none.
    pub fn widened(&self, stored: DevicePtr<O>, region: DevicePtr<T>) -> Result<DevicePtr<T>> {
        if O::DTYPE == T::DTYPE || stored.is_null() {
            return Ok(stored.cast());
        }
        // SAFETY: the operand and the region hold a part of this size.
        unsafe { self.cuda.widen(self.batch * self.problem.n * self.problem.n, stored, region) }?;
        Ok(region)
    }

    /// λ, labels, statuses, and two λ̄ on K into the first two columns.
    pub fn mask(&self, first_bar: DevicePtr<O::Real>, second_bar: DevicePtr<O::Real>) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let arguments = (
            batch,
            n,
            self.problem.tie_rule(),
            self.declared_zero(),
            self.problem.tie_rtol::<O::Real>(),
            self.columns(self.pairs.values),
            self.columns(self.pairs.kept),
            self.numbers(self.pairs.found),
            self.columns(first_bar),
            self.columns(second_bar),
            regions.lambda,
            regions.labels,
            regions.columns[0],
            regions.columns[1],
            regions.status,
        );
        // SAFETY: the operands and the regions hold a part of this size; both λ̄ may be null.
        unsafe { self.cuda.launch::<Mask<O>>(LaunchShape::thread_each(self.batch), arguments) }
    }

    /// Vᴴ E V of the Hermitian matrices from `e` on, in `to`; `between` is overwritten.
    pub fn congruence(&self, e: Hermitian<O>, between: DevicePtr<T>, to: DevicePtr<T>) -> Result<()> {
        let (batch, n) = self.size();
        // SAFETY: the operand and the region hold a part of this size.
        unsafe { self.cuda.launch::<Mirror<O>>(self.team(), (batch, n, e.read, e.data, to)) }?;
        self.multiply((Form::Plain, to), (Form::Plain, self.v), between)?; // E V
        self.multiply((Form::Adjoint, self.v), (Form::Plain, between), to)
    }

    /// V B Vᴴ for B at `b`, in `to`; `between` is overwritten.
    pub fn expand(&self, b: DevicePtr<T>, between: DevicePtr<T>, to: DevicePtr<T>) -> Result<()> {
        self.multiply((Form::Plain, self.v), (Form::Plain, b), between)?;
        self.multiply((Form::Plain, between), (Form::Adjoint, self.v), to)
    }

    /// C = A B.
    pub fn multiply(&self, a: (Form, DevicePtr<T>), b: (Form, DevicePtr<T>), c: DevicePtr<T>) -> Result<()> {
        self.combine(1.0, a, b, 0.0, c)
    }

    /// C = α A B + β C.
    pub fn combine(
        &self,
        alpha: f64,
        a: (Form, DevicePtr<T>),
        b: (Form, DevicePtr<T>),
        beta: f64,
        c: DevicePtr<T>,
    ) -> Result<()> {
        // SAFETY: the operands and the regions hold a part of this size, and the callers' regions
        // do not overlap.
        unsafe { self.cuda.multiply(Product { batch: self.batch, shape: [self.problem.n; 3], alpha, a, b, beta, c }) }
    }

    /// factor·scale·herm of the matrices at `from`, stored at this part's `out`; `base` are its
    /// statuses so far.
    pub fn store_matrices(
        &self,
        (factor, scale): (f64, DevicePtr<T::Real>),
        from: DevicePtr<T>,
        base: DevicePtr<Status>,
        status: DevicePtr<Status>,
        out: DevicePtr<O>,
    ) -> Result<()> {
        let ((batch, n), factor) = (self.size(), <T::Real as Real>::of(factor));
        let arguments = (batch, n, factor, scale, from, base, status, out);
        // SAFETY: the operands and the region hold a part of this size; scale may be null.
        unsafe { self.cuda.launch::<StoreMatrices<O>>(self.team(), arguments) }
    }

    /// The vectors at `from` and the last column, stored as they are on K from the addresses of
    /// `out` on.
    pub fn store_vectors(&self, from: DevicePtr<T>, out: VectorResults<O>) -> Result<()> {
        let ((batch, n), regions, VectorResults { status, values, vectors }) = (self.size(), self.regions, out);
        let arguments = (batch, n, regions.labels, from, regions.columns[2], regions.status, status, values, vectors);
        // SAFETY: the operands and the regions hold a part of this size.
        unsafe { self.cuda.launch::<StoreVectors<O>>(self.team(), arguments) }
    }
}
