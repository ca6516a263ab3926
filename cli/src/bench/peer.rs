//! A Python package in a process of its own, benches/peers/eigh_peers.py, which is asked for one
//! case at a time.

use super::arguments::{Bench, Case, PeerName};
use super::figure::Figure;
use crate::device;
use crate::failure::Failure;
use crate::gpu;
use eigengrad::Device;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Modules are not sought in the directory at hand, where any file may have the name of one.
const SCRIPT: &str = concat!(
    "import sys; sys.path = [place for place in sys.path if place]\n",
    include_str!("../../../benches/peers/eigh_peers.py")
);
/// Bytes of a line, at most.
const LINE: u64 = 1 << 16;

/// A package on one device. It may die of a case, and goes on with the next in a new process.
#[derive(Debug)]
pub struct Peer {
    /// The package.
    pub name: PeerName,
    device: String,
    command: Command,
    process: Option<Process>,
    answered: bool,
    failed: Vec<Case>,
}

impl Peer {
    /// Starts the package.
    ///
    /// # Errors
    /// The reason if it cannot be had.
    pub fn start(name: PeerName, arguments: &Bench, device: &Device) -> Result<Self, Failure> {
        let mut command = Command::new(&arguments.python);
        let kind = if gpu::ordinal(device).is_some() { "cuda" } else { "cpu" };
        command.args(["-c", SCRIPT, "--requests", "--peers", &name.to_string(), "--device", kind]);
        command.args(["--reps", &arguments.reps.to_string()]);
        // JAX would take most of the GPU's memory, which the others need, and put a remark where
        // others have the reason of an error.
        command.envs([("XLA_PYTHON_CLIENT_PREALLOCATE", "false"), ("JAX_TRACEBACK_FILTERING", "off")]);
        if let Some(ordinal) = gpu::ordinal(device) {
            command.env("CUDA_VISIBLE_DEVICES", visible(ordinal));
        }
        if let Some(threads) = arguments.hardware.threads {
            command.envs(["OMP_NUM_THREADS", "MKL_NUM_THREADS"].map(|variable| (variable, threads.to_string())));
        }
        let mut peer = Self { name, device: device::name(device), command, process: None, answered: false, failed: Vec::new() };
        peer.process = Some(Process::start(&mut peer.command, name).map_err(|e| peer.failure(e))?);
        Ok(peer)
    }

    /// The package's figures, none for a case that has failed before.
    ///
    /// # Errors
    /// The reason if it gave none. A package that never gave any is not asked again.
    pub fn measure(&mut self, case: &Case) -> Result<Vec<Figure>, Failure> {
        let over = self.process.is_none() && !self.answered;
        if over || self.failed.contains(case) {
            return Ok(Vec::new());
        }
        let mut process = match self.process.take() {
            Some(process) => Ok(process),
            None => Process::start(&mut self.command, self.name),
        };
        let figures = process.as_mut().map_err(std::mem::take).and_then(|process| process.ask(case));
        match figures {
            Ok(figures) => {
                (self.process, self.answered) = (process.ok(), true);
                Ok(figures.into_iter().map(|figure| self.named(figure)).collect())
            }
            Err(reason) => {
                self.failed.push(*case);
                Err(self.failure(format!("{case}: {reason}")))
            }
        }
    }

    /// The script knows neither the number of its GPU nor under which name it was asked for.
    fn named(&self, figure: Figure) -> Figure {
        Figure { peer: self.name.to_string(), device: self.device.clone(), ..figure }
    }

    fn failure(&self, reason: String) -> Failure {
        Failure::new(format!("{} on {}: {reason}", self.name, self.device))
    }
}

/// The name of a GPU for a process that shall see no other.
fn visible(ordinal: usize) -> String {
    let ours = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let same = ours.as_deref().and_then(|names| names.split(',').nth(ordinal)).map(|name| name.trim().to_owned());
    same.unwrap_or_else(|| ordinal.to_string())
}

/// A running script.
#[derive(Debug)]
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    errors: File,
}

impl Process {
    /// Starts the script and waits until it has imported the package.
    fn start(command: &mut Command, name: PeerName) -> Result<Self, String> {
        let program = command.get_program().display().to_string();
        let failed = |e: io::Error| format!("{program}: {e}");
        let errors = tempfile::tempfile().map_err(failed)?;
        let stderr = errors.try_clone().map_err(failed)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().map_err(failed)?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{program}: its input and output are not here"));
        };
        let mut process = Self { child, requests, answers: BufReader::new(answers), errors };
        let line = process.line()?;
        let said: Option<Value> = serde_json::from_str(&line).ok();
        let said = said.filter(|said| said["peer"] == name.to_string().as_str());
        match said.as_ref().map(|said| (said["version"].as_str(), said["missing"].as_str())) {
            Some((_, Some(reason))) if reason.starts_with("No module") => {
                Err(format!("{reason}; {program} was asked, and --python or EIGENGRAD_PYTHON names another"))
            }
            Some((_, Some(reason))) => Err(reason.into()),
            Some((Some(_), None)) => Ok(process),
            _ => Err(unexpected("its name and version", &line)),
        }
    }

    /// The figures of a case: a line for each pass that the package has, then an empty object.
    fn ask(&mut self, case: &Case) -> Result<Vec<Figure>, String> {
        let Case { dtype, n, batch } = case;
        let asked = writeln!(self.requests, "{dtype} {n} {batch}").and_then(|()| self.requests.flush());
        asked.map_err(|_| self.end())?;
        let mut figures = Vec::<Figure>::new();
        loop {
            let line = self.line()?;
            if line == "{}" && !figures.is_empty() {
                return Ok(figures);
            }
            let figure = serde_json::from_str(&line).ok().filter(|figure: &Figure| {
                let of_case = figure.dtype == dtype.to_string() && figure.n == *n && figure.batch == *batch;
                let sound = figure.median_ns.is_normal() && 0.0 < figure.min_ns && figure.min_ns <= figure.median_ns;
                of_case && sound && figures.iter().all(|before| before.what != figure.what)
            });
            figures.push(figure.ok_or_else(|| unexpected("a figure", &line))?);
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let read = self.answers.by_ref().take(LINE).read_until(b'\n', &mut line);
        match read {
            Ok(0) => Err(self.end()),
            Ok(_) => Ok(String::from_utf8_lossy(&line).trim().to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Why a process says nothing more: how it ended, and its last words.
    fn end(&mut self) -> String {
        let status = self.child.kill().and_then(|()| self.child.wait());
        let ended = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        let mut words = Vec::new();
        let read = self.errors.rewind().and_then(|()| self.errors.read_to_end(&mut words));
        let words = String::from_utf8_lossy(&words);
        let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
        match (read, last) {
            (Ok(_), Some(last)) => format!("it ended, {ended}: {}", short(last)),
            _ => format!("it ended, {ended}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It waits for requests, or for nobody any more; there is nothing to do about a process
        // that cannot be ended.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn unexpected(what: &str, line: &str) -> String {
    format!("expected {what}, got {:?}", short(line))
}

fn short(line: &str) -> String {
    let mut short: String = line.chars().take(120).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
