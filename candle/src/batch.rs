//! [`Batch`]: what is known of a batch before anything is computed.

use crate::Matrices;
use candle_core::{DType, Result, Tensor, bail};
use eigengrad::{GradientForm, Options, Precision};
use eigengrad_door::Dtype;

/// Shape, type and options of a batch of n×m matrices that lie without gaps.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The axes before the matrices.
    pub lead: Vec<usize>,
    pub n: usize,
    /// The type of real numbers, 32 or 64 bits.
    pub real: DType,
    pub complex: bool,
    pub options: Options,
}

impl Batch {
    /// The matrices in a type that is computed in, without gaps, and what is known of them; and the
    /// number m of their columns.
    pub fn of<M: Matrices>(a: &M, options: &Options) -> Result<(Tensor, Self, usize)> {
        let (dims, tensor, mut options) = (a.tensor().dims(), a.tensor(), *options);
        let (lead, n, m) = match (dims, M::COMPLEX) {
            ([lead @ .., n, m], false) | ([lead @ .., n, m, 2], true) => (lead.to_vec(), *n, *m),
            _ => bail!("eigengrad: expected matrices [..., n, m], got {dims:?}"),
        };
        if options.gradient != GradientForm::Hermitian {
            bail!("eigengrad: candle's gradients are by the whole matrix: leave Options::gradient as it is");
        }
        let (tensor, stored) = match tensor.dtype() {
            DType::F32 | DType::F64 => (tensor.clone(), None),
            DType::F16 => (tensor.to_dtype(DType::F32)?, Some(Precision::F16)),
            DType::BF16 => (tensor.to_dtype(DType::F32)?, Some(Precision::Bf16)),
            other => bail!("eigengrad: matrices of {other:?} are not decomposed: convert them to f32, f64, f16 or bf16"),
        };
        if let (Some(precision), None) = (stored, options.cut.computed_in()) {
            options.cut = options.cut.with_computed_in(precision);
        }
        let tensor = tensor.contiguous()?;
        let real = tensor.dtype();
        Ok((tensor, Self { lead, n, real, complex: M::COMPLEX, options }, m))
    }

    /// As [`Batch::of`], of square matrices.
    pub fn of_square<M: Matrices>(a: &M, options: &Options) -> Result<(Tensor, Self)> {
        let (tensor, batch, m) = Self::of(a, options)?;
        if m != batch.n {
            bail!("eigengrad: expected square matrices [..., n, n], got {:?}", a.tensor().dims());
        }
        Ok((tensor, batch))
    }

    /// The number of matrices.
    pub fn count(&self) -> usize {
        self.lead.iter().product()
    }

    /// The type of the numbers as the door has it.
    pub fn dtype(&self) -> Dtype {
        match (self.real, self.complex) {
            (DType::F64, false) => Dtype::F64,
            (DType::F64, true) => Dtype::Complex128,
            (_, false) => Dtype::F32,
            (_, true) => Dtype::Complex64,
        }
    }

    /// Real numbers in one of the matrices' numbers.
    pub fn parts(&self) -> usize {
        1 + usize::from(self.complex)
    }

    /// `[lead…, tail…]`.
    pub fn shape(&self, tail: &[usize]) -> Vec<usize> {
        [self.lead.as_slice(), tail].concat()
    }

    /// `[lead…, rows, columns]`, with one more axis where they are complex.
    pub fn matrices(&self, rows: usize, columns: usize) -> Vec<usize> {
        let parts: &[usize] = if self.complex { &[2] } else { &[] };
        [self.lead.as_slice(), &[rows, columns], parts].concat()
    }
}
