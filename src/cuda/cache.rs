//! Compiled kernels on disk: one file for each source, compiler, device architecture and list of instantiations.

use super::compile::Compiled;
use super::refused;
use crate::Result;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, process};

/// A folder that belongs to the user alone.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    owner: u32,
}

/// What a file is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub source: &'a str,
    pub expressions: &'a [String],
    pub capability: (i32, i32),
    /// The version of NVRTC; none finds what any version compiled.
    pub compiler: Option<(i32, i32)>,
}

impl Entry<'_> {
    /// What the names of all files for it begin with, and end with.
    fn stem(&self) -> (String, String) {
        let digest = hex(&Sha256::digest(self.expressions.join("\n")));
        let (major, minor) = self.capability;
        (format!("{}-sm_{major}{minor}-{}-nvrtc", self.source, &digest[..16]), ".cubin".to_owned())
    }

    fn file_name(&self) -> Option<String> {
        let (stem, end) = self.stem();
        self.compiler.map(|(major, minor)| format!("{stem}{major}.{minor}{end}"))
    }
}

impl Cache {
    /// The user's cache: `EIGENGRAD_CACHE`, or the XDG cache folder; none if it is off or there is no home.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if `EIGENGRAD_CACHE` names a folder that cannot be used; others are done without.
    pub fn open() -> Result<Option<Self>> {
        let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(named) = env::var_os("EIGENGRAD_CACHE").filter(|named| !named.is_empty()) {
            if named == "off" {
                return Ok(None);
            }
            let folder = PathBuf::from(named);
            let failed = |e| refused(&format!("EIGENGRAD_CACHE={}", folder.display()), &e);
            return Self::at(&folder).map(Some).map_err(failed);
        }
        let home = || absolute("HOME").map(|home| home.join(".cache"));
        let folder = absolute("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("eigengrad"));
        Ok(folder.and_then(|folder| Self::at(&folder).ok()))
    }

    /// A folder, made if it is not there, of which the user is sure.
    fn at(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        // Only its owner can make a file of his own in a folder that nobody else may write to.
        let owner = metadata.uid();
        let refuse = |why: &str| Err(io::Error::other(why.to_owned()));
        if !metadata.is_dir() {
            return refuse("is not a folder");
        }
        if metadata.mode() & 0o022 != 0 {
            return refuse("others may write to it");
        }
        if owner != user(folder)? {
            return refuse("belongs to another user");
        }
        let cache = Self { folder: folder.to_owned(), owner };
        cache.sweep();
        Ok(cache)
    }

    /// What is there for an entry, unless it is damaged.
    pub fn find(&self, entry: &Entry<'_>) -> Option<Compiled> {
        if let Some(name) = entry.file_name() {
            return self.read(&self.folder.join(name), entry.expressions.len());
        }
        let (stem, end) = entry.stem();
        let version = |name: &str| {
            let version = name.strip_prefix(&stem)?.strip_suffix(&end)?;
            let (major, minor) = version.split_once('.')?;
            Some((major.parse::<i32>().ok()?, minor.parse::<i32>().ok()?))
        };
        let files = fs::read_dir(&self.folder).ok()?.flatten();
        let mut files: Vec<_> = files.filter_map(|file| Some((version(file.file_name().to_str()?)?, file.path()))).collect();
        files.sort();
        files.iter().rev().find_map(|(_, path)| self.read(path, entry.expressions.len()))
    }

    /// Writes what was compiled, and returns the file.
    pub fn store(&self, entry: &Entry<'_>, compiled: &Compiled) -> io::Result<PathBuf> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = entry.file_name().ok_or_else(|| io::Error::other("no version of the compiler"))?;
        let (path, count) = (self.folder.join(&name), COUNT.fetch_add(1, Ordering::Relaxed));
        let staged = self.folder.join(format!("{STAGED}{}-{count}", process::id()));
        let written = write(&staged, compiled).and_then(|()| fs::rename(&staged, &path));
        if written.is_err() {
            let _ = fs::remove_file(&staged);
        }
        written.map(|()| path)
    }

    /// A file's content, if it is a regular file of the user's and whole.
    fn read(&self, path: &Path, names: usize) -> Option<Compiled> {
        let metadata = fs::symlink_metadata(path).ok()?;
        if !metadata.is_file() || metadata.uid() != self.owner || metadata.mode() & 0o022 != 0 {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(path).ok()?.read_to_end(&mut bytes).ok()?;
        let (magic, rest) = bytes.split_at_checked(MAGIC.len())?;
        let (digest, content) = rest.split_at_checked(64)?;
        if magic != MAGIC.as_bytes() || digest != hex(&Sha256::digest(content)).as_bytes() {
            return None;
        }
        let end = content.iter().position(|&byte| byte == b'\n')?;
        let header = std::str::from_utf8(&content[..end]).ok()?;
        let found: Vec<_> = header.split(' ').map(str::to_owned).collect();
        (found.len() == names).then(|| Compiled { image: content[end + 1..].to_vec(), names: found })
    }

    /// Removes what writers that died a day ago left behind.
    fn sweep(&self) {
        let old = |file: &fs::DirEntry| {
            let staged = file.file_name().to_str().is_some_and(|name| name.starts_with(STAGED));
            let age = file.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
            staged && age.is_some_and(|age| age > Duration::from_secs(24 * 60 * 60))
        };
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten().filter(old) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// The first line of a file; the digest of what follows it, names and image, comes next.
const MAGIC: &str = "eigengrad kernels 1\n";
const STAGED: &str = ".staged-";

/// The user that this process writes as, which is the owner of what it has just made.
fn user(folder: &Path) -> io::Result<u32> {
    let path = folder.join(format!("{STAGED}{}-user", process::id()));
    let file = match OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path) {
        Ok(file) => file,
        // A folder that may only be read, filled by somebody whom the user trusts: root, or himself.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied || e.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            return fs::metadata(folder).map(|metadata| metadata.uid());
        }
        Err(e) => return Err(e),
    };
    let owner = file.metadata()?.uid();
    let _ = fs::remove_file(path);
    Ok(owner)
}

fn write(path: &Path, compiled: &Compiled) -> io::Result<()> {
    let mut content = compiled.names.join(" ").into_bytes();
    content.push(b'\n');
    content.extend_from_slice(&compiled.image);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(MAGIC.as_bytes())?;
    file.write_all(hex(&Sha256::digest(&content)).as_bytes())?;
    file.write_all(&content)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
