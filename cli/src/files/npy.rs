//! The .npy door: arrays in from C or Fortran order, little- or big-endian, and out in C order,
//! little-endian.

#[cfg(test)]
mod fuzz;

use crate::failure::{Failure, Result, reason};
use crate::files::header::{self, Header};
use eigengrad::half::{bf16, f16};
use eigengrad::{Dtype, Element, Precision, Real, Scalar};
use ndarray::{ArrayD, ArrayView, Dimension, IxDyn, ShapeBuilder};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// The element type and the shape of the array in a file.
///
/// # Errors
/// If the file cannot be read or is not what [`read`] takes.
pub fn peek(path: &Path) -> Result<(Dtype, Vec<usize>)> {
    let (_, header) = open(path)?;
    Ok((header.dtype, header.shape))
}

/// The array in a file, in the storage order of the file.
///
/// # Errors
/// If the file cannot be read, is malformed, or holds another element type.
pub fn read<T: Element>(path: &Path) -> Result<ArrayD<T>> {
    let (mut file, header) = open(path)?;
    elements(&mut file, &header).map_err(|reason| Failure::at(path, reason))
}

/// As [`read`], of an array that must have this shape.
///
/// # Errors
/// As [`read`], and if element type or shape differ: both are named, as expected and as found.
pub fn read_shaped<T: Element>(path: &Path, shape: &[usize]) -> Result<ArrayD<T>> {
    let (mut file, header) = open(path)?;
    if header.dtype != T::DTYPE || header.shape != shape {
        let reason = format!("expected {} {shape:?}, got {} {:?}", T::DTYPE, header.dtype, header.shape);
        return Err(Failure::at(path, reason));
    }
    elements(&mut file, &header).map_err(|reason| Failure::at(path, reason))
}

fn open(path: &Path) -> Result<(BufReader<File>, Header)> {
    let failed = |e: io::Error| Failure::at(path, reason(&e));
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "is a directory" } else { "is not a regular file" };
        return Err(Failure::at(path, what)); // before opening: a pipe would wait for its writer
    }
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let header = Header::read(&mut file, metadata.len()).map_err(|reason| Failure::at(path, reason))?;
    Ok((file, header))
}

/// Reads the elements that follow a header, which the file's size has confirmed.
pub(crate) fn elements<T: Element>(file: &mut impl Read, header: &Header) -> Result<ArrayD<T>, String> {
    if header.dtype != T::DTYPE {
        return Err(format!("expected {}, got {}", T::DTYPE, header.dtype));
    }
    let count = header.shape.iter().product();
    let mut data = Vec::new();
    data.try_reserve_exact(count).map_err(|e| e.to_string())?;
    let size = header.element_size();
    let component = if T::Scalar::COMPLEX { size / 2 } else { size };
    let mut bytes = vec![0; size];
    for _ in 0..count {
        file.read_exact(&mut bytes).map_err(|e| format!("truncated or unreadable: {e}"))?;
        if header.big_endian {
            bytes.chunks_exact_mut(component).for_each(<[u8]>::reverse);
        }
        let mut parts = bytes.chunks_exact(component).map(|part| Real::of(number(T::PRECISION, part)));
        let mut part = || parts.next().unwrap_or_else(|| Real::of(0.0));
        data.push(T::narrow(T::Scalar::from_parts(part(), part())));
    }
    let shape = IxDyn(&header.shape).set_f(header.fortran_order);
    ArrayD::from_shape_vec(shape, data).map_err(|e| format!("shape {:?}: {e}", header.shape))
}

/// Writes an array of any strides.
///
/// # Errors
/// What the writer says, or that the element type has no .npy form.
pub fn write<T: Element, D: Dimension>(to: &mut impl Write, array: ArrayView<'_, T, D>) -> io::Result<()> {
    let code = header::code(T::DTYPE);
    let code = code.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, format!("{} has no .npy form", T::DTYPE)))?;
    write_as(to, code, array, |x, bytes| {
        let x = x.widen();
        let parts = [x.re().to_f64(), x.im().to_f64()];
        for &part in &parts[..if T::Scalar::COMPLEX { 2 } else { 1 }] {
            extend(T::PRECISION, part, bytes);
        }
    })
}

/// Writes a mask of any strides.
///
/// # Errors
/// What the writer says.
pub fn write_mask<D: Dimension>(to: &mut impl Write, mask: ArrayView<'_, bool, D>) -> io::Result<()> {
    write_as(to, "b1", mask, |x, bytes| bytes.push(x.into()))
}

/// The number in little-endian bytes of a precision, which f64 holds exactly.
fn number(precision: Precision, bytes: &[u8]) -> f64 {
    let of = match precision {
        Precision::F16 => bytes.first_chunk().map(|&bytes| f16::from_le_bytes(bytes).to_f64()),
        Precision::Bf16 => bytes.first_chunk().map(|&bytes| bf16::from_le_bytes(bytes).to_f64()),
        Precision::F32 => bytes.first_chunk().map(|&bytes| f32::from_le_bytes(bytes).into()),
        _ => bytes.first_chunk().map(|&bytes| f64::from_le_bytes(bytes)),
    };
    of.unwrap_or(f64::NAN)
}

/// Appends the little-endian bytes of a number of a precision.
fn extend(precision: Precision, x: f64, bytes: &mut Vec<u8>) {
    match precision {
        Precision::F16 => bytes.extend(f16::from_f64(x).to_le_bytes()),
        Precision::Bf16 => bytes.extend(bf16::from_f64(x).to_le_bytes()),
        Precision::F32 => bytes.extend((x as f32).to_le_bytes()),
        _ => bytes.extend(x.to_le_bytes()),
    }
}

fn write_as<T: Copy, D: Dimension>(
    to: &mut impl Write,
    code: &str,
    array: ArrayView<'_, T, D>,
    extend: impl Fn(T, &mut Vec<u8>),
) -> io::Result<()> {
    let mut bytes = header::write(code, array.shape());
    for &x in array {
        extend(x, &mut bytes);
        if bytes.len() >= 1 << 16 {
            to.write_all(&bytes)?;
            bytes.clear();
        }
    }
    to.write_all(&bytes)
}
