//! What front ends hand over as it lies: general matrices read as a mean, V̄ by its rows, one
//! workspace for several threads.

use crate::backward::{mixed, random_cotangents};
use crate::numbers::{C, adjoint, narrow, rounded, same_bits, stack};
use crate::random::Rng;
use crate::run;
use eigengrad::{
    Array, Cotangents, Cpu, Element, Engine, Error, Function, HermitianBatch, Options, Plan, Read, Scalar, Triangle, eigh,
};
use ndarray::Array3;

/// Orders of each way to compute: lanes compiled for themselves and others, on chip, products,
/// faer.
fn orders<B: 'static>() -> Vec<usize> {
    let all = [1, 3, 8, 17, 67];
    all.into_iter().chain(run::on_the_cpu::<B>().then_some(131)).collect()
}

fn array<T: Scalar, B: Engine<T>>(backend: &B, x: &Array3<T>) -> Array<T, B, 3> {
    Array::from_host(backend, x.iter().copied().collect(), x.dim().into()).unwrap()
}

/// A matrix that is not Hermitian, read as the mean of both triangles, has the bits of that mean,
/// as A and as a direction.
pub fn means_of_both_triangles<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(140);
    for n in orders::<B>() {
        let count = 5;
        let general: Vec<_> = (0..count).map(|_| rounded::<T>(&rng.matrix::<T>(n, n))).collect();
        let mean: Vec<_> = general.iter().map(|x| rounded::<T>(&((x + &adjoint(x)) * C::from(0.5)))).collect();
        let batches = [
            HermitianBatch::of(array(backend, &stack::<T>(n, &general)), Read::Mean).unwrap(),
            HermitianBatch::of(array(backend, &stack::<T>(n, &mean)), Read::Compared).unwrap(),
        ];
        assert_eq!(batches.each_ref().map(HermitianBatch::read), [Read::Mean, Read::Lower]);
        let pairs = batches.each_ref().map(|a| eigh(a, &Options::default()).unwrap());
        let host = pairs.each_ref().map(|pairs| pairs.to_host().unwrap());
        assert!(same_bits(host[0].vectors().iter().copied(), host[1].vectors().iter().copied()), "V, n = {n}");
        assert!(same_bits(host[0].values().iter().copied(), host[1].values().iter().copied()), "λ, n = {n}");
        let bars = Cotangents::new(&pairs[0], None, Some(host[0].vectors())).unwrap();
        let maps = batches.each_ref().map(|e| {
            let tangents = pairs[0].jvp(e).unwrap().to_host().unwrap();
            let double = pairs[0].double_backward(&bars, e, None).unwrap().to_host().unwrap();
            let tangent = pairs[0].backward_jvp(&bars, e, &bars).unwrap().to_host().unwrap();
            let map = pairs[0].spectral_derivative(&Function::Exp.into(), e).unwrap().to_host().unwrap();
            [tangents.vectors.to_vec(), double.a_bar.to_vec(), tangent.data.to_vec(), map.data.to_vec()].concat()
        });
        let [of_mean, of_triangle] = maps;
        assert!(same_bits(of_mean, of_triangle), "derivatives, n = {n}");
    }
}

/// Triangles that differ are an error that names the entry, wherever the matrix is.
pub fn triangles_are_compared<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut a = stack::<T>(3, &vec![ndarray::Array2::eye(3); 4]);
    a[[2, 2, 0]] = narrow(C::from(0.5));
    let of = |read| HermitianBatch::of(array(backend, &a), read).map(|a: HermitianBatch<T, B>| a.read());
    assert!(matches!(of(Read::Compared), Err(Error::NotHermitian { matrix: 2, row: 2, column: 0, .. })));
    assert_eq!(of(Read::Upper).unwrap(), Read::Upper);
    let wide = Array::<T, B, 3>::zeros(backend, [2, 3, 4]).unwrap();
    assert!(matches!(HermitianBatch::of(wide, Read::Lower), Err(Error::NotSquare { rows: 3, columns: 4 })));
}

