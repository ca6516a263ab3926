//! The .npy door of the command line under any bytes.
#![no_main]
#![allow(dead_code, reason = "of the command line's files this takes the reader alone")]

#[path = "../../cli/src/failure.rs"]
mod failure;
#[path = "../../cli/src/files"]
mod files {
    pub mod header;
    pub mod npy;
}

use eigengrad::{Cpu, Device, Element, Engine, Operation, dispatch};
use files::header::Header;

/// Reads what follows a header.
struct Elements<'a>(&'a Header, &'a [u8]);

impl Operation for Elements<'_> {
    type Output = ();

    fn run<T: Element, B: Engine<T::Scalar>>(self, _: &B) {
        let Self(header, mut data) = self;
        drop(files::npy::elements::<T>(&mut data, header));
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    if let Ok(header) = Header::read(&mut rest, bytes.len() as u64) {
        dispatch(header.dtype, &Device::Cpu(Cpu::inline()), Elements(&header, rest));
    }
});
