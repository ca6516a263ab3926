// T = QᴴAQ, real and tridiagonal, by Householder's reflections: docs/derivation.md §14.
//
//   from, a  A: [batch, n, n] row-major as T, read as `from` says, scaled here as eigh/prepare.cu
//                          does it, I if it is not finite; or PREPARED, in v
//   v        [batch, n, n] out, unless `vectors` is 0: row k of column k has τ_k, those below v_k
//   exponent, status [batch] as eigh/prepare.cu writes them; not where A is prepared
//   diagonal, beside [⌈batch/32⌉, n, 32] d and e: those of 32 matrices lie side by side, as
//                          eigh/implicit_ql.cu reads them
//
// Thread j has column j, n ≤ N rows of it in registers. They move up by one in each step: the
// pivot's row is register 0, and every index is known to the compiler. Reflection k, of which every
// thread has a component, goes to all by shared memory.
//
// Bytes: 2·n² scalars a matrix. Flops: 4/3·n³ real ones, complex 16/3·n³.
#include "eigh/entry.cuh"
#include "eigh/tridiagonal.cuh"
#include "lib/status.cuh"

namespace eigengrad {

template <class S, int N>
struct tridiagonalise_memory {
    static constexpr int AT_ONCE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    static constexpr int LENGTH = (N + CHUNK + AT_ONCE) / AT_ONCE * AT_ONCE;
    // v and w of a team, and what its warps have summed.
    alignas(16) S v[LENGTH];
    alignas(16) S w[LENGTH];
    real_of<S> tails[4], products[4];
    S alpha;
    // Odd: neither rows nor columns meet in a bank.
    S entries[N][N | 1];
};

// Column j of A in registers, by columns of a triangle and their mirror images.
template <class T, int N, class S>
__device__ __forceinline__ void read_column(tridiagonalise_memory<S, N>& shared, int n, int from, bool here, const T* a, S (&column)[N + 1],
                                            int* exponent, unsigned* status) {
    using R = real_of<S>;
    using team = columns_team<TEAM_OF<N>>;
    const int j = threadIdx.x;
    const bool mine = here && j < n;
    R largest = 0;
    for (int i = 0; i < n; ++i) {
        if (!mine || i < j) continue;
        const S x = lower_entry(a, n, from, i, j);
        shared.entries[i][j] = x;
        largest = larger(largest, finite(x) ? size(x) : limits<R>::infinity());
    }
    largest = team::largest(largest, shared.tails);
    team::barrier();
    const bool is_finite = largest < limits<R>::infinity();
    const int e = is_finite && largest > 0 ? binary_exponent(largest) : 0;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const bool inside = mine && i < n;
        const S x = !inside ? make<S>::from(0, 0) : i >= j ? shared.entries[i][j] : conj(shared.entries[j][i]);
        column[i] = is_finite ? scaled_down(x, e) : make<S>::from(inside && i == j ? 1 : 0, 0);
    }
    if (here && j == 0) {
        *exponent = e;
        *status = is_finite ? 0 : NOT_FINITE;
    }
}

template <class T, int N, int TEAMS, int BYTES>
__global__ void __launch_bounds__(TEAM_OF<N>* TEAMS, 1)
    tridiagonalise(long long batch, int n, int from, int vectors, const T* a_of, scalar_of<T>* v, int* __restrict__ exponent,
                   unsigned* __restrict__ status, real_of<T>* __restrict__ diagonal, real_of<T>* __restrict__ beside) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    using M = tridiagonalise_memory<S, N>;
    constexpr int THREADS = TEAM_OF<N>, AT_ONCE = M::AT_ONCE;
    using team = columns_team<THREADS>;
    static_assert(TEAMS * sizeof(M) == BYTES, "as src/cuda/kernel/columns.rs has it");
    extern __shared__ uint4 memory[];
    M& shared = reinterpret_cast<M*>(memory)[threadIdx.y];
    const int j = threadIdx.x;
    const long long b = matrix_of_team();
    const bool here = b < batch, mine = here && j < n;
    const S zero = make<S>::from(0, 0);
    v += here ? b * n * n : 0;
    diagonal += b / 32 * 32 * n + b % 32;
    beside += b / 32 * 32 * n + b % 32;

    S a[N + 1];
    a[N] = zero;
    if (from == PREPARED) {
#pragma unroll
        for (int i = 0; i < N; ++i) a[i] = mine && i < n ? conj(v[i * n + j]) : zero;
    } else {
        const long long at = here ? b : 0;
        read_column<T, N>(shared, n, from, here, a_of + at * n * n, a, exponent + at, status + at);
    }
    for (int t = j; t < M::LENGTH; t += THREADS) shared.v[t] = shared.w[t] = zero;
    team::barrier();
    if (mine && j == 0) diagonal[0] = re(a[0]);
