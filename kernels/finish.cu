// Ā as it is stored, from the last product Y: its lower triangle mirrored, or by equation (10) Y + Yᴴ; and whether it is finite.
//
//   y      [batch, n, n] column-major, Y
//   divides [batch] as label.cu leaves it, or null: equation (10) or (8)
//   a_bar  [batch, n, n] row-major, as T: Ā, or by the entries of one triangle, or NaN for refused matrices
//   status [batch] GRADIENT_NOT_FINITE
//
// Bytes: n² scalars read, half of them again from the cache, n²·sizeof(T) written. Flops: none to speak of.
#include "form.cuh"
#include "status.cuh"
#include "team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256)
    finish(long long batch, int n, int refuse_ties, int form, const scalar_of<T>* __restrict__ y, const int* __restrict__ divides, T* __restrict__ a_bar,
           unsigned* __restrict__ status) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    const long long b = matrix_of_team();
    const bool here = b < batch;
    const bool refuse = here && refused(status[b], refuse_ties), sum = here && divides && divides[b];
    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0;
    y += here ? b * n * n : 0;
    a_bar += here ? b * n * n : 0;
    R not_finite = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int i = e / n, j = e % n, row = i >= j ? i : j, column = i >= j ? j : i;
        const long long lower = static_cast<long long>(column) * n + row, upper = static_cast<long long>(row) * n + column;
        S entry = sum ? y[lower] + conj(y[upper]) : y[lower];
        if (i < j) entry = conj(entry);
        if (i == j) entry = make<S>::from(re(entry), 0);
        entry = times(entry, static_cast<R>(factor_of(form, i, j)));
        const T stored = narrow<T>::from(refuse ? make<S>::from(limits<R>::nan(), limits<R>::nan()) : entry);
        a_bar[e] = stored;
        if (!finite(widen(stored))) not_finite = 1;
    }
    not_finite = largest_of_team(not_finite);
    if (here && threadIdx.x == 0 && not_finite > 0 && !refuse) status[b] |= GRADIENT_NOT_FINITE;
}

} // namespace eigengrad
