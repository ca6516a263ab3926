//! In the place of GPUs, in a program that was built without the feature `cuda`.

use crate::args::SolverName;
use crate::failure::{Failure, Result};
use crate::report::Table;
use eigengrad::{Device, Dtype};
use std::ops::RangeInclusive;
use std::path::PathBuf;

const WITHOUT: &str = "this program was built without the feature cuda";

pub fn usable() -> bool {
    false
}

pub fn open(ordinal: usize, _: Option<SolverName>) -> Result<Device> {
    Err(Failure::new(format!("--device cuda:{ordinal}: {WITHOUT}")))
}

pub fn solvers(_: &Device) -> Vec<(&'static str, Device)> {
    Vec::new()
}

pub fn tune(_: &Device, _: &[(Dtype, RangeInclusive<usize>, &str)]) -> Result<Table> {
    Err(Failure::new(WITHOUT))
}

pub fn ordinals() -> Vec<Result<usize>> {
    Vec::new()
}

pub fn ordinal(_: &Device) -> Option<usize> {
    None
}

pub fn describe(_: &Device) -> Option<String> {
    None
}

pub fn list(table: &mut Table) {
    table.line("cuda", WITHOUT);
}

pub fn capabilities() -> Result<Vec<(i32, i32)>> {
    Err(Failure::new(WITHOUT))
}

pub fn warm(_: (i32, i32), _: &[usize]) -> Result<Vec<PathBuf>> {
    Err(Failure::new(WITHOUT))
}

pub fn copier(_: &Device, _: &[u64], _: usize) -> Result<Option<impl FnMut() -> Result<()>>> {
    Ok(None::<fn() -> _>)
}
