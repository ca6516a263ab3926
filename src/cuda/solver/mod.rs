//! Eigensolvers: cuSOLVER's, our own, and whether what they give is an eigendecomposition.

pub(in crate::cuda) mod certificate;
pub(in crate::cuda) mod choice;
pub(in crate::cuda) mod cut;
pub(in crate::cuda) mod jacobi;
pub(in crate::cuda) mod library;
pub(in crate::cuda) mod ql;
