//! Runs a kernel: its blocks one after the other, the threads of a block in turns, in an order that
//! a seed decides.
//!
//! A thread runs until it waits, at a barrier or for lanes of its warp, or ends; a thread that
//! never waits costs no switch of stacks. When none can run on, those whose partners are all there
//! are let go. If there are none, the barriers are divergent.

use crate::block::{Fiber, Scheduler};
use crate::fiber::switch;
use crate::kernel::{Block, HostFunctions, Thread};
use crate::order::{Order, Random};
use crate::region::asan;
use crate::wait::{Passed, State, Wait, release};
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

pub(crate) static HOST: HostFunctions =
    HostFunctions { block: wait_for_block, warp: wait_for_warp, alive, copy, await_copies, fail, access };

/// A kernel that is launched, in this thread of the host.
pub(crate) struct Launch {
    pub(crate) run: unsafe extern "C" fn(*mut c_void),
    pub(crate) parameters: *mut c_void,
    pub(crate) block: [c_uint; 3],
    pub(crate) grid: [c_uint; 3],
    pub(crate) seed: u64,
    /// Where the module keeps `eg_self`, and the thread-local memory of the module, which holds its
    /// shared variables.
    pub(crate) slot: *mut *const Thread,
    pub(crate) shared: (*mut u8, usize),
    /// Bytes of shared memory beside that.
    pub(crate) dynamic: usize,
}

/// 16 bytes of shared memory, new and behind its end.
const NAN: u128 = u128::MAX;
const BEHIND: u128 = 0x5afe_5afe_5afe_5afe_5afe_5afe_5afe_5afe;

thread_local! {
    static SCHEDULER: UnsafeCell<Option<Box<Scheduler>>> = const { UnsafeCell::new(None) };
}

/// The scheduler of this thread of the host. Several stacks use it in turns, so that no reference
/// to it may last over a switch.
fn own() -> *mut Scheduler {
    // SAFETY: the cell belongs to this thread, and the reference ends here.
    SCHEDULER.with(|scheduler| unsafe { (*scheduler.get()).as_deref_mut().map_or(std::ptr::null_mut(), |scheduler| scheduler) })
}

/// Runs all blocks.
pub(crate) fn run(launch: &Launch) -> Result<(), String> {
    if own().is_null() {
        let new = Scheduler::new().ok_or("no memory for stacks")?;
        // SAFETY: the cell belongs to this thread, and nobody holds a reference into it.
        SCHEDULER.with(|scheduler| unsafe { *scheduler.get() = Some(new) });
    }
    let own = own();
    // SAFETY: the scheduler is this thread's own, and runs nothing.
    let own_shadow = unsafe { &mut (*own).shadow };
    own_shadow.clear();
    let count = launch.grid.iter().map(|n| u64::from(*n)).product();
    let blocks = Order::new(launch.seed, count);
    let mut dynamic = vec![NAN; launch.dynamic.div_ceil(16) + 1];
    let behind = dynamic.len() - 1;
    for place in 0..count {
        let block = blocks.at(place);
        let [x, y, _] = launch.grid.map(u64::from);
        let at = [(block % x) as c_uint, (block / x % y) as c_uint, (block / x / y) as c_uint];
        dynamic.fill(NAN);
        dynamic[behind] = BEHIND;
        // SAFETY: the scheduler is this thread's own; no other code of the thread runs meanwhile
        // but the kernel and the functions below.
        let done = unsafe { run_block(own, launch, block, at, dynamic.as_mut_ptr().cast()) };
        let overrun = if dynamic[behind] == BEHIND { Ok(()) } else { Err("a write behind its dynamic shared memory".to_owned()) };
        done.and(overrun).map_err(|error| format!("block ({}, {}, {}): {error}", at[0], at[1], at[2]))?;
    }
    Ok(())
}

