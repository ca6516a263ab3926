//! What holds for every operation beyond the first backward: a matrix's bits are its own, lengths
//! are checked, halves are storage.

use crate::backward::mixed;
use crate::calculus_oracle::Bars;
use crate::numbers::{C, Matrix, bits, narrow, rounded, rows, stack, wide};
use crate::plan::{BATCH, N, each_length};
use crate::random::Rng;
use crate::run;
use crate::second::random_bars;
use crate::tangents::directions;
use eigengrad::{
    Array, Cotangents, Cpu, Derivative, Eigenpairs, Element, Engine, Error, Function, HermitianBatch, HermitianResult, Options,
    Plan, Result, Scalar, SchurMultiplier, Spectral, Status, Triangle, eigh_as,
};
use ndarray::{Array2, ArrayView1, ArrayView3, Axis};

/// What every operation is given for each matrix.
#[derive(Clone)]
struct Input {
    a: Matrix,
    e: Matrix,
    bars: Bars,
    more: Bars,
}

fn inputs<T: Scalar>(n: usize, count: usize, seed: u64) -> Vec<Input> {
    let mut rng = Rng::new(seed);
    let (a, e) = (mixed::<T>(n, count, &mut rng), directions::<T>(n, count, &mut rng));
    let (bars, more) = (random_bars::<T>(n, count, &mut rng), random_bars::<T>(n, count, &mut rng));
    let all = a.into_iter().zip(e).zip(bars).zip(more);
    all.map(|(((a, e), bars), more)| Input { a, e, bars, more }).collect()
}

