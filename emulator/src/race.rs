//! Races: accesses of two threads to one byte, one of them a write, that no barrier orders.
//!
//! A kernel that g++ compiled with -fsanitize=thread calls the hooks of runtime/race.hpp before
//! each access. Block barriers order the threads of a block, and `__syncwarp` the lanes of a warp.
//! Shuffles and votes order no memory, nor does anything order two blocks.

use std::collections::HashMap;
use std::ffi::c_void;
use std::hash::{BuildHasherDefault, Hasher};

/// A thread of a launch, and how many barriers it has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Counted from 1: 0 is nobody.
    pub(crate) block: u32,
    pub(crate) thread: u32,
    pub(crate) block_barriers: u32,
    pub(crate) warp_barriers: u32,
}

impl Moment {
    fn is_same_warp(self, other: Self) -> bool {
        self.block == other.block && self.thread / 32 == other.thread / 32
    }

    /// Whether what happened then is before what happens now.
    fn is_before(self, now: Self) -> bool {
        self.block == now.block
            && (self.block_barriers != now.block_barriers
                || self.thread == now.thread
                || (self.is_same_warp(now) && self.warp_barriers != now.warp_barriers))
    }

    /// Whether whoever races with this, from now on, races with `now`.
    fn is_covered_by(self, now: Self) -> bool {
        self.block == now.block
            && (self.block_barriers != now.block_barriers
                || self.thread == now.thread
                || (self.is_same_warp(now) && self.warp_barriers < now.warp_barriers))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Access {
    at: Moment,
    code: usize,
}

impl Access {
    fn exists(&self) -> bool {
        self.at.block != 0
    }
}

/// The last write to a byte, and two reads since: if none covers the other, everyone else's write
/// races with one of them.
#[derive(Clone, Copy, Debug, Default)]
struct Byte {
    write: Access,
    reads: [Access; 2],
}

impl Byte {
    /// The earlier access that this one races with; whether that was a write.
    fn access(&mut self, now: Access, writes: bool) -> Option<(Access, bool)> {
        let races = |then: &Access| then.exists() && !then.at.is_before(now.at);
        if races(&self.write) {
            return Some((self.write, true));
        }
        if writes {
            if let Some(read) = self.reads.iter().find(|read| races(read)) {
                return Some((*read, false));
            }
            *self = Self { write: now, reads: Default::default() };
        } else {
            for read in self.reads.iter_mut().filter(|read| read.at.is_covered_by(now.at)) {
                *read = Access::default();
            }
            if let Some(free) = self.reads.iter_mut().find(|read| !read.exists()) {
                *free = now;
            } else if self.reads[0].at.is_same_warp(self.reads[1].at) && !self.reads[0].at.is_same_warp(now.at) {
                self.reads[1] = now; // a barrier of their warp would end what both tell
            }
        }
        None
    }
}

const PAGE: usize = 1024;

/// What is known of the bytes that a launch has touched.
#[derive(Debug, Default)]
pub(crate) struct Shadow(HashMap<usize, Box<[Byte; PAGE]>, BuildHasherDefault<Spread>>);

/// A hash of one number, in two instructions.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, page: usize) {
        self.0 = (self.0 ^ page as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shadow {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The memory is new to the block that begins.
    pub(crate) fn forget(&mut self, start: usize, bytes: usize) {
        for page in start / PAGE..=(start + bytes) / PAGE {
            if let Some(known) = self.0.get_mut(&page) {
                let from = start.max(page * PAGE) - page * PAGE;
                let to = (start + bytes).min((page + 1) * PAGE) - page * PAGE;
                known[from..to].fill(Byte::default());
            }
        }
    }

    /// What is wrong with an access.
    pub(crate) fn access(&mut self, start: usize, bytes: usize, writes: bool, code: usize, at: Moment) -> Option<String> {
        let now = Access { at, code };
        let end = start + bytes;
        (start / PAGE..=(end - 1) / PAGE).find_map(|page| {
            let known = self.0.entry(page).or_insert_with(|| Box::new([Byte::default(); PAGE]));
            let (from, to) = (start.max(page * PAGE) - page * PAGE, end.min((page + 1) * PAGE) - page * PAGE);
            let (then, wrote) = known[from..to].iter_mut().find_map(|byte| byte.access(now, writes))?;
            Some(format!("a race: {}, and {}, at {start:#x}, with no barrier between", told(then, wrote), told(now, writes)))
        })
    }
}

fn told(access: Access, wrote: bool) -> String {
    let Moment { block, thread, .. } = access.at;
    let verb = if wrote { "wrote" } else { "read" };
    format!("thread {thread} of block {} {verb} in {}", block - 1, place(access.code))
}

/// The functions and lines of an address that a call returns to: those that were inlined come
/// first.
fn place(code: usize) -> String {
    // SAFETY: zeros are a value of the structure, which the call fills.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for.
    if unsafe { libc::dladdr(code as *const c_void, &raw mut info) } == 0 || info.dli_fname.is_null() {
        return format!("{code:#x}");
    }
    // SAFETY: dladdr gave a string that lives as long as the library.
    let file = unsafe { std::ffi::CStr::from_ptr(info.dli_fname) }.to_string_lossy().into_owned();
    let offset = format!("{:#x}", code - info.dli_fbase.addr() - 1);
    let asked =
        std::process::Command::new("addr2line").args(["-i", "-s", "-e", &file, &offset]).env_remove("LD_PRELOAD").output();
    let lines = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let lines: Vec<_> = lines.lines().filter(|line| !line.contains("eigengrad_emulator")).collect();
    if lines.is_empty() { format!("{file}+{offset}") } else { lines.join(" < ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(block: u32, thread: u32, block_barriers: u32, warp_barriers: u32) -> Moment {
        Moment { block, thread, block_barriers, warp_barriers }
    }

    /// Random accesses, beside a list of all of them.
    #[test]
    fn as_if_all_were_kept() {
        let mut state = 1_u64;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) as u32) % below
        };
        let mut races = 0;
        for _ in 0..20_000 {
            let (mut byte, mut all) = (Byte::default(), Vec::<(Moment, bool)>::new());
            let (mut block, mut of_block, mut of_warp) = (1, 0, [0; 2]);
            for _ in 0..12 {
                match random(8) {
                    0 => of_block += 1,
                    1 | 2 => of_warp[random(2) as usize] += 1,
                    3 if random(8) == 0 => (block, of_block, of_warp) = (block + 1, 0, [0; 2]),
                    _ => {}
                }
                let thread = [0, 1, 2, 32, 33][random(5) as usize];
                let now = at(block, thread, of_block, of_warp[thread as usize / 32]);
                let writes = random(4) == 0;
                let expected = all.iter().any(|(then, wrote)| (*wrote || writes) && !then.is_before(now));
                let found = byte.access(Access { at: now, code: 0 }, writes).is_some();
                assert_eq!(found, expected, "{all:?}, {now:?}");
                if found {
                    races += 1;
                    break;
                }
                all.push((now, writes));
            }
        }
        assert!(races > 1000);
    }
}
