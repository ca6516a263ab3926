//! The input: a batch of Hermitian matrices, of which one triangle is read.

use crate::scalar::Scalar;
use crate::{Backend, Cpu, Element, Error, Pod, Real, Result};
use ndarray::{ArrayView, ArrayView3, Axis, Dimension, Ix3, Slice};
use num_traits::Float;
use rayon::prelude::*;
use std::cell::LazyCell;

/// One triangle of a matrix, the diagonal included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triangle {
    /// A_ij with i ≥ j.
    Lower,
    /// A_ij with i ≤ j.
    Upper,
}

/// Borrowed memory of a Hermitian batch, row-major and contiguous `[batch, n, n]`, of which only one triangle is read.
///
/// Whatever the memory holds, this is Hermitian: the other triangle and the imaginary part of the diagonal do not exist for it.
#[derive(Debug)]
pub struct HermitianRef<'a, T: Element, B: Backend = Cpu> {
    /// The matrices.
    pub data: B::View<'a, T>,
    /// The triangle that is read.
    pub triangle: Triangle,
}

impl<T: Element, B: Backend> Clone for HermitianRef<'_, T, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Element, B: Backend> Copy for HermitianRef<'_, T, B> {}

/// A batch of Hermitian matrices `[batch, n, n]`, owned, on a backend.
#[derive(Debug)]
pub struct HermitianBatch<T: Element, B: Backend = Cpu> {
    pub(crate) backend: B,
    data: B::Buffer<T>,
    batch: usize,
    n: usize,
    triangle: Triangle,
}

impl<T: Element> HermitianBatch<T, Cpu> {
    /// A batch on the CPU from an array of any strides, `[batch, n, n]` or `[n, n]`; both triangles are read and compared:
    /// |A_ij − conj A_ji| ≤ 8·n·ε·max|A|. Entries that are not finite are let through: they become a status of their matrix.
    ///
    /// # Errors
    /// [`Error::Dimensions`], [`Error::NotSquare`], [`Error::TooLarge`], [`Error::NotHermitian`]; [`Error::Backend`] without memory.
    pub fn new<D: Dimension>(a: ArrayView<'_, T, D>) -> Result<Self> {
        Self::on(&Cpu::default(), a)
    }

    /// As [`HermitianBatch::new`], but only one triangle is read.
    ///
    /// # Errors
    /// [`Error::Dimensions`], [`Error::NotSquare`].
    pub fn from_triangle<D: Dimension>(a: ArrayView<'_, T, D>, triangle: Triangle) -> Result<Self> {
        Self::from_triangle_on(&Cpu::default(), a, triangle)
    }
}

impl<T: Element, B: Backend> HermitianBatch<T, B> {
    /// As [`HermitianBatch::new`], on the given backend.
    ///
    /// # Errors
    /// As [`HermitianBatch::new`], and [`Error::Backend`].
    pub fn on<D: Dimension>(backend: &B, a: ArrayView<'_, T, D>) -> Result<Self> {
        let a = square(a)?;
        let (batch, n, _) = a.dim();
        let mut data = contiguous(backend, a)?;
        let compare = |(matrix, a): (usize, &mut [T])| match compare_triangles(matrix, n, a) {
            Ok(Finite::Yes) => None,
            Ok(Finite::No) => {
                a[0] = T::narrow(T::Scalar::from_parts(Real::of(f64::NAN), Real::of(f64::NAN))); // in the triangle that is read
                None
            }
            Err(e) => Some(e),
        };
        let size = (n * n).max(1);
        let different = match data.len() {
            ..PARALLEL_FROM => data.chunks_exact_mut(size).enumerate().find_map(compare),
            _ => backend.host().run(|| data.par_chunks_exact_mut(size).enumerate().find_map_first(compare)),
        };
        if let Some(error) = different {
            return Err(error);
        }
        Ok(Self { backend: backend.clone(), data: backend.upload(data)?, batch, n, triangle: Triangle::Lower })
    }

    /// As [`HermitianBatch::from_triangle`], on the given backend.
    ///
    /// # Errors
    /// As [`HermitianBatch::from_triangle`], and [`Error::Backend`].
    pub fn from_triangle_on<D: Dimension>(backend: &B, a: ArrayView<'_, T, D>, triangle: Triangle) -> Result<Self> {
        let a = square(a)?;
        let (batch, n, _) = a.dim();
        Ok(Self { backend: backend.clone(), data: backend.upload(contiguous(backend, a)?)?, batch, n, triangle })
    }

    /// A batch from memory that is on the backend already, row-major and contiguous; only one triangle is read.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Shape`] if the memory does not hold `batch`·n² elements.
    pub fn from_buffer(backend: &B, data: B::Buffer<T>, batch: usize, n: usize, triangle: Triangle) -> Result<Self> {
        addressable::<T>(batch, n)?;
        expect_len::<T, B>("A", batch * n * n, &data)?;
        Ok(Self { backend: backend.clone(), data, batch, n, triangle })
    }

    /// The memory, as it is.
    pub fn into_buffer(self) -> B::Buffer<T> {
        self.data
    }

