//! Every operation of the interface on one batch of arbitrary choices, and what the contract
//! promises of any input.

use super::source::Source;
use eigengrad::{
    Cotangents, Cpu, Cut, Device, Dropped, Dtype, Element, Engine, Error, FactorBatch, Function, GradientForm, HermitianBatch,
    HermitianResult, Operation, Options, Precision, Real, Result, Scalar, Spectral, Status, TieRule, Triangle, dispatch, eigh,
    eigh_as, eigh_factor_as, eigvalsh, fidelity,
};
use half::{bf16, f16};
use ndarray::{Array2, Array3};

/// One batch of matrices and all that is done with it.
pub fn round(source: &mut Source<'_>) {
    let dtype = source.of([
        Dtype::F16,
        Dtype::Bf16,
        Dtype::F32,
        Dtype::F64,
        Dtype::ComplexF16,
        Dtype::ComplexBf16,
        Dtype::Complex64,
        Dtype::Complex128,
    ]);
    dispatch(dtype, &Device::Cpu(Cpu::default()), Round(source));
}

/// A number: ordinary, small, zero, equal to others, or any bits at all.
fn number<T: Element>(source: &mut Source<'_>, wild: bool) -> T {
    let wild = wild && source.once_in(32);
    let mut part = || match source.below(8) {
        _ if wild => Real::of(match T::PRECISION {
            Precision::F16 => f16::from_bits(source.bits() as u16).to_f64(),
            Precision::Bf16 => bf16::from_bits(source.bits() as u16).to_f64(),
            Precision::F32 => f32::from_bits(source.bits() as u32).into(),
            _ => f64::from_bits(source.bits()),
        }),
        0 => Real::of(0.0),
        1 => Real::of(1.0),
        2 => Real::of(f64::from(source.byte().cast_signed()) * 1e-3),
        _ => Real::of(source.unit() - 0.5),
    };
    T::narrow(T::Scalar::from_parts(part(), part()))
}

fn numbers<T: Element>(source: &mut Source<'_>, shape: (usize, usize, usize), wild: bool) -> Array3<T> {
    Array3::from_shape_simple_fn(shape, || number(source, wild))
}

fn options(source: &mut Source<'_>, n: usize) -> Options {
    let cut = if source.once_in(4) { Cut::none() } else { Cut::default() };
    let cut = if source.once_in(3) { cut.with_at_most(source.below(n + 2)) } else { cut };
    let cut = if source.once_in(4) { cut.with_atol(source.unit()) } else { cut };
    let cut = if source.once_in(4) { cut.with_rtol(source.unit() * 1e-3) } else { cut };
    let cut = if source.once_in(4) { cut.with_computed_in(Precision::F32) } else { cut };
    let [lower, upper] = [Triangle::Lower, Triangle::Upper].map(GradientForm::Triangle);
    let tie_rtol = source.once_in(2).then(|| source.unit() * 1e-2);
    Options::default()
        .with_cut(cut)
        .with_ties(source.of([TieRule::Exact, TieRule::ZeroAndReport, TieRule::Error]))
        .with_tie_rtol(tie_rtol)
        .with_dropped(source.of([Dropped::AsComputed, Dropped::Zero]))
        .with_gradient(source.of([GradientForm::Hermitian, lower, upper]))
}

