// T = QᴴAQ, real and tridiagonal, by Householder's reflections: docs/derivation.md §14.
//
//   from, a  A: [batch, n, n] row-major as T, read as `from` says, scaled here as eigh/prepare.cu
//                          does it, I if it is not finite; or PREPARED, in v
//   v        [batch, n, n] out, unless `vectors` is 0: row k of column k has τ_k, those below v_k
//   exponent, status [batch] as eigh/prepare.cu writes them; not where A is prepared
//   diagonal, beside [⌈batch/32⌉, n, 32] d and e: those of 32 matrices lie side by side, as
//                          eigh/implicit_ql.cu reads them
//
// Thread j has column j, n ≤ N rows of it in registers, or two threads have every other row. They
// move up by one in each step: the pivot's row is register 0 of its thread, and every index is known
// to the compiler. Reflection k, of which every thread has a component, goes to all by shared
// memory.
//
// Bytes: 2·n² scalars a matrix. Flops: 4/3·n³ real ones, complex 16/3·n³.
#include "eigh/entry.cuh"
#include "eigh/tridiagonal.cuh"
#include "lib/status.cuh"

namespace eigengrad {

template <class S, int N>
struct tridiagonalise_memory {
    static constexpr int SPLIT = SPLIT_OF<S, N>;
    // Whether the other triangle is made in shared memory, not by reading this one twice.
    static constexpr bool MIRRORS = SPLIT == 1 && N <= 64;
    // v and w of a team, and what its warps have summed.
    shared_vector<S, N> v, w;
    real_of<S> tails[8], products[8];
    S alpha;
    S partial[SPLIT > 1 ? TEAM_OF<S, N> : 1];
    // Odd: neither rows nor columns meet in a bank.
    S entries[MIRRORS ? N : 1][MIRRORS ? N | 1 : 1];
};

// Column j from its first row on, and its mirror image, into shared memory; the largest component,
// infinite where an entry is not finite.
template <int FROM, class T, int N, class S>
__device__ real_of<S> read_triangle(tridiagonalise_memory<S, N>& shared, int n, const T* a, int first, int j) {
    using R = real_of<S>;
    R largest = 0;
#pragma unroll 4
    for (int i = 0; i < n; ++i) {
        if (i < first) continue;
        const S x = lower_entry(a, n, FROM, i, j);
        shared.entries[i][j] = x;
        shared.entries[j][i] = conj(x);
        largest = larger(largest, finite(x) ? size(x) : limits<R>::infinity());
    }
    return largest;
}

// Rows of column j of A in registers, both triangles by one of them.
template <class T, int N, class S>
__device__ __forceinline__ void read_column(tridiagonalise_memory<S, N>& shared, int n, int from, bool here, const T* a,
                                            S (&column)[N / SPLIT_OF<S, N> + 1], int* exponent, unsigned* status) {
    using R = real_of<S>;
    using M = tridiagonalise_memory<S, N>;
    using team = columns_team<TEAM_OF<S, N>>;
    const int j = threadIdx.x % COLUMNS_OF<N>, h = threadIdx.x / COLUMNS_OF<N>;
    const bool mine = here && j < n;
    R largest = 0;
    if constexpr (M::MIRRORS) {
        const int first = mine ? j : n;
        if (from == READ_LOWER) largest = read_triangle<READ_LOWER>(shared, n, a, first, j);
        else if (from == READ_UPPER) largest = read_triangle<READ_UPPER>(shared, n, a, first, j);
        else largest = read_triangle<READ_MEAN>(shared, n, a, first, j);
    } else {
#pragma unroll
        for (int r = 0; r < N / M::SPLIT; ++r) {
            const int i = M::SPLIT * r + h;
            column[r] = make<S>::from(0, 0);
            if (!mine || i >= n) continue;
            const S x = column[r] = i >= j ? lower_entry(a, n, from, i, j) : conj(lower_entry(a, n, from, j, i));
            largest = larger(largest, finite(x) ? size(x) : limits<R>::infinity());
        }
    }
    largest = team::largest(largest, shared.tails);
    team::barrier();
    const bool is_finite = largest < limits<R>::infinity();
    const int e = is_finite && largest > 0 ? binary_exponent(largest) : 0;
#pragma unroll
    for (int r = 0; r < N / M::SPLIT; ++r) {
        S x = column[r];
        if constexpr (M::MIRRORS) x = mine && r < n ? shared.entries[r][j] : make<S>::from(0, 0);
        column[r] = scaled_down(x, e);
    }
    if (!is_finite) {
#pragma unroll
        for (int r = 0; r < N / M::SPLIT; ++r) column[r] = make<S>::from(mine && M::SPLIT * r + h == j ? 1 : 0, 0);
    }
    if (here && threadIdx.x == 0) {
        *exponent = e;
        *status = is_finite ? 0 : NOT_FINITE;
    }
}

// A − vwᴴ − wvᴴ, a row up: of a thread that has the pivot's row, P = 0, a register up.
template <int P, class S, int N>
__device__ __forceinline__ void subtract_rank_2(const tridiagonalise_memory<S, N>& shared, int length, S v_j, S w_j,
                                                S (&a)[N / SPLIT_OF<S, N> + 1]) {
    constexpr int SPLIT = SPLIT_OF<S, N>, ROWS = N / SPLIT, AT_ONCE = shared_vector<S, N>::AT_ONCE;
    const S conj_v = conj(v_j), conj_w = conj(w_j);
#pragma unroll
    for (int chunk = 0; chunk < ROWS; chunk += CHUNK) {
        if (SPLIT * chunk >= length) break;
#pragma unroll
        for (int r = chunk; r < chunk + CHUNK && r < ROWS; r += AT_ONCE) {
            const pack<S, AT_ONCE> of_v = shared.v.rows(P, r), of_w = shared.w.rows(P, r);
#pragma unroll
            for (int u = 0; u < AT_ONCE; ++u)
                if (r + u < ROWS && (P > 0 || r + u > 0))
                    a[P > 0 ? r + u : r + u - 1] = subtract_product(subtract_product(a[r + u], of_v.at[u], conj_w), of_w.at[u], conj_v);
        }
    }
}

template <class T, int N, int TEAMS, int BYTES>
__global__ void __launch_bounds__(TEAM_OF<scalar_of<T>, N>* TEAMS, 1)
    tridiagonalise(long long batch, int n, int from, int vectors, const T* a_of, scalar_of<T>* v, int* __restrict__ exponent,
                   unsigned* __restrict__ status, real_of<T>* __restrict__ diagonal, real_of<T>* __restrict__ beside) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    using M = tridiagonalise_memory<S, N>;
    constexpr int THREADS = TEAM_OF<S, N>, SPLIT = M::SPLIT, ROWS = N / SPLIT, AT_ONCE = shared_vector<S, N>::AT_ONCE;
    using team = columns_team<THREADS>;
    static_assert(TEAMS * sizeof(M) == BYTES, "as src/cuda/kernel/columns.rs has it");
    extern __shared__ uint4 memory[];
    M& shared = reinterpret_cast<M*>(memory)[threadIdx.y];
    const int j = threadIdx.x % COLUMNS_OF<N>, h = threadIdx.x / COLUMNS_OF<N>;
    const long long b = matrix_of_team();
    const bool here = b < batch, mine = here && j < n;
    const S zero = make<S>::from(0, 0);
    v += here ? b * n * n : 0;
    diagonal += b / 32 * 32 * n + b % 32;
    beside += b / 32 * 32 * n + b % 32;