/// V̄ by its rows gives the bits of V̄ by its columns, in every operation that takes it; λ beyond the
/// range included.
pub fn cotangents_by_rows<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(141);
    for n in orders::<B>() {
        let count = 9;
        let mut matrices = mixed::<T>(n, count, &mut rng);
        let huge = C::from(if crate::numbers::epsilon::<T>() > 1e-10 { 1e30 } else { 1e300 });
        matrices[1] = matrices[1].mapv(|x| x * huge);
        let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, count, &mut rng);
        let columns = run::cotangents(&pairs, Some(&lambda_bar), Some(&v_bar));
        let values = crate::numbers::rows::<T::Real>(n, &lambda_bar).into_raw_vec_and_offset().0;
        let values = Array::from_host(backend, values, [count, n]).unwrap();
        let rows = Cotangents::from_rows(Some(values), Some(array(backend, &stack::<T>(n, &v_bar))));
        let h = run::hermitian::<T, B>(backend, n, &mixed::<T>(n, count, &mut rng));
        let [by_columns, by_rows] = [&columns, &rows].map(|bars| {
            let gradient = pairs.backward(bars).unwrap().to_host().unwrap();
            let double = pairs.double_backward(bars, &h, Some(bars)).unwrap().to_host().unwrap();
            let tangent = pairs.backward_jvp(bars, &h, bars).unwrap().to_host().unwrap();
            [gradient.a_bar.to_vec(), double.a_bar.to_vec(), double.vectors_bar_bar.to_vec(), tangent.data.to_vec()].concat()
        });
        assert!(same_bits(by_rows, by_columns), "n = {n}");
    }
}

/// Cotangents of several losses at once have the bits of one after the other.
pub fn several_losses_at_once<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(144);
    for n in [3, 17, 67] {
        let (count, losses) = (4, 3);
        let (pairs, _) = run::eigh::<T, B>(backend, n, &mixed::<T>(n, count, &mut rng), &Options::default());
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, count * losses, &mut rng);
        let h = mixed::<T>(n, count * losses, &mut rng);
        let values = crate::numbers::rows::<T::Real>(n, &lambda_bar).into_raw_vec_and_offset().0;
        let values = Array::from_host(backend, values, [count * losses, n]).unwrap();
        let all = Cotangents::from_rows(Some(values), Some(array(backend, &stack::<T>(n, &v_bar))));
        let gradient = pairs.backward(&all).unwrap().to_host().unwrap();
        let of_all = pairs.double_backward(&all, &run::hermitian::<T, B>(backend, n, &h), Some(&all)).unwrap().to_host().unwrap();
        for loss in 0..losses {
            let here = loss * count..(loss + 1) * count;
            let one = run::cotangents(&pairs, Some(&lambda_bar[here.clone()]), Some(&v_bar[here.clone()]));
            let alone = pairs.backward(&one).unwrap().to_host().unwrap();
            let size = here.start * n * n..here.end * n * n;
            assert!(same_bits(gradient.a_bar[size.clone()].to_vec(), alone.a_bar.to_vec()), "Ā, n = {n}, loss {loss}");
            assert_eq!(gradient.status[here.clone()], alone.status[..]);
            let h = run::hermitian::<T, B>(backend, n, &h[here]);
            let twice = pairs.double_backward(&one, &h, Some(&one)).unwrap().to_host().unwrap();
            assert!(same_bits(of_all.a_bar[size.clone()].to_vec(), twice.a_bar.to_vec()), "twice, n = {n}, loss {loss}");
            assert!(same_bits(of_all.vectors_bar_bar[size].to_vec(), twice.vectors_bar_bar.to_vec()), "V̄̄, n = {n}, loss {loss}");
        }
        let odd = Cotangents::from_columns(Some(Array::<T::Real, B, 2>::zeros(backend, [count + 1, n]).unwrap()), None);
        assert!(matches!(pairs.backward(&odd), Err(Error::Shape { what: "λ̄", .. })));
    }
}

