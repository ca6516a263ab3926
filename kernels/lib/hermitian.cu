// A Hermitian matrix that is read by one triangle, or as the mean of both, whole and in the type
// computed in.
//
//   e   [batch, n, n] row-major, as T; of one triangle or both, and no imaginary part of the
//                     diagonal
//   out [batch, n, n] column-major, both triangles
//
// Row-major memory read as column-major is the conjugate matrix, hence the triangle that is read
// lies as its mirror image: what is copied is conjugated. Bytes: ½·n²·sizeof(T) read, twice, the
// second time from the cache, n²·sizeof(scalar) written. Flops: none.
#include "lib/team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256) hermitian(long long batch, int n, int read, const T* __restrict__ e, scalar_of<T>* __restrict__ out) {
    using S = scalar_of<T>;
    const long long b = matrix_of_team();
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    e += b * n * n, out += b * n * n;
    for (unsigned at = threadIdx.x; at < entries; at += blockDim.x) {
        const int j = at / n, i = at % n;
        // E_ji, which lies at this place, is in the triangle that is read
        const bool same_place = (i > j) == (read == READ_UPPER);
        const long long other = static_cast<long long>(i) * n + j;
        S x;
        if (read == READ_MEAN) {
            x = mean(widen(e[other]), widen(e[at]));
        } else {
            x = widen(e[same_place ? at : other]);
            if (same_place) x = conj(x);
        }
        out[at] = i == j ? make<S>::from(re(x), 0) : x;
    }
}

} // namespace eigengrad
