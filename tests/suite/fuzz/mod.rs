//! The whole interface under arbitrary input, through the boundary that names types at run time:
//! whatever comes, results or an error, no panic, and what the contract promises of any input. For
//! 2 seconds, or as many as `EIGENGRAD_FUZZ_SECONDS` says, from a seed of the clock or that of
//! `EIGENGRAD_FUZZ_SEED`.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test")]

mod round;
mod source;

use source::Source;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime};

fn of_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn whatever_comes_gives_results_or_an_error() {
    let seconds = of_environment("EIGENGRAD_FUZZ_SECONDS").unwrap_or(2);
    let of_clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let first = of_environment("EIGENGRAD_FUZZ_SEED").unwrap_or_else(of_clock);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    for seed in first.. {
        let done = catch_unwind(AssertUnwindSafe(|| round::round(&mut Source::seeded(seed))));
        if let Err(panic) = done {
            eprintln!("again, by itself: EIGENGRAD_FUZZ_SEED={seed} EIGENGRAD_FUZZ_SECONDS=0");
            resume_unwind(panic);
        }
        rounds += 1;
        if Instant::now() >= end {
            break;
        }
    }
    eprintln!("{rounds} rounds from seed {first}");
}
