// Groups of tied eigenvalues: chains of consecutive kept ones, each within a distance of the next. What λ̄ says about them.
#pragma once
#include "element.cuh"

namespace eigengrad {

// The spread of λ̄ over groups of consecutive equal labels, relative to the largest |λ̄| of the group.
template <class R>
struct spread {
    int label = 0;
    R low = 0, high = 0, before = 0;

    __device__ R largest() const {
        if (low == high) return before;
        const R scale = larger(magnitude(low), magnitude(high));
        return larger(before, high / scale - low / scale);
    }
    __device__ void see(int next, R lambda_bar) {
        if (next != label) {
            before = largest();
            label = next;
            low = high = lambda_bar;
        }
        low = smaller(low, lambda_bar);
        high = larger(high, lambda_bar);
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
    spread<R> of_groups;

    __device__ chain(R first_lambda, R last_lambda, double tie_rtol, bool exact)
        : within(static_cast<R>(tie_rtol) * larger(magnitude(first_lambda), magnitude(last_lambda))), exact(exact) {}

    // The number of its group from 1 on, or 0 in D.
    __device__ int see(bool keep, R lambda, R lambda_bar) {
        if (!keep) return 0;
        const bool joins = group > 0 && lambda - last <= within;
        tied |= joins;
        if (!joins || exact) ++group;
        last = lambda;
        of_groups.see(group, lambda_bar);
        return group;
    }
};

} // namespace eigengrad