#pragma unroll 1
    for (int k = 0; k < n - 1; ++k) {
        const bool below = j > k && j < n;
        const S x = below ? conj(a[0]) : zero;
        if (THREADS > 32 && j == k + 1) shared.alpha = x;
        const R tail = team::sum(j > k + 1 ? square(x) : R(0), shared.tails);
        S alpha;
        if constexpr (THREADS > 32) alpha = shared.alpha;
        else alpha = make<S>::from(__shfl_sync(ALL_LANES, re(x), k + 1, THREADS), __shfl_sync(ALL_LANES, im(x), k + 1, THREADS));
        const reflection_of<S> h(alpha, tail);
        const S v_j = !below ? zero : j == k + 1 ? make<S>::from(1, 0) : add_product(zero, x, h.scale);
        if (vectors && here && j >= k && j < n) v[k * n + j] = j == k ? h.tau : v_j;
        if (here && j == k) beside[k * 32] = h.beta;
        // what the last column left there
        if (j == k) shared.v[n - k] = shared.w[n - k] = zero;
        if (below) shared.v[j - k] = v_j;
        team::barrier();
        // p = Av, component j, in two sums
        S even = zero, odd = zero;
#pragma unroll
        for (int chunk = 0; chunk < N; chunk += CHUNK) {
            if (chunk >= n - k) break;
#pragma unroll
            for (int t = chunk; t < chunk + CHUNK && t < N; t += AT_ONCE) {
                const pack<S, AT_ONCE> q = read<AT_ONCE>(shared.v + t);
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u)
                    if (t + u > 0 && t + u < N) {
                        S& sum = (t + u) % 2 ? odd : even;
                        sum = add_adjoint_product(sum, a[t + u], q.at[u]);
                    }
            }
        }
        const S p = make<S>::from(re(even) + re(odd), im(even) + im(odd));
        // w = τp − ½|τ|²(vᴴAv)v
        const R product = team::sum(below ? re(v_j) * re(p) + im(v_j) * im(p) : R(0), shared.products);
        const R half = R(-0.5) * square(h.tau) * product;
        const S w_j = below ? add_product(times(v_j, half), h.tau, p) : zero;
        if (below) shared.w[j - k] = w_j;
        team::barrier();
        // A − vwᴴ − wvᴴ, a row up
        const S conj_v = conj(v_j), conj_w = conj(w_j);
#pragma unroll
        for (int chunk = 0; chunk < N; chunk += CHUNK) {
            if (chunk >= n - k) break;
#pragma unroll
            for (int t = chunk; t < chunk + CHUNK && t < N; t += AT_ONCE) {
                const pack<S, AT_ONCE> of_v = read<AT_ONCE>(shared.v + t), of_w = read<AT_ONCE>(shared.w + t);
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u)
                    if (t + u > 0 && t + u < N)
                        a[t + u - 1] = subtract_product(subtract_product(a[t + u], of_v.at[u], conj_w), of_w.at[u], conj_v);
            }
        }
        if (mine && j == k + 1) diagonal[(k + 1) * 32] = re(a[0]);
        team::barrier(); // v and w are written again
    }
}

} // namespace eigengrad
