//! Forward derivatives, and second ones, which candle's own backward has not: [`Eigh::jvp`],
//! [`Eigh::hvp`].

use crate::batch::Batch;
use crate::memory::{Held, tensor};
use crate::report::Statuses;
use crate::{Eigh, Matrices, Value};
use candle_core::{DType, Result, Tensor, bail};
use eigengrad_door::{self as door, CotangentsAt, ResultAt};

/// What a loss sends back: dL = Σ λ̄·dλ + Re tr(V̄ᴴ dV). Either may be absent.
#[derive(Clone, Debug)]
pub struct Cotangents<M = Tensor> {
    /// λ̄, `[…, n]`.
    pub eigenvalues: Option<Tensor>,
    /// V̄, `[…, n, n]`.
    pub eigenvectors: Option<M>,
}

/// The derivative of eigenpairs along a direction of A.
#[derive(Debug)]
pub struct Tangents<M = Tensor> {
    /// λ̇, `[…, n]`.
    pub eigenvalues: Tensor,
    /// V̇, `[…, n, n]`, in the gauge (VᴴV̇)_kk = 0; 0 outside of K.
    pub eigenvectors: M,
    /// What is to be known of each matrix.
    pub status: Statuses,
}

impl<M: Matrices> Eigh<M> {
    /// λ̇ and V̇ of the kept eigenpairs along Ȧ `[…, n, n]`, without history.
    ///
    /// # Errors
    /// If Ȧ has another shape, type or device than A.
    ///
    /// # Source
    /// docs/derivation.md of eigengrad, §7.
    pub fn jvp(&self, a_dot: &M) -> Result<Tangents<M>> {
        let (pairs, batch) = (&*self.pairs, &self.pairs.batch);
        let (n, real, count) = (batch.n, batch.real, batch.count());
        let a_dot = batch.like("the direction", a_dot.tensor(), &batch.matrices(n, n))?;
        let ([pack, kept, status], a_dot) = (pairs.held()?, Held::new(&a_dot));
        let sources = [pack.source()?, kept.source()?, status.source()?, a_dot.source()?];
        let results = [(real, count * n), (real, count * n * n * batch.parts()), (DType::U32, count)];
        let [values, vectors, status] = batch.call(sources, results, |[at @ .., a_dot], [values, vectors, status]| {
            door::Jvp { pairs: pairs.at(at), directions: 1, a_dot, values, vectors, status }.into()
        })?;
        Ok(Tangents {
            eigenvalues: tensor(values, batch.shape(&[n])),
            eigenvectors: M::of(tensor(vectors, batch.matrices(n, n))).transposed()?,
            status: Statuses(tensor(status, batch.lead.clone())),
        })
    }

    /// The Hessian of a loss by A, times Ȧ `[…, n, n]`: the tangent of Ā along it. `second` is
    /// given λ̇ and V̇ and returns the tangents of λ̄ and V̄, that is the Hessian of the loss by λ
    /// and V times them.
    ///
    /// # Errors
    /// As [`Eigh::jvp`]; those of `second`.
    ///
    /// # Source
    /// docs/derivation.md of eigengrad, §8.
    pub fn hvp(
        &self,
        cotangents: &Cotangents<M>,
        a_dot: &M,
        second: impl FnOnce(&Tangents<M>) -> Result<Cotangents<M>>,
    ) -> Result<Value<M>> {
        let (pairs, batch) = (&*self.pairs, &self.pairs.batch);
        let (bar, bar_dot) = (batch.columns(cotangents)?, batch.columns(&second(&self.jvp(a_dot)?)?)?);
        let (n, count) = (batch.n, batch.count());
        let a_dot = batch.like("the direction", a_dot.tensor(), &batch.matrices(n, n))?;
        let ([pack, kept, status], a_dot) = (pairs.held()?, Held::new(&a_dot));
        // What is absent has an address that nobody reads.
        let given = [&bar[0], &bar[1], &bar_dot[0], &bar_dot[1]];
        let held = given.map(|given| given.as_ref().map(Held::new));
        let of = |at: usize| held[at].as_ref().map_or_else(|| pack.source(), Held::source);
        let sources = [pack.source()?, kept.source()?, status.source()?, a_dot.source()?, of(0)?, of(1)?, of(2)?, of(3)?];
        let results = [(batch.real, count * n * n * batch.parts()), (DType::U32, count)];
        let [value, status] = batch.call(sources, results, |[pack, kept, status, a_dot, bars @ ..], [data, out]| {
            let at = |i: usize| if given[i].is_some() { bars[i] } else { 0 };
            let cotangents = CotangentsAt { values: at(0), vectors: at(1), rows: false };
            let cotangents_dot = CotangentsAt { values: at(2), vectors: at(3), rows: false };
            let (pairs, out) = (pairs.at([pack, kept, status]), ResultAt { data, status: out });
            door::BackwardJvp { pairs, cotangents, a_dot, cotangents_dot, out }.into()
        })?;
        let status = Statuses(tensor(status, batch.lead.clone()));
        Ok(Value { value: M::of(tensor(value, batch.matrices(n, n))), status })
    }
}

impl Batch {
    /// A tensor of this type and shape, without gaps.
    pub fn like(&self, what: &str, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
        if x.dims() != shape {
            bail!("eigengrad: {what} has shape {:?}, expected {shape:?}", x.dims());
        }
        if x.dtype() != self.real {
            bail!("eigengrad: {what} is of {:?}, expected {:?}", x.dtype(), self.real);
        }
        x.contiguous()
    }

    /// λ̄, and V̄ one vector after the other.
    fn columns<M: Matrices>(&self, bar: &Cotangents<M>) -> Result<[Option<Tensor>; 2]> {
        let values = bar.eigenvalues.as_ref().map(|x| self.like("λ̄", x, &self.shape(&[self.n])));
        let columns = bar.eigenvectors.as_ref().map(|x| {
            let columns = x.transposed()?;
            self.like("V̄", columns.tensor(), &self.matrices(self.n, self.n))
        });
        Ok([values.transpose()?, columns.transpose()?])
    }
}
