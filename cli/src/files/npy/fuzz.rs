//! The .npy door under files that lie: random mutations of valid files give an array or a reason,
//! never a panic.
//!
//! `EIGENGRAD_FUZZ_SECONDS=300 cargo test --release -p eigengrad-cli fuzz -- --nocapture` goes on
//! for five minutes.

use super::elements;
use crate::files::header::{self, Header};
use eigengrad::{Cpu, Device, Element, Engine, Operation, dispatch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 30_000;
const TOKENS: [&[u8]; 16] = [
    b"{",
    b"}",
    b"[",
    b"(",
    b")",
    b"'",
    b"\"",
    b",",
    b":",
    b"-1",
    b"99999999999999999999",
    b"4294967296",
    b"True",
    b"'descr'",
    b"shape",
    b"\xff\x00",
];

/// Reads the elements and tells how many there are.
struct Count<'a> {
    header: &'a Header,
    data: &'a [u8],
}

impl Operation for Count<'_> {
    type Output = Result<usize, String>;
    fn run<T: Element, B: Engine<T::Scalar>>(self, _: &B) -> Self::Output {
        elements::<T>(&mut &*self.data, self.header).map(|array| array.len())
    }
}

fn valid(random: &mut StdRng) -> Vec<u8> {
    let (code, size) = [("f2", 2), ("f4", 4), ("f8", 8), ("c8", 8), ("c16", 16)][random.random_range(0..5)];
    let shape: Vec<usize> = (0..random.random_range(0..5)).map(|_| random.random_range(0..4)).collect();
    let mut bytes = header::write(code, &shape);
    let text = String::from_utf8_lossy(&bytes[10..]).into_owned();
    let text = if random.random() { text.replace("False", " True") } else { text };
    let text = if random.random() { text.replace('<', ">") } else { text };
    bytes.truncate(10);
    bytes.extend(text.bytes());
    bytes.extend((0..size * shape.iter().product::<usize>()).map(|_| random.random::<u8>()));
    bytes
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let at = random.random_range(0..=bytes.len().min(140));
    match random.random_range(0..8) {
        0 => bytes.truncate(random.random_range(0..=bytes.len())),
        1 => bytes.extend((0..random.random_range(1..40)).map(|_| random.random::<u8>())),
        2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        3 if at < bytes.len() => bytes[at] = random.random(),
        4 if bytes.len() > 12 => bytes[6 + random.random_range(0..6)] = random.random_range(0..4),
        5 => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            bytes.splice(at..at, token.repeat(random.random_range(1..200)));
        }
        6 => {
            let end = random.random_range(at..=bytes.len());
            bytes.drain(at..end);
        }
        _ => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            let end = (at + token.len()).min(bytes.len());
            bytes.splice(at..end, token.iter().copied());
        }
    }
    if bytes.len() > 10 && random.random_ratio(1, 2) {
        // An honest header length, so that the mutation reaches the parser.
        let text = bytes[10..].iter().position(|&byte| byte == b'\n').map_or(bytes.len() - 10, |end| end + 1);
        bytes[8..10].copy_from_slice(&(text.min(65_535) as u16).to_le_bytes());
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "what ran is what a long run is asked for")]
fn fuzz() {
    let seconds = std::env::var("EIGENGRAD_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let (start, limit) = (Instant::now(), seconds.map(Duration::from_secs));
    let mut random = StdRng::seed_from_u64(limit.map_or(0, |limit| limit.as_secs()));
    let (mut rounds, mut read, mut empty) = (0, 0u64, 0u64);
    while limit.map_or(rounds < ROUNDS, |limit| start.elapsed() < limit) {
        rounds += 1;
        let mut bytes = valid(&mut random);
        (0..random.random_range(0..4)).for_each(|_| mutate(&mut bytes, &mut random));
        let mut rest = &bytes[..];
        let Ok(header) = Header::read(&mut rest, bytes.len() as u64) else { continue };
        let data = rest.to_vec();
        let count = dispatch(header.dtype, &Device::Cpu(Cpu::default()), Count { header: &header, data: &data });
        assert_eq!(count.map(|count| count * header.element_size()), Ok(data.len()), "{header:?}");
        read += 1;
        empty += u64::from(data.is_empty());
    }
    println!("{rounds} files, {read} of them read, {empty} of these empty, in {:?}", start.elapsed());
    assert!(read > rounds / 10 && read < rounds);
}
