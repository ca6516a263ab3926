//! [`Cuda`] as an [`Engine`].

use super::calculus::Scratch;
use super::device::Cuda;
use super::factor::FactorWorkspace;
use super::range::range;
use super::workspace::{Kernels, Workspace};
use crate::options::Problem;
use crate::{
    CotangentsRef, DoubleGradientMut, EigenpairsMut, EigenpairsRef, Element, Engine, FactorGradientMut, FactorPairsMut,
    FactorPairsRef, FactorProblem, FunctionRef, GradientMut, HermitianRef, MatricesMut, Of, Result, SpectrumMut, Status, Stored,
    TangentsMut, Weights,
};

impl<T: Kernels> Engine<T> for Cuda {
    type Workspace = Workspace<T>;

    fn workspace(&self, problem: &Problem) -> Result<Workspace<T>> {
        Workspace::new(self, problem)
    }

    fn serves(&self, workspace: &Workspace<T>, problem: &Problem) -> bool {
        let of_this = workspace.stream == self.id() && workspace.asked == self.solver;
        problem.batch == 0 || (workspace.n == problem.n && of_this)
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

    type Scratch = Scratch<T>;

    fn scratch(&self, problem: &Problem) -> Result<Scratch<T>> {
        Scratch::new(self, problem)
    }

    fn scratch_serves(&self, scratch: &Scratch<T>, problem: &Problem) -> bool {
        scratch.serves(self, problem)
    }

    fn jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        out: TangentsMut<'a, O, Self>,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::jvp");
        self.tangents(problem, &pairs, &a_dot, &out, scratch)
    }

    fn backward_jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        cotangents_dot: CotangentsRef<'a, O, Self>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::backward_jvp");
        self.tangent_of_gradient(problem, &pairs, &cotangents, &a_dot, &cotangents_dot, &out, scratch)
    }

    fn double_backward<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        h: HermitianRef<'a, O, Self>,
        downstream: CotangentsRef<'a, O, Self>,
        out: DoubleGradientMut<'a, O, Self>,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::double_backward");
        self.doubled(problem, &pairs, &cotangents, &h, &downstream, &out, scratch)
    }

    fn spectral<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        of: Of,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::spectral");
        self.function_of(problem, &pairs, &function, of, &out, scratch)
    }

    fn map<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        weights: Weights,
        e: HermitianRef<'a, O, Self>,
        scale: Option<Self::View<'a, T::Real>>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::map");
        self.mapped(problem, &pairs, &function, weights, &e, scale, &out, scratch)
    }

    fn trace<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        out: Self::ViewMut<'a, T::Real>,
        status: Self::ViewMut<'a, Status>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::trace");
        self.sum_of::<T, O>(problem, &pairs, &function, &out, &status)
    }

    type FactorWorkspace = FactorWorkspace<T>;

    fn factor_workspace(&self, problem: &FactorProblem) -> Result<FactorWorkspace<T>> {
        FactorWorkspace::new(self, problem)
    }

    fn serves_factor(&self, workspace: &FactorWorkspace<T>, problem: &FactorProblem) -> bool {
        workspace.serves(self, problem)
    }

    fn eigh_factor<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        b: Self::View<'a, I>,
        out: FactorPairsMut<'a, O, Self>,
        workspace: &mut FactorWorkspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::eigh_factor");
        self.decompose_factor(problem, &b, &out, workspace)
    }

    fn backward_factor<'a, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: FactorGradientMut<'a, O, Self>,
        workspace: &mut FactorWorkspace<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::backward_factor");
        self.assemble_factor(problem, &pairs, &cotangents, &out, workspace)
    }
}
