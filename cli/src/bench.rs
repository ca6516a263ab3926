//! `bench`: our passes, on every device that is found, in turn with those of Python packages.

mod arguments;
mod clock;
mod figure;
mod peer;
mod picture;
mod table;
mod work;

pub use arguments::Bench;

use crate::failure::{Failure, Result};
use crate::files::output::Outputs;
use crate::{device, report};
use arguments::Case;
use eigengrad::Device;
use figure::{Figure, Settled};
use indicatif::{ProgressBar, ProgressStyle};
use peer::Peer;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{Heading, Row, distinct};
use work::OURS;

/// How long OpenMP's threads may wait busily for more work: a package that is done should not slow
/// down who is next.
const BUSY: Duration = Duration::from_millis(200);

/// Runs the command: rows as soon as all rounds of a case are measured.
///
/// # Errors
/// Whatever prevents it, and if peers were asked for and none gave a figure.
pub fn run(arguments: &Bench) -> Result<()> {
    let Bench { json, svg, markdown, force, .. } = arguments;
    let (json, svg, markdown) = (writable(json, *force)?, writable(svg, *force)?, writable(markdown, *force)?);
    let devices = device::all(&arguments.hardware)?;
    let mut peers = invite(arguments, &devices)?;
    let turns =
        devices.iter().zip(&peers).map(|(device, peers)| arguments.cases(device).len() * arguments.rounds * (1 + peers.len()));
    let contest = Contest { arguments, bar: bar(turns.sum()) };
    let mut found = Vec::new();
    for (device, peers) in devices.iter().zip(&mut peers) {
        contest.on(device, peers, &mut found)?;
    }
    contest.bar.finish_and_clear();
    let names = distinct(&found, |settled| settled.figure.peer.clone());
    let names: Vec<_> = names.into_iter().filter(|name| name != OURS).collect();
    let default = || devices.iter().map(device::describe).collect::<Vec<_>>().join("; ");
    write(json, || found.iter().map(|settled| Ok(serde_json::to_string(settled).map_err(Failure::new)? + "\n")).collect())?;
    write(svg, || picture::svg(&found, &arguments.title.clone().unwrap_or_else(default)))?;
    write(markdown, || Ok(table::markdown(&found, &names)))?;
    let in_vain = names.is_empty() && !arguments.against.is_empty();
    if in_vain { Err(Failure::new("no peer gave a figure")) } else { Ok(()) }
}

/// A file that may be written, if it is asked for.
fn writable(path: &Option<PathBuf>, force: bool) -> Result<Option<(Outputs, &Path)>> {
    path.as_ref().map(|path| Ok((Outputs::one(path, force)?, path.as_path()))).transpose()
}

fn write(file: Option<(Outputs, &Path)>, text: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some((mut outputs, path)) = file else { return Ok(()) };
    let text = text()?;
    outputs.stage(path, &mut |file| file.write_all(text.as_bytes()))?;
    outputs.commit().map(drop)
}

/// The peers on each device; a line says of each that is not there why.
///
/// # Errors
/// If none of those that were asked for is on any device.
fn invite(arguments: &Bench, devices: &[Device]) -> Result<Vec<Vec<Peer>>> {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for device in devices {
        let (here, not): (Vec<_>, Vec<_>) = distinct(&arguments.against, |&name| name)
            .into_iter()
            .map(|name| Peer::start(name, arguments, device))
            .partition(Result::is_ok);
        peers.push(here.into_iter().flatten().collect());
        missing.extend(not.into_iter().filter_map(Result::err));
    }
    if peers.iter().all(Vec::is_empty) && !missing.is_empty() {
        let reasons: Vec<_> = missing.iter().map(Failure::to_string).collect();
        return Err(Failure::new(reasons.join("; ")));
    }
    missing.iter().for_each(report::complain);
    Ok(peers)
}

/// A bar on stderr, if that is a terminal.
fn bar(turns: usize) -> ProgressBar {
    let bar = ProgressBar::new(turns as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}, {eta} left: {msg}") {
        bar.set_style(style);
    }
    bar
}

/// What all devices have in common.
struct Contest<'a> {
    arguments: &'a Bench,
    bar: ProgressBar,
}

impl Contest<'_> {
    /// All cases of a device.
    fn on(&self, device: &Device, peers: &mut [Peer], found: &mut Vec<Settled>) -> Result<()> {
        let (description, copy) = (device::describe(device), clock::copy_bandwidth(device)?);
        let names: Vec<_> = peers.iter().map(|peer| peer.name.to_string()).collect();
        self.say(&format_args!("{description}; a copy moves {:.1} GB/s\n{}\n", copy / 1e9, Heading(&names)))?;
        for case in self.arguments.cases(device) {
            let figures = self.rounds(device, &case, peers)?;
            let settled = Settled::of(&figures, |pass| work::bytes(device, &case, pass), copy);
            for ours in settled.iter().filter(|settled| settled.figure.peer == OURS) {
                self.say(&format_args!("{}\n", Row { ours, found: &settled, peers: &names }))?;
            }
            found.extend(settled);
        }
        Ok(())
    }

    /// Our figures and those of the peers, in turn, so that noise strikes all alike.
    fn rounds(&self, device: &Device, case: &Case, peers: &mut [Peer]) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for _ in 0..self.arguments.rounds {
            if !peers.is_empty() {
                std::thread::sleep(BUSY);
            }
            self.bar.set_message(format!("{OURS} on {}, {case}", device::name(device)));
            figures.extend(work::measure(device, case, self.arguments.reps)?);
            self.bar.inc(1);
            for peer in &mut *peers {
                self.bar.set_message(format!("{} on {}, {case}", peer.name, device::name(device)));
                match peer.measure(case) {
                    Ok(theirs) => figures.extend(theirs),
                    Err(failure) => self.bar.suspend(|| report::complain(&failure)),
                }
                self.bar.inc(1);
            }
        }
        Ok(figures)
    }

    fn say(&self, text: &impl fmt::Display) -> Result<()> {
        self.bar.suspend(|| report::say(text))
    }
}
