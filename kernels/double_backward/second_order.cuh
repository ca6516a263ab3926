// What the second derivatives that are made on chip share: a matrix in four places of shared
// memory, from V, a Hermitian E and V̄ to Q = VᴴEV, X = VᴴV̄, 2G = 2 diag λ̄ + F ∘ (X − Xᴴ) and Ω = F
// ∘ Q, and from B to V B Vᴴ.
#pragma once
#include "jvp/columns.cuh"

namespace eigengrad {

template <class O, int N, int TILE, int MATRICES>
struct second_order {
    using S = scalar_of<O>;
    using R = real_of<O>;
    using V = stored_real_of<O>;
    using on = layout<S, N, TILE>;
    using C = derivative_columns<R, N, on::TEAM>;
    static constexpr int LD = on::LD, SIZE = on::SIZE, STEP = on::SIDE * LD, THREADS = MATRICES * on::TEAM;
    static constexpr int BYTES = MATRICES * static_cast<int>(4 * SIZE * sizeof(S) + sizeof(C));

    S *all_v, *all_p, *all_x, *all_g;
    C* all;
    long long first;     // the block's first matrix
    int here;            // matrices of the block
    int t, I, J;         // of the thread in its team; the tile that it makes
    bool works;          // whether there is a matrix
    S *v, *p, *x, *g;    // the team's: V; Q and then Ω; X or Xᴴ; 2G
    C& c;

    __device__ second_order(void* memory, long long batch)
        : all_v(static_cast<S*>(memory)), all_p(all_v + MATRICES * SIZE), all_x(all_p + MATRICES * SIZE), all_g(all_x + MATRICES * SIZE),
          all(reinterpret_cast<C*>(all_g + MATRICES * SIZE)), first(static_cast<long long>(blockIdx.x) * MATRICES),
          here(batch - first < MATRICES ? static_cast<int>(batch - first) : MATRICES), t(threadIdx.x % on::TEAM), I(t % on::SIDE),
          J(t / on::SIDE), works(static_cast<int>(threadIdx.x) / on::TEAM < here), v(all_v + threadIdx.x / on::TEAM * SIZE),
          p(all_p + threadIdx.x / on::TEAM * SIZE), x(all_x + threadIdx.x / on::TEAM * SIZE), g(all_g + threadIdx.x / on::TEAM * SIZE),
          c(all[threadIdx.x / on::TEAM]) {}

    // Every pair i ≥ j of the team's matrix.
    template <class F>
    __device__ void each_pair(F work) const {
        if (!works) return;
        for (int q = t; q < N * (N + 1) / 2; q += on::TEAM) {
            int i, j;
            pair_at<N>(q, i, j);
            work(i, j);
        }
    }

    // The columns, V, and Q from E, both by rows.
    __device__ void load(const tie_rules& rule, const V* values, const bool* kept, const unsigned* found, const O* vectors, const V* bar,
                         const V* more, const O* e) const {
        for (int k = threadIdx.x; k < here * N; k += THREADS) {
            C& of = all[k / N];
            const bool keep = kept[first * N + k];
            of.lambda[k % N] = widen(values[first * N + k]);
            of.bar[k % N] = keep && bar ? widen(bar[first * N + k]) : R(0);
            of.more[k % N] = keep && more ? widen(more[first * N + k]) : R(0);
            of.dot[k % N] = keep;
        }
        clear_padding<on, N>(all_v, 4 * MATRICES);
        gather_all<N, THREADS>(vectors + first * N * N, here * N, all_v, column_at<on, N>);
        gather_all<N, THREADS>(e + first * N * N, here * N, all_p, column_at<on, N>);
        await_copies();
        __syncthreads();
        for (int m = threadIdx.x; m < here; m += THREADS) label_columns<N>(all[m], rule, found[first + m]);
        if (works) complete<on, N>(p, t, rule.read);
        __syncthreads();
        if (works) measure<on, N>(c, p, t);
        to_basis<on, N, TILE>(works, v, p, I, J);
    }

    // VᴴV̄ of the columns of K, or its adjoint, by rows in one of the places, by the whole block.
    template <bool ADJOINT>
    __device__ void inner(const O* bar, S* all_to, S* to) const {
        gather_kept<on, N, THREADS>(bar + first * N * N, here, all_to, all);
        await_copies();
        __syncthreads();
        tile<S, TILE> product;
        const S *const left = ADJOINT ? to : v, *const right = ADJOINT ? v : to;
        if (works) add_inner<STEP, LD, on::AT_ONCE>(product, N, left + I * LD, right + TILE * J * LD);
        __syncthreads();
        if (works) write_rows<STEP>(to + I * LD + TILE * J, product);
    }

    // 2G from X − Xᴴ at pairs.
    template <class F>
    __device__ void f_matrix(F twice_skew) const {
        each_pair([&](int i, int j) {
            const S entry = i == j ? make<S>::from(2 * c.bar[j], 0) : c.times_f(twice_skew(i, j), i, j);
            g[i * LD + j] = entry;
            if (i != j) g[j * LD + i] = conj(entry);
        });
    }

    // Q ↦ Ω, and diag Q on K.
    __device__ void turn(const tie_rules& rule) const {
        const R most = works ? most_of_group<N>(c, rule.round_off) : R(0);
        bool split = false;
        each_pair([&](int i, int j) {
            const S entry = p[i * LD + j], omega = c.times_f(entry, i, j);
            if (i == j) c.dot[j] = c.label[j] ? re(entry) : R(0);
            split |= c.tied(i, j) && size(entry) > most;
            p[i * LD + j] = omega;
            if (i != j) p[j * LD + i] = times(conj(omega), -1);
        });
        if (works) c.split[t] = split;
    }

    // V B Vᴴ of B in the place of X, by rows; and statuses.
    __device__ void expand(O* out, unsigned* status) const {
        __syncthreads();
        tile<S, TILE> z, a;
        if (works) {
            add_plain<LD>(z, N, v + TILE * I, x + TILE * J);
            write_columns<LD>(g + TILE * (J * LD + I), z);
        }
        __syncthreads();
        const lower_tile<on> mine;
        if (mine.owner < here) {
            C& of = all[mine.owner];
            add_outer<LD>(a, N, all_g + mine.owner * SIZE + TILE * mine.row, all_v + mine.owner * SIZE + TILE * mine.column);
            const bool refuse = refused(of.status);
            const bool all_finite = mirror<O, N, LD>(all_x + mine.owner * SIZE, a, mine.row, mine.column, R(1), refuse);
            if (!all_finite && !refuse) of.infinite[mine.number] = true;
        }
        __syncthreads();
        scatter<N, THREADS>(out + first * N * N, here * N, all_x, column_at<on, N>);
        for (int m = threadIdx.x; m < here; m += THREADS)
            status[first + m] = all[m].status | split_ties<on::TEAM>(all[m]) |
                                (any_infinite<V, N, on::TEAM>(all[m], refused(all[m].status)) ? RESULT_NOT_FINITE : 0);
    }
};

} // namespace eigengrad
