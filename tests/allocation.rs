//! Calls allocate nothing once every thread has its scratch, and have errors where there is no
//! memory for it: by the global allocator of this test binary, which counts, and refuses when it is
//! told to.

use eigengrad::{
    Cotangents, Cpu, Cut, Derivative, Dropped, Element, ElementOf, Error, FactorBatch, FactorPlan, Function, HermitianBatch,
    Options, Plan, Real, Result, Scalar,
};
use half::{bf16, f16};
use ndarray::{Array2, Array3};
use num_complex::Complex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

thread_local! {
    /// Counts the allocations of this thread. Those of the test harness, which allocates whenever
    /// it likes, are not counted.
    static COUNTER: Cell<Option<&'static AtomicUsize>> = const { Cell::new(None) };
    /// No allocation of this thread of so many bytes or more succeeds.
    static REFUSED_FROM: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Bytes that this thread has allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(counter) = COUNTER.get() {
            counter.fetch_add(1, Relaxed);
        }
        if layout.size() >= REFUSED_FROM.get() {
            return std::ptr::null_mut();
        }
        LIVE.set(LIVE.get() + layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: `memory` is `System`'s, for this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The allocations of each call, forward and backward, by all threads of the pool that this is
/// called in.
fn allocations<T: Scalar, O: ElementOf<T>>(count: usize, n: usize, dropped: Dropped, counter: &AtomicUsize) -> Vec<usize> {
    let cpu = Cpu::default();
    let a = Array3::from_shape_fn((count, n, n), |(b, i, j)| {
        O::narrow(T::from_parts(Real::of(1.0 / (1 + b + i + j) as f64), Real::of(0.1 * (i as f64 - j as f64))))
    });
    let a = HermitianBatch::on(&cpu, a.view()).unwrap();
    let options = Options::default().with_cut(Cut::at_most(n.div_ceil(2))).with_dropped(dropped);
    let plan = Plan::<O>::new(&cpu, count, n, &options).unwrap();
    let workspace = plan.workspace().unwrap();
    let (mut pairs, mut spectrum) = (plan.eigenpairs::<O>().unwrap(), plan.spectrum::<O::Real>().unwrap());
    let mut gradient = plan.gradient::<O>().unwrap();
    let lambda_bar = Array2::from_elem((count, n), O::Real::narrow(Real::of(1.0)));
    let v_bar = Array3::from_elem((count, n, n), O::narrow(T::one()));
    let cotangents = Cotangents::new(&pairs, Some(lambda_bar.view()), Some(v_bar.view())).unwrap();
    let calls = |_| {
        let before = counter.load(Relaxed);
        plan.eigh_into(a.view(), pairs.view_mut(), &workspace).unwrap();
        plan.eigvalsh_into(a.view(), spectrum.view_mut(), &workspace).unwrap();
        plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace).unwrap();
        counter.load(Relaxed) - before
    };
    (0..12).map(calls).collect()
}

fn check<T: Scalar, O: ElementOf<T>>() {
    for threads in [1, 2] {
        let counter: &AtomicUsize = Box::leak(Box::default());
        let start = move |_| COUNTER.set(Some(counter));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(start).build().unwrap();
        // A thread keeps memory for its first product, and for its first matrices of another
        // thread.
        pool.broadcast(|_| allocations::<T, O>(1, 129, Dropped::AsComputed, counter));
        let barrier = Barrier::new(threads);
        (threads == 2).then(|| pool.join(|| barrier.wait(), || barrier.wait()));
        for n in [1, 4, 16, 33, 67, 128, 129] {
            for dropped in [Dropped::AsComputed, Dropped::Zero] {
                let counts = pool.install(|| allocations::<T, O>(9 * threads, n, dropped, counter));
                // A thread makes its scratch of either pass when it first has a part in one.
                let made = counts.iter().filter(|&&count| count > 0).count();
                assert!(made <= 2 * threads, "n = {n}, {dropped:?}, {threads} threads: {counts:?}");
                assert!(threads > 1 || counts[1..].iter().all(|&count| count == 0), "n = {n}, {dropped:?}: {counts:?}");
            }
        }
        assert!(counter.load(Relaxed) > 0, "the counter counts");
    }
}

#[test]
fn float32() {
    check::<f32, f32>();
}

#[test]
fn float64() {
    check::<f64, f64>();
}

#[test]
fn complex64() {
    check::<Complex<f32>, Complex<f32>>();
}

#[test]
fn complex128() {
    check::<Complex<f64>, Complex<f64>>();
}

#[test]
fn float16() {
    check::<f32, f16>();
}

#[test]
fn complex_bfloat16() {
    check::<Complex<f32>, Complex<bf16>>();
}

/// A workspace takes nothing before it is needed, and then, for one large matrix on one thread,
/// some three times the matrix to decompose it: a copy and two of its size that faer works in. V of
/// what is stored in fewer bits is one more. What the backward pass needs comes with the first of
/// these.
fn scratch_of_a_large_matrix<T: Scalar, O: ElementOf<T>>(forward_below: f64) {
    let (cpu, n) = (Cpu::inline(), 1024);
    let entry = |(_, i, j): (usize, usize, usize)| T::from_parts(Real::of(1.0 / (1 + i + j) as f64), Real::of(0.0));
    let a = Array3::from_shape_fn((1, n, n), entry);
    let plan = Plan::<T>::new(&cpu, 1, n, &Options::default()).unwrap();
    let (mut pairs, mut gradient) = (plan.eigenpairs::<O>().unwrap(), plan.gradient::<O>().unwrap());
    // A thread keeps memory for its first product.
    let small = HermitianBatch::on(&cpu, Array3::from_elem((1, 131, 131), T::one()).view()).unwrap();
    eigengrad::eigh(&small, &Options::default()).unwrap();
    let batch = HermitianBatch::on(&cpu, a.view()).unwrap();
    let growth = |work: &mut dyn FnMut()| {
        let before = LIVE.get();
        work();
        (LIVE.get() - before) as f64 / (n * n * size_of::<T>()) as f64
    };
    let mut made = None;
    assert!(growth(&mut || made = Some(plan.workspace().unwrap())) < 0.01, "made before it is needed");
    let workspace = made.unwrap();
    let forward = growth(&mut || plan.eigh_into(batch.view(), pairs.view_mut(), &workspace).unwrap());
    assert!(forward > 1.0 && forward < forward_below, "{forward} matrices to decompose one");
    let cotangents = Cotangents::vectors(&pairs, pairs.vectors()).unwrap();
    let backward = growth(&mut || plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace).unwrap());
    assert!(backward > 1.0 && backward < 6.0, "{backward} matrices for the gradient");
}

