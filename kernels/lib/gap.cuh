// 1/(λ_j − λ_i) where it does not leave the range: of λ·2⁻ᵉ, and the power of two is undone in the
// product.
#pragma once
#include "lib/element.cuh"

namespace eigengrad {

// The exponent of a power of two of the size of ‖A‖₂, from the ends of the spectrum.
template <class R>
__device__ int unit_of(R first, R last) {
    const R norm = larger(magnitude(first), magnitude(last));
    return norm > 0 && finite(norm) ? binary_exponent(norm) : 0;
}

// Whether numbers of the size of 2^unit may leave the range with a function, or 1/(λ_j − λ_i), of
// them: as `is_extreme` of src/cpu/range.rs.
__device__ inline bool is_extreme(int unit, float) { return unit < -30 || unit >= 30; }
__device__ inline bool is_extreme(int unit, double) { return unit < -240 || unit >= 240; }

// e: ‖A‖₂ to 1, or as near as a normal 2⁻ᵉ⁻² brings it, where it is small; a little less where
// reciprocals of gaps would be subnormal; otherwise 0, for the bits of the plain way.
template <class R>
__device__ int lift_of_gaps(R first, R last) {
    const int unit = unit_of(first, last), most = least_exponent(R()) + 8;
    return unit < 0 && is_extreme(unit, R()) ? larger(unit, most) : unit > -most ? 8 : 0;
}

// x·2^e of a real or complex number, in steps of which none leaves the range of exponents.
template <class S>
__device__ S times_power(S x, int e) {
    using R = real_of<S>;
    const int most = -4 * least_exponent(R()), part = (e < -most ? -most : e > most ? most : e) / 2;
    x = make<S>::from(scaled(re(x), part), scaled(im(x), part));
    const int rest = e < -most || e > most ? part : e - part;
    return make<S>::from(scaled(re(x), rest), scaled(im(x), rest));
}

// x/(λ_j − λ_i); halves keep the difference from overflowing, which would make it 0.
template <class S>
__device__ S over_gap(S x, real_of<S> lambda_i, real_of<S> lambda_j, int lift) {
    using R = real_of<S>;
    if (lift != 0) lambda_i = scaled(lambda_i, -lift), lambda_j = scaled(lambda_j, -lift);
    const S quotient = times(x, R(0.5) / (R(0.5) * lambda_j - R(0.5) * lambda_i));
    return lift == 0 ? quotient : make<S>::from(scaled(re(quotient), -lift), scaled(im(quotient), -lift));
}

// The gaps of one matrix, of which D has label 0 and every group of K one of its own.
template <class R>
struct gaps {
    const R* lambda;
    const int* labels;
    int lift;

    __device__ gaps(int n, const R* lambda, const int* labels)
        : lambda(lambda), labels(labels), lift(n > 0 ? lift_of_gaps(lambda[0], lambda[n - 1]) : 0) {}
    __device__ bool apart(int i, int j) const { return labels[i] != labels[j]; }
    // F_ij x, 0 where labels agree.
    template <class S>
    __device__ S times_f(S x, int i, int j) const {
        return apart(i, j) ? over_gap(x, lambda[i], lambda[j], lift) : make<S>::from(0, 0);
    }
};

} // namespace eigengrad
