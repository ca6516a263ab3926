//! Compiled kernels on disk: one file for each source, compiler, device architecture and list of
//! instantiations.

use crate::Result;
use crate::cuda::refused;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, process};

/// Instantiations in a form that a driver loads.
#[derive(Debug)]
pub(in crate::cuda) struct Compiled {
    /// A cubin, or where the compiler does not know the device PTX.
    pub image: Vec<u8>,
    /// Their names in it, in the order in which they were asked for.
    pub names: Vec<String>,
}

/// A folder that belongs to the user alone.
#[derive(Debug)]
pub(in crate::cuda) struct Cache {
    folder: PathBuf,
    user: u32,
}

/// What a file is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Entry<'a> {
    pub source: &'a str,
    /// Of the compiler, beside the architecture.
    pub options: &'a [&'a str],
    pub expressions: &'a [String],
    pub capability: (i32, i32),
    /// The version of NVRTC; none finds what any version compiled.
    pub compiler: Option<(i32, i32)>,
}

impl Entry<'_> {
    /// What the names of all files for it begin with, and end with.
    fn stem(&self) -> (String, String) {
        let wanted = [self.options, &[""], &*self.expressions.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let digest = hex(&Sha256::digest(wanted.join("\n")));
        let (major, minor) = self.capability;
        (format!("{}-sm_{major}{minor}-{}-nvrtc", self.source, &digest[..16]), ".cubin".to_owned())
    }

    fn file_name(&self) -> Option<String> {
        let (stem, end) = self.stem();
        self.compiler.map(|(major, minor)| format!("{stem}{major}.{minor}{end}"))
    }
}