#[test]
fn scratch_of_large_matrices() {
    scratch_of_a_large_matrix::<f32, f32>(3.2);
    scratch_of_a_large_matrix::<f64, f64>(3.2);
    scratch_of_a_large_matrix::<Complex<f32>, Complex<f32>>(3.2);
    scratch_of_a_large_matrix::<Complex<f64>, Complex<f64>>(3.2);
    scratch_of_a_large_matrix::<f32, f16>(4.2);
}

/// Without memory for scratch every operation has an error, in lanes and beyond, and with it again
/// it works.
fn refused<T: Scalar>(n: usize) {
    let (cpu, options, r) = (Cpu::inline(), Options::default(), n);
    let entry = |(_, i, k): (usize, usize, usize)| T::from_parts(Real::of(1.0 / (1 + i + k) as f64), Real::of(0.0));
    let a = HermitianBatch::on(&cpu, Array3::from_shape_fn((1, n, n), entry).view()).unwrap();
    let b = FactorBatch::on(&cpu, Array3::from_shape_fn((1, n, r), entry).view()).unwrap();
    let pairs = eigengrad::eigh(&a, &options).unwrap();
    let factors = eigengrad::eigh_factor(&b, &options).unwrap();
    let bars = Cotangents::vectors(&pairs, pairs.vectors()).unwrap();
    let factor_bars = factors.cotangents(None, Some(factors.vectors())).unwrap();
    let plan = Plan::<T>::new(&cpu, 1, n, &options).unwrap();
    let factor_plan = FactorPlan::<T>::new(&cpu, 1, n, r, &options).unwrap();
    let once = |name: &str, work: &mut dyn FnMut() -> Result<()>| {
        REFUSED_FROM.set(n * n * size_of::<T>());
        let without = work();
        REFUSED_FROM.set(usize::MAX);
        assert!(matches!(&without, Err(Error::Backend { backend: "cpu", .. })), "{name}, n = {n}: {without:?}");
        work().unwrap_or_else(|error| panic!("{name}, n = {n}: {error}"));
    };
    let workspaces: Vec<_> = (0..3).map(|_| plan.workspace().unwrap()).collect();
    let (mut out, mut gradient) = (plan.eigenpairs::<T>().unwrap(), plan.gradient::<T>().unwrap());
    let mut spectrum = plan.spectrum::<T::Real>().unwrap();
    once("eigh", &mut || plan.eigh_into(a.view(), out.view_mut(), &workspaces[0]));
    once("eigvalsh", &mut || plan.eigvalsh_into(a.view(), spectrum.view_mut(), &workspaces[1]));
    once("backward", &mut || plan.backward_into(pairs.view(), bars.view(), gradient.view_mut(), &workspaces[2]));
    let scratch: Vec<_> = (0..5).map(|_| plan.scratch().unwrap()).collect();
    let (mut tangents, mut matrices) = (plan.tangents::<T>(1).unwrap(), plan.matrices::<T>().unwrap());
    let mut double = plan.double_gradient::<T>().unwrap();
    once("jvp", &mut || plan.jvp_into(pairs.view(), a.view(), tangents.view_mut(), &scratch[0]));
    once("backward_jvp", &mut || {
        let (bars, bars_dot) = (bars.view(), bars.view());
        plan.backward_jvp_into(pairs.view(), bars, a.view(), bars_dot, matrices.view_mut(), &scratch[1])
    });
    once("double_backward", &mut || {
        plan.double_backward_into(pairs.view(), bars.view(), a.view(), bars.view(), double.view_mut(), &scratch[2])
    });
    once("spectral", &mut || {
        plan.spectral_into(pairs.view(), Function::Projector.into(), Derivative::Zeroth, matrices.view_mut(), &scratch[3])
    });
    let weights = eigengrad::SchurMultiplier::Divided;
    once("map", &mut || {
        plan.map_into(pairs.view(), Function::Projector.into(), weights, a.view(), None, matrices.view_mut(), &scratch[4])
    });
    let workspaces: Vec<_> = (0..2).map(|_| factor_plan.workspace().unwrap()).collect();
    let (mut out, mut gradient) = (factor_plan.pairs::<T>().unwrap(), factor_plan.gradient::<T>().unwrap());
    once("eigh_factor", &mut || factor_plan.eigh_into(b.view(), out.view_mut(), &workspaces[0]));
    once("backward_factor", &mut || {
        factor_plan.backward_into(factors.view(), factor_bars.view(), gradient.view_mut(), &workspaces[1])
    });
}

#[test]
fn no_memory_for_scratch() {
    for n in [48, 150] {
        refused::<f32>(n);
        refused::<f64>(n);
        refused::<Complex<f32>>(n);
        refused::<Complex<f64>>(n);
    }
}
