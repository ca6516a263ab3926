//! F = (tr √(√A B √A))² = ‖√A √B‖₁², from the singular values of √A √B: the fidelity of states and
//! its gradients.
//!
//! √A B √A is never formed: where states overlap little its eigenvalues, the squares of those, lose
//! half of their digits.

use crate::cut;
use crate::element::sealed::Ldexp;
use crate::{
    Array, Backend, Cpu, Cut, Eigenpairs, Element, Engine, Error, Function, HermitianBatch, HermitianResult, Options, Plan, Real,
    Result, Scalar, SchurMultiplier, Spectral, Spectrum, Status, Triangle, eigh,
};
use num_traits::{Float, One, Zero};

/// The fidelity of states and its gradients.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fidelity<O: Element, B: Backend = Cpu> {
    /// tr √(√A B √A), the root fidelity, `[batch]`; its square is the fidelity. NaN where A or B is
    /// not decomposed or not positive.
    pub root: Array<<O::Scalar as Element>::Real, B, 1>,
    /// What is to be known of each, `[batch]`: what was found of A and of B, and
    /// [`Status::OUTSIDE_DOMAIN`] where one of them keeps a negative eigenvalue.
    pub status: Array<Status, B, 1>,
    /// The gradient of the fidelity by A.
    pub a_bar: HermitianResult<O, B>,
    /// The gradient of the fidelity by B.
    pub b_bar: HermitianResult<O, B>,
}

/// The fidelity F = (tr √(√A B √A))² of positive semi-definite A and B of any rank, and its
/// gradients at fixed rank, B̄ = s·√A (√A B √A)^(−½) √A with s = √F, and Ā likewise with A and B
/// exchanged: finite where ranks are not full.
///
/// √F is right to n·ε·‖√A‖₂‖√B‖₂ for every overlap and scale. Singular values of √A √B below that
/// count as 0, and so do the gradients along them: of states with orthogonal supports both
/// gradients are 0, though F grows linearly with what of one is brought into the support of the
/// other. Waits for the device, on which matrices are decomposed and multiplied; they are put
/// together on the host.
///
/// # Shapes
/// A, B and gradients `[batch, n, n]`; root and status `[batch]`.
///
/// # Errors
/// [`Error::Shape`] if A and B have different shapes; those of [`eigh`](eigh()).
///
/// # Source
/// docs/derivation.md §11, (36).
pub fn fidelity<O: Scalar, B: Engine<O>>(
    a: &HermitianBatch<O, B>,
    b: &HermitianBatch<O, B>,
    options: &Options,
) -> Result<Fidelity<O, B>> {
    let (batch, n) = (a.batch(), a.n());
    if [batch, n] != [b.batch(), b.n()] {
        return Err(Error::Shape { what: "B", expected: vec![batch, n, n], got: vec![b.batch(), b.n(), b.n()] });
    }
    let backend = a.backend();
    let sum = DirectSum::new(&eigh(a, options)?.to_host()?, &eigh(b, options)?.to_host()?);
    let pairs = sum.pairs(backend)?;
    let exchange =
        HermitianBatch::of(Array::from_host(backend, exchange::<O>(batch, n), [batch, 2 * n, 2 * n])?, Triangle::Lower)?;
    let sqrt = Function::Sqrt.into();
    // [[0, √A √B], [√B √A, 0]], whose eigenvalues are ± the singular values.
    let cross = pairs.map(&sqrt, SchurMultiplier::Product, &exchange, None)?.into_batch();
    // Both roots have norms from 1 to 2, or 0.
    let noise = 2.0 * (2 * n).max(10) as f64 * O::PRECISION.epsilon();
    let of_cross = eigh(&cross, &Options { cut: Cut::default().with_atol(noise), ..Options::default() })?;
    let host = of_cross.to_host()?;
    let kept = || host.values().into_iter().zip(host.kept());
    let inverse = kept().map(|(&x, &kept)| if kept { Float::abs(O::Real::one() / x) } else { O::Real::zero() }).collect();
    let slopes = Array::zeros(backend, [batch, 2 * n])?;
    let inverse =
        of_cross.spectral(&Spectral::Given { values: Array::from_host(backend, inverse, [batch, 2 * n])?, slopes })?.into_batch();
    let singular =
        |b: usize| host.values().row(b).iter().zip(host.kept().row(b)).filter(|x| *x.1).map(|x| *x.0).collect::<Vec<_>>();
    let positive = |sum: O::Real, x: O::Real| if x > O::Real::zero() { sum + x } else { sum };
    let roots: Vec<O::Real> = (0..batch).map(|b| singular(b).into_iter().fold(O::Real::zero(), positive)).collect();
    let scale = Array::from_host(backend, roots.clone(), [batch])?;
    let gradients = pairs.map(&sqrt, SchurMultiplier::Product, &inverse, Some(&scale))?.to_host()?;
    let status: Vec<_> = sum.status.iter().zip(host.status()).map(|(&of_states, &of_cross)| of_states | of_cross).collect();
    let gradient = |first: usize, exponents: fn(&[i32; 2]) -> i32| {
        let mut data = Vec::with_capacity(batch * n * n);
        let mut found = status.clone();
        for b in 0..batch {
            let e = 2 * exponents(&sum.exponents[b]);
            let nan = Real::of(f64::NAN);
            let entry = |x: O| O::from_parts(x.re().ldexp(e), x.im().ldexp(e));
            let refused = O::from_parts(nan, nan);
            let of_block = |at: usize| gradients.data()[[b, first + at / n, first + at % n]];
            data.extend((0..n * n).map(|at| if status[b].refused() { refused } else { entry(of_block(at)) }));
            let finite = status[b].refused() || data[b * n * n..].iter().all(|x| x.finite());
            found[b] |= Status::RESULT_NOT_FINITE.when(!finite);
        }
        Ok(HermitianResult {
            data: Array::from_host(backend, data, [batch, n, n])?,
            status: Array::from_host(backend, found, [batch])?,
        })
    };
    // s √A (…) √A, on the block of A, is the gradient by B.
    let (b_bar, a_bar) = (gradient(0, |[p, _]| *p)?, gradient(n, |[_, q]| *q)?);
    let root = roots
        .iter()
        .zip(&sum.exponents)
        .zip(&status)
        .map(|((root, [p, q]), status)| if status.refused() { O::Real::nan() } else { root.ldexp(p + q) });
    Ok(Fidelity {
        root: Array::from_host(backend, root.collect(), [batch])?,
        status: Array::from_host(backend, status, [batch])?,
        a_bar,
        b_bar,
    })
}

