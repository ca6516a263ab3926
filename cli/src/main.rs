//! The command line of eigengrad.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod chart;
mod decompose;
mod device;
mod failure;
mod fit;
mod header;
mod hermitian;
mod hvp;
mod jvp;
mod load;
mod npy;
mod output;
mod projector;
mod report;
mod residual;
mod spectral;
mod vjp;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Decompose(arguments) => decompose::run(&arguments),
        Command::Vjp(arguments) => vjp::run(&arguments),
        Command::Jvp(arguments) => jvp::run(&arguments),
        Command::Hvp(arguments) => hvp::run(&arguments),
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
