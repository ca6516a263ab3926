//! Random orders: of blocks, place ↦ (a·place + b) mod count with a prime to count, which takes no
//! memory; of threads, a shuffle.

/// An order of 0..count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    factor: u64,
    first: u64,
    count: u64,
}

impl Order {
    pub(crate) fn new(seed: u64, count: u64) -> Self {
        let mut factor = (mix(seed) % count.max(1)) | 1;
        while divisor(factor, count) != 1 {
            factor += 2;
        }
        Self { factor, first: mix(seed.wrapping_add(1)) % count.max(1), count }
    }

    /// What comes at a place.
    pub(crate) fn at(&self, place: u64) -> u64 {
        ((u128::from(self.factor) * u128::from(place) + u128::from(self.first)) % u128::from(self.count)) as u64
    }
}

fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// splitmix64.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// xorshift64*, which never stands at zero.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed) | 1)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    pub(crate) fn shuffle(&mut self, order: &mut [u32]) {
        for last in (1..order.len()).rev() {
            let other = (u64::from(self.next()) * (last as u64 + 1)) >> 32;
            order.swap(last, other as usize);
        }
    }
}
