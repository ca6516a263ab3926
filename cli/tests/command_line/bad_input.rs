//! Files that are refused: each with status 2 and one line that says what is wrong, and nothing
//! written.

use crate::files::{Place, c16, f8, header, raw};
use ndarray::Array3;
use num_complex::Complex;
use std::fs;

/// Runs `eigh` on these bytes and returns the reason without the program's and the file's name.
fn refused(bytes: impl AsRef<[u8]>) -> String {
    let place = Place::new();
    place.put("a.npy", bytes);
    let said = place.run("eigh a.npy --out out").refused();
    assert_eq!(place.names("."), ["a.npy"], "nothing is left behind");
    said.strip_prefix("eigengrad: a.npy: ").unwrap().trim_end().to_owned()
}

#[test]
fn other_shapes_than_batches_of_square_matrices() {
    assert_eq!(refused(f8(&[2, 3], &[0.0; 6])), "expected square matrices, got 2×3");
    assert_eq!(refused(f8(&[4, 2, 3], &[0.0; 24])), "expected square matrices, got 2×3");
    assert_eq!(refused(f8(&[], &[0.0])), "expected [n, n] or [batch, n, n], got an array of 0 dimensions");
    assert_eq!(refused(f8(&[4], &[0.0; 4])), "expected [n, n] or [batch, n, n], got an array of 1 dimensions");
    assert_eq!(refused(f8(&[1, 1, 2, 2], &[0.0; 4])), "expected [n, n] or [batch, n, n], got an array of 4 dimensions");
}

#[test]
fn matrices_that_are_not_hermitian() {
    let mut a = Array3::<Complex<f64>>::zeros((3, 2, 2));
    a[[1, 1, 0]] = Complex::I;
    a[[1, 0, 1]] = Complex::I;
    let said = refused(c16(&a));
    assert!(said.starts_with("matrix 1 is not Hermitian: |A[1, 0] - conj A[0, 1]| = 2.000e0 exceeds"), "{said}");
    assert!(["--uplo", "--symmetrise", "--computed-in"].iter().all(|flag| said.contains(flag)), "{said}");
}

#[test]
fn other_types_than_floating_point() {
    for descr in ["<i8", ">u4", "|b1", "|O", "<U7", "<M8[ns]", "<f16", "|f8", "=f8", "f8", "<c32", ""] {
        let said = refused(raw(&header(descr, false, &[1, 1]), &[0; 8]));
        let expected = "is not supported: expected f2, f4, f8, c8 or c16, little- or big-endian";
        let remedy = if ["<i8", ">u4", "|b1"].contains(&descr) { "; convert it by .astype('f8')" } else { "" };
        assert_eq!(said, format!("dtype {descr} {expected}{remedy}"));
    }
    let structured = "{'descr': [('re', '<f8')], 'fortran_order': False, 'shape': (1, 1), }";
    assert!(refused(raw(structured, &[0; 8])).starts_with("a structured dtype is not supported"));
}

#[test]
fn files_that_are_not_npy() {
    assert_eq!(refused([]), "not an .npy file: shorter than 8 bytes");
    assert_eq!(refused("PK\x03\x04 is a zip"), "an .npz archive is not supported: save one array by numpy.save");
    assert_eq!(refused("NUMPY is text"), "not an .npy file: it does not begin with \\x93NUMPY");
    let zeros = "{'descr': '<f8', 'fortran_order': False, 'shape': (7,07), }";
    assert_eq!(refused(raw(zeros, &[0; 392])), "malformed header: the length 07 begins with 0");
    let mut future = raw(&header("<f8", false, &[1, 1]), &[0; 8]);
    future[6] = 4;
    assert_eq!(refused(future), "version 4.0 of the .npy format is not supported: expected 1.0 to 3.0");
}

#[test]
fn truncated_and_overlong_files() {
    let whole = f8(&[2, 2], &[0.0; 4]);
    for length in 0..whole.len() {
        let said = refused(&whole[..length]);
        assert!(said.contains("truncated") || length < 8 && said.starts_with("not an .npy file"), "{length}: {said}");
    }
    assert_eq!(refused(&whole[..whole.len() - 1]), "truncated: float64 [2, 2] needs 32 bytes of data, the file has 31");
    let long = [&whole[..], &[0]].concat();
    assert_eq!(refused(long), "too long: float64 [2, 2] needs 32 bytes of data, the file has 33");
}

