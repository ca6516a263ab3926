// Groups of tied eigenvalues: chains of consecutive kept ones, each within a distance of the next; and what λ̄ says about them.
#pragma once
#include "element.cuh"

namespace eigengrad {

// The spread of the λ̄ of a group, relative to the largest |λ̄| in it.
template <class R>
struct spread {
    R low, high;

    __device__ explicit spread(R lambda_bar) : low(lambda_bar), high(lambda_bar) {}
    __device__ void see(R lambda_bar) {
        low = smaller(low, lambda_bar);
        high = larger(high, lambda_bar);
    }
    __device__ R relative() const {
        if (low == high) return 0;
        const R scale = larger(magnitude(low), magnitude(high));
        return high / scale - low / scale;
    }
};

// The eigenvalues of a matrix, seen in ascending order.
template <class R>
struct chain {
    R within; // the distance of ties
    bool exact; // every kept eigenvalue is a group of its own
    int group = 0;
    R last = 0;
    bool tied = false;

    __device__ chain(R first_lambda, R last_lambda, double tie_rtol, bool exact)
        : within(static_cast<R>(tie_rtol) * larger(magnitude(first_lambda), magnitude(last_lambda))), exact(exact) {}

    // The number of its group from 1 on, or 0 in D.
    __device__ int see(bool keep, R lambda) {
        if (!keep) return 0;
        const bool joins = group > 0 && lambda - last <= within;
        tied |= joins;
        if (!joins || exact) ++group;
        last = lambda;
        return group;
    }
};

} // namespace eigengrad
