//! A batched decomposition by either routine, prepared once, enqueued as often as wanted.

use crate::fact::fact;
use crate::gpu::{Buffer, Gpu};
use crate::matrices::Matrices;
use crate::number::{Number, Shape};
use crate::objects::{Handle, JacobiInfo, Params, SUCCESS, Status, syev_functions};
use cudarc::cusolver::sys::{cublasFillMode_t, cusolverEigMode_t};
use std::ffi::c_int;
use std::ptr::null_mut;

/// A routine and how it is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Routine {
    /// {S,D}syevjBatched, {C,Z}heevjBatched; the default tolerance where there is none.
    Jacobi { tolerance: Option<f64>, sweeps: Option<c_int>, sort: bool },
    /// XsyevBatched with one of its two algorithms.
    Syev { algorithm: c_int },
}

/// Jacobi's method as it comes.
pub const JACOBI: Routine = Routine::Jacobi { tolerance: None, sweeps: None, sort: true };

impl Routine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Jacobi { .. } => "evjBatched",
            Self::Syev { algorithm: 0 } => "XsyevBatched ALG_0",
            Self::Syev { .. } => "XsyevBatched ALG_1",
        }
    }

    /// Every routine that this machine has; says which it has not.
    pub fn all() -> Vec<Self> {
        let syev = [0, 1].map(|algorithm| Self::Syev { algorithm });
        if syev_functions().is_some() {
            return vec![JACOBI, syev[0], syev[1]];
        }
        fact!("absent", symbol: "cusolverDnXsyevBatched");
        vec![JACOBI]
    }
}

enum Settings {
    Jacobi(JacobiInfo, c_int),
    Syev(Params, Vec<u8>),
}

/// What to decompose.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub routine: Routine,
    pub vectors: bool,
    pub lower: bool,
    pub n: usize,
    pub lda: usize,
    pub count: usize,
    /// What the workspace is filled with first.
    pub fill: u8,
}

impl Job {
    pub fn new(routine: Routine, n: usize, count: usize) -> Self {
        Self { routine, vectors: true, lower: true, n, lda: n.max(1), count, fill: 0 }
    }

    pub fn shape(&self) -> Shape {
        let jobz = if self.vectors {
            cusolverEigMode_t::CUSOLVER_EIG_MODE_VECTOR
        } else {
            cusolverEigMode_t::CUSOLVER_EIG_MODE_NOVECTOR
        };
        let uplo = if self.lower { cublasFillMode_t::CUBLAS_FILL_MODE_LOWER } else { cublasFillMode_t::CUBLAS_FILL_MODE_UPPER };
        let int = |x: usize| c_int::try_from(x).expect("an int");
        Shape { jobz, uplo, n: int(self.n), lda: int(self.lda), batch: int(self.count) }
    }

    /// Bytes of workspace on the device and on the host.
    pub fn workspace<T: Number>(&self, handle: &Handle) -> Result<[usize; 2], Status> {
        match self.routine {
            Routine::Jacobi { tolerance, sweeps, sort } => {
                let params = JacobiInfo::new(tolerance, sweeps, sort);
                let mut lwork = 0;
                // SAFETY: both objects are alive, `lwork` is an int.
                let status = unsafe { T::evj_size(handle.0, self.shape(), &raw mut lwork, params.0) };
                status.result().map(|()| [usize::try_from(lwork).expect("a size") * size_of::<T>(), 0]).map_err(|e| e.0 as Status)
            }
            Routine::Syev { algorithm } => {
                let params = Params::new(algorithm);
                let (mut device, mut host) = (0, 0);
                let Shape { jobz, uplo, .. } = self.shape();
                let (n, lda, batch) = (self.n as i64, self.lda as i64, self.count as i64);
                let [a, w] = T::TYPES;
                // SAFETY: all objects are alive, both results are size_t; the matrices are not
                // touched by a query.
                let status = unsafe {
                    (params.functions.size)(
                        handle.0.cast(),
                        params.at,
                        jobz as c_int,
                        uplo as c_int,
                        n,
                        a,
                        null_mut(),
                        lda,
                        w,
                        null_mut(),
                        a,
                        &raw mut device,
                        &raw mut host,
                        batch,
                    )
                };
                if status == SUCCESS { Ok([device, host]) } else { Err(status) }
            }
        }
    }