#[test]
fn headers_that_lie_about_sizes() {
    let lie = |shape: &[usize]| refused(raw(&header("<f8", false, shape), &[0; 8]));
    assert!(lie(&[1 << 20, 1 << 20]).starts_with("truncated: float64 [1048576, 1048576] needs 8796093022208 bytes"));
    assert!(lie(&[usize::MAX, 2, 2]).ends_with("is too large to address"));
    assert!(lie(&[1 << 32, 1 << 32]).ends_with("is too large to address")); // 2⁶⁴ wraps to 0
    let nothing = |shape: &[usize]| refused(raw(&header("<f8", false, shape), &[]));
    assert!(nothing(&[0, 1 << 31, 1 << 31]).ends_with("has no elements and a dimension over 1024"));
    assert!(nothing(&[1 << 40, 0, 0]).ends_with("has no elements and a dimension over 1024"));
    assert!(nothing(&[usize::MAX, 2, 0]).ends_with("is too large to address"));
    let digits = header("<f8", false, &[1, 1]).replace("(1,", &format!("({},", "9".repeat(30)));
    assert_eq!(refused(raw(&digits, &[0; 8])), "malformed header: a length of 30 digits is too large");
    let mut huge = b"\x93NUMPY\x02\x00".to_vec();
    huge.extend(u32::MAX.to_le_bytes());
    assert_eq!(refused(&huge), "truncated: the header is said to be 4294967295 bytes long, the file is 12");
    huge[8..12].copy_from_slice(&100_000u32.to_le_bytes());
    huge.extend([b' '; 100_000]);
    assert_eq!(refused(huge), "a header of 100000 bytes is not supported: expected at most 65535");
}

#[test]
fn malformed_headers() {
    let said = |text: &str| refused(raw(text, &[0; 8]));
    let good = header("<f8", false, &[1, 1]);
    for (text, expected) in [
        (String::new(), "expected '{' at byte 0 of its text, got its end"),
        ("[".repeat(60_000), "expected '{' at byte 0 of its text, got '['"),
        ("{".repeat(60_000), "expected a string at byte 1 of its text, got '{'"),
        (good.replace("(1, 1, )", &"(".repeat(60_000)), "expected a length at byte"),
        (good.replace("(1, 1, )", "(-1, 1)"), "expected a length at byte"),
        (good.replace("(1, 1, )", "1"), "expected '(' at byte"),
        (good.replace("False", "0"), "expected True or False at byte"),
        (good.replace("'shape'", "'shade'"), "unknown key 'shade'"),
        (good.replace("'fortran_order': False, ", ""), "no key 'fortran_order'"),
        (good.replace("'fortran_order': False", "'descr': '<f8'"), "key 'descr' occurs twice"),
        (good.replace("'shape'", "'shape"), "unknown key 'shape: (1, 1, ), }\\n"),
        (good.replace('}', "} {"), "expected its end at byte"),
        (good.replace("': (1", "\u{1b}[31m': (1"), "unknown key 'shape\\x1b[31m'"),
    ] {
        let said = said(&text);
        let expected = if expected.contains("'shape: ") { "a string does not end" } else { expected };
        assert!(said.starts_with("malformed header: ") && said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let place = Place::new();
    fs::create_dir(place.path("directory.npy")).unwrap();
    place.put("file", "");
    assert_eq!(place.run("eigh directory.npy --out out").refused(), "eigengrad: directory.npy: is a directory\n");
    assert!(place.run("eigh absent.npy --out out").refused().contains("absent.npy: No such file"));
    assert!(place.run("eigh file/a.npy --out out").refused().contains("file/a.npy: Not a directory"));
    assert!(place.run("backward absent.npy --values-bar l.npy --out o.npy").refused().contains("absent.npy: No such file"));
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    assert!(place.run("backward a.npy --values-bar absent.npy --out o.npy").refused().contains("absent.npy: No such file"));
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_are_not_regular_or_not_permitted() {
    let place = Place::new();
    assert_eq!(place.run("eigh /dev/zero --out out").refused(), "eigengrad: /dev/zero: is not a regular file\n");
    // The kernel refuses this one even to root.
    let said = place.run("eigh /proc/self/mem --out out").refused();
    assert!(said.starts_with("eigengrad: /proc/self/mem: "), "{said}");
}
