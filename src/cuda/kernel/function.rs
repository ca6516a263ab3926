//! Functions of the spectrum as kernels take them.

use crate::cuda::device::Cuda;
use crate::cuda::memory::pointer::DevicePtr;
use crate::{Element, Function, Result, Spectral, View};
use std::ffi::c_int;
use std::mem::offset_of;

/// `struct function` of kernels/spectral/function.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::cuda) struct Named {
    kind: c_int,
    whole: c_int,
    odd: c_int,
    p: f64,
}

// The same on both sides.
const _: () = assert!(size_of::<Named>() == 24 && offset_of!(Named, p) == 16);

/// A function, and device addresses of its values and slopes for the batch; null unless it is given
/// by these.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Operand<O: Element> {
    pub named: Named,
    pub values: DevicePtr<O::Real>,
    pub slopes: DevicePtr<O::Real>,
}

impl Named {
    fn new(kind: c_int, p: f64) -> Self {
        Self { kind, whole: c_int::from(p == p.round()), odd: c_int::from((p % 2.0).abs() == 1.0), p }
    }
}

/// The numbers of `enum kind_of_function`.
impl From<Function> for Named {
    fn from(function: Function) -> Self {
        match function {
            Function::Projector => Self::new(0, 0.0),
            Function::Sqrt => Self::new(1, 0.0),
            Function::Rsqrt => Self::new(2, 0.0),
            Function::Pinv => Self::new(3, 0.0),
            Function::Log => Self::new(4, 0.0),
            Function::Exp => Self::new(5, 0.0),
            Function::XLogX => Self::new(6, 0.0),
            Function::Pow(p) => Self::new(7, p),
        }
    }
}

const GIVEN: c_int = 8;

impl Cuda {
    pub(in crate::cuda) fn function<O: Element>(&self, function: &Spectral<O, Self, View<'_>>) -> Result<Operand<O>> {
        Ok(match function {
            Spectral::Named(function) => Operand { named: (*function).into(), values: DevicePtr::NULL, slopes: DevicePtr::NULL },
            Spectral::Given { values, slopes } => {
                Operand { named: Named::new(GIVEN, 0.0), values: self.input(values)?, slopes: self.input(slopes)? }
            }
        })
    }
}
