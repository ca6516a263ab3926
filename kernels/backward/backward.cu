// Ā of small matrices, on chip from V̄ to Ā: docs/derivation.md, (23) and where λ_D = 0 is declared
// (24).
//
//   values     [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward
//   vectors    [batch, n, n] V, one vector after the other
//   values_bar [batch, n] λ̄, vectors_bar [batch, n, n] V̄, either null for 0; what lies outside K is
//     not used
//   a_bar      [batch, n, n] row-major: Ā, or by the entries of one triangle, or NaN for refused
//                            matrices
//   gauge_defect [batch, n] |Im v_kᴴ v̄_k| / ‖v̄_k‖; tie_defect [batch]; status [batch] found, and
//     what the backward adds
//
// Columns are in the order K, D in shared memory, so that what (23) needs of G is a trapezoid. A
// team of TEAM threads shares a matrix, a tile each; MATRICES are in a block. Where a block has two
// BUFFERS it takes one such group after the other, and the next arrives while one is worked on.
// Bytes: V, of it in (24) V_K alone, and V̄_K, λ, λ̄ read and Ā written once. Flops, complex: 8·n²r
// for X, 8·(n − r/2)nr for Z, 8·n²r for Ā = W + Wᴴ, where r = |K|; a quarter of them if real.
#include "lib/ties.cuh"
#include "lib/form.cuh"
#include "lib/gap.cuh"
#include "lib/status.cuh"
#include "lib/tile.cuh"

namespace eigengrad {

// What is decided for the whole batch.
struct rules {
    int ties, dropped_zero, form;
    double tie_rtol, round_off;
};
static_assert(sizeof(rules) == 32, "as src/cuda/backward.rs has it");

// Rows of tiles, whose columns are TILE.
template <int TILE>
constexpr int ROWS_OF = TILE < 4 ? TILE : 4;

// Blocks that a multiprocessor has registers for: so many warps hide what each waits for, and leave
// each as many registers as it takes.
template <class S>
constexpr int HIDING = sizeof(real_of<S>) == 8 ? 12 : 16;
template <class S, int THREADS, int WARPS = (THREADS + 31) / 32>
constexpr int RESIDENT = WARPS > HIDING<S> ? 1 : HIDING<S> / WARPS;

// The columns of one matrix in the order K, D, and its report. PADDED are read with others.
template <class R, int N, int PADDED>
struct alignas(16) columns {
    using real = R;
    R half_lambda[PADDED]; // ½λ·2⁻ᵉ, e of gaps
    // 1/(2λ) in (24), λ̄/2 where there is no V̄, otherwise 0
    R weight[PADDED];
    R lambda_bar[N];
    // ‖v̄‖, ρ, tie defects; at first λ, λ̄ and whether it is kept, as they are stored
    R norm[N], gauge[N], tie[N];
    int group[N]; // of K the place of the first column that it is tied with, of D n
    int place[N]; // of each column as it is stored
    int kept, rank, rows; // |K|, and of G: r columns; n rows, in (24) r; none of a refused matrix
    int bars;             // columns of V̄ that are read: r, or none
    int lift;             // e
    bool by_lambda; // (24)
    unsigned status;
};

// Lanes of a warp that take a matrix, a column each, and of more than 32 two.
template <int N>
struct column_lanes {
    static constexpr int LANES = N <= 2 ? 2 : N <= 4 ? 4 : N <= 8 ? 8 : N <= 16 ? 16 : 32;
    static constexpr int TIMES = (N + LANES - 1) / LANES;
    static constexpr int MATRICES = 32 / LANES; // of a warp at a time

    int lane, first;
    unsigned mine, below; // the lanes of this matrix, and those before this one

