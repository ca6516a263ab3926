//! What the cut is told, and where its results go: kernels/eigh/cut.cuh.

use crate::cuda::kernel::launch::RealOf;
use crate::cuda::memory::pointer::DevicePtr;
use crate::options::Problem;
use crate::{Element, Status};
use std::ffi::c_int;
use std::mem::offset_of;

/// `struct cut` of kernels/eigh/cut.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::cuda) struct Cut {
    everything: c_int,
    at_most: c_int,
    nulls: c_int,
    atol: f64,
    rtol: f64,
    tie_rtol: f64,
}

// The same on both sides.
const _: () = assert!(size_of::<Cut>() == 40 && offset_of!(Cut, tie_rtol) == 32);

impl Cut {
    /// Of nothing.
    pub const NONE: Self = Self { everything: 0, at_most: 0, nulls: 0, atol: 0.0, rtol: 0.0, tie_rtol: 0.0 };

    pub fn new<R: Element>(problem: &Problem, nulls: usize) -> Self {
        let (atol, rtol) = problem.tau.unwrap_or_default();
        let everything = c_int::from(problem.tau.is_none());
        Self {
            everything,
            at_most: problem.at_most as c_int,
            nulls: nulls as c_int,
            atol,
            rtol,
            tie_rtol: problem.tie_rtol::<R>(),
        }
    }
}

/// `struct spectrum_results`: device addresses of λ and K, `[batch, n]`, and of the others,
/// `[batch]`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::cuda) struct SpectrumResults<S: Element> {
    pub values: DevicePtr<S::Real>,
    pub kept: DevicePtr<bool>,
    pub rank: DevicePtr<u32>,
    pub gap_kept: DevicePtr<RealOf<S>>,
    pub gap_dropped: DevicePtr<RealOf<S>>,
    pub status: DevicePtr<Status>,
}

impl<S: Element> SpectrumResults<S> {
    /// Nowhere: λ stays as the solver found it.
    pub const NONE: Self = Self {
        values: DevicePtr::NULL,
        kept: DevicePtr::NULL,
        rank: DevicePtr::NULL,
        gap_kept: DevicePtr::NULL,
        gap_dropped: DevicePtr::NULL,
        status: DevicePtr::NULL,
    };

    /// Those of the matrices from `first` on, each of so many eigenvalues.
    pub fn from(self, first: usize, values: usize) -> Self {
        Self {
            values: self.values.behind(first * values),
            kept: self.kept.behind(first * values),
            rank: self.rank.behind(first),
            gap_kept: self.gap_kept.behind(first),
            gap_dropped: self.gap_dropped.behind(first),
            status: self.status.behind(first),
        }
    }
}

// The same on both sides.
const _: () = assert!(size_of::<SpectrumResults<f32>>() == 48 && offset_of!(SpectrumResults<f32>, status) == 40);
