//! Modules: images of the emulator's compiler, loaded as shared libraries, and the kernels in them.

use crate::answer::*;
use crate::census::{self, Kind};
use crate::context::current;
use crate::device;
use crate::handle::{self, Table, lock};
use crate::kernel::{KERNELS, Kernel, MARK, SELF, SelfOf, Thread};
use crate::scheduler::HOST;
use crate::stream;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

/// A loaded library.
pub(crate) struct Code {
    library: *mut c_void,
    /// Open as long as the library is loaded, since the loader knows libraries by their paths.
    _image: OwnedFd,
    self_of: SelfOf,
    /// Where the module keeps `eg_self`, from the start of its thread-local memory, and the size of
    /// that.
    slot: usize,
    shared: usize,
    pub(crate) kernels: Vec<Kernel>,
}

// SAFETY: what it points to is constant as long as the library is loaded.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: it was opened once, and nobody else holds anything of it.
        unsafe { libc::dlclose(self.library) };
    }
}

impl Code {
    /// Where the calling thread of the host has `eg_self`, and the thread-local memory of the
    /// module.
    pub(crate) fn memory(&self) -> (*mut *const Thread, (*mut u8, usize)) {
        // SAFETY: the module's function, of this type; it stores where the constant table is.
        let slot = unsafe { (self.self_of)(&raw const HOST) };
        (slot, ((slot.addr() - self.slot) as *mut u8, self.shared))
    }

    fn load(image: &[u8]) -> Result<Self, String> {
        // SAFETY: the name is a literal.
        let fd = unsafe { libc::memfd_create(c"eigengrad-emulator-module".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err("memfd_create failed".to_owned());
        }
        // SAFETY: it was just opened, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Not /proc/self: a program that turns addresses into lines reads the same path.
        let path = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        std::fs::write(&path, image).map_err(|e| format!("{path}: {e}"))?;
        let c_path = CString::new(path).map_err(|e| e.to_string())?;
        // SAFETY: the image bears the mark of this emulator's compiler: its initialisers do
        // nothing.
        let library = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            // SAFETY: dlopen has just failed in this thread.
            return Err(unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned());
        }
        // SAFETY: looks two names up in the library.
        let (kernels, self_of) = unsafe { (libc::dlsym(library, KERNELS.as_ptr()), libc::dlsym(library, SELF.as_ptr())) };
        if kernels.is_null() || self_of.is_null() {
            // SAFETY: it was just opened.
            unsafe { libc::dlclose(library) };
            return Err("it has no table of kernels".to_owned());
        }
        // SAFETY: the function of this name has this type.
        let self_of = unsafe { std::mem::transmute::<*mut c_void, SelfOf>(self_of) };
        // SAFETY: the table of this name ends with a kernel without a name.
        let kernels = unsafe { std::slice::from_raw_parts(kernels.cast::<Kernel>(), length(kernels.cast())) }.to_vec();
        let mut code = Self { library, _image: fd, self_of, slot: 0, shared: 0, kernels };
        let (slot, _) = code.memory();
        let (start, bytes) = thread_local_memory(self_of as usize).ok_or("it has no thread-local memory")?;
        (code.slot, code.shared) = (slot.addr() - start, bytes);
        Ok(code)
    }
}

/// # Safety
/// The table ends with a kernel without a name.
unsafe fn length(kernels: *const Kernel) -> usize {
    // SAFETY: the caller's: all before the one without a name are there.
    (0..).take_while(|i| unsafe { !(*kernels.add(*i)).name.is_null() }).count()
}

/// The calling thread's thread-local memory of the library that holds an address, with its size.
fn thread_local_memory(address: usize) -> Option<(usize, usize)> {
    struct Search {
        address: usize,
        found: Option<(usize, usize)>,
    }
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: dl_iterate_phdr gives a description that is valid for this call, and the pointer
        // that it was given.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // SAFETY: the description says how many headers there are.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let holds = |h: &libc::Elf64_Phdr| {
            let start = info.dlpi_addr + h.p_vaddr;
            h.p_type == libc::PT_LOAD && (start..start + h.p_memsz).contains(&(search.address as u64))
        };
        if headers.iter().any(holds) {
            let tls = headers.iter().find(|h| h.p_type == libc::PT_TLS);
            search.found = tls.map(|h| (info.dlpi_tls_data.addr(), h.p_memsz as usize)).filter(|(start, _)| *start != 0);
            return 1;
        }
        0
    }
    let mut search = Search { address, found: None };
    // SAFETY: the visitor gets what it casts to.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}

struct Module {
    context: usize,
    code: Arc<Code>,
    functions: Mutex<HashMap<usize, usize>>,
}
static MODULES: Table<Module> = Table::new();

/// A kernel of a module.
pub(crate) struct Function {
    pub(crate) context: usize,
    pub(crate) code: Arc<Code>,
    pub(crate) kernel: usize,
    /// The most dynamic shared memory that a launch may ask for.
    pub(crate) dynamic: AtomicU32,
}
/// Of a function that is not told otherwise.
const DYNAMIC_BY_DEFAULT: u32 = 48 << 10;
static FUNCTIONS: Table<Function> = Table::new();

