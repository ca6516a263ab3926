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

// D, what is dropped of an ascending spectrum: λ_k for low ≤ k < high.
struct dropped {
    int low, high;

    __device__ bool keeps(int k) const { return k < low || k >= high; }
};

// The largest |λ| first, from both ends inwards; sets AMBIGUOUS_RANK.
template <class R>
__device__ dropped select(const cut& cut, int n, const R* lambda, R tau, R norm, unsigned& status) {
    dropped d = {0, n};
    for (int rank = 0; d.low < d.high; ++rank) {
        const bool at_high = magnitude(lambda[d.high - 1]) >= magnitude(lambda[d.low]);
        const int next = at_high ? d.high - 1 : d.low;
        const R size = magnitude(lambda[next]);
        if (!cut.everything && !(size > tau)) break;
        if (rank == cut.at_most) {
            const R within = static_cast<R>(cut.tie_rtol) * norm;
            // the kept ones on both sides; of one sign they are too near
            for (int k = d.low - 1; k <= d.high; k += d.high - d.low + 1)
                if (k >= 0 && k < n && magnitude(lambda[k]) - size <= within && magnitude(lambda[k] - lambda[next]) > within)
                    status |= AMBIGUOUS_RANK;
            break;
        }
        at_high ? --d.high : ++d.low;
    }
    return d;
}

template <class R>
__device__ R tau_of(const cut& cut, R norm) { return larger(static_cast<R>(cut.atol), static_cast<R>(cut.rtol) * norm); }

// Infinity means that there is no pair: what overflows is the largest number instead.
template <class R>
__device__ R gap_of(R x, R y) { return smaller(x - y, limits<R>::largest()); }

// From λ_k to the kept one before, if it is kept itself.
template <class R>
__device__ R gap_before(const dropped& d, const R* lambda, int k) {
    if (k == d.high && d.low > 0) return gap_of(lambda[k], lambda[d.low - 1]);
    return k > 0 && (k < d.low || k > d.high) ? gap_of(lambda[k], lambda[k - 1]) : limits<R>::infinity();
}

