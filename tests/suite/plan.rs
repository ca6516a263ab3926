//! `*_into`: the same bits as the allocating functions in memory of the caller's, and every wrong
//! length named.

use crate::backward::{mixed, random_cotangents};
use crate::numbers::{same_bits, stack};
use crate::random::Rng;
use crate::run;
use eigengrad::{
    Array, Cotangents, Cut, Dropped, Engine, Error, HermitianBatch, Options, Plan, Scalar, Spectrum, Status, Triangle, eigh,
    eigvalsh,
};

/// Several batches through one workspace, with everything that the buffers held before still in
/// them.
pub fn reuse<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(32);
    for (n, dropped) in [(3usize, Dropped::AsComputed), (16, Dropped::Zero), (67, Dropped::AsComputed), (67, Dropped::Zero)] {
        let count = 9;
        let options = Options::default().with_cut(Cut::at_most(n.div_ceil(2))).with_dropped(dropped);
        let plan = Plan::<T, B>::new(backend, count, n, &options).unwrap();
        let workspace = plan.workspace().unwrap();
        let (mut pairs, mut spectrum) = (plan.eigenpairs::<T>().unwrap(), plan.spectrum::<T::Real>().unwrap());
        let mut gradient = plan.gradient::<T>().unwrap();
        for step in 0..4 {
            let mut matrices = mixed::<T>(n, count, &mut rng);
            matrices.rotate_left(step);
            matrices[step][[0, 0]] = f64::NAN.into();
            let a = HermitianBatch::<T, B>::on(backend, stack::<T>(n, &matrices).view()).unwrap();
            plan.eigh_into(a.view(), pairs.view_mut(), &workspace).unwrap();
            plan.eigvalsh_into(a.view(), spectrum.view_mut(), &workspace).unwrap();
            let (lambda_bar, v_bar) = random_cotangents::<T>(n, count, &mut rng);
            let v_bar = (step % 2 == 0).then_some(&*v_bar);
            let cotangents = run::cotangents(&pairs, Some(&lambda_bar), v_bar);
            plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace).unwrap();

            let fresh = eigh(&a, &options).unwrap();
            let fresh_gradient = run::backward(&fresh, Some(&lambda_bar), v_bar);
            let (fresh, got, got_gradient) = (fresh.to_host().unwrap(), pairs.to_host().unwrap(), gradient.to_host().unwrap());
            assert!(same_bits(got.vectors().iter().copied(), fresh.vectors().iter().copied()), "n = {n}, step {step}");
            assert!(
                same_bits(got_gradient.a_bar().iter().copied(), fresh_gradient.a_bar().iter().copied()),
                "n = {n}, step {step}"
            );
            assert_eq!(got_gradient.gauge_defect(), fresh_gradient.gauge_defect());
            assert_eq!(got_gradient.tie_defect(), fresh_gradient.tie_defect());
            assert_eq!(got_gradient.status(), fresh_gradient.status());
            let values = eigvalsh(&a, &options).unwrap().to_host().unwrap();
            for (got, fresh) in [(&got.spectrum, &fresh.spectrum), (&spectrum.to_host().unwrap(), &values)] {
                assert!(same_bits(got.values().iter().copied(), fresh.values().iter().copied()));
                assert_eq!((got.kept(), got.rank(), got.status()), (fresh.kept(), fresh.rank(), fresh.status()));
                assert_eq!((got.gap_kept(), got.gap_dropped()), (fresh.gap_kept(), fresh.gap_dropped()));
            }
        }
    }
}

/// Calls `operation` with arrays of as many matrices as there are, then with each in turn of
/// others, and asserts that the error names it.
pub fn each_length<const ARRAYS: usize>(names: [&str; ARRAYS], operation: impl Fn([usize; ARRAYS]) -> eigengrad::Result<()>) {
    operation([BATCH; ARRAYS]).unwrap();
    for (which, name) in names.into_iter().enumerate() {
        for wrong in [BATCH - 1, BATCH + 1, 0] {
            let mut batches = [BATCH; ARRAYS];
            batches[which] = wrong;
            match operation(batches) {
                Err(Error::Shape { what, expected, got }) => assert_eq!((what, expected[0], got[0]), (name, BATCH, wrong)),
                other => panic!("{name} of {wrong} matrices: {other:?}"),
            }
        }
    }
}

