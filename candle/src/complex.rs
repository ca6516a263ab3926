//! [`Complex`]: complex matrices, which candle has no type for; and [`Matrices`], of either kind.

use candle_core::{D, Result, Tensor, bail};

/// Matrices: a [`Tensor`] of real ones `[…, n, n]`, or [`Complex`] ones.
#[diagnostic::on_unimplemented(
    message = "`{Self}` holds no matrices",
    note = "`Tensor` holds real ones, `eigengrad_candle::Complex` complex ones"
)]
pub trait Matrices: Clone + sealed::Sealed {
    /// Whether they are complex.
    const COMPLEX: bool;

    /// The numbers: `[…, n, m]`, of complex matrices `[…, n, m, 2]`.
    fn tensor(&self) -> &Tensor;

    /// Of a tensor of that shape.
    #[doc(hidden)]
    fn of(tensor: Tensor) -> Self;

    /// The transpose of each matrix, a view.
    ///
    /// # Errors
    /// candle's, of fewer than two axes.
    fn transposed(&self) -> Result<Self> {
        let behind = usize::from(Self::COMPLEX);
        let axes = self.tensor().rank();
        if axes < 2 + behind {
            bail!("eigengrad: expected matrices [..., n, m], got {:?}", self.tensor().dims());
        }
        Ok(Self::of(self.tensor().transpose(axes - 2 - behind, axes - 1 - behind)?))
    }
}

impl Matrices for Tensor {
    const COMPLEX: bool = false;

    fn tensor(&self) -> &Tensor {
        self
    }

    fn of(tensor: Tensor) -> Self {
        tensor
    }
}

/// Complex matrices `[…, n, m]`: real and imaginary parts along one more, last axis of a tensor.
///
/// That a tensor is meant so is said where one is made; a real `[…, n, 2]` cannot be taken for one.
/// Gradients are those of both parts, as candle has them: of L by z it is ∂L/∂Re z + i ∂L/∂Im z.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use eigengrad_candle::{Complex, Options, eigh};
///
/// let re = Tensor::new(&[[2.0, 0.0], [0.0, 2.0]], &Device::Cpu)?;
/// let im = Tensor::new(&[[0.0, -1.0], [1.0, 0.0]], &Device::Cpu)?;
/// let pairs = eigh(&Complex::new(&re, &im)?, &Options::default())?;
/// assert_eq!(pairs.eigenvalues.round()?.to_vec1::<f64>()?, [1.0, 3.0]);
/// assert_eq!(pairs.eigenvectors.abs_sqr()?.dims(), [2, 2]);
/// # candle_core::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Complex(Tensor);

impl Matrices for Complex {
    const COMPLEX: bool = true;

    fn tensor(&self) -> &Tensor {
        &self.0
    }

    fn of(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

impl Complex {
    /// Of real and imaginary parts of one shape.
    ///
    /// # Errors
    /// candle's, where shapes, types or devices differ.
    pub fn new(re: &Tensor, im: &Tensor) -> Result<Self> {
        Tensor::stack(&[re, im], D::Minus1).map(Self)
    }

    /// Of numbers whose real and imaginary parts lie side by side, `[…, n, m, 2]`.
    ///
    /// # Errors
    /// If the last axis does not hold 2.
    pub fn from_interleaved(parts: Tensor) -> Result<Self> {
        match parts.dims() {
            [.., 2] => Ok(Self(parts)),
            other => bail!("eigengrad: expected real and imaginary parts [..., 2], got {other:?}"),
        }
    }

    /// Real parts, `[…, n, m]`.
    ///
    /// # Errors
    /// candle's.
    pub fn re(&self) -> Result<Tensor> {
        self.0.narrow(D::Minus1, 0, 1)?.squeeze(D::Minus1)
    }

    /// Imaginary parts, `[…, n, m]`.
    ///
    /// # Errors
    /// candle's.
    pub fn im(&self) -> Result<Tensor> {
        self.0.narrow(D::Minus1, 1, 1)?.squeeze(D::Minus1)
    }

    /// |z|², `[…, n, m]`: what of an eigenvector does not depend on its phase.
    ///
    /// # Errors
    /// candle's.
    pub fn abs_sqr(&self) -> Result<Tensor> {
        self.0.sqr()?.sum(D::Minus1)
    }

    /// The adjoint of each matrix.
    ///
    /// # Errors
    /// candle's.
    pub fn adjoint(&self) -> Result<Self> {
        let transposed = self.transposed()?;
        Self::new(&transposed.re()?, &transposed.im()?.neg()?)
    }

    /// The product of matrices, leading axes alike.
    ///
    /// # Errors
    /// candle's.
    pub fn matmul(&self, other: &Self) -> Result<Self> {
        let [a, b, c, d] = [self.re()?, self.im()?, other.re()?, other.im()?].map(|x| x.contiguous());
        let (a, b, c, d) = (a?, b?, c?, d?);
        Self::new(&(a.matmul(&c)? - b.matmul(&d)?)?, &(a.matmul(&d)? + b.matmul(&c)?)?)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Tensor {}
    impl Sealed for super::Complex {}
}
