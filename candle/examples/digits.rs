//! Learns covariance matrices of rank 3 by their eigenpairs, with the null space left out of the
//! gradient, and once more without.
//!
//! An example is the covariance of the pixels of a handwritten digit, of which three directions are
//! kept, under light that falls from some side. The network is given the variances of single
//! pixels, with noise. It says a factor B, 64×3. B Bᵀ is compared with the truth by eigenvalues and
//! by the projector on the eigenvectors. Pixels at the border are blank: their rows of B are zero,
//! and null eigenvalues of B Bᵀ tie bit for bit.
//!
//! ```sh
//! cargo run --release -p eigengrad-candle --example digits -- data/digits_covariance.npy digits.svg
//! ```
//!
//! With `--features cuda` it trains on the first GPU.

#![allow(clippy::print_stdout, reason = "an example tells what it has found")]

use candle_core::{D, DType, Device, Result, Tensor, Var, bail};
use candle_nn::{AdamW, Linear, Module, Optimizer};
use eigengrad_candle::{Cut, Function, Options, TieRule, eigh, spectral};
use indicatif::{ProgressBar, ProgressStyle};
use plotters::prelude::*;

const STEPS: usize = 400;
const BATCH: usize = 32;
const PIXELS: usize = 64;
const RANK: usize = 3;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().unwrap_or_else(|| "data/digits_covariance.npy".to_owned());
    let digits: eigengrad::ndarray::Array3<f64> = ndarray_npy::read_npy(&data)?;
    let shape = digits.dim();
    let device = Device::cuda_if_available(0)?;
    println!("on {:?}", device.location());
    let digits = Tensor::from_vec(digits.into_iter().collect::<Vec<_>>(), shape, &device)?.to_dtype(DType::F32)?;

    let masked = Options::default().with_cut(Cut::at_most(RANK));
    let unmasked = Options::default().with_cut(Cut::none()).with_ties(TieRule::Exact);
    let runs = [("null space left out", masked), ("every pair divided by", unmasked)];
    let curves = runs.iter().map(|(name, options)| Ok((*name, train(&digits, name, options)?))).collect::<Result<Vec<_>>>()?;
    for (name, losses) in &curves {
        match losses.last() {
            Some((step, loss)) if loss.is_nan() => println!("{name}: NaN from step {step} on"),
            Some((_, loss)) => println!("{name}: {:.4} before, {loss:.4} behind {STEPS} steps", losses[0].1),
            None => {}
        }
    }
    if let Some(path) = arguments.next() {
        draw(&path, &curves)?;
    }
    Ok(())
}

