//! [`Cuda`] as an [`Engine`].

use super::device::Cuda;
use super::range::range;
use super::workspace::{Kernels, Workspace};
use crate::options::Problem;
use crate::{
    CotangentsRef, EigenpairsMut, EigenpairsRef, Element, Engine, Error, FactorGradientMut, FactorPairsMut, FactorPairsRef,
    FactorProblem, GradientMut, HermitianRef, Result, SpectrumMut, Stored,
};
use std::convert::Infallible;

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

    type Scratch = ();

    fn scratch(&self, _: &Problem) -> Result<()> {
        Ok(())
    }

    fn scratch_serves(&self, (): &(), _: &Problem) -> bool {
        true
    }

    fn jvp<'a, O: Stored<T>>(
        &self,
        _: &Problem,
        _: EigenpairsRef<'a, O, Self>,
        _: HermitianRef<'a, O, Self>,
        _: crate::TangentsMut<'a, O, Self>,
        (): &mut (),
    ) -> Result<()> {
        todo!()
    }

    fn backward_jvp<'a, O: Stored<T>>(
        &self,
        _: &Problem,
        _: EigenpairsRef<'a, O, Self>,
        _: CotangentsRef<'a, O, Self>,
        _: HermitianRef<'a, O, Self>,
        _: CotangentsRef<'a, O, Self>,
        _: crate::MatricesMut<'a, O, Self>,
        (): &mut (),
    ) -> Result<()> {
        todo!()
    }

    fn double_backward<'a, O: Stored<T>>(
        &self,
        _: &Problem,
        _: EigenpairsRef<'a, O, Self>,
        _: CotangentsRef<'a, O, Self>,
        _: HermitianRef<'a, O, Self>,
        _: CotangentsRef<'a, O, Self>,
        _: crate::DoubleGradientMut<'a, O, Self>,
        (): &mut (),
    ) -> Result<()> {
        todo!()
    }

    fn spectral<'a, O: Stored<T>>(
        &self,
        _: &Problem,
        _: EigenpairsRef<'a, O, Self>,
        _: crate::FunctionRef<'a, O, Self>,
        _: crate::Of,
        _: crate::MatricesMut<'a, O, Self>,
        (): &mut (),
    ) -> Result<()> {
        todo!()
    }

    fn map<'a, O: Stored<T>>(
        &self,
        _: &Problem,
        _: EigenpairsRef<'a, O, Self>,
        _: crate::FunctionRef<'a, O, Self>,
        _: crate::Weights,
        _: HermitianRef<'a, O, Self>,
        _: Option<Self::View<'a, T::Real>>,
        _: crate::MatricesMut<'a, O, Self>,
        (): &mut (),
    ) -> Result<()> {
        todo!()
    }

    fn trace<'a, O: Stored<T>>(
        &self,
        _: &Problem,
        _: EigenpairsRef<'a, O, Self>,
        _: crate::FunctionRef<'a, O, Self>,
        _: Self::ViewMut<'a, T::Real>,
        _: Self::ViewMut<'a, crate::Status>,
    ) -> Result<()> {
        todo!()
    }

    /// There is none: factors are decomposed on the CPU only.
    type FactorWorkspace = Infallible;

    fn factor_workspace(&self, _: &FactorProblem) -> Result<Infallible> {
        let reason = "factors are decomposed on the CPU only; form B Bᴴ and use eigh".into();
        Err(Error::Backend { backend: "cuda", reason })
    }

    fn serves_factor(&self, workspace: &Infallible, _: &FactorProblem) -> bool {
        match *workspace {}
    }

    fn eigh_factor<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        _: &FactorProblem,
        _: Self::View<'a, I>,
        _: FactorPairsMut<'a, O, Self>,
        workspace: &mut Infallible,
    ) -> Result<()> {
        match *workspace {}
    }

    fn backward_factor<'a, O: Stored<T>>(
        &self,
        _: &FactorProblem,
        _: FactorPairsRef<'a, O, Self>,
        _: CotangentsRef<'a, O, Self>,
        _: FactorGradientMut<'a, O, Self>,
        workspace: &mut Infallible,
    ) -> Result<()> {
        match *workspace {}
    }
}