    /// Memory for all of it, `info` one longer than it need be.
    pub fn prepare<T: Number>(&self, gpu: &Gpu) -> Result<Prepared<T>, Status> {
        let handle = Handle::new(gpu);
        let [device, host] = self.workspace::<T>(&handle)?;
        let settings = match self.routine {
            Routine::Jacobi { tolerance, sweeps, sort } => {
                Settings::Jacobi(JacobiInfo::new(tolerance, sweeps, sort), (device / size_of::<T>()) as c_int)
            }
            Routine::Syev { algorithm } => Settings::Syev(Params::new(algorithm), vec![self.fill; host]),
        };
        let a = gpu.filled(self.lda * self.n * self.count, 0);
        let w = gpu.filled(self.n * self.count, 0xff);
        Ok(Prepared {
            job: *self,
            handle,
            settings,
            a,
            w,
            work: gpu.filled(device, self.fill),
            info: gpu.filled(self.count + 1, 0x55),
        })
    }

    /// What comes of these matrices.
    pub fn run<T: Number>(&self, gpu: &Gpu, matrices: &Matrices<T>) -> Result<Outcome<T>, Status> {
        assert_eq!((self.lda, self.n, self.count), (matrices.n.max(1), matrices.n, matrices.count));
        let mut prepared = self.prepare::<T>(gpu)?;
        prepared.a.write(&matrices.data);
        prepared.enqueue()?;
        gpu.wait();
        Ok(prepared.outcome())
    }
}

/// Memory and settings of a job.
pub struct Prepared<T: Number> {
    pub job: Job,
    pub handle: Handle,
    settings: Settings,
    pub a: Buffer<T>,
    pub w: Buffer<T::Real>,
    pub work: Buffer<u8>,
    pub info: Buffer<c_int>,
}

impl<T: Number> Prepared<T> {
    pub fn enqueue(&mut self) -> Result<(), Status> {
        let (job, shape) = (self.job, self.job.shape());
        let status = match &mut self.settings {
            Settings::Jacobi(params, lwork) => {
                let memory = [self.a.pointer(), self.work.pointer().cast()];
                // SAFETY: `prepare` allocated each for this shape, and the buffers wait for the
                // stream before they are freed.
                unsafe { T::evj(self.handle.0, shape, memory, self.w.pointer(), *lwork, self.info.pointer(), params.0) as Status }
            }
            Settings::Syev(params, host) => {
                let (n, lda, batch, [a, w]) = (job.n as i64, job.lda as i64, job.count as i64, T::TYPES);
                let (work, bytes) = (self.work.raw(), self.work.len());
                // SAFETY: as above; the workspaces are as large as the query said, the one on the
                // host lives as long as this.
                unsafe {
                    (params.functions.run)(
                        self.handle.0.cast(),
                        params.at,
                        shape.jobz as c_int,
                        shape.uplo as c_int,
                        n,
                        a,
                        self.a.raw(),
                        lda,
                        w,
                        self.w.raw(),
                        a,
                        work,
                        bytes,
                        host.as_mut_ptr().cast(),
                        host.len(),
                        self.info.pointer(),
                        batch,
                    )
                }
            }
        };
        if status == SUCCESS { Ok(()) } else { Err(status) }
    }

    pub fn outcome(&self) -> Outcome<T> {
        let v = Matrices { n: self.job.n, count: self.job.count, data: self.a.read() };
        Outcome { v, w: self.w.read(), info: self.info.read() }
    }
}

/// What a job left in memory; `info` with the one int behind it.
pub struct Outcome<T: Number> {
    pub v: Matrices<T>,
    pub w: Vec<T::Real>,
    pub info: Vec<c_int>,
}
