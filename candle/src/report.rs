//! What is to be known of each matrix: [`Report`].

use crate::memory::error;
use candle_core::{Result, Tensor};
use eigengrad::{Error, Status};
use std::sync::{Mutex, PoisonError};

/// A [`Status`] of each matrix, u32 `[…]`, where the matrices are. A matrix that is not finite,
/// say, is told here, has NaN for results, and leaves the others alone.
#[derive(Clone, Debug)]
pub struct Statuses(pub Tensor);

impl Statuses {
    /// The statuses in host memory, which waits for the device.
    ///
    /// # Errors
    /// candle's.
    pub fn to_vec(&self) -> Result<Vec<Status>> {
        let bits = self.0.flatten_all()?.to_vec1::<u32>()?;
        Ok(bits.into_iter().map(|bits| Status::from_bits(bits).unwrap_or(Status::OK)).collect())
    }

    /// Turns the statuses into one error that names the matrices, counted over all leading axes;
    /// waits for the device.
    ///
    /// # Errors
    /// Unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        let failures: Vec<_> = self.to_vec()?.into_iter().enumerate().filter(|(_, status)| !status.passes()).collect();
        if failures.is_empty() { Ok(()) } else { Err(error(Error::Matrices(failures))) }
    }
}

/// What the cut has found, and how far gradients can be trusted. Nothing of it waits for a device
/// before it is read.
#[derive(Debug)]
pub struct Report {
    /// How many eigenpairs are kept, u32 `[…]`.
    pub rank: Tensor,
    /// The smallest gap between kept eigenvalues, `[…]`, infinite where there is none.
    pub gap_kept: Tensor,
    /// The smallest gap between a kept and a dropped one, `[…]`, infinite where there is none.
    pub gap_dropped: Tensor,
    /// What is to be known of each matrix.
    pub status: Statuses,
    pub(crate) backward: std::sync::Arc<Latest>,
}

impl Report {
    /// What the last backward pass has found, once `loss.backward()` has run.
    pub fn backward(&self) -> Option<BackwardReport> {
        self.backward.get()
    }

    /// Turns what was found, forward and backward so far, into one error that names the matrices;
    /// waits for the device.
    ///
    /// # Errors
    /// Unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        self.status.check()?;
        self.backward().map_or(Ok(()), |backward| backward.status.check())
    }
}

/// What a backward pass has found.
#[derive(Clone, Debug)]
pub struct BackwardReport {
    /// ρ of each eigenvector, `[…, n]`: how much the loss depends on its phase. 0 in real
    /// arithmetic.
    pub gauge_defect: Tensor,
    /// How much the loss tells tied eigenvectors apart, `[…]`.
    pub tie_defect: Tensor,
    /// What is to be known of each matrix, forward and backward.
    pub status: Statuses,
}

/// The report of the last backward pass.
#[derive(Debug, Default)]
pub(crate) struct Latest(Mutex<Option<BackwardReport>>);

impl Latest {
    pub fn set(&self, report: BackwardReport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    pub fn get(&self) -> Option<BackwardReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
