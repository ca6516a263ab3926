// What the cut makes of eigenvalues: docs/derivation.md §1; and NaN for λ and V of a matrix that failed.
//
//   lambda      [batch, n] of 2^-e·A, ascending; exponent [batch] e; info [batch] of the solver, 0 if it converged
//   defect      [batch] max|VᴴV − I|, or null where it was not measured; beyond `bound` the matrix failed
//   values      [batch, n] λ; kept [batch, n]; rank, gap_kept, gap_dropped [batch]; status [batch] read and written
//   v           [batch, n, n] or null; written for failed matrices alone
//
// Eigenvalues that are exact zeros may lie beside these: they are dropped, and count for the kept–dropped gap.
//
// A thread takes a matrix: the largest |λ| of an ascending spectrum is at one of its ends, which makes the cut a walk inwards.
// Bytes: 3·n reals and flags a matrix. Flops: about 10·n.
#include "status.cuh"
#include "team.cuh"

namespace eigengrad {

// τ = max(atol, rtol·max|λ|) unless everything is kept, and at most so many; and how many zeros lie beside.
struct cut {
    int everything;
    int at_most;
    int nulls;
    double atol, rtol, tie_rtol;
};

// Marks K and returns its size; sets TIE_ACROSS_CUT.
template <class R>
__device__ int select(const cut& cut, int n, const R* lambda, R norm, bool* kept, unsigned& status) {
    const R tau = larger(static_cast<R>(cut.atol), static_cast<R>(cut.rtol) * norm);
    for (int k = 0; k < n; ++k) kept[k] = false;
    int low = 0, high = n, rank = 0;
    R least_kept = limits<R>::infinity();
    while (low < high) {
        const bool at_high = magnitude(lambda[high - 1]) >= magnitude(lambda[low]);
        const int next = at_high ? high - 1 : low;
        const R size = magnitude(lambda[next]);
        if (!cut.everything && !(size > tau)) break;
        if (rank == cut.at_most) {
            if (rank > 0 && least_kept - size <= static_cast<R>(cut.tie_rtol) * norm) status |= TIE_ACROSS_CUT;
            break;
        }
        kept[next] = true;
        ++rank;
        least_kept = size;
        at_high ? --high : ++low;
    }
    return rank;
}

// The zeros beside: they end the kept–dropped gap, and where everything is kept may tie across the cut.
template <class R>
__device__ R gap_to_nulls(const cut& cut, int n, const R* lambda, R norm, int rank, const bool* kept, unsigned& status) {
    R least = limits<R>::infinity();
    if (cut.nulls == 0) return least;
    for (int k = 0; k < n; ++k)
        if (kept[k]) least = smaller(least, magnitude(lambda[k]));
    if (cut.everything && rank == n && least <= static_cast<R>(cut.tie_rtol) * norm) status |= TIE_ACROSS_CUT;
    return least;
}

template <class T>
__global__ void __launch_bounds__(128)
    spectrum(long long batch, int n, cut cut, real_of<T>* __restrict__ lambda, const int* __restrict__ exponent,
             const int* __restrict__ info, const real_of<T>* __restrict__ defect, real_of<T> bound,
             stored_real_of<T>* __restrict__ values, bool* __restrict__ kept, unsigned* __restrict__ rank,
             real_of<T>* __restrict__ gap_kept, real_of<T>* __restrict__ gap_dropped, unsigned* __restrict__ status,
             scalar_of<T>* __restrict__ v) {
    using R = real_of<T>;
    using V = stored_real_of<T>;
    __shared__ bool failed[128];
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x, b = first + threadIdx.x;
    failed[threadIdx.x] = false;
    if (b < batch) {
        R* x = lambda + b * n;
        bool* keep = kept + b * n;
        unsigned found = status[b];
        bool overflow = false;
        for (int k = 0; k < n; ++k) {
            x[k] = scaled(x[k], exponent[b]);
            overflow |= !finite(widen(narrow<V>::from(x[k])));
        }
        if (!(found & NOT_FINITE)) {
            if (n > 0 && info[b] != 0) found |= NOT_CONVERGED;
            else if (defect && !(defect[b] <= bound)) found |= NOT_ORTHONORMAL;
            else if (overflow) found |= VALUES_OVERFLOW;
        }
        failed[threadIdx.x] = found & FAILED;
        R between_kept = limits<R>::infinity(), across = limits<R>::infinity();
        int count = 0;
        if (failed[threadIdx.x]) {
            for (int k = 0; k < n; ++k) {
                x[k] = limits<R>::nan();
                keep[k] = false;
            }
        } else if (n > 0) {
            const R norm = larger(magnitude(x[0]), magnitude(x[n - 1]));
            count = select(cut, n, x, norm, keep, found);
            across = gap_to_nulls(cut, n, x, norm, count, keep, found);
            // Each minimum is attained between neighbours, of K and of the whole spectrum.
            int last = -1;
            for (int k = 0; k < n; ++k) {
                if (k > 0 && keep[k] != keep[k - 1]) across = smaller(across, x[k] - x[k - 1]);
                if (!keep[k]) continue;
                if (last >= 0) between_kept = smaller(between_kept, x[k] - x[last]);
                last = k;
            }
        }
        for (int k = 0; k < n; ++k) values[b * n + k] = narrow<V>::from(x[k]);
        rank[b] = count;
        gap_kept[b] = between_kept;
        gap_dropped[b] = across;
        status[b] = found;
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
