//! What calls leave behind for the next of their kind: threads, and memory that operations work in.

use eigengrad::{Cpu, Result};
#[cfg(all(feature = "cuda", target_os = "linux"))]
use eigengrad::{cuda::Cuda, cudarc::driver::sys::CUstream};
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// Numbers of the matrices of a batch up to which the calling thread works alone: to hand work over
/// takes longer.
const ALONE_UP_TO: usize = 4096;

/// The order from which threads share a matrix, and from which memory is not kept.
const LARGE: usize = 256;

/// The workspaces that a thread keeps.
const KEPT: usize = 32;

/// Pools by process and number of threads: a child that `fork` made has none of its parent's.
static POOLS: Mutex<Vec<((u32, usize), Cpu)>> = Mutex::new(Vec::new());

/// The CPU with so many threads, or the calling one alone where the batch is small.
pub(crate) fn cpu(threads: usize, batch: usize, n: usize) -> Result<Cpu> {
    let small = n < LARGE && batch.saturating_mul(n * n) <= ALONE_UP_TO;
    if threads <= 1 || small {
        return Ok(Cpu::inline());
    }
    let key = (std::process::id(), threads);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, cpu)) = pools.iter().find(|(of, _)| *of == key) {
        return Ok(cpu.clone());
    }
    let cpu = Cpu::with_threads(threads)?;
    pools.push((key, cpu.clone()));
    Ok(cpu)
}

/// Backends by device and stream. They are never dropped: at the end of the process the driver may
/// be gone before them.
#[cfg(all(feature = "cuda", target_os = "linux"))]
static STREAMS: Mutex<Vec<((usize, usize), Cuda)>> = Mutex::new(Vec::new());

/// The GPU of this number, on a stream of the framework's.
///
/// # Safety
/// The stream is one of the device's primary context, and lives as long as the process.
#[cfg(all(feature = "cuda", target_os = "linux"))]
pub(crate) unsafe fn cuda(ordinal: usize, stream: usize) -> Result<Cuda> {
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, cuda)) = streams.iter().find(|(of, _)| *of == (ordinal, stream)) {
        return Ok(cuda.clone());
    }
    // SAFETY: the caller's.
    let cuda = unsafe { Cuda::from_raw(ordinal, stream as CUstream) }?;
    streams.push(((ordinal, stream), cuda.clone()));
    Ok(cuda)
}

/// What a workspace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The forward and the backward pass.
    Workspace,
    /// Derivatives beyond the first and functions.
    Scratch,
    /// Factors of so many columns.
    Factors(usize),
}

/// A workspace by its type, what it is for, the order n and the threads that it serves.
type Key = (TypeId, Kind, usize, usize);

thread_local! {
    static WORKSPACES: RefCell<Vec<(Key, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

/// Works with what an earlier call of this thread left behind, or with something new.
///
/// # Errors
/// Those of making it and of the work.
pub(crate) fn with<W: 'static>(
    kind: Kind,
    n: usize,
    threads: usize,
    make: impl FnOnce() -> Result<W>,
    work: impl FnOnce(&W) -> Result<()>,
) -> Result<()> {
    let key = (TypeId::of::<W>(), kind, n, threads);
    let kept = WORKSPACES.with_borrow_mut(|all| all.iter().position(|(of, _)| *of == key).map(|at| all.remove(at).1));
    let workspace = match kept.and_then(|kept| kept.downcast::<W>().ok()) {
        Some(kept) => kept,
        None => Box::new(make()?),
    };
    let done = work(&workspace);
    if n < LARGE {
        WORKSPACES.with_borrow_mut(|all| {
            all.truncate(KEPT - 1);
            all.insert(0, (key, workspace));
        });
    }
    done
}
