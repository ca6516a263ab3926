//! `*_into`: the same bits as the allocating functions in memory of the caller's, and every wrong length named.

use crate::backward::{mixed, random_cotangents};
use crate::numbers::{same_bits, stack};
use crate::random::Rng;
use crate::run;
use eigengrad::{
    CotangentsRef, Cut, Dropped, EigenpairsMut, EigenpairsRef, Engine, Error, GradientMut, HermitianBatch, HermitianRef, Options,
    Plan, Scalar, SpectrumMut, Status, Triangle, eigh, eigvalsh,
};

/// Several batches through one workspace, with everything that the buffers held before still in them.
pub fn reuse<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(32);
    for (n, dropped) in [(3usize, Dropped::AsComputed), (16, Dropped::Zero), (67, Dropped::AsComputed), (67, Dropped::Zero)] {
        let count = 9;
        let options = Options::default().with_cut(Cut::at_most(n.div_ceil(2))).with_dropped(dropped);
        let plan = Plan::<T, B>::new(backend, count, n, &options).unwrap();
        let mut workspace = plan.workspace().unwrap();
        let (mut pairs, mut spectrum) = (plan.eigenpairs::<T>().unwrap(), plan.spectrum::<T::Real>().unwrap());
        let mut gradient = plan.gradient::<T>().unwrap();
        for step in 0..4 {
            let mut matrices = mixed::<T>(n, count, &mut rng);
            matrices.rotate_left(step);
            matrices[step][[0, 0]] = f64::NAN.into();
            let a = HermitianBatch::<T, B>::on(backend, stack::<T>(n, &matrices).view()).unwrap();
            plan.eigh_into(a.as_ref(), pairs.as_mut(), &mut workspace).unwrap();
            plan.eigvalsh_into(a.as_ref(), spectrum.as_mut(), &mut workspace).unwrap();
            let (lambda_bar, v_bar) = random_cotangents::<T>(n, count, &mut rng);
            let v_bar = (step % 2 == 0).then_some(&*v_bar);
            let cotangents = run::cotangents(&pairs, Some(&lambda_bar), v_bar);
            plan.backward_into(pairs.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut workspace).unwrap();

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
            let values = eigvalsh(&a, &options).unwrap().to_host(backend).unwrap();
            for (got, fresh) in [(got.spectrum(), fresh.spectrum()), (&spectrum.to_host(backend).unwrap(), &values)] {
                assert!(same_bits(got.values().iter().copied(), fresh.values().iter().copied()));
                assert_eq!((got.kept(), got.rank(), got.status()), (fresh.kept(), fresh.rank(), fresh.status()));
                assert_eq!((got.gap_kept(), got.gap_dropped()), (fresh.gap_kept(), fresh.gap_dropped()));
            }
        }
    }
}

/// Calls `operation` with the right lengths, then with each in turn one off, and asserts that the error names that argument.
pub fn each_length<const N: usize>(arguments: [(&str, usize); N], operation: impl Fn([usize; N]) -> eigengrad::Result<()>) {
    let right = arguments.map(|(_, length)| length);
    operation(right).unwrap();
    for (which, (name, length)) in arguments.into_iter().enumerate() {
        for wrong in [length - 1, length + 1, 0] {
            let mut lengths = right;
            lengths[which] = wrong;
            match operation(lengths) {
                Err(Error::Shape { what, expected, got }) => {
                    assert_eq!((what, &*expected, &*got), (name, &[length][..], &[wrong][..]));
                }
                other => panic!("{name} of length {wrong}: {other:?}"),
            }
        }
    }
}

const BATCH: usize = 2;
const N: usize = 3;

fn plan<T: Scalar, B: Engine<T>>(backend: &B) -> Plan<T, B> {
    Plan::new(backend, BATCH, N, &Options::default()).unwrap()
}

