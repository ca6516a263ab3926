//! Measures the CUDA backend and prints a line of JSON for each figure: gpu SECTION [--seconds N]
//! [--elements N] [--reps N] …
#![allow(missing_docs, reason = "a program")]

mod accuracy;
mod arguments;
mod backward;
mod calculus;
mod capture;
mod clock;
mod cold;
#[allow(dead_code, unused_imports, unused_macros, reason = "not all of it is of use here")]
#[path = "../../tests/conformance/fact.rs"]
mod fact;
mod forward;
mod input;
mod run;

use arguments::{Arguments, Section};
use eigengrad::cuda::Cuda;
use run::Run;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|arguments| measure(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> run::Result<()> {
    let mut run = Run::new(arguments);
    match arguments.section {
        Section::None => return Ok(std::io::stderr().write_all(arguments::USAGE.as_bytes())?),
        Section::Cold => cold::measure(&mut run)?,
        Section::Copy => clock::copy(&mut run, &Cuda::new(0)?),
        Section::Forward => forward::measure(&mut run, &Cuda::new(0)?),
        Section::Backward => backward::measure(&mut run, &Cuda::new(0)?),
        Section::Calculus => calculus::measure(&mut run, &Cuda::new(0)?),
        Section::Accuracy => accuracy::measure(&mut run, &Cuda::new(0)?),
        Section::Capture => capture::measure(&mut run)?,
        Section::Times => {
            let cuda = Cuda::new(0)?;
            forward::beside_peers(&mut run, &cuda);
            backward::beside_peers(&mut run, &cuda);
        }
    }
    run.end()
}
