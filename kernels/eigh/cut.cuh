// What the cut makes of the eigenvalues of a matrix: docs/derivation.md §1.
#pragma once
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

// Where the results of a matrix go, one after the other: λ and K [batch, n], the others [batch].
template <class T>
struct spectrum_results {
    stored_real_of<T>* values;
    bool* kept;
    unsigned* rank;
    real_of<T>*gap_kept, *gap_dropped;
    unsigned* status;
};

// Cuts λ of 2^-e·A, ascending, of matrix b; λ·2^e takes its place, NaN where the matrix failed.
// `found` is what is known of it so far. Returns whether it failed.
template <class T>
__device__ bool cut_spectrum(const cut& cut, int n, real_of<T>* x, int exponent, unsigned found, long long b,
                             const spectrum_results<T>& out) {
    using R = real_of<T>;
    using V = stored_real_of<T>;
    bool* const keep = out.kept + b * n;
    bool overflow = false, was_zero = true, is_zero = true;
    for (int k = 0; k < n; ++k) {
        was_zero &= x[k] == 0;
        x[k] = scaled(x[k], exponent);
        const R stored = widen(narrow<V>::from(x[k]));
        overflow |= !finite(stored);
        is_zero &= stored == 0;
    }
    if (overflow && !(found & FAILED)) found |= VALUES_OVERFLOW;
    const bool failed = found & FAILED;
    if (!failed && is_zero && !was_zero) found |= VALUES_UNDERFLOW;
    R between_kept = limits<R>::infinity(), across = limits<R>::infinity();
    int count = 0;
    if (failed) {
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
    for (int k = 0; k < n; ++k) out.values[b * n + k] = narrow<V>::from(x[k]);
    out.rank[b] = count;
    out.gap_kept[b] = between_kept;
    out.gap_dropped[b] = across;
    out.status[b] = found;
    return failed;
}

} // namespace eigengrad