    S a[ROWS + 1];
    a[ROWS] = zero;
    if (from == PREPARED) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) a[r] = mine && SPLIT * r + h < n ? conj(v[(SPLIT * r + h) * n + j]) : zero;
    } else {
        const long long at = here ? b : 0;
        read_column<T, N>(shared, n, from, here, a_of + at * n * n, a, exponent + at, status + at);
    }
    for (int t = threadIdx.x; t < SPLIT * shared_vector<S, N>::LENGTH; t += THREADS) shared.v.of[t] = shared.w.of[t] = zero;
    team::barrier();
    if (mine && threadIdx.x == 0) diagonal[0] = re(a[0]);
#pragma unroll 1
    for (int k = 0; k < n - 1; ++k) {
        // Of the rows from the pivot's on this thread has those at p, p + SPLIT, …
        const int p = SPLIT == 1 ? 0 : (h + k) % SPLIT;
        const bool below = j > k && j < n, pivots = p == 0;
        const S x = below && pivots ? conj(a[0]) : zero;
        if (THREADS > 32 && j == k + 1 && pivots) shared.alpha = x;
        const R tail = team::sum(j > k + 1 ? square(x) : R(0), shared.tails);
        S alpha;
        if constexpr (THREADS > 32) alpha = shared.alpha;
        else alpha = make<S>::from(__shfl_sync(ALL_LANES, re(x), k + 1, THREADS), __shfl_sync(ALL_LANES, im(x), k + 1, THREADS));
        const reflection_of<S> reflection(alpha, tail);
        S v_j = !below ? zero : j == k + 1 ? make<S>::from(1, 0) : add_product(zero, x, reflection.scale);
        if (pivots) {
            if (vectors && here && j >= k && j < n) v[k * n + j] = j == k ? reflection.tau : v_j;
            if (here && j == k) beside[k * 32] = reflection.beta;
            // what the last column left there
            if (j == k) shared.v[n - k] = shared.w[n - k] = zero;
            if (below) shared.v[j - k] = v_j;
        }
        team::barrier();
        if (SPLIT > 1 && below) v_j = shared.v[j - k];
        // p = Av, component j, in two sums
        S even = zero, odd = zero;
#pragma unroll
        for (int chunk = 0; chunk < ROWS; chunk += CHUNK) {
            if (SPLIT * chunk >= n - k) break;
#pragma unroll
            for (int r = chunk; r < chunk + CHUNK && r < ROWS; r += AT_ONCE) {
                const pack<S, AT_ONCE> q = shared.v.rows(p, r);
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u)
                    if (r + u < ROWS && (SPLIT > 1 || r + u > 0)) {
                        S& sum = (r + u) % 2 ? odd : even;
                        sum = add_adjoint_product(sum, a[r + u], q.at[u]);
                    }
            }
        }
        const S image = sum_of_column<S, N>(make<S>::from(re(even) + re(odd), im(even) + im(odd)), shared.partial);
        // w = τp − ½|τ|²(vᴴAv)v
        const R product = team::sum(below && pivots ? re(v_j) * re(image) + im(v_j) * im(image) : R(0), shared.products);
        const R half = R(-0.5) * square(reflection.tau) * product;
        const S w_j = below ? add_product(times(v_j, half), reflection.tau, image) : zero;
        if (below && pivots) shared.w[j - k] = w_j;
        team::barrier();
        if (pivots) subtract_rank_2<0>(shared, n - k, v_j, w_j, a);
        else subtract_rank_2<SPLIT - 1>(shared, n - k, v_j, w_j, a);
        if (mine && j == k + 1 && p == SPLIT - 1) diagonal[(k + 1) * 32] = re(a[0]);
        team::barrier(); // v and w are written again
    }
}

} // namespace eigengrad
