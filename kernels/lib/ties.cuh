// Groups of tied eigenvalues: chains of consecutive kept ones, each within a distance of the next;
// and what λ̄ says about them.
#pragma once
#include "lib/element.cuh"
#include "lib/status.cuh"

namespace eigengrad {

// Half of the spread of the λ̄ of a group: what is not halved may overflow.
template <class R>
struct spread {
    R low, high;

    __device__ explicit spread(R lambda_bar) : low(lambda_bar), high(lambda_bar) {}
    __device__ void see(R lambda_bar) {
        low = smaller(low, lambda_bar);
        high = larger(high, lambda_bar);
    }
    __device__ R half() const { return R(0.5) * high - R(0.5) * low; }
};

// The largest spread relative to the largest |λ̄| of the matrix.
template <class R>
__device__ R relative(R half_spread, R scale) { return half_spread == 0 ? R(0) : 2 * (half_spread / scale); }

// The eigenvalues of a matrix, seen in ascending order.
template <class R>
struct tie_groups {
    R within; // the distance of ties
    int rule;
    int group = 0;
    R last = 0;
    bool tied = false;

    __device__ tie_groups(R first_lambda, R last_lambda, double tie_rtol, int rule)
        : within(static_cast<R>(tie_rtol) * larger(magnitude(first_lambda), magnitude(last_lambda))), rule(rule) {}

    // What ties are, of all that was seen.
    __device__ unsigned found() const { return ties_found(tied, rule); }

    // The number of its group from 1 on, or 0 in D.
    __device__ int see(bool keep, R lambda) {
        if (!keep) return 0;
        const bool joins = group > 0 && lambda - last <= within;
        tied |= joins;
        if (!joins || rule == EXACT) ++group; // of its own
        last = lambda;
        return group;
    }
};

} // namespace eigengrad
