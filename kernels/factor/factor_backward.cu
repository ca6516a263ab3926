// What B̄ = V C + V̄_K W needs beside matrix products, W = Λ_K⁻¹ S_K and C = 2 G S − X W:
// docs/derivation.md §12, (38).
//
// mask_columns: V̄_K
//   labels [batch, r], 0 outside K; v_bar [batch, r, n] V̄, one column after the other, as T; those
//     outside K are not read
//   out    [batch, r, n] V̄ on K, otherwise 0
// scale_rows: W, or where V̄ is absent C
//   weight [batch, r]; s, out [batch, r, r] one column after the other: out_kc =
//     factor·weight_k·s_kc
// store_columns: B̄ as it is stored
//   from   [batch, r, n] B̄, which may be the memory of `out`
//   status [batch], to which GRADIENT_NOT_FINITE is added; out [batch, r, n], NaN for refused
//     matrices
//
// Bytes: each number read and written once. Flops: none to speak of.
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256) mask_columns(long long batch, int n, int r, const int* __restrict__ labels,
                                                    const T* __restrict__ v_bar, scalar_of<T>* __restrict__ out) {
    using S = scalar_of<T>;
    const long long count = batch * r * n, step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < count; e += step) {
        out[e] = labels[e / n] ? widen(v_bar[e]) : make<S>::from(0, 0);
    }
}

template <class S>
__global__ void __launch_bounds__(256) scale_rows(long long batch, int r, real_of<S> factor, const real_of<S>* __restrict__ weight,
                                                  const S* __restrict__ s, S* __restrict__ out) {
    const long long count = batch * r * r, step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < count; e += step) {
        const long long column = e / r, k = column / r * r + e % r;
        out[e] = times(s[e], factor * weight[k]);
    }
}

template <class T>
__global__ void __launch_bounds__(256)
    store_columns(long long batch, int n, int r, const scalar_of<T>* from, unsigned* status, T* out) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    const long long matrix = matrix_of_team();
    const bool here = matrix < batch;
    const unsigned entries = here ? static_cast<unsigned>(n) * r : 0, before = here ? status[matrix] : 0;
    const bool refuse = refused(before);
    const S nan = make<S>::from(limits<R>::nan(), limits<R>::nan());
    from += matrix * n * r, out += matrix * n * r;
    R infinite = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const T stored = narrow<T>::from(refuse ? nan : from[e]);
        out[e] = stored;
        if (!finite(widen(stored))) infinite = 1;
    }
    infinite = largest_of_team(infinite);
    if (here && threadIdx.x == 0 && infinite > 0 && !refuse) status[matrix] = before | GRADIENT_NOT_FINITE;
}

} // namespace eigengrad
