// Householder's reflections I − τ v vᴴ of columns of n components, v_k = 1 and 0 above:
// docs/derivation.md §12.
//
// The lanes of a team that lie in one warp share a column. Row i is always the same lane's: within
// a column nothing needs a barrier. All lanes of a warp call these functions equally often; those
// of a team without a matrix with n = 0.
#pragma once
#include "lib/team.cuh"

namespace eigengrad {

// The first row of this lane from `row` on.
__device__ inline int first_row(unsigned row) { return row + ((threadIdx.x - row) & (lanes_of_team() - 1)); }

// Makes the rows of x from k on the reflection that maps them to (β, 0): β in row k, below it v.
// Returns τ, 0 for the identity.
template <class S>
__device__ real_of<S> reflection(int k, int n, S* x) {
    using R = real_of<S>;
    const int lanes = lanes_of_team();
    const S head = k < n ? x[k] : make<S>::from(0, 0);
    const R size_of_head = size(head);
    R largest = 0;
    for (int i = first_row(k + 1); i < n; i += lanes) largest = larger(largest, size(x[i]));
    largest = largest_of_lanes(largest);
    // Scaled, so that no square that counts underflows; overflow is excluded, since B is.
    const R scale = 1 / larger(larger(largest, size_of_head), limits<R>::least_normal());
    R squares = 0;
    for (int i = first_row(k + 1); i < n; i += lanes) squares += square(times(x[i], scale));
    squares = sum_of_lanes(squares);
    __syncwarp(); // all have read the head: shuffles order no memory
    // 0 beside the largest entry of B, which is 1 or more
    if (largest < limits<R>::least_normal()) return 0;
    // The phase by a scale of its own: the head may be as much smaller as it likes.
    const S by_size = make<S>::from(re(head) / size_of_head, im(head) / size_of_head);
    const R modulus = size_of_head == 0 ? R(0) : square_root(square(by_size));
    const S phase = size_of_head == 0 ? make<S>::from(1, 0) : make<S>::from(re(by_size) / modulus, im(by_size) / modulus);
    const R head_norm = modulus * (size_of_head * scale), norm = square_root(squares + head_norm * head_norm);
    // v = (head + phase·norm, tail) has no cancellation; divided by its first component.
    const S inverse = times(conj(phase), scale / (head_norm + norm)), zero = make<S>::from(0, 0);
    for (int i = first_row(k + 1); i < n; i += lanes) x[i] = add_product(zero, x[i], inverse);
    if (first_row(k) == k) x[k] = times(phase, -(norm / scale));
    return 1 + head_norm / norm; // 2 |v₁|² / ‖v‖²
}

// x ← (I − τ v vᴴ) x.
template <class S>
__device__ void reflect(real_of<S> tau, int k, int n, const S* v, S* x) {
    const int lanes = lanes_of_team();
    const S one = make<S>::from(1, 0);
    S sum = make<S>::from(0, 0);
    for (int i = first_row(k); i < n; i += lanes) sum = add_adjoint_product(sum, i == k ? one : v[i], x[i]);
    const S by = times(sum_of_lanes(sum), -tau);
    for (int i = first_row(k); i < n; i += lanes) x[i] = add_product(x[i], i == k ? one : v[i], by);
}

} // namespace eigengrad
