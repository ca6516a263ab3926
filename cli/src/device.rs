//! Backends by the name that the user gives them.

use crate::args::{DeviceName, Hardware};
use crate::failure::{Failure, Result};
use crate::gpu;
use crate::report::{self, Table};
use eigengrad::{Cpu, Device};
use indicatif::ProgressBar;
use std::time::Duration;

/// The backend that was asked for; `cuda` is never replaced by another, `auto` is a GPU if one can
/// be used.
///
/// # Errors
/// If it cannot be had.
pub fn open(hardware: &Hardware) -> Result<Device> {
    threads(hardware)?;
    let device = match hardware.device {
        DeviceName::Cpu => Device::Cpu(Cpu::default()),
        DeviceName::Auto => {
            let gpu = gpu::usable().then(|| gpu::open(0, hardware.solver).ok()).flatten();
            gpu.unwrap_or_else(|| Device::Cpu(Cpu::default()))
        }
        DeviceName::Cuda(ordinal) => gpu::open(ordinal, hardware.solver)?,
    };
    match (&device, hardware.solver) {
        (Device::Cpu(_), Some(_)) => {
            Err(Failure::new("--solver chooses among a GPU's eigensolvers, and this runs on the CPU; leave it out"))
        }
        _ => Ok(device),
    }
}

/// The backends to compare: the one that was asked for, or the CPU and every GPU that can be used.
///
/// # Errors
/// As [`open`].
pub fn all(hardware: &Hardware) -> Result<Vec<Device>> {
    if hardware.device != DeviceName::Auto {
        return Ok(vec![open(hardware)?]);
    }
    threads(hardware)?;
    let mut all = vec![Device::Cpu(Cpu::default())];
    for gpu in gpu::ordinals() {
        match gpu.and_then(|ordinal| gpu::open(ordinal, hardware.solver)) {
            Ok(gpu) => all.push(gpu),
            Err(failure) => report::complain(&failure),
        }
    }
    Ok(all)
}

/// The one pool of this process: what is computed beside the backend keeps to it, too.
fn threads(hardware: &Hardware) -> Result<()> {
    let Some(threads) = hardware.threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|e| Failure::new(format!("--threads {threads}: {e}")))
}

/// The short name of a backend, as torch has it: the first GPU needs no number.
pub fn name(device: &Device) -> String {
    match (device, gpu::ordinal(device)) {
        (_, Some(0)) => "cuda".into(),
        (_, Some(ordinal)) => format!("cuda:{ordinal}"),
        (Device::Cpu(_), _) => "cpu".into(),
        _ => "other".into(),
    }
}

/// What a backend runs on.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu(cpu) => format!("cpu, {}", on_cpu(cpu)),
        other => gpu::describe(other).unwrap_or_else(|| format!("{other:?}")),
    }
}

/// A row for each backend: what was found, or why it is missing and how to mend that.
pub fn list() -> Table {
    let mut table = Table::default();
    table.line("cpu", on_cpu(&Cpu::default()));
    gpu::list(&mut table);
    table
}

/// Compiles the kernels for GPUs that may not be here, and lists the files.
///
/// # Errors
/// If there is no compiler, no GPU and no `--capability`, or nowhere to write.
pub fn warm(capabilities: &[(i32, i32)], orders: &[usize]) -> Result<Table> {
    let mut found: Vec<_> = match capabilities {
        [] => gpu::capabilities()?,
        named => named.to_vec(),
    };
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err(Failure::new("no GPU is here to compile for; name one by --capability, as 9.0"));
    }
    let mut table = Table::default();
    let bar = ProgressBar::new_spinner(); // on a terminal only
    bar.enable_steady_tick(Duration::from_millis(200));
    for capability in found {
        let (major, minor) = capability;
        bar.set_message(format!("compiling the kernels for compute capability {major}.{minor}; this takes minutes"));
        for path in gpu::warm(capability, orders)? {
            table.line("written", path.display());
        }
    }
    bar.finish_and_clear();
    Ok(table)
}

fn on_cpu(cpu: &Cpu) -> String {
    let threads = cpu.threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, cpu.instruction_set())
}
