//! What is asked of a decomposition, as numbers that pass through any framework: [`Request`].

use eigengrad::{Cut, Dropped, Function, Options, Precision, Read, TieRule};

/// Tolerances, of which a negative one stands for the default; the largest rank, negative for any;
/// and choices, each in bits of its own.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub atol: f64,
    pub rtol: f64,
    pub tie_rtol: f64,
    pub rank: i64,
    /// From the lowest bit: [`Read`] in two, "keep all" in one, [`TieRule`] in two, [`Dropped`] in
    /// one, [`Precision`] in three. `eigengrad/_request.py` writes them.
    pub choices: i64,
}

/// How many bits each choice has.
const BITS: [u32; 5] = [2, 1, 2, 1, 3];

impl Request {
    fn choices(&self) -> [i64; 5] {
        let mut rest = self.choices;
        BITS.map(|bits| {
            let choice = rest & ((1 << bits) - 1);
            rest >>= bits;
            choice
        })
    }

    /// What is read of A.
    pub fn read(&self) -> Read {
        match self.choices()[0] {
            0 => Read::Lower,
            1 => Read::Upper,
            2 => Read::Compared,
            _ => Read::Mean,
        }
    }

    /// The options of the library.
    pub fn options(&self) -> Options {
        let [_, keep_all, ties, dropped, precision] = self.choices();
        let given = |x: f64| (x >= 0.0 || x.is_nan()).then_some(x);
        let mut cut = if keep_all == 1 { Cut::none() } else { Cut::default() };
        if let Some(atol) = given(self.atol) {
            cut = cut.with_atol(atol);
        }
        if let Some(rtol) = given(self.rtol) {
            cut = cut.with_rtol(rtol);
        }
        if let Ok(rank) = usize::try_from(self.rank) {
            cut = cut.with_at_most(rank);
        }
        cut = match precision {
            1 => cut.with_computed_in(Precision::F16),
            2 => cut.with_computed_in(Precision::Bf16),
            3 => cut.with_computed_in(Precision::F32),
            4 => cut.with_computed_in(Precision::F64),
            _ => cut,
        };
        let ties = match ties {
            0 => TieRule::ZeroAndReport,
            1 => TieRule::Exact,
            _ => TieRule::Error,
        };
        let dropped = if dropped == 1 { Dropped::Zero } else { Dropped::AsComputed };
        Options::default().with_cut(cut).with_ties(ties).with_tie_rtol(given(self.tie_rtol)).with_dropped(dropped)
    }
}

/// A function by its number, as `eigengrad/_request.py` counts them.
pub fn function(number: i64, exponent: f64) -> Function {
    match number {
        0 => Function::Projector,
        1 => Function::Sqrt,
        2 => Function::Rsqrt,
        3 => Function::Pinv,
        4 => Function::Log,
        5 => Function::Exp,
        6 => Function::XLogX,
        _ => Function::Pow(exponent),
    }
}
