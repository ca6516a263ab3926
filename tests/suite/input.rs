//! Arrays of any strides, and the comparison of the two triangles.

use crate::numbers::{C, Matrix, range, stack, wide};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Cotangents, Cpu, Engine, Error, HermitianBatch, Options, Plan, Scalar, Status, Triangle, eigh};
use ndarray::{Array2, Array3, Axis, Slice};
use proptest::prelude::*;

/// A [b, n, n] array inside a larger one, its axes stepped through forwards or backwards, and
/// permuted in memory.
fn strided(n: usize, batch: usize, order: [usize; 3], steps: [isize; 3], seed: u64) -> (Array3<C>, [usize; 3], [isize; 3]) {
    let mut rng = Rng::new(seed);
    let shape = [batch, n, n];
    let mut inverse = [0; 3];
    order.iter().enumerate().for_each(|(at, &axis)| inverse[axis] = at);
    let in_memory = order.map(|axis| shape[axis] * steps[axis].unsigned_abs());
    let array = Array3::from_shape_simple_fn(in_memory, || rng.number::<num_complex::Complex<f64>>());
    (array, inverse, steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the strides, the elements that arrive are those of the view in its logical order.
    #[test]
    fn views_of_any_strides(
        n in 0usize..6, batch in 0usize..5,
        order in Just([0usize, 1, 2]).prop_shuffle(),
        steps in prop::array::uniform3(prop_oneof![Just(1isize), Just(-1), Just(2), Just(-3)]),
        seed: u64,
    ) {
        let (array, inverse, steps) = strided(n, batch, order, steps, seed);
        let mut view = array.view().permuted_axes(inverse);
        for (axis, &step) in steps.iter().enumerate() {
            view.slice_axis_inplace(Axis(axis), Slice::new(0, None, step));
        }
        prop_assert_eq!(view.shape(), &[batch, n, n][..]);
        let logical: Vec<_> = view.iter().copied().collect();
        for triangle in [Triangle::Lower, Triangle::Upper] {
            let a = HermitianBatch::from_triangle(view, triangle).unwrap();
            prop_assert_eq!(&a.data()[..], &*logical);
            prop_assert_eq!(a.read(), triangle.into());
            prop_assert_eq!((a.batch(), a.n()), (batch, n));
        }
        for b in 0..batch {
            let one = view.index_axis(Axis(0), b);
            let a = HermitianBatch::from_triangle(one, Triangle::Lower).unwrap();
            prop_assert_eq!(&a.data()[..], &logical[b * n * n..][..n * n]);
            prop_assert_eq!((a.batch(), a.n()), (1, n));
        }
        let hermitian = (&view + &view.permuted_axes([0, 2, 1]).mapv(|x| x.conj())).mapv(|x| x * 0.5);
        let reversed = hermitian.slice(ndarray::s![..;-1, ..;-1, ..;-1]);
        let a = HermitianBatch::new(reversed).unwrap();
        prop_assert_eq!(&a.data()[..], &*reversed.iter().copied().collect::<Vec<_>>());
        let of_any_dimension = HermitianBatch::new(reversed.into_dyn()).unwrap();
        prop_assert_eq!(&of_any_dimension.data()[..], &a.data()[..]);
    }

    /// Cotangents of any strides give the bits of contiguous ones.
    #[test]
    fn cotangents_of_any_strides(
        order in Just([0usize, 1, 2]).prop_shuffle(),
        steps in prop::array::uniform3(prop_oneof![Just(1isize), Just(-1), Just(2)]),
        seed: u64,
    ) {
        let (n, batch) = (4, 3);
        let (array, inverse, steps) = strided(n, batch, order, steps, seed);
        let mut v_bar = array.view().permuted_axes(inverse);
        for (axis, &step) in steps.iter().enumerate() {
            v_bar.slice_axis_inplace(Axis(axis), Slice::new(0, None, step));
        }
        let mut rng = Rng::new(seed);
        let a: Vec<_> = (0..batch).map(|r| rng.of_rank::<C>(n, r + 1, true)).collect();
        let (pairs, _) = run::eigh::<C, Cpu>(&Cpu::default(), n, &a, &Options::default());
        let long = Array2::from_shape_simple_fn((2 * n, batch), || rng.normal());
        let lambda_bar = long.t().slice_move(ndarray::s![.., ..;-2]);
        let owned = (lambda_bar.to_owned(), v_bar.as_standard_layout().into_owned());
        let strided = pairs.backward(&Cotangents::new(&pairs, Some(lambda_bar.view()), Some(v_bar)).unwrap()).unwrap();
        let contiguous = pairs.backward(&Cotangents::new(&pairs, Some(owned.0.view()), Some(owned.1.view())).unwrap()).unwrap();
        prop_assert_eq!(strided.a_bar(), contiguous.a_bar());
    }
}

/// One matrix as [n, n] and as [1, n, n]; Fortran order; both triangles.
pub fn two_and_three_dimensions<T: Scalar, B: Engine<T>>(backend: &B) {
    let a = stack::<T>(5, &[Rng::new(33).hermitian::<T>(5)]);
    let pairs = |a: HermitianBatch<T, B>| eigh(&a, &Options::default()).unwrap().to_host().unwrap();
    let expected = pairs(HermitianBatch::on(backend, a.view()).unwrap());
    let matrix = a.index_axis(Axis(0), 0);
    let two = pairs(HermitianBatch::on(backend, matrix).unwrap());
    assert_eq!((two.batch(), two.values(), two.vectors()), (1, expected.values(), expected.vectors()));
    let mut fortran = Array2::from_shape_simple_fn(ndarray::ShapeBuilder::f((5, 5)), T::default);
    fortran.assign(&matrix);
    let fortran = pairs(HermitianBatch::on(backend, fortran.view()).unwrap());
    assert_eq!((fortran.values(), fortran.vectors()), (expected.values(), expected.vectors()));
    for triangle in [Triangle::Lower, Triangle::Upper] {
        let one = pairs(HermitianBatch::from_triangle_on(backend, matrix, triangle).unwrap());
        assert_eq!((one.values(), one.vectors()), (expected.values(), expected.vectors()));
    }
}

/// The first entry, in row order, of the first matrix that is off by more than 8·n·ε·max|A|; no
/// entry below that.
pub fn the_first_entry_that_is_not_hermitian<T: Scalar, B: Engine<T>>(backend: &B) {
    let n = 5;
    let tolerance = 8.0 * n as f64 * T::PRECISION.epsilon() * 4.0;
    let mut clean: Vec<Matrix> = vec![Array2::eye(n); 4];
    clean.iter_mut().for_each(|a| a[[0, 0]] = 4.0.into());
    let result = |matrices: &[Matrix]| HermitianBatch::<T, B>::on(backend, stack::<T>(n, matrices).view()).map(|_| ());
    let off = |entries: &[(usize, usize, usize, C)]| {
        let mut matrices = clean.clone();
        entries.iter().for_each(|&(b, i, j, by)| matrices[b][[i, j]] += by);
        result(&matrices)
    };
    let found = |result: eigengrad::Result<()>| match result {
        Err(Error::NotHermitian { matrix, row, column, difference, tolerance: got }) => {
            assert!((got / tolerance - 1.0).abs() < 1e-6, "{got} against {tolerance}");
            assert!(difference > got);
            Some((matrix, row, column))
        }
        Err(other) => panic!("{other}"),
        Ok(()) => None,
    };
    let (below, above) = (C::new(tolerance * 0.9, 0.0), C::new(tolerance * 1.1, 0.0));
    assert_eq!(found(off(&[(0, 3, 1, below), (1, 1, 3, below), (2, 4, 0, below)])), None);
    assert_eq!(found(off(&[(0, 3, 1, below), (2, 3, 1, above)])), Some((2, 3, 1)));
    assert_eq!(found(off(&[(1, 1, 3, -above), (2, 0, 1, above)])), Some((1, 3, 1)));
    assert_eq!(found(off(&[(3, 4, 0, above), (3, 3, 2, above), (3, 0, 3, above)])), Some((3, 3, 0)));
    if T::COMPLEX {
        let i = C::I;
        // |A_ii − conj A_ii| = 2 |Im A_ii|
        assert_eq!(found(off(&[(1, 2, 2, above * i * 0.55)])), Some((1, 2, 2)));
        assert_eq!(found(off(&[(1, 2, 2, below * i * 0.5)])), None);
        // symmetric, not Hermitian
        assert_eq!(found(off(&[(1, 2, 1, above * i), (1, 1, 2, above * i)])), Some((1, 2, 1)));
        assert_eq!(found(off(&[(1, 2, 1, above * i), (1, 1, 2, -above * i)])), None);
    }
    // a matrix that is not finite is not compared: it becomes a status
    assert_eq!(found(off(&[(0, 3, 1, f64::NAN.into()), (0, 4, 1, above), (1, 4, 3, above)])), Some((1, 4, 3)));
    assert_eq!(found(off(&[(0, 1, 3, f64::INFINITY.into()), (0, 4, 1, above)])), None);
    // what is exactly the tolerance is within it
    let mut at = vec![Array2::eye(2)];
    at[0][[1, 0]] = C::new(16.0 * T::PRECISION.epsilon(), 0.0);
    HermitianBatch::<T, B>::on(backend, stack::<T>(2, &at).view()).unwrap();
    // the tolerance is that of each matrix
    let mut matrices = clean.clone();
    matrices[0].mapv_inplace(|x| x * 1000.0);
    matrices[0][[1, 0]] += above * 100.0;
    assert_eq!(result(&matrices).map_err(|e| e.to_string()), Ok(()));
}

/// Every entry is compared with its mirror, whatever the order and the tile it lies in; where the
/// user's array is used as it is, an entry that is not finite has to be in the triangle that is
/// read, or its mirror has to be.
pub fn every_entry_and_its_mirror<T: Scalar, B: Engine<T>>(backend: &B) {
    let found = |matrices: &[Matrix], n: usize| {
        let a = stack::<T>(n, matrices);
        let of = |result: eigengrad::Result<()>| match result {
            Err(Error::NotHermitian { matrix, row, column, .. }) => Some((matrix, row, column)),
            other => other.map(|()| None).unwrap(),
        };
        let copied = HermitianBatch::<T, B>::on(backend, a.view()).map(|_| ());
        (of(copied), of(HermitianBatch::borrowed(a.view()).map(|_| ())))
    };
    for n in [1, 2, 3, 4, 5, 7, 8, 9, 11, 16, 17, 19] {
        let mut matrices = vec![Rng::new(35).hermitian::<T>(n); 2];
        assert_eq!(found(&matrices, n), (None, None), "n = {n}");
        for (row, column) in (0..n).flat_map(|row| (0..=row).map(move |column| (row, column))) {
            for (i, j) in [(row, column), (column, row)] {
                let entry = matrices[1][[i, j]];
                let off = if row == column { C::new(0.0, 1e-2) } else { C::new(1e-2, 0.0) };
                if T::COMPLEX || row != column {
                    matrices[1][[i, j]] = entry + off;
                    assert_eq!(found(&matrices, n), (Some((1, row, column)), Some((1, row, column))), "n = {n}");
                }
                for x in [f64::NAN, f64::INFINITY] {
                    matrices[1][[i, j]] = x.into();
                    assert_eq!(found(&matrices, n), (None, (i < j).then_some((1, row, column))), "n = {n}");
                }
                matrices[1][[i, j]] = entry;
            }
        }
    }
}

/// The user's own array gives the bits of its copy; none of it may be there.
#[test]
fn an_array_as_it_is() {
    let mut rng = Rng::new(36);
    let matrices: Vec<Matrix> = (0..5).map(|_| rng.hermitian::<C>(7)).collect();
    let a = stack::<C>(7, &matrices);
    let plan = Plan::<C>::new(&Cpu::default(), 5, 7, &Options::default()).unwrap();
    let (workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<C>().unwrap());
    plan.eigh_into(HermitianBatch::borrowed(a.view()).unwrap(), pairs.view_mut(), &workspace).unwrap();
    let expected = eigh(&HermitianBatch::new(a.view()).unwrap(), &Options::default()).unwrap();
    assert_eq!((pairs.values(), pairs.vectors()), (expected.values(), expected.vectors()));
    for shape in [(0, 3, 3), (2, 0, 0), (0, 0, 0)] {
        assert_eq!(HermitianBatch::borrowed(Array3::<f64>::zeros(shape).view()).unwrap().batch(), shape.0);
    }
}

/// However many threads compare a batch, the first matrix that is off is told, and one that is not
/// finite is none.
#[test]
fn the_first_of_many() {
    for n in [6, 8] {
        let mut a = Array3::<f32>::zeros((600, n, n));
        a[[100, 2, 2]] = f32::NAN;
        HermitianBatch::borrowed(a.view()).unwrap();
        (a[[500, 3, 1]], a[[301, 5, 4]]) = (1.0, 1.0);
        for result in [HermitianBatch::new(a.view()).map(|_| ()), HermitianBatch::borrowed(a.view()).map(|_| ())] {
            assert!(matches!(result, Err(Error::NotHermitian { matrix: 301, row: 5, column: 4, .. })), "{result:?}");
        }
    }
}

/// Numbers at both ends of the range, and subnormal ones: λ is what it is, the gradient of λ too.
pub fn the_ends_of_the_range<T: Scalar, B: Engine<T>>(backend: &B) {
    let (tiny, huge) = range::<T>();
    let n = 6;
    for size in
        [tiny, tiny * 1024.0, if huge > 1e100 { 1e-300 } else { 1e-35 }, if huge > 1e100 { 1e300 } else { 1e35 }, huge / 4.0]
    {
        let mut a = Array2::zeros((n, n));
        let lambda = [-2.0, 0.0, 0.0, 1.0, 2.0, 3.0];
        lambda.iter().enumerate().for_each(|(k, &x)| a[[k, k]] = C::new(x * size, 0.0));
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[a], &Options::default());
        assert_eq!(host.rank()[0], 4, "× {size:e}");
        for (&x, y) in host.values().row(0).iter().zip(lambda) {
            let error = (wide(x).re / size - y).abs();
            assert!(error <= THRESHOLD * T::PRECISION.epsilon() + tiny / size, "× {size:e}: {x:?} is not {y}");
        }
        let gradient = run::backward(&pairs, Some(&[vec![1.0; n]]), None);
        let trace: f64 = gradient.a_bar().index_axis(Axis(0), 0).diag().iter().map(|&x| wide(x).re).sum();
        assert!((trace - 4.0).abs() < 1e-5, "× {size:e}: {trace}");
        gradient.check().unwrap();
    }
}

/// λ of a finite matrix may not be: the matrix fails, says so, and leaves its neighbour alone.
pub fn eigenvalues_that_overflow<T: Scalar, B: Engine<T>>(backend: &B) {
    let (_, huge) = range::<T>();
    let ones = |x: f64| Array2::from_elem((3, 3), C::new(x, 0.0));
    let (pairs, host) = run::eigh::<T, B>(backend, 3, &[ones(huge * 0.9), ones(1.0)], &Options::default());
    assert_eq!(host.status().to_vec(), [Status::VALUES_OVERFLOW, Status::OK]);
    assert_eq!(host.rank().to_vec(), [0, 1]);
    assert!(
        host.values().row(0).iter().all(|&x| wide(x).re.is_nan())
            && host.vectors().index_axis(Axis(0), 0).iter().all(|&x| !x.finite())
    );
    let gradient = run::backward(&pairs, Some(&[vec![1.0; 3], vec![1.0; 3]]), None);
    assert!(gradient.a_bar().index_axis(Axis(0), 0).iter().all(|&x| !x.finite()));
    assert!(gradient.status()[0].intersects(Status::VALUES_OVERFLOW) && gradient.status()[1].is_ok());
}
