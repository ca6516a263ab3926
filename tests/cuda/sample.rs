//! Batches to test with, and comparisons of results.

use eigengrad::cuda::Cuda;
use eigengrad::{
    Cotangents, Cpu, Eigenpairs, Element, ElementOf, Engine, Gradient, HermitianBatch, Options, Real, Scalar, eigh_as,
};
use ndarray::{Array2, Array3};

/// Positive semi-definite matrices of rank n − n/3, `[batch, n, n]`.
pub fn matrices<T: Element>(batch: usize, n: usize, seed: u64) -> Array3<T> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let rank = n - n / 3;
    let mut a = Array3::from_elem((batch, n, n), T::default());
    for mut a in a.outer_iter_mut() {
        let x = Array2::from_shape_simple_fn((n, rank), || number::<T::Scalar>(&mut rng));
        let product = x.dot(&x.t().mapv(Scalar::conj));
        a.zip_mut_with(&product, |a, &x| *a = T::narrow(x));
    }
    a
}

/// Numbers of modulus about 1.
pub fn numbers<T: Element>(shape: (usize, usize, usize), seed: u64) -> Array3<T> {
    let mut rng = fastrand::Rng::with_seed(seed);
    Array3::from_shape_simple_fn(shape, || T::narrow(number::<T::Scalar>(&mut rng)))
}

fn number<T: Scalar>(rng: &mut fastrand::Rng) -> T {
    T::from_parts(Real::of(rng.f64() * 2.0 - 1.0), Real::of(rng.f64() * 2.0 - 1.0))
}

/// What a forward and a backward pass give, on the host.
pub type Results<O> = (Eigenpairs<O, Cpu>, Gradient<O, Cpu>);

/// Decomposes `a` and takes the gradient of arbitrary cotangents, results stored as `O`.
pub fn run<T: Element, O: ElementOf<T::Scalar>>(cuda: &Cuda, a: &Array3<T>, options: &Options) -> Results<O>
where
    Cuda: Engine<T::Scalar> + Engine<O::Scalar>,
{
    let batch = HermitianBatch::on(cuda, a.view()).unwrap();
    let pairs = eigh_as::<T, O, Cuda>(&batch, options).unwrap();
    let values_bar = numbers::<O::Real>((1, pairs.batch(), pairs.n()), 7);
    let vectors_bar = numbers::<O>((pairs.batch(), pairs.n(), pairs.n()), 8);
    let values_bar = values_bar.index_axis(ndarray::Axis(0), 0);
    let cotangents = Cotangents::new(&pairs, Some(values_bar), Some(vectors_bar.view())).unwrap();
    let gradient = pairs.backward(&cotangents).unwrap();
    (pairs.to_host().unwrap(), gradient.to_host().unwrap())
}

/// The bytes of the parts of numbers, as of f64, which holds every number exactly.
pub fn bytes<'a, T: Element>(numbers: impl IntoIterator<Item = &'a T>) -> Vec<u8> {
    let parts = |x: T::Scalar| [x.re(), x.im()].into_iter().flat_map(|part| part.to_f64().to_le_bytes());
    numbers.into_iter().flat_map(|x| parts(x.widen())).collect()
}

/// Asserts that two runs have the same bits.
pub fn assert_same<O: Element>(one: &Results<O>, other: &Results<O>) {
    let ((pairs, gradient), (other_pairs, other_gradient)) = (one, other);
    assert_eq!(bytes(pairs.values()), bytes(other_pairs.values()), "λ");
    assert_eq!(bytes(pairs.vectors()), bytes(other_pairs.vectors()), "V");
    assert_eq!((pairs.kept(), pairs.rank(), pairs.status()), (other_pairs.kept(), other_pairs.rank(), other_pairs.status()));
    assert_eq!(bytes(gradient.a_bar()), bytes(other_gradient.a_bar()), "Ā");
    assert_eq!(bytes(gradient.gauge_defect()), bytes(other_gradient.gauge_defect()), "ρ");
    assert_eq!((gradient.tie_defect(), gradient.status()), (other_gradient.tie_defect(), other_gradient.status()));
}
