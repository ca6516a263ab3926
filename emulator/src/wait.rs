//! What threads of a block wait for, and who is let go.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};

/// The line of the source that waits, with its file.
pub(crate) type Site = (c_int, *const c_char);

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// All threads of the block; how many of them count.
    Block { counts: bool, site: Site },
    /// The lanes of a mask; the value of lane `source`, or for 32 or more which lanes gave one that
    /// is not zero; 33 orders memory.
    Warp { mask: u32, value: u64, source: u32, site: Site },
}

/// The source of `__syncwarp`.
const ORDERS: u32 = 33;

/// How many barriers have been passed: by the block, and by each warp.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) block: u32,
    pub(crate) warps: [u32; 32],
}

/// A thread of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    New,
    Waiting(Wait),
    /// It runs or is about to, with the result of its wait.
    Released(u64),
    Ended,
}

fn is_same(a: Site, b: Site) -> bool {
    // SAFETY: both files are string literals of the kernel's source.
    a.0 == b.0 && (a.1 == b.1 || unsafe { CStr::from_ptr(a.1) == CStr::from_ptr(b.1) })
}

fn name(site: Site) -> String {
    // SAFETY: as above.
    format!("{}:{}", unsafe { CStr::from_ptr(site.1) }.to_string_lossy(), site.0)
}

/// Lets go whoever waits for what has happened.
///
/// # Errors
/// Where everyone waits who is, and nothing can happen.
pub(crate) fn release(threads: &mut [State], ready: &mut Vec<u32>, passed: &mut Passed) -> Result<(), String> {
    if release_block(threads, ready) {
        passed.block += 1;
    } else {
        for (warp, lanes) in threads.chunks_mut(32).enumerate() {
            if release_warp(lanes, warp as u32 * 32, ready)? {
                passed.warps[warp] += 1;
            }
        }
    }
    if ready.is_empty() { Err(divergence(threads)) } else { Ok(()) }
}

fn release_block(threads: &mut [State], ready: &mut Vec<u32>) -> bool {
    let State::Waiting(Wait::Block { site, .. }) = threads[0] else { return false };
    let mut count = 0;
    for thread in &*threads {
        match thread {
            State::Waiting(Wait::Block { counts, site: other }) if is_same(site, *other) => count += u64::from(*counts),
            _ => return false,
        }
    }
    threads.fill(State::Released(count));
    ready.extend(0..threads.len() as u32);
    true
}

/// Lanes whose mask names the same lanes at the same line. Lanes that the block does not have need
/// not be there. Whether the memory of the whole warp is in order now.
fn release_warp(lanes: &mut [State], first: u32, ready: &mut Vec<u32>) -> Result<bool, String> {
    let mut orders = false;
    let present = u32::MAX >> (32 - lanes.len());
    for lane in 0..lanes.len() {
        let State::Waiting(Wait::Warp { mask, site, .. }) = lanes[lane] else { continue };
        if mask >> lane & 1 == 0 {
            return Err(format!("thread {} is not in its own mask {mask:#010x} at {}", first + lane as u32, name(site)));
        }
        let members: Vec<usize> = (0..lanes.len()).filter(|member| (mask & present) >> member & 1 == 1).collect();
        let mut gave = [None; 32];
        for &member in &members {
            match lanes[member] {
                State::Waiting(Wait::Warp { mask: of, value, source, site: at }) if of == mask && is_same(at, site) => {
                    gave[member] = Some((value, source));
                }
                _ => break,
            }
        }
        if members.iter().any(|member| gave[*member].is_none()) {
            continue;
        }
        let votes =
            (0..32).filter(|lane| gave[*lane].is_some_and(|(value, _)| value != 0)).fold(0, |votes, lane| votes | 1_u64 << lane);
        orders |= members.len() == lanes.len() && gave.iter().flatten().all(|(_, source)| *source == ORDERS);
        for &member in &members {
            let source = gave[member].map_or(32, |(_, source)| source as usize);
            // The value of a lane that takes no part is undefined: a NaN.
            let result = if source >= 32 { votes } else { gave[source].map_or(u64::MAX, |(value, _)| value) };
            lanes[member] = State::Released(result);
            ready.push(first + member as u32);
        }
    }
    Ok(orders)
}

/// Who waits where.
fn divergence(threads: &[State]) -> String {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for thread in threads {
        let place = match thread {
            State::Waiting(Wait::Block { site, .. }) => format!("wait for the block at {}", name(*site)),
            State::Waiting(Wait::Warp { mask, site, .. }) => format!("wait for the lanes {mask:#010x} at {}", name(*site)),
            State::Ended => "have ended".to_owned(),
            State::New | State::Released(_) => "run".to_owned(),
        };
        *places.entry(place).or_default() += 1;
    }
    let places: Vec<_> = places.iter().map(|(place, count)| format!("{count} threads {place}")).collect();
    format!("divergent barrier: {}", places.join(", "))
}
