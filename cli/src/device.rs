//! Backends by the name that the user gives them.

use crate::args::{DeviceName, Hardware, SolverName};
use crate::failure::{Failure, Result};
use crate::report::{self, Table};
use eigengrad::cuda::{self, Cuda, Solver};
use eigengrad::{Cpu, Device};

/// The backend that was asked for; `cuda` is never replaced by another, `auto` is a GPU if one can be used.
///
/// # Errors
/// If it cannot be had.
pub fn open(hardware: &Hardware) -> Result<Device> {
    threads(hardware)?;
    let device = match hardware.device {
        DeviceName::Cpu => Device::Cpu(Cpu::default()),
        DeviceName::Auto => gpu(hardware).unwrap_or_else(|| Device::Cpu(Cpu::default())),
        DeviceName::Cuda(ordinal) => named_gpu(hardware, ordinal)?,
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
    let usable = cuda::probe().iter().all(Result::is_ok);
    let found = if usable { cuda::devices().unwrap_or_default() } else { Vec::new() }; // `devices` says why
    for gpu in found {
        match gpu.map_err(|e| Failure::new(e.to_string())).and_then(|gpu| named_gpu(hardware, gpu.ordinal)) {
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

fn gpu(hardware: &Hardware) -> Option<Device> {
    let usable = cuda::probe().iter().all(Result::is_ok);
    usable.then(|| named_gpu(hardware, 0).ok()).flatten()
}

fn named_gpu(hardware: &Hardware, ordinal: usize) -> Result<Device> {
    let solver = match hardware.solver.unwrap_or(SolverName::Auto) {
        SolverName::Auto => Solver::Auto,
        SolverName::OnChip => Solver::OnChip,
        SolverName::Jacobi => Solver::JACOBI,
        SolverName::Syev => Solver::SYEV,
    };
    let cuda = Cuda::new(ordinal).map_err(|e| Failure::new(format!("--device cuda:{ordinal}: {e}{}", others())))?;
    Ok(Device::Cuda(cuda.with_solver(solver)))
}

/// The GPUs that there are, for who named one that is not.
fn others() -> String {
    let Ok(devices) = cuda::devices() else { return String::new() };
    let names: Vec<_> = devices.iter().flatten().map(|device| format!("cuda:{}", device.ordinal)).collect();
    if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) }
}

/// The short name of a backend, as torch has it: the first GPU needs no number.
pub fn name(device: &Device) -> String {
    match (device, ordinal(device)) {
        (_, Some(0)) => "cuda".into(),
        (_, Some(ordinal)) => format!("cuda:{ordinal}"),
        (Device::Cpu(_), _) => "cpu".into(),
        _ => "other".into(),
    }
}

/// The number of a GPU.
pub fn ordinal(device: &Device) -> Option<usize> {
    if let Device::Cuda(cuda) = device { Some(cuda.stream().context().ordinal()) } else { None }
}

/// What a backend runs on.
pub fn describe(device: &Device) -> String {
    match device {
        Device::Cpu(cpu) => format!("cpu, {}", on_cpu(cpu)),
        Device::Cuda(cuda) => cuda.info().map_or_else(|e| e.to_string(), |info| info.to_string()),
        other => format!("{other:?}"),
    }
}

/// A row for each backend: what was found, or why it is missing and how to mend that.
pub fn list() -> Table {
    let mut table = Table::default();
    table.row("cpu", on_cpu(&Cpu::default()));
    let libraries = cuda::probe();
    let missing = libraries.iter().any(Result::is_err);
    for library in libraries {
        table.row("cuda", library.map_or_else(|missing| missing.to_string(), |found| found.to_string()));
    }
    match cuda::devices() {
        Ok(devices) if devices.is_empty() => table.row("cuda", "the driver shows no device"),
        Ok(devices) => devices.into_iter().for_each(|device| match device {
            Ok(device) => table.row("cuda", device),
            Err(refusal) => table.row("cuda", refusal),
        }),
        Err(_) if missing => {} // said above
        Err(error) => table.row("cuda", error),
    }
    table
}

/// Compiles the kernels for GPUs that may not be here, and lists the files.
///
/// # Errors
/// If there is no compiler, no GPU and no `--capability`, or nowhere to write.
pub fn warm(capabilities: &[(i32, i32)], orders: &[usize]) -> Result<Table> {
    let mut found: Vec<_> = match capabilities {
        [] => cuda::devices()?.into_iter().flatten().map(|device| device.capability).collect(),
        named => named.to_vec(),
    };
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err(Failure::new("no GPU is here to compile for; name one by --capability, as 9.0"));
    }
    let mut table = Table::default();
    for capability in found {
        for path in cuda::warm(capability, orders)? {
            table.row("written", path.display());
        }
    }
    Ok(table)
}

fn on_cpu(cpu: &Cpu) -> String {
    let threads = cpu.threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, cpu.instruction_set())
}
