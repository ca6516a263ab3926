//! What a new process waits for: the libraries and the context, the kernels, the first results. Run
//! it with an empty and a full cache.

use crate::run::{Result, Run, in_type};
use crate::{fact, input};
use eigengrad::cuda::{Cuda, Workspace};
use eigengrad::{Backend, Cotangents, Engine, HermitianBatch, Options, Scalar, eigh};
use std::time::Instant;

const N: usize = 8;

pub fn measure(run: &mut Run) -> Result<()> {
    let start = Instant::now();
    let cuda = Cuda::new(0)?;
    cuda.synchronize()?;
    fact::say("cold", &[("what", "Cuda::new".into()), ("milliseconds", milliseconds(start).into())]);
    for dtype in run.dtypes.clone() {
        in_type!(dtype, first_results(run, &cuda));
    }
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// A decomposition and a gradient, twice, by the functions that allocate.
fn first_results<T: Scalar>(run: &mut Run, cuda: &Cuda)
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    for time in ["first", "second"] {
        let labels = vec![("what", time.into()), ("dtype", T::DTYPE.to_string().into()), ("n", N.into())];
        run.case("cold", labels, || {
            let batch = HermitianBatch::on(cuda, input::positive::<T>(64, N, N).view())?;
            let start = Instant::now();
            let pairs = eigh(&batch, &Options::default())?;
            cuda.synchronize()?;
            let forward = milliseconds(start);
            let values_bar = ndarray::Array2::from_elem((64, N), eigengrad::Real::of(1.0));
            let cotangents = Cotangents::new(&pairs, Some(values_bar.view()), None)?;
            let start = Instant::now();
            pairs.backward(&cotangents)?;
            cuda.synchronize()?;
            Ok(vec![("forward_milliseconds", forward.into()), ("backward_milliseconds", milliseconds(start).into())])
        });
    }
}
