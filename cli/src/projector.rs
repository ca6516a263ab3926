//! `projector`: the projectors on the kept eigenvectors, and their gradient.

use crate::args::Projector;
use crate::failure::Result;
use crate::spectral;
use eigengrad::Function;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Projector) -> Result<()> {
    spectral::of_matrix(Function::Projector, &arguments.files)
}
