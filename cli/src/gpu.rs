//! NVIDIA GPUs, in a program that was built with the feature `cuda`.

use crate::args::SolverName;
use crate::failure::{Failure, Result, reason};
use crate::files::output::Outputs;
use crate::report::Table;
use eigengrad::cuda::{self, Cuda, Solver, SolverTable};
use eigengrad::{Backend, Device, Dtype};
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Whether the libraries are there.
pub fn usable() -> bool {
    cuda::probe().iter().all(Result::is_ok)
}

/// A GPU by its number.
///
/// # Errors
/// If it cannot be had.
pub fn open(ordinal: usize, solver: Option<SolverName>) -> Result<Device> {
    let solver = match solver.unwrap_or(SolverName::Auto) {
        SolverName::Auto => Solver::Auto,
        SolverName::OnChip => Solver::OnChip,
        SolverName::Ql => Solver::Ql,
        SolverName::Jacobi => Solver::JACOBI,
        SolverName::Syev => Solver::SYEV,
    };
    let cuda = Cuda::new(ordinal).map_err(|e| Failure::new(format!("--device cuda:{ordinal}: {e}{}", others())))?;
    Ok(Device::Cuda(cuda.with_solver(solver)))
}

/// A GPU by each of the solvers that it can be told to take, by their names.
pub fn solvers(device: &Device) -> Vec<(&'static str, Device)> {
    let Device::Cuda(cuda) = device else { return Vec::new() };
    let known = [("on-chip", Solver::OnChip), ("ql", Solver::Ql), ("jacobi", Solver::JACOBI), ("syev", Solver::SYEV)];
    known.map(|(name, solver)| (name, Device::Cuda(cuda.clone().with_solver(solver)))).into()
}

/// Writes the fastest solvers of a GPU into the user's table: of each type and orders by their
/// name.
///
/// # Errors
/// If there is no place for it, or it cannot be read or written.
pub fn tune(device: &Device, fastest: &[(Dtype, RangeInclusive<usize>, &str)]) -> Result<Table> {
    let Device::Cuda(cuda) = device else { return Err(Failure::new("--tune chooses among a GPU's solvers")) };
    let Some(path) = SolverTable::path() else { return Err(Failure::new("there is no home: name a file by EIGENGRAD_SOLVERS")) };
    let (capability, mut solvers) = (cuda.info()?.capability, SolverTable::read()?);
    solvers.rules.retain(|rule| rule.capability != capability || fastest.iter().all(|(dtype, ..)| *dtype != rule.dtype));
    let lines = fastest.iter().map(|(dtype, orders, name)| {
        format!("{}.{} {dtype} {}-{} {name}\n", capability.0, capability.1, orders.start(), orders.end())
    });
    let measured: SolverTable = lines.collect::<String>().parse().map_err(Failure::new)?;
    solvers.rules.extend(measured.rules);
    let folder = path.parent().unwrap_or(&path);
    std::fs::create_dir_all(folder).map_err(|e| Failure::at(folder, reason(&e)))?;
    let mut outputs = Outputs::one(&path, true)?;
    outputs.stage(&path, &mut |file| write!(file, "{solvers}"))?;
    let mut table = Table::default();
    outputs.commit()?.iter().for_each(|path| table.line("written", path.display()));
    solvers.rules.iter().for_each(|rule| table.line("solvers", rule));
    Ok(table)
}

/// The numbers of all GPUs, or why one cannot be had.
pub fn ordinals() -> Vec<Result<usize>> {
    // `devices` says why
    let found = if usable() { cuda::devices().unwrap_or_default() } else { Vec::new() };
    found.into_iter().map(|gpu| gpu.map(|gpu| gpu.ordinal).map_err(|e| Failure::new(e.to_string()))).collect()
}

/// The GPUs that there are, for who named one that is not.
fn others() -> String {
    let Ok(devices) = cuda::devices() else { return String::new() };
    let names: Vec<_> = devices.iter().flatten().map(|device| format!("cuda:{}", device.ordinal)).collect();
    if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) }
}

/// The number of a GPU.
pub fn ordinal(device: &Device) -> Option<usize> {
    if let Device::Cuda(cuda) = device { Some(cuda.stream().context().ordinal()) } else { None }
}

/// What a GPU is.
pub fn describe(device: &Device) -> Option<String> {
    let Device::Cuda(cuda) = device else { return None };
    Some(cuda.info().map_or_else(|e| e.to_string(), |info| info.to_string()))
}

/// A row for each library and each GPU: what was found, or why it is missing and how to mend that.
pub fn list(table: &mut Table) {
    let libraries = cuda::probe();
    let missing = libraries.iter().any(Result::is_err);
    for library in libraries {
        table.line("cuda", library.map_or_else(|missing| missing.to_string(), |found| found.to_string()));
    }
    match cuda::devices() {
        Ok(devices) if devices.is_empty() => table.line("cuda", "the driver shows no device"),
        Ok(devices) => devices.into_iter().for_each(|device| match device {
            Ok(device) => table.line("cuda", device),
            Err(refusal) => table.line("cuda", refusal),
        }),
        Err(_) if missing => {} // said above
        Err(error) => table.line("cuda", error),
    }
    match SolverTable::read() {
        Ok(solvers) => solvers.rules.iter().for_each(|rule| table.line("solvers", rule)),
        Err(error) => table.line("solvers", error),
    }
}

/// The compute capabilities of the GPUs that are here.
///
/// # Errors
/// If the driver shows none.
pub fn capabilities() -> Result<Vec<(i32, i32)>> {
    Ok(cuda::devices()?.into_iter().flatten().map(|device| device.capability).collect())
}

/// Compiles the kernels for a capability.
///
/// # Errors
/// If there is no compiler, or nowhere to write.
pub fn warm(capability: (i32, i32), orders: &[usize]) -> Result<Vec<PathBuf>> {
    Ok(cuda::warm(capability, orders)?)
}

/// Copies the numbers within a GPU's memory so many times, when it is called; nothing on another
/// device.
///
/// # Errors
/// If there is no memory for them.
pub fn copier<'a>(device: &'a Device, numbers: &[u64], copies: usize) -> Result<Option<impl FnMut() -> Result<()> + use<'a>>> {
    let Device::Cuda(cuda) = device else { return Ok(None) };
    let stream = cuda.stream();
    let refused = |e: &dyn std::fmt::Display| Failure::new(format!("the copy whose bandwidth is measured: {e}"));
    let from = stream.clone_htod(numbers).map_err(|e| refused(&e))?;
    let mut to = stream.alloc_zeros::<u64>(numbers.len()).map_err(|e| refused(&e))?;
    Ok(Some(move || {
        for _ in 0..copies {
            stream.memcpy_dtod(&from, &mut to).map_err(|e| refused(&e))?;
        }
        cuda.synchronize().map_err(Failure::new)
    }))
}