    __device__ column_lanes() : lane(threadIdx.x % LANES), first(threadIdx.x % 32 / LANES * LANES) {
        mine = (LANES == 32 ? 0xffffffffu : (1u << LANES) - 1) << first;
        below = mine & ((1u << threadIdx.x % 32) - 1);
    }
    // Of the lanes of this matrix those that say so.
    __device__ unsigned which(bool yes) const { return __ballot_sync(0xffffffffu, yes) & mine; }
    // The largest of them.
    template <class R>
    __device__ R largest(R x) const {
#pragma unroll
        for (int step = LANES / 2; step > 0; step /= 2) x = larger(x, __shfl_xor_sync(0xffffffffu, x, step));
        return x;
    }
};

// Calls for each matrix of the block, by all lanes of the warp that has it: f(lanes, m, here).
template <int N, int THREADS, class F>
__device__ void by_columns(int here, F f) {
    static_assert(THREADS >= 32, "there is a whole warp");
    constexpr int WARPS = THREADS / 32, AT_ONCE = column_lanes<N>::MATRICES;
    const column_lanes<N> lanes;
    const int warp = threadIdx.x / 32;
    if (warp >= WARPS) return;
#pragma unroll 1
    for (int m = warp * AT_ONCE; m < here; m += WARPS * AT_ONCE) {
        const int matrix = m + threadIdx.x % 32 / column_lanes<N>::LANES;
        f(lanes, matrix < here ? matrix : 0, matrix < here);
    }
}

// K, D and the ties of a matrix ↦ where its columns go. Groups are chains of kept eigenvalues, each
// within a distance of the kept one before.
template <int N, class C>
__device__ void arrange(const column_lanes<N>& lanes, C& c, bool here, const rules& rule, unsigned found, bool has_vectors) {
    using R = typename C::real;
    using L = column_lanes<N>;
    const R* const lambda = c.norm;
    const R within = static_cast<R>(rule.tie_rtol) * larger(magnitude(lambda[0]), magnitude(lambda[N - 1]));
    int rank = 0, dropped = 0, group = 0;
    R last = 0; // the last kept eigenvalue of the lanes before, and in `group` where its group begins
    bool tied = false;
#pragma unroll
    for (int time = 0; time < L::TIMES; ++time) {
        const int k = time * L::LANES + lanes.lane;
        const bool inside = k < N, keep = inside && c.tie[k] != 0;
        const R x = inside ? lambda[k] : R(0);
        const unsigned kept = lanes.which(keep), before = kept & lanes.below;
        const R of_lane = __shfl_sync(0xffffffffu, x, before ? 31 - __clz(before) : 0);
        const R previous = before ? of_lane : last;
        const bool joins = keep && (before || rank > 0) && x - previous <= within;
        const unsigned joining = lanes.which(joins), starting = lanes.which(keep && (!joins || rule.ties == EXACT));
        const int place = keep ? rank + __popc(before) : N - 1 - dropped - (lanes.lane - __popc(before));
        // Where the group of the last column of these lanes begins.
        const auto begin = [=](unsigned lanes_before) {
            return lanes_before ? rank + __popc(kept & ((1u << (31 - __clz(lanes_before))) - 1)) : group;
        };
        if (here && inside) {
            c.place[k] = place;
            c.group[place] = keep ? begin(starting & (lanes.below | 1u << threadIdx.x % 32)) : N;
        }
        const R of_last = __shfl_sync(0xffffffffu, x, kept ? 31 - __clz(kept) : 0);
        last = kept ? of_last : last;
        group = begin(starting);
        rank += __popc(kept);
        dropped = (time + 1) * L::LANES - rank;
        tied |= joining != 0;
    }
    if (!here) return;
    for (int k = N + lanes.lane; k < static_cast<int>(sizeof(c.weight) / sizeof(R)); k += L::LANES) c.weight[k] = c.half_lambda[k] = 0;
    if (lanes.lane != 0) return;
    c.by_lambda = rule.dropped_zero && has_vectors && rank < N;
    c.status = found | ties_found(tied, rule.ties);
    c.kept = rank;
    c.lift = lift_of_gaps(lambda[0], lambda[N - 1]);
    c.rank = refused(c.status) ? 0 : rank;
    c.bars = has_vectors ? c.rank : 0;
    c.rows = c.by_lambda ? c.rank : c.rank ? N : 0;
}

// What of column k, as it is stored, enters G and Z.
template <class C>
__device__ void fill(C& c, int k, bool dropped_zero, bool has_vectors) {
    using R = typename C::real;
    const int place = c.place[k];
    const bool keep = place < c.kept;
    const R lambda = c.norm[k], lambda_bar = c.gauge[k], lifted = c.lift ? scaled(lambda, -c.lift) : lambda;
    c.half_lambda[place] = keep || !dropped_zero ? R(0.5) * lifted : 0;
    c.lambda_bar[place] = lambda_bar;
    c.weight[place] = !keep ? 0 : c.by_lambda ? 1 / (2 * lambda) : has_vectors ? 0 : lambda_bar / 2;
}

// X ↦ G, by rows, in rows I, I + SIDE, … and some columns from `first` on, below the diagonal.
template <int LD, int SIDE, int COLUMNS, class S, class C>
__device__ void weigh(S* g, const C& c, int I, int first) {
    using R = real_of<S>;
    const S zero = make<S>::from(0, 0);
    const pack<R, COLUMNS> half_lambda = read<COLUMNS>(c.half_lambda + first), weight = read<COLUMNS>(c.weight + first);
    const R quarter = power_of_two(-c.lift - 2, R());
    for (int i = I; i < c.rows; i += SIDE) {
        const int end = smaller(i, c.rank) - first, mirrored_end = i < c.rank ? end : 0, tied_from = c.group[i] - first;
        if (end <= 0) continue;
        S* const row = g + i * LD + first;
        const S* const column = g + first * LD + i;
        const R half_lambda_i = c.half_lambda[i], weight_i = c.weight[i];
        const pack<S, COLUMNS> x = read<COLUMNS>(row);
#pragma unroll
        for (int w = 0; w < COLUMNS; ++w) {
            const S x_ij = x.at[w], x_ji = w < mirrored_end ? column[w * LD] : zero, skew = x_ij - conj(x_ji);
            const bool tied = w >= tied_from;
            // F_ij ½ skew: 1/(λ_j − λ_i) is 2⁻ᵉ/2 of these
            S entry = tied ? zero : times(times(skew, quarter), reciprocal(half_lambda.at[w] - half_lambda_i));
            if (c.by_lambda) entry = entry - (times(x_ij, weight.at[w]) + times(conj(x_ji), weight_i));
            if (w < end) row[w] = entry;
        }
    }
}

// ρ of column k, and X_kk ↦ ½G_kk.
template <int LD, class S, class C>
__device__ void weigh_diagonal(S* x, C& c, int k) {
    const S x_kk = x[k * LD + k];
    c.gauge[k] = c.norm[k] == 0 ? 0 : magnitude(im(x_kk)) / c.norm[k];
    x[k * LD + k] = make<S>::from(c.lambda_bar[k] / 2 - re(x_kk) * c.weight[k], 0);
}

// The tie defect of column k and the later ones of its group: |skew(X)| / max ‖v̄‖, where there is X,
// and from the first the spread of λ̄, `scale` being the largest.
template <int LD, class S, class C>
__device__ real_of<S> tie_defect_of(const S* x, const C& c, int k, real_of<S> scale) {
    using R = real_of<S>;
    R largest = 0;
    spread<R> of_group(c.lambda_bar[k]);
#pragma unroll 1
    for (int i = k + 1; i < c.kept && c.group[i] <= k; ++i) {
        of_group.see(c.lambda_bar[i]);
        const R norm = x ? larger(c.norm[i], c.norm[k]) : R(0);
        if (!(norm > 0)) continue;
        const S skew = times(x[i * LD + k] - conj(x[k * LD + i]), R(0.5));
        largest = larger(largest, square_root(square(make<S>::from(re(skew) / norm, im(skew) / norm))));
    }
    return c.group[k] == k ? larger(largest, relative(of_group.half(), scale)) : largest;
}

// Rows of Ā = W + Wᴴ of some matrices, of which W lies in memory by columns, in the form that is
// asked for.
template <class G, int N, class ON, class S, class C>
struct gradients {
    using R = real_of<S>;
    const S* w;
    const C* of;
    int form;
    R spoilt = 0; // NaN where something was not finite as G

