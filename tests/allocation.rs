//! After the first call nothing is allocated: counted by the global allocator of this test binary.

use eigengrad::{Cotangents, Cpu, Cut, Dropped, Engine, HermitianBatch, Options, Plan, Real, Scalar};
use ndarray::{Array2, Array3};
use num_complex::Complex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness allocates in others whenever it likes.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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

/// The allocations of the calls after the first, forward and backward, made from the one thread of a pool, which does all the work.
fn allocations<T: Scalar>(n: usize, dropped: Dropped) -> Vec<usize>
where
    Cpu: Engine<T>,
{
    let cpu = Cpu::default();
    assert_eq!(cpu.threads(), 1);
    let count = 9;
    let a = Array3::from_shape_fn((count, n, n), |(b, i, j)| {
        T::from_parts(Real::of(1.0 / (1 + b + i + j) as f64), Real::of(0.1 * (i as f64 - j as f64)))
    });
    let a = HermitianBatch::on(&cpu, a.view()).unwrap();
    let options = Options { cut: Cut::default().at_most(n.div_ceil(2)), dropped, ..Options::default() };
    let plan = Plan::<T>::new(&cpu, count, n, &options).unwrap();
    let mut workspace = plan.workspace().unwrap();
    let (mut pairs, mut spectrum) = (plan.eigenpairs::<T>().unwrap(), plan.spectrum::<T::Real>().unwrap());
    let mut gradient = plan.gradient::<T>().unwrap();
    let (lambda_bar, v_bar) = (Array2::from_elem((count, n), Real::of(1.0)), Array3::from_elem((count, n, n), T::one()));
    let cotangents = Cotangents::new(&pairs, Some(lambda_bar.view()), Some(v_bar.view())).unwrap();
    let mut calls = || {
        plan.eigh_into(a.as_ref(), pairs.as_mut(), &mut workspace).unwrap();
        plan.eigvalsh_into(a.as_ref(), spectrum.as_mut(), &mut workspace).unwrap();
        plan.backward_into(pairs.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut workspace).unwrap();
    };
    calls();
    let count = |_| {
        let before = ALLOCATIONS.get();
        calls();
        ALLOCATIONS.get() - before
    };
    (0..8).map(count).collect()
}

fn check<T: Scalar>()
where
    Cpu: Engine<T>,
{
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for n in [1, 4, 16, 33, 67, 128, 129] {
        for dropped in [Dropped::AsComputed, Dropped::Zero] {
            let (counts, made) = pool.install(|| (allocations::<T>(n, dropped), ALLOCATIONS.get()));
            assert_eq!(counts, [0; 8], "n = {n}, {dropped:?}");
            assert!(made > 0, "the counter counts");
        }
    }
}

#[test]
fn float32() {
    check::<f32>();
}

#[test]
fn float64() {
    check::<f64>();
}

#[test]
fn complex64() {
    check::<Complex<f32>>();
}

#[test]
fn complex128() {
    check::<Complex<f64>>();
}
