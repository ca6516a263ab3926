// A = V Λ Vᴴ, a matrix of known order N a thread, all of it in registers: docs/derivation.md §14.
//
//   from, a  A: [batch, N, N] row-major as I, read as `from` says, scaled as eigh/prepare.cu does
//          it, I if it is not finite; or PREPARED, in v
//   lambda [batch, N] ascending; Rayleigh quotients where there are vectors
//   out, to what the cut makes of them, eigh/cut.cuh; V [batch, N, N] as O, one vector after the
//          other, or null where it is not wanted
//   info   [batch] 0, or N + 1 where the sweeps did not end; written where `out` is null: λ and V
//          are as they are
//
// A warp brings 32 matrices through shared memory, so that neighbours read neighbouring words.
// Every loop over rows and columns is unrolled; what does not belong to a window turns by nothing,
// exactly.
//
// Bytes: 2·N² scalars and N reals a matrix.
#include "eigh/cut.cuh"
#include "eigh/entry.cuh"
#include "eigh/tridiagonal.cuh"

namespace eigengrad {

// A warp's matrices in shared memory, by words: a thread's next ones are in another bank.
template <class I, class O, int N>
struct small_memory {
    __device__ static constexpr int words_of(int bytes) { return (bytes + 3) / 4; }
    static constexpr int A = words_of(N * N * sizeof(I)), V = words_of(N * N * sizeof(O)), S = words_of(N * N * sizeof(scalar_of<I>));
    // T and the reflections, in the place of A
    static constexpr int OF_T = words_of(2 * N * sizeof(real_of<I>)), OF_Q = words_of(N * (N - 1) / 2 * sizeof(scalar_of<I>));
    static constexpr int MOST_OF_MATRICES = A > V ? (A > S ? A : S) : (V > S ? V : S);
    static constexpr int EACH = (MOST_OF_MATRICES > OF_T + OF_Q ? MOST_OF_MATRICES : OF_T + OF_Q) | 1;
    unsigned words[32 * EACH];

    // Number `at` of a matrix.
    template <class X>
    __device__ X get(int matrix, int at) const {
        const unsigned* const of = words + matrix * EACH;
        if constexpr (sizeof(X) < 4) {
            return reinterpret_cast<const X*>(of)[at];
        } else {
            union { unsigned words[sizeof(X) / 4]; X x; } both;
#pragma unroll
            for (int w = 0; w < sizeof(X) / 4; ++w) both.words[w] = of[at * (sizeof(X) / 4) + w];
            return both.x;
        }
    }
    template <class X>
    __device__ void put(int matrix, int at, X x) {
        unsigned* const of = words + matrix * EACH;
        if constexpr (sizeof(X) < 4) {
            reinterpret_cast<X*>(of)[at] = x;
        } else {
            union { unsigned words[sizeof(X) / 4]; X x; } both;
            both.x = x;
#pragma unroll
            for (int w = 0; w < sizeof(X) / 4; ++w) of[at * (sizeof(X) / 4) + w] = both.words[w];
        }
    }

    // All matrices of the warp, from memory or to it, by the largest pieces of a number that a word
    // holds.
    template <class X>
    __device__ void load(int matrices, const X* from) {
        using piece = typename piece_of<sizeof(X)>::type;
        constexpr int PIECES = N * N * sizeof(X) / sizeof(piece);
        const piece* const all = reinterpret_cast<const piece*>(from);
        for (int q = threadIdx.x; q < matrices * PIECES; q += 32) put(q / PIECES, q % PIECES, all[q]);
        __syncwarp();
    }
    template <class X>
    __device__ void store(int matrices, X* to) const {
        using piece = typename piece_of<sizeof(X)>::type;
        constexpr int PIECES = N * N * sizeof(X) / sizeof(piece);
        piece* const all = reinterpret_cast<piece*>(to);
        __syncwarp();
        for (int q = threadIdx.x; q < matrices * PIECES; q += 32) all[q] = get<piece>(q / PIECES, q % PIECES);
    }

private:
    template <int BYTES, class = void>
    struct piece_of {
        using type = unsigned;
    };
    template <class NONE>
    struct piece_of<2, NONE> {
        using type = unsigned short;
    };
};

template <class S, int N>
struct small_matrix {
    using R = real_of<S>;
    S a[N][N]; // i ≥ j; below the diagonal of column k then v_k but its 1
    S tau[N];
    R d[N], e[N];