/// The names, bits and statuses of all results of a matrix.
type Bits = Vec<(&'static str, Vec<u64>, Status)>;

fn bars<O: Element, B: Engine<O::Scalar>>(pairs: &Eigenpairs<O, B>, bars: &[&Bars]) -> Cotangents<O, B> {
    let (values, vectors): (Vec<_>, Vec<_>) = bars.iter().map(|x| (x.values.clone(), x.vectors.clone())).unzip();
    let (values, vectors) = (rows::<O::Real>(pairs.n(), &values), stack::<O>(pairs.n(), &vectors));
    Cotangents::new(pairs, Some(values.view()), Some(vectors.view())).unwrap()
}

fn add<O: Element>(all: &mut [Bits], name: &'static str, x: ArrayView3<'_, O>, status: ArrayView1<'_, Status>) {
    let batch = all.len();
    for (b, status) in status.iter().enumerate() {
        all[b % batch].push((name, x.index_axis(Axis(0), b).iter().copied().flat_map(bits).collect(), *status));
    }
}

/// Runs everything on eigenpairs stored as `O`.
fn everything<O: Element, B: Engine<O::Scalar>>(backend: &B, pairs: &Eigenpairs<O, B>, inputs: &[Input]) -> Vec<Bits> {
    let (n, batch) = (pairs.n(), inputs.len());
    let e: Vec<_> = inputs.iter().map(|x| x.e.clone()).collect();
    // halves, as e is: ½e may be too small for one
    let twice: Vec<_> = e.iter().chain(&e).map(|e| e.mapv(|x| x * 2.0)).collect();
    let (e, twice) = (run::hermitian::<O, B>(backend, n, &e), run::hermitian::<O, B>(backend, n, &twice));
    let of_loss = bars(pairs, &inputs.iter().map(|x| &x.bars).collect::<Vec<_>>());
    let more = bars(pairs, &inputs.iter().map(|x| &x.more).collect::<Vec<_>>());
    let mut all = vec![Bits::new(); batch];
    let tangents = pairs.jvp(&twice).unwrap().to_host().unwrap();
    add(&mut all, "V̇", tangents.vectors(), tangents.status());
    let tangent = pairs.backward_jvp(&of_loss, &e, &more).unwrap().to_host().unwrap();
    add(&mut all, "Ā̇", tangent.data(), tangent.status());
    let second = pairs.double_backward(&of_loss, &e, Some(&more)).unwrap().to_host().unwrap();
    add(&mut all, "Ā̄", second.a_bar(), second.status());
    add(&mut all, "V̄̄", second.vectors_bar_bar(), second.status());
    for function in [Function::Projector, Function::Exp, Function::Sqrt, Function::Pow(2.0)].map(Spectral::from) {
        let values = pairs.spectral(&function).unwrap().to_host().unwrap();
        add(&mut all, "f(A)", values.data(), values.status());
        let derivative = pairs.spectral_derivative(&function, &e).unwrap().to_host().unwrap();
        add(&mut all, "f¹", derivative.data(), derivative.status());
        let trace = pairs.trace_of(&function).unwrap();
        let slopes = trace.gradient.to_host().unwrap();
        add(&mut all, "f′(A)", slopes.data(), slopes.status());
        let sums = trace.values.to_host().unwrap();
        sums.iter().enumerate().for_each(|(b, &x)| all[b].push(("tr f(A)", bits(x).collect(), Status::OK)));
    }
    for (b, of_matrix) in all.iter_mut().enumerate() {
        let values = tangents.values();
        let both = values.row(b).into_iter().chain(values.row(batch + b)).copied();
        of_matrix.push(("λ̇", both.flat_map(bits).collect(), Status::OK));
        of_matrix.push(("λ̄̄", second.values_bar_bar().row(b).iter().copied().flat_map(bits).collect(), Status::OK));
    }
    all
}

fn of<T: Scalar, B: Engine<T>>(backend: &B, inputs: &[Input]) -> Vec<Bits> {
    let a: Vec<_> = inputs.iter().map(|x| x.a.clone()).collect();
    let (pairs, _) = run::eigh::<T, B>(backend, a[0].nrows(), &a, &Options::default());
    everything(backend, &pairs, inputs)
}

fn assert_same(one: &Bits, other: &Bits, what: &str) {
    for ((name, x, status), (_, y, other)) in one.iter().zip(other) {
        assert!(x == y, "{name}: {what}");
        assert_eq!(status, other, "{name}: {what}");
    }
}

pub fn the_same_bits_of_every_operation<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [1, 3, 16, 33, 67] {
        let inputs = inputs::<T>(n, 17, 101);
        let all = of::<T, B>(backend, &inputs);
        let again = of::<T, B>(backend, &inputs);
        let reversed = of::<T, B>(backend, &inputs.iter().rev().cloned().collect::<Vec<_>>());
        let some = of::<T, B>(backend, &inputs[3..10]);
        for b in 0..17 {
            assert_same(&all[b], &again[b], &format!("again, n = {n}, matrix {b}"));
            assert_same(&all[b], &reversed[16 - b], &format!("reversed, n = {n}, matrix {b}"));
            if (3..10).contains(&b) && run::has_bits_of_its_own::<B>(n) {
                assert_same(&all[b], &some[b - 3], &format!("some, n = {n}, matrix {b}"));
            }
            if n < 67 {
                assert_same(&all[b], &of::<T, B>(backend, &inputs[b..=b])[0], &format!("alone, n = {n}, matrix {b}"));
            }
        }
    }
}

/// A matrix, a direction or a cotangent that is not finite makes that matrix's results NaN, and
/// leaves the others alone.
pub fn one_bad_matrix_beside_others<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [2, 16, 67] {
        let mut inputs = inputs::<T>(n, 17, 102);
        let clean = of::<T, B>(backend, &inputs);
        let nan = C::new(f64::NAN, 0.0);
        inputs[4].a[[n - 1, 0]] = nan;
        inputs[9].e[[0, 0]] = nan;
        inputs[12].bars.vectors.fill(nan);
        let dirty = of::<T, B>(backend, &inputs);
        for b in 0..17 {
            if ![4, 9, 12].contains(&b) {
                assert_same(&clean[b], &dirty[b], &format!("n = {n}, matrix {b}"));
            }
        }
        for (name, bits, status) in &dirty[4] {
            assert!(bits.iter().all(|&x| f64::from_bits(x).is_nan()), "{name}, n = {n}");
            assert!(["tr f(A)", "λ̇", "λ̄̄"].contains(name) || *status == Status::NOT_FINITE, "{name}, n = {n}: {status}");
        }
        for (name, _, status) in &dirty[9] {
            let without_e = ["tr f(A)", "λ̇", "λ̄̄", "f(A)", "f′(A)"].contains(name);
            let outside = *name == "f¹" && status.intersects(Status::OUTSIDE_DOMAIN);
            assert!(without_e || outside || status.intersects(Status::RESULT_NOT_FINITE), "{name}, n = {n}: {status}");
        }
    }
}

