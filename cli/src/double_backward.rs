//! `double-backward`: the double backward pass, from a cotangent of the gradient that `backward`
//! writes to those of matrices, λ̄ and V̄.

use crate::args::DoubleBackward;
use crate::failure::Result;
use crate::files::load::{self, shape_like};
use crate::files::output::Outputs;
use crate::files::{hermitian, npy};
use crate::{device, report};
use eigengrad::{Device, Element, Engine, Operation, dispatch, eigh_as};
use std::path::Path;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &DoubleBackward) -> Result<()> {
    let (dtype, _) = npy::peek(&arguments.input)?;
    let device = device::open(&arguments.common.hardware)?;
    dispatch(dtype, &device, Work { arguments, device: &device })
}

struct Work<'a> {
    arguments: &'a DoubleBackward,
    device: &'a Device,
}

const NAMES: [&str; 3] = ["a_bar.npy", "values_bar_bar.npy", "vectors_bar_bar.npy"];

impl Operation for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let DoubleBackward { input, bars, cotangent, out, common } = self.arguments;
        let (stored, batch) = load::matrices::<T, B>(input, common, backend)?;
        let inputs: Vec<_> = [input, cotangent].into_iter().chain(bars.files()).collect();
        let bars = load::bars::<T>(bars, stored.shape(), &batch)?;
        let h = hermitian::projected::<T, B>(cotangent, stored.shape(), backend)?;
        let mut outputs = Outputs::in_directory(out, &NAMES, common.force)?.beside(&inputs)?;
        let start = Instant::now();
        // deterministic: bit for bit what `eigh` writes
        let pairs = eigh_as::<T, T, B>(&batch, &common.options())?;
        let gradient = pairs.double_backward(&bars.of(&pairs)?, &h, None)?.to_host()?;
        let time = start.elapsed();
        let [a_bar, values, vectors] = NAMES.map(Path::new);
        outputs.stage(a_bar, &mut |file| npy::write(file, shape_like(stored.shape(), gradient.a_bar())))?;
        outputs.stage(values, &mut |file| npy::write(file, shape_like(stored.shape(), gradient.values_bar_bar())))?;
        outputs.stage(vectors, &mut |file| npy::write(file, shape_like(stored.shape(), gradient.vectors_bar_bar())))?;
        let written = outputs.commit()?;
        let mut table = report::heading(T::DTYPE, stored.shape(), self.device, time);
        if let Err(findings) = gradient.check() {
            table.warn(input, &findings);
        }
        report::spectrum(&mut table, &pairs.to_host()?);
        report::status(&mut table, "status", "status", gradient.status());
        report::written(&mut table, &written);
        table.say(common.json)
    }
}
