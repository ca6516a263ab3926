// The last two products in one: Z = V G, a panel of rows at a time, and Ā = Z Vᴴ, which is
// Hermitian, as it is stored, and whether it is finite.
//
//   g       [batch, n, n] Hermitian G, one column after the other
//   v       [batch, n, n] one vector after the other
//   divides [batch] as backward/columns.cu leaves it: matrices where it is 1 are left to
//     backward/finish.cu; or null
//   a_bar   [batch, n, n] row-major, as T: Ā, or by the entries of one triangle, or NaN for refused
//                         matrices
//   status  [batch] GRADIENT_NOT_FINITE; blocks of a matrix that find it all store the same number,
//                   so that no atomics are needed
//
// A block makes EDGE rows of Z, which stay in shared memory, then the tiles of Ā on and left of the
// diagonal in these rows, and their mirror images. Each half of the threads makes a tile; of the
// last one of an odd number each sums half of the products. Bytes: V and G n/EDGE times, all but
// 2·n² scalars of it from the cache, and n²·sizeof(T) written. Flops: 12·n³ a matrix, complex.
#include "lib/form.cuh"
#include "lib/status.cuh"
#include "lib/tile.cuh"

namespace eigengrad {

template <class S>
struct outer_tile {
    static constexpr int TILE = 4, SIDE = 8, EDGE = TILE * SIDE, CHUNK = 16, OUT = EDGE + 1;
    static constexpr int AT_ONCE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    static constexpr int OPERAND = CHUNK * EDGE, SIZE = 3 * OPERAND > 2 * EDGE * OUT ? 3 * OPERAND : 2 * EDGE * OUT;
};

// Of so many operands each CHUNK columns from k on at EDGE rows: to[operand][column][row].
template <class S, class F>
__device__ void load_rows(S* to, int operands, int n, int k, F from) {
    using shape = outer_tile<S>;
    constexpr int AT_ONCE = shape::AT_ONCE, PACKS = shape::EDGE / AT_ONCE, EACH = shape::CHUNK * PACKS, IN_FLIGHT = 4;
    for (int p = threadIdx.x; p < operands * EACH; p += IN_FLIGHT * 128) {
        pack<S, AT_ONCE> some[IN_FLIGHT];
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f) {
            const int at = p + f * 128, operand = at / EACH, column = k + at % EACH / PACKS;
            const bool there = operand < operands && column < n;
            const auto of = from(operand < operands ? operand : 0);
            const int row = of.first + at % PACKS * AT_ONCE;
            const S* const source = of.at + static_cast<long long>(column) * n + row;
            if (there && row < n && n % AT_ONCE == 0 && reinterpret_cast<size_t>(of.at) % 16 == 0) some[f] = read<AT_ONCE>(source);
            else
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u) some[f].at[u] = there && row + u < n ? source[u] : make<S>::from(0, 0);
        }
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (p + f * 128 < operands * EACH) write(to + (p + f * 128) * AT_ONCE, some[f]);
    }
}

// A matrix at some of its rows.
template <class S>
struct rows_of {
    const S* at;
    int first;
};

