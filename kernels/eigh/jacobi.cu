// A = V Λ Vᴴ by Jacobi's rotations: docs/derivation.md §13.
//
// jacobi: all of a matrix and its vectors stay in shared memory
//   v      [batch, n, n] A column-major as eigh/prepare.cu leaves it, both triangles, 1 ≤ max|A_ij|
//                        < 2 by components; out: one eigenvector
//          after the other, unless `vectors` is 0
//   lambda [batch, n] ascending
//   info   [batch] 0, or n + 1 where the rotations did not end
//   bytes  of shared memory for a matrix
//
// repair: the same for those matrices that another solver failed on
//   a      [batch, n, n] A as above
//   v, lambda, info as that solver left them; defect [2, batch] of eigh/certificate.cu, 0 where it
//     is repaired
//   memory `bytes` for each block
//
// A sweep turns each pair of columns once, in rounds of pairs that have no column in common:
// players of a tournament, one of whom pauses if n is odd. A thread takes a pair to find its
// rotation, then a 2×2 block of A's lower triangle where two pairs meet, or a row of V where it
// meets a pair. A team of at most 32 threads lies in one warp, a larger one is the block.
//
// Bytes: 2·n² scalars and n reals a matrix. Flops: a sweep takes about 6·n³ real ones, 24·n³
// complex, two thirds of them for V; from 3 sweeps at n = 2 to 8 at n = 64.
#include "lib/team.cuh"

