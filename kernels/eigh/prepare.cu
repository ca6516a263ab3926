// out = 2^-e·A, the input that the solvers take, and what is wrong with it.
//
//   a        [batch, n, n] row-major, as T; one triangle is read, or the mean of both, and no
//                          imaginary part of the diagonal
//   out      [batch, n, n] column-major, computed type: both triangles, 1 ≤ max|A_ij|·2^-e < 2 by
//                          components; I if A is not finite
//   exponent [batch] e
//   status   [batch] NOT_FINITE or 0
//
// Row-major memory read as column-major is the conjugate matrix; here it is conjugated back.
// Scaling by a power of two is exact, and keeps squares from over- and underflowing. Bytes:
// ½·n²·sizeof(T) from memory, n²·sizeof(scalar) to it; the second read of A comes from the cache.
// Flops: none to speak of.
#include "eigh/entry.cuh"
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256, 6)
    prepare(long long batch, int n, int read, const T* __restrict__ a, scalar_of<T>* __restrict__ out, int* __restrict__ exponent,
            unsigned* __restrict__ status) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    const long long b = matrix_of_team();
    const bool here = b < batch;
    // n < 2^16: a larger batch of one does not fit a device
    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0;
    a += here ? b * n * n : 0;
    out += here ? b * n * n : 0;

    R largest = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int i = e / n, j = e % n;
        if (i < j) continue;
        const S x = lower_entry(a, n, read, i, j);
        largest = larger(largest, finite(x) ? size(x) : limits<R>::infinity());
    }
    largest = largest_of_team(largest);

    const bool is_finite = largest < limits<R>::infinity();
    const int exponent_of_largest = is_finite && largest > 0 ? binary_exponent(largest) : 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        S x = i >= j ? lower_entry(a, n, read, i, j) : conj(lower_entry(a, n, read, j, i));
        out[e] = is_finite ? scaled_down(x, exponent_of_largest) : make<S>::from(i == j ? 1 : 0, 0);
    }
    if (here && threadIdx.x == 0) {
        exponent[b] = exponent_of_largest;
        status[b] = is_finite ? 0 : NOT_FINITE;
    }
}

} // namespace eigengrad
