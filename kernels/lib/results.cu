// Results as they are stored, whether they are finite, and NaN for refused matrices.
//
//   from   [batch, n, n] column-major; of Hermitian results factor·scale·herm(from) is taken, so
//                        that both triangles agree to the bit
//   scale  [batch] or null for 1; labels, reals [batch, n]
//   base   [batch] statuses so far, which may be the memory of `status`; status [batch] base and
//                  RESULT_NOT_FINITE
//   out    [batch, n, n] Hermitian, row-major; or vectors [batch, n, n] one after the other and
//                        values [batch, n], both 0 outside K
//
// One team writes a matrix and its status: no atomics. Bytes: n² scalars read, twice where
// Hermitian, the second time from the cache, and n² numbers written.
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256)
    store_matrices(long long batch, int n, real_of<T> factor, const real_of<T>* __restrict__ scale,
                     const scalar_of<T>* __restrict__ from, const unsigned* base, unsigned* status, T* __restrict__ out) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    const long long b = matrix_of_team();
    const bool here = b < batch;
    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0, found = here ? base[b] : 0;
    const bool refuse = refused(found);
    const R by = here && scale ? R(0.5) * factor * scale[b] : R(0.5) * factor, nan = limits<R>::nan();
    from += b * n * n, out += b * n * n;
    R infinite = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int i = e / n, j = e % n;
        // Of both triangles the lower one's: a fused multiply-add rounds a sum of products
        // otherwise when they change places.
        const long long row = i > j ? i : j, column = i > j ? j : i;
        S x = times(from[column * n + row], by) + times(conj(from[row * n + column]), by);
        if (i < j) x = conj(x);
        if (refuse) x = make<S>::from(nan, nan);
        else if (i == j) x = make<S>::from(re(x), 0);
        const T stored = narrow<T>::from(x);
        out[e] = stored;
        if (!refuse && !finite(widen(stored))) infinite = 1;
    }
    infinite = largest_of_team(infinite);
    if (here && threadIdx.x == 0) status[b] = found | (infinite > 0 ? RESULT_NOT_FINITE : 0);
}

template <class T>
__global__ void __launch_bounds__(256)
    store_vectors(long long batch, int n, const int* __restrict__ labels, const scalar_of<T>* __restrict__ from,
                    const real_of<T>* __restrict__ reals, const unsigned* base, unsigned* status, stored_real_of<T>* __restrict__ values,
                    T* __restrict__ vectors) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    const long long b = matrix_of_team();
    const bool here = b < batch;
    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0, found = here ? base[b] : 0;
    const bool refuse = refused(found);
    const R nan = limits<R>::nan();
    from += b * n * n, vectors += b * n * n, labels += b * n, reals += b * n, values += b * n;
    R infinite = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const S x = refuse ? make<S>::from(nan, nan) : labels[e / n] ? from[e] : make<S>::from(0, 0);
        const T stored = narrow<T>::from(x);
        vectors[e] = stored;
        if (!refuse && !finite(widen(stored))) infinite = 1;
    }
    for (unsigned k = threadIdx.x; here && k < static_cast<unsigned>(n); k += blockDim.x) {
        const stored_real_of<T> stored = narrow<stored_real_of<T>>::from(refuse ? nan : reals[k]);
        values[k] = stored;
        if (!refuse && !finite(widen(stored))) infinite = 1;
    }
    infinite = largest_of_team(infinite);
    if (here && threadIdx.x == 0) status[b] = found | (infinite > 0 ? RESULT_NOT_FINITE : 0);
}

} // namespace eigengrad
