//! C = Aᴴ B by faer, compiled once for each type.

use super::multiply::{OutputPart, Term};
use crate::cpu::parallel::par;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef};
use num_complex::Complex;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

/// faer's product of matrices that lie as components, real and imaginary part in turn.
pub trait MultiplyAlone: crate::Element {
    fn multiply_alone(stride: usize, c: &mut [Self::Real], term: Term, a: &[Self::Real], b: &[Self::Real], part: &OutputPart);
}

macro_rules! multiply_alone {
    ($($t:ty = $one:expr),*) => { $(
        impl MultiplyAlone for $t {
            fn multiply_alone(stride: usize, c: &mut [Self::Real], term: Term, a: &[Self::Real], b: &[Self::Real], part: &OutputPart) {
                let OutputPart { rows, columns, inner, upper } = part;
                let of = |x, wanted: &std::ops::Range<usize>| columns_of::<$t>(cast_slice(x), stride, inner, wanted);
                let (a, b) = (of(a, rows).adjoint(), of(b, columns));
                let c: &mut [$t] = cast_slice_mut(c);
                let height = stride.min(c.len());
                let count = c.len() / stride.max(1);
                let c = MatMut::from_column_major_slice_with_stride_mut(&mut c[..count * stride], height, count, stride);
                let c = c.submatrix_mut(rows.start, columns.start, rows.len(), columns.len());
                let (accumulate, alpha) = match term {
                    Term::Set => (Accum::Replace, $one),
                    Term::Add => (Accum::Add, $one),
                    Term::Subtract => (Accum::Add, -$one),
                };
                let par = par(rows.len().max(columns.len()).max(inner.len()));
                if *upper && rows == columns {
                    use BlockStructure::{Rectangular, TriangularUpper};
                    triangular::matmul(c, TriangularUpper, accumulate, a, Rectangular, b, Rectangular, alpha, par);
                } else {
                    matmul(c, accumulate, a, b, alpha, par);
                }
            }
        }
    )* }
}
multiply_alone!(f32 = 1.0, f64 = 1.0, Complex<f32> = Complex::new(1.0, 0.0), Complex<f64> = Complex::new(1.0, 0.0));

/// The rows `inner` of some columns.
fn columns_of<'a, T>(
    x: &'a [T],
    stride: usize,
    inner: &std::ops::Range<usize>,
    columns: &std::ops::Range<usize>,
) -> MatRef<'a, T> {
    let count = x.len() / stride.max(1);
    let x = MatRef::from_column_major_slice_with_stride(&x[..count * stride], stride.min(x.len()), count, stride);
    x.submatrix(inner.start, columns.start, inner.len(), columns.len())
}
