//! Scratch memory that is asked for: where there is none there is an error, not an abort.

use crate::{Error, Result};

/// So many copies of a value.
///
/// # Errors
/// [`Error::Backend`] if there is no memory for them.
pub(in crate::cpu) fn filled<T: Clone>(value: T, count: usize) -> Result<Vec<T>> {
    let mut memory = Vec::new();
    let reason = |e| Error::Backend { backend: "cpu", reason: format!("no scratch memory: {e}") };
    memory.try_reserve_exact(count).map_err(reason)?;
    memory.resize(count, value);
    Ok(memory)
}
