// V = Q Z and Λ: the rotations of eigh/implicit_ql.cu and the reflections of
// eigh/tridiagonalise.cu, docs/derivation.md §14.
//
//   v        [batch, n, n] the reflections
//   diagonal, beside [⌈batch/32⌉, n, 32] d and e
//   turns, windows, sweeps as eigh/implicit_ql.cu leaves them
//   lambda   [batch, n] Rayleigh quotients zᵀTz/zᵀz of 2^-e·A, ascending; info [batch] 0, or n + 1
//     where the sweeps did not end; where λ is not cut
//   exponent [batch] e
//   out      of eigh/cut.cuh, or null where λ is not cut; its status as eigh/tridiagonalise.cu
//     leaves it
//   to       [batch, n, n] V as T, one eigenvector after the other, which may lie where v does; NaN
//     where λ was cut and the matrix failed
//
// Thread j has row j of Z, n ≤ N numbers in registers, and turns it by the rotations of a sweep,
// which it reads from shared memory. Z then changes hands: thread j has a column, in ascending
// order, or two threads have every other row of one, and reflects it. Where the rotations did not fit into memory, the team finds them here.
//
// Bytes: 2·n² scalars a matrix, and the rotations. Flops: 6·n for each of about n² rotations, and
// 2·n³ real ones, complex 8·n³.
#include "eigh/cut.cuh"
#include "eigh/tridiagonal.cuh"

