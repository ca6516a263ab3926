//! Stacks for the threads of a block, and the switch from one to another.

use crate::region::asan;
use std::arch::naked_asm;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The distance of two stacks, of which the lowest page is inaccessible. AddressSanitizer makes
/// frames several times larger.
const STRIDE: usize = 256 << 10;
const PAGE: usize = 4096;
/// As many as a block can have threads.
pub(crate) const STACKS: usize = 1024;

/// Stores the callee-saved registers and the stack pointer, and goes on with those of another
/// stack.
///
/// # Safety
/// `to` is a stack pointer that this function stored or `fresh` made, and nobody else goes on from.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch(from: *mut *mut c_void, to: *mut c_void) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// The stacks of one thread of the host.
pub(crate) struct Stacks(usize);

/// Where they are, for the signal handler.
static ARENAS: [AtomicUsize; 512] = [const { AtomicUsize::new(0) }; 512];

/// Whether an address lies in the inaccessible page of a stack.
pub(crate) fn is_guard(address: usize) -> bool {
    ARENAS
        .iter()
        .map(|arena| arena.load(Ordering::Acquire))
        .any(|base| base != 0 && (base..base + STACKS * STRIDE).contains(&address) && (address - base) % STRIDE < PAGE)
}

impl Stacks {
    pub(crate) fn new() -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), STACKS * STRIDE, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let claim = |arena: &&AtomicUsize| arena.compare_exchange(0, base.addr(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let _ = ARENAS.iter().find(claim);
        Some(Self(base.addr()))
    }

    /// Whether an address lies in one of them.
    pub(crate) fn hold(&self, address: usize) -> bool {
        (self.0..self.0 + STACKS * STRIDE).contains(&address)
    }

    /// The lowest address and the size of a stack.
    pub(crate) fn bounds(&self, index: usize) -> (*const c_void, usize) {
        assert!(index < STACKS);
        ((self.0 + index * STRIDE + PAGE) as *const c_void, STRIDE - PAGE)
    }

    /// A stack on which `entry`, which never returns, is about to be called; whatever was on it is
    /// forgotten.
    pub(crate) fn fresh(&self, index: usize, entry: extern "C" fn() -> !) -> *mut c_void {
        let (low, size) = self.bounds(index);
        asan().shade(low.addr(), size, false);
        // SAFETY: the stack lies inside this mapping. From its end: the return address of `entry`,
        // which is none, and so that the stack is aligned when `switch` returns into it, below that
        // `entry` and six registers.
        unsafe {
            libc::mprotect(low.cast_mut(), size, libc::PROT_READ | libc::PROT_WRITE);
            let end = (low.addr() + size) as *mut usize;
            end.sub(1).write(0);
            end.sub(2).write(entry as usize);
            std::ptr::write_bytes(end.sub(8), 0, 6);
            end.sub(8).cast()
        }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        ARENAS.iter().filter(|arena| arena.load(Ordering::Acquire) == self.0).for_each(|arena| arena.store(0, Ordering::Release));
        // SAFETY: the mapping is this value's own, and no stack of it is in use: the thread whose
        // they are ends.
        unsafe { libc::munmap(self.0 as *mut c_void, STACKS * STRIDE) };
    }
}
