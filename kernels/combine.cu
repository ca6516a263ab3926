// m_k = w_k·x_k, or m_k + w_k·x_k, for each column k: V diag λ̄ where only eigenvalues have cotangents, and the term V̄ Λ⁻¹/2 of
// equation (10) of docs/derivation.md.
//
//   m, x   [batch, n, n] one column after the other; columns of x with w_k = 0 are not read
//   weight [batch, n] w·factor
//
// Bytes: two or three times n² scalars a matrix. Flops: 2·n² or 4·n².
#include "team.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256) combine(long long batch, int n, int accumulate, real_of<S> factor, S* __restrict__ m,
                                               const S* __restrict__ x, const real_of<S>* __restrict__ weight) {
    const long long entries = batch * n * n, step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < entries; e += step) {
        const real_of<S> w = weight[e / n] * factor;
        const S before = accumulate ? m[e] : make<S>::from(0, 0);
        m[e] = w == 0 ? before : before + times(x[e], w);
    }
}

} // namespace eigengrad
