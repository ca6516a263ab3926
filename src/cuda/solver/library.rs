//! Eigensolvers, made ready for a batch; of cuSOLVER's one table of types, sizes of workspaces,
//! calls.

use crate::cuda::device::{Algorithm, Cuda, Solver};
use crate::cuda::driver::handles::{JacobiInfo, SolverParams};
use crate::cuda::driver::library::Syev;
use crate::cuda::refused;
use crate::cuda::solver::Memory;
use crate::cuda::solver::certificate::Certificate;
use crate::cuda::solver::choice::Choice;
use crate::cuda::solver::jacobi::{OnChip, Repair};
use crate::cuda::solver::ql::Ql;
use crate::{Element, Result, Scalar};
use cudarc::cusolver::sys::{self, cublasFillMode_t, cusolverDnHandle_t, cusolverEigMode_t, cusolverStatus_t, syevjInfo_t};
use cudarc::driver::CudaContext;
use std::ffi::c_int;
use std::sync::Arc;

/// cudaDataType: the 64-bit interface takes types as numbers.
type DataType = c_int;

/// cuSOLVER's routines of a type.
pub trait Solve: Element {
    /// The cudaDataType of matrices and of eigenvalues.
    const DATA_TYPES: [DataType; 2];
    /// The names of `?syevjBatched` and `?syevjBatched_bufferSize`.
    const JACOBI: [&str; 2];
    /// `?syevjBatched_bufferSize`.
    ///
    /// # Safety
    /// The handle and the settings are live.
    unsafe fn jacobi_size(
        handle: cusolverDnHandle_t,
        mode: cusolverEigMode_t,
        shape: [c_int; 2],
        lwork: &mut c_int,
        info: syevjInfo_t,
    ) -> cusolverStatus_t;
    /// `?syevjBatched`, in place.
    ///
    /// # Safety
    /// As above, the context is current, and the memory is that of [`Call`].
    unsafe fn jacobi(
        handle: cusolverDnHandle_t,
        mode: cusolverEigMode_t,
        shape: [c_int; 2],
        memory: Memory<Self>,
        lwork: c_int,
        info: syevjInfo_t,
    ) -> cusolverStatus_t;
}

const LOWER: cublasFillMode_t = cublasFillMode_t::CUBLAS_FILL_MODE_LOWER;

macro_rules! solve {
    ($($t:ty = $jacobi:ident $size:ident $matrix:literal $values:literal),*) => { $(
        impl Solve for $t {
            const DATA_TYPES: [DataType; 2] = [$matrix, $values];
            const JACOBI: [&str; 2] = [stringify!($jacobi), stringify!($size)];
            unsafe fn jacobi_size(handle: cusolverDnHandle_t, mode: cusolverEigMode_t, [n, batch]: [c_int; 2], lwork: &mut c_int, info: syevjInfo_t) -> cusolverStatus_t {
                let none = std::ptr::null();
                // SAFETY: the caller's; the matrices are not looked at, and one int is written.
                unsafe { sys::$size(handle, mode, LOWER, n, none, n, std::ptr::null(), lwork, info, batch) }
            }
            unsafe fn jacobi(handle: cusolverDnHandle_t, mode: cusolverEigMode_t, [n, batch]: [c_int; 2], memory: Memory<Self>, lwork: c_int, settings: syevjInfo_t) -> cusolverStatus_t {
                let Memory { a, lambda, info, scratch } = memory;
                // SAFETY: the caller's; the library's complex types have the layout of
                // num_complex's.
                unsafe { sys::$jacobi(handle, mode, LOWER, n, a.raw(), n, lambda.raw(), scratch.raw(), lwork, info.raw(), settings, batch) }
            }
        }
    )* }
}
solve! {
    f32 = cusolverDnSsyevjBatched cusolverDnSsyevjBatched_bufferSize 0 0,
    f64 = cusolverDnDsyevjBatched cusolverDnDsyevjBatched_bufferSize 1 1,
    num_complex::Complex<f32> = cusolverDnCheevjBatched cusolverDnCheevjBatched_bufferSize 4 0,
    num_complex::Complex<f64> = cusolverDnZheevjBatched cusolverDnZheevjBatched_bufferSize 5 1
}

/// A solver for batches of up to some number of n×n matrices, with or without vectors.
#[derive(Debug)]
pub(in crate::cuda) struct Prepared {
    n: usize,
    way: Method,
    /// For what cuSOLVER fails on; its memory is behind the routine's.
    repair: Option<(Repair, usize)>,
    /// Bytes of device memory that calls need as scratch.
    pub bytes: usize,
}

#[derive(Debug)]
enum Method {
    OnChip(OnChip),
    Ql(Ql),
    Library(Routine),
}