    // T in d and e.
    __device__ __forceinline__ void tridiagonalise() {
        const S zero = make<S>::from(0, 0);
#pragma unroll
        for (int k = 0; k + 1 < N; ++k) {
            d[k] = re(a[k][k]);
            R tail = 0;
#pragma unroll
            for (int i = k + 2; i < N; ++i) tail += square(a[i][k]);
            const reflection_of<S> h(a[k + 1][k], tail);
            e[k] = h.beta;
            tau[k] = h.tau;
            S x[N], y[N];
            x[k + 1] = make<S>::from(1, 0);
#pragma unroll
            for (int i = k + 2; i < N; ++i) a[i][k] = x[i] = add_product(zero, a[i][k], h.scale);
            // y = Ax of the lower triangle
#pragma unroll
            for (int i = k + 1; i < N; ++i) y[i] = times(x[i], re(a[i][i]));
#pragma unroll
            for (int j = k + 1; j < N; ++j)
#pragma unroll
                for (int i = j + 1; i < N; ++i) {
                    y[i] = add_product(y[i], a[i][j], x[j]);
                    y[j] = add_adjoint_product(y[j], a[i][j], x[i]);
                }
            R product = 0;
#pragma unroll
            for (int i = k + 1; i < N; ++i) product += re(x[i]) * re(y[i]) + im(x[i]) * im(y[i]);
            const R half = R(-0.5) * square(h.tau) * product;
#pragma unroll
            for (int i = k + 1; i < N; ++i) y[i] = add_product(times(x[i], half), h.tau, y[i]);
#pragma unroll
            for (int j = k + 1; j < N; ++j)
#pragma unroll
                for (int i = j; i < N; ++i)
                    a[i][j] = subtract_product(subtract_product(a[i][j], x[i], conj(y[j])), y[i], conj(x[j]));
        }
        d[N - 1] = re(a[N - 1][N - 1]);
        e[N - 1] = 0;
    }

    // Calls f for each number of the reflections.
    template <class F>
    __device__ __forceinline__ void each_of_q(F f) {
        int at = 0;
#pragma unroll
        for (int k = 0; k + 1 < N; ++k) {
            f(at++, tau[k]);
#pragma unroll
            for (int i = k + 2; i < N; ++i) f(at++, a[i][k]);
        }
    }

