//! A training loop that never leaves the device: matrices whose kept eigenvectors shall have given
//! intensities |v|², by gradient descent. Forward, a kernel of one's own for the loss and its
//! cotangents, backward and another for the step are one CUDA graph.
//!
//! `cargo run --release --features cuda --example training_loop`

use cudarc::driver::{CudaFunction, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use eigengrad::cuda::{Cuda, probe};
use eigengrad::{
    Array, Backend, Cotangents, Cut, Eigenpairs, Gradient, HermitianBatch, Options, Plan, Triangle, View, ViewMut, eigh,
};
use ndarray::{Array3, Zip};
use num_complex::Complex;
use std::error::Error;

type C = Complex<f32>;
const BATCH: usize = 64;
const N: usize = 6;
const RANK: usize = 3;
const STEPS: usize = 300;
const RATE: f32 = 0.05;

/// L = Σ (|v_ik|² − p_ik)² over kept k, which no phase of a vector changes, and V̄ = 4 (|v|² − p) v.
/// A thread for each matrix, whose sum has one order; v is `[batch, k, i]`, complex numbers are
/// pairs.
const KERNELS: &str = r#"
extern "C" __global__ void cotangents(int batch, int n, const float* v, const bool* kept, const float* target, float* v_bar, float* loss)
{
    const int b = blockIdx.x * blockDim.x + threadIdx.x;
    if (b >= batch) return;
    float sum = 0;
    for (int at = b * n * n; at < (b + 1) * n * n; ++at) {
        if (!kept[at / n]) continue;
        const float re = v[2 * at], im = v[2 * at + 1];
        const float off = re * re + im * im - target[at];
        v_bar[2 * at] = 4 * off * re;
        v_bar[2 * at + 1] = 4 * off * im;
        sum += off * off;
    }
    loss[b] = sum;
}

// A −= rate · Ā
extern "C" __global__ void step(int numbers, float rate, const float* a_bar, float* a)
{
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < numbers) a[at] -= rate * a_bar[at];
}
"#;

/// B Bᴴ, of rank [`RANK`].
fn matrices(shift: f32) -> Array3<C> {
    let wave = |m: usize, i: usize, k: usize| (1.0 + m as f32 + 2.3 * i as f32 * (k as f32 + shift)).sin();
    let b = Array3::from_shape_fn((BATCH, N, RANK), |(m, i, k)| C::new(wave(m, i, k), wave(m + 7, i, k)));
    let mut a = Array3::zeros((BATCH, N, N));
    Zip::from(a.outer_iter_mut()).and(b.outer_iter()).for_each(|mut a, b| a.assign(&b.dot(&b.t().mapv(|x| x.conj()))));
    a
}

/// The kernels above and the memory that they work on beside that of the passes.
struct Loss {
    cotangents: CudaFunction,
    step: CudaFunction,
    target: <Cuda as Backend>::Buffer<f32>,
    v_bar: Array<C, Cuda, 3>,
    each: <Cuda as Backend>::Buffer<f32>,
}

impl Loss {
    fn new(cuda: &Cuda, options: &Options) -> Result<Self, Box<dyn Error>> {
        let truth = eigh(&HermitianBatch::new(matrices(0.0).view())?, options)?;
        let target = truth.vectors().permuted_axes([0, 2, 1]).iter().map(|v| v.norm_sqr()).collect();
        // cudarc panics if it does not find NVRTC
        probe().into_iter().collect::<Result<Vec<_>, _>>()?;
        let oldest = CompileOptions { arch: Some("compute_75"), ..CompileOptions::default() };
        let module = cuda.stream().context().load_module(compile_ptx_with_opts(KERNELS, oldest)?)?;
        Ok(Self {
            cotangents: module.load_function("cotangents")?,
            step: module.load_function("step")?,
            target: cuda.upload(target)?,
            v_bar: Array::zeros(cuda, [BATCH, N, N])?,
            each: cuda.zeros(BATCH)?,
        })
    }

