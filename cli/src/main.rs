//! The command line of eigengrad.
#![forbid(unsafe_code)]

mod args;
mod backward;
mod bench;
mod device;
mod double_backward;
mod eigh;
mod failure;
mod files;
mod fit;
#[cfg_attr(not(feature = "cuda"), path = "no_gpu.rs")]
mod gpu;
mod jvp;
mod projector;
mod report;
mod spectral;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Eigh(arguments) => eigh::run(&arguments),
        Command::Backward(arguments) => backward::run(&arguments),
        Command::Jvp(arguments) => jvp::run(&arguments),
        Command::DoubleBackward(arguments) => double_backward::run(&arguments),
        Command::Hvp(arguments) => {
            report::complain(&"warning: hvp is double-backward, not the Hessian of a loss times a vector: take that name");
            double_backward::run(&arguments)
        }
        Command::Spectral(arguments) => spectral::run(&arguments),
        Command::Projector(arguments) => projector::run(&arguments),
        Command::Fit(arguments) => fit::run(&arguments),
        Command::Devices => report::say(&device::list()),
        Command::Warm(arguments) => device::warm(&arguments.capability, &arguments.n).and_then(|table| report::say(&table)),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::complain(&failure);
            ExitCode::from(2)
        }
    }
}
