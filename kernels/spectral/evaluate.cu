// f at the eigenvalues, for products and for sums: docs/derivation.md, §11.
//
//   values [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward
//   given, given_slopes [batch, n] f and f′ of a function that is given; not read outside K
//   lambda [batch, n] λ, or 0 on D where that is declared; labels [batch, n] 1 on K, 0 on D
//   f, slope, other [batch, n] as `sampled` has them; 0 on D
//   lift_of_batch [batch] e, of λ·2⁻ᵉ in `lambda`, and of which f is sampled; 0 unless it `lifts`
//   within [batch] up to where eigenvalues tie; total [batch] Σ_K f, NaN where there is none
//   status [batch] found, OUTSIDE_DOMAIN, and of sums RESULT_NOT_FINITE
//
// Bytes: 7·n numbers a matrix. Flops: some 10 to 100·n.
#include "spectral/function.cuh"
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

// f at an eigenvalue: by name, or as it is given.
template <class V, class R>
__device__ sampled<R> sample_at(const function& f, R lambda, int unit, int lift, const V* given, const V* given_slopes, long long k) {
    if (f.kind != GIVEN) return sample(f, lambda, unit, lift);
    return {scaled(lambda, -lift), widen(given[k]), given_slopes ? scaled(widen(given_slopes[k]), lift) : R(0), R(0)};
}

template <class T>
__global__ void __launch_bounds__(256)
    evaluate(long long batch, int n, function f, int lifts, int dropped_zero, double tie_rtol, const stored_real_of<T>* __restrict__ values,
             const bool* __restrict__ kept, const unsigned* __restrict__ found, const stored_real_of<T>* __restrict__ given,
             const stored_real_of<T>* __restrict__ given_slopes, real_of<T>* __restrict__ lambda, int* __restrict__ labels,
             real_of<T>* __restrict__ of_f, real_of<T>* __restrict__ slope, real_of<T>* __restrict__ other,
             real_of<T>* __restrict__ within, int* __restrict__ lift_of_batch, unsigned* __restrict__ status) {
    using R = real_of<T>;
    const long long b = matrix_of_team(), row = b * n;
    const bool here = b < batch;
    const R begin = here && n ? widen(values[row]) : R(0), end = here && n ? widen(values[row + n - 1]) : R(0);
    const int unit = unit_of(begin, end), lift = lifts ? lift_of(f, unit, begin) : 0;
    R outside = 0;
    for (int k = threadIdx.x; here && k < n; k += blockDim.x) {
        const R x = widen(values[row + k]);
        const bool keep = kept[row + k], is_defined = keep && defined_at(f, x);
        if (keep && !is_defined) outside = 1;
        sampled<R> at = {keep || !dropped_zero ? scaled(x, -lift) : R(0), 0, 0, 0};
        if (is_defined) at = sample_at(f, x, unit, lift, given, given_slopes, row + k);
        lambda[row + k] = at.lambda;
        labels[row + k] = keep;
        of_f[row + k] = at.f;
        slope[row + k] = at.slope;
        other[row + k] = at.other;
    }
    outside = largest_of_team(outside);
    if (!here || threadIdx.x != 0) return;
    within[b] = static_cast<R>(tie_rtol) * scaled(larger(magnitude(begin), magnitude(end)), -lift);
    lift_of_batch[b] = lift;
    status[b] = found[b] | (outside > 0 && !(found[b] & FAILED) ? OUTSIDE_DOMAIN : 0);
}

template <class T>
__global__ void __launch_bounds__(128)
    trace(long long batch, int n, function f, const stored_real_of<T>* __restrict__ values, const bool* __restrict__ kept,
          const unsigned* __restrict__ found, const stored_real_of<T>* __restrict__ given, real_of<T>* __restrict__ total,
          unsigned* __restrict__ status) {
    using R = real_of<T>;
    const long long b = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (b >= batch) return;
    const long long row = b * n;
    unsigned result = found[b];
    R sum = 0;
    for (int k = 0; k < n && !refused(result); ++k) {
        if (!kept[row + k]) continue;
        const R x = widen(values[row + k]);
        if (defined_at(f, x)) sum += sample_at<stored_real_of<T>>(f, x, 0, 0, given, nullptr, row + k).f;
        else result |= OUTSIDE_DOMAIN;
    }
    const bool none = refused(result);
    total[b] = none ? limits<R>::nan() : sum;
    status[b] = result | (none || finite(sum) ? 0 : RESULT_NOT_FINITE);
}

} // namespace eigengrad
