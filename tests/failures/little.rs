//! Devices with little memory, and matrices on which no solver converges, each in a process of its
//! own, whose settings say so.

use crate::child::{command, passes};
use crate::emulator::{Emulator, folder};
use crate::gpu::device;
use crate::sample::{bytes, matrices};
use eigengrad::cuda::{Algorithm, Cuda, Solver};
use eigengrad::{Backend, Engine, HermitianBatch, Options, Plan, Scalar, Status, eigh, eigvalsh};
use num_complex::Complex;
use std::path::Path;

#[test]
fn a_workspace_shrinks() {
    if folder().is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for (parts, setting, value) in
        [("1", "MEMORY", "4294967296"), ("some", "MEMORY", "1500000"), ("refused", "CUSOLVER_BATCH", "200")]
    {
        let setting = format!("EIGENGRAD_EMULATOR_{setting}");
        passes(command("little::decomposes").env(setting, value).env("PARTS", parts).env("OUT", place.path()));
    }
    let [whole, in_parts, refused] = ["1", "some", "refused"].map(|parts| std::fs::read(place.path().join(parts)).unwrap());
    assert!(whole == in_parts && whole == refused);
}

const BATCH: usize = 300;

/// In as many parts as memory allows; what does not fit is an error that names the call, and
/// nothing else changes.
#[test]
#[ignore = "started by a_workspace_shrinks"]
fn decomposes() {
    let emulator = Emulator::take().unwrap();
    let parts = std::env::var("PARTS").unwrap();
    let cuda = device().unwrap().with_solver(Solver::JACOBI);
    let a = matrices::<f64>(BATCH, 8, 3);
    let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
    let plan = Plan::<f64, Cuda>::new(&cuda, BATCH, 8, &Options::default()).unwrap();
    let (workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<f64>().unwrap());
    // Jacobi's scratch
    assert_eq!(workspace.bytes() > BATCH * 8 * 1024, parts == "1", "{} bytes", workspace.bytes());
    let before = emulator.alive();
    let too_much = cuda.zeros::<f64>(1 << 40).unwrap_err().to_string();
    assert!(too_much.contains("cuMemAllocAsync of 8796093022208 bytes"), "{too_much}");
    if parts == "some" {
        let larger = Plan::<f64, Cuda>::new(&cuda, 1, 400, &Options::default()).unwrap();
        let refused = larger.workspace().unwrap_err().to_string();
        assert!(refused.contains("cuMemAllocAsync of"), "{refused}");
    }
    assert_eq!(emulator.alive(), before);
    plan.eigh_into(batch.view(), pairs.view_mut(), &workspace).unwrap();
    let pairs = pairs.to_host().unwrap();
    let out = Path::new(&std::env::var_os("OUT").unwrap()).join(parts);
    std::fs::write(out, [bytes(pairs.values()), bytes(pairs.vectors())].concat()).unwrap();
}

/// Before cuSOLVER 11.7.4 scratch that is not zeroed spoils the vectors of complex64, of the
/// emulator's too.
#[test]
fn an_old_solver() {
    if folder().is_some() {
        passes(command("little::has_zeroed_scratch").env("EIGENGRAD_EMULATOR_CUSOLVER_VERSION", "11702"));
    }
}

#[test]
#[ignore = "started by an_old_solver"]
fn has_zeroed_scratch() {
    let cuda = device().unwrap().with_solver(Solver::SYEV).certified();
    let batch = HermitianBatch::on(&cuda, matrices::<Complex<f32>>(3, 5, 4).view()).unwrap();
    for _ in 0..2 {
        eigh(&batch, &Options::default()).unwrap().to_host().unwrap().check().unwrap();
    }
}

#[test]
fn matrices_that_do_not_converge() {
    if folder().is_some() {
        passes(command("little::does_not_converge").env("EIGENGRAD_EMULATOR_NOT_CONVERGED", "1"));
    }
}

