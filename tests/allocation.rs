//! Threads that have worked before allocate nothing, with a new workspace, too: counted by the global allocator of this test binary.

use eigengrad::{Cotangents, Cpu, Cut, Dropped, Element, HermitianBatch, Options, Plan, Real, Scalar, Stored};
use half::{bf16, f16};
use ndarray::{Array2, Array3};
use num_complex::Complex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

thread_local! {
    /// Counts the allocations of this thread. Those of the test harness, which allocates whenever it likes, are not counted.
    static COUNTER: Cell<Option<&'static AtomicUsize>> = const { Cell::new(None) };
}

// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(counter) = COUNTER.get() {
            counter.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` is `System`'s, for this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The allocations of each call, forward and backward, by all threads of the pool that this is called in.
fn allocations<T: Scalar, O: Stored<T>>(count: usize, n: usize, dropped: Dropped, counter: &AtomicUsize) -> Vec<usize> {
    let cpu = Cpu::default();
    let a = Array3::from_shape_fn((count, n, n), |(b, i, j)| {
        O::narrow(T::from_parts(Real::of(1.0 / (1 + b + i + j) as f64), Real::of(0.1 * (i as f64 - j as f64))))
    });
    let a = HermitianBatch::on(&cpu, a.view()).unwrap();
    let options = Options::default().with_cut(Cut::at_most(n.div_ceil(2))).with_dropped(dropped);
    let plan = Plan::<O>::new(&cpu, count, n, &options).unwrap();
    let mut workspace = plan.workspace().unwrap();
    let (mut pairs, mut spectrum) = (plan.eigenpairs::<O>().unwrap(), plan.spectrum::<O::Real>().unwrap());
    let mut gradient = plan.gradient::<O>().unwrap();
    let lambda_bar = Array2::from_elem((count, n), O::Real::narrow(Real::of(1.0)));
    let v_bar = Array3::from_elem((count, n, n), O::narrow(T::one()));
    let cotangents = Cotangents::new(&pairs, Some(lambda_bar.view()), Some(v_bar.view())).unwrap();
    let calls = |_| {
        let before = counter.load(Relaxed);
        plan.eigh_into(a.as_ref(), pairs.as_mut(), &mut workspace).unwrap();
        plan.eigvalsh_into(a.as_ref(), spectrum.as_mut(), &mut workspace).unwrap();
        plan.backward_into(pairs.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut workspace).unwrap();
        counter.load(Relaxed) - before
    };
    (0..8).map(calls).collect()
}

fn check<T: Scalar, O: Stored<T>>() {
    for threads in [1, 2] {
        let counter: &AtomicUsize = Box::leak(Box::default());
        let start = move |_| COUNTER.set(Some(counter));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(start).build().unwrap();
        // A thread keeps memory for its first product, and for its first matrices of another thread.
        pool.broadcast(|_| allocations::<T, O>(1, 129, Dropped::AsComputed, counter));
        let barrier = Barrier::new(threads);
        (threads == 2).then(|| pool.join(|| barrier.wait(), || barrier.wait()));
        for n in [1, 4, 16, 33, 67, 128, 129] {
            for dropped in [Dropped::AsComputed, Dropped::Zero] {
                let counts = pool.install(|| allocations::<T, O>(9 * threads, n, dropped, counter));
                assert_eq!(counts, [0; 8], "n = {n}, {dropped:?}, {threads} threads");
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