/// One thread or three: the same bits.
pub fn operations_by_any_number_of_threads<T: Scalar, B: Engine<T>>(backend: &B) {
    // From n = 256 on, threads share each matrix, too.
    for (n, count) in [(3, 41), (16, 41), (67, 41), (300, 3)] {
        let inputs = inputs::<T>(n, count, 103);
        let expected = of::<T, B>(backend, &inputs);
        for threads in [1, 3] {
            let got = of::<T, Cpu>(&Cpu::with_threads(threads).unwrap(), &inputs);
            (0..count).for_each(|b| assert_same(&expected[b], &got[b], &format!("{threads} threads, n = {n}, matrix {b}")));
        }
    }
}

/// Every operation in turn through one scratch memory, which holds what the others left: the same
/// as with fresh memory.
pub fn operations_reuse_their_memory<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [3, 16, 67] {
        let plan = Plan::<T, B>::new(backend, 9, n, &Options::default()).unwrap();
        let scratch = plan.scratch().unwrap();
        for seed in 0..3 {
            let inputs = inputs::<T>(n, 9, 110 + seed);
            let a: Vec<_> = inputs.iter().map(|x| x.a.clone()).collect();
            let (pairs, _) = run::eigh::<T, B>(backend, n, &a, &Options::default());
            let fresh = everything(backend, &pairs, &inputs);
            let named = |b: usize, name| fresh[b].iter().find(|x| x.0 == name).unwrap();
            let e = run::hermitian::<T, B>(backend, n, &inputs.iter().map(|x| x.e.mapv(|x| x * 2.0)).collect::<Vec<_>>());
            let twice = run::hermitian::<T, B>(backend, n, &inputs.iter().map(|x| x.e.clone()).collect::<Vec<_>>());
            let of_loss = bars(&pairs, &inputs.iter().map(|x| &x.bars).collect::<Vec<_>>());
            let more = bars(&pairs, &inputs.iter().map(|x| &x.more).collect::<Vec<_>>());
            let (mut tangents, mut second) = (plan.tangents::<T>(1).unwrap(), plan.double_gradient::<T>().unwrap());
            let (mut tangent, mut values) = (plan.matrices::<T>().unwrap(), plan.matrices::<T>().unwrap());
            let (scratch, function) = (&scratch, Spectral::from(Function::Projector));
            let none = Cotangents::new(&pairs, None, None).unwrap();
            plan.backward_jvp_into(pairs.view(), none.view(), e.view(), none.view(), tangent.view_mut(), scratch).unwrap();
            plan.jvp_into(pairs.view(), e.view(), tangents.view_mut(), scratch).unwrap();
            plan.double_backward_into(pairs.view(), of_loss.view(), twice.view(), more.view(), second.view_mut(), scratch)
                .unwrap();
            plan.spectral_into(pairs.view(), function.view(), Derivative::Zeroth, values.view_mut(), scratch).unwrap();
            plan.backward_jvp_into(pairs.view(), of_loss.view(), twice.view(), more.view(), tangent.view_mut(), scratch).unwrap();
            let (tangents, second) = (tangents.to_host().unwrap(), second.to_host().unwrap());
            let (tangent, values) = (tangent.to_host().unwrap(), values.to_host().unwrap());
            let all = [
                ("V̇", tangents.vectors()),
                ("Ā̄", second.a_bar()),
                ("V̄̄", second.vectors_bar_bar()),
                ("Ā̇", tangent.data()),
                ("f(A)", values.data()),
            ];
            for (name, got) in all {
                for b in 0..9 {
                    let got = got.index_axis(Axis(0), b).iter().copied().flat_map(bits).collect::<Vec<_>>();
                    assert!(named(b, name).1 == got, "{name}, n = {n}, matrix {b}, step {seed}");
                }
            }
        }
    }
}