/// The second matrix of each call, whatever the solver; the others have the bits that they have
/// alone.
#[test]
#[ignore = "started by matrices_that_do_not_converge"]
fn does_not_converge() {
    let a = matrices::<f64>(3, 5, 4);
    let syev = [Algorithm::Fastest, Algorithm::Consistent].map(Solver::Syev);
    for solver in [Solver::JACOBI].into_iter().chain(syev) {
        let cuda = device().unwrap().with_solver(solver);
        let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
        let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
        let spectrum = eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap();
        assert_eq!(pairs.status().to_vec(), [Status::OK, Status::NOT_CONVERGED, Status::OK], "{solver:?}");
        assert_eq!(spectrum.status(), pairs.status(), "{solver:?}");
        for b in 0..3 {
            let alone = a.slice(ndarray::s![b..=b, .., ..]);
            let alone = eigh(&HermitianBatch::on(&cuda, alone).unwrap(), &Options::default()).unwrap().to_host().unwrap();
            let (values, expected) = (pairs.values().row(b).to_owned(), alone.values().row(0).to_owned());
            assert!(if b == 1 { values.iter().all(|x| x.is_nan()) } else { values == expected }, "{solver:?}, matrix {b}");
        }
        assert!(pairs.vectors().index_axis(ndarray::Axis(0), 1).iter().all(|x| x.is_nan()));
    }
    is_decomposed_again::<f32>();
    is_decomposed_again::<Complex<f64>>();
}

#[test]
fn matrices_that_are_wrong() {
    if folder().is_some() {
        passes(command("little::is_wrong").env("EIGENGRAD_EMULATOR_WRONG_VALUES", "1"));
        passes(command("little::is_wrong").env("EIGENGRAD_EMULATOR_WRONG_ORDER", "1"));
    }
}

/// Eigenvalues of the second matrix that are finite, and not its own: a backend that certifies says
/// so, and decomposes it again where no solver was asked for.
#[test]
#[ignore = "started by matrices_that_are_wrong"]
fn is_wrong() {
    let a = matrices::<f64>(3, 51, 4);
    let of = |solver, a: ndarray::ArrayView3<'_, f64>| {
        let cuda = device().unwrap().with_solver(solver).certified();
        let batch = HermitianBatch::on(&cuda, a).unwrap();
        let values = eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap();
        (eigh(&batch, &Options::default()).unwrap().to_host().unwrap(), values)
    };
    for solver in [Solver::JACOBI, Solver::SYEV] {
        let (pairs, values) = of(solver, a.view());
        assert_eq!(pairs.status().to_vec(), [Status::OK, Status::LARGE_RESIDUAL, Status::OK], "{solver:?}");
        assert!(pairs.values().row(1).iter().all(|x| x.is_nan()), "{solver:?}");
        assert_eq!(values.status(), pairs.status(), "{solver:?}");
    }
    let (auto, ours) = (of(Solver::Auto, a.view()), of(Solver::OnChip, a.view()));
    auto.0.check().unwrap();
    auto.1.check().unwrap();
    assert_eq!(auto.0.values().row(1), ours.0.values().row(1));
    assert_eq!(auto.1.values().row(1), ours.1.values().row(1));
    // Too large to be decomposed again in time: told, certified or not.
    let batch = HermitianBatch::on(&device().unwrap(), matrices::<f64>(3, 260, 4).view()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
    assert_eq!(pairs.status().to_vec(), [Status::OK, Status::LARGE_RESIDUAL, Status::OK]);
}

/// Without a solver of the user's choice: with the bits of ours. Its neighbours have cuSOLVER's.
fn is_decomposed_again<T: Scalar>()
where
    Cuda: Engine<T>,
{
    let a = matrices::<T>(3, 51, 4);
    let of = |solver| {
        let cuda = device().unwrap().with_solver(solver);
        let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
        let values = eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap();
        (eigh(&batch, &Options::default()).unwrap().to_host().unwrap(), values)
    };
    let (auto, ours, cusolver) = (of(Solver::Auto), of(Solver::OnChip), of(Solver::SYEV));
    auto.0.check().unwrap();
    auto.1.check().unwrap();
    for b in 0..3 {
        let expected = if b == 1 { &ours } else { &cusolver };
        assert_eq!(auto.0.values().row(b), expected.0.values().row(b), "matrix {b}");
        assert_eq!(auto.1.values().row(b), expected.1.values().row(b), "matrix {b}");
        let [auto, expected] = [&auto, expected].map(|x| x.0.vectors().index_axis(ndarray::Axis(0), b).to_owned());
        assert_eq!(auto, expected, "matrix {b}");
    }
}
