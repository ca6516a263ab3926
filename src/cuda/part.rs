//! What is worked on at a time, and the steps that all operations have: K, D and ties, products, results.

use crate::cuda::device::{Cuda, lock};
use crate::cuda::driver::gemm::{Form, Product};
use crate::cuda::eigh::behind;
use crate::cuda::kernel::derivatives::{DerivativeKernels, DerivativeScalarKernels};
use crate::cuda::kernel::layouts::read;
use crate::cuda::kernel::module::{LaunchShape, arguments, launch};
use crate::cuda::memory::buffer::DeviceBuffer;
use crate::cuda::memory::scratch::{Scratch, ScratchRegions};
use crate::options::Problem;
use crate::{Backend, Cotangents, Dropped, Eigenpairs, Element, ElementOf, HermitianBatch, Real, Result, Scalar, View};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;
use std::marker::PhantomData;
use std::sync::Arc;

/// Device addresses of eigenpairs, the first of their matrices.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Pairs {
    pub values: CUdeviceptr,
    pub vectors: CUdeviceptr,
    pub kept: CUdeviceptr,
    pub found: CUdeviceptr,
}

/// Of cotangents; 0 for what is absent.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Bars {
    pub values: CUdeviceptr,
    pub vectors: CUdeviceptr,
}

/// Of Hermitian matrices.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Hermitian {
    pub data: CUdeviceptr,
    /// `enum read` of kernels/lib/element.cuh.
    pub read: c_int,
}

impl Cuda {
    pub(in crate::cuda) fn pairs<O: Element>(&self, pairs: &Eigenpairs<O, Self, View<'_>>) -> Result<Pairs> {
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
    ) -> Result<(Bars, Option<DeviceBuffer<O>>)> {
        let (values, rows) = (self.given(&bars.values)?, bars.vectors.filter(|_| bars.rows));
        let Some(rows) = rows else { return Ok((Bars { values, vectors: self.given(&bars.vectors)? }, None)) };
        let [batch, n, k] = rows.shape();
        let copy = self.contiguous(rows.memory().strided([batch, k, n], [(n * k) as isize, 1, k as isize])?)?;
        Ok((Bars { values, vectors: Self::view(&copy).address() }, Some(copy)))
    }

    /// Hermitian matrices stored as the pairs are, as `O`; and where they are stored as another type, the copy that is.
    pub(in crate::cuda) fn hermitian<T: Scalar, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        e: &HermitianBatch<I, Self, View<'_>>,
    ) -> Result<(Hermitian, Option<DeviceBuffer<O>>)> {
        let (data, read) = (self.input(&e.data)?, read(e.triangle));
        if I::DTYPE == O::DTYPE {
            return Ok((Hermitian { data, read }, None));
        }
        let entries = e.data.shape().into_iter().product::<usize>();
        let (wide, copy) = (self.zeros::<T>(entries)?, self.zeros::<O>(entries)?);
        let (to, from) = (Self::view(&wide).address(), Self::view(&copy).address());
        let (load, store) = (self.kernels::<I>()?, self.kernels::<O>()?);
        let _current = self.bind()?;
        // SAFETY: the operand and the copies hold so many entries.
        unsafe { launch(self.stream(), load.load, LaunchShape::thread_for(entries), arguments![entries as i64, data, to]) }?;
        // SAFETY: as above.
        unsafe { launch(self.stream(), store.store, LaunchShape::thread_for(entries), arguments![entries as i64, to, from]) }?;
        Ok((Hermitian { data: from, read }, Some(copy)))
    }

    /// Does the work on one part of the batch after the other.
    pub(in crate::cuda) fn in_parts<T: Scalar, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Pairs,
        scratch: &Scratch<T>,
        work: impl Fn(&DerivativePart<'_, T, O>) -> Result<()>,
    ) -> Result<()> {
        let (kernels, of_scalar) = (self.calculus::<O>()?, self.calculus::<T>()?.scalar()?);
        let _turn = lock(&scratch.turn);
        for first in (0..problem.batch).step_by(scratch.part) {
            let batch = scratch.part.min(problem.batch - first);
            let regions = scratch.regions;
            let mut part = DerivativePart {
                cuda: self,
                problem,
                first,
                batch,
                pairs,
                kernels: kernels.clone(),
                of_scalar,
                regions,
                v: 0,
                of: PhantomData,
            };
            part.v = part.widened(part.matrices(pairs.vectors), regions.wide_v)?;
            work(&part)?;
        }
        Ok(())
    }
}

