// X = VᴴV̄ ↦ G = diag λ̄ + F ∘ skew(X), equation (8) of docs/derivation.md, or where it divides by λ G'
// = ½(G − X Λ⁻¹) of equation (10), pair by pair; and what the report has of a pair and of a column.
#pragma once
#include "lib/gap.cuh"
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

// ‖x‖ of one column, by the lanes of a team that lie in one warp, scaled so that no square over- or
// underflows.
template <class S>
__device__ real_of<S> norm_of_lanes(int n, const S* x) {
    using R = real_of<S>;
    const unsigned lanes = lanes_of_team(), lane = threadIdx.x % lanes;
    R largest = limits<R>::least_normal();
    for (int i = lane; i < n; i += lanes) largest = larger(largest, size(x[i]));
    largest = largest_of_lanes(largest);
    const R scale = 1 / largest;
    R squares = 0;
    for (int i = lane; i < n; i += lanes) squares += square(times(x[i], scale));
    squares = sum_of_lanes(squares);
    return squares == 0 ? R(0) : largest * square_root(squares);
}

// |Im X_kk| / ‖V̄_k‖.
template <class S>
__device__ real_of<S> gauge_of(S x_kk, real_of<S> norm) { return norm == 0 ? real_of<S>(0) : magnitude(im(x_kk)) / norm; }

// What of one matrix, of which backward/columns.cu tells, makes G of X.
template <class S>
struct weighing {
    using R = real_of<S>;
    gaps<R> of;
    const int* labels;
    const R *lambda_bar, *inverse;
    bool by_lambda;

    __device__ weighing(int n, const R* lambda, const int* labels, const R* lambda_bar, const R* inverse, bool by_lambda)
        : of(n, lambda, labels), labels(labels), lambda_bar(lambda_bar), inverse(inverse), by_lambda(by_lambda) {}

    __device__ bool tied(int i, int j) const { return labels[i] && !of.apart(i, j); }

    __device__ S diagonal(int k, S x_kk) const {
        const S g = make<S>::from(lambda_bar[k], 0);
        if (!labels[k]) x_kk = make<S>::from(0, 0);
        return by_lambda ? times(g - times(x_kk, inverse[k]), R(0.5)) : g;
    }

    // G_ij and G_ji in the place of X_ij and X_ji. Returns |skew(X)_ij|/norm where the two are tied.
    __device__ R pair(int i, int j, S& x_ij, S& x_ji, R norm) const {
        const S zero = make<S>::from(0, 0);
        const R half = R(0.5);
        if (!labels[j]) x_ij = zero; // may be anything
        if (!labels[i]) x_ji = zero;
        const S skew = times(x_ij - conj(x_ji), half);
        R tie = 0;
        if (norm > 0 && !of.apart(i, j)) tie = square_root(square(make<S>::from(re(skew) / norm, im(skew) / norm)));
        // In equation (10) D takes no part.
        const bool apart = by_lambda && (!labels[i] || !labels[j]);
        const S g = apart ? zero : of.times_f(skew, i, j);
        x_ij = !by_lambda ? g : apart ? zero : times(g - times(x_ij, inverse[j]), half);
        x_ji = !by_lambda ? conj(g) : apart ? zero : times(conj(g) - times(x_ji, inverse[i]), half);
        return tie;
    }
};

} // namespace eigengrad