/// What an operation gives, unless matrices tie and that was to be an error.
fn unless_tied<R>(options: &Options, result: Result<R>) -> Option<R> {
    match result {
        Ok(result) => Some(result),
        Err(Error::Matrices(tied)) => {
            assert!(options.ties == TieRule::Error && tied.iter().all(|x| x.1.intersects(Status::TIED)));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What is not finite has a status that says so.
fn told<'a, E: Element>(numbers: impl IntoIterator<Item = &'a E>, status: Status) {
    let finite = numbers.into_iter().all(|x| x.widen().finite());
    let says = Status::RESULT_NOT_FINITE | Status::GRADIENT_NOT_FINITE | Status::OUTSIDE_DOMAIN;
    assert!(finite || status.failed() || status.intersects(says), "{status}");
}

fn each_told<O: Element, B: Engine<O::Scalar>>(options: &Options, result: Result<HermitianResult<O, B>>) {
    let Some(result) = unless_tied(options, result) else { return };
    let result = result.to_host().unwrap();
    result.data().outer_iter().zip(result.status()).for_each(|(data, &status)| told(data, status));
}

struct Round<'s, 'a>(&'s mut Source<'a>);

impl Operation for Round<'_, '_> {
    type Output = ();

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) {
        let source = self.0;
        let n = source.of([0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 33, 65, 70]);
        let batch = source.below(if n > 40 { 4 } else { 40 });
        let wild = source.once_in(2);
        let r = source.below(n + 1);
        let mut a = numbers::<T>(source, (batch, n, n), wild);
        if source.once_in(2) {
            let b = a.mapv(T::widen); // rank r, with ties and zeros in it
            let product = |m: usize, i: usize, j: usize| {
                (0..r).fold(num_traits::Zero::zero(), |sum: T::Scalar, k| sum + b[[m, i, k]] * b[[m, j, k]].conj())
            };
            a = Array3::from_shape_fn((batch, n, n), |(m, i, j)| T::narrow(product(m, i, j)));
        }
        let options = options(source, n);
        let input = match source.below(3) {
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
        let bars = |source: &mut Source<'_>| {
            let values = Array2::from_shape_simple_fn((batch, n), || number(source, wild));
            let vectors = numbers::<T>(source, (batch, n, n), wild);
            let (values, vectors) = (source.once_in(2).then_some(values), source.once_in(2).then_some(vectors));
            Cotangents::new(&pairs, values.as_ref().map(|x| x.view()), vectors.as_ref().map(|x| x.view())).unwrap()
        };
        let (first, second) = (bars(source), bars(source));
        if let Some(gradient) = unless_tied(&options, pairs.backward_as::<T>(&first)) {
            let gradient = gradient.to_host().unwrap();
            for (m, (a_bar, &status)) in gradient.a_bar().outer_iter().zip(gradient.status()).enumerate() {
                let finite = a_bar.iter().all(|x| x.widen().finite());
                let says = status.failed() || status.intersects(Status::GRADIENT_NOT_FINITE);
                assert!(n == 0 || finite != says, "matrix {m}: {status}");
            }
        }
        // A direction as it comes, of which a triangle is read.
        let direction = numbers::<T>(source, (batch, n, n), wild);
        let direction = HermitianBatch::from_triangle_on(backend, direction.view(), Triangle::Upper).unwrap();
        if let Some(tangents) = unless_tied(&options, pairs.jvp(&direction)) {
            let tangents = tangents.to_host().unwrap();
            for ((v, l), &status) in tangents.vectors().outer_iter().zip(tangents.values().outer_iter()).zip(tangents.status()) {
                told(v, status);
                told(l, status);
            }
        }
        each_told(&options, pairs.backward_jvp(&first, &direction, &second));
        if let Some(double) =
            unless_tied(&options, pairs.double_backward(&first, &direction, source.once_in(2).then_some(&second)))
        {
            let double = double.to_host().unwrap();
            double.a_bar().outer_iter().zip(double.status()).for_each(|(a_bar, &status)| told(a_bar, status));
            double.vectors_bar_bar().outer_iter().zip(double.status()).for_each(|(v, &status)| told(v, status));
        }
        let power = Function::Pow(source.unit() * 8.0 - 4.0);
        let function = source.of([
            Function::Projector,
            Function::Sqrt,
            Function::Rsqrt,
            Function::Pinv,
            Function::Log,
            Function::Exp,
            Function::XLogX,
            power,
        ]);
        let given = |pairs| Spectral::of(pairs, |x| x * x, |x| x + x).unwrap();
        let function = if source.once_in(9) { given(&pairs) } else { function.into() };
        each_told(&options, pairs.spectral(&function));
        each_told(&options, pairs.spectral_derivative(&function, &direction));
        let trace = pairs.trace_of(&function).unwrap();
        each_told(&options, Ok(trace.gradient));
        assert_eq!(trace.values.to_host().unwrap().len(), batch);
        two_states::<T, B>(source, backend, &options, (batch, n));
        factors::<T, B>(source, backend, &options, (batch, n, r), wild);
    }
}

/// The fidelity of two positive matrices, one of which may be of lower rank.
fn two_states<T: Element, B: Engine<T::Scalar>>(
    source: &mut Source<'_>,
    backend: &B,
    options: &Options,
    (batch, n): (usize, usize),
) {
    if n > 20 {
        return;
    }
    let mut state = |r: usize| {
        let b = numbers::<T::Scalar>(source, (batch, n, r), false);
        let product = |m: usize, i: usize, j: usize| {
            (0..r).fold(num_traits::Zero::zero(), |sum: T::Scalar, k| sum + b[[m, i, k]] * b[[m, j, k]].conj())
        };
        let a = Array3::from_shape_fn((batch, n, n), |(m, i, j)| product(m, i, j));
        HermitianBatch::from_triangle_on(backend, a.view(), Triangle::Lower).unwrap()
    };
    let (a, b) = (state(n), state(n.div_ceil(2)));
    if let Some(fidelity) = unless_tied(options, fidelity(&a, &b, options)) {
        assert_eq!(fidelity.root.to_host().unwrap().len(), batch);
    }
}

/// Eigenpairs of B Bᴴ, and B̄.
fn factors<T: Element, B: Engine<T::Scalar>>(
    source: &mut Source<'_>,
    backend: &B,
    options: &Options,
    (batch, n, r): (usize, usize, usize),
    wild: bool,
) {
    let b = numbers::<T>(source, (batch, n, r), wild);
    let b = FactorBatch::on(backend, b.view()).unwrap();
    let pairs = eigh_factor_as::<T, T, B>(&b, options).unwrap();
    let host = pairs.to_host().unwrap();
    for m in 0..batch {
        assert_eq!(host.rank()[m] as usize, host.kept().row(m).iter().filter(|&&kept| kept).count());
    }
    let values = Array2::from_shape_simple_fn((batch, r), || number(source, wild));
    let vectors = numbers::<T>(source, (batch, n, r), wild);
    let bars = pairs.cotangents(Some(values.view()), Some(vectors.view())).unwrap();
    if let Some(gradient) = unless_tied(options, pairs.backward(&bars)) {
        let gradient = gradient.to_host().unwrap();
        gradient.b_bar().outer_iter().zip(gradient.status()).for_each(|(b_bar, &status)| told(b_bar, status));
    }
}
