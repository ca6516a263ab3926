//! Case after case until the time is up: [`Run`].

use crate::arguments::{Arguments, Way};
use crate::fact::{self, Value};
use eigengrad::Dtype;
use std::time::{Duration, Instant};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A part of a fact.
pub type Field = (&'static str, Value);

/// Failures in a row after which nothing more is tried: a context that broke refuses everything.
const LAST_FAILURE: usize = 8;

/// What is asked for, how long it may take, and what became of it so far.
#[derive(Debug)]
pub struct Run {
    start: Instant,
    time: Duration,
    pub elements: usize,
    pub reps: usize,
    pub dtypes: Vec<Dtype>,
    orders: Vec<usize>,
    pub ways: Vec<Way>,
    done: usize,
    failed: usize,
    in_a_row: usize,
    not_begun: usize,
}

impl Run {
    pub fn new(arguments: &Arguments) -> Self {
        let Arguments { time, elements, reps, dtypes, orders, ways, .. } = arguments.clone();
        Self { start: Instant::now(), time, elements, reps, dtypes, orders, ways, done: 0, failed: 0, in_a_row: 0, not_begun: 0 }
    }

    /// The orders that were asked for, or these.
    pub fn orders(&self, usual: &[usize]) -> Vec<usize> {
        if self.orders.is_empty() { usual.to_vec() } else { self.orders.clone() }
    }

    /// Whether there is time for another case.
    pub fn goes_on(&self) -> bool {
        self.start.elapsed() < self.time && self.in_a_row < LAST_FAILURE
    }

    /// Does the work of one case and says what it found, or why it failed.
    pub fn case(&mut self, name: &str, mut labels: Vec<Field>, work: impl FnOnce() -> Result<Vec<Field>>) {
        if !self.goes_on() {
            self.not_begun += 1;
            return;
        }
        self.done += 1;
        match work() {
            Ok(found) => {
                self.in_a_row = 0;
                labels.extend(found);
            }
            Err(error) => {
                self.failed += 1;
                self.in_a_row += 1;
                labels.push(("error", error.to_string().into()));
            }
        }
        fact::say(name, &labels);
    }

    /// Says how it went. Cases that failed are facts, too; a run in which all did is a failure.
    pub fn end(&self) -> Result<()> {
        let Self { done, failed, not_begun, .. } = *self;
        let seconds = self.start.elapsed().as_secs_f64();
        let fields =
            [("cases", done.into()), ("failed", failed.into()), ("not_begun", not_begun.into()), ("seconds", seconds.into())];
        fact::say("end", &fields);
        if done > 0 && done == failed { Err("every case failed".into()) } else { Ok(()) }
    }
}

/// Calls a function that is generic in the number type for a type that is known at run time.
macro_rules! in_type {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            eigengrad::Dtype::F64 => $function::<f64>($($argument),*),
            eigengrad::Dtype::Complex64 => $function::<num_complex::Complex<f32>>($($argument),*),
            eigengrad::Dtype::Complex128 => $function::<num_complex::Complex<f64>>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}
pub(crate) use in_type;
