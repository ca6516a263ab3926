//! Launches: a kernel knows the types of its arguments, so that a wrong one does not compile.

use crate::cuda::device::Cuda;
use crate::cuda::kernel::module::{Function, Module};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::kernel::table::Family;
use crate::cuda::refused;
use crate::{Dtype, Element, Result};
use cudarc::driver::result;
use std::ffi::c_void;
use std::sync::Arc;

/// A kernel of any order, for numbers stored as one type.
pub(in crate::cuda) trait Kernel {
    /// The type that its template takes.
    type Element: Element;
    /// What it takes, in order: the parameters in kernels/, pointers as
    /// [`DevicePtr`](crate::cuda::memory::pointer::DevicePtr).
    type Arguments: Arguments;
    /// The module that it is in, and its place there.
    const FAMILY: Family;
    const POSITION: usize;
}

/// A kernel that is compiled for each order, in a module of its own.
pub(in crate::cuda) trait OnChipKernel {
    /// As [`Kernel::Arguments`].
    type Arguments: Arguments;
    /// Its template.
    const NAME: &'static str;
    /// The types that its template takes.
    const DTYPES: &'static [Dtype];
}

/// Declares kernels of a family: type, name in kernels/ and parameters.
macro_rules! kernels {
    ($family:ident: $($(#[$doc:meta])* $kernel:ident<$t:ident> = $name:literal($($argument:ty),* $(,)?);)*) => { $(
        $(#[$doc])*
        pub(in crate::cuda) struct $kernel<$t>(std::marker::PhantomData<$t>);
        impl<$t: $crate::Element> $crate::cuda::kernel::launch::Kernel for $kernel<$t> {
            type Element = $t;
            type Arguments = ($($argument,)*);
            const FAMILY: $crate::cuda::kernel::table::Family = $crate::cuda::kernel::table::Family::$family;
            const POSITION: usize = $crate::cuda::kernel::table::Family::$family.position($name);
        }
    )* };
}
pub(in crate::cuda) use kernels;

/// What is computed in for numbers stored as `T`, its real part.
pub(in crate::cuda) type RealOf<T> = <<T as Element>::Scalar as Element>::Real;

/// A tuple of what a kernel takes by value.
pub(in crate::cuda) trait Arguments {
    /// Calls with the addresses of all, in order.
    fn with_addresses(&self, call: &mut dyn FnMut(&mut [*mut c_void]));
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Copy, $($rest: Copy),*> Arguments for ($first, $($rest,)*) {
            #[allow(non_snake_case, reason = "an argument has the name of its type")]
            fn with_addresses(&self, call: &mut dyn FnMut(&mut [*mut c_void])) {
                let ($first, $($rest,)*) = self;
                call(&mut [std::ptr::from_ref($first).cast_mut().cast(), $(std::ptr::from_ref($rest).cast_mut().cast()),*]);
            }
        }
        tuples!($($rest)*);
    };
    () => {};
}
tuples!(A B C D E F G H I J K L M N O P Q R S T);

/// Blocks in a grid, threads in a block along x and y, and bytes of dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct LaunchShape {
    pub blocks: u32,
    pub threads: (u32, u32),
    pub shared: u32,
}

impl LaunchShape {
    /// A thread for each matrix.
    pub fn thread_each(batch: usize) -> Self {
        Self { blocks: batch.div_ceil(128) as u32, threads: (128, 1), shared: 0 }
    }

    /// A team of threads for each n×n matrix.
    pub fn team_each(batch: usize, n: usize) -> Self {
        Self::team_for(batch, n * n)
    }

    /// A team of threads for each of so many entries, one for every two, as kernels/lib/team.cuh
    /// wants them.
    pub fn team_for(batch: usize, entries: usize) -> Self {
        let team = (entries / 2).next_power_of_two().clamp(4, 256);
        let teams = 256 / team;
        Self { blocks: batch.div_ceil(teams) as u32, threads: (team as u32, teams as u32), shared: 0 }
    }

    /// 64 threads for each tile of a matrix on or below the diagonal, `edge` rows and columns of
    /// it.
    pub fn tile_each(batch: usize, n: usize, edge: usize) -> Self {
        let side = n.div_ceil(edge);
        Self { blocks: (batch * (side * (side + 1) / 2)) as u32, threads: (64, 1), shared: 0 }
    }

    /// A thread for each entry, up to a number of blocks that fills any device; the rest by turns.
    pub fn thread_for(entries: usize) -> Self {
        Self { blocks: entries.div_ceil(256).min(1 << 16) as u32, threads: (256, 1), shared: 0 }
    }
}

impl Cuda {
    /// Enqueues a kernel.
    ///
    /// # Safety
    /// Its pointers are to as much device memory of this stream as its contract in kernels/ says.
    pub(in crate::cuda) unsafe fn launch<K: Kernel>(&self, shape: LaunchShape, arguments: K::Arguments) -> Result<()> {
        let module = self.module(K::FAMILY, K::Element::DTYPE)?;
        // SAFETY: the module is of this context and live during the call; the rest is the caller's.
        unsafe { self.enqueue(module.function(K::POSITION)?, shape, &arguments) }
    }

    /// Enqueues the kernel of a layout.
    ///
    /// # Safety
    /// As [`Cuda::launch`], for a batch of this size.
    pub(in crate::cuda) unsafe fn launch_on_chip<K: OnChipKernel>(
        &self,
        layout: Layout,
        batch: usize,
        arguments: K::Arguments,
    ) -> Result<()> {
        let module: Arc<Module> = self.on_chip(K::NAME, K::DTYPES, layout)?;
        // SAFETY: as above.
        unsafe { self.enqueue(module.function(0)?, layout.shape(batch), &arguments) }
    }

    /// # Safety
    /// The function's module is live and of this context; the rest as [`Cuda::launch`].
    pub(super) unsafe fn enqueue(&self, function: Function, shape: LaunchShape, arguments: &dyn Arguments) -> Result<()> {
        let LaunchShape { blocks, threads: (x, y), shared } = shape;
        if blocks == 0 {
            return Ok(());
        }
        let _current = self.bind()?;
        let stream = self.stream().cu_stream();
        let mut launched = Ok(());
        arguments.with_addresses(&mut |arguments| {
            // SAFETY: the caller's; the driver copies the arguments before it returns.
            launched = unsafe { result::launch_kernel(function.0, (blocks, 1, 1), (x, y, 1), shared, stream, arguments) };
        });
        launched.map_err(|e| refused("cuLaunchKernel", &e))
    }
}
