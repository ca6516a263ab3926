//! Work that breaks its context when it runs, long after it was enqueued: every call says so from
//! then on, until all that belonged to the context is gone. (A GPU may want a new process then.)

use crate::emulator::Emulator;
use crate::gpu::device;
use crate::sample::{matrices, numbers};
use eigengrad::cuda::Cuda;
use eigengrad::{Backend, Cotangents, HermitianBatch, Options, Result, eigh};

/// λ and Ā, as bits.
fn pass(cuda: &Cuda) -> Result<Vec<u64>> {
    let batch = HermitianBatch::on(cuda, matrices::<f64>(2, 4, 1).view())?;
    let pairs = eigh(&batch, &Options::default())?;
    let v_bar = numbers::<f64>((2, 4, 4), 2);
    let gradient = pairs.backward(&Cotangents::new(&pairs, None, Some(v_bar.view()))?)?;
    let (pairs, gradient) = (pairs.to_host()?, gradient.to_host()?);
    Ok(pairs.values().iter().chain(gradient.a_bar()).map(|x| x.to_bits()).collect())
}

#[test]
fn work_that_breaks() {
    let Some(emulator) = Emulator::take() else { return };
    let (before, mut broke) = (emulator.alive(), 0);
    let expected = pass(&device().unwrap()).unwrap();
    for n in 1.. {
        let (cuda, held) = (device().unwrap(), device().unwrap());
        let buffer = held.upload(vec![1.0_f32; 8]).unwrap();
        emulator.break_at(n);
        let got = pass(&cuda);
        emulator.break_at(0);
        let Err(error) = got else {
            assert_eq!(got.unwrap(), expected);
            break;
        };
        broke += 1;
        let said = |error: eigengrad::Error| {
            let text = error.to_string();
            assert!(text.contains("illegal memory access") && text.contains("cu"), "work {n}: {text}");
        };
        said(error);
        // The device's other streams, too, whatever is called; nothing panics on the way out.
        said(cuda.synchronize().unwrap_err());
        said(held.download(Cuda::view(&buffer)).unwrap_err());
        said(held.zeros::<f32>(1).map(drop).unwrap_err());
        said(pass(&held).unwrap_err());
        drop((buffer, cuda, held));
        assert_eq!(emulator.alive(), before, "work {n}: a leak");
        assert_eq!(pass(&device().unwrap()).unwrap(), expected, "work {n}: a new context");
    }
    assert!(broke > 10, "{broke} pieces of work");
    assert_eq!(emulator.alive(), before);
}