namespace eigengrad {

constexpr int MOST_SWEEPS = 60;

// Columns p and q ↦ c·p − σ̄·q and σ·p + c·q; half is 1/(1 + c).
template <class S>
struct rotation {
    real_of<S> half;
    S sigma;
};

// Three shears, by σ and by the tangent of half the angle, t = σ/(1 + c). Their round-off shrinks
// with the angle, and so does that of VᴴV, where c and σ that are rounded apart leave ε for each of
// many small angles.
template <class S>
__device__ void rotate_columns(rotation<S> by, S& p, S& q) {
    const S minus_t = make<S>::from(-re(by.sigma) * by.half, im(by.sigma) * by.half);
    p = add_product(p, minus_t, q);
    q = add_product(q, by.sigma, p);
    p = add_product(p, minus_t, q);
}

// The rotation that makes α, β, β̄, γ diagonal, by the smaller angle, and by how much it lowers α
// and raises γ. β is not subnormal.
template <class S>
__device__ rotation<S> rotation_for(real_of<S> alpha, S beta, real_of<S> gamma, real_of<S>& shift) {
    using R = real_of<S>;
    const R largest = size(beta);
    const S unit = times(beta, 1 / largest);
    const R modulus = square_root(square(unit)), tau = (gamma - alpha) / (2 * largest * modulus);
    // 0 where τ² overflows
    const R t = (tau < 0 ? R(-1) : R(1)) / (magnitude(tau) + square_root(1 + tau * tau));
    const R c = 1 / square_root(1 + t * t);
    shift = t * largest * modulus;
    return {1 / (1 + c), times(unit, c * t / modulus)};
}

// Quotients by a divisor up to 2^10 of numbers up to its square and as much more.
struct division {
    unsigned by, inverse;
    __device__ explicit division(unsigned by) : by(by), inverse(0xffffffffu / by + 1) {}
    __device__ int quotient(unsigned x) const { return by == 1 ? x : static_cast<unsigned long long>(x) * inverse >> 32; }
};

// The columns of pair k of a round. The last player stays, the others go round.
struct pair {
    int p, q;
    __device__ pair(int players, int round, int k) {
        const int others = players - 1;
        p = k == 0 ? others : round + k < others ? round + k : round + k - others;
        q = round - k >= 0 ? round - k : round - k + others;
    }
};

// A, of which the lower triangle is kept, column after column.
template <class S>
struct lower_triangle {
    S* of;
    int ld;
    __device__ S& kept(int i, int j) const { return i > j ? of[j * ld + i] : of[i * ld + j]; }
    __device__ S at(int i, int j) const { return i < j ? conj(kept(i, j)) : kept(i, j); }
    __device__ void set(int i, int j, S x) const { kept(i, j) = i < j ? conj(x) : x; }
};

// Whether a thread of the team says so.
__device__ inline bool any_of_team(bool x) {
    if (blockDim.x > 32) return __syncthreads_or(x);
    const unsigned first = threadIdx.y * blockDim.x % 32;
    return __ballot_sync(ALL_LANES, x) >> first & ALL_LANES >> (32 - blockDim.x);
}

// Whether a thread of those says so who wait for each other: of a warp, or of a team that is
// larger.
__device__ inline bool any_that_waits(bool x) { return blockDim.x > 32 ? __syncthreads_or(x) : __any_sync(ALL_LANES, x); }

// One matrix in the memory of its team; b numbers it, and those without one take part in what all
// wait for.
template <class S>
__device__ __forceinline__ void jacobi_in(S* memory, long long b, bool here, int n, int vectors, const S* from, S* v,
                                               real_of<S>* lambda, int* info) {
    using R = real_of<S>;
    const int players = n + n % 2, pairs = players / 2, ld = players | 1;
    const lower_triangle<S> a = {memory, ld};
    S* const rotated = memory + players * ld;
    S* const sigma = rotated + (vectors ? players * n : 0);
    R* const half = reinterpret_cast<R*>(sigma + pairs);
    const division by_n(n), by_pairs(pairs);
    const int lane = threadIdx.x, lanes = blockDim.x;
    from += b * n * n, v += b * n * n, lambda += b * n;

    for (int e = lane; e < players * ld; e += lanes) a.of[e] = make<S>::from(0, 0);
    for (int e = lane; vectors && e < players * n; e += lanes) {
        const int k = by_n.quotient(e);
        rotated[e] = make<S>::from(e - k * n == k ? 1 : 0, 0);
    }
    team_barrier();
    for (int e = lane; here && e < n * n; e += lanes) {
        const int j = by_n.quotient(e), i = e - j * n;
        if (i >= j) a.of[j * ld + i] = from[e];
    }
    team_barrier();

    const R epsilon = limits<R>::epsilon(), nothing = limits<R>::least_normal() / epsilon;
    bool done = !here;
    for (int sweep = 0, settled = 0; sweep < MOST_SWEEPS && any_that_waits(!done); ++sweep) {
        bool turned = false, large = false;
        for (int round = 0; round < players - 1; ++round) {
            for (int k = lane; !done && k < pairs; k += lanes) {
                const pair on(players, round, k);
                S &at_p = a.kept(on.p, on.p), &at_q = a.kept(on.q, on.q);
                const R alpha = re(at_p), gamma = re(at_q);
                const S beta = a.at(on.p, on.q);
                const R beside = size(beta);
                rotation<S> by = {R(0.5), make<S>::from(0, 0)};
                if (beside > larger(epsilon * square_root(magnitude(alpha * gamma)), nothing)) {
                    R shift;
                    by = rotation_for(alpha, beta, gamma, shift);
                    at_p = make<S>::from(alpha - shift, 0);
                    at_q = make<S>::from(gamma + shift, 0);
                    a.set(on.p, on.q, make<S>::from(0, 0));
                    turned = true;
                    large |= beside > epsilon;
                }
                half[k] = by.half;
                sigma[k] = by.sigma;
            }
            team_barrier();
            // Rows of blocks by twos, the first and the last but one, …: of `pairs` blocks each.
            for (int e = lane; !done && e < pairs / 2 * pairs; e += lanes) {
                const int row = by_pairs.quotient(e), at = e - row * pairs, of_first = pairs - 1 - row;
                const int k = at < of_first ? row : pairs - 2 - row, l = at < of_first ? row + 1 + at : k + 1 + at - of_first;
                if (at >= of_first && k == row) continue; // the one in the middle is alone
                const pair x(players, round, k), y(players, round, l);
                const rotation<S> by_x = {half[k], sigma[k]}, by_y = {half[l], sigma[l]};
                S pp = a.at(x.p, y.p), pq = a.at(x.p, y.q), qp = a.at(x.q, y.p), qq = a.at(x.q, y.q);
                rotate_columns(by_y, pp, pq);
                rotate_columns(by_y, qp, qq);
                const rotation<S> of_rows = {by_x.half, conj(by_x.sigma)};
                rotate_columns(of_rows, pp, qp);
                rotate_columns(of_rows, pq, qq);
                a.set(x.p, y.p, pp), a.set(x.p, y.q, pq), a.set(x.q, y.p, qp), a.set(x.q, y.q, qq);
            }
            for (int e = lane; !done && vectors && e < pairs * n; e += lanes) {
                const int k = by_n.quotient(e), i = e - k * n;
                const pair on(players, round, k);
                rotate_columns(rotation<S>{half[k], sigma[k]}, rotated[on.p * n + i], rotated[on.q * n + i]);
            }
            team_barrier();
        }
        const bool go_on = any_of_team(turned), far = any_of_team(large);
        settled = far ? 0 : settled + 1;
        // What is left is round-off of A; a few sweeps more are for eigenvalues that are much
        // smaller.
        done |= !go_on || settled == 4;
    }

    // Beside vectors λ_k = vᴴAv/vᴴv, in the memory of A: what the rotations made of A carries the
    // round-off of all of them.
    R* const terms = reinterpret_cast<R*>(a.of);
    R* const quotients = terms + n * n;
    for (int e = lane; here && vectors && e < n * n; e += lanes) {
        const int k = by_n.quotient(e), i = e - k * n;
        S image = make<S>::from(0, 0);
        for (int j = 0; j < n; ++j) image = add_product(image, from[j * n + i], rotated[k * n + j]);
        terms[e] = re(add_adjoint_product(make<S>::from(0, 0), rotated[e], image));
    }
    team_barrier();
    for (int k = lane; here && vectors && k < n; k += lanes) {
        R sum = 0, squares = 0;
        for (int i = 0; i < n; ++i) sum += terms[k * n + i], squares += square(rotated[k * n + i]);
        quotients[k] = sum / squares;
    }
    team_barrier();

    const auto value = [&](int k) { return vectors ? quotients[k] : re(a.of[k * ld + k]); };
    int* const order = reinterpret_cast<int*>(sigma);
    for (int k = lane; here && k < n; k += lanes) {
        const R x = value(k);
        int before = 0;
        for (int other = 0; other < n; ++other) {
            const R y = value(other);
            before += y < x || (y == x && other < k);
        }
        lambda[before] = x;
        order[k] = before;
    }
    team_barrier();
    for (int e = lane; here && vectors && e < n * n; e += lanes) {
        const int k = by_n.quotient(e);
        v[static_cast<long long>(order[k]) * n + (e - k * n)] = rotated[e];
    }
    if (here && lane == 0) info[b] = done ? 0 : n + 1;
}

// Left to itself (0 blocks) ptxas spills doubles to have more blocks at once.
template <class S>
__global__ void __launch_bounds__(256, sizeof(real_of<S>) == sizeof(float) ? 0 : 1)
    jacobi(long long batch, int n, int vectors, int bytes, S* v, real_of<S>* __restrict__ lambda, int* __restrict__ info) {
    extern __shared__ uint4 memory[];
    S* const of_team = reinterpret_cast<S*>(memory + threadIdx.y * (bytes / sizeof(uint4)));
    const long long b = matrix_of_team();
    jacobi_in(of_team, b, b < batch, n, vectors, v, v, lambda, info);
}

template <class S>
__global__ void __launch_bounds__(256, 1)
    repair(long long batch, int n, int vectors, long long bytes, const S* __restrict__ a, S* __restrict__ v, real_of<S>* lambda, int* info,
           real_of<S>* defect, real_of<S> bound, uint4* memory) {
    S* const of_block = reinterpret_cast<S*>(memory + blockIdx.x * (bytes / sizeof(uint4)));
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        bool failed = info[b] != 0 || !(defect[b] <= bound) || !(defect[batch + b] <= bound);
        for (int k = threadIdx.x; k < n; k += blockDim.x) failed |= !finite(lambda[b * n + k]);
        // And before anything of the matrix is written all have read, and left the memory to it.
        if (!__syncthreads_or(failed)) continue;
        jacobi_in(of_block, b, true, n, vectors, a, v, lambda, info);
        if (threadIdx.x == 0) defect[b] = defect[batch + b] = 0;
    }
}

} // namespace eigengrad
