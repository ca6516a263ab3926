//! Files each of which appears whole or not at all: written under a temporary name in their own directory, then renamed.

use crate::failure::{Failure, Result};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Files to be written by one command, each whole or not at all. Dropped before [`Outputs::commit`] they leave nothing behind.
#[derive(Debug)]
pub struct Outputs {
    directory: PathBuf,
    force: bool,
    staged: Vec<(NamedTempFile, PathBuf)>,
}

impl Outputs {
    /// Files of these names in a directory, which is created.
    ///
    /// # Errors
    /// If one exists and `force` is not set, or what exists is no regular file, or the directory cannot be created.
    pub fn in_directory(directory: &Path, names: &[&str], force: bool) -> Result<Self> {
        names.iter().try_for_each(|name| may_write(&directory.join(name), force))?;
        fs::create_dir_all(directory).map_err(|e| Failure::at(directory, e))?;
        Ok(Self { directory: directory.into(), force, staged: Vec::new() })
    }

    /// One file, in a directory that exists.
    ///
    /// # Errors
    /// As [`Outputs::in_directory`].
    pub fn one(path: &Path, force: bool) -> Result<Self> {
        may_write(path, force)?;
        let directory = path.parent().unwrap_or(path);
        if !or_here(directory).is_dir() {
            return Err(Failure::at(path, format!("there is no directory {}", directory.display())));
        }
        Ok(Self { directory: directory.into(), force, staged: Vec::new() })
    }

    /// Writes the file of this name under a temporary one.
    ///
    /// # Errors
    /// If it cannot be written; the temporary file is removed.
    pub fn stage(&mut self, name: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
        let path = name.file_name().map_or_else(|| self.directory.clone(), |name| self.directory.join(name));
        let failed = |e: io::Error| Failure::at(&path, e);
        let mut file = temporary(or_here(&self.directory)).map_err(failed)?;
        fill(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        self.staged.push((file, path));
        Ok(())
    }

    /// Gives the files their names; returns these.
    ///
    /// # Errors
    /// If a file of that name has come into being meanwhile and `force` is not set, or renaming fails.
    pub fn commit(self) -> Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        for (file, path) in self.staged {
            let renamed = if self.force { file.persist(&path) } else { file.persist_noclobber(&path) };
            renamed.map_err(|e| Failure::at(&path, e.error))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// A file with the permissions that the user's umask gives, not the private ones of temporary files.
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
