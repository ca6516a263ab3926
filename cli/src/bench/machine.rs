//! What figures were measured on, and how: the first line of a file of results.

use eigengrad::Cpu;
use serde::Serialize;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine, the program and its arguments.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor's own name, if the system tells it.
    cpu: Option<String>,
    threads: usize,
    instruction_set: &'static str,
    version: &'static str,
    /// The commit of the checkout that the program lies in.
    commit: Option<String>,
    arguments: Vec<String>,
    /// Of the day of the run, in universal time.
    date: String,
}

impl Machine {
    /// This machine, now.
    pub fn here(threads: usize) -> Self {
        Self {
            cpu: processor(),
            threads,
            instruction_set: Cpu::default().instruction_set(),
            version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            arguments: std::env::args().skip(1).collect(),
            date: date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)),
        }
    }
}

fn processor() -> Option<String> {
    let said = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = said.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}

fn commit() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let said = Command::new("git").arg("-C").arg(program.parent()?).args(["rev-parse", "HEAD"]).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// The programs that want to run, a mean over the last minute, if the system tells it.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Year, month and day of so many days since 1970, by the calendar of years that begin in March.
fn date(days: u64) -> String {
    let (era, of_era) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        let dates =
            [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (19_782, "2024-02-29"), (20_787, "2026-11-30")];
        for (days, expected) in dates {
            assert_eq!(date(days), expected);
        }
    }
}
