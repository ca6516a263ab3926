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
// team of TEAM threads shares a matrix, a tile each; MATRICES are in a block. Bytes: V, of it in
// (24) V_K alone, and V̄_K, λ, λ̄ read and Ā written once. Flops, complex: 8·n²r for X, 8·(n − r/2)nr
// for Z, 8·n²r for Ā = W + Wᴴ, where r = |K|; a quarter of them if real.
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

// The columns of one matrix in the order K, D, and its report.
template <class R, int N, int TILE, int TILES>
struct columns {
    using real = R;
    R lambda[N], lambda_bar[N];
    // 1/(2λ) in (24), λ̄/2 where there is no V̄, otherwise 0
    R weight[TILE * ((N + TILE - 1) / TILE)];
    // ‖v̄‖, ρ, tie defects; at first λ, λ̄ and whether it is kept, as they are stored
    R norm[N], gauge[N], tie[N];
    int label[N]; // as in backward/columns.cu
    int place[N]; // of each column as it is stored
    int kept, rank, rows; // |K|, and of G: r columns; n rows, in (24) r; none of a refused matrix
    int lift;             // of gaps
    bool by_lambda; // (24)
    unsigned status;
    unsigned char infinite[TILES];
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
    R last = 0; // the last kept eigenvalue of the lanes before
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
        if (here && inside) {
            c.place[k] = place;
            c.label[place] = keep ? group + __popc(starting & (lanes.below | 1u << threadIdx.x % 32)) : 0;
        }
        const R of_last = __shfl_sync(0xffffffffu, x, kept ? 31 - __clz(kept) : 0);
        last = kept ? of_last : last;
        rank += __popc(kept);
        dropped = (time + 1) * L::LANES - rank;
        group += __popc(starting);
        tied |= joining != 0;
    }
    if (!here) return;
    for (int k = N + lanes.lane; k < static_cast<int>(sizeof(c.weight) / sizeof(c.weight[0])); k += L::LANES) c.weight[k] = 0;
    if (lanes.lane != 0) return;
    c.by_lambda = rule.dropped_zero && has_vectors && rank < N;
    c.status = found | ties_found(tied, rule.ties);
    c.kept = rank;
    c.lift = lift_of_gaps(lambda[0], lambda[N - 1]);
    c.rank = refused(c.status) ? 0 : rank;
    c.rows = c.by_lambda ? c.rank : c.rank ? N : 0;
}

// What of column k, as it is stored, enters G and Z.
template <class C>
__device__ void fill(C& c, int k, bool dropped_zero, bool has_vectors) {
    const int place = c.place[k];
    const bool keep = place < c.kept;
    const auto lambda = c.norm[k], lambda_bar = c.gauge[k];
    c.lambda[place] = keep || !dropped_zero ? lambda : 0;
    c.lambda_bar[place] = lambda_bar;
    c.weight[place] = !keep ? 0 : c.by_lambda ? 1 / (2 * lambda) : has_vectors ? 0 : lambda_bar / 2;
}

// X ↦ G at a pair i ≥ j of which column j is kept, the diagonal halved, and what is reported: ρ,
// and above the diagonal |skew(X)| / max ‖v̄‖ where the two are tied.
template <int LD, class S, class C>
__device__ void weigh_pair(S* x, C& c, int i, int j) {
    using R = real_of<S>;
    const S zero = make<S>::from(0, 0), x_ij = x[i * LD + j];
    if (i == j) {
        c.gauge[j] = c.norm[j] == 0 ? R(0) : magnitude(im(x_ij)) / c.norm[j];
        x[j * LD + j] = make<S>::from(R(0.5) * c.lambda_bar[j] - re(x_ij) * c.weight[j], 0);
        return;
    }
    const bool both = i < c.rank, tied = both && c.label[i] == c.label[j];
    const S x_ji = both ? x[j * LD + i] : zero;
    const S skew = times(x_ij - conj(x_ji), R(0.5));
    S g = tied ? zero : over_gap(skew, c.lambda[i], c.lambda[j], c.lift);
    // (24)
    if (c.weight[j] != 0) g = g - (times(x_ij, c.weight[j]) + times(conj(x_ji), c.weight[i]));
    x[i * LD + j] = g;
    if (!tied) return;
    const R norm = larger(c.norm[i], c.norm[j]);
    const R defect = norm > 0 ? square_root(square(make<S>::from(re(skew) / norm, im(skew) / norm))) : R(0);
    x[j * LD + i] = make<S>::from(defect, 0);
}

