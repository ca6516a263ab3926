//! NVTX: what is enqueued has names, nested as the calls are, and each ends, where a call fails
//! too.

use crate::gpu::device;
use crate::sample::{matrices, run};
use eigengrad::cuda::Cuda;
use eigengrad::{Array, Backend, Dropped, FactorBatch, HermitianBatch, Options, Plan, Triangle, eigh_factor_as, eigvalsh};
use half::f16;
use ndarray::s;
use num_complex::Complex;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::process::Command;

/// Stands for NVIDIA's library: writes down what is pushed, and a dash for what is popped.
const LIBRARY: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static int note(const char *line) {
    FILE *file = fopen(getenv("EIGENGRAD_RANGES"), "a");
    fprintf(file, "%s\n", line);
    return fclose(file);
}
int nvtxRangePushA(const char *name) { return note(name); }
int nvtxRangePop(void) { return note("-"); }
"#;

/// Each part by each way to go, and a call that fails.
fn work(cuda: &Cuda) {
    let cuda = &cuda.clone().certified();
    let options = Options::default();
    run::<f32, f32>(cuda, &matrices(2, 3, 1), &options);
    run::<f16, f16>(cuda, &matrices(1, 153, 2), &options);
    run::<Complex<f64>, Complex<f64>>(cuda, &matrices(1, 77, 3), &options);
    run::<Complex<f64>, Complex<f64>>(cuda, &matrices(1, 78, 6), &options.with_dropped(Dropped::Zero));
    eigvalsh(&HermitianBatch::on(cuda, matrices::<f64>(2, 3, 4).view()).unwrap(), &options).unwrap();

    let factor = FactorBatch::on(cuda, matrices::<f16>(2, 9, 5).slice(s![.., .., ..4])).unwrap();
    let pairs = eigh_factor_as::<f16, f16, Cuda>(&factor, &options).unwrap();
    pairs.backward(&pairs.cotangents(None, Some(pairs.to_host().unwrap().vectors())).unwrap()).unwrap();

    let (plan, other) = (Plan::<f64, Cuda>::new(cuda, 2, 3, &options).unwrap(), Cuda::new(0).unwrap());
    let (a, workspace) = (Array::zeros(cuda, [2, 3, 3]).unwrap(), plan.workspace().unwrap());
    let mut elsewhere = Plan::<f64, Cuda>::new(&other, 2, 3, &options).unwrap().eigenpairs::<f64>().unwrap();
    let mut pairs = plan.eigenpairs::<f64>().unwrap();
    let a = HermitianBatch::of_view(a.backend(), a.view(), Triangle::Lower).unwrap();
    plan.eigh_into(a, elsewhere.view_mut(), &workspace).unwrap_err();
    plan.eigh_into(a, pairs.view_mut(), &workspace).unwrap();
    cuda.synchronize().unwrap();
}

#[test]
fn ranges_are_nested_and_end() {
    let Some(cuda) = device() else { return };
    if env::var_os("EIGENGRAD_RANGES").is_some() {
        return work(&cuda);
    }
    drop(cuda);
    let folder = tempfile::tempdir().unwrap();
    let [source, library, log] = ["nvtx.c", "libnvtx3interop.so.1", "log"].map(|name| folder.path().join(name));
    fs::write(&source, LIBRARY).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(made.success());
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "ranges::ranges_are_nested_and_end"]);
    child.env("EIGENGRAD_RANGES", &log).env("LD_LIBRARY_PATH", folder.path());
    assert!(child.status().unwrap().success());

    let (mut open, mut seen) = (Vec::new(), BTreeSet::new());
    let log = fs::read_to_string(&log).unwrap();
    for line in log.lines() {
        if line == "-" {
            open.pop().expect("one that has begun");
        } else {
            open.push(line.strip_prefix("eigengrad::").unwrap());
            seen.insert(open.join(" "));
        }
    }
    assert_eq!(open, [""; 0], "\n{log}");
    let forward = ["eigh", "eigh prepare", "eigh solve", "eigh solve certify", "eigh solve probe", "eigh spectrum", "eigh store"];
    let values =
        ["eigvalsh", "eigvalsh prepare", "eigvalsh solve", "eigvalsh solve certify", "eigvalsh solve probe", "eigvalsh spectrum"];
    let backward = [
        "backward",
        "backward finish",
        "backward fused",
        "backward inner",
        "backward label",
        "backward load",
        "backward outer",
        "backward product",
    ];
    let of_factors = ["backward_factor", "eigh_factor"].map(str::to_owned);
    let inside = [
        ["f_matrix", "label", "load", "mask", "product", "scale", "store_columns"].as_slice(),
        &["compose", "factorise", "solve", "solve certify", "solve probe", "spectrum", "store"],
    ];
    let inside = of_factors.iter().zip(inside).flat_map(|(all, parts)| parts.iter().map(move |part| format!("{all} {part}")));
    let factors: Vec<_> = inside.chain(of_factors.clone()).collect();
    let all = backward.into_iter().chain(forward).chain(values).chain(factors.iter().map(String::as_str));
    let mut expected: Vec<_> = all.collect();
    expected.sort_unstable();
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