/// As [`cotangents_by_rows`], of factors.
pub fn factor_cotangents_by_rows<T: Scalar, B: Engine<T>>(backend: &B) {
    let (count, n, r, mut rng) = (3, 9, 4, Rng::new(142));
    let b = Array3::from_shape_simple_fn((count, n, r), || narrow::<T>(C::new(rng.normal(), rng.normal())));
    let v_bar = Array3::from_shape_simple_fn((count, n, r), || narrow::<T>(C::new(rng.normal(), rng.normal())));
    let pairs = eigengrad::eigh_factor(&eigengrad::FactorBatch::on(backend, b.view()).unwrap(), &Options::default()).unwrap();
    let columns = pairs.cotangents(None, Some(v_bar.view())).unwrap();
    let rows = Cotangents::from_rows(None, Some(array(backend, &v_bar)));
    let [by_columns, by_rows] = [columns, rows].map(|bars| pairs.backward(&bars).unwrap().to_host().unwrap().b_bar.to_vec());
    assert!(same_bits(by_rows, by_columns));
}

/// Halves in, numbers in 32 bits out: directions and cotangents of matrices that are stored in half
/// have the bits of the same in 32 bits.
pub fn directions_stored_as_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let mut rng = Rng::new(145);
    for n in [3, 17, 67] {
        let matrices = mixed::<T::Scalar>(n, 4, &mut rng);
        let a = HermitianBatch::<T, B>::on(backend, stack::<T>(n, &matrices).view()).unwrap();
        let pairs = eigengrad::eigh_as::<T, T::Scalar, B>(&a, &Options::default()).unwrap();
        let e = stack::<T>(n, &mixed::<T::Scalar>(n, 4, &mut rng));
        let (halves, wide) = (e.view(), e.mapv(T::widen));
        let halves = HermitianBatch::<T, B>::on(backend, halves).unwrap();
        let wide = HermitianBatch::<T::Scalar, B>::from_triangle_on(backend, wide.view(), Triangle::Lower).unwrap();
        let bars = Cotangents::new(&pairs, None, Some(pairs.to_host().unwrap().vectors())).unwrap();
        let exp = Function::Exp.into();
        let of_halves = [
            pairs.jvp(&halves).unwrap().to_host().unwrap().vectors.to_vec(),
            pairs.double_backward(&bars, &halves, None).unwrap().to_host().unwrap().a_bar.to_vec(),
            pairs.backward_jvp(&bars, &halves, &bars).unwrap().to_host().unwrap().data.to_vec(),
            pairs.spectral_derivative(&exp, &halves).unwrap().to_host().unwrap().data.to_vec(),
        ];
        let of_wide = [
            pairs.jvp(&wide).unwrap().to_host().unwrap().vectors.to_vec(),
            pairs.double_backward(&bars, &wide, None).unwrap().to_host().unwrap().a_bar.to_vec(),
            pairs.backward_jvp(&bars, &wide, &bars).unwrap().to_host().unwrap().data.to_vec(),
            pairs.spectral_derivative(&exp, &wide).unwrap().to_host().unwrap().data.to_vec(),
        ];
        assert!(same_bits(of_halves.concat(), of_wide.concat()), "n = {n}");
    }
}