impl Cache {
    /// The user's cache: `EIGENGRAD_CACHE`, or the XDG cache folder; none if it is off or there is
    /// no home.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if `EIGENGRAD_CACHE` names a folder that cannot be
    /// used; others are done without.
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
        Self::of_user(folder, effective_user()?)
    }

    /// Only root's folder and files, and this user's own, are trusted: what is in a file runs.
    fn of_user(folder: &Path, user: u32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        let owner = metadata.uid();
        let refuse = |why: &str| Err(io::Error::other(why.to_owned()));
        if !metadata.is_dir() {
            return refuse("is not a folder");
        }
        if metadata.mode() & 0o022 != 0 {
            return refuse("others may write to it");
        }
        if owner != ROOT && owner != user {
            return refuse("belongs to another user");
        }
        let cache = Self { folder: folder.to_owned(), user };
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
        // A link or a pipe is not followed. What is opened is what is looked at, whatever the path
        // names a moment later.
        if !fs::symlink_metadata(path).ok()?.is_file() {
            return None;
        }
        let mut file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let trusted = metadata.uid() == ROOT || metadata.uid() == self.user;
        if !metadata.is_file() || !trusted || metadata.mode() & 0o022 != 0 {
            return None;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
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

/// The superuser, who could replace this program as well.
const ROOT: u32 = 0;

/// The user whose rights this process has. Where the system does not show it, as of a process that
/// changed them, nobody's folder but root's is trusted.
fn effective_user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|metadata| metadata.uid())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const EXPRESSIONS: &[&str] = &["eigengrad::prepare<float>", "eigengrad::store<float>"];

    fn expressions() -> Vec<String> {
        EXPRESSIONS.iter().map(ToString::to_string).collect()
    }

    fn entry(expressions: &[String], compiler: Option<(i32, i32)>) -> Entry<'_> {
        Entry { source: "abcd", options: &["--std=c++17"], expressions, capability: (9, 0), compiler }
    }

    fn compiled() -> Compiled {
        Compiled { image: vec![0, 10, 255, 32, 7], names: vec!["one".into(), "two".into()] }
    }

    fn is_ours(found: Option<Compiled>) -> bool {
        found.is_some_and(|found| (found.image, found.names) == (compiled().image, compiled().names))
    }

    #[test]
    fn what_is_stored_is_found() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("deep/cache");
        let (cache, names) = (Cache::at(&folder).unwrap(), expressions());
        let entry = entry(&names, Some((13, 0)));
        assert!(cache.find(&entry).is_none());
        let path = cache.store(&entry, &compiled()).unwrap();
        assert!(is_ours(cache.find(&entry)) && is_ours(Cache::at(&folder).unwrap().find(&entry)));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
        for other in [
            Entry { source: "abce", ..entry },
            Entry { options: &["--std=c++20"], ..entry },
            Entry { capability: (8, 0), ..entry },
            Entry { compiler: Some((12, 9)), ..entry },
            Entry { expressions: &names[..1], ..entry },
        ] {
            assert!(cache.find(&other).is_none(), "{other:?}");
        }
    }

    /// Another user's folder is refused, and so are his files in ours; root's are not.
    #[test]
    fn other_users_are_not_trusted() {
        let home = tempfile::tempdir().unwrap();
        let (folder, names) = (home.path().join("cache"), expressions());
        let cache = Cache::at(&folder).unwrap();
        let entry = entry(&names, Some((13, 0)));
        cache.store(&entry, &compiled()).unwrap();
        let own = fs::metadata(&folder).unwrap().uid();
        assert_eq!(own, effective_user().unwrap());
        let stranger = own + 12345;
        if own == ROOT {
            assert!(is_ours(Cache::of_user(&folder, stranger).unwrap().find(&entry)), "root's");
            std::os::unix::fs::chown(&folder, Some(stranger), None).unwrap();
            let refused = Cache::of_user(&folder, stranger + 1).unwrap_err();
            assert_eq!(refused.to_string(), "belongs to another user");
            std::os::unix::fs::chown(&folder, Some(ROOT), None).unwrap();
            let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
            std::os::unix::fs::chown(&file, Some(stranger), None).unwrap();
            assert!(cache.find(&entry).is_none(), "a stranger's file");
            assert!(is_ours(Cache::of_user(&folder, stranger).unwrap().find(&entry)), "his own");
        } else {
            assert_eq!(Cache::of_user(&folder, stranger).unwrap_err().to_string(), "belongs to another user");
        }
    }

    /// Without a compiler the newest version's entry serves, as numbers: 13 comes after 9.
    #[test]
    fn any_version_serves_without_a_compiler() {
        let home = tempfile::tempdir().unwrap();
        let (cache, names) = (Cache::at(home.path().join("cache").as_path()).unwrap(), expressions());
        for version in [(9, 9), (13, 0), (12, 10)] {
            let image = format!("{version:?}").into_bytes();
            cache.store(&entry(&names, Some(version)), &Compiled { image, ..compiled() }).unwrap();
        }
        assert_eq!(cache.find(&entry(&names, None)).unwrap().image, b"(13, 0)");
        assert!(cache.store(&entry(&names, None), &compiled()).is_err());
    }

    #[test]
    fn damaged_files_are_replaced() {
        let home = tempfile::tempdir().unwrap();
        let (cache, names) = (Cache::at(home.path().join("cache").as_path()).unwrap(), expressions());
        let entry = entry(&names, Some((13, 0)));
        let path = cache.store(&entry, &compiled()).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(cache.find(&entry).is_none(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(cache.find(&entry).is_none(), "{at} bytes");
        }
        cache.store(&entry, &compiled()).unwrap();
        assert!(is_ours(cache.find(&entry)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.find(&entry).is_none(), "others may have written it");
    }

    #[test]
    fn folders_that_others_can_write_to_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let (open, link, file) = (home.path().join("open"), home.path().join("link"), home.path().join("file"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        symlink(home.path(), &link).unwrap();
        fs::write(&file, "").unwrap();
        for folder in [open, link, file] {
            assert!(Cache::at(&folder).is_err(), "{}", folder.display());
        }
    }

    #[test]
    fn concurrent_writers_leave_one_whole_file() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let names = expressions();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let cache = Cache::at(&folder).unwrap();
                    for _ in 0..50 {
                        cache.store(&entry(&names, Some((13, 0))), &compiled()).unwrap();
                        assert!(is_ours(cache.find(&entry(&names, Some((13, 0))))));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_a_writer_left_a_day_ago_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join(format!("{STAGED}1-0")), home.path().join(format!("{STAGED}1-1")));
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&new, "").unwrap();
        let yesterday = std::time::SystemTime::now() - Duration::from_secs(25 * 60 * 60);
        File::create(&old).unwrap().set_modified(yesterday).unwrap();
        Cache::at(home.path()).unwrap();
        assert!(!old.exists() && new.exists());
    }
}
