//! The kernels of kernels/, by the modules that they are compiled in.

use crate::Dtype;

/// A module for each stored type. Who takes no more than a gradient compiles none of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) enum Family {
    /// Eigenpairs.
    Eigenpairs,
    /// The gradient of larger matrices.
    Products,
    /// Derivatives beyond the gradient, and functions of the spectrum.
    Derivatives,
    /// Factors.
    Factors,
    /// Losses against targets.
    Losses,
}

/// The kernels of a family.
struct Table {
    /// For every stored type.
    stored: &'static [&'static str],
    /// For the types that are computed in: they know no storage.
    scalar: &'static [&'static str],
}

const EIGENPAIRS: Table = Table {
    stored: &["prepare", "spectrum", "implicit_ql", "store", "load", "gather"],
    scalar: &["probe", "certificate", "jacobi", "repair"],
};

const PRODUCTS: Table = Table { stored: &["label", "outer", "finish"], scalar: &["inner", "report", "f_matrix"] };

const DERIVATIVES: Table = Table {
    stored: &["mask", "hermitian", "evaluate", "trace", "store_matrices", "store_vectors"],
    scalar: &[
        "omega",
        "scale_columns",
        "divide",
        "double_backward_open",
        "double_backward_close",
        "backward_jvp_open",
        "backward_jvp_close",
    ],
};

const FACTORS: Table = Table { stored: &["factorise", "mask_columns", "store_columns"], scalar: &["compose", "scale_rows"] };

const LOSSES: Table = Table { stored: &["loss"], scalar: &[] };

impl Family {
    pub const ALL: [Self; 5] = [Self::Eigenpairs, Self::Products, Self::Derivatives, Self::Factors, Self::Losses];

    const fn table(self) -> Table {
        match self {
            Self::Eigenpairs => EIGENPAIRS,
            Self::Products => PRODUCTS,
            Self::Derivatives => DERIVATIVES,
            Self::Factors => FACTORS,
            Self::Losses => LOSSES,
        }
    }

    /// Where a kernel is among those of this family. A name that is not there does not compile,
    /// where it is sought by a constant.
    pub const fn position(self, name: &str) -> usize {
        let Table { stored, scalar } = self.table();
        let mut at = 0;
        while at < stored.len() + scalar.len() {
            let known = if at < stored.len() { stored[at] } else { scalar[at - stored.len()] };
            if same(known.as_bytes(), name.as_bytes()) {
                return at;
            }
            at += 1;
        }
        panic!("no kernel of this name is in the table")
    }

    /// The kernels of this family for a type.
    pub fn of(self, dtype: Dtype) -> Vec<Instantiation> {
        let Table { stored, scalar } = self.table();
        let scalar = scalar.iter().filter(|_| computed(dtype) == dtype);
        let instantiation = |kernel| {
            let expression = format!("eigengrad::{kernel}<{}>", in_cuda(dtype));
            Instantiation { kernel, dtype, n: None, shared: 0, expression }
        };
        stored.iter().chain(scalar).copied().map(instantiation).collect()
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Every stored type.
pub(in crate::cuda) const DTYPES: [Dtype; 8] =
    [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64, Dtype::ComplexF16, Dtype::ComplexBf16, Dtype::Complex64, Dtype::Complex128];

/// The type's name in kernels/lib/element.cuh.
pub(in crate::cuda) fn in_cuda(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F16 => "eigengrad::f16",
        Dtype::Bf16 => "eigengrad::bf16",
        Dtype::F32 => "float",
        Dtype::F64 => "double",
        Dtype::ComplexF16 => "eigengrad::complex<eigengrad::f16>",
        Dtype::ComplexBf16 => "eigengrad::complex<eigengrad::bf16>",
        Dtype::Complex64 => "eigengrad::complex<float>",
        Dtype::Complex128 => "eigengrad::complex<double>",
    }
}

/// The type that is computed in.
pub(in crate::cuda) fn computed(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::F16 | Dtype::Bf16 => Dtype::F32,
        Dtype::ComplexF16 | Dtype::ComplexBf16 => Dtype::Complex64,
        computed => computed,
    }
}

/// A kernel of [`source`](crate::cuda::source) for a type, as NVRTC's name expressions and C++ name
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Instantiation {
    /// Its template.
    pub kernel: &'static str,
    /// The type of the stored numbers.
    pub dtype: Dtype,
    /// The order of its matrices; none where any order will do.
    pub n: Option<usize>,
    /// Bytes of dynamic shared memory that a launch asks for.
    pub shared: usize,
    /// The instantiation in C++.
    pub expression: String,
}

pub(in crate::cuda) fn expressions(module: &[Instantiation]) -> Vec<String> {
    module.iter().map(|instantiation| instantiation.expression.clone()).collect()
}
