//! The state of the block that is running in one thread of the host: its threads, and the stacks
//! that they run on.

use crate::fiber::{STACKS, Stacks};
use crate::kernel::{Block, Thread};
use crate::race::{Moment, Shadow};
use crate::wait::{Passed, State, Wait};
use std::ffi::{c_uint, c_ulonglong, c_void};

/// What a thread of the block calls, with the parameters of the kernel.
pub(crate) type Body = (unsafe extern "C" fn(*mut c_void), *mut c_void);
/// What a fresh stack begins with.
pub(crate) type Entry = extern "C" fn() -> !;

/// A stack: which thread of the block runs on it, and where it goes on.
pub(crate) struct Fiber {
    pub(crate) thread: usize,
    pub(crate) view: Thread,
    pub(crate) stack_pointer: *mut c_void,
    pub(crate) fake_stack: *mut c_void,
    /// What the thread copies and has not awaited: where to, and what.
    pub(crate) copies: Vec<(*mut [c_ulonglong; 2], [c_ulonglong; 2])>,
}

/// The state of the block that is running, in one thread of the host.
pub(crate) struct Scheduler {
    pub(crate) stacks: Stacks,
    // Boxed, since modules hold the addresses of their views.
    #[expect(clippy::vec_box, reason = "their addresses must not change")]
    pub(crate) fibers: Vec<Box<Fiber>>,
    /// Fibers without a thread.
    pub(crate) idle: Vec<usize>,
    pub(crate) current: usize,
    pub(crate) stack_pointer: *mut c_void,
    pub(crate) fake_stack: *mut c_void,
    pub(crate) main_stack: (*const c_void, usize),
    pub(crate) block: Block,
    pub(crate) threads: Vec<State>,
    /// The fiber of each thread that waits.
    pub(crate) fiber_of: Vec<usize>,
    pub(crate) order: Vec<u32>,
    pub(crate) started: usize,
    pub(crate) ended: usize,
    pub(crate) passed: Passed,
    /// Which of the launch's blocks is running, from 1.
    pub(crate) number: u32,
    /// Of kernels that tell their accesses.
    pub(crate) shadow: Shadow,
    pub(crate) run: Option<Body>,
    pub(crate) error: Option<String>,
}

impl Scheduler {
    pub(crate) fn new() -> Option<Box<Self>> {
        Some(Box::new(Self {
            stacks: Stacks::new()?,
            fibers: Vec::new(),
            idle: Vec::new(),
            current: 0,
            stack_pointer: std::ptr::null_mut(),
            fake_stack: std::ptr::null_mut(),
            main_stack: (std::ptr::null(), 0),
            block: Block { block: [0; 3], threads: [0; 3], blocks: [0; 3], dynamic: std::ptr::null_mut() },
            threads: Vec::new(),
            fiber_of: Vec::new(),
            order: Vec::new(),
            started: 0,
            ended: 0,
            passed: Passed::default(),
            number: 0,
            shadow: Shadow::default(),
            run: None,
            error: None,
        }))
    }

    /// A fiber without a thread. A block has no more threads than there are stacks.
    pub(crate) fn take_fiber(&mut self, entry: Entry) -> usize {
        self.idle.pop().unwrap_or_else(|| {
            let fiber = self.fibers.len();
            assert!(fiber < STACKS);
            let view = Thread { thread: [0; 3], block: &raw const self.block };
            let stack_pointer = self.stacks.fresh(fiber, entry);
            self.fibers.push(Box::new(Fiber {
                thread: 0,
                view,
                stack_pointer,
                fake_stack: std::ptr::null_mut(),
                copies: Vec::new(),
            }));
            fiber
        })
    }

    /// Gives up all threads, wherever they stopped.
    pub(crate) fn forget_fibers(&mut self, entry: Entry) {
        self.idle.clear();
        self.idle.extend(0..self.fibers.len());
        for (index, fiber) in self.fibers.iter_mut().enumerate() {
            fiber.stack_pointer = self.stacks.fresh(index, entry);
        }
    }

    /// Makes the current fiber that of a thread that has not started, if there is one.
    pub(crate) fn next_thread(&mut self) -> Option<Body> {
        let thread = *self.order.get(self.started).filter(|_| self.error.is_none())? as usize;
        self.started += 1;
        let fiber = &mut self.fibers[self.current];
        let [x, y, _] = self.block.threads;
        let linear = thread as c_uint;
        fiber.thread = thread;
        fiber.copies.clear();
        fiber.view.thread = [linear % x, linear / x % y, linear / x / y];
        self.run
    }

    pub(crate) fn end_thread(&mut self) {
        let thread = self.fibers[self.current].thread;
        self.threads[thread] = State::Ended;
        self.ended += 1;
    }

    /// What is wrong with an access of the current thread. Its stack is its own.
    pub(crate) fn access(&mut self, start: usize, bytes: usize, writes: bool, code: usize) -> Option<String> {
        if self.stacks.hold(start) {
            return None;
        }
        let thread = self.fibers[self.current].thread as u32;
        let warp_barriers = self.passed.warps[thread as usize / 32];
        let at = Moment { block: self.number, thread, block_barriers: self.passed.block, warp_barriers };
        self.shadow.access(start, bytes, writes, code, at)
    }

    pub(crate) fn wait(&mut self, wait: Wait) -> usize {
        let thread = self.fibers[self.current].thread;
        self.threads[thread] = State::Waiting(wait);
        self.fiber_of[thread] = self.current;
        thread
    }
}