/// [[0, I], [I, 0]] for each matrix.
fn exchange<O: Scalar>(batch: usize, n: usize) -> Vec<O> {
    let size = 2 * n;
    let entry = |at: usize| if at / size % n == at % size % n && at / size != at % size { O::one() } else { O::zero() };
    (0..batch).flat_map(|_| (0..size * size).map(entry)).collect()
}

/// The eigenpairs of diag(A·2⁻²ᵖ, B·2⁻²ᵠ), of norms from 1 to 4, with what was kept of A and B; of
/// a refused pair nothing is.
struct DirectSum<O: Scalar> {
    n: usize,
    values: Vec<O::Real>,
    vectors: Vec<O>,
    kept: Vec<bool>,
    /// p and q.
    exponents: Vec<[i32; 2]>,
    status: Vec<Status>,
}

impl<O: Scalar> DirectSum<O> {
    fn new(a: &Eigenpairs<O, Cpu>, b: &Eigenpairs<O, Cpu>) -> Self {
        let (batch, n) = (a.batch(), a.n());
        let mut sum = Self {
            n,
            values: vec![],
            vectors: vec![O::zero(); batch * 4 * n * n],
            kept: vec![],
            exponents: vec![],
            status: vec![],
        };
        for at in 0..batch {
            let found = a.status()[at] | b.status()[at];
            let negative = |of: &Eigenpairs<O, Cpu>| (0..n).any(|k| of.kept()[[at, k]] && of.values()[[at, k]] < O::Real::zero());
            let found = found | Status::OUTSIDE_DOMAIN.when(!found.failed() && (negative(a) || negative(b)));
            sum.status.push(found);
            let exponent = |of: &Eigenpairs<O, Cpu>| {
                let norm = cut::norm(&of.values().row(at).to_vec());
                if norm > O::Real::zero() && norm.is_finite() { norm.binary_exponent().div_euclid(2) } else { 0 }
            };
            let exponents = [exponent(a), exponent(b)];
            sum.exponents.push(exponents);
            let scaled = |(block, of): (usize, &Eigenpairs<O, Cpu>), k: usize| {
                let value = of.values()[[at, k]].ldexp(-2 * exponents[block]);
                (if found.refused() { O::Real::zero() } else { value }, block, k)
            };
            let mut all: Vec<_> = (0..2 * n).map(|k| scaled(if k < n { (0, a) } else { (1, b) }, k % n.max(1))).collect();
            all.sort_by(|x, y| x.0.partial_cmp(&y.0).unwrap_or(std::cmp::Ordering::Equal));
            for (row, (value, block, k)) in all.into_iter().enumerate() {
                let of = [a, b][block];
                let kept = of.kept()[[at, k]] && !found.refused();
                sum.values.push(value);
                sum.kept.push(kept);
                if kept {
                    let to = &mut sum.vectors[((at * 2 * n + row) * 2 + block) * n..][..n];
                    to.iter_mut().enumerate().for_each(|(i, to)| *to = of.vectors()[[at, i, k]]);
                }
            }
        }
        sum
    }

    fn pairs<B: Engine<O>>(&self, backend: &B) -> Result<Eigenpairs<O, B>> {
        let batch = self.status.len();
        let plan = Plan::<O, B>::new(backend, batch, 2 * self.n, &Options { cut: Cut::none(), ..Options::default() })?;
        let size = 2 * self.n;
        let mut spectrum = Spectrum::zeros(backend, batch, size)?;
        spectrum.values = Array::from_host(backend, self.values.clone(), [batch, size])?;
        spectrum.kept = Array::from_host(backend, self.kept.clone(), [batch, size])?;
        plan.eigenpairs_of(spectrum, Array::from_host(backend, self.vectors.clone(), [batch, size, size])?)
    }
}