template <class T>
__global__ void __launch_bounds__(128, 1)
    outer(int n, int form, const scalar_of<T>* __restrict__ g, const scalar_of<T>* __restrict__ v, const int* __restrict__ divides,
          T* __restrict__ a_bar, volatile unsigned* status) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    using shape = outer_tile<S>;
    constexpr int TILE = shape::TILE, SIDE = shape::SIDE, EDGE = shape::EDGE, CHUNK = shape::CHUNK, OUT = shape::OUT;
    extern __shared__ uint4 memory[];
    S* const some = reinterpret_cast<S*>(memory);
    S* const z = some + shape::SIZE; // [column][row] of the panel

    const int side = (n + EDGE - 1) / EDGE, I = blockIdx.x % side * EDGE;
    const long long b = blockIdx.x / side, first = b * n * n;
    if (divides && divides[b]) return;
    const unsigned before = status[b];
    const bool refuse = refused(before);
    g += first, v += first, a_bar += first;
    const int half = threadIdx.x / 64, t = threadIdx.x % 64, i = t % SIDE * TILE, j = t / SIDE * TILE;

    for (int tile_number = 0; tile_number < side; tile_number += 2) {
        const bool shared = tile_number + 1 == side; // both halves make it
        const int J = (tile_number + (shared ? 0 : half)) * EDGE;
        const int begin = shared && half ? CHUNK / 2 : 0, end = shared && !half ? CHUNK / 2 : CHUNK;
        tile<S, TILE> sum;
        for (int k = 0; k < n; k += CHUNK) {
            load_rows(some, shared ? 2 : 3, n, k, [=](int operand) {
                return operand == 0 ? rows_of<S>{v, I} : rows_of<S>{g, (tile_number + operand - 1) * EDGE};
            });
            __syncthreads();
            const S* const of_g = some + (shared ? 1 : 1 + half) * shape::OPERAND;
#pragma unroll 4
            for (int c = begin; c < end; ++c)
                sum.add(read<TILE>(some + c * EDGE + i), conj(read<TILE>(of_g + c * EDGE + j)));
            __syncthreads();
        }
        if (!shared || half) write_columns<EDGE>(z + (J + j) * EDGE + i, sum);
        __syncthreads();
        if (shared && !half) {
            add_columns<EDGE>(sum, z + (J + j) * EDGE + i);
            write_columns<EDGE>(z + (J + j) * EDGE + i, sum);
        }
    }

    const auto store = [=](int row, int column, S entry) {
        if (row >= n || column >= n) return true;
        if (row == column) entry = make<S>::from(re(entry), 0);
        entry = times(entry, static_cast<R>(factor_of(form, row, column)));
        const T stored = narrow<T>::from(refuse ? make<S>::from(limits<R>::nan(), limits<R>::nan()) : entry);
        a_bar[static_cast<long long>(row) * n + column] = stored;
        return finite(widen(stored));
    };
    bool all_finite = true;
    const int tiles = I / EDGE + 1;
    for (int tile_number = 0; tile_number < tiles; tile_number += 2) {
        const bool shared = tile_number + 1 == tiles;
        const int J = (tile_number + (shared ? 0 : half)) * EDGE;
        const int begin = shared && half ? CHUNK / 2 : 0, end = shared && !half ? CHUNK / 2 : CHUNK;
        tile<S, TILE> sum;
        for (int k = 0; k < n; k += CHUNK) {
            __syncthreads(); // z is there, and what was in this memory has been read
            load_rows(some, shared ? 1 : 2, n, k, [=](int operand) { return rows_of<S>{v, (tile_number + operand) * EDGE}; });
            __syncthreads();
            const S* const of_v = some + (shared ? 0 : half) * shape::OPERAND;
#pragma unroll 4
            for (int c = begin; c < end; ++c)
                sum.add(read<TILE>(z + (k + c) * EDGE + i), conj(read<TILE>(of_v + c * EDGE + j)));
        }
        __syncthreads();
        S* const out = some + half * EDGE * OUT;
#pragma unroll
        for (int u = 0; u < TILE; ++u)
#pragma unroll
            for (int w = 0; w < TILE; ++w) out[(i + u) * OUT + j + w] = sum.at[u][w];
        __syncthreads();
        for (int e = shared ? threadIdx.x : t; e < EDGE * EDGE; e += shared ? 128 : 64) {
            const int row = e / EDGE, column = e % EDGE;
            const auto entry = [=](int row, int column) {
                const S* const of = (shared ? some : out) + row * OUT + column;
                return shared ? of[0] + of[EDGE * OUT] : of[0];
            };
            const bool below = I > J || row >= column;
            all_finite &= store(I + row, J + column, below ? entry(row, column) : conj(entry(column, row)));
            if (I > J) all_finite &= store(J + row, I + column, conj(entry(column, row)));
        }
    }
    if (!all_finite && !refuse) status[b] = before | GRADIENT_NOT_FINITE;
}

} // namespace eigengrad