namespace eigengrad {

template <class S, int N>
struct assemble_memory {
    using R = real_of<S>;
    static constexpr int SPLIT = SPLIT_OF<S, N>, ROW = (N + CHUNK + 1) / 2 * 2;
    // Rotations of two sweeps, reflections of two steps: one is worked on while the next arrives.
    alignas(16) shears<R> turns[2][ROW];
    shared_vector<S, N> reflection[2];
    S tau[2];
    S partial[SPLIT > 1 ? TEAM_OF<S, N> : 1];
    R d[N], e[N], working_d[N], working_e[N], quotients[N];
    int order[N];
    unsigned window[2];
    cut_memory<R> cut;
    // Odd: neither rows nor columns meet in a bank.
    R z[N][N | 1];
};

// The rotations of a sweep, found by one thread; returns its window, 0 where there is none.
template <class R>
__device__ unsigned find_turns(ql_iteration<R>& ql, int& sweeps, bool& ended, shears<R>* to) {
    if (!ql.next_window()) return 0;
    if (sweeps == SWEEPS_EACH * ql.n) {
        ended = false;
        return 0;
    }
    ++sweeps;
    const unsigned window = ql.l | ql.m << 16;
    for (int i = ql.l / CHUNK * CHUNK; i < ql.l; ++i) to[i] = {0, 0};
    for (int i = ql.m; i % CHUNK != 0; ++i) to[i] = {0, 0};
    ql.begin();
    for (int i = ql.m - 1; ql.on(); --i) to[i] = shears<R>::by_half_tangent(ql.rotate());
    ql.end();
    return window;
}

// Z, of which thread j has row j. Threads beyond the columns do nothing.
template <class S, int N>
__device__ __forceinline__ bool turn_rows(assemble_memory<S, N>& shared, int n, int sweeps, const real_of<S>* turns,
                                          const unsigned* windows, real_of<S> (&z)[N]) {
    using R = real_of<S>;
    constexpr int THREADS = TEAM_OF<S, N>;
    using team = columns_team<THREADS>;
    const int j = threadIdx.x;
    const bool works = j < COLUMNS_OF<N>, finds = sweeps < 0;
    ql_iteration<R> ql(shared.working_d, shared.working_e, 1, n);
    bool ended = true;
    int found = 0;
    unsigned window = 0;
    R mine = 0;
    // Rotation j of a sweep that was written, in time.
    const auto fetch = [&](int sweep) {
        window = sweep < sweeps ? windows[sweep] : 0;
        const int l = window & 0xffff, m = window >> 16;
        mine = j >= l && j < m ? turns[m - 1 - j] : R(0);
        turns += m - l;
    };
    fetch(0);
#pragma unroll 1
    for (int sweep = 0;; ++sweep) {
        shears<R>* const now = shared.turns[sweep % 2];
        unsigned here = window;
        if (!finds) {
            if (here && j < n) now[j] = shears<R>::by_half_tangent(mine);
            fetch(sweep + 1);
        } else if (j == 0) {
            shared.window[sweep % 2] = find_turns(ql, found, ended, now);
        }
        team::barrier();
        if (finds) here = shared.window[sweep % 2];
        if (!(THREADS > 32 ? here != 0 : __any_sync(ALL_LANES, here != 0))) return ended;
        if (!works) continue;
        const int l = here & 0xffff, m = here >> 16;
#pragma unroll
        for (int chunk = (N - 2) / CHUNK * CHUNK; chunk >= 0; chunk -= CHUNK) {
            if (chunk >= m || chunk + CHUNK <= l) continue;
            constexpr int AT_ONCE = 16 / sizeof(shears<R>);
#pragma unroll
            for (int first = chunk + CHUNK - AT_ONCE; first >= chunk; first -= AT_ONCE) {
                const pack<shears<R>, AT_ONCE> some = read<AT_ONCE>(now + first);
#pragma unroll
                for (int u = AT_ONCE - 1; u >= 0; --u)
                    if (first + u < N - 1) some.at[u].turn(z[first + u], z[first + u + 1]);
            }
        }
    }
}

// λ in ascending order in working_d, and the columns that they are of.
template <class S, int N>
__device__ __forceinline__ void sort_columns(assemble_memory<S, N>& shared, int n, bool mine) {
    using R = real_of<S>;
    using team = columns_team<TEAM_OF<S, N>>;
    const int j = threadIdx.x;
    R quotient = 0;
    if (mine) {
        R sum = 0, squares = 0, last = 0;
        for (int i = n - 1; i >= 0; --i) {
            const R x = shared.z[i][j];
            sum += x * (shared.d[i] * x + 2 * shared.e[i] * last);
            squares += x * x;
            last = x;
        }
        shared.quotients[j] = quotient = sum / squares;
    }
    team::barrier();
    if (mine) {
        int before = 0;
        for (int k = 0; k < n; ++k) {
            const R other = shared.quotients[k];
            before += other < quotient || (other == quotient && k < j);
        }
        shared.order[before] = j;
        shared.working_d[before] = quotient;
    }
    team::barrier();
}

// Qx for column x of thread j, of which it has the rows h, h + SPLIT, …
template <class S, int N>
__device__ __forceinline__ void reflect_columns(assemble_memory<S, N>& shared, int n, bool mine, const S* v,
                                                S (&x)[N / SPLIT_OF<S, N>]) {
    using team = columns_team<TEAM_OF<S, N>>;
    constexpr int SPLIT = SPLIT_OF<S, N>, ROWS = N / SPLIT, AT_ONCE = shared_vector<S, N>::AT_ONCE;
    const int j = threadIdx.x % COLUMNS_OF<N>, h = threadIdx.x / COLUMNS_OF<N>;
    const bool first = h == 0;
    const S zero = make<S>::from(0, 0);
    S next = mine && first && n > 1 ? v[(n - 2) * n + j] : zero;
#pragma unroll 1
    for (int k = n - 2; k >= 0; --k) {
        shared_vector<S, N>& now = shared.reflection[k % 2];
        if (j < n && first) now[j] = j <= k ? zero : next;
        if (j == k && first) shared.tau[k % 2] = next;
        next = mine && first && k > 0 ? v[(k - 1) * n + j] : zero;
        team::barrier();
        S even = zero, odd = zero;
#pragma unroll
        for (int chunk = (ROWS - 1) / CHUNK * CHUNK; chunk >= 0; chunk -= CHUNK) {
            if (SPLIT * chunk >= n || SPLIT * (chunk + CHUNK) <= k + 1) continue;
#pragma unroll
            for (int r = chunk; r < chunk + CHUNK && r < ROWS; r += AT_ONCE) {
                const pack<S, AT_ONCE> some = now.rows(h, r);
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u)
                    if (r + u < ROWS) {
                        S& sum = (r + u) % 2 ? odd : even;
                        sum = add_adjoint_product(sum, some.at[u], x[r + u]);
                    }
            }
        }
        const S product = sum_of_column<S, N>(make<S>::from(re(even) + re(odd), im(even) + im(odd)), shared.partial);
        const S by = subtract_product(zero, shared.tau[k % 2], product);
#pragma unroll
        for (int chunk = (ROWS - 1) / CHUNK * CHUNK; chunk >= 0; chunk -= CHUNK) {
            if (SPLIT * chunk >= n || SPLIT * (chunk + CHUNK) <= k + 1) continue;
#pragma unroll
            for (int r = chunk; r < chunk + CHUNK && r < ROWS; r += AT_ONCE) {
                const pack<S, AT_ONCE> some = now.rows(h, r);
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u)
                    if (r + u < ROWS) x[r + u] = add_product(x[r + u], some.at[u], by);
            }
        }
    }
}