/// Eigenpairs of which each array has as many matrices as it is told.
macro_rules! pairs {
    ($plan:expr, $backend:expr, $batches:expr => $pairs:ident) => {
        let [values, vectors, kept, status] = $batches;
        let (values, vectors) = (Array::zeros($backend, [values, N])?, Array::zeros($backend, [vectors, N, N])?);
        let (kept, status) = (Array::zeros($backend, [kept, N])?, Array::zeros($backend, [status])?);
        let $pairs = $plan.eigenpairs_view::<T>(values.view(), kept.view(), status.view(), vectors.view())?;
    };
}

/// One triangle of as many matrices.
macro_rules! hermitian {
    ($backend:expr, $batch:expr => $e:ident) => {
        let $e = HermitianBatch::<T, B>::of(Array::zeros($backend, [$batch, N, N])?, Triangle::Lower)?;
    };
}

/// A function given at the eigenvalues of as many matrices.
fn given<T: Scalar, B: Engine<T>>(backend: &B, values: usize, slopes: usize) -> Result<Spectral<T, B>> {
    Ok(Spectral::Given { values: Array::zeros(backend, [values, N])?, slopes: Array::zeros(backend, [slopes, N])? })
}

/// λ̄ and V̄ of as many matrices.
fn two_bars<T: Scalar, B: Engine<T>>(backend: &B, values: usize, vectors: usize) -> Result<Cotangents<T, B>> {
    let (values, vectors) = (Array::zeros(backend, [values, N])?, Array::zeros(backend, [vectors, N, N])?);
    Ok(Cotangents::from_columns(Some(values), Some(vectors)))
}

/// Where one matrix for each of as many goes.
fn matrices<T: Scalar, B: Engine<T>>(
    backend: &B,
    plan: &Plan<T, B>,
    data: usize,
    status: usize,
) -> Result<HermitianResult<T, B>> {
    let mut out = plan.matrices()?;
    (out.data, out.status) = (Array::zeros(backend, [data, N, N])?, Array::zeros(backend, [status])?);
    Ok(out)
}

const PAIRS: [&str; 4] = ["λ", "V", "kept", "status"];

pub fn wrong_lengths_for_jvp<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = Plan::<T, B>::new(backend, BATCH, N, &Options::default()).unwrap();
    let [values, vectors, kept, status] = PAIRS;
    each_length([values, vectors, kept, status, "Ȧ", "λ̇", "V̇"], |[values, vectors, kept, status, a_dot, l, v]| {
        pairs!(plan, backend, [values, vectors, kept, status] => pairs);
        hermitian!(backend, a_dot => a_dot);
        let mut out = plan.tangents::<T>(1)?;
        (out.values, out.vectors) = (Array::zeros(backend, [l, N])?, Array::zeros(backend, [v, N, N])?);
        plan.jvp_into(pairs, a_dot.view(), out.view_mut(), &plan.scratch()?)
    });
    let (pairs, _) = run::eigh::<T, B>(backend, N, &[Array2::eye(N), Array2::eye(N)], &Options::default());
    for wrong in [1, 3] {
        let a_dot = run::hermitian::<T, B>(backend, N, &vec![Array2::eye(N); wrong]);
        assert!(matches!(pairs.jvp(&a_dot), Err(Error::Shape { what: "Ȧ", .. })));
    }
    let other = run::hermitian::<T, B>(backend, N - 1, &[Array2::eye(N - 1), Array2::eye(N - 1)]);
    assert!(matches!(pairs.jvp(&other), Err(Error::Shape { what: "Ȧ", .. })));
    let bars = Cotangents::new(&pairs, None, None).unwrap();
    assert!(matches!(pairs.double_backward(&bars, &other, None), Err(Error::Shape { what: "H", .. })));
    assert!(matches!(pairs.backward_jvp(&bars, &other, &bars), Err(Error::Shape { what: "Ȧ", .. })));
    assert!(matches!(pairs.spectral_derivative(&Function::Exp.into(), &other), Err(Error::Shape { what: "E", .. })));
}