/// A part of the batch. Addresses of operands are those of the whole batch; the functions that take a part's address say so.
pub(in crate::cuda) struct DerivativePart<'a, T, O> {
    pub cuda: &'a Cuda,
    pub problem: &'a Problem,
    pub first: usize,
    pub batch: usize,
    pub pairs: Pairs,
    pub kernels: Arc<DerivativeKernels>,
    pub of_scalar: DerivativeScalarKernels,
    pub regions: ScratchRegions,
    /// V of the part in the type computed in.
    pub v: CUdeviceptr,
    of: PhantomData<(T, O)>,
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    /// Where this part's n×n matrices begin.
    pub fn matrices(&self, of_batch: CUdeviceptr) -> CUdeviceptr {
        behind(of_batch, self.first * self.problem.n * self.problem.n, size_of::<O>())
    }

    /// Where this part's columns begin, of n numbers a matrix stored as `E`.
    pub fn columns<E>(&self, of_batch: CUdeviceptr) -> CUdeviceptr {
        behind(of_batch, self.first * self.problem.n, size_of::<E>())
    }

    /// Where this part's numbers begin, of one a matrix.
    pub fn numbers<E>(&self, of_batch: CUdeviceptr) -> CUdeviceptr {
        behind(of_batch, self.first, size_of::<E>())
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

    /// Where the numbers of the part, stored as `O`, are in the type computed in: 0 where there are none.
    pub fn widened(&self, stored: CUdeviceptr, region: CUdeviceptr) -> Result<CUdeviceptr> {
        if O::DTYPE == T::DTYPE || stored == 0 {
            return Ok(stored);
        }
        let (kernels, entries) = (self.cuda.kernels::<O>()?, self.batch * self.problem.n * self.problem.n);
        let arguments = arguments![entries as i64, stored, region];
        let _current = self.cuda.bind()?;
        // SAFETY: the operand and the region hold a part of this size.
        unsafe { launch(self.cuda.stream(), kernels.load, LaunchShape::thread_for(entries), arguments) }?;
        Ok(region)
    }

    /// λ, labels, statuses, and two λ̄ on K into the first two columns.
    pub fn mask(&self, first_bar: CUdeviceptr, second_bar: CUdeviceptr) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let arguments = arguments![
            batch,
            n,
            self.problem.tie_rule(),
            self.declared_zero(),
            self.problem.tie_rtol::<O::Real>(),
            self.columns::<O::Real>(self.pairs.values),
            self.columns::<bool>(self.pairs.kept),
            self.numbers::<u32>(self.pairs.found),
            self.columns::<O::Real>(first_bar),
            self.columns::<O::Real>(second_bar),
            regions.lambda,
            regions.labels,
            regions.columns[0],
            regions.columns[1],
            regions.status,
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the regions hold a part of this size; both λ̄ may be null.
        unsafe { launch(self.cuda.stream(), self.kernels.mask, LaunchShape::thread_each(self.batch), arguments) }
    }

    /// Vᴴ E V of the Hermitian matrices from `e` on, in `to`; `between` is overwritten.
    pub fn conjugated(&self, e: Hermitian, between: CUdeviceptr, to: CUdeviceptr) -> Result<()> {
        let (batch, n) = self.size();
        let arguments = arguments![batch, n, e.read, e.data, to];
        let _current = self.cuda.bind()?;
        // SAFETY: the operand and the region hold a part of this size.
        unsafe { launch(self.cuda.stream(), self.kernels.hermitian, self.team(), arguments) }?;
        self.multiply((Form::Plain, to), (Form::Plain, self.v), between)?; // E V
        self.multiply((Form::Adjoint, self.v), (Form::Plain, between), to)
    }

    /// V B Vᴴ for B at `b`, in `to`; `between` is overwritten.
    pub fn assembled(&self, b: CUdeviceptr, between: CUdeviceptr, to: CUdeviceptr) -> Result<()> {
        self.multiply((Form::Plain, self.v), (Form::Plain, b), between)?;
        self.multiply((Form::Plain, between), (Form::Adjoint, self.v), to)
    }

    /// C = A B.
    pub fn multiply(&self, a: (Form, CUdeviceptr), b: (Form, CUdeviceptr), c: CUdeviceptr) -> Result<()> {
        self.combine(1.0, a, b, 0.0, c)
    }

    /// C = α A B + β C.
    pub fn combine(&self, alpha: f64, a: (Form, CUdeviceptr), b: (Form, CUdeviceptr), beta: f64, c: CUdeviceptr) -> Result<()> {
        // SAFETY: the operands and the regions hold a part of this size, and the callers' regions do not overlap.
        unsafe { self.cuda.multiply::<T>(Product { batch: self.batch, shape: [self.problem.n; 3], alpha, a, b, beta, c }) }
    }

    /// factor·scale·herm of the matrices at `from`, stored at this part's `out`; `base` are its statuses so far.
    pub fn store_matrices(
        &self,
        (factor, scale): (f64, CUdeviceptr),
        from: CUdeviceptr,
        base: CUdeviceptr,
        status: CUdeviceptr,
        out: CUdeviceptr,
    ) -> Result<()> {
        let ((batch, n), factor) = (self.size(), <T::Real as Real>::of(factor));
        let arguments = arguments![batch, n, factor, scale, from, base, status, out];
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the region hold a part of this size; scale may be null.
        unsafe { launch(self.cuda.stream(), self.kernels.store_matrices, self.team(), arguments) }
    }

    /// The vectors at `from` and the last column, stored as they are on K from the addresses of `out` on, which are of status, values
    /// and vectors.
    pub fn store_vectors(&self, from: CUdeviceptr, [status, values, vectors]: [CUdeviceptr; 3]) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let arguments = arguments![batch, n, regions.labels, from, regions.columns[2], regions.status, status, values, vectors];
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the regions hold a part of this size.
        unsafe { launch(self.cuda.stream(), self.kernels.store_vectors, self.team(), arguments) }
    }
}
