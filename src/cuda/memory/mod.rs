//! Device memory: owned, borrowed, lent by others, and the workspaces of the operations.

pub(in crate::cuda) mod allocation;
pub(in crate::cuda) mod buffer;
pub(in crate::cuda) mod convert;
pub(in crate::cuda) mod factor;
pub(in crate::cuda) mod lending;
pub(in crate::cuda) mod pointer;
pub(in crate::cuda) mod scratch;
pub(in crate::cuda) mod strided;
pub(in crate::cuda) mod workspace;

use super::device::Cuda;
use crate::compute::{Lent, Workspaces};
use crate::options::Problem;
use crate::{FactorProblem, Result, Scalar};
use factor::FactorWorkspace;
use scratch::Scratch;
use workspace::Workspace;

impl<T: Scalar> Workspaces<T> for Cuda {
    type Workspace = Workspace<T>;

    fn workspace_bytes(&self, problem: &Problem) -> Result<usize> {
        Workspace::<T>::size(self, problem)
    }

    fn workspace(&self, problem: &Problem, lent: Option<Lent>) -> Result<Workspace<T>> {
        Workspace::new(self, problem, lent)
    }

    fn serves(&self, workspace: &Workspace<T>, problem: &Problem) -> bool {
        let of_this = workspace.stream == self.id() && workspace.asked == self.solver;
        problem.batch == 0 || (workspace.n == problem.n && of_this)
    }

    type Scratch = Scratch<T>;

    fn scratch_bytes(&self, problem: &Problem) -> Result<usize> {
        Scratch::<T>::size(self, problem)
    }

    fn scratch(&self, problem: &Problem, lent: Option<Lent>) -> Result<Scratch<T>> {
        Scratch::new(self, problem, lent)
    }

    fn scratch_serves(&self, scratch: &Scratch<T>, problem: &Problem) -> bool {
        scratch.serves(self, problem)
    }

    type FactorWorkspace = FactorWorkspace<T>;

    fn factor_workspace_bytes(&self, problem: &FactorProblem) -> Result<usize> {
        FactorWorkspace::<T>::size(self, problem)
    }

    fn factor_workspace(&self, problem: &FactorProblem, lent: Option<Lent>) -> Result<FactorWorkspace<T>> {
        FactorWorkspace::new(self, problem, lent)
    }

    fn serves_factor(&self, workspace: &FactorWorkspace<T>, problem: &FactorProblem) -> bool {
        workspace.serves(self, problem)
    }
}
