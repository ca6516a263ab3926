//! [`Matrix`]: a dense matrix in memory that was asked for.

use crate::cpu::memory::filled;
use crate::{Result, Scalar};
use faer::{MatMut, MatRef};
use std::ops::{Index, IndexMut};

/// Columns one after the other.
#[derive(Debug)]
pub(in crate::cpu) struct Matrix<T> {
    memory: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Scalar> Matrix<T> {
    pub(in crate::cpu) fn zeros(rows: usize, columns: usize) -> Result<Self> {
        Ok(Self { memory: filled(T::zero(), rows.saturating_mul(columns))?, rows, columns })
    }

    pub(in crate::cpu) fn rows(&self) -> usize {
        self.rows
    }

    pub(in crate::cpu) fn columns(&self) -> usize {
        self.columns
    }

    pub(in crate::cpu) fn column(&self, k: usize) -> &[T] {
        &self.memory[k * self.rows..][..self.rows]
    }

    pub(in crate::cpu) fn column_mut(&mut self, k: usize) -> &mut [T] {
        &mut self.memory[k * self.rows..][..self.rows]
    }

    /// As faer sees it.
    pub(in crate::cpu) fn as_ref(&self) -> MatRef<'_, T> {
        MatRef::from_column_major_slice(&self.memory, self.rows, self.columns)
    }

    /// As [`Matrix::as_ref`], to be written.
    pub(in crate::cpu) fn as_mut(&mut self) -> MatMut<'_, T> {
        MatMut::from_column_major_slice_mut(&mut self.memory, self.rows, self.columns)
    }
}

impl<T: Scalar> Index<(usize, usize)> for Matrix<T> {
    type Output = T;

    fn index(&self, (i, k): (usize, usize)) -> &T {
        &self.column(k)[i]
    }
}

impl<T: Scalar> IndexMut<(usize, usize)> for Matrix<T> {
    fn index_mut(&mut self, (i, k): (usize, usize)) -> &mut T {
        &mut self.column_mut(k)[i]
    }
}
