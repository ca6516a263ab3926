//! The erased boundary: element type and backend named at run time, code generic in both. One
//! table.

use crate::{Cpu, Dtype, Element, Engine};
use half::{bf16, f16};
use num_complex::Complex;

/// A backend that was chosen at run time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// The CPU.
    Cpu(Cpu),
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda(crate::cuda::Cuda),
}

/// Work that is generic in element type and backend.
pub trait Operation {
    /// What it gives.
    type Output;
    /// Does the work on matrices stored as `T`.
    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Self::Output;
}

/// Runs a job for a type and on a device that are known only at run time.
pub fn dispatch<J: Operation>(dtype: Dtype, device: &Device, job: J) -> J::Output {
    match device {
        Device::Cpu(cpu) => on(dtype, cpu, job),
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => on(dtype, cuda, job),
    }
}

fn on<J: Operation, B: Engine<f32> + Engine<f64> + Engine<Complex<f32>> + Engine<Complex<f64>>>(
    dtype: Dtype,
    backend: &B,
    job: J,
) -> J::Output {
    match dtype {
        Dtype::F16 => job.run::<f16, B>(backend),
        Dtype::Bf16 => job.run::<bf16, B>(backend),
        Dtype::F32 => job.run::<f32, B>(backend),
        Dtype::F64 => job.run::<f64, B>(backend),
        Dtype::ComplexF16 => job.run::<Complex<f16>, B>(backend),
        Dtype::ComplexBf16 => job.run::<Complex<bf16>, B>(backend),
        Dtype::Complex64 => job.run::<Complex<f32>, B>(backend),
        Dtype::Complex128 => job.run::<Complex<f64>, B>(backend),
    }
}
