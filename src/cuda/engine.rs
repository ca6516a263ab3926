//! [`Cuda`] as an [`Engine`].

use super::device::Cuda;
use super::range::range;
use super::workspace::{Kernels, Workspace};
use crate::options::Problem;
use crate::{
    CotangentsRef, EigenpairsMut, EigenpairsRef, Element, Engine, GradientMut, HermitianRef, Result, SpectrumMut, Stored,
};

impl<T: Kernels> Engine<T> for Cuda {
    type Workspace = Workspace<T>;

    fn workspace(&self, problem: &Problem) -> Result<Workspace<T>> {
        Workspace::new(self, problem)
    }

    fn serves(&self, workspace: &Workspace<T>, problem: &Problem) -> bool {
        problem.batch == 0 || (workspace.n == problem.n && workspace.stream == self.id())
    }

    fn eigh<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: EigenpairsMut<'a, O, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigh");
        let vectors = self.output(&out.vectors)?;
        self.decompose::<T, I, O, O::Real>(problem, a, out.spectrum, Some(vectors), workspace)
    }

    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: SpectrumMut<'a, R, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigvalsh");
        self.decompose::<T, I, R, R>(problem, a, out, None, workspace)
    }

    fn backward<'a, O: Stored<T>, G: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: GradientMut<'a, G, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::backward");
        self.assemble(problem, pairs, cotangents, out, workspace)
    }
}