// The tie defect of column k and the later ones of its group: what weigh_pair left of X, or none of
// it, and from the first the spread of λ̄, `scale` being the largest.
template <int LD, class S, class C>
__device__ real_of<S> tie_defect_of(const S* x, const C& c, int k, real_of<S> scale) {
    using R = real_of<S>;
    R largest = 0;
    spread<R> of_group(c.lambda_bar[k]);
    for (int i = k + 1; i < c.kept && c.label[i] == c.label[k]; ++i) {
        of_group.see(c.lambda_bar[i]);
        if (x) largest = larger(largest, re(x[k * LD + i]));
    }
    const bool first = k == 0 || c.label[k - 1] != c.label[k];
    return first ? larger(largest, relative(of_group.half(), scale)) : largest;
}

// A tile of Ā on or below the diagonal ↦ Ā on both sides of it, by rows, in the form that is asked
// for. Whether it is finite as G.
template <class G, int N, int LD, class S, int TILE>
__device__ bool store_both(S* a_bar, const tile<S, TILE>& a, int I, int J, int form, bool refuse) {
    using R = real_of<S>;
    const R below = factor_of(form, 1, 0), above = factor_of(form, 0, 1), most = larger(below, above), nan = limits<R>::nan();
    const bool diagonal = I == J;
    tile<S, TILE> lower, upper;
    bool all_finite = true;
#pragma unroll
    for (int u = 0; u < TILE; ++u)
#pragma unroll
        for (int w = 0; w < TILE; ++w) {
            const bool alone = diagonal && u == w, mirrored = diagonal && u < w;
            S entry = mirrored ? conj(a.at[w][u]) : a.at[u][w];
            if (alone) entry = make<S>::from(re(entry), 0);
            if (refuse) entry = make<S>::from(nan, nan);
            if (TILE * I + u < N && TILE * J + w < N) all_finite &= finite(widen(narrow<G>::from(times(entry, alone ? R(1) : most))));
            lower.at[u][w] = times(entry, alone ? R(1) : mirrored ? above : below);
            upper.at[u][w] = times(conj(entry), above);
        }
    write_rows<LD>(a_bar + TILE * (I * LD + J), lower);
    if (!diagonal) write_columns<LD>(a_bar + TILE * (J * LD + I), upper);
    return all_finite;
}

