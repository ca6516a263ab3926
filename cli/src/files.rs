//! Files: `.npy` in and out, and what their matrices are.

pub mod header;
pub mod hermitian;
pub mod load;
pub mod npy;
pub mod output;
