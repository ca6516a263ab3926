//! How to use the library: pages, without code of their own.

#[doc = include_str!("cut.md")]
pub mod choosing_the_cut {}

#[doc = include_str!("cuda.md")]
pub mod cuda_and_graphs {}

#[doc = include_str!("torch.md")]
pub mod from_torch_linalg_eigh {}

#[doc = include_str!("statuses.md")]
pub mod statuses {}

#[doc = include_str!("training.md")]
pub mod training_loops_without_allocation {}

#[doc = include_str!("operations.md")]
pub mod which_operation {}

#[doc = include_str!("frameworks.md")]
pub mod your_framework {}
