// B Bᴴ = V Λ Vᴴ for thin factors B, around a solver for R Rᴴ = U Λ Uᴴ: docs/derivation.md §12,
// (37).
//
// factorise: 2⁻ᵉ·B = Q R, and M = R Rᴴ
//   b        [batch, r, n] B, one column after the other, as T
//   factor   [batch, r, n] R in and above the diagonal, 1 ≤ max|B|·2⁻ᵉ < 2 by components; below it
//                          v of each reflection, v_k = 1 left
//            out; 0 if B is not finite
//   tau      [batch, r] of the reflections
//   m        [batch, r, r] M, both triangles
//   exponent [batch] 2e, that of M; status [batch] NOT_FINITE or 0
//
// compose: V = Q U, S = Vᴴ B = Uᴴ R·2ᵉ
//   factor, tau, exponent as factorise leaves them; status [batch] of the decomposition
//   u        [batch, r, r] one eigenvector after the other
//   v        [batch, r, n] one eigenvector after the other; s [batch, r, r] one column after the
//                          other; NaN for failed matrices
//
// A team takes a matrix, the lanes of it in one warp a column at a time. Bytes: of factorise n·r²
// scalars, of compose 2·n·r², all but n·r of them from the cache; r² more for M, U and S each.
// Flops: factorise 4·n·r², compose 8·n·r², and r³ for M and S each; four times as many if complex.
#include "factor/householder.cuh"
#include "lib/status.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256, 3)
    factorise(long long batch, int n, int r, const T* __restrict__ b, scalar_of<T>* factor, real_of<T>* tau, scalar_of<T>* m,
              int* __restrict__ exponent, unsigned* __restrict__ status) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    const long long matrix = matrix_of_team(), column = matrix * r;
    const bool here = matrix < batch;
    const int rows = here ? n : 0;
    const unsigned entries = static_cast<unsigned>(rows) * r, squared = here ? static_cast<unsigned>(r) * r : 0;
    const unsigned lanes = lanes_of_team(), group = threadIdx.x / lanes, groups = blockDim.x / lanes;
    b += column * n, factor += column * n, tau += column, m += column * r;

    R largest = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const S x = widen(b[e]);
        largest = larger(largest, finite(x) ? size(x) : limits<R>::infinity());
    }
    largest = largest_of_team(largest);
    const bool is_finite = largest < limits<R>::infinity();
    const int of_largest = is_finite && largest > 0 ? binary_exponent(largest) : 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const S x = widen(b[e]);
        factor[e] = is_finite ? make<S>::from(scaled(re(x), -of_largest), scaled(im(x), -of_largest)) : make<S>::from(0, 0);
    }

    for (int k = 0; k < r; ++k) {
        S* const v = factor + static_cast<long long>(k) * n;
        __syncthreads(); // column k is whole
        if (group == 0) {
            const R of_column = reflection(k, rows, v);
            if (here && threadIdx.x == 0) tau[k] = of_column;
        }
        __syncthreads();
        const R by = here ? tau[k] : R(0);
        for (int c = k + 1 + group; c < r; c += groups) reflect(by, k, rows, v, factor + static_cast<long long>(c) * n);
    } // behind the last barrier nothing is written: the last column has none after it
    for (unsigned e = threadIdx.x; e < squared; e += blockDim.x) {
        const int j = e / r, i = e % r;
        if (i < j) continue;
        S sum = make<S>::from(0, 0);
        for (int c = i; c < r; ++c) {
            const S* const of_c = factor + static_cast<long long>(c) * n;
            sum = add_adjoint_product(sum, of_c[j], of_c[i]);
        }
        if (i == j) sum = make<S>::from(re(sum), 0);
        m[e] = sum;
        m[static_cast<unsigned>(i) * r + j] = conj(sum);
    }
    if (here && threadIdx.x == 0) {
        exponent[matrix] = 2 * of_largest;
        status[matrix] = is_finite ? 0 : NOT_FINITE;
    }
}

template <class S>
__global__ void __launch_bounds__(256, 3)
    compose(long long batch, int n, int r, const S* __restrict__ factor, const real_of<S>* __restrict__ tau, const S* __restrict__ u,
            const int* __restrict__ exponent, const unsigned* __restrict__ status, S* v, S* __restrict__ s) {
    using R = real_of<S>;
    const long long matrix = matrix_of_team(), column = matrix * r;
    const bool here = matrix < batch, fails = here && status[matrix] & FAILED;
    const int rows = here ? n : 0, half = here ? exponent[matrix] / 2 : 0;
    const unsigned squared = here ? static_cast<unsigned>(r) * r : 0;
    const unsigned lanes = lanes_of_team(), group = threadIdx.x / lanes, groups = blockDim.x / lanes;
    const S nan = make<S>::from(limits<R>::nan(), limits<R>::nan()), zero = make<S>::from(0, 0);
    factor += column * n, tau += column, u += column * r, v += column * n, s += column * r;

    for (int c = group; c < r; c += groups) {
        S* const x = v + static_cast<long long>(c) * n;
        const S* const of_u = u + static_cast<long long>(c) * r;
        for (int i = first_row(0); i < rows; i += lanes) x[i] = i < r ? of_u[i] : zero;
        for (int k = r - 1; k >= 0; --k) reflect(here ? tau[k] : R(0), k, rows, factor + static_cast<long long>(k) * n, x);
        for (int i = first_row(0); fails && i < rows; i += lanes) x[i] = nan;
    }
    for (unsigned e = threadIdx.x; e < squared; e += blockDim.x) {
        const int c = e / r, k = e % r;
        const S *const of_r = factor + static_cast<long long>(c) * n, *const of_u = u + static_cast<long long>(k) * r;
        S sum = zero;
        for (int i = 0; i <= c; ++i) sum = add_adjoint_product(sum, of_u[i], of_r[i]);
        s[e] = fails ? nan : make<S>::from(scaled(re(sum), half), scaled(im(sum), half));
    }
}

} // namespace eigengrad
