//! The whole interface by choices of a fuzzer: the rounds of tests/suite/fuzz.
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failure is what is sought")]

#[path = "../../tests/suite/fuzz/round.rs"]
mod round;
#[path = "../../tests/suite/fuzz/source.rs"]
mod source;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| round::round(&mut source::Source::of_bytes(bytes)));
