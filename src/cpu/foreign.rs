//! Host memory of another owner by its address.

use crate::{Error, Pod, Result};
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// # Safety
/// As [`Backend::borrow`](crate::Backend::borrow).
pub(super) unsafe fn slice<'a, T: Pod>(address: usize, len: usize) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    aligned::<T>(address)?;
    // SAFETY: the address is aligned and not null, and there are so many elements, which nobody
    // writes: the caller's promise.
    Ok(unsafe { from_raw_parts(address as *const T, len) })
}

/// # Safety
/// As [`Backend::borrow_mut`](crate::Backend::borrow_mut).
pub(super) unsafe fn slice_mut<'a, T: Pod>(address: usize, len: usize) -> Result<&'a mut [T]> {
    if len == 0 {
        return Ok(&mut []);
    }
    aligned::<T>(address)?;
    // SAFETY: as above, and nobody else reads them, either.
    Ok(unsafe { from_raw_parts_mut(address as *mut T, len) })
}

fn aligned<T>(address: usize) -> Result<()> {
    if address != 0 && address.is_multiple_of(align_of::<T>()) {
        return Ok(());
    }
    let reason = format!("{address:#x} is not an address of elements that are aligned to {} bytes", align_of::<T>());
    Err(Error::Backend { backend: "cpu", reason })
}
