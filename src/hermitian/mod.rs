//! The input: a batch of Hermitian matrices, of which one triangle is read.

mod compare;

use crate::element::Scalar;
use crate::options::addressable;
use crate::{Array, Backend, Cpu, Element, Error, Owned, Precision, Real, Result, Storage, View};
use compare::{compare_triangles, expect_in_lower};
use ndarray::{ArrayView, ArrayView3, Axis, Dimension, Ix3, Slice};
use rayon::prelude::*;

/// One triangle of a matrix, the diagonal included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triangle {
    /// A_ij with i ≥ j.
    Lower,
    /// A_ij with i ≤ j.
    Upper,
}

/// What is read of memory that holds a Hermitian matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// The lower triangle.
    Lower,
    /// The upper triangle.
    Upper,
    /// The lower triangle, once both were found to be the same: |A_ij − conj A_ji| ≤ 8·n·ε·max|A|.
    Compared,
    /// The mean of both triangles, ½(A + Aᴴ).
    Mean,
}

impl From<Triangle> for Read {
    fn from(triangle: Triangle) -> Self {
        match triangle {
            Triangle::Lower => Self::Lower,
            Triangle::Upper => Self::Upper,
        }
    }
}

/// A batch of Hermitian matrices `[batch, n, n]` on a backend.
///
/// Whatever the memory holds, this is Hermitian: what is not read does not exist for it, and
/// neither does the imaginary part of the diagonal.
#[derive(Debug)]
pub struct HermitianBatch<T: Element, B: Backend = Cpu, S: Storage = Owned> {
    pub(crate) data: Array<T, B, 3, S>,
    /// None for the mean of both.
    pub(crate) triangle: Option<Triangle>,
}

impl<T: Element, B: Backend> Clone for HermitianBatch<T, B, View<'_>> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Element, B: Backend> Copy for HermitianBatch<T, B, View<'_>> {}

impl<'a, T: Element> HermitianBatch<T, Cpu, View<'a>> {
    /// The user's own array, row-major `[batch, n, n]` or `[n, n]`, without a copy; both triangles
    /// are compared as by [`HermitianBatch::new`]. An entry that is not finite becomes a status of
    /// its matrix, unless its mirror is: that differs.
    ///
    /// # Errors
    /// As [`HermitianBatch::new`], and [`Error::NotContiguous`].
    pub fn borrowed<D: Dimension>(a: ArrayView<'a, T, D>) -> Result<Self> {
        Self::borrowed_on(&Cpu::default(), a)
    }

    /// As [`HermitianBatch::borrowed`], compared by the threads of `backend`.
    ///
    /// # Errors
    /// As [`HermitianBatch::borrowed`].
    pub fn borrowed_on<D: Dimension>(backend: &Cpu, a: ArrayView<'a, T, D>) -> Result<Self> {
        let a = square(a)?;
        let n = a.dim().1;
        let data = a.to_slice().ok_or(Error::NotContiguous)?;
        for matrix in not_finite(backend, n, data, T::PRECISION)? {
            expect_in_lower(matrix, n, &data[matrix * n * n..][..n * n])?;
        }
        Ok(Self { data: Array::from_view(data, a.dim().into())?, triangle: Some(Triangle::Lower) })
    }
}

impl<T: Element, B: Backend, S: Storage> HermitianBatch<T, B, S> {
    /// The matrices, as they lie in memory.
    pub fn data(&self) -> &Array<T, B, 3, S> {
        &self.data
    }

    /// What is read of them; of matrices that were compared it is the lower triangle.
    pub fn read(&self) -> Read {
        self.triangle.map_or(Read::Mean, Read::from)
    }

    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.data.shape()[0]
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.data.shape()[1]
    }
}

impl<T: Element, B: Backend> HermitianBatch<T, B> {
    /// Matrices `[batch, n, n]` in memory of a backend. To compare triangles this waits for the
    /// device, and does so on the host.
    ///
    /// # Errors
    /// [`Error::NotSquare`], [`Error::TooLarge`]; under [`Read::Compared`] [`Error::NotHermitian`],
    /// and [`Error::Backend`].
    pub fn of(data: Array<T, B, 3>, read: impl Into<Read>) -> Result<Self> {
        let triangle = HermitianBatch::read_as(data.backend(), data.view(), read.into())?;
        Ok(Self { data, triangle })
    }
}

impl<'a, T: Element, B: Backend> HermitianBatch<T, B, View<'a>> {
    /// As [`HermitianBatch::of`], of memory of another owner.
    ///
    /// # Errors
    /// As [`HermitianBatch::of`].
    pub fn of_view(backend: &B, data: Array<T, B, 3, View<'a>>, read: impl Into<Read>) -> Result<Self> {
        let triangle = Self::read_as(backend, data, read.into())?;
        Ok(Self { data, triangle })
    }

    /// The triangle that is read, once both are compared where they are to be.
    fn read_as(backend: &B, data: Array<T, B, 3, View<'_>>, read: Read) -> Result<Option<Triangle>> {
        let [batch, rows, columns] = data.shape();
        if rows != columns {
            return Err(Error::NotSquare { rows, columns });
        }
        addressable::<T>(batch, rows)?;
        match read {
            Read::Mean => return Ok(None),
            Read::Lower => {}
            Read::Upper => return Ok(Some(Triangle::Upper)),
            Read::Compared => {
                let host = backend.download(data.memory())?;
                for matrix in not_finite(&backend.host(), rows, &host, T::PRECISION)? {
                    expect_in_lower(matrix, rows, &host[matrix * rows * rows..][..rows * rows])?;
                }
            }
        }
        Ok(Some(Triangle::Lower))
    }
}