    /// Enqueues the loss and V̄.
    fn cotangents(&self, stream: &CudaStream, pairs: Eigenpairs<C, Cuda, View<'_>>) -> eigengrad::Result<()> {
        let (batch, n) = (BATCH as i32, N as i32);
        let [v_bar, loss] = [self.v_bar.view().memory().address(), Cuda::view(&self.each).address()];
        let (v, kept, target) =
            (pairs.vectors.memory().address(), pairs.spectrum.kept.memory().address(), Cuda::view(&self.target).address());
        let mut launch = stream.launch_builder(&self.cotangents);
        launch.arg(&batch).arg(&n).arg(&v).arg(&kept).arg(&target).arg(&v_bar).arg(&loss);
        // SAFETY: the arguments are those of the kernel; all memory is of this stream and holds as
        // many numbers.
        unsafe { launch.launch(LaunchConfig::for_num_elems(BATCH as u32)) }.map(drop).map_err(failed)
    }

    /// Enqueues the step.
    fn step(
        &self,
        stream: &CudaStream,
        gradient: Gradient<C, Cuda, ViewMut<'_>>,
        a: &mut Array<C, Cuda, 3>,
    ) -> eigengrad::Result<()> {
        let (numbers, a_bar, a) =
            ((2 * BATCH * N * N) as i32, gradient.a_bar.memory().address(), a.view_mut().memory().address());
        let mut launch = stream.launch_builder(&self.step);
        launch.arg(&numbers).arg(&RATE).arg(&a_bar).arg(&a);
        // SAFETY: as above.
        unsafe { launch.launch(LaunchConfig::for_num_elems(numbers as u32)) }.map(drop).map_err(failed)
    }

    /// Of all matrices, as it was before the last step; waits.
    fn total(&self, cuda: &Cuda) -> eigengrad::Result<f32> {
        Ok(cuda.download(Cuda::view(&self.each))?.iter().sum())
    }
}

fn failed(error: impl std::fmt::Display) -> eigengrad::Error {
    eigengrad::Error::Backend { backend: "example", reason: error.to_string() }
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn Error>> {
    let cuda = Cuda::new(0)?;
    let options = Options::default().with_cut(Cut::at_most(RANK));
    let loss = Loss::new(&cuda, &options)?;
    let plan = Plan::<C, Cuda>::new(&cuda, BATCH, N, &options)?;
    let (workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<C>()?, plan.gradient::<C>()?);
    let mut a = Array::from_host(&cuda, matrices(0.03).into_raw_vec_and_offset().0, [BATCH, N, N])?;

    let mut train = || {
        let input = HermitianBatch::of_view(a.backend(), a.view(), Triangle::Lower)?;
        plan.eigh_into(input, pairs.view_mut(), &workspace)?;
        loss.cotangents(cuda.stream(), pairs.view())?;
        let cotangents = Cotangents::from_columns(None, Some(loss.v_bar.view()));
        plan.backward_into(pairs.view(), cotangents, gradient.view_mut(), &workspace)?;
        loss.step(cuda.stream(), gradient.view_mut(), &mut a)
    };
    let graph = cuda.capture(&mut train); // which does the first step
    let before = loss.total(&cuda)?;
    match graph {
        Ok(mut graph) => {
            println!("captured   in one graph");
            for _ in 1..STEPS {
                // SAFETY: all that the graph works on lives to the end of this function.
                unsafe { graph.replay() }?;
            }
        }
        Err(reason) => {
            println!("captured   no: {reason}");
            (1..STEPS).try_for_each(|_| train())?;
        }
    }
    let after = loss.total(&cuda)?;
    gradient.to_host()?.check()?;
    println!("loss       {before:.6} at first");
    println!("loss       {after:.6} after {STEPS} steps");
    if after < before / 2.0 { Ok(()) } else { Err("the loss did not fall".into()) }
}