pub fn wrong_lengths_for_second_derivatives<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = Plan::<T, B>::new(backend, BATCH, N, &Options::default()).unwrap();
    let [values, vectors, kept, status] = PAIRS;
    let arguments = [values, vectors, kept, status, "λ̄", "V̄", "λ̄", "V̄", "H", "Ā", "λ̄̄", "V̄̄", "status"];
    each_length(arguments, |[values, vectors, kept, status, l, v, l2, v2, h, a_bar, l_bar, v_bar, found]| {
        pairs!(plan, backend, [values, vectors, kept, status] => pairs);
        let (bars, more) = (two_bars(backend, l, v)?, two_bars(backend, l2, v2)?);
        hermitian!(backend, h => h);
        let mut out = plan.double_gradient::<T>()?;
        (out.a_bar, out.status) = (Array::zeros(backend, [a_bar, N, N])?, Array::zeros(backend, [found])?);
        (out.values_bar_bar, out.vectors_bar_bar) = (Array::zeros(backend, [l_bar, N])?, Array::zeros(backend, [v_bar, N, N])?);
        plan.double_backward_into(pairs, bars.view(), h.view(), more.view(), out.view_mut(), &plan.scratch()?)
    });
    let arguments = [values, vectors, kept, status, "λ̄", "V̄", "λ̄", "V̄", "Ȧ", "matrices", "status"];
    each_length(arguments, |[values, vectors, kept, status, l, v, l2, v2, a_dot, data, found]| {
        pairs!(plan, backend, [values, vectors, kept, status] => pairs);
        let (bars, more) = (two_bars(backend, l, v)?, two_bars(backend, l2, v2)?);
        hermitian!(backend, a_dot => a_dot);
        let mut out = matrices(backend, &plan, data, found)?;
        plan.backward_jvp_into(pairs, bars.view(), a_dot.view(), more.view(), out.view_mut(), &plan.scratch()?)
    });
}

pub fn wrong_lengths_for_functions<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = Plan::<T, B>::new(backend, BATCH, N, &Options::default()).unwrap();
    let [values, vectors, kept, status] = PAIRS;
    let arguments = [values, vectors, kept, status, "f(λ)", "f′(λ)", "matrices", "status"];
    each_length(arguments, |[values, vectors, kept, status, f, slopes, data, found]| {
        pairs!(plan, backend, [values, vectors, kept, status] => pairs);
        let mut out = matrices(backend, &plan, data, found)?;
        let function = given(backend, f, slopes)?;
        plan.spectral_into(pairs, function.view(), Derivative::Zeroth, out.view_mut(), &plan.scratch()?)
    });
    let arguments = [values, vectors, kept, status, "f(λ)", "f′(λ)", "E", "scale", "matrices", "status"];
    each_length(arguments, |[values, vectors, kept, status, f, slopes, e, scale, data, found]| {
        pairs!(plan, backend, [values, vectors, kept, status] => pairs);
        hermitian!(backend, e => e);
        let (function, scale) = (given(backend, f, slopes)?, Array::zeros(backend, [scale])?);
        let mut out = matrices(backend, &plan, data, found)?;
        let (function, scale, scratch) = (function.view(), Some(scale.view()), &plan.scratch()?);
        plan.map_into(pairs, function, SchurMultiplier::Divided, e.view(), scale, out.view_mut(), scratch)
    });
    let arguments = [values, vectors, kept, status, "f(λ)", "f′(λ)", "tr f(A)", "status"];
    each_length(arguments, |[values, vectors, kept, status, f, slopes, sums, found]| {
        pairs!(plan, backend, [values, vectors, kept, status] => pairs);
        let (mut sums, mut found) = (Array::zeros(backend, [sums])?, Array::zeros(backend, [found])?);
        plan.trace_into(pairs, given(backend, f, slopes)?.view(), sums.view_mut(), found.view_mut())
    });
}