impl<T: Element> HermitianBatch<T, Cpu> {
    /// A batch on the CPU from an array of any strides, `[batch, n, n]` or `[n, n]`; both triangles
    /// are read and compared: |A_ij − conj A_ji| ≤ 8·n·ε·max|A|. Entries that are not finite are
    /// let through: they become a status of their matrix.
    ///
    /// # Errors
    /// [`Error::Dimensions`], [`Error::NotSquare`], [`Error::TooLarge`], [`Error::NotHermitian`];
    /// [`Error::Backend`] without memory.
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
        Self::computed_in_on(backend, a, T::PRECISION)
    }

    /// As [`HermitianBatch::on`], of data that were computed in another precision, whose ε the
    /// comparison of triangles takes: `f32` data cast to `f64` are asymmetric by the round-off of
    /// `f32`. [`Cut::with_computed_in`](crate::Cut::with_computed_in) tells the cut.
    ///
    /// # Errors
    /// As [`HermitianBatch::on`].
    pub fn computed_in_on<D: Dimension>(backend: &B, a: ArrayView<'_, T, D>, precision: Precision) -> Result<Self> {
        let a = square(a)?;
        let (batch, n, _) = a.dim();
        let precision = precision.coarser(T::PRECISION);
        let mut data = contiguous(backend, a)?;
        for matrix in not_finite(&backend.host(), n, &data, precision)? {
            let nan = Real::of(f64::NAN);
            // in the triangle that is read
            data[matrix * n * n] = T::narrow(T::Scalar::from_parts(nan, nan));
        }
        Ok(Self { data: Array::from_host(backend, data, [batch, n, n])?, triangle: Some(Triangle::Lower) })
    }

    /// As [`HermitianBatch::from_triangle`], on the given backend.
    ///
    /// # Errors
    /// As [`HermitianBatch::from_triangle`], and [`Error::Backend`].
    pub fn from_triangle_on<D: Dimension>(backend: &B, a: ArrayView<'_, T, D>, triangle: Triangle) -> Result<Self> {
        let a = square(a)?;
        let (batch, n, _) = a.dim();
        let data = Array::from_host(backend, contiguous(backend, a)?, [batch, n, n])?;
        Ok(Self { data, triangle: Some(triangle) })
    }

    /// As [`HermitianBatch::on`], in parts of nearly equal size on several backends, in order:
    /// several GPUs, say, which then work at the same time. No part is empty unless there are fewer
    /// matrices than backends.
    ///
    /// # Errors
    /// As [`HermitianBatch::on`], with matrices numbered as in `a`; [`Error::Shape`] if there are
    /// matrices and no backend.
    pub fn over<D: Dimension>(backends: &[B], a: ArrayView<'_, T, D>) -> Result<Vec<Self>> {
        let a = square(a)?;
        if backends.is_empty() && a.dim().0 > 0 {
            return Err(Error::Shape { what: "backends", expected: vec![1], got: vec![0] });
        }
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

    /// The memory, as it is.
    pub fn into_array(self) -> Array<T, B, 3> {
        self.data
    }

    /// Borrows it.
    pub fn view(&self) -> HermitianBatch<T, B, View<'_>> {
        HermitianBatch { data: self.data.view(), triangle: self.triangle }
    }

    pub(crate) fn backend(&self) -> &B {
        self.data.backend()
    }
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

/// Elements from which a copy and a check are worth waking rayon's threads: some tens of
/// microseconds of work.
const PARALLEL_FROM: usize = 1 << 14;

/// The elements in row-major order.
fn contiguous<T: Element, B: Backend>(backend: &B, a: ArrayView3<'_, T>) -> Result<Vec<T>> {
    let mut data = Vec::new();
    data.try_reserve_exact(a.len()).map_err(|e| Error::Backend { backend: "cpu", reason: e.to_string() })?;
    match a.as_slice() {
        // Much of this is the first touch of memory.
        Some(a) if a.len() >= PARALLEL_FROM && backend.host().threads() > 1 => {
            backend.host().run(|| a.par_iter().copied().collect_into_vec(&mut data));
        }
        Some(a) => data.extend_from_slice(a),
        None => data.extend(a.iter().copied()),
    }
    Ok(data)
}

/// Compares the triangles of every matrix; returns those with entries that are not finite.
fn not_finite<T: Element>(backend: &Cpu, n: usize, data: &[T], precision: Precision) -> Result<Vec<usize>> {
    let mut all = Vec::new();
    if data.len() < PARALLEL_FROM || backend.threads() == 1 {
        return compare_triangles(0, n, data, precision, &mut all).map(|()| all);
    }
    let piece = (PARALLEL_FROM / (n * n)).max(1);
    let compare = |(p, a): (usize, &[T])| {
        let mut here = Vec::new();
        compare_triangles(p * piece, n, a, precision, &mut here).map(|()| here)
    };
    let found: Vec<Result<Vec<usize>>> = backend.run(|| data.par_chunks(piece * n * n).enumerate().map(compare).collect());
    for here in found {
        all.extend(here?);
    }
    Ok(all)
}
