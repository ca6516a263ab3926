// What the derivatives of eigenpairs that are made on chip share: the columns of a matrix, K, D and
// ties, and vectors as results.
#pragma once
#include "lib/shared.cuh"
#include "lib/gap.cuh"

namespace eigengrad {

// What is decided for the whole batch.
struct tie_rules {
    int ties, dropped_zero, read;
    double tie_rtol, round_off;
};
static_assert(sizeof(tie_rules) == 32, "as src/cuda/kernel/layouts.rs has it");

// The columns of one matrix.
template <class R, int N, int TEAM>
struct derivative_columns {
    using real = R;
    R lambda[N], bar[N], more[N]; // λ; λ̄; λ̄̇, or λ̄ from downstream and then ℓ
    R dot[N];                     // λ̇ or λ̄̄; at first whether it is kept
    R norm[N];                    // of the columns of the direction, where kept eigenvalues tie
    int label[N];                 // as in jvp/columns.cu
    int dropped, lift;            // |D|; of gaps
    unsigned status;
    // whether a thread's part of a result is not finite; of a tied group, is not diagonal
    unsigned char infinite[TEAM], split[TEAM];

    __device__ bool apart(int i, int j) const { return label[i] != label[j]; }
    // Whether i and j are in one tied group.
    __device__ bool tied(int i, int j) const { return i != j && label[i] && label[i] == label[j]; }
    // F_ij x, 0 where labels agree.
    template <class S>
    __device__ S times_f(S x, int i, int j) const {
        return apart(i, j) ? over_gap(x, lambda[i], lambda[j], lift) : make<S>::from(0, 0);
    }
};

// K, D and the ties of a matrix. Groups are chains: one thread takes the matrix.
template <int N, class C>
__device__ void label_columns(C& c, const tie_rules& rule, unsigned found) {
    tie_groups groups(c.lambda[0], c.lambda[N - 1], rule.tie_rtol, rule.ties);
    c.dropped = 0;
    c.lift = lift_of_gaps(c.lambda[0], c.lambda[N - 1]);
    for (int k = 0; k < N; ++k) {
        const bool keep = c.dot[k] != 0;
        c.label[k] = groups.see(keep, c.lambda[k]);
        c.dropped += !keep;
        if (!keep && rule.dropped_zero) c.lambda[k] = 0;
    }
    c.status = found | groups.found();
}

// The norms of the columns of a direction, where kept eigenvalues tie, by a team.
template <class ON, int N, class S, class C>
__device__ void measure(C& c, const S* e, int t) {
    for (int k = t; c.status & TIED && k < N; k += ON::TEAM) c.norm[k] = norm<N, ON::AT_ONCE>(e + k * ON::LD);
}

// What an entry of P within a tied group stays below by rounding: round_off·‖P‖_F, from the norms
// of the columns.
template <int N, class C>
__device__ typename C::real most_of_group(const C& c, double round_off) {
    using R = typename C::real;
    R largest = limits<R>::least_normal(), squares = 0;
    for (int k = 0; c.status & TIED && k < N; ++k) largest = larger(largest, c.norm[k]);
    for (int k = 0; c.status & TIED && k < N; ++k) squares += square(c.norm[k] / largest);
    return static_cast<R>(round_off) * (largest * square_root(squares));
}

// What a direction adds to the status of a matrix.
template <int TEAM, class C>
__device__ unsigned split_ties(const C& c) {
    bool split = false;
    for (int k = 0; c.status & TIED && k < TEAM; ++k) split |= c.split[k];
    return split && !refused(c.status) ? TIE_DEFECT : 0;
}

// A tile of vectors ↦ as they are stored, column after column: 0 outside K, NaN of refused
// matrices.
template <class O, int N, int LD, class S, int TILE, class C>
__device__ void write_vectors(S* to, tile<S, TILE>& z, C& c, int t, int I, int J, bool refuse) {
    bool all_finite = true;
#pragma unroll
    for (int w = 0; w < TILE; ++w) {
        const bool keep = TILE * J + w < N && c.label[TILE * J + w];
#pragma unroll
        for (int u = 0; u < TILE; ++u) {
            if (refuse) z.at[u][w] = make<S>::from(limits<real_of<S>>::nan(), limits<real_of<S>>::nan());
            else if (!keep) z.at[u][w] = make<S>::from(0, 0);
            else if (TILE * I + u < N) all_finite &= finite(widen(narrow<O>::from(z.at[u][w])));
        }
    }
    write_columns<LD>(to + TILE * (J * LD + I), z);
    c.infinite[t] = !all_finite;
}

// Whether a number of the columns, as V, or of what `infinite` tells is not finite.
template <class V, int N, int TEAM, class C>
__device__ bool any_infinite(const C& c, bool refuse) {
    bool infinite = false;
    for (int k = 0; k < TEAM; ++k) infinite |= c.infinite[k];
    for (int k = 0; k < N; ++k) infinite |= !refuse && !finite(widen(narrow<V>::from(c.dot[k])));
    return infinite;
}

} // namespace eigengrad
