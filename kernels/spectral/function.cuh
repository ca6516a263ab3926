// f, f′ and divided differences (f(a) − f(b))/(a − b) of functions of the spectrum: no
// transcendental function for a pair.
//
// What a pair needs of an eigenvalue is made once, `sampled`. Near ties quotients are polynomials:
// the series of atanh z / z for |z| ≤ 1/3, that is eigenvalues within a factor of two, and of (eᵗ −
// 1)/t for |t| ≤ 1, up to a term below ε/10. docs/derivation.md, §11.
#pragma once
#include "lib/gap.cuh"

namespace eigengrad {

enum kind_of_function { PROJECTOR, SQRT, RSQRT, PINV, LOG, EXP, XLOGX, POW, GIVEN };

// As src/cuda/kernel/function.rs makes it.
struct function {
    int kind;
    int whole, odd; // what p of λ^p is
    double p;
};
static_assert(sizeof(function) == 24, "as src/cuda/kernel/function.rs has it");

// What is known of f at an eigenvalue: λ, f(λ), f′(λ), and √λ for 1/√λ, log|λ| where there is a
// logarithm in it; where differences of logarithms are all that is made of it, that of λ in a unit
// of the size of ‖A‖₂, which is small and so are its errors.
template <class R>
struct sampled {
    R lambda, f, slope, other;
};

__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float power(float x, double p) { return powf(x, static_cast<float>(p)); }
__device__ inline double power(double x, double p) { return pow(x, p); }
__device__ inline float power_of_part(float x) { return exp2f(x); }
__device__ inline double power_of_part(double x) { return exp2(x); }

template <class R>
struct terms;
template <>
struct terms<float> {
    static constexpr int ATANH = 7, EXPM1 = 10;
};
template <>
struct terms<double> {
    static constexpr int ATANH = 16, EXPM1 = 18;
};

// atanh(z)/z = Σ z²ᵏ/(2k + 1).
template <class R>
__device__ R atanh_over(R z_squared) {
    R sum = 0;
#pragma unroll
    for (int k = terms<R>::ATANH; k >= 0; --k) sum = sum * z_squared + R(1) / (2 * k + 1);
    return sum;
}

// (eᵗ − 1)/t = Σ tᵏ/(k + 1)!.
template <class R>
__device__ R expm1_over(R t) {
    R sum = 1;
#pragma unroll
    for (int k = terms<R>::EXPM1; k >= 1; --k) sum = 1 + sum * t * (R(1) / (k + 1));
    return sum;
}

// Whether f is defined at λ.
template <class R>
__device__ bool defined_at(const function& f, R lambda) {
    switch (f.kind) {
    case SQRT:
    case XLOGX: return lambda >= 0;
    case RSQRT:
    case LOG: return lambda > 0;
    case PINV: return lambda != 0;
    case POW: return lambda > 0 || (lambda == 0 && f.p >= 0) || (lambda < 0 && f.whole);
    default: return true;
    }
}

// e of λ·2⁻ᵉ, of which divided differences of f are taken: even, and 0 where the plain way stays in
// the range.
template <class R>
__device__ int lift_of(const function& f, int unit, R) {
    return f.kind != EXP && is_extreme(unit, R()) ? unit & ~1 : 0;
}

// x times the divided difference of f of which `w` is that at λ·2⁻ᵉ.
template <class S>
__device__ S times_weight(S x, real_of<S> w, const function& f, int lift) {
    x = times(x, w);
    if (lift == 0) return x;
    switch (f.kind) {
    case SQRT: return times_power(x, -lift / 2);
    case RSQRT: return times_power(x, -3 * (lift / 2));
    case PINV: return times_power(x, -2 * lift);
    case XLOGX: return x;
    case POW: {
        // p·e, whole and in part with what its rounding took: their sum would round what 2 to its
        // power is not small beside.
        const double product = f.p * lift, whole = floor(product), part = product - whole + fma(f.p, static_cast<double>(lift), -product);
        // beyond, all is 0 or infinite
        const int within = whole > 1e6 ? 1000000 : whole < -1e6 ? -1000000 : static_cast<int>(whole);
        return times_power(times(x, power_of_part(static_cast<real_of<S>>(part))), within - lift);
    }
    default: return times_power(x, -lift);
    }
}

// f at λ, where it is defined, of a matrix of the size of 2^unit. Logarithms are of λ, all else of
// λ·2^−lift.
template <class R>
__device__ sampled<R> sample(const function& f, R whole, int unit, int lift) {
    const R lambda = lift == 0 ? whole : scaled(whole, -lift);
    switch (f.kind) {
    case SQRT: {
        const R root = square_root(lambda);
        return {lambda, root, R(0.5) / root, root};
    }
    case RSQRT: {
        const R root = square_root(lambda);
        return {lambda, 1 / root, R(-0.5) / (lambda * root), root};
    }
    case PINV: return {lambda, 1 / lambda, -(1 / lambda) / lambda, 0};
    case LOG: return {lambda, logarithm(whole), 1 / lambda, logarithm(scaled(whole, -unit))};
    case EXP: {
        const R value = exponential(lambda);
        return {lambda, value, value, 0};
    }
    case XLOGX: {
        const R log = logarithm(whole);
        return {lambda, lambda == 0 ? R(0) : lambda * log, log + 1, log};
    }
    case POW: {
        // Next to 0 p − 1 is rounded, and its power is not that of p.
        const bool small = f.p > -0.5 && f.p < 0.5;
        const R slope = f.p == 0 ? R(0) : static_cast<R>(f.p) * (small ? power(lambda, f.p) / lambda : power(lambda, f.p - 1));
        return {lambda, power(lambda, f.p), slope, logarithm(scaled(magnitude(whole), -unit))};
    }
    default: return {lambda, R(1), R(0), R(0)};
    }
}

template <class R>
__device__ R quotient(const sampled<R>& a, const sampled<R>& b) {
    const R half = R(0.5); // neither difference overflows
    return (half * a.f - half * b.f) / (half * a.lambda - half * b.lambda);
}

// Of log, for positive numbers; halves keep the sum from overflowing.
template <class R>
__device__ R log_divided(R a, R b, R log_a, R log_b) {
    const R mean = R(0.5) * a + R(0.5) * b, z = (R(0.5) * a - R(0.5) * b) / mean;
    return magnitude(z) * 3 <= 1 ? atanh_over(z * z) / mean : (log_a - log_b) / (a - b);
}

// Of λ^p: with t = p·log(a/b), b^p·(eᵗ − 1)/t·p·(log a − log b)/(a − b). Whole powers of negative
// numbers follow from those of |λ|.
template <class R>
__device__ R power_divided(const function& f, const sampled<R>& a, const sampled<R>& b) {
    if (a.lambda == b.lambda) return a.slope;
    const R x = magnitude(a.lambda), y = magnitude(b.lambda);
    const R logs = log_divided(x, y, a.other, b.other), by = static_cast<R>(f.p) * logs, t = by * (x - y);
    const R of_f = magnitude(b.f) * expm1_over(t) * by;
    const R positive = magnitude(t) <= 1 ? of_f : x == y ? R(0) : (magnitude(a.f) - magnitude(b.f)) / (x - y);
    if ((a.lambda < 0) != (b.lambda < 0)) return f.odd ? quotient(a, b) : positive * ((x - y) / (a.lambda - b.lambda));
    return a.lambda < 0 && !f.odd ? -positive : positive;
}

// (f(a) − f(b))/(a − b), f′ where a = b; f given by values is taken as linear within a distance.
template <class R>
__device__ R divided(const function& f, const sampled<R>& a, const sampled<R>& b, R within) {
    switch (f.kind) {
    case PROJECTOR: return 0;
    case SQRT: return 1 / (a.f + b.f);
    case RSQRT: return -(a.f * (b.f / (a.other + b.other)));
    case PINV: return -(a.f * b.f);
    case LOG: return log_divided(a.lambda, b.lambda, a.other, b.other);
    case EXP: {
        const R apart = magnitude(a.lambda - b.lambda);
        return apart <= 1 ? larger(a.f, b.f) * expm1_over(-apart) : quotient(a, b);
    }
    case XLOGX: {
        // from the larger on: the smaller's log would be cancelled
        const bool first = a.lambda >= b.lambda;
        const R high = first ? a.other : b.other, low = first ? b.lambda : a.lambda;
        return low == 0 ? high : high + low * log_divided(a.lambda, b.lambda, a.other, b.other);
    }
    case POW: return power_divided(f, a, b);
    default: return magnitude(a.lambda - b.lambda) <= within ? R(0.5) * a.slope + R(0.5) * b.slope : quotient(a, b);
    }
}

// The weight of a pair: divided differences of f on K and 0 on D.
template <class R>
__device__ R divided_on_kept(const function& f, const sampled<R>& a, bool keep_a, const sampled<R>& b, bool keep_b, R within) {
    if (keep_a && keep_b) return divided(f, a, b, within);
    if (keep_a == keep_b) return 0;
    const R half = R(0.5), gap = half * a.lambda - half * b.lambda;
    return half * (keep_a ? a.f : b.f) / (keep_a ? gap : -gap);
}

} // namespace eigengrad
