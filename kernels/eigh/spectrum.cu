// What the cut makes of eigenvalues: docs/derivation.md §1; and NaN for λ and V of a matrix that
// failed.
//
//   lambda      [batch, n] of 2^-e·A, ascending; exponent [batch] e; info [batch] of the solver, 0
//                          if it converged
//   defect      [2, batch] of eigh/certificate.cu, or null where it was not measured; beyond
//                          `bound` the matrix failed
//   values      [batch, n] λ; kept [batch, n]; rank, gap_kept, gap_dropped [batch]; status [batch]
//                          read and written
//   v           [batch, n, n] or null; written for failed matrices alone
//
// Eigenvalues that are exact zeros may lie beside these: they are dropped, and count for the
// kept–dropped gap.
//
// A thread takes a matrix: the largest |λ| of an ascending spectrum is at one of its ends, which
// makes the cut a walk inwards. Bytes: 3·n reals and flags a matrix. Flops: about 10·n.
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

// τ = max(atol, rtol·max|λ|) unless everything is kept, and at most so many; and how many zeros lie
// beside.
struct cut {
    int everything;
    int at_most;
    int nulls;
    double atol, rtol, tie_rtol;
};
static_assert(sizeof(cut) == 40, "as src/cuda/eigh.rs has it");

// Marks K and returns its size; sets AMBIGUOUS_RANK.
template <class R>
__device__ int select(const cut& cut, int n, const R* lambda, R norm, bool* kept, unsigned& status) {
    const R tau = larger(static_cast<R>(cut.atol), static_cast<R>(cut.rtol) * norm);
    for (int k = 0; k < n; ++k) kept[k] = false;
    int low = 0, high = n, rank = 0;
    while (low < high) {
        const bool at_high = magnitude(lambda[high - 1]) >= magnitude(lambda[low]);
        const int next = at_high ? high - 1 : low;
        const R size = magnitude(lambda[next]);
        if (!cut.everything && !(size > tau)) break;
        if (rank == cut.at_most) {
            const R within = static_cast<R>(cut.tie_rtol) * norm;
            // the kept ones on both sides; of one sign they are too near
            for (int k = low - 1; k <= high; k += high - low + 1)
                if (k >= 0 && k < n && magnitude(lambda[k]) - size <= within && magnitude(lambda[k] - lambda[next]) > within)
                    status |= AMBIGUOUS_RANK;
            break;
        }
        kept[next] = true;
        ++rank;
        at_high ? --high : ++low;
    }
    return rank;
}

// Infinity means that there is no pair: what overflows is the largest number instead.
template <class R>
__device__ R gap_of(R x, R y) { return smaller(x - y, limits<R>::largest()); }

// The zeros beside: they end the kept–dropped gap.
template <class R>
__device__ R gap_to_nulls(const cut& cut, int n, const R* lambda, const bool* kept) {
    R least = limits<R>::infinity();
    if (cut.nulls == 0) return least;
    for (int k = 0; k < n; ++k)
        if (kept[k]) least = smaller(least, magnitude(lambda[k]));
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
        bool overflow = false, was_zero = true, is_zero = true;
        for (int k = 0; k < n; ++k) {
            was_zero &= x[k] == 0;
            x[k] = scaled(x[k], exponent[b]);
            const R stored = widen(narrow<V>::from(x[k]));
            overflow |= !finite(stored);
            is_zero &= stored == 0;
        }
        if (!(found & NOT_FINITE)) {
            if (n > 0 && info[b] != 0) found |= NOT_CONVERGED;
            else if (defect && !(defect[b] <= bound)) found |= NOT_ORTHONORMAL;
            else if (defect && !(defect[batch + b] <= bound)) found |= LARGE_RESIDUAL;
            else if (overflow) found |= VALUES_OVERFLOW;
        }
        failed[threadIdx.x] = found & FAILED;
        if (!failed[threadIdx.x] && is_zero && !was_zero) found |= VALUES_UNDERFLOW;
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
            across = gap_to_nulls(cut, n, x, keep);
            // Each minimum is attained between neighbours, of K and of the whole spectrum.
            int last = -1;
            for (int k = 0; k < n; ++k) {
                if (k > 0 && keep[k] != keep[k - 1]) across = smaller(across, gap_of(x[k], x[k - 1]));
                if (!keep[k]) continue;
                if (last >= 0) between_kept = smaller(between_kept, gap_of(x[k], x[last]));
                last = k;
            }
            if (finite(across) && across <= static_cast<R>(cut.tie_rtol) * norm) found |= TIE_ACROSS_CUT;
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