/// The function of a handle.
pub(crate) fn function(name: *mut c_void) -> Result<Arc<Function>, i32> {
    FUNCTIONS.get(name).ok_or(INVALID_HANDLE)
}

/// The modules of a context are no more.
pub(crate) fn abandon(context: usize) {
    MODULES.retain(|module| module.context != context);
    FUNCTIONS.retain(|function| function.context != context);
}

/// The bytes of an image, whose length its header tells.
///
/// # Safety
/// A whole image lies there, or text that ends in a zero.
unsafe fn bytes<'a>(image: *const u8) -> Option<&'a [u8]> {
    // SAFETY: the caller's; no byte is read behind a zero, which a string may end with, and all 64
    // of an ELF header are there.
    unsafe {
        let is_elf = b"\x7fELF\x02\x01".iter().enumerate().all(|(i, byte)| image.add(i).read() == *byte);
        let header = is_elf.then(|| image.cast::<libc::Elf64_Ehdr>().read_unaligned())?;
        let end = header.e_shoff.checked_add(u64::from(header.e_shnum) * u64::from(header.e_shentsize))?;
        (header.e_shoff >= 64 && end < 1 << 30).then(|| std::slice::from_raw_parts(image, end as usize))
    }
}

/// The architecture that an image is for, as `sm_90` or `compute_90`; none if it is not the
/// emulator's.
fn architecture(image: &[u8]) -> Option<&str> {
    let at = image.windows(MARK.len()).position(|window| window == MARK.as_bytes())? + MARK.len();
    let len = image[at..].iter().take(16).position(|byte| *byte == b';')?;
    std::str::from_utf8(&image[at..at + len]).ok()
}

/// Machine code runs on devices of its own major version and no lower minor one, PTX on all that
/// are no older.
fn runs_here(architecture: &str) -> bool {
    let (major, minor) = device::capability();
    let number = |text: &str| text.trim_end_matches(['a', 'f']).parse::<c_int>().ok();
    match (architecture.strip_prefix("sm_").and_then(number), architecture.strip_prefix("compute_").and_then(number)) {
        (Some(cubin), _) => cubin / 10 == major && cubin % 10 <= minor,
        (_, Some(ptx)) => ptx <= 10 * major + minor,
        _ => false,
    }
}

fn load(out: *mut *mut c_void, image: *const u8) -> Result<(), i32> {
    stream::prohibit_while_capturing()?;
    let context = current()?;
    context.check()?;
    if image.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: the caller of the driver gives a whole image.
    let image = unsafe { bytes(image) }.ok_or(INVALID_IMAGE)?;
    if !architecture(image).is_some_and(runs_here) {
        return Err(NO_BINARY_FOR_GPU);
    }
    let code = Code::load(image).map_err(|reason| {
        eprintln!("emulator: a module cannot be loaded: {reason}");
        INVALID_IMAGE
    })?;
    let name = handle::fresh();
    MODULES.insert(name, Arc::new(Module { context: context.name, code: Arc::new(code), functions: Mutex::default() }));
    census::born(Kind::Module, name);
    store(out, name as *mut c_void)
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(out: *mut *mut c_void, image: *const u8) -> c_int {
    allocate("cuModuleLoadData", || load(out, image))
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadDataEx(
    out: *mut *mut c_void,
    image: *const u8,
    _count: c_uint,
    _options: *mut c_int,
    _values: *mut *mut c_void,
) -> c_int {
    allocate("cuModuleLoadDataEx", || load(out, image))
}

/// Kernels that were launched still finish.
#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(module: *mut c_void) -> c_int {
    give_back("cuModuleUnload", || {
        if MODULES.get(module).ok_or(INVALID_HANDLE)?.context != current()?.name {
            return Err(INVALID_CONTEXT);
        }
        let ended = MODULES.remove(module).ok_or(INVALID_HANDLE)?;
        lock(&ended.functions).values().for_each(|function| drop(FUNCTIONS.remove(*function as *mut c_void)));
        census::died(Kind::Module, module.addr());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleGetFunction(out: *mut *mut c_void, module: *mut c_void, name: *const c_char) -> c_int {
    answer("cuModuleGetFunction", || {
        let (module, name) = (MODULES.get(module).ok_or(INVALID_HANDLE)?, text(name).ok_or(INVALID_VALUE)?);
        let kernels = &module.code.kernels;
        // SAFETY: every kernel in the table has a name, a literal of the module.
        let kernel = kernels.iter().position(|kernel| unsafe { CStr::from_ptr(kernel.name) }.to_bytes() == name.as_bytes());
        let kernel = kernel.ok_or(NOT_FOUND)?;
        let function = *lock(&module.functions).entry(kernel).or_insert_with(|| {
            let function = handle::fresh();
            let (context, code, dynamic) = (module.context, module.code.clone(), AtomicU32::new(DYNAMIC_BY_DEFAULT));
            FUNCTIONS.insert(function, Arc::new(Function { context, code, kernel, dynamic }));
            function
        });
        store(out, function as *mut c_void)
    })
}
