// K, D and ties for derivatives beyond the gradient: docs/derivation.md §4, (17).
//
//   values     [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward
//   first, second [batch, n] of λ̄ and its tangent or what comes to λ from downstream, each null for
//     0; not read outside K
//   lambda     [batch, n] λ, or 0 on D where that is declared
//   labels     [batch, n] F_ij = 0 where labels agree: 0 on D, on K a number for each group
//   lambda_bar, other_bar [batch, n] first and second on K, else 0
//   status     [batch] found, and what ties are
//
// A thread takes a matrix, since groups are chains. Bytes: 8·n numbers a matrix. Flops: about 3·n.
#include "lib/ties.cuh"
#include "lib/status.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(128)
    mask(long long batch, int n, int ties, int dropped_zero, double tie_rtol, const stored_real_of<T>* __restrict__ values,
         const bool* __restrict__ kept, const unsigned* __restrict__ found, const stored_real_of<T>* __restrict__ first,
         const stored_real_of<T>* __restrict__ second, real_of<T>* __restrict__ lambda, int* __restrict__ labels,
         real_of<T>* __restrict__ lambda_bar, real_of<T>* __restrict__ other_bar, unsigned* __restrict__ status) {
    using R = real_of<T>;
    const long long b = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (b >= batch) return;
    const long long row = b * n;
    tie_groups<R> groups(n ? widen(values[row]) : R(0), n ? widen(values[row + n - 1]) : R(0), tie_rtol, ties);
#pragma unroll 1 // ptxas for sm_120 spills pointers otherwise
    for (long long k = row; k < row + n; ++k) {
        const bool keep = kept[k];
        const R x = widen(values[k]);
        lambda[k] = keep || !dropped_zero ? x : R(0);
        labels[k] = groups.see(keep, x);
        lambda_bar[k] = keep && first ? widen(first[k]) : R(0);
        other_bar[k] = keep && second ? widen(second[k]) : R(0);
    }
    status[b] = found[b] | groups.found();
}

} // namespace eigengrad
