//! Backends by the name that the user gives them.

use crate::args::{DeviceName, Hardware};
use crate::failure::{Failure, Result};
use crate::report::Table;
use eigengrad::{Cpu, Device, cuda};

/// The backend that was asked for; `cuda` is never replaced by another.
///
/// # Errors
/// If it cannot be had.
pub fn open(hardware: &Hardware) -> Result<Device> {
    if let Some(threads) = hardware.threads {
        // The one pool of this process: what is computed beside the backend keeps to it, too.
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Failure::new(format!("--threads {threads}: {e}")))?;
    }
    match hardware.device {
        DeviceName::Auto | DeviceName::Cpu => Ok(Device::Cpu(Cpu::default())),
        DeviceName::Cuda(ordinal) => {
            let missing = cuda::probe().into_iter().find_map(Result::err).map(|missing| missing.to_string());
            let reason = missing.unwrap_or_else(|| "this version finds the CUDA libraries but has no solver for them".to_owned());
            Err(Failure::new(format!("--device cuda:{ordinal}: {reason}")))
        }
    }
}

/// The short name of a backend.
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu(_) => "cpu",
        _ => "other",
    }
}

/// What a backend runs on.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu(cpu) => format!("cpu, {}", on_cpu(cpu)),
        other => format!("{other:?}"),
    }
}

/// A row for each backend: what was found, or why it is missing and how to mend that.
pub fn list() -> Table {
    let mut table = Table::default();
    table.row("cpu", on_cpu(&Cpu::default()));
    for library in cuda::probe() {
        table.row("cuda", library.map_or_else(|missing| missing.to_string(), |found| found.to_string()));
    }
    table
}

fn on_cpu(cpu: &Cpu) -> String {
    let threads = cpu.threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, cpu.instruction_set())
}