pub fn scratch_of_another_plan<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = |n| Plan::<T, B>::new(backend, 1, n, &Options::default()).unwrap();
    let (pairs, _) = run::eigh::<T, B>(backend, 3, &[Array2::eye(3)], &Options::default());
    let (e, bars) = (run::hermitian::<T, B>(backend, 3, &[Array2::eye(3)]), Cotangents::new(&pairs, None, None).unwrap());
    let (plan, others, function) = (plan(3), [plan(2), plan(4)], Spectral::from(Function::Exp));
    let (mut tangents, mut matrices) = (plan.tangents::<T>(1).unwrap(), plan.matrices::<T>().unwrap());
    let mut second = plan.double_gradient::<T>().unwrap();
    for other in others {
        let scratch = &other.scratch().unwrap();
        let refused = |result| assert!(matches!(result, Err(Error::Workspace { batch: 1, n: 3 })), "{result:?}");
        let of_loss = || bars.view();
        refused(plan.jvp_into(pairs.view(), e.view(), tangents.view_mut(), scratch));
        refused(plan.backward_jvp_into(pairs.view(), of_loss(), e.view(), of_loss(), matrices.view_mut(), scratch));
        refused(plan.double_backward_into(pairs.view(), of_loss(), e.view(), of_loss(), second.view_mut(), scratch));
        refused(plan.spectral_into(pairs.view(), function.view(), Derivative::Zeroth, matrices.view_mut(), scratch));
        let map =
            plan.map_into(pairs.view(), function.view(), SchurMultiplier::Product, e.view(), None, matrices.view_mut(), scratch);
        refused(map);
    }
}

/// Of pairs stored as halves, every result is that of f32 on the same numbers, rounded.
pub fn operations_stored_as_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let mut rng = Rng::new(104);
    for n in [3, 16, 67] {
        let mut inputs = inputs::<T::Scalar>(n, 5, 105);
        for input in &mut inputs {
            input.a = rng.of_rank::<T>(n, n.div_ceil(2), false);
            for x in [&mut input.e, &mut input.bars.vectors, &mut input.more.vectors] {
                *x = rounded::<T>(x);
            }
            for x in [&mut input.bars.values, &mut input.more.values] {
                x.iter_mut().for_each(|x| *x = wide(narrow::<T::Real>(C::new(*x, 0.0))).re);
            }
        }
        let a = stack::<T>(n, &inputs.iter().map(|x| x.a.clone()).collect::<Vec<_>>());
        let stored = eigh_as::<T, T, B>(&HermitianBatch::on(backend, a.view()).unwrap(), &Options::default()).unwrap();
        let host = stored.to_host().unwrap();
        // the same numbers as f32, under the same problem
        let options = Options::default().with_tie_rtol(T::PRECISION.cutoff(n));
        let plan = Plan::<T, B>::new(backend, 5, n, &options).unwrap();
        let mut widened = plan.eigenpairs::<T::Scalar>().unwrap();
        let values = host.values().iter().map(|x| x.widen()).collect();
        widened.spectrum.values = Array::from_host(backend, values, [5, n]).unwrap();
        widened.spectrum.kept = Array::from_host(backend, host.spectrum.kept.to_vec(), [5, n]).unwrap();
        let vectors = host.vectors.iter().map(|x| x.widen()).collect();
        widened.vectors = Array::from_host(backend, vectors, [5, n, n]).unwrap();
        let (got, expected) = (everything(backend, &stored, &inputs), everything(backend, &widened, &inputs));
        for (b, (got, expected)) in got.iter().zip(&expected).enumerate() {
            for ((name, got, status), (_, expected, _)) in got.iter().zip(expected) {
                assert!(*name == "tr f(A)" || *got == as_halves::<T>(expected), "{name}, n = {n}, matrix {b}");
                assert!(!status.failed(), "{name}");
            }
        }
    }
}

/// The bits of numbers in f32 as those of numbers of half precision.
fn as_halves<T: Element>(of_numbers: &[u64]) -> Vec<u64> {
    let halves = of_numbers.iter().map(|&x| <T::Real as Element>::narrow(eigengrad::Real::of(f64::from_bits(x))));
    halves.flat_map(bits).collect()
}

/// What overflows is a status.
pub fn results_that_overflow_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let a = stack::<T>(2, &[crate::numbers::diagonal(&[1e-4, 1.0]), Array2::eye(2)]);
    let options = Options::default().with_cut(eigengrad::Cut::none());
    let pairs = eigh_as::<T, T, B>(&HermitianBatch::on(backend, a.view()).unwrap(), &options).unwrap();
    let values = pairs.spectral(&Function::Pow(-12.0).into()).unwrap().to_host().unwrap();
    assert_eq!(values.status()[0], Status::RESULT_NOT_FINITE);
    assert_eq!(values.status()[1], Status::OK);
    assert!(values.check().is_err());
}