/// A routine of cuSOLVER with its settings.
#[derive(Debug)]
enum Routine {
    Jacobi { settings: JacobiInfo, lwork: c_int },
    Syev { settings: SolverParams, functions: &'static Syev, host: Vec<u8> },
}

impl Prepared {
    /// The solver that `cuda` asks for, for the largest part of `batch` whose scratch fits in
    /// `limit` bytes beside `of_each` bytes a matrix; and the size of that part.
    pub fn new<T: Scalar + Solve>(cuda: &Cuda, n: usize, batch: usize, of_each: usize, limit: usize) -> Result<(Self, usize)> {
        let choice = Choice::new::<T>(cuda, n)?;
        let _current = cuda.bind()?;
        let mut way = Method::new(cuda.stream().context(), &choice)?;
        let mut part = batch.min(choice.ceiling(n));
        loop {
            let (bytes, repair) = match &mut way {
                Method::OnChip(_) => (Some(0), None),
                Method::Ql(ql) => (ql.bytes::<T>(part), None),
                Method::Library(routine) => {
                    let bytes = routine.size::<T>(cuda, n, part)?.map(|bytes| bytes.next_multiple_of(256));
                    let repair = if cuda.solver == Solver::Auto { Repair::new::<T>(cuda, n, part) } else { None };
                    (bytes.map(|bytes| bytes.saturating_add(repair.map_or(0, |repair| repair.bytes))), repair.zip(bytes))
                }
            };
            let fits = |bytes: &usize| part == 1 || bytes.saturating_add(part.saturating_mul(of_each)) <= limit;
            match bytes.filter(fits) {
                Some(bytes) => return Ok((Self { n, way, repair, bytes }, part)),
                None => part = part.div_ceil(2),
            }
        }
    }

    /// Householder and QL, if that is what was prepared.
    pub fn ql(&self) -> Option<Ql> {
        if let Method::Ql(ql) = self.way { Some(ql) } else { None }
    }

    /// Whether what comes back has to be measured: it is cuSOLVER's, which nobody named.
    pub fn is_measured(&self, cuda: &Cuda) -> bool {
        matches!(self.way, Method::Library(_)) && cuda.solver == Solver::Auto
    }

    /// Whether matrices that cuSOLVER fails on are decomposed again.
    pub fn repairs(&self) -> bool {
        self.repair.is_some()
    }

