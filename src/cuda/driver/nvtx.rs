//! Ranges of calls, by name, on the timeline of NVIDIA's profilers: NVTX. Without the feature
//! `nvtx`, or its library, nothing.

use std::ffi::CStr;

/// Names what the calling thread enqueues until the result is dropped.
pub(in crate::cuda) fn range(name: &'static CStr) -> Range {
    Range::push(name)
}

#[cfg(not(feature = "nvtx"))]
pub(in crate::cuda) struct Range;

#[cfg(not(feature = "nvtx"))]
impl Range {
    fn push(_: &CStr) -> Self {
        Self
    }
}

#[cfg(feature = "nvtx")]
pub(in crate::cuda) use library_of_ranges::Range;

#[cfg(feature = "nvtx")]
mod library_of_ranges {
    use crate::cuda::driver::library;
    use std::ffi::{CStr, c_char, c_int};
    use std::marker::PhantomData;
    use std::sync::OnceLock;

    type Push = unsafe extern "C" fn(*const c_char) -> c_int;
    type Pop = unsafe extern "C" fn() -> c_int;

    /// A range that has begun; dropped, it ends. The library keeps a stack for each thread, so that
    /// it stays in its own.
    pub struct Range {
        pop: Option<Pop>,
        of_thread: PhantomData<*const ()>,
    }

    impl Range {
        pub(in crate::cuda) fn push(name: &'static CStr) -> Self {
            let pop = functions().map(|(push, pop)| {
                // SAFETY: the name ends in zero; the library copies it, and it lives for ever.
                unsafe { push(name.as_ptr()) };
                pop
            });
            Self { pop, of_thread: PhantomData }
        }
    }

    impl Drop for Range {
        fn drop(&mut self) {
            if let Some(pop) = self.pop {
                // SAFETY: it ends the range that this thread began last, since ranges are dropped
                // in the reverse order.
                unsafe { pop() };
            }
        }
    }

    /// Sought once. CUDA 13 and the wheels have the first library, toolkits up to 12 the second.
    fn functions() -> Option<(Push, Pop)> {
        static FUNCTIONS: OnceLock<Option<(Push, Pop)>> = OnceLock::new();
        *FUNCTIONS.get_or_init(|| {
            let library = library::optional(&["libnvtx3interop.so.1", "libnvToolsExt.so.1"])?;
            // SAFETY: NVIDIA's headers declare this type for this name.
            let push = *unsafe { library.get::<Push>(b"nvtxRangePushA\0") }.ok()?;
            // SAFETY: as above.
            let pop = *unsafe { library.get::<Pop>(b"nvtxRangePop\0") }.ok()?;
            Some((push, pop))
        })
    }
}