template <class T, int N, int TEAMS, int BYTES>
__global__ void __launch_bounds__(TEAM_OF<scalar_of<T>, N>* TEAMS, 1)
    assemble(long long batch, int n, int most_turns, int most_sweeps, const scalar_of<T>* v, const real_of<T>* __restrict__ diagonal,
             const real_of<T>* __restrict__ beside, const real_of<T>* __restrict__ turns, const unsigned* __restrict__ windows,
             const int* __restrict__ sweeps, real_of<T>* __restrict__ lambda, int* __restrict__ info, const int* __restrict__ exponent,
             cut cut, spectrum_results<T> out, T* to) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    using M = assemble_memory<S, N>;
    using team = columns_team<TEAM_OF<S, N>>;
    constexpr int SPLIT = M::SPLIT, ROWS = N / SPLIT;
    static_assert(TEAMS * sizeof(M) == BYTES, "as src/cuda/kernel/columns.rs has it");
    extern __shared__ uint4 memory[];
    M& shared = reinterpret_cast<M*>(memory)[threadIdx.y];
    const int j = threadIdx.x % COLUMNS_OF<N>, h = threadIdx.x / COLUMNS_OF<N>;
    const long long b = matrix_of_team(), at = b < batch ? b : 0;
    const bool here = b < batch, mine = here && j < n, first = h == 0;
    const S zero = make<S>::from(0, 0);
    v += at * n * n;
    to += at * n * n;
    diagonal += at / 32 * 32 * n + at % 32;
    beside += at / 32 * 32 * n + at % 32;
    const int count = here ? sweeps[b] : 0;

    R z[N];
#pragma unroll
    for (int i = 0; i < N; ++i) z[i] = i == j ? R(1) : R(0);
    for (int i = threadIdx.x; i < M::ROW; i += blockDim.x) shared.turns[0][i] = shared.turns[1][i] = {0, 0};
    for (int i = threadIdx.x; i < SPLIT * shared_vector<S, N>::LENGTH; i += blockDim.x)
        shared.reflection[0].of[i] = shared.reflection[1].of[i] = zero;
    if (mine && first) {
        const R d = diagonal[j * 32], e = j < n - 1 ? beside[j * 32] : R(0), next = j < n - 1 ? diagonal[(j + 1) * 32] : R(0);
        shared.d[j] = shared.working_d[j] = d;
        shared.e[j] = e;
        shared.working_e[j] = negligible(e, d, next) ? R(0) : e;
    }
    team::barrier();
    const bool ended = turn_rows<S, N>(shared, n, count, turns + at * most_turns, windows + at * most_sweeps, z);
    if (j < n && first)
#pragma unroll
        for (int i = 0; i < N; ++i) shared.z[j][i] = z[i];
    team::barrier();
    sort_columns<S, N>(shared, n, mine && first);
    const unsigned found = out.values && here ? out.status[b] | (ended ? 0 : NOT_CONVERGED) : 0;
    const bool failed = fails<T, team>(shared.working_d, out.values && here ? exponent[b] : 0, found, mine && first && out.values, shared.cut);
    S x[ROWS];
    const int from = mine ? shared.order[j] : 0;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) x[r] = make<S>::from(SPLIT * r + h < n ? shared.z[SPLIT * r + h][from] : R(0), 0);
    reflect_columns<S, N>(shared, n, mine, v, x);

    // Out through shared memory: what is contiguous there is a thread's here.
    team::barrier();
    if (j < n)
#pragma unroll
        for (int r = 0; r < ROWS; ++r) shared.z[j][SPLIT * r + h] = re(x[r]);
    team::barrier();
#pragma unroll
    for (int r = 0; r < ROWS; ++r) z[r] = SPLIT * r + h < n && j < n ? shared.z[SPLIT * r + h][j] : R(0);
    team::barrier();
    if (j < n)
#pragma unroll
        for (int r = 0; r < ROWS; ++r) shared.z[j][SPLIT * r + h] = im(x[r]);
    team::barrier();
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int i = SPLIT * r + h;
        if (mine && i < n) {
            const R nan = limits<R>::nan();
            to[i * n + j] = narrow<T>::from(failed ? make<S>::from(nan, nan) : make<S>::from(z[r], shared.z[i][j]));
        }
    }
    if (out.values) {
        cut_spectrum<T, team>(cut, n, shared.working_d, here ? exponent[b] : 0, found, failed, b, out, mine && first, shared.cut);
    } else {
        if (mine && first) lambda[b * n + j] = shared.working_d[j];
        if (here && threadIdx.x == 0) info[b] = ended ? 0 : n + 1;
    }
}

} // namespace eigengrad
