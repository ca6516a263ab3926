//! Gradients at fixed rank against central differences of the loss, and second derivatives against
//! those of the gradient.

use crate::{Kind, flat, loss, random, scalar};
use candle_core::{D, Result, Tensor, Var};
use eigengrad_candle::{
    Complex, Cotangents, Cut, Function, Options, Tangents, eigh, eigh_factor, eigvalsh, fidelity, projector, spectral, trace_of,
};

/// What central differences of step 1e-5 leave of smooth functions of numbers near 1.
const TOLERANCE: f64 = 1e-7;

/// Compares the derivative of `f` along a direction, by candle's backward and by differences.
fn check(name: &str, at: &[&Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<_> = at.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<_> = vars.iter().map(|x| x.as_tensor().clone()).collect();
    let gradients = f(&tensors).unwrap().backward().unwrap();
    let directions: Vec<_> = at.iter().enumerate().map(|(i, x)| random(x.dims(), 7.0 + i as f64)).collect();
    let along: f64 =
        vars.iter().zip(&directions).map(|(x, d)| scalar(&gradients.get(x).unwrap().mul(d).unwrap().sum_all().unwrap())).sum();
    let shifted = |h: f64| {
        let at: Vec<_> = at.iter().zip(&directions).map(|(x, d)| (*x + (d * h).unwrap()).unwrap()).collect();
        scalar(&f(&at).unwrap())
    };
    let h = 1e-5;
    let difference = (shifted(h) - shifted(-h)) / (2.0 * h);
    let error = (along - difference).abs() / difference.abs().max(1.0);
    assert!(error < TOLERANCE, "{name}: {along} by backward, {difference} by differences");
}

/// Matrices of rank 3 and order 6, whose null eigenvalues tie.
fn every_operation<M: Kind>() {
    let options = Options::default();
    let (b, c) = (random(&M::shape(&[2, 6, 3]), 1.0), random(&M::shape(&[2, 6, 3]), 2.0));
    let product = |x: &Tensor| M::of_numbers(x).product();
    check("eigh", &[&b], |x| loss(&eigh(&product(&x[0]), &options)?));
    check("eigh of one matrix", &[&b.get(0).unwrap()], |x| loss(&eigh(&product(&x[0]), &options)?));
    check("eigvalsh", &[&b], |x| {
        let found = eigvalsh(&product(&x[0]), &options)?;
        found.eigenvalues.sqr()?.mul(&found.kept.to_dtype(b.dtype())?)?.sum_all()
    });
    let weights = random(&M::shape(&[2, 6, 6]), 5.0);
    for function in [Function::Sqrt, Function::Rsqrt, Function::Pinv, Function::Log, Function::Exp, Function::Pow(1.5)] {
        check(&format!("{function:?}"), &[&b], |x| {
            spectral(&product(&x[0]), function, &options)?.value.tensor().mul(&weights)?.sum_all()
        });
        check(&format!("tr {function:?}"), &[&b], |x| trace_of(&product(&x[0]), function, &options)?.value.sqr()?.sum_all());
    }
    check("projector", &[&b], |x| projector(&product(&x[0]), &options)?.value.tensor().mul(&weights)?.sum_all());
    check("fidelity", &[&b, &c], |x| fidelity(&product(&x[0]), &product(&x[1]), &options)?.value.sum_all());
    check("fidelity with one", &[&b, &c.get(0).unwrap()], |x| {
        fidelity(&product(&x[0]), &product(&x[1]), &options)?.value.sqr()?.sum_all()
    });
    check("eigh_factor", &[&b], |x| {
        let found = eigh_factor(&M::of_numbers(&x[0]), &options)?;
        let squares = found.eigenvectors.squares().sqr()?;
        squares.mul(&random(squares.dims(), 6.0))?.sum_all()? + found.eigenvalues.sqr()?.sum_all()?
    });
}

#[test]
fn real() {
    every_operation::<Tensor>();
}

#[test]
fn complex() {
    every_operation::<Complex>();
}

/// The tangent of eigenpairs, and the Hessian of a loss times a direction.
fn along_a_direction<M: Kind>() {
    let options = Options::default().with_cut(Cut::at_most(3));
    let (b, d) = (random(&M::shape(&[2, 6, 3]), 1.0), random(&M::shape(&[2, 6, 3]), 8.0));
    let at = |h: f64| M::of_numbers(&(&b + (&d * h).unwrap()).unwrap()).product();
    let (h, pairs) = (1e-5, eigh(&at(0.0), &options).unwrap());
    let difference = |up: &Tensor, down: &Tensor| ((up - down).unwrap() / (2.0 * h)).unwrap();
    let a_dot = M::of(difference(at(h).tensor(), at(-h).tensor()));
    let kept = pairs.kept.to_dtype(b.dtype()).unwrap();
    // L = Σ ½ λ², whose cotangent is λ and whose Hessian is 1.
    let tangents = pairs.jvp(&a_dot).unwrap();
    let [up, down] = [h, -h].map(|h| eigh(&at(h), &options).unwrap());
    let by_difference = difference(&up.eigenvalues, &down.eigenvalues);
    let error = (tangents.eigenvalues - by_difference).unwrap().mul(&kept).unwrap();
    assert!(flat(&error).iter().all(|x| x.abs() < TOLERANCE * 10.0), "{error}");
    let bar = |of: &Tensor| Cotangents::<M> { eigenvalues: Some(of.mul(&kept).unwrap()), eigenvectors: None };
    let second = |tangents: &Tangents<M>| Ok(bar(&tangents.eigenvalues));
    let product = pairs.hvp(&bar(&pairs.eigenvalues), &a_dot, second).unwrap();
    let gradient = |h: f64| {
        let a = Var::from_tensor(at(h).tensor()).unwrap();
        let found = eigh(&M::of(a.as_tensor().clone()), &options).unwrap();
        let loss = (found.eigenvalues.sqr().unwrap().mul(&kept).unwrap().sum_all().unwrap() * 0.5).unwrap();
        loss.backward().unwrap().get(&a).unwrap().clone()
    };
    let by_difference = difference(&gradient(h), &gradient(-h));
    let error = (product.value.tensor() - by_difference).unwrap();
    assert!(flat(&error).iter().all(|x| x.abs() < TOLERANCE * 10.0), "{error}");
    product.status.check().unwrap();
}

#[test]
fn along_a_direction_real() {
    along_a_direction::<Tensor>();
}

#[test]
fn along_a_direction_complex() {
    along_a_direction::<Complex>();
}

/// A model that decomposes twice: what the first has found goes into the second.
#[test]
fn two_decompositions() {
    let b = random(&[2, 5, 5], 1.0);
    let options = Options::default().with_cut(Cut::none());
    check("two decompositions", &[&b], |x| {
        let a = (&x[0] + x[0].transpose(1, 2)?)?;
        let first = eigh(&a, &options)?;
        let squares = first.eigenvectors.sqr()?.matmul(&first.eigenvectors.sqr()?.transpose(1, 2)?.contiguous()?)?;
        let shifted = squares.broadcast_mul(&first.eigenvalues.sqr()?.sum_keepdim(D::Minus1)?.unsqueeze(D::Minus1)?)?;
        loss(&eigh(&shifted, &options)?)
    });
}