    // x ← Qx.
    __device__ __forceinline__ void reflect(S (&x)[N]) const {
        const S zero = make<S>::from(0, 0);
#pragma unroll
        for (int k = N - 2; k >= 0; --k) {
            S sum = x[k + 1];
#pragma unroll
            for (int i = k + 2; i < N; ++i) sum = add_adjoint_product(sum, a[i][k], x[i]);
            const S by = subtract_product(zero, tau[k], sum);
            x[k + 1] = make<S>::from(re(x[k + 1]) + re(by), im(x[k + 1]) + im(by));
#pragma unroll
            for (int i = k + 2; i < N; ++i) x[i] = add_product(x[i], a[i][k], by);
        }
    }
};

// T = Z Λ Zᵀ by implicit QL, all lanes of a warp together, each in the topmost window of its own. Z
// is not touched unless it is wanted. Returns whether the sweeps ended.
template <int VECTORS, class R, int N>
__device__ __forceinline__ bool small_ql(R (&d)[N], R (&e)[N], R (&z)[N][N]) {
    for (int sweep = 0;; ++sweep) {
        int l = N, m = N - 1;
        R d_l = 0, d_next = 0, e_l = 1, d_m = d[N - 1];
#pragma unroll
        for (int i = N - 2; i >= 0; --i) {
            if (negligible(e[i], d[i], d[i + 1])) e[i] = 0;
            const bool on = e[i] != 0;
            // a block begins; going up, the last one stays
            if (on && (i == N - 2 || e[i + 1] == 0)) m = i + 1, d_m = d[i + 1];
            if (on) l = i, d_l = d[i], d_next = d[i + 1], e_l = e[i];
        }
        const bool more = l < N, go_on = more && sweep < SWEEPS_EACH * N;
        if (!__any_sync(ALL_LANES, go_on)) return !more;
        R g = shifted(d_l, d_next, e_l, d_m), s = 1, c = 1, p = 0;
#pragma unroll
        for (int i = N - 2; i >= 0; --i) {
            const bool on = go_on && i >= l && i < m;
            if (!__any_sync(ALL_LANES, on)) continue;
            const R f = s * e[i], b = c * e[i], squares = g * g + f * f;
            const bool none = !on || squares < negligible_square(R());
            const R inverse = inverse_root(none ? R(1) : squares);
            const R sine = none ? R(0) : (g < 0 ? -f : f) * inverse, cosine = none ? R(1) : magnitude(g) * inverse;
            const R lowered = d[i + 1] - p, rest = (d[i] - lowered) * sine + 2 * cosine * b, raised = sine * rest;
            if (on) {
                if (i + 1 < m) e[i + 1] = none ? R(0) : (g < 0 ? -squares : squares) * inverse;
                d[i + 1] = lowered + raised;
                g = cosine * rest - b;
                p = raised;
                s = sine;
                c = cosine;
            }
            if constexpr (VECTORS) {
                const shears<R> by = {-sine * reciprocal(1 + cosine), sine};
#pragma unroll
                for (int row = 0; row < N; ++row) by.turn(z[row][i], z[row][i + 1]);
            }
            if (on && i == l) d[i] -= p, e[i] = g;
        }
    }
}

// Where each of N numbers belongs in ascending order.
template <class R, int N>
__device__ __forceinline__ void places_of(const R (&x)[N], int (&place)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
        place[k] = 0;
#pragma unroll
        for (int other = 0; other < N; ++other)
            place[k] += other < k ? x[other] <= x[k] : other > k ? x[other] < x[k] : false;
    }
}

// A of this lane in registers, and its exponent. Whether it is finite.
template <class I, class O, int N>
__device__ __forceinline__ bool read_matrix(const small_memory<I, O, N>& shared, int from, bool here, small_matrix<scalar_of<I>, N>& matrix,
                                            int& exponent) {
    using S = scalar_of<I>;
    using R = real_of<I>;
    const int lane = threadIdx.x;
    R largest = 0;
#pragma unroll
    for (int j = 0; j < N; ++j)
#pragma unroll
        for (int i = j; i < N; ++i) {
            const auto at = [&](int row, int column) { return widen(shared.template get<I>(lane, row * N + column)); };
            // prepared, it is column-major
            S x = from == PREPARED     ? shared.template get<S>(lane, j * N + i)
                  : from == READ_LOWER ? at(i, j)
                  : from == READ_UPPER ? conj(at(j, i))
                                       : mean(at(i, j), at(j, i));
            if (i == j) x = make<S>::from(re(x), 0);
            if (!here) x = make<S>::from(i == j ? 1 : 0, 0);
            matrix.a[i][j] = x;
            largest = larger(largest, finite(x) ? size(x) : limits<R>::infinity());
        }
    const bool is_finite = largest < limits<R>::infinity();
    exponent = from != PREPARED && is_finite && largest > 0 ? binary_exponent(largest) : 0;
#pragma unroll
    for (int j = 0; j < N; ++j)
#pragma unroll
        for (int i = j; i < N; ++i)
            matrix.a[i][j] = is_finite ? scaled_down(matrix.a[i][j], exponent) : make<S>::from(i == j ? 1 : 0, 0);
    return is_finite;
}

