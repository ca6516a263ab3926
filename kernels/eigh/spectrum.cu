// What the cut makes of eigenvalues: docs/derivation.md §1; and NaN for λ and V of a matrix that
// failed.
//
//   lambda      [batch, n] of 2^-e·A, ascending; exponent [batch] e; info [batch] of the solver, 0
//                          if it converged
//   defect      [2, batch] of eigh/certificate.cu, or null where it was not measured; beyond
//                          `bound` the matrix failed
//   out         of eigh/cut.cuh; its status [batch] is read, too
//   v           [batch, n, n] or null; written for failed matrices alone
//
// Eigenvalues that are exact zeros may lie beside these: they are dropped, and count for the
// kept–dropped gap.
//
// A thread takes a matrix: the largest |λ| of an ascending spectrum is at one of its ends, which
// makes the cut a walk inwards. Bytes: 3·n reals and flags a matrix. Flops: about 10·n.
#include "eigh/cut.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(128)
    spectrum(long long batch, int n, cut cut, real_of<T>* __restrict__ lambda, const int* __restrict__ exponent,
             const int* __restrict__ info, const real_of<T>* __restrict__ defect, real_of<T> bound, spectrum_results<T> out,
             scalar_of<T>* __restrict__ v) {
    using R = real_of<T>;
    __shared__ bool failed[128];
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x, b = first + threadIdx.x;
    failed[threadIdx.x] = false;
    if (b < batch) {
        unsigned found = out.status[b];
        if (!(found & NOT_FINITE)) {
            if (n > 0 && info[b] != 0) found |= NOT_CONVERGED;
            else if (defect && !(defect[b] <= bound)) found |= NOT_ORTHONORMAL;
            else if (defect && !(defect[batch + b] <= bound)) found |= LARGE_RESIDUAL;
        }
        failed[threadIdx.x] = cut_spectrum<T>(cut, n, lambda + b * n, exponent[b], found, b, out);
    }
    __syncthreads();
    if (!v) return;
    for (unsigned matrix = 0; matrix < blockDim.x; ++matrix) {
        if (!failed[matrix]) continue;
        scalar_of<T>* of_failed = v + (first + matrix) * n * n;
        for (long long e = threadIdx.x; e < static_cast<long long>(n) * n; e += blockDim.x) {
            of_failed[e] = make<scalar_of<T>>::from(limits<R>::nan(), limits<R>::nan());
        }
    }
}

} // namespace eigengrad