    /// As [`HermitianBatch::on`], in parts of nearly equal size on several backends, in order: several GPUs, say, which then work
    /// at the same time. No part is empty unless there are fewer matrices than backends.
    ///
    /// # Errors
    /// As [`HermitianBatch::on`], with matrices numbered as in `a`.
    pub fn over<D: Dimension>(backends: &[B], a: ArrayView<'_, T, D>) -> Result<Vec<Self>> {
        let a = square(a)?;
        let bound = |part: usize| (a.dim().0 as u128 * part as u128 / backends.len() as u128) as usize;
        let parts = backends.iter().enumerate().map(|(part, backend)| {
            let (first, end) = (bound(part), bound(part + 1));
            Self::on(backend, a.slice_axis(Axis(0), Slice::from(first..end))).map_err(|error| match error {
                Error::NotHermitian { matrix, row, column, difference, tolerance } => {
                    Error::NotHermitian { matrix: matrix + first, row, column, difference, tolerance }
                }
                other => other,
            })
        });
        parts.collect()
    }

    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The batch as borrowed memory, for [`Plan::eigh_into`](crate::Plan::eigh_into).
    pub fn as_ref(&self) -> HermitianRef<'_, T, B> {
        HermitianRef { data: B::view(&self.data), triangle: self.triangle }
    }
}

/// Whether memory holds as many elements as it should.
pub(crate) fn expect_len<T: Pod, B: Backend>(what: &'static str, expected: usize, buffer: &B::Buffer<T>) -> Result<()> {
    let got = B::len(&B::view(buffer));
    if expected == got { Ok(()) } else { Err(Error::Shape { what, expected: vec![expected], got: vec![got] }) }
}

/// `[n, n]` or `[batch, n, n]` as `[batch, n, n]`.
fn square<T: Element, D: Dimension>(a: ArrayView<'_, T, D>) -> Result<ArrayView3<'_, T>> {
    let ndim = a.ndim();
    let a = a.into_dyn();
    let a = if ndim == 2 { a.insert_axis(Axis(0)) } else { a };
    let a = a.into_dimensionality::<Ix3>().map_err(|_| Error::Dimensions { ndim })?;
    let (batch, rows, columns) = a.dim();
    if rows != columns {
        return Err(Error::NotSquare { rows, columns });
    }
    addressable::<T>(batch, rows).map(|()| a)
}

/// Whether batch·n·n elements can be addressed.
pub(crate) fn addressable<T: Element>(batch: usize, n: usize) -> Result<()> {
    let largest = isize::MAX as usize / size_of::<T::Scalar>();
    let elements = batch.checked_mul(n).and_then(|x| x.checked_mul(n.max(1)));
    elements.filter(|&x| x <= largest).map(|_| ()).ok_or(Error::TooLarge { batch, n })
}

/// Elements from which a copy and a check are worth waking rayon's threads: some tens of microseconds of work.
const PARALLEL_FROM: usize = 1 << 14;

/// The elements in row-major order.
fn contiguous<T: Element, B: Backend>(backend: &B, a: ArrayView3<'_, T>) -> Result<Vec<T>> {
    let mut data = Vec::new();
    data.try_reserve_exact(a.len()).map_err(|e| Error::Backend { backend: "cpu", reason: e.to_string() })?;
    match a.as_slice() {
        // Much of this is the first touch of memory.
        Some(a) if a.len() >= PARALLEL_FROM => backend.host().run(|| a.par_iter().copied().collect_into_vec(&mut data)),
        Some(a) => data.extend_from_slice(a),
        None => data.extend(a.iter().copied()),
    }
    Ok(data)
}

#[derive(PartialEq)]
enum Finite {
    Yes,
    No,
}

/// Looks for the first entry with |A_ij − conj A_ji| > 8·n·ε·max|A|, unless the matrix is not finite anyhow.
fn compare_triangles<T: Element>(matrix: usize, n: usize, a: &[T]) -> Result<Finite> {
    if !a.iter().fold(true, |finite, x| finite & x.widen().finite()) {
        return Ok(Finite::No);
    }
    let same = |row: usize| {
        (0..=row).fold(true, |same, column| same & (a[row * n + column].widen() == a[column * n + row].widen().conj()))
    };
    // Most matrices are Hermitian to the bit.
    if (0..n).fold(true, |all, row| all & same(row)) {
        return Ok(Finite::Yes);
    }
    let components = a.iter().flat_map(|x| [x.widen().re(), x.widen().im()]);
    let largest = components.fold(<T::Scalar as Element>::Real::of(0.0), |largest, x| largest.max(x.abs()));
    // Differences of the largest numbers overflow: a quarter of everything is compared.
    let quarter = if largest.to_f64() > 1e300 { 0.25 } else { 1.0 };
    let bound = |largest: f64| 8.0 * n as f64 * T::PRECISION.epsilon() * largest;
    // max|A| is at least its largest component, and found only where that does not settle it.
    let (least, exact) = (bound(largest.to_f64() * quarter), LazyCell::new(|| bound(modulus(a, quarter))));
    for row in 0..n {
        for column in 0..=row {
            let (x, y) = (a[row * n + column].widen(), a[column * n + row].widen().conj());
            if x != y {
                let difference = |x: f64, y: f64| x * quarter - y * quarter;
                let re = difference(x.re().to_f64(), y.re().to_f64());
                let difference = re.hypot(difference(x.im().to_f64(), y.im().to_f64()));
                if difference > least && difference > *exact {
                    let (difference, tolerance) = (difference / quarter, *exact / quarter);
                    return Err(Error::NotHermitian { matrix, row, column, difference, tolerance });
                }
            }
        }
    }
    Ok(Finite::Yes)
}

/// max|A_ij|, scaled.
fn modulus<T: Element>(a: &[T], scale: f64) -> f64 {
    let modulus = |x: T::Scalar| (x.re().to_f64() * scale).hypot(x.im().to_f64() * scale);
    a.iter().fold(0.0, |largest, x| largest.max(modulus(x.widen())))
}