template <class O, class G, int N, int TILE, int MATRICES, int BYTES>
__global__ void __launch_bounds__(MATRICES* layout<scalar_of<O>, N, TILE>::TEAM, 1)
    backward(long long batch, rules rule, const stored_real_of<O>* __restrict__ values, const bool* __restrict__ kept,
             const unsigned* __restrict__ found, const O* __restrict__ vectors, const stored_real_of<O>* __restrict__ values_bar,
             const O* __restrict__ vectors_bar, G* __restrict__ a_bar, real_of<O>* __restrict__ gauge_defect,
             real_of<O>* __restrict__ tie_defect, unsigned* __restrict__ status) {
    using S = scalar_of<O>;
    using R = real_of<O>;
    using on = layout<S, N, TILE>;
    using C = columns<R, N, TILE, on::LOWER>;
    constexpr int LD = on::LD, SIZE = on::SIZE, SIDE = on::SIDE, AT_ONCE = on::AT_ONCE, THREADS = MATRICES * on::TEAM;
    static_assert(MATRICES * (2 * SIZE * sizeof(S) + sizeof(C)) <= BYTES, "the shared memory of the launch holds two matrices and a report each");
    extern __shared__ uint4 memory[];
    S* const all_v = reinterpret_cast<S*>(memory); // V; at the end Ā
    S* const all_g = all_v + MATRICES * SIZE;      // V̄, X, G, Z, in turn
    C* const all = reinterpret_cast<C*>(all_g + MATRICES * SIZE);

    const long long first = static_cast<long long>(blockIdx.x) * MATRICES;
    const int here = batch - first < MATRICES ? static_cast<int>(batch - first) : MATRICES;
    for (int e = threadIdx.x; e < here * N; e += THREADS) {
        C& c = all[e / N];
        c.norm[e % N] = widen(values[first * N + e]);
        c.gauge[e % N] = values_bar && kept[first * N + e] ? widen(values_bar[first * N + e]) : R(0);
        c.tie[e % N] = kept[first * N + e];
    }
    __syncthreads();
    by_columns<N, THREADS>(here, [&](const column_lanes<N>& lanes, int m, bool is_here) {
        arrange<N>(lanes, all[m], is_here, rule, found[first + m], vectors_bar);
    });
    __syncthreads();
    for (int e = threadIdx.x; e < here * N; e += THREADS) fill(all[e / N], e % N, rule.dropped_zero, vectors_bar);

    constexpr int PADDING = (AT_ONCE - N % AT_ONCE) % AT_ONCE; // of columns, read with them
    if (PADDING > 0)
        for (int q = threadIdx.x; q < 2 * MATRICES * on::PADDED; q += THREADS)
            for (int u = 0; u < PADDING; ++u)
                all_v[q / on::PADDED * SIZE + q % on::PADDED * LD + N + u] = make<S>::from(0, 0);
    const auto place_of = [all](unsigned k, bool whole) {
        const C& c = all[k / N];
        const int place = c.place[k % N];
        return place < (whole ? c.rows : c.rank) ? static_cast<int>(k / N) * SIZE + place * LD : -1;
    };
    gather<N, THREADS>(vectors + first * N * N, here * N, all_v, [place_of](unsigned k) { return place_of(k, true); });
    if (vectors_bar) gather<N, THREADS>(vectors_bar + first * N * N, here * N, all_g, [place_of](unsigned k) { return place_of(k, false); });
    __syncthreads();

    const int m = threadIdx.x / on::TEAM, t = threadIdx.x % on::TEAM, I = t % SIDE, J = t / SIDE;
    C& c = all[m];
    S* const v = all_v + m * SIZE;
    S* const g = all_g + m * SIZE;
    const int rank = m < here ? c.rank : 0, rows = m < here ? c.rows : 0;
    const bool works = TILE * J < rank;
    tile<S, TILE> x, z;
    if (vectors_bar) {
        for (int k = t; k < rank; k += on::TEAM) c.norm[k] = norm<N, AT_ONCE>(g + k * LD);
        // X = VᴴV̄_K, its rows I, I + SIDE, …
        if (works) add_inner<SIDE * LD, LD, AT_ONCE>(x, N, v + I * LD, g + TILE * J * LD);
    }
    if (works && (c.by_lambda || !vectors_bar)) z = weighted<LD, S, TILE>((vectors_bar ? g : v) + TILE * (J * LD + I), c.weight + TILE * J);
    if (vectors_bar) {
        __syncthreads();
        if (works) write_rows<SIDE * LD>(g + I * LD + TILE * J, x);
        __syncthreads();
        for (int p = t; p < N * (N + 1) / 2; p += on::TEAM) {
            int i, j;
            pair_at<N>(p, i, j);
            if (i < rows && j < rank) weigh_pair<LD>(g, c, i, j);
        }
        __syncthreads();
    }
    if (m < here) {
        R scale = 0;
        for (int k = 0; c.status & TIED && k < c.kept; ++k) scale = larger(scale, magnitude(c.lambda_bar[k]));
        for (int k = t; k < c.kept; k += on::TEAM) c.tie[k] = tie_defect_of<LD>(vectors_bar && rank ? g : nullptr, c, k, scale);
    }
    if (vectors_bar) {
        if (works) add_trapezoid<LD>(z, TILE * J, rows, v + TILE * I, g + TILE * J);
        __syncthreads();
    }
    if (works) write_columns<LD>(g + TILE * (J * LD + I), z);
    __syncthreads();

    // Ā = W + Wᴴ, W = Z V_Kᴴ: a tile on or below the diagonal is made by the thread that has it of
    // W, from its mirror image's.
    const bool lower = m < here && I >= J;
    tile<S, TILE> a;
    if (m < here) add_outer<LD>(a, rank, g + TILE * I, v + TILE * J);
    __syncthreads();
    if (I <= J) write_columns<LD>(g + TILE * (I * LD + J), adjoint(a)); // where the tile (J, I) is
    __syncthreads();
    if (lower) {
        add_columns<LD>(a, g + TILE * (J * LD + I));
        const bool refuse = refused(c.status);
        c.infinite[I * (I + 1) / 2 + J] = !store_both<G, N, LD>(v, a, I, J, rule.form, refuse) && !refuse;
    }
    __syncthreads();

    scatter<N, THREADS>(a_bar + first * N * N, here * N, all_v, [](unsigned i) { return i / N * SIZE + i % N * LD; });
    for (int e = threadIdx.x; e < here * N; e += THREADS) {
        const C& c = all[e / N];
        const int place = c.place[e % N];
        gauge_defect[first * N + e] = vectors_bar && place < c.rank ? c.gauge[place] : R(0);
    }
    by_columns<N, THREADS>(here, [&](const column_lanes<N>& lanes, int m, bool is_here) {
        const C& c = all[m];
        R tie = 0, defect = 0;
        for (int k = lanes.lane; k < c.kept; k += lanes.LANES) {
            tie = larger(tie, c.tie[k]);
            if (vectors_bar && c.rank) defect = larger(defect, c.gauge[k]);
        }
        bool infinite = false;
        for (int q = lanes.lane; q < on::LOWER; q += lanes.LANES) infinite |= c.infinite[q];
        tie = lanes.largest(tie);
        defect = lanes.largest(defect);
        infinite = lanes.which(infinite) != 0;
        if (!is_here || lanes.lane != 0) return;
        tie_defect[first + m] = tie;
        const R round_off = static_cast<R>(rule.round_off);
        const unsigned defects = (defect > round_off ? PHASE_DEPENDENT : 0) | (tie > round_off ? TIE_DEFECT : 0);
        status[first + m] = c.status | (refused(c.status) ? 0 : defects) | (infinite ? GRADIENT_NOT_FINITE : 0);
    });
}

} // namespace eigengrad
