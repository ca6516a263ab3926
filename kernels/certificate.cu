// defect = max_ij |(VᴴV − I)_ij| of each matrix, by components: whether the solver's eigenvectors are orthonormal.
//
//   v      [batch, n, n] one eigenvector after the other
//   defect [batch]; infinite if an entry is not finite
//
// Bytes: n² scalars a matrix from memory, the rest from the cache. Flops: n³ complex multiply-adds, half of what VᴴV takes.
#include "team.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256, 4)
    certificate(long long batch, int n, const S* __restrict__ v, real_of<S>* __restrict__ defect) {
    using R = real_of<S>;
    const long long b = matrix_of_team();
    const bool here = b < batch;
    const unsigned pairs = here ? static_cast<unsigned>(n) * n : 0;
    v += here ? b * n * n : 0;
    R largest = 0;
    for (unsigned e = threadIdx.x; e < pairs; e += blockDim.x) {
        const int j = e / n, i = e % n;
        if (i > j) continue;
        S sum = make<S>::from(i == j ? -1 : 0, 0);
        for (int k = 0; k < n; ++k) {
            sum = add_adjoint_product(sum, v[static_cast<long long>(i) * n + k], v[static_cast<long long>(j) * n + k]);
        }
        largest = larger(largest, finite(sum) ? size(sum) : limits<R>::infinity());
    }
    largest = largest_of_team(largest);
    if (here && threadIdx.x == 0) defect[b] = largest;
}

} // namespace eigengrad
