//! Files each of which appears whole or not at all, and all of a command together: written under
//! temporary names in their own directory, then renamed while the directory is locked. An interrupt
//! removes what is not renamed.

use crate::failure::{Failure, Result, reason};
use crate::report;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use tempfile::{NamedTempFile, TempPath};

/// Temporary files, and folders that were made for files to come: an interrupt has to remove them.
/// A folder comes before what is in it.
static STAGED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static WATCHED: Once = Once::new();

/// The exit status of a process that was interrupted.
const INTERRUPTED: i32 = 130;

fn staged() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    STAGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has an interrupt or a request to end remove the temporary files.
#[expect(clippy::exit, reason = "the handler has a thread of its own, and main goes on until the process ends")]
fn watch() {
    WATCHED.call_once(|| {
        let handler = ctrlc::set_handler(|| {
            let staged = staged(); // held: no file is made or renamed any more
            staged.iter().rev().for_each(|path| drop(fs::remove_file(path).or_else(|_| fs::remove_dir(path))));
            report::complain(&"interrupted; files that are not whole are gone");
            std::process::exit(INTERRUPTED);
        });
        drop(handler); // without one an interrupt leaves temporary files, and nothing else
    });
}

/// Files to be written by one command, each whole or not at all. Dropped before [`Outputs::commit`]
/// they leave nothing behind.
#[derive(Debug)]
pub struct Outputs {
    directory: PathBuf,
    names: Vec<PathBuf>,
    force: bool,
    staged: Vec<(Staged, PathBuf)>,
    _made: Made,
}

/// Folders that did not exist before; those that are empty go when this is dropped.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// # Errors
    /// If one cannot be created.
    fn directory(path: &Path) -> io::Result<Self> {
        watch();
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = Self(path.ancestors().take_while(missing).map(Path::to_path_buf).collect());
        let mut staged = staged();
        staged.extend(made.0.iter().cloned());
        fs::create_dir_all(path)?;
        drop(staged);
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let mut staged = staged();
        for path in &self.0 {
            staged.remove(path);
            let _ = fs::remove_dir(path); // an empty one
        }
    }
}

/// A file under its temporary name.
#[derive(Debug)]
struct Staged(Option<TempPath>);

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let mut staged = staged();
            staged.remove(path.as_ref() as &Path);
            drop(path);
        }
    }
}

impl Outputs {
    /// Files of these names in a directory, which is created.
    ///
    /// # Errors
    /// If one exists and `force` is not set, or what exists is no regular file, or the directory
    /// cannot be created.
    pub fn in_directory(directory: &Path, names: &[&str], force: bool) -> Result<Self> {
        if directory.exists() && !directory.is_dir() {
            return Err(Failure::at(directory, format!("is a file; --out names a folder for {}", names.join(", "))));
        }
        let names: Vec<_> = names.iter().map(|name| directory.join(name)).collect();
        names.iter().try_for_each(|name| may_write(name, force))?;
        let made = Made::directory(directory).map_err(|e| Failure::at(directory, reason(&e)))?;
        Ok(Self { directory: directory.into(), names, force, staged: Vec::new(), _made: made })
    }

    /// One file, in a directory that exists.
    ///
    /// # Errors
    /// As [`Outputs::in_directory`].
    pub fn one(path: &Path, force: bool) -> Result<Self> {
        if path.is_dir() {
            return Err(Failure::at(path, "is a folder; --out names a file"));
        }
        may_write(path, force)?;
        let directory = path.parent().unwrap_or(path);
        if !or_here(directory).is_dir() {
            return Err(Failure::at(path, format!("there is no directory {}", directory.display())));
        }
        let (directory, names) = (directory.into(), vec![path.into()]);
        Ok(Self { directory, names, force, staged: Vec::new(), _made: Made::default() })
    }

    /// These files, none of which is an input.
    ///
    /// # Errors
    /// If one is.
    pub fn beside(self, inputs: &[&PathBuf]) -> Result<Self> {
        let canonical = |path: &PathBuf| path.canonicalize().ok();
        let inputs: Vec<_> = inputs.iter().filter_map(|path| canonical(path)).collect();
        let lost = self.names.iter().find(|name| canonical(name).is_some_and(|name| inputs.contains(&name)));
        lost.map_or(Ok(()), |name| Err(Failure::at(name, "is an input; name another --out")))?;
        Ok(self)
    }

    /// Writes the file of this name under a temporary one.
    ///
    /// # Errors
    /// If it cannot be written; the temporary file is removed.
    pub fn stage(&mut self, name: &Path, fill: &mut dyn FnMut(&mut File) -> io::Result<()>) -> Result<()> {
        watch();
        let path = name.file_name().map_or_else(|| self.directory.clone(), |name| self.directory.join(name));
        let failed = |e: io::Error| Failure::at(&path, reason(&e));
        // Another command that made the folder may have removed it.
        fs::create_dir_all(or_here(&self.directory)).map_err(failed)?;
        let (mut file, temporary) = {
            let mut staged = staged();
            let (file, temporary) = temporary(or_here(&self.directory)).map_err(failed)?.into_parts();
            staged.insert(temporary.to_path_buf());
            (file, Staged(Some(temporary)))
        };
        fill(&mut file).and_then(|()| file.sync_all()).map_err(failed)?;
        self.staged.push((temporary, path));
        Ok(())
    }

    /// Gives the files their names, all of them before another command gives its own; returns
    /// these.
    ///
    /// # Errors
    /// If a file of that name has come into being meanwhile and `force` is not set, or renaming
    /// fails.
    pub fn commit(self) -> Result<Vec<PathBuf>> {
        let _lock = lock(or_here(&self.directory)).map_err(|e| Failure::at(&self.directory, reason(&e)))?;
        let mut written = Vec::new();
        for (mut file, path) in self.staged {
            let mut staged = staged();
            let Some(temporary) = file.0.take() else { continue };
            staged.remove(temporary.as_ref() as &Path);
            let renamed = if self.force { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
            renamed.map_err(|e| Failure::at(&path, reason(&e.error)))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Holds a directory until it is dropped, so that two commands that write into it do so one after
/// the other.
#[cfg(unix)]
fn lock(directory: &Path) -> io::Result<File> {
    let directory = File::open(directory)?;
    match directory.lock() {
        Err(e) if e.kind() != io::ErrorKind::Unsupported => Err(e),
        _ => Ok(directory),
    }
}

#[cfg(not(unix))]
fn lock(_: &Path) -> io::Result<()> {
    Ok(()) // directories cannot be opened there
}

/// A file with the permissions that the user's umask gives, not the private ones of temporary
/// files.
fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".eigengrad-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}

/// The directory, which is the current one if it is not named.
fn or_here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

fn may_write(path: &Path, force: bool) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) if !force => Err(Failure::at(path, "exists; --force replaces it")),
        Ok(found) if !found.is_file() => Err(Failure::at(path, "exists and is not a regular file; --force does not replace it")),
        _ => Ok(()),
    }
}