/// Losses of what was held back, by the number of steps; until it is NaN.
fn train(digits: &Tensor, name: &str, options: &Options) -> Result<Vec<(usize, f32)>> {
    let (mut random, device) = (fastrand::Rng::with_seed(1), digits.device());
    let task = Task::new(digits)?;
    let held_back = task.examples(200, &mut random)?;
    let layer = |inputs, outputs, random: &mut fastrand::Rng| -> Result<[Var; 2]> {
        let weights = (normal(&[outputs, inputs], random, device)? / f64::sqrt(inputs as f64))?;
        Ok([Var::from_tensor(&weights)?, Var::zeros(outputs, DType::F32, device)?])
    };
    let layers = [layer(PIXELS, 192, &mut random)?, layer(192, 192, &mut random)?, layer(192, PIXELS * RANK, &mut random)?];
    let network =
        layers.each_ref().map(|[weights, bias]| Linear::new(weights.as_tensor().clone(), Some(bias.as_tensor().clone())));
    let mut optimiser = AdamW::new_lr(layers.concat(), 2e-3)?;

    let bar = ProgressBar::new(STEPS as u64).with_prefix(name.to_owned());
    bar.set_style(
        ProgressStyle::with_template("{prefix:>22} {bar:40} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut losses = Vec::new();
    for step in 0..=STEPS {
        if step % 10 == 0 || losses.last().is_some_and(|(_, loss): &(usize, f32)| loss.is_nan()) {
            let loss = loss(&network, &held_back, options)?.to_scalar::<f32>()?;
            losses.push((step, loss));
            bar.set_message(format!("loss {loss:.4}"));
            if loss.is_nan() {
                break;
            }
        }
        let loss = loss(&network, &task.examples(BATCH, &mut random)?, options)?;
        optimiser.backward_step(&loss)?;
        bar.inc(1);
        // One step with NaN leaves NaN in every weight.
        if layers[2][1].as_tensor().sum_all()?.to_scalar::<f32>()?.is_nan() {
            losses.push((step + 1, f32::NAN));
            break;
        }
    }
    bar.finish();
    Ok(losses)
}

/// Variances of the pixels, seen with noise; λ of the truth, the largest last; and its projector.
struct Examples {
    variances: Tensor,
    eigenvalues: Tensor,
    projector: Tensor,
}

/// ½‖P − P*‖² + ‖λ − λ*‖²/‖λ*‖², a mean over the matrices.
fn loss(network: &[Linear; 3], examples: &Examples, options: &Options) -> Result<Tensor> {
    let hidden = network[0].forward(&examples.variances)?.gelu()?;
    let factor = network[2].forward(&network[1].forward(&hidden)?.gelu()?)?.reshape(((), PIXELS, RANK))?;
    // What is blank stays blank.
    let factor = factor.broadcast_mul(&examples.variances.gt(0f32)?.to_dtype(DType::F32)?.unsqueeze(D::Minus1)?)?;
    let pairs = eigh(&factor.matmul(&factor.transpose(1, 2)?.contiguous()?)?, options)?;
    let eigenvalues = pairs.eigenvalues.narrow(1, PIXELS - RANK, RANK)?;
    let v = pairs.eigenvectors.narrow(2, PIXELS - RANK, RANK)?.contiguous()?;
    let projector = v.matmul(&v.transpose(1, 2)?.contiguous()?)?;
    let of_spaces = ((projector - &examples.projector)?.sqr()?.sum((1, 2))? * 0.5)?;
    let of_values = (eigenvalues - &examples.eigenvalues)?.sqr()?.sum(1)?.div(&examples.eigenvalues.sqr()?.sum(1)?)?;
    (of_spaces + of_values)?.mean_all()
}

/// What examples are drawn from.
struct Task {
    /// Covariances of rank 3, one for each digit.
    truths: Tensor,
    /// Where each pixel is, from -1 to 1, down and to the right.
    places: [Tensor; 2],
}

impl Task {
    fn new(digits: &Tensor) -> Result<Self> {
        let [_, PIXELS, PIXELS] = digits.dims()[..] else { bail!("expected matrices of {PIXELS} pixels, got {digits:?}") };
        let largest = Options::default().with_cut(Cut::at_most(RANK));
        let truths = (spectral(digits, Function::Pow(1.0), &largest)?.value / 100.0)?;
        let place = |of: fn(usize) -> usize| {
            let places: Vec<_> = (0..PIXELS).map(|pixel| of(pixel) as f32 / 3.5 - 1.0).collect();
            Tensor::from_vec(places, PIXELS, digits.device())
        };
        Ok(Self { truths, places: [place(|pixel| pixel / 8)?, place(|pixel| pixel % 8)?] })
    }

    /// Digits under light that falls from some side.
    fn examples(&self, count: usize, random: &mut fastrand::Rng) -> Result<Examples> {
        let device = self.truths.device();
        let digits: Vec<_> = (0..count).map(|_| random.u32(..self.truths.dims()[0] as u32)).collect();
        let truths = self.truths.index_select(&Tensor::from_vec(digits, count, device)?, 0)?;
        let mut light = Tensor::zeros((count, PIXELS), DType::F32, device)?;
        for places in &self.places {
            let slopes: Vec<_> = (0..count).map(|_| random.f32() - 0.5).collect();
            light = (light + Tensor::from_vec(slopes, (count, 1), device)?.broadcast_mul(places)?)?;
        }
        let light = light.exp()?;
        let lit = truths.broadcast_mul(&light.unsqueeze(1)?)?.broadcast_mul(&light.unsqueeze(2)?)?;
        let pairs = eigh(&lit, &Options::default().with_cut(Cut::at_most(RANK)))?;
        let eye = Tensor::eye(PIXELS, DType::F32, device)?;
        let variances = lit.broadcast_mul(&eye)?.sum(2)?;
        let noise = (normal(&[count, PIXELS], random, device)? * 0.05)?.exp()?;
        Ok(Examples {
            variances: (variances * noise)?,
            eigenvalues: pairs.eigenvalues.narrow(1, PIXELS - RANK, RANK)?,
            projector: pairs.projector()?.value,
        })
    }
}

/// Normal numbers, by Box and Muller.
fn normal(shape: &[usize], random: &mut fastrand::Rng, device: &Device) -> Result<Tensor> {
    let numbers = (0..shape.iter().product()).map(|_| {
        let (u, v) = (1.0 - random.f32(), random.f32());
        (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
    });
    Tensor::from_vec(numbers.collect::<Vec<_>>(), shape, device)
}

fn draw(path: &str, curves: &[(&str, Vec<(usize, f32)>)]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (640, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let losses = curves.iter().flat_map(|(_, curve)| curve.iter().map(|point| point.1)).filter(|loss| loss.is_finite());
    let (least, most) = losses.fold((f32::MAX, f32::MIN), |(least, most), loss| (least.min(loss), most.max(loss)));
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0..STEPS, (least * 0.8..most * 1.25).log_scale())?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("steps")
        .y_desc("loss of what was held back")
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .draw()?;
    for ((name, curve), colour) in curves.iter().zip([BLACK, RGBColor(200, 60, 40)]) {
        let mut finite = curve.iter().copied().filter(|point| point.1.is_finite());
        chart.draw_series(LineSeries::new(finite.clone(), colour.stroke_width(2)))?;
        let Some((step, loss)) = finite.next_back() else { continue };
        let nan = curve.last().is_some_and(|point| point.1.is_nan());
        let style = ("sans-serif", 15).into_font().color(&colour);
        let (text, at) = match nan {
            true => (format!("✕ {name}: NaN from step {} on", curve[curve.len() - 1].0), (step + 4, loss)),
            false => (format!("{name}: {loss:.2}"), (STEPS * 5 / 8, loss * 2.5)),
        };
        chart.draw_series([Text::new(text, at, style)])?;
    }
    root.present()?;
    Ok(())
}