/// # Safety
/// `own` is the scheduler of this thread, which runs no block; the launch describes a kernel that
/// is loaded, with its parameters.
unsafe fn run_block(
    own: *mut Scheduler,
    launch: &Launch,
    number: u64,
    at: [c_uint; 3],
    dynamic: *mut c_void,
) -> Result<(), String> {
    // SAFETY: the caller's; each reference to the scheduler ends before a switch.
    unsafe {
        poison(launch);
        let count = launch.block.iter().product::<c_uint>() as usize;
        let mut random = Random::new(launch.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        {
            let own = &mut *own;
            own.block = Block { block: at, threads: launch.block, blocks: launch.grid, dynamic };
            own.threads.clear();
            own.threads.resize_with(count, || State::New);
            own.fiber_of.resize(count, 0);
            own.order.clear();
            own.order.extend(0..count as u32);
            random.shuffle(&mut own.order);
            own.passed = Passed::default();
            own.number = number as u32 + 1;
            own.shadow.forget(launch.shared.0.addr(), launch.shared.1);
            own.shadow.forget(dynamic.addr(), launch.dynamic);
            (own.started, own.ended) = (0, 0);
            own.run = Some((launch.run, launch.parameters));
            own.error = None;
        }
        while (*own).started < count && (*own).error.is_none() {
            let fiber = (*own).take_fiber(work);
            resume(own, launch, fiber);
        }
        let mut ready = Vec::new();
        while (*own).ended < count && (*own).error.is_none() {
            ready.clear();
            if let Err(error) = release(&mut (*own).threads, &mut ready, &mut (*own).passed) {
                (*own).error = Some(error);
                break;
            }
            random.shuffle(&mut ready);
            for thread in &ready {
                let fiber = (&(*own).fiber_of)[*thread as usize];
                resume(own, launch, fiber);
                if (*own).error.is_some() {
                    break;
                }
            }
        }
        *launch.slot = std::ptr::null();
        let error = (*own).error.take();
        if error.is_some() {
            (*own).forget_fibers(work);
        }
        error.map_or(Ok(()), Err)
    }
}

/// Fills the shared variables with NaN patterns, all but the one that is not shared.
///
/// # Safety
/// The launch's thread-local memory is that of this thread.
unsafe fn poison(launch: &Launch) {
    let (memory, bytes) = launch.shared;
    if bytes > size_of::<usize>() {
        // SAFETY: the caller's: so many bytes lie there, the slot among them; they hold plain
        // numbers.
        unsafe {
            let kept = *launch.slot;
            std::ptr::write_bytes(memory, 0xff, bytes);
            *launch.slot = kept;
        }
    }
}

/// Runs a fiber until it waits or has nothing to do.
///
/// # Safety
/// As `run_block`; the fiber is idle, or its thread was let go.
unsafe fn resume(own: *mut Scheduler, launch: &Launch, fiber: usize) {
    // SAFETY: the fiber's stack pointer was stored when it stopped; it stops by a switch back to
    // here.
    unsafe {
        (*own).current = fiber;
        let chosen: *mut Fiber = &raw mut *(&mut (*own).fibers)[fiber];
        *launch.slot = &raw const (*chosen).view;
        if let Some(start) = asan().start_switch {
            let (low, size) = (*own).stacks.bounds(fiber);
            start(&raw mut (*own).fake_stack, low, size);
        }
        switch(&raw mut (*own).stack_pointer, (*chosen).stack_pointer);
        if let Some(finish) = asan().finish_switch {
            finish((*own).fake_stack, std::ptr::null_mut(), std::ptr::null_mut());
        }
    }
}

/// Stops the current fiber until it is resumed.
///
/// # Safety
/// Called on a fiber of `own`, the scheduler of this thread.
unsafe fn stop(own: *mut Scheduler) {
    // SAFETY: the scheduler's stack pointer was stored when it resumed this fiber.
    unsafe {
        let fiber: *mut Fiber = &raw mut *(&mut (*own).fibers)[(*own).current];
        if let Some(start) = asan().start_switch {
            let (low, size) = (*own).main_stack;
            start(&raw mut (*fiber).fake_stack, low, size);
        }
        switch(&raw mut (*fiber).stack_pointer, (*own).stack_pointer);
        if let Some(finish) = asan().finish_switch {
            finish((*fiber).fake_stack, &raw mut (*own).main_stack.0, &raw mut (*own).main_stack.1);
        }
    }
}

/// What runs on each stack: threads that have not started, one after the other.
extern "C" fn work() -> ! {
    let own = own();
    // SAFETY: this is a fiber of this thread's scheduler; each reference to it ends before the
    // kernel runs or the fiber stops.
    unsafe {
        if let Some(finish) = asan().finish_switch {
            finish(std::ptr::null_mut(), &raw mut (*own).main_stack.0, &raw mut (*own).main_stack.1);
        }
        loop {
            while let Some((run, parameters)) = (*own).next_thread() {
                run(parameters);
                (*own).end_thread();
            }
            (*own).idle.push((*own).current);
            stop(own);
        }
    }
}

fn wait(wait: Wait) -> u64 {
    let own = own();
    // SAFETY: the kernel calls this on a fiber of this thread's scheduler; each reference to it
    // ends before the fiber stops.
    unsafe {
        let thread = (*own).wait(wait);
        stop(own);
        match (&(*own).threads)[thread] {
            State::Released(result) => result,
            _ => unreachable!("only a thread that was let go is resumed"),
        }
    }
}

extern "C" fn wait_for_block(predicate: c_uint, line: c_int, file: *const c_char) -> c_uint {
    wait(Wait::Block { counts: predicate != 0, site: (line, file) }) as c_uint
}

extern "C" fn wait_for_warp(mask: c_uint, value: c_ulonglong, source: c_uint, line: c_int, file: *const c_char) -> c_ulonglong {
    wait(Wait::Warp { mask, value, source, site: (line, file) })
}

/// The lanes of this warp that have not ended.
extern "C" fn alive() -> c_uint {
    let own = own();
    // SAFETY: as in `wait`.
    let (thread, threads) = unsafe { ((&(*own).fibers)[(*own).current].thread, &(*own).threads) };
    let warp = threads.iter().skip(thread / 32 * 32).take(32);
    warp.enumerate().filter(|(_, state)| !matches!(state, State::Ended)).fold(0, |mask, (lane, _)| mask | 1 << lane)
}

/// Remembers what the current thread copies.
extern "C" fn copy(to: *mut [c_ulonglong; 2], low: c_ulonglong, high: c_ulonglong) {
    let own = own();
    // SAFETY: as in `wait`.
    unsafe { (&mut (*own).fibers)[(*own).current].copies.push((to, [low, high])) }
}

extern "C" fn await_copies() {
    let own = own();
    // SAFETY: as in `wait`; the thread has written to these places itself.
    unsafe {
        for (to, value) in (&mut (*own).fibers)[(*own).current].copies.drain(..) {
            to.write_unaligned(value);
        }
    }
}

/// Ends the launch with an error; does not return.
extern "C" fn fail(text: *const c_char, line: c_int, file: *const c_char) {
    let own = own();
    // SAFETY: as in `wait`; both texts are literals of the kernel.
    unsafe {
        let [text, file] = [text, file].map(|text| CStr::from_ptr(text).to_string_lossy());
        let at = (&(*own).fibers)[(*own).current].view.thread;
        (*own).error = Some(format!("thread ({}, {}, {}): {text} at {file}:{line}", at[0], at[1], at[2]));
        stop(own);
    }
    unreachable!("a launch that failed is not resumed")
}

/// Told of each access by kernels that were compiled so.
extern "C" fn access(start: *const c_void, bytes: usize, writes: c_int, code: *const c_void) {
    let own = own();
    // SAFETY: as in `wait`; the reference to the scheduler ends before the fiber stops.
    unsafe {
        if let Some(race) = (&mut *own).access(start.addr(), bytes, writes != 0, code.addr()) {
            (*own).error = Some(race);
            stop(own);
            unreachable!("a launch that failed is not resumed");
        }
    }
}