/// Several threads call with one workspace, and each gets the bits that it gets alone.
pub fn one_workspace_for_several_threads<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [4, 67] {
        let plan = Plan::<T, B>::new(backend, 6, n, &Options::default()).unwrap();
        let (workspace, scratch) = (plan.workspace().unwrap(), plan.scratch().unwrap());
        let once = |seed: u64| {
            let mut rng = Rng::new(seed);
            let a = run::hermitian::<T, B>(backend, n, &mixed::<T>(n, 6, &mut rng));
            let (mut pairs, mut gradient) = (plan.eigenpairs::<T>().unwrap(), plan.gradient::<T>().unwrap());
            let mut tangents = plan.tangents::<T>(1).unwrap();
            plan.eigh_into(a.view(), pairs.view_mut(), &workspace).unwrap();
            let bars = run::cotangents(&pairs, None, Some(&random_cotangents::<T>(n, 6, &mut rng).1));
            plan.backward_into(pairs.view(), bars.view(), gradient.view_mut(), &workspace).unwrap();
            plan.jvp_into(pairs.view(), a.view(), tangents.view_mut(), &scratch).unwrap();
            let (gradient, tangents) = (gradient.to_host().unwrap(), tangents.to_host().unwrap());
            gradient.a_bar.iter().chain(&tangents.vectors).copied().collect::<Vec<_>>()
        };
        let alone: Vec<_> = (0..3).map(once).collect();
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|seed| scope.spawn(move || once(seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (alone, together) in alone.into_iter().zip(together) {
            assert!(same_bits(together, alone), "n = {n}");
        }
    }
}

/// The calling thread alone has the bits of a pool up to n = 255; beyond, a gradient that agrees to
/// round-off.
#[test]
fn work_on_the_calling_thread() {
    let (inline, pool) = (Cpu::inline(), Cpu::with_threads(2).unwrap());
    assert_eq!(inline.threads(), 1);
    for n in [1, 8, 67, 131, 255, 300] {
        let mut rng = Rng::new(143);
        let matrices = mixed::<f32>(n, if n > 67 { 3 } else { 40 }, &mut rng);
        let (lambda_bar, v_bar) = random_cotangents::<f32>(n, matrices.len(), &mut rng);
        let of = |cpu: &Cpu| {
            let (pairs, host) = run::eigh::<f32, Cpu>(cpu, n, &matrices, &Options::default());
            (host, run::backward(&pairs, Some(&lambda_bar), Some(&v_bar)))
        };
        let ((pairs, gradient), (others, other)) = (of(&inline), of(&pool));
        if n < 256 {
            assert!(same_bits(pairs.vectors().iter().copied(), others.vectors().iter().copied()), "V, n = {n}");
            assert!(same_bits(gradient.a_bar().iter().copied(), other.a_bar().iter().copied()), "Ā, n = {n}");
        }
        let norm = others.values().iter().fold(0f32, |norm, x| norm.max(x.abs()));
        for (x, y) in pairs.values().iter().zip(others.values()) {
            assert!((x - y).abs() <= 20.0 * f32::EPSILON * norm, "n = {n}: {x} and {y}");
        }
    }
}

#[cfg(feature = "foreign")]
#[test]
#[allow(unsafe_code, reason = "addresses")]
fn memory_by_address() {
    let cpu = Cpu::default();
    let (mut out, numbers) = (vec![0.0; 6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // SAFETY: the numbers live to the end of this function.
    let view = unsafe { Array::<f64, Cpu, 2, eigengrad::View<'_>>::borrow(&cpu, numbers.as_ptr() as usize, [2, 3]) }.unwrap();
    assert_eq!(view.array()[[1, 0]], 4.0);
    // SAFETY: as above, and nobody else has them.
    let mut to =
        unsafe { Array::<f64, Cpu, 1, eigengrad::ViewMut<'_>>::borrow_mut(&cpu, out.as_mut_ptr() as usize, [6]) }.unwrap();
    to.copy_from_slice(&view);
    assert_eq!(out, numbers);
    for (address, shape) in [(0, [1, 1]), (numbers.as_ptr() as usize + 1, [1, 1]), (8, [usize::MAX, 2])] {
        // SAFETY: refused.
        let got = unsafe { Array::<f64, Cpu, 2, eigengrad::View<'_>>::borrow(&cpu, address, shape) };
        assert!(matches!(got, Err(Error::Backend { .. } | Error::Shape { .. })), "{address:#x}: {got:?}");
    }
    // SAFETY: no element at all.
    assert!(unsafe { Array::<f64, Cpu, 1, eigengrad::View<'_>>::borrow(&cpu, 0, [0]) }.unwrap().is_empty());
    assert_eq!(view[0], 1.0);
}