    /// Enqueues the decomposition of `batch` matrices.
    ///
    /// # Safety
    /// `memory` is device memory of the stream of `cuda`: `batch`·n² elements of `T`, `batch`·n of
    /// its real type, `batch` ints and [`Prepared::bytes`] of scratch; `batch` is at most what this
    /// was prepared for, and the certificate's memory is for as many.
    pub unsafe fn solve<T: Scalar + Solve>(
        &mut self,
        cuda: &Cuda,
        batch: usize,
        with_vectors: bool,
        memory: Memory<T>,
        certificate: Certificate<T>,
    ) -> Result<()> {
        let _current = cuda.bind()?;
        let repair = self.repair.map(|(repair, behind)| (repair, memory.scratch.behind(behind)));
        if let Some((repair, at)) = repair {
            // SAFETY: the caller's.
            unsafe { repair.keep::<T>(cuda, batch, memory.a, at) }?;
        }
        match &mut self.way {
            // SAFETY: the caller's.
            Method::OnChip(layout) => unsafe { layout.solve::<T>(cuda, batch, with_vectors, memory) }?,
            // SAFETY: the caller's.
            Method::Ql(ql) => unsafe { ql.solve::<T>(cuda, batch, with_vectors, memory) }?,
            Method::Library(routine) => {
                let bytes = self.repair.map_or(self.bytes, |(_, behind)| behind);
                // SAFETY: the caller's.
                unsafe { routine.solve::<T>(cuda, [self.n, batch], bytes, with_vectors, memory) }?;
            }
        }
        match repair {
            // SAFETY: the caller's; the matrices were kept there.
            Some((repair, at)) => unsafe { repair.solve::<T>(cuda, batch, with_vectors, memory, certificate, at) },
            None => Ok(()),
        }
    }
}

impl Routine {
    /// Enqueues the decomposition of `batch` matrices of order n.
    ///
    /// # Safety
    /// As that of [`Prepared::solve`], and what was prepared.
    unsafe fn solve<T: Scalar + Solve>(
        &mut self,
        cuda: &Cuda,
        [n, batch]: [usize; 2],
        bytes: usize,
        with_vectors: bool,
        memory: Memory<T>,
    ) -> Result<()> {
        let mode = MODES[usize::from(with_vectors)];
        let mut handle = cuda.solver_handle()?;
        match self {
            Routine::Jacobi { settings, lwork } => {
                let shape = [int(n)?, int(batch)?];
                // SAFETY: the handle is live while it is locked, the settings while they are
                // borrowed; the memory is the caller's.
                let done = unsafe { T::jacobi(handle.raw(), mode, shape, memory, *lwork, settings.raw()) };
                done.result().map_err(|e| refused(T::JACOBI[0], &e))
            }
            Routine::Syev { settings, functions, host } => {
                if functions.wants_zeros && bytes > 0 {
                    // SAFETY: the scratch holds as many bytes.
                    let zeroed = unsafe {
                        cudarc::driver::result::memset_d8_async(memory.scratch.address(), 0, bytes, cuda.stream().cu_stream())
                    };
                    zeroed.map_err(|e| refused("cuMemsetD8Async", &e))?;
                }
                let [matrix, values] = T::DATA_TYPES;
                let Memory { a, lambda, info, scratch } = memory;
                let (host, host_bytes, size) = (host.as_mut_ptr().cast(), host.len(), n as i64);
                // SAFETY: as above; the scratch on the host lives as long as `self`.
                let done = unsafe {
                    (functions.run)(
                        handle.raw(),
                        settings.raw(),
                        mode,
                        LOWER,
                        size,
                        matrix,
                        a.raw(),
                        size,
                        values,
                        lambda.raw(),
                        matrix,
                        scratch.raw(),
                        bytes,
                        host,
                        host_bytes,
                        info.raw(),
                        batch as i64,
                    )
                };
                done.result().map_err(|e| refused("cusolverDnXsyevBatched", &e))
            }
        }
    }
}

impl Method {
    fn new(context: &Arc<CudaContext>, choice: &Choice) -> Result<Self> {
        match *choice {
            Choice::OnChip(layout) => Ok(Self::OnChip(layout)),
            Choice::Ql(ql) => Ok(Self::Ql(ql)),
            Choice::Jacobi { tolerance, sweeps } => {
                let settings = JacobiInfo::new(context, tolerance, sweeps)?;
                Ok(Self::Library(Routine::Jacobi { settings, lwork: 0 }))
            }
            Choice::Syev { algorithm, functions } => {
                let settings = SolverParams::new(context)?;
                // The other is the default, and older versions do not know the option.
                if algorithm == Algorithm::Consistent {
                    // SAFETY: the settings are live.
                    let set = unsafe { (functions.set_options)(settings.raw(), SYEV_BATCHED, algorithm as c_int) };
                    set.result().map_err(|e| refused("cusolverDnSetAdvOptions", &e))?;
                }
                Ok(Self::Library(Routine::Syev { settings, functions, host: Vec::new() }))
            }
        }
    }
}

impl Routine {
    /// Makes this ready for `batch` matrices, and returns how many bytes of device memory calls
    /// need; nothing if those are too many matrices for the library.
    fn size<T: Scalar + Solve>(&mut self, cuda: &Cuda, n: usize, batch: usize) -> Result<Option<usize>> {
        let mut handle = cuda.solver_handle()?;
        let (mut device, mut on_host) = (0, 0);
        for mode in MODES {
            let (mut bytes, mut host_bytes, mut lwork) = (0, 0, 0);
            let (call, sized) = match self {
                Self::Jacobi { settings, .. } => {
                    let shape = [int(n)?, int(batch)?];
                    // SAFETY: the handle is live while it is locked, and so are the settings.
                    (T::JACOBI[1], unsafe { T::jacobi_size(handle.raw(), mode, shape, &mut lwork, settings.raw()) })
                }
                Self::Syev { settings, functions, .. } => {
                    let [matrix, values] = T::DATA_TYPES;
                    let (none, size) = (std::ptr::null(), n as i64);
                    // SAFETY: the handle is live while it is locked, and so are the settings; two
                    // sizes are written.
                    let sized = unsafe {
                        (functions.size)(
                            handle.raw(),
                            settings.raw(),
                            mode,
                            LOWER,
                            size,
                            matrix,
                            none,
                            size,
                            values,
                            none,
                            matrix,
                            &mut bytes,
                            &mut host_bytes,
                            batch as i64,
                        )
                    };
                    ("cusolverDnXsyevBatched_bufferSize", sized)
                }
            };
            if batch > 1 && sized == cusolverStatus_t::CUSOLVER_STATUS_INVALID_VALUE {
                return Ok(None); // a ceiling that nobody wrote down
            }
            sized.result().map_err(|e| refused(&format!("{call}, {batch} matrices of {n}×{n}"), &e))?;
            let elements = usize::try_from(lwork).map_err(|e| refused(call, &e))?;
            (device, on_host) = (device.max(bytes).max(elements * size_of::<T>()), on_host.max(host_bytes));
        }
        match self {
            Self::Jacobi { lwork, .. } => *lwork = int(device / size_of::<T>())?,
            Self::Syev { host, .. } => host.resize(on_host, 0),
        }
        Ok(Some(device))
    }
}

/// Values alone, and values with vectors.
const MODES: [cusolverEigMode_t; 2] =
    [cusolverEigMode_t::CUSOLVER_EIG_MODE_NOVECTOR, cusolverEigMode_t::CUSOLVER_EIG_MODE_VECTOR];

/// CUSOLVERDN_SYEVBATCHED, which older headers lack.
const SYEV_BATCHED: c_int = 2;

fn int(x: usize) -> Result<c_int> {
    c_int::try_from(x).map_err(|e| refused("cuSOLVER", &e))
}
