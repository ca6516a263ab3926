//! The whole interface under seeded random input, through the boundary that names types at run time: whatever comes, results or an
//! error, no panic, and what the contract promises of any input. For 2 seconds, or as many as `EIGENGRAD_FUZZ_SECONDS` says.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use eigengrad::{
    Cotangents, Cpu, Cut, Device, Dropped, Dtype, Element, Engine, Error, GradientForm, HermitianBatch, Operation, Options,
    Precision, Scalar, Status, TieRule, Triangle, dispatch, eigh, eigh_as, eigvalsh,
};
use fastrand::Rng;
use ndarray::{Array2, Array3, Ix3};
use std::time::{Duration, Instant};

/// A number: ordinary, small, zero, equal to others, or any bits at all.
fn number<T: Element>(random: &mut Rng, wild: bool) -> T {
    let real = |random: &mut Rng| match random.u8(..8) {
        0 => 0.0,
        1 => 1.0,
        2 => f64::from(random.i8(..)) * 1e-3,
        _ => random.f64() - 0.5,
    };
    let bytes: [u8; 16] = std::array::from_fn(|_| random.u8(..));
    match random.u8(..32) {
        0 if wild => T::from_le_bytes(&bytes).unwrap(),
        _ => T::narrow(T::Scalar::from_parts(eigengrad::Real::of(real(random)), eigengrad::Real::of(real(random)))),
    }
}

fn options(random: &mut Rng, n: usize) -> Options {
    let cut = if random.u8(..4) == 0 { Cut::none() } else { Cut::default() };
    let cut = if random.u8(..3) == 0 { cut.with_at_most(random.usize(..n + 2)) } else { cut };
    let cut = if random.u8(..4) == 0 { cut.with_atol(random.f64()) } else { cut };
    let cut = if random.u8(..4) == 0 { cut.with_rtol(random.f64() * 1e-3) } else { cut };
    let cut = if random.u8(..4) == 0 { cut.with_computed_in(Precision::F32) } else { cut };
    let forms = [GradientForm::Hermitian, GradientForm::Triangle(Triangle::Lower), GradientForm::Triangle(Triangle::Upper)];
    Options::default()
        .with_cut(cut)
        .with_ties(random.choice([TieRule::Exact, TieRule::ZeroAndReport, TieRule::Error]).unwrap())
        .with_tie_rtol(random.bool().then(|| random.f64() * 1e-2))
        .with_dropped(random.choice([Dropped::AsComputed, Dropped::Zero]).unwrap())
        .with_gradient(random.choice(forms).unwrap())
}

struct Round<'a>(&'a mut Rng);

impl Operation for Round<'_> {
    type Output = ();

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) {
        let random = self.0;
        let n = random.choice([0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 33, 65, 70]).unwrap();
        let batch = random.usize(..if n > 40 { 4 } else { 40 });
        let wild = random.bool();
        let r = random.usize(..=n);
        let mut a = Array3::from_shape_simple_fn((batch, n, n), || number::<T>(random, wild));
        if random.bool() {
            let b = a.mapv(T::widen); // rank r, with ties and zeros in it
            let product = |m: usize, i: usize, j: usize| {
                (0..r).fold(T::narrow(num_traits::Zero::zero()).widen(), |sum, k| sum + b[[m, i, k]] * b[[m, j, k]].conj())
            };
            a = Array3::from_shape_fn((batch, n, n), |(m, i, j)| T::narrow(product(m, i, j)));
        }
        let options = options(random, n);
        let input = match random.u8(..3) {
            0 => HermitianBatch::on(backend, a.view()),
            1 => HermitianBatch::from_triangle_on(backend, a.view().permuted_axes([0, 2, 1]), Triangle::Upper),
            _ => HermitianBatch::from_triangle_on(backend, a.view(), Triangle::Lower),
        };
        let input = match input {
            Ok(input) => input,
            Err(Error::NotHermitian { matrix, row, column, .. }) => return assert!(matrix < batch && row < n && column < n),
            Err(error) => panic!("{error}"),
        };
        let pairs = eigh_as::<T, T, B>(&input, &options).unwrap();
        let host = eigh(&input, &options).unwrap().to_host().unwrap();
        let alone = eigvalsh(&input, &options).unwrap().to_host().unwrap();
        for m in 0..batch {
            let (values, kept) = (host.values().row(m).to_vec(), host.kept().row(m).to_vec());
            assert_eq!(host.rank()[m] as usize, kept.iter().filter(|&&kept| kept).count());
            assert!(host.status()[m].failed() || values.windows(2).all(|x| x[0] <= x[1]), "λ ascends");
            assert!(!host.status()[m].failed() || kept.iter().all(|kept| !kept), "a failed matrix keeps nothing");
            assert_eq!(host.status()[m].failed(), alone.status()[m].failed());
        }
        let values = Array2::from_shape_simple_fn((batch, n), || number(random, wild));
        let vectors = Array3::from_shape_simple_fn((batch, n, n), || number(random, wild)).into_dimensionality::<Ix3>().unwrap();
        let (with_values, with_vectors) = (random.bool(), random.bool());
        let cotangents =
            Cotangents::new(&pairs, with_values.then(|| values.view()), with_vectors.then(|| vectors.view())).unwrap();
        match pairs.backward_as::<T>(&cotangents) {
            Ok(gradient) => {
                let gradient = gradient.to_host().unwrap();
                for (m, (a_bar, &status)) in gradient.a_bar().outer_iter().zip(gradient.status()).enumerate() {
                    let finite = a_bar.iter().all(|x| x.widen().finite());
                    assert_eq!(
                        finite || n == 0,
                        !status.failed() && !status.intersects(Status::GRADIENT_NOT_FINITE) || n == 0,
                        "matrix {m}: {status}"
                    );
                }
            }
            Err(Error::Matrices(tied)) => {
                assert!(options.ties == TieRule::Error && tied.iter().all(|x| x.1.intersects(Status::TIED)))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn whatever_comes_gives_results_or_an_error() {
    const DTYPES: [Dtype; 8] = [
        Dtype::F16,
        Dtype::Bf16,
        Dtype::F32,
        Dtype::F64,
        Dtype::ComplexF16,
        Dtype::ComplexBf16,
        Dtype::Complex64,
        Dtype::Complex128,
    ];
    let seconds = std::env::var("EIGENGRAD_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Rng::with_seed(seconds);
    while Instant::now() < end {
        let dtype = random.choice(DTYPES).unwrap();
        dispatch(dtype, &Device::Cpu(Cpu::default()), Round(&mut random));
    }
}
