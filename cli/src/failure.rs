//! Why a command could not do its work, in one line: [`Failure`].

use std::fmt;
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

impl From<eigengrad::Error> for Failure {
    fn from(error: eigengrad::Error) -> Self {
        Self::new(error)
    }
}