pub const BATCH: usize = 2;
pub const N: usize = 3;

fn plan<T: Scalar, B: Engine<T>>(backend: &B) -> Plan<T, B> {
    Plan::new(backend, BATCH, N, &Options::default()).unwrap()
}

pub fn wrong_lengths_for_eigh<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = plan::<T, B>(backend);
    let arguments = ["A", "λ", "kept", "rank", "gap_kept", "gap_dropped", "status", "V"];
    for with_vectors in [true, false] {
        let operation = |batches: [usize; 8]| {
            let [a, values, kept, rank, gap_kept, gap_dropped, status, vectors] = batches;
            let a = HermitianBatch::<T, B>::of(Array::zeros(backend, [a, N, N])?, Triangle::Lower)?;
            let mut spectrum = Spectrum {
                values: Array::zeros(backend, [values, N])?,
                kept: Array::zeros(backend, [kept, N])?,
                rank: Array::zeros(backend, [rank])?,
                gap_kept: Array::zeros(backend, [gap_kept])?,
                gap_dropped: Array::zeros(backend, [gap_dropped])?,
                status: Array::zeros(backend, [status])?,
            };
            let workspace = plan.workspace()?;
            if with_vectors {
                let mut vectors = Array::zeros(backend, [vectors, N, N])?;
                let out = plan.eigenpairs_of::<T, _>(spectrum.view_mut(), vectors.view_mut())?;
                plan.eigh_into(a.view(), out, &workspace)
            } else {
                plan.eigvalsh_into::<T::Real>(a.view(), spectrum.view_mut(), &workspace)
            }
        };
        if with_vectors {
            each_length(arguments, operation);
        } else {
            let [first @ .., _] = arguments;
            each_length(first, |[a, values, kept, rank, gap_kept, gap_dropped, status]| {
                operation([a, values, kept, rank, gap_kept, gap_dropped, status, 0])
            });
        }
    }
}

pub fn wrong_lengths_for_backward<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = plan::<T, B>(backend);
    let arguments = ["λ", "V", "kept", "status", "λ̄", "V̄", "Ā", "gauge_defect", "tie_defect", "status"];
    each_length(arguments, |[values, vectors, kept, status, values_bar, vectors_bar, a_bar, gauge_defect, tie_defect, found]| {
        let (values, vectors) = (Array::zeros(backend, [values, N])?, Array::zeros(backend, [vectors, N, N])?);
        let (kept, status) = (Array::zeros(backend, [kept, N])?, Array::zeros(backend, [status])?);
        let pairs = plan.eigenpairs_view::<T>(values.view(), kept.view(), status.view(), vectors.view())?;
        let (bar, v_bar) = (Array::zeros(backend, [values_bar, N])?, Array::zeros(backend, [vectors_bar, N, N])?);
        let cotangents = Cotangents::<T, B>::from_columns(Some(bar), Some(v_bar));
        let mut out = plan.gradient::<T>()?;
        (out.a_bar, out.status) = (Array::zeros(backend, [a_bar, N, N])?, Array::zeros(backend, [found])?);
        out.gauge_defect = Array::zeros(backend, [gauge_defect, N])?;
        out.tie_defect = Array::zeros(backend, [tie_defect])?;
        plan.backward_into(pairs, cotangents.view(), out.view_mut(), &plan.workspace()?)
    });
}

/// The statuses of the forward are carried into those of the backward.
pub fn statuses_are_carried_on<T: Scalar, B: Engine<T>>(backend: &B) {
    let options = Options::default().with_cut(Cut::at_most(1));
    let (pairs, _) = run::eigh::<T, B>(backend, 2, &[ndarray::Array2::eye(2)], &options);
    assert_eq!(run::backward(&pairs, None, None).status()[0], Status::TIE_ACROSS_CUT);
}