pub fn wrong_lengths_for_eigh<T: Scalar, B: Engine<T>>(backend: &B) {
    let plan = plan::<T, B>(backend);
    let of_a = ("A", BATCH * N * N);
    let spectrum =
        [("λ", BATCH * N), ("kept", BATCH * N), ("rank", BATCH), ("gap_kept", BATCH), ("gap_dropped", BATCH), ("status", BATCH)];
    let [values, kept, rank, gap_kept, gap_dropped, status] = spectrum;
    let arguments = [of_a, values, kept, rank, gap_kept, gap_dropped, status, ("V", BATCH * N * N)];
    for with_vectors in [true, false] {
        let operation = |lengths: [usize; 8]| {
            let [a, values, kept, rank, gap_kept, gap_dropped, status, vectors] = lengths;
            let a = backend.zeros::<T>(a)?;
            let a = HermitianRef::<'_, T, B> { data: B::view(&a), triangle: Triangle::Lower };
            let (mut values, mut kept) = (backend.zeros::<T::Real>(values)?, backend.zeros::<bool>(kept)?);
            let (mut rank, mut status) = (backend.zeros::<u32>(rank)?, backend.zeros::<Status>(status)?);
            let (mut gap_kept, mut gap_dropped) = (backend.zeros::<T::Real>(gap_kept)?, backend.zeros::<T::Real>(gap_dropped)?);
            let mut vectors = backend.zeros::<T>(vectors)?;
            let spectrum = SpectrumMut::<'_, T::Real, B> {
                values: B::view_mut(&mut values),
                kept: B::view_mut(&mut kept),
                rank: B::view_mut(&mut rank),
                gap_kept: B::view_mut(&mut gap_kept),
                gap_dropped: B::view_mut(&mut gap_dropped),
                status: B::view_mut(&mut status),
            };
            let mut workspace = plan.workspace()?;
            if with_vectors {
                plan.eigh_into(a, EigenpairsMut::<'_, T, B> { spectrum, vectors: B::view_mut(&mut vectors) }, &mut workspace)
            } else {
                plan.eigvalsh_into(a, spectrum, &mut workspace)
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
    let arguments = [
        ("λ", BATCH * N),
        ("V", BATCH * N * N),
        ("kept", BATCH * N),
        ("status", BATCH),
        ("λ̄", BATCH * N),
        ("V̄", BATCH * N * N),
        ("Ā", BATCH * N * N),
        ("gauge_defect", BATCH * N),
        ("tie_defect", BATCH),
        ("status", BATCH),
    ];
    each_length(arguments, |[values, vectors, kept, status, values_bar, vectors_bar, a_bar, gauge_defect, tie_defect, found]| {
        let (values, vectors) = (backend.zeros::<T::Real>(values)?, backend.zeros::<T>(vectors)?);
        let (kept, status) = (backend.zeros::<bool>(kept)?, backend.zeros::<Status>(status)?);
        let (values_bar, vectors_bar) = (backend.zeros::<T::Real>(values_bar)?, backend.zeros::<T>(vectors_bar)?);
        let (mut a_bar, mut gauge_defect) = (backend.zeros::<T>(a_bar)?, backend.zeros::<T::Real>(gauge_defect)?);
        let (mut tie_defect, mut found) = (backend.zeros::<T::Real>(tie_defect)?, backend.zeros::<Status>(found)?);
        let pairs = EigenpairsRef::<'_, T, B> {
            values: B::view(&values),
            vectors: B::view(&vectors),
            kept: B::view(&kept),
            status: B::view(&status),
        };
        let cotangents = CotangentsRef::<'_, T, B>::from_columns(Some(B::view(&values_bar)), Some(B::view(&vectors_bar)));
        let out = GradientMut::<'_, T, B> {
            a_bar: B::view_mut(&mut a_bar),
            gauge_defect: B::view_mut(&mut gauge_defect),
            tie_defect: B::view_mut(&mut tie_defect),
            status: B::view_mut(&mut found),
        };
        plan.backward_into(pairs, cotangents, out, &mut plan.workspace()?)
    });
}

/// The statuses of the forward are carried into those of the backward.
pub fn statuses_are_carried_on<T: Scalar, B: Engine<T>>(backend: &B) {
    let options = Options::default().with_cut(Cut::at_most(1));
    let (pairs, _) = run::decompose::<T, B>(backend, 2, &[ndarray::Array2::eye(2)], &options);
    assert_eq!(run::backward(&pairs, None, None).status()[0], Status::TIE_ACROSS_CUT);
}
