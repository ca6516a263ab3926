//! Why a command could not do its work, in one line: [`Failure`].

use std::fmt;
use std::io;
use std::path::Path;

/// The reason that follows `eigengrad: ` on stderr; the exit status is 2.
#[derive(Debug)]
pub struct Failure(String);

/// The result type of commands.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A reason that concerns no file.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// A reason that concerns the file or directory at `path`.
    pub fn at(path: &Path, reason: impl fmt::Display) -> Self {
        Self(format!("{}: {reason}", path.display()))
    }
}

impl fmt::Display for Failure {
    /// One line, whatever a file name holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

/// What an error of the system says, without its number and without names of temporary files.
pub fn reason(error: &io::Error) -> String {
    let of_system = error.get_ref().is_none();
    let text = if of_system { error.to_string() } else { error.kind().to_string() };
    match text.rfind(" (os error") {
        Some(end) if end > 0 => text[..end].to_owned(),
        _ => text,
    }
}

impl From<eigengrad::Error> for Failure {
    fn from(error: eigengrad::Error) -> Self {
        Self::new(error)
    }
}
