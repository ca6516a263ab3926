//! cuSOLVER's three kinds of object: handles, parameters of the 64-bit interface, parameters of
//! Jacobi's method.

use super::status::{INVALID_VALUE, NOT_INITIALIZED, NOT_SUPPORTED};
use super::{answer, give_back, store};
use crate::census::{self, Kind};
use crate::context;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// cusolverDnHandle_t
#[derive(Clone, Copy)]
pub(super) struct Handle {
    /// The address of the stream.
    pub(super) stream: usize,
    determinism: c_int,
}

/// syevjInfo_t
#[derive(Clone, Copy)]
pub(super) struct Jacobi {
    /// The off-diagonal norm, relative to the matrix, to get below; ε where none was set.
    pub(super) tolerance: Option<f64>,
    pub(super) max_sweeps: c_int,
    pub(super) sort: bool,
}

/// Objects of one kind by their number, which is never used twice.
pub(super) struct Objects<T> {
    kind: Kind,
    last: usize,
    alive: BTreeMap<usize, T>,
}

pub(super) type Table<T> = Mutex<Objects<T>>;

const fn table<T>(kind: Kind, first: usize) -> Table<T> {
    Mutex::new(Objects { kind, last: first, alive: BTreeMap::new() })
}

pub(super) static HANDLES: Table<Handle> = table(Kind::SolverHandle, 0x501e_0000);
pub(super) static PARAMS: Table<()> = table(Kind::SolverParams, 0xada0_0000);
pub(super) static JACOBIS: Table<Jacobi> = table(Kind::JacobiInfo, 0x7ac0_0000);

fn lock<T>(table: &Table<T>) -> MutexGuard<'_, Objects<T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object, or what a call that is given none returns.
pub(super) fn of<T: Copy>(table: &Table<T>, object: *mut c_void) -> Result<T, c_int> {
    lock(table).alive.get(&object.addr()).copied().ok_or(NOT_INITIALIZED)
}

fn change<T>(table: &Table<T>, object: *mut c_void, change: impl FnOnce(&mut T)) -> Result<(), c_int> {
    lock(table).alive.get_mut(&object.addr()).map(change).ok_or(NOT_INITIALIZED)
}

fn create<T>(table: &Table<T>, object: T, out: Option<&mut MaybeUninit<*mut c_void>>) -> Result<(), c_int> {
    let out = out.ok_or(INVALID_VALUE)?;
    let mut objects = lock(table);
    objects.last += 16;
    let name = objects.last;
    objects.alive.insert(name, object);
    census::born(objects.kind, name);
    out.write(name as *mut c_void);
    Ok(())
}

fn destroy<T>(table: &Table<T>, object: *mut c_void) -> Result<(), c_int> {
    let mut objects = lock(table);
    objects.alive.remove(&object.addr()).ok_or(NOT_INITIALIZED)?;
    census::died(objects.kind, object.addr());
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnCreate(out: Option<&mut MaybeUninit<*mut c_void>>) -> c_int {
    answer("cusolverDnCreate", || create(&HANDLES, Handle { stream: 0, determinism: 1 }, out))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnDestroy(handle: *mut c_void) -> c_int {
    give_back("cusolverDnDestroy", || {
        destroy(&HANDLES, handle)?;
        // as cuSOLVER does, which ends any capture
        let _ = context::current().and_then(|context| context.synchronize());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnSetStream(handle: *mut c_void, stream: *mut c_void) -> c_int {
    answer("cusolverDnSetStream", || change(&HANDLES, handle, |handle| handle.stream = stream.addr()))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnGetStream(handle: *mut c_void, out: Option<&mut MaybeUninit<*mut c_void>>) -> c_int {
    answer("cusolverDnGetStream", || store(out, of(&HANDLES, handle)?.stream as *mut c_void))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnSetDeterministicMode(handle: *mut c_void, mode: c_int) -> c_int {
    answer("cusolverDnSetDeterministicMode", || match mode {
        1 | 2 => change(&HANDLES, handle, |handle| handle.determinism = mode),
        _ => of(&HANDLES, handle).and(Err(INVALID_VALUE)),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnGetDeterministicMode(handle: *mut c_void, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    answer("cusolverDnGetDeterministicMode", || store(out, of(&HANDLES, handle)?.determinism))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnCreateParams(out: Option<&mut MaybeUninit<*mut c_void>>) -> c_int {
    answer("cusolverDnCreateParams", || create(&PARAMS, (), out))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnDestroyParams(params: *mut c_void) -> c_int {
    give_back("cusolverDnDestroyParams", || destroy(&PARAMS, params))
}

/// GETRF, POTRF, SYEVBATCHED, GEQRF and SYEVD have at least the algorithms 0 and 1; here they are
/// one and the same.
#[unsafe(no_mangle)]
extern "C" fn cusolverDnSetAdvOptions(params: *mut c_void, function: c_int, algorithm: c_int) -> c_int {
    answer("cusolverDnSetAdvOptions", || {
        of(&PARAMS, params)?;
        ((0..=4).contains(&function) && (0..=1).contains(&algorithm)).then_some(()).ok_or(INVALID_VALUE)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnCreateSyevjInfo(out: Option<&mut MaybeUninit<*mut c_void>>) -> c_int {
    answer("cusolverDnCreateSyevjInfo", || create(&JACOBIS, Jacobi { tolerance: None, max_sweeps: 100, sort: true }, out))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnDestroySyevjInfo(info: *mut c_void) -> c_int {
    give_back("cusolverDnDestroySyevjInfo", || destroy(&JACOBIS, info))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevjSetTolerance(info: *mut c_void, tolerance: f64) -> c_int {
    answer("cusolverDnXsyevjSetTolerance", || change(&JACOBIS, info, |jacobi| jacobi.tolerance = Some(tolerance)))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevjSetMaxSweeps(info: *mut c_void, max_sweeps: c_int) -> c_int {
    answer("cusolverDnXsyevjSetMaxSweeps", || change(&JACOBIS, info, |jacobi| jacobi.max_sweeps = max_sweeps))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevjSetSortEig(info: *mut c_void, sort: c_int) -> c_int {
    answer("cusolverDnXsyevjSetSortEig", || change(&JACOBIS, info, |jacobi| jacobi.sort = sort != 0))
}

/// Only a batched routine can have been called before: not supported then.
#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevjGetResidual(handle: *mut c_void, info: *mut c_void, _residual: *mut f64) -> c_int {
    answer("cusolverDnXsyevjGetResidual", || of(&HANDLES, handle).and(of(&JACOBIS, info)).and(Err(NOT_SUPPORTED)))
}

/// Only a batched routine can have been called before: not supported then.
#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevjGetSweeps(handle: *mut c_void, info: *mut c_void, _sweeps: *mut c_int) -> c_int {
    answer("cusolverDnXsyevjGetSweeps", || of(&HANDLES, handle).and(of(&JACOBIS, info)).and(Err(NOT_SUPPORTED)))
}