template <class I, class O, int N>
__global__ void __launch_bounds__(32, 1)
    small(long long batch, int from, const I* a, scalar_of<I>* v, real_of<I>* __restrict__ lambda, int* __restrict__ info, cut cut,
          spectrum_results<O> out, O* to) {
    using S = scalar_of<I>;
    using R = real_of<I>;
    using M = small_memory<I, O, N>;
    __shared__ M shared;
    const int lane = threadIdx.x;
    const long long first = static_cast<long long>(blockIdx.x) * 32, b = first + lane;
    const int matrices = static_cast<int>(smaller(batch - first, 32ll));
    const bool here = lane < matrices;
    if (from == PREPARED) shared.load(matrices, v + first * N * N);
    else shared.load(matrices, a + first * N * N);
    small_matrix<S, N> matrix;
    int exponent;
    const bool is_finite = read_matrix<I, O, N>(shared, from, here, matrix, exponent);
    matrix.tridiagonalise();
    R z[N][N], quotient[N];
    int place[N];
    bool ended;
    if (to) {
        // T itself waits in the lane's own place for the quotients, and Q for the end: registers are
        // few while Z turns.
        constexpr int OF_Q = 2 * N * sizeof(R) / sizeof(S) + (2 * N * sizeof(R) % sizeof(S) != 0);
        matrix.each_of_q([&](int at, S& x) { shared.put(lane, OF_Q + at, x); });
#pragma unroll
        for (int k = 0; k < N; ++k) {
            shared.put(lane, k, matrix.d[k]);
            shared.put(lane, N + k, matrix.e[k]);
#pragma unroll
            for (int i = 0; i < N; ++i) z[i][k] = i == k ? R(1) : R(0);
        }
        asm volatile("" ::: "memory"); // or the compiler keeps them in registers
        ended = small_ql<1>(matrix.d, matrix.e, z);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            R sum = 0, squares = 0;
#pragma unroll
            for (int i = 0; i < N; ++i) {
                R image = shared.template get<R>(lane, i) * z[i][k];
                if (i + 1 < N) image += 2 * shared.template get<R>(lane, N + i) * z[i + 1][k];
                sum += image * z[i][k];
                squares += z[i][k] * z[i][k];
            }
            quotient[k] = sum / squares;
        }
        matrix.each_of_q([&](int at, S& x) { x = shared.template get<S>(lane, OF_Q + at); });
    } else {
        ended = small_ql<0>(matrix.d, matrix.e, z);
#pragma unroll
        for (int k = 0; k < N; ++k) quotient[k] = matrix.d[k];
    }
    places_of(quotient, place);
    bool failed = false;
    if (here) {
#pragma unroll
        for (int k = 0; k < N; ++k) lambda[b * N + place[k]] = quotient[k];
        if (out.values) {
            const unsigned found = !is_finite ? NOT_FINITE : ended ? 0 : NOT_CONVERGED;
            failed = cut_spectrum<O>(cut, N, lambda + b * N, exponent, found, b, out);
        } else {
            info[b] = ended ? 0 : N + 1;
        }
    }
    // Values of complex matrices are stored as real numbers, beside which there are no vectors.
    if constexpr (sizeof(scalar_of<O>) == sizeof(S)) {
        if (!to) return;
        const S nan = make<S>::from(limits<R>::nan(), limits<R>::nan());
#pragma unroll
        for (int k = 0; k < N; ++k) {
            S x[N];
#pragma unroll
            for (int i = 0; i < N; ++i) x[i] = make<S>::from(z[i][k], 0);
            matrix.reflect(x);
#pragma unroll
            for (int i = 0; i < N; ++i) shared.put(lane, place[k] * N + i, narrow<O>::from(failed ? nan : x[i]));
        }
        shared.store(matrices, to + first * N * N);
    }
}

} // namespace eigengrad
