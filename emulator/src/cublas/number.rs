//! The four number types of the solvers and products.

use faer::{MatRef, Side};
use num_complex::{Complex, ComplexFloat};

/// float, double, cuComplex or cuDoubleComplex.
pub(crate) trait Number: ComplexFloat<Real: Send + Sync + 'static> + Default + Send + Sync + 'static {
    /// The number with this real part and nothing else.
    fn from_real(real: Self::Real) -> Self;

    /// The number times a real one.
    fn scale(self, by: Self::Real) -> Self;

    /// λ ascending and V, column after column, of the n×n matrix whose lower triangle is given,
    /// column after column.
    fn eigen(a: &[Self], n: usize) -> Option<(Vec<Self::Real>, Vec<Self>)>;
}

macro_rules! numbers {
    ($($number:ty: |$real:ident| $from_real:expr, |$x:ident, $by:ident| $scale:expr;)*) => {$(
        impl Number for $number {
            fn from_real($real: Self::Real) -> Self {
                $from_real
            }

            fn scale(self, $by: Self::Real) -> Self {
                let $x = self;
                $scale
            }

            fn eigen(a: &[Self], n: usize) -> Option<(Vec<Self::Real>, Vec<Self>)> {
                let eigen = MatRef::from_column_major_slice(a, n, n).self_adjoint_eigen(Side::Lower).ok()?;
                let lambda = eigen.S().column_vector().iter().map(|lambda| lambda.re()).collect();
                let v = eigen.U().col_iter().flat_map(|column| column.iter().copied()).collect();
                Some((lambda, v))
            }
        }
    )*};
}

numbers! {
    f32: |real| real, |x, by| x * by;
    f64: |real| real, |x, by| x * by;
    Complex<f32>: |real| Complex::new(real, 0.0), |x, by| x * by;
    Complex<f64>: |real| Complex::new(real, 0.0), |x, by| x * by;
}
