// λ̇ and V̇ of small matrices, on chip from Ȧ to V̇: docs/derivation.md, (4) and (5).
//
//   values  [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward; vectors [batch,
//                      n, n] V, one vector after the other
//   a_dot   [directions·batch, n, n] row-major, of which one triangle is used
//   values_dot [directions·batch, n], vectors_dot [directions·batch, n, n] as V; 0 outside K, NaN
//     for refused matrices
//   status  [directions·batch] found, what ties are, and RESULT_NOT_FINITE
//
// A team of TEAM threads shares a matrix, a tile each; MATRICES are in a block, and stay for all
// directions. Bytes: V and λ read once, Ȧ read and V̇, λ̇ written once for each direction. Flops,
// complex: 24·n²r for each direction, where r = |K| in whole tiles; a quarter of them if real.
#include "jvp/columns.cuh"

namespace eigengrad {

template <class O, int N, int TILE, int MATRICES, int BYTES>
__global__ void __launch_bounds__(MATRICES* layout<scalar_of<O>, N, TILE>::TEAM, 1)
    jvp(long long batch, long long directions, tie_rules rule, const stored_real_of<O>* __restrict__ values, const bool* __restrict__ kept,
        const unsigned* __restrict__ found, const O* __restrict__ vectors, const O* __restrict__ a_dot,
        stored_real_of<O>* __restrict__ values_dot, O* __restrict__ vectors_dot, unsigned* __restrict__ status) {
    using S = scalar_of<O>;
    using R = real_of<O>;
    using V = stored_real_of<O>;
    using on = layout<S, N, TILE>;
    using C = derivative_columns<R, N, on::TEAM>;
    constexpr int LD = on::LD, SIZE = on::SIZE, THREADS = MATRICES * on::TEAM;
    static_assert(MATRICES * (2 * SIZE * sizeof(S) + sizeof(C)) <= BYTES, "the shared memory of the launch holds two matrices and their columns");
    extern __shared__ uint4 memory[];
    S* const all_v = reinterpret_cast<S*>(memory);
    S* const all_e = all_v + MATRICES * SIZE; // Ȧ, ȦV, Ω, V̇, in turn
    C* const all = reinterpret_cast<C*>(all_e + MATRICES * SIZE);

    const long long first = static_cast<long long>(blockIdx.x) * MATRICES;
    const int here = batch - first < MATRICES ? static_cast<int>(batch - first) : MATRICES;
    for (int e = threadIdx.x; e < here * N; e += THREADS) {
        all[e / N].lambda[e % N] = widen(values[first * N + e]);
        all[e / N].dot[e % N] = kept[first * N + e];
    }
    clear_padding<on, N>(all_v, MATRICES);
    gather_all<N, THREADS>(vectors + first * N * N, here * N, all_v, column_at<on, N>); // awaited with Ȧ
    __syncthreads();
    for (int m = threadIdx.x; m < here; m += THREADS) label_columns<N>(all[m], rule, found[first + m]);

    const int m = threadIdx.x / on::TEAM, t = threadIdx.x % on::TEAM, I = t % on::SIDE, J = t / on::SIDE;
    const bool works = m < here;
    C& c = all[m];
    S* const v = all_v + m * SIZE;
    S* const e = all_e + m * SIZE;
    for (long long direction = 0; direction < directions; ++direction) {
        const long long at = direction * batch + first;
        clear_padding<on, N>(all_e, MATRICES);
        gather_all<N, THREADS>(a_dot + at * N * N, here * N, all_e, column_at<on, N>);
        await_copies();
        __syncthreads();
        if (works) complete<on, N>(e, t, rule.read);
        __syncthreads();
        if (works) measure<on, N>(c, e, t);
        bool active = false; // whether any of the tile's columns is kept
        for (int j = TILE * J; works && j < N && j < TILE * J + TILE; ++j) active |= c.label[j] != 0;
        to_basis<on, N, TILE>(active, v, e, I, J); // P, in those columns
        __syncthreads();
        if (works) {
            const R most = most_of_group<N>(c, rule.round_off);
            bool split = false;
            for (int p = t; p < N * (N + 1) / 2; p += on::TEAM) { // Ω = F ∘ P
                int i, j;
                pair_at<N>(p, i, j);
                const S entry = c.label[j] ? e[i * LD + j] : conj(e[j * LD + i]);
                if (i == j) c.dot[j] = c.label[j] ? re(entry) : R(0);
                split |= c.tied(i, j) && size(entry) > most;
                const S omega = c.times_f(entry, i, j);
                e[i * LD + j] = omega;
                if (i != j) e[j * LD + i] = times(conj(omega), -1);
            }
            c.split[t] = split;
        }
        __syncthreads();
        tile<S, TILE> z;
        if (active) add_plain<LD>(z, N, v + TILE * I, e + TILE * J); // V Ω
        __syncthreads();
        if (works) write_vectors<O, N, LD>(e, z, c, t, I, J, refused(c.status));
        __syncthreads();
        scatter<N, THREADS>(vectors_dot + at * N * N, here * N, all_e, column_at<on, N>);
        for (int k = threadIdx.x; k < here * N; k += THREADS) {
            const C& of = all[k / N];
            values_dot[at * N + k] = narrow<V>::from(refused(of.status) ? limits<R>::nan() : of.dot[k % N]);
        }
        for (int q = threadIdx.x; q < here; q += THREADS) {
            const bool infinite = any_infinite<V, N, on::TEAM>(all[q], refused(all[q].status));
            status[at + q] = all[q].status | split_ties<on::TEAM>(all[q]) | (infinite ? RESULT_NOT_FINITE : 0);
        }
        __syncthreads(); // what is read here is written for the next direction
    }
}

} // namespace eigengrad