// Between kept and dropped, of which some are zeros that lie beside; attained at the ends of D. Sets
// TIE_ACROSS_CUT.
template <class R>
__device__ R gap_across(const cut& cut, const dropped& d, int n, const R* lambda, R norm, unsigned& status) {
    R least = limits<R>::infinity();
    if (d.low > 0) {
        if (d.low < d.high) least = gap_of(lambda[d.low], lambda[d.low - 1]);
        if (cut.nulls != 0) least = smaller(least, magnitude(lambda[d.low - 1]));
    }
    if (d.high < n) {
        if (d.low < d.high) least = smaller(least, gap_of(lambda[d.high], lambda[d.high - 1]));
        if (cut.nulls != 0) least = smaller(least, magnitude(lambda[d.high]));
    }
    if (finite(least) && least <= static_cast<R>(cut.tie_rtol) * norm) status |= TIE_ACROSS_CUT;
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

// What belongs to a matrix as a whole.
template <class T>
__device__ void write_report(const spectrum_results<T>& out, long long b, unsigned found, int rank, real_of<T> gap_kept,
                             real_of<T> gap_dropped) {
    out.rank[b] = rank;
    out.gap_kept[b] = gap_kept;
    out.gap_dropped[b] = gap_dropped;
    out.status[b] = found;
}

// Cuts λ of 2^-e·A, ascending, of matrix b; λ·2^e takes its place. `found` is what is known of it so
// far. Returns whether it failed.
template <class T>
__device__ bool cut_spectrum(const cut& cut, int n, real_of<T>* x, int exponent, unsigned found, long long b,
                             const spectrum_results<T>& out) {
    using R = real_of<T>;
    using V = stored_real_of<T>;
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
    dropped d = {0, n};
    if (!failed && n > 0) {
        const R norm = larger(magnitude(x[0]), magnitude(x[n - 1]));
        d = select(cut, n, x, tau_of(cut, norm), norm, found);
        across = gap_across(cut, d, n, x, norm, found);
        for (int k = 0; k < n; ++k) between_kept = smaller(between_kept, gap_before(d, x, k));
    }
    for (int k = 0; k < n; ++k) {
        out.values[b * n + k] = failed ? narrow<V>::from(limits<R>::nan()) : narrow<V>::from(x[k]);
        out.kept[b * n + k] = d.keeps(k);
    }
    write_report(out, b, found, d.low + n - d.high, between_kept, across);
    return failed;
}

// What a team cuts with, in shared memory. R is that of λ.
template <class R>
struct cut_memory {
    dropped d;
    R box[8]; // of TEAM
};

// Whether a matrix failed or λ overflows, of which a thread that has one is `mine`. It is a barrier of
// the TEAM.
template <class T, class TEAM>
__device__ bool fails(const real_of<T>* x, int exponent, unsigned found, bool mine, cut_memory<real_of<T>>& shared) {
    using R = real_of<T>;
    using V = stored_real_of<T>;
    const bool finite_here = !mine || finite(widen(narrow<V>::from(scaled(x[threadIdx.x], exponent))));
    return TEAM::largest(finite_here && !(found & FAILED) ? R(0) : R(1), shared.box) > 0;
}

// The same by a TEAM, whose thread k < n has λ_k, if it is `mine`: x is shared memory, and the team's
// behind a barrier. It is a barrier for them.
template <class T, class TEAM>
__device__ void cut_spectrum(const cut& cut, int n, real_of<T>* x, int exponent, unsigned found, bool failed, long long b,
                             const spectrum_results<T>& out, bool mine, cut_memory<real_of<T>>& shared) {
    using R = real_of<T>;
    using V = stored_real_of<T>;
    const int k = threadIdx.x;
    const bool was_zero = x[0] == 0 && x[n - 1] == 0;
    const R value = mine ? scaled(x[k], exponent) : R(0);
    if (failed && !(found & FAILED)) found |= VALUES_OVERFLOW;
    TEAM::barrier();
    if (mine) x[k] = value;
    if (k == 0) shared.d = {0, n};
    TEAM::barrier();
    const R norm = larger(magnitude(x[0]), magnitude(x[n - 1])), tau = tau_of(cut, norm);
    // K is what lies below −τ and above τ.
    const auto is_below = [&](int i) { return cut.everything || x[i] < -tau; };
    const auto is_above = [&](int i) { return !cut.everything && x[i] > tau; };
    if (mine && !failed) {
        if (is_below(k) && (k == n - 1 || !is_below(k + 1))) shared.d.low = k + 1;
        if (is_above(k) && (k == 0 || !is_above(k - 1))) shared.d.high = k;
    }
    TEAM::barrier();
    const bool too_many = shared.d.low + n - shared.d.high > cut.at_most;
    TEAM::barrier();
    if (too_many && mine && k == 0) shared.d = select(cut, n, x, tau, norm, found);
    TEAM::barrier();
    const dropped d = shared.d;
    const R between_kept = -TEAM::largest(mine && !failed ? -gap_before(d, x, k) : -limits<R>::infinity(), shared.box);
    if (mine) {
        out.values[b * n + k] = narrow<V>::from(failed ? limits<R>::nan() : value);
        out.kept[b * n + k] = d.keeps(k);
    }
    if (mine && k == 0) {
        const R stored = widen(narrow<V>::from(value)), last = widen(narrow<V>::from(x[n - 1]));
        if (!failed && stored == 0 && last == 0 && !was_zero) found |= VALUES_UNDERFLOW;
        const R across = failed ? limits<R>::infinity() : gap_across(cut, d, n, x, norm, found);
        write_report(out, b, found, d.low + n - d.high, between_kept, across);
    }
}

} // namespace eigengrad