    template <int COUNT>
    __device__ pack<S, COUNT> some(unsigned row, unsigned column) {
        const unsigned m = row / N, i = row % N;
        const S* const mine = w + m * ON::SIZE;
        pack<S, COUNT> entries = conj(read<COUNT>(mine + i * ON::LD + column));
#pragma unroll
        for (unsigned u = 0; u < COUNT; ++u) {
            S& entry = entries.at[u];
            entry = entry + mine[(column + u) * ON::LD + i];
            if (form != HERMITIAN) entry = times(entry, static_cast<R>(factor_of(form, i, column + u)));
            const S stored = widen(narrow<G>::from(entry));
            spoilt += re(stored) * 0;
            spoilt += im(stored) * 0;
            if (refused(of[m].status)) entry = make<S>::from(limits<R>::nan(), limits<R>::nan());
        }
        return entries;
    }
};

template <class O, class G, int N, int TILE, int MATRICES, int BUFFERS, int BYTES>
__global__ void __launch_bounds__(MATRICES* layout<scalar_of<O>, N, ROWS_OF<TILE>, TILE>::TEAM,
                                  RESIDENT<scalar_of<O>, MATRICES * layout<scalar_of<O>, N, ROWS_OF<TILE>, TILE>::TEAM>)
    backward(long long batch, rules rule, const stored_real_of<O>* __restrict__ values, const bool* __restrict__ kept,
             const unsigned* __restrict__ found, const O* __restrict__ vectors, const stored_real_of<O>* __restrict__ values_bar,
             const O* __restrict__ vectors_bar, G* __restrict__ a_bar, real_of<O>* __restrict__ gauge_defect,
             real_of<O>* __restrict__ tie_defect, unsigned* __restrict__ status) {
    using S = scalar_of<O>;
    using R = real_of<O>;
    constexpr int ROWS = ROWS_OF<TILE>;
    using on = layout<S, N, ROWS, TILE>;
    using C = columns<R, N, on::PADDED>;
    constexpr int LD = on::LD, SIZE = on::SIZE, SIDE = on::SIDE, AT_ONCE = on::AT_ONCE, THREADS = MATRICES * on::TEAM;
    static_assert(BUFFERS * MATRICES * (2 * SIZE * sizeof(S) + sizeof(C)) <= BYTES,
                  "the shared memory of the launch holds two matrices and a report each");
    extern __shared__ uint4 memory[];
    S* const matrices = reinterpret_cast<S*>(memory);
    C* const reports = reinterpret_cast<C*>(matrices + BUFFERS * 2 * MATRICES * SIZE);

    const long long own = static_cast<long long>(blockIdx.x) * MATRICES, step = static_cast<long long>(gridDim.x) * MATRICES;
    const auto some_from = [=](long long first) { return batch - first < MATRICES ? static_cast<int>(batch - first) : MATRICES; };
    // λ, λ̄ and what was cut into a buffer; V and V̄ are then on their way.
    const auto bring = [=](long long first, int buffer) {
        S* const all_v = matrices + buffer * 2 * MATRICES * SIZE; // V
        S* const all_g = all_v + MATRICES * SIZE;                 // V̄
        C* const all = reports + buffer * MATRICES;
        const int here = some_from(first);
#pragma unroll 2
        for (int e = threadIdx.x; e < here * N; e += THREADS) {
            C& c = all[e / N];
            const bool keep = kept[first * N + e];
            c.norm[e % N] = widen(values[first * N + e]);
            c.gauge[e % N] = values_bar && keep ? widen(values_bar[first * N + e]) : R(0);
            c.tie[e % N] = keep;
        }
        if (BUFFERS == 2 && first + step < batch) {
            const unsigned count = some_from(first + step) * N;
            prefetch(kept + (first + step) * N, count);
            prefetch(values + (first + step) * N, count);
            if (values_bar) prefetch(values_bar + (first + step) * N, count);
        }
        __syncthreads();
        by_columns<N, THREADS>(here, [=](const column_lanes<N>& lanes, int m, bool is_here) {
            arrange<N>(lanes, all[m], is_here, rule, found[first + m], vectors_bar);
        });
        __syncthreads();

        gather<N, THREADS, 2, O, S>({vectors + first * N * N, vectors_bar ? vectors_bar + first * N * N : nullptr}, here * N, {all_v, all_g},
                                    [=](unsigned k) {
                                        const C& c = all[k / N];
                                        const int place = c.place[k % N], at = static_cast<int>(k / N) * SIZE + place * LD;
                                        return column_place{at, {place < c.rows, place < c.bars}};
                                    });
#pragma unroll 1
        for (int e = threadIdx.x; e < here * N; e += THREADS) fill(all[e / N], e % N, rule.dropped_zero, vectors_bar);
        constexpr int PADDING = (AT_ONCE - N % AT_ONCE) % AT_ONCE; // of columns, read with them
        if (PADDING > 0)
#pragma unroll 1
            for (int q = threadIdx.x; q < 2 * MATRICES * on::PADDED; q += THREADS)
                for (int u = 0; u < PADDING; ++u)
                    all_v[q / on::PADDED * SIZE + q % on::PADDED * LD + N + u] = make<S>::from(0, 0);
    };

    // Ā and the report of what is in a buffer.
    const auto work_on = [=](long long first, int buffer) {
        S* const all_v = matrices + buffer * 2 * MATRICES * SIZE; // V
        S* const all_g = all_v + MATRICES * SIZE;                 // V̄, X, G, Z, W, in turn
        C* const all = reports + buffer * MATRICES;
        const int here = some_from(first);
        const int m = threadIdx.x / on::TEAM, t = threadIdx.x % on::TEAM, I = t % SIDE, J = t / SIDE;
        C& c = all[m];
        S* const v = all_v + m * SIZE;
        S* const g = all_g + m * SIZE;
        const int rank = m < here ? c.rank : 0, rows = m < here ? c.rows : 0;
        const bool works = TILE * J < rank;
        tile<S, ROWS, TILE> z;
        if (works && (c.by_lambda || !vectors_bar))
            z = weighted<LD, S, ROWS, TILE>((vectors_bar ? g : v) + TILE * J * LD + ROWS * I, c.weight + TILE * J);
        if (vectors_bar) {
#pragma unroll 1
            for (int k = t; k < rank; k += on::TEAM) c.norm[k] = norm<N, AT_ONCE>(g + k * LD);
            // X = VᴴV̄_K, its rows I, I + SIDE, …; large tiles leave registers for less at a time
            constexpr int STEP = ROWS * TILE > 32 && AT_ONCE > 2 ? 2 : AT_ONCE;
            tile<S, ROWS, TILE> x;
            if (works) add_inner<SIDE * LD, LD, STEP>(x, N, v + I * LD, g + TILE * J * LD);
            on::team_barrier();
            if (works) write_rows<SIDE * LD>(g + I * LD + TILE * J, x);
            on::team_barrier();
#pragma unroll 1
            for (int k = t; k < rank; k += on::TEAM) weigh_diagonal<LD>(g, c, k);
        }
        if (m < here) {
            R scale = 0;
#pragma unroll 1
            for (int k = 0; c.status & TIED && k < c.kept; ++k) scale = larger(scale, magnitude(c.lambda_bar[k]));
#pragma unroll 1
            for (int k = t; k < c.kept; k += on::TEAM) c.tie[k] = tie_defect_of<LD>(vectors_bar && rank ? g : nullptr, c, k, scale);
        }
        if (vectors_bar) {
            on::team_barrier();
            if (works) weigh<LD, SIDE, TILE>(g, c, I, TILE * J);
            on::team_barrier();
            if (works) add_trapezoid<LD>(z, TILE * J, rows, v + ROWS * I, g + TILE * J);
            on::team_barrier();
        }
        if (works) write_columns<LD>(g + TILE * J * LD + ROWS * I, z);
        on::team_barrier();

        tile<S, ROWS, TILE> w; // W = Z V_Kᴴ
        if (m < here) add_outer<LD>(w, rank, g + ROWS * I, v + TILE * J);
        on::team_barrier();
        write_columns<LD>(g + TILE * J * LD + ROWS * I, w);
        __syncthreads();

        gradients<G, N, on, S, C> rows_of_all{all_g, all, rule.form};
        scatter_rows<N, THREADS, S>(a_bar + first * N * N, here * N, rows_of_all);
#pragma unroll 2
        for (int e = threadIdx.x; e < here * N; e += THREADS) {
            const C& c = all[e / N];
            const int place = c.place[e % N];
            gauge_defect[first * N + e] = place < c.bars ? c.gauge[place] : R(0);
        }
        const bool any_spoilt = __syncthreads_or(rows_of_all.spoilt != 0);
        by_columns<N, THREADS>(here, [=](const column_lanes<N>& lanes, int m, bool is_here) {
            const C& c = all[m];
            R tie = 0, defect = 0;
            for (int k = lanes.lane; k < c.kept; k += lanes.LANES) {
                tie = larger(tie, c.tie[k]);
                if (c.bars) defect = larger(defect, c.gauge[k]);
            }
            gradients<G, N, on, S, C> again{all_g, all, rule.form};
#pragma unroll 1
            for (int e = lanes.lane; any_spoilt && e < N * N; e += lanes.LANES) again.template some<1>(m * N + e / N, e % N);
            tie = lanes.largest(tie);
            defect = lanes.largest(defect);
            const bool infinite = lanes.which(again.spoilt != 0) != 0;
            if (!is_here || lanes.lane != 0) return;
            tie_defect[first + m] = tie;
            const R round_off = static_cast<R>(rule.round_off);
            const unsigned defects = (defect > round_off ? PHASE_DEPENDENT : 0) | (tie > round_off ? TIE_DEFECT : 0);
            status[first + m] = c.status | (refused(c.status) ? 0 : defects) | (infinite ? GRADIENT_NOT_FINITE : 0);
        });
    };

    if constexpr (BUFFERS == 1) {
        bring(own, 0);
        await_copies();
        __syncthreads();
        work_on(own, 0);
    } else {
        // The next matrices are on their way while these are worked on.
        int buffer = 0;
#pragma unroll 1
        for (long long next = own;; next += step, buffer ^= 1) {
            await_copies();
            __syncthreads();
            if (next < batch) bring(next, buffer);
            if (next != own) work_on(next - step, buffer ^ 1);
            if (next >= batch) return;
        }
    }
}

} // namespace eigengrad
