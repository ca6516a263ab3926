//! `bench`: our passes, on every device that is found, in turn with those of Python packages.

mod arguments;
mod clock;
mod figure;
mod machine;
mod peer;
mod picture;
mod solvers;
mod table;
mod work;

pub use arguments::Bench;

use crate::failure::{Failure, Result};
use crate::files::output::Outputs;
use crate::{device, gpu, report};
use arguments::Case;
use eigengrad::Device;
use figure::{Figure, Settled};
use indicatif::{ProgressBar, ProgressStyle};
use machine::Machine;
use peer::Peer;
use serde_json::json;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
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
    let mut files = Files::of(arguments)?;
    let devices = device::all(&arguments.hardware)?;
    let mut peers = invite(arguments, &devices)?;
    let turns =
        devices.iter().zip(&peers).map(|(device, peers)| arguments.cases(device).len() * arguments.rounds * (1 + peers.len()));
    let contest = Contest { arguments, bar: bar(turns.sum()) };
    let title = || devices.iter().map(device::describe).collect::<Vec<_>>().join("; ");
    files.title = arguments.title.clone().unwrap_or_else(title);
    let mut found = Vec::new();
    for (device, peers) in devices.iter().zip(&mut peers) {
        contest.on(device, peers, &mut found, &mut files)?;
    }
    contest.bar.finish_and_clear();
    if table::unsteady(&found, &names(&found)) {
        report::say(&table::Noise)?;
    }
    if arguments.tune {
        let gpus: Vec<_> = devices.iter().filter(|device| !matches!(device, Device::Cpu(_))).collect();
        if gpus.is_empty() {
            return Err(Failure::new("--tune chooses among a GPU's solvers, and no GPU was timed"));
        }
        gpus.into_iter().try_for_each(|gpu| report::say(&gpu::tune(gpu, &solvers::fastest(&found, &device::name(gpu)))?))?;
    }
    let of_peers = found.iter().any(|settled| arguments.against.iter().any(|peer| peer.to_string() == settled.figure.peer));
    if arguments.against.is_empty() || of_peers { Ok(()) } else { Err(Failure::new("no peer gave a figure")) }
}

/// The peers and solvers that gave figures.
fn names(found: &[Settled]) -> Vec<String> {
    distinct(found, |settled| settled.figure.peer.clone()).into_iter().filter(|name| name != OURS).collect()
}

/// The files that were asked for. They are written whenever a case has ended, so that an interrupt
/// leaves what is known.
struct Files<'a> {
    arguments: &'a Bench,
    title: String,
    force: bool,
}

impl<'a> Files<'a> {
    /// # Errors
    /// If one may not be written.
    fn of(arguments: &'a Bench) -> Result<Self> {
        let Bench { json, svg, markdown, force, .. } = arguments;
        [json, svg, markdown].into_iter().flatten().try_for_each(|path| Outputs::one(path, *force).map(drop))?;
        Ok(Self { arguments, title: String::new(), force: *force })
    }

    fn write(&mut self, found: &[Settled]) -> Result<()> {
        let Bench { json, svg, markdown, .. } = self.arguments;
        self.one(json, || {
            let machine = Machine::here(self.arguments.hardware.threads.unwrap_or_else(rayon::current_num_threads));
            let lines =
                std::iter::once(Ok(json!({ "machine": machine }).to_string())).chain(found.iter().map(serde_json::to_string));
            lines.map(|line| Ok(line.map_err(Failure::new)? + "\n")).collect()
        })?;
        self.one(svg, || picture::svg(found, &self.title))?;
        self.one(markdown, || Ok(table::markdown(found, &names(found))))?;
        self.force = true; // what is there now is ours
        Ok(())
    }

    fn one(&self, path: &Option<PathBuf>, text: impl FnOnce() -> Result<String>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        let (mut outputs, text): (_, String) = (Outputs::one(path, self.force)?, text()?);
        outputs.stage(path, &mut |file| file.write_all(text.as_bytes()))?;
        outputs.commit().map(drop)
    }
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
    fn on(&self, device: &Device, peers: &mut [Peer], found: &mut Vec<Settled>, files: &mut Files<'_>) -> Result<()> {
        let (description, copy) = (device::describe(device), clock::copy_bandwidth(device)?);
        // Where no solver is named all that there are take turns, too.
        let solvers = if self.arguments.hardware.solver.is_none() { gpu::solvers(device) } else { Vec::new() };
        let peer_names = peers.iter().map(|peer| peer.name.to_string());
        let names: Vec<_> = solvers.iter().map(|(name, _)| (*name).to_owned()).chain(peer_names).collect();
        self.say(&format_args!("{description}; a copy moves {:.1} GB/s\n{}\n", copy / 1e9, Heading(&names)))?;
        for case in self.arguments.cases(device) {
            let figures = self.rounds(device, &case, &solvers, peers)?;
            let settled = Settled::of(&figures, |pass| work::bytes(device, &case, pass), copy);
            for ours in settled.iter().filter(|settled| settled.figure.peer == OURS) {
                self.say(&format_args!("{}\n", Row { ours, found: &settled, peers: &names }))?;
            }
            found.extend(settled);
            files.write(found)?;
        }
        Ok(())
    }

    /// Our figures and those of the peers, in turn, so that noise strikes all alike.
    fn rounds(
        &self,
        device: &Device,
        case: &Case,
        solvers: &[(&'static str, Device)],
        peers: &mut [Peer],
    ) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for round in 0..self.arguments.rounds {
            if !peers.is_empty() {
                std::thread::sleep(BUSY);
            }
            self.bar.set_message(format!("{OURS} on {}, {case}", device::name(device)));
            figures.extend(work::measure(device, case, self.arguments.reps)?);
            self.bar.inc(1);
            for (name, device) in solvers {
                self.bar.set_message(format!("{name} on {}, {case}", device::name(device)));
                match work::measure_solver(name, device, case, self.arguments.reps) {
                    Ok(figure) => figures.extend(figure),
                    // Once a case: it may not take such matrices.
                    Err(failure) if round == 0 => {
                        self.bar.suspend(|| report::complain(&format_args!("{name}, {case}: {failure}")));
                    }
                    Err(_) => {}
                }
            }
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
