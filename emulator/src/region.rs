//! Memory between two inaccessible pages, filled with NaN patterns, and inaccessible for a while
//! after its end.

use crate::handle::lock;
use crate::{launch, memory};
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::sync::{Mutex, Once, OnceLock};

const PAGE: usize = 4096;
/// What CUDA aligns memory to.
const ALIGNMENT: usize = 256;
/// All bits set are a NaN as f16, bf16, f32 and f64, and −1 as an integer.
const FRESH: u8 = 0xff;
/// How many regions stay inaccessible after their end.
const QUARANTINE: usize = 1024;

/// Bytes that end as close to an inaccessible page as the alignment of their start allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// The first inaccessible page.
    base: usize,
    /// From the first inaccessible page to the end of the last.
    total: usize,
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}

static RETIRED: Mutex<VecDeque<Region>> = Mutex::new(VecDeque::new());

impl Region {
    /// Maps it; none if the host has no memory left.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        install_handler();
        let rounded = bytes.max(1).checked_next_multiple_of(ALIGNMENT)?;
        let inner = rounded.checked_next_multiple_of(PAGE)?;
        let total = inner.checked_add(2 * PAGE)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let region = Self { base: base.addr(), total, start: base.addr() + PAGE + inner - rounded, bytes };
        // SAFETY: these pages lie inside the mapping just made.
        if unsafe { libc::mprotect((region.base + PAGE) as *mut c_void, inner, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            region.unmap();
            return None;
        }
        // SAFETY: as above; nobody else knows the pages.
        unsafe { std::ptr::write_bytes((region.base + PAGE) as *mut u8, FRESH, inner) };
        asan().shade(region.start + bytes, rounded - bytes, true);
        asan().shade(region.base + PAGE, inner - rounded, true);
        Some(region)
    }

    /// Where something was written beside the bytes, in the pages that hold them.
    pub(crate) fn spilt(&self) -> Option<isize> {
        let (from, to) = (self.base + PAGE, self.base + self.total - PAGE);
        asan().shade(from, to - from, false);
        let mut beside = (from..self.start).chain(self.start + self.bytes..to);
        // SAFETY: these bytes lie in the accessible pages of this mapping.
        beside.find(|at| unsafe { (*at as *const u8).read() } != FRESH).map(|at| at.wrapping_sub(self.start) as isize)
    }

    /// Makes it inaccessible, and unmaps what was made so long ago.
    pub(crate) fn retire(self) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        asan().shade(self.base, self.total, false);
        // SAFETY: replaces this mapping, which its only owner gives up, by one that holds no
        // memory.
        unsafe { libc::mmap(self.base as *mut c_void, self.total, libc::PROT_NONE, flags, -1, 0) };
        let mut retired = lock(&RETIRED);
        retired.push_back(self);
        if retired.len() > QUARANTINE {
            retired.pop_front().into_iter().for_each(|oldest| oldest.unmap());
        }
    }

    fn unmap(self) {
        // SAFETY: the mapping is this region's own, and is given up.
        unsafe { libc::munmap(self.base as *mut c_void, self.total) };
    }

    pub(crate) fn surrounds(&self, address: usize) -> bool {
        (self.base..self.base + self.total).contains(&address)
    }
}

/// What of AddressSanitizer the emulator calls if it is in the process.
pub(crate) struct Asan {
    poison: Option<extern "C" fn(*const c_void, usize)>,
    unpoison: Option<extern "C" fn(*const c_void, usize)>,
    pub(crate) start_switch: Option<extern "C" fn(*mut *mut c_void, *const c_void, usize)>,
    pub(crate) finish_switch: Option<extern "C" fn(*mut c_void, *mut *const c_void, *mut usize)>,
}

impl Asan {
    /// Marks bytes as not to be touched, or takes the mark away.
    pub(crate) fn shade(&self, start: usize, bytes: usize, forbidden: bool) {
        if let (Some(poison), Some(unpoison)) = (self.poison, self.unpoison) {
            (if forbidden { poison } else { unpoison })(start as *const c_void, bytes);
        }
    }

    pub(crate) fn is_here(&self) -> bool {
        self.poison.is_some()
    }
}

pub(crate) fn asan() -> &'static Asan {
    static ASAN: OnceLock<Asan> = OnceLock::new();
    ASAN.get_or_init(|| {
        // SAFETY: looks a name up in what is loaded.
        let find = |name: &std::ffi::CStr| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: null is None; else it is the function of that name, declared so in
        // sanitizer/asan_interface.h and common_interface_defs.h.
        unsafe {
            Asan {
                poison: std::mem::transmute::<*mut c_void, Option<_>>(find(c"__asan_poison_memory_region")),
                unpoison: std::mem::transmute::<*mut c_void, Option<_>>(find(c"__asan_unpoison_memory_region")),
                start_switch: std::mem::transmute::<*mut c_void, Option<_>>(find(c"__sanitizer_start_switch_fiber")),
                finish_switch: std::mem::transmute::<*mut c_void, Option<_>>(find(c"__sanitizer_finish_switch_fiber")),
            }
        }
    })
}

static PREVIOUS: OnceLock<[libc::sigaction; 2]> = OnceLock::new();
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

fn install_handler() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = SIGNALS.map(|signal| {
            // SAFETY: asks for the present action, into a structure that zeros are a value of.
            unsafe {
                let mut previous: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &raw mut previous);
                previous
            }
        });
        PREVIOUS.get_or_init(|| previous);
        for signal in SIGNALS {
            // SAFETY: the handler has the type that SA_SIGINFO asks for, and runs on the signal
            // stack that Rust gives its threads.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_fault as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    });
}

/// Tells what a kernel touched and aborts; a fault that is not the emulator's goes to whoever
/// handled it before.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a siginfo_t with the address of the fault.
    let address = unsafe { (*info).si_addr() }.addr();
    let kernel = launch::running();
    let place = place(address);
    if place.is_some() || kernel.is_some() {
        let mut line = Line::default();
        let _ = write!(line, "emulator: ");
        let _ = match kernel {
            Some(kernel) => write!(line, "kernel {kernel}"),
            None => write!(line, "the host"),
        };
        let _ = writeln!(line, " touched {} at {address:#x}", place.unwrap_or("unowned memory"));
        // SAFETY: writes the line that was just made, and ends the process.
        unsafe {
            libc::write(2, line.bytes.as_ptr().cast(), line.len);
            libc::abort();
        }
    }
    let previous = PREVIOUS.get().and_then(|previous| SIGNALS.iter().position(|s| *s == signal).map(|i| previous[i]));
    match previous {
        Some(previous) if previous.sa_sigaction > libc::SIG_IGN && previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: an action with SA_SIGINFO holds a handler of this type.
            let handler = unsafe { std::mem::transmute::<usize, Handler>(previous.sa_sigaction) };
            handler(signal, info, context);
        }
        // SAFETY: the default action takes over when the faulting instruction is run again.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}

/// What lies at an address of the emulator's. Locks are only tried: the thread that faulted may be
/// any.
fn place(address: usize) -> Option<&'static str> {
    if crate::fiber::is_guard(address) {
        return Some("the end of its stack");
    }
    for _ in 0..1000 {
        if let Some(retired) = RETIRED.try_lock().ok().map(|retired| retired.iter().any(|region| region.surrounds(address))) {
            return if retired { Some("freed memory") } else { memory::place(address) };
        }
        std::thread::yield_now();
    }
    None
}

/// Text without an allocation.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 512], len: 0 }
    }
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let take = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        Ok(())
    }
}
