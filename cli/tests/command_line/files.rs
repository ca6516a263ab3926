//! A directory for one test, .npy files made byte by byte, and the program run in it.

use half::f16;
use ndarray::{Array3, ArrayD, IxDyn, ShapeBuilder};
use ndarray_npy::{ReadableElement, read_npy};
use num_complex::Complex;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// The element types by numpy's codes.
pub const CODES: [&str; 5] = ["f2", "f4", "f8", "c8", "c16"];

/// A directory in which the program runs.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program with arguments separated by blanks.
    pub fn run(&self, arguments: &str) -> Run {
        self.run_with(&[], arguments)
    }

    /// Runs the program with more variables in its environment.
    pub fn run_with(&self, environment: &[(&str, &str)], arguments: &str) -> Run {
        let mut program = Command::new(env!("CARGO_BIN_EXE_eigengrad"));
        program.current_dir(self.0.path()).envs(environment.iter().copied()).args(arguments.split_whitespace());
        Run(program.output().unwrap())
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// An array that the program wrote, read by another implementation of the format.
    pub fn array<T: ReadableElement>(&self, name: &str) -> ArrayD<T> {
        read_npy(self.path(name)).unwrap()
    }

    /// The names of all files, hidden ones too.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What a run of the program gave.
pub struct Run(Output);

impl Run {
    /// Its stdout, if it succeeded without a warning.
    pub fn ok(&self) -> String {
        assert_eq!(self.warned(), "");
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// Its warnings, if it succeeded.
    pub fn warned(&self) -> String {
        let said = String::from_utf8(self.0.stderr.clone()).unwrap();
        assert!(self.0.status.success(), "{said}");
        said
    }

    /// Its stdout, whatever it warned of.
    pub fn table(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// Its reason, if it failed as it should: status 2, one line, nothing on stdout.
    pub fn refused(&self) -> String {
        let said = String::from_utf8(self.0.stderr.clone()).unwrap();
        assert_eq!(self.0.status.code(), Some(2), "{said}");
        assert!(said.starts_with("eigengrad: ") && said.lines().count() == 1, "{said}");
        assert_eq!(self.0.stdout, b"");
        said
    }

    /// What it says on wrong usage.
    pub fn misused(&self) -> String {
        assert_eq!(self.0.status.code(), Some(2));
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }
}

/// The number in the row of a table that begins with these words.
pub fn ratio(table: &str, row: &str) -> f64 {
    let row = table.lines().find(|line| line.starts_with(row)).unwrap();
    row.split_whitespace().nth_back(2).unwrap().parse().unwrap()
}

/// An .npy file of version 1.0 with this header text and these data.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// The text of a header.
pub fn header(descr: &str, fortran: bool, shape: &[usize]) -> String {
    let order = if fortran { "True" } else { "False" };
    let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}\n")
}

/// An .npy file of `a` in the type `descr`, such as ">c8"; real types drop the imaginary parts.
pub fn npy(descr: &str, fortran: bool, a: &ArrayD<Complex<f64>>) -> Vec<u8> {
    let mut data = Vec::new();
    let order = if fortran { a.t() } else { a.view() };
    for x in order {
        let parts = if descr.contains('c') { vec![x.re, x.im] } else { vec![x.re] };
        for part in parts {
            let mut bytes = match &descr[1..] {
                "f2" => f16::from_f64(part).to_le_bytes().to_vec(),
                "f4" | "c8" => (part as f32).to_le_bytes().to_vec(),
                _ => part.to_le_bytes().to_vec(),
            };
            if descr.starts_with('>') {
                bytes.reverse();
            }
            data.extend(bytes);
        }
    }
    raw(&header(descr, fortran, a.shape()), &data)
}

/// A c16 file in the usual form.
pub fn c16(a: &Array3<Complex<f64>>) -> Vec<u8> {
    npy("<c16", false, &a.clone().into_dyn())
}

/// An f8 file in the usual form.
pub fn f8(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let values = values.iter().map(|&x| Complex::from(x)).collect();
    npy("<f8", false, &ArrayD::from_shape_vec(IxDyn(shape).set_f(false), values).unwrap())
}

/// Numbers between −1 and 1 that halves hold exactly.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % 129) as f64 / 64.0 - 1.0
    }

    pub fn complex(&mut self) -> Complex<f64> {
        Complex::new(self.next(), self.next())
    }

    /// Exactly Hermitian matrices of this rank at most, or of full rank and not definite with rank
    /// n.
    pub fn hermitian(&mut self, batch: usize, n: usize, rank: usize) -> Array3<Complex<f64>> {
        let mut a = Array3::zeros((batch, n, n));
        for b in 0..batch {
            let factor: Vec<_> = (0..n * rank).map(|_| self.complex()).collect();
            for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let x: Complex<f64> = (0..rank).map(|k| factor[i * rank + k] * factor[j * rank + k].conj()).sum();
                let x = if rank == n { self.complex() } else { x };
                a[[b, j, i]] = x.conj();
                a[[b, i, j]] = if i == j { x.re.into() } else { x };
            }
        }
        a
    }
}
