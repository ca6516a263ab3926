// G of X = VᴴV̄, weighed where it is made: backward/weighing.cuh; and what the report has of it.
//
//   v, v_bar   [batch, n, n] one column after the other; columns of V̄ outside K may hold anything
//   lambda, labels, lambda_bar, inverse [batch, n], divides [batch] as backward/columns.cu leaves
//     them
//   status     [batch] of which refused matrices report nothing
//   g          [batch, n, n] G or G', one column after the other
//   gauge_defect [batch, n] |Im v_kᴴ v̄_k| / ‖v̄_k‖
//   ties       [batch, tiles] the largest |skew(X)_ij| / max ‖v̄‖ of ties in a tile and its mirror
//     image
//
// A block makes a tile of X on or below the diagonal, and its mirror image, by 64 threads each; of
// a tile on the diagonal each half of the threads sums half of the products. Bytes: V and V̄ n/EDGE
// times, all but 2·n² scalars of it from the cache, and n² written. Flops: 8·n³ a matrix, complex.
#include "backward/weighing.cuh"
#include "lib/tile.cuh"

namespace eigengrad {

template <class S>
struct inner_tile {
    static constexpr int TILE = 4, SIDE = 8, EDGE = TILE * SIDE, CHUNK = sizeof(S) == 4 ? 32 : 16;
    static constexpr int AT_ONCE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    // Odd in units of 16 bytes, and odd: columns begin in banks of their own.
    static constexpr int LD = (CHUNK / AT_ONCE | 1) * AT_ONCE, OUT = EDGE + 1;
    static constexpr int OPERAND = EDGE * LD, IN = 4 * OPERAND, SIZE = IN > 2 * EDGE * OUT ? IN : 2 * EDGE * OUT;
};

// Rows from k on of V and V̄ at columns I, and of both at columns J if there are `operands` = 4.
template <class S>
__device__ void load_columns(S* to, int n, int k, int I, int J, int operands, const S* v, const S* v_bar) {
    using tile = inner_tile<S>;
    constexpr int AT_ONCE = tile::AT_ONCE, PACKS = tile::CHUNK / AT_ONCE, IN_FLIGHT = 8;
    const bool whole = n % AT_ONCE == 0 && (reinterpret_cast<size_t>(v) | reinterpret_cast<size_t>(v_bar)) % 16 == 0;
    const int packs = operands * tile::EDGE * PACKS;
    for (int p = threadIdx.x; p < packs; p += IN_FLIGHT * 128) {
        pack<S, AT_ONCE> some[IN_FLIGHT];
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f) {
            const int at = p + f * 128, row = k + at % PACKS * AT_ONCE, operand = at / PACKS / tile::EDGE;
            const int column = (operand < 2 ? I : J) + at / PACKS % tile::EDGE;
            const S* const from = (operand % 2 ? v_bar : v) + static_cast<long long>(column) * n + row;
            const bool there = at < packs && column < n;
            if (there && row < n && whole) some[f] = read<AT_ONCE>(from);
            else
#pragma unroll
                for (int u = 0; u < AT_ONCE; ++u) some[f].at[u] = there && row + u < n ? from[u] : make<S>::from(0, 0);
        }
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f) {
            const int at = p + f * 128;
            if (at < packs) write(to + at / PACKS * tile::LD + at % PACKS * AT_ONCE, some[f]);
        }
    }
}

template <class S>
__global__ void __launch_bounds__(128, 1)
    inner(int n, const S* __restrict__ v, const S* __restrict__ v_bar, const real_of<S>* __restrict__ lambda,
          const int* __restrict__ labels, const real_of<S>* __restrict__ lambda_bar, const int* __restrict__ divides,
          const real_of<S>* __restrict__ inverse, const unsigned* __restrict__ status, S* __restrict__ g,
          real_of<S>* __restrict__ gauge_defect, real_of<S>* __restrict__ ties) {
    using R = real_of<S>;
    using shape = inner_tile<S>;
    constexpr int TILE = shape::TILE, SIDE = shape::SIDE, EDGE = shape::EDGE, CHUNK = shape::CHUNK, OUT = shape::OUT;
    constexpr int AT_ONCE = shape::AT_ONCE, LD = shape::LD;
    __shared__ pack<S, 4> memory[(shape::SIZE + 3) / 4];
    __shared__ R norms[2][EDGE];
    S* const some = reinterpret_cast<S*>(memory);

    const int side = (n + EDGE - 1) / EDGE, tiles = side * (side + 1) / 2, number = blockIdx.x % tiles;
    int row = 0;
    while ((row + 1) * (row + 2) / 2 <= number) ++row;
    const int I = row * EDGE, J = (number - row * (row + 1) / 2) * EDGE;
    const bool diagonal = I == J;
    const long long b = blockIdx.x / tiles, first = b * n;
    v += first * n, v_bar += first * n, g += first * n;
    lambda += first, labels += first, lambda_bar += first, inverse += first, gauge_defect += first;

    // X_IJ and X_JI, or of X_II what half of the rows add.
    const int half = threadIdx.x / 64, i = threadIdx.x % SIDE, j = threadIdx.x % 64 / SIDE;
    const S* const left = some + (half && !diagonal ? 2 : 0) * shape::OPERAND + i * LD;
    const S* const right = some + (half || diagonal ? 1 : 3) * shape::OPERAND + j * LD;
    const int begin = diagonal && half ? CHUNK / 2 : 0, end = diagonal && !half ? CHUNK / 2 : CHUNK;
    tile<S, TILE> x;
    for (int k = 0; k < n; k += CHUNK) {
        load_columns(some, n, k, I, J, diagonal ? 2 : 4, v, v_bar);
        __syncthreads();
        for (int r = begin; r < end; r += AT_ONCE) {
            pack<S, AT_ONCE> of_left[TILE], of_right[TILE];
#pragma unroll
            for (int u = 0; u < TILE; ++u) {
                of_left[u] = conj(read<AT_ONCE>(left + u * SIDE * LD + r));
                of_right[u] = read<AT_ONCE>(right + u * SIDE * LD + r);
            }
#pragma unroll
            for (int e = 0; e < AT_ONCE; ++e)
#pragma unroll
                for (int u = 0; u < TILE; ++u)
#pragma unroll
                    for (int w = 0; w < TILE; ++w) x.at[u][w] = add_product(x.at[u][w], of_left[u].at[e], of_right[w].at[e]);
        }
        __syncthreads();
    }

    // By columns: X_IJ, or X_II, and X_JI behind it.
    S* const out = some + half * EDGE * OUT;
#pragma unroll
    for (int u = 0; u < TILE; ++u)
#pragma unroll
        for (int w = 0; w < TILE; ++w) out[(j + w * SIDE) * OUT + i + u * SIDE] = x.at[u][w];
    S* const x_ij = some;
    S* const x_ji = diagonal ? some : some + EDGE * OUT;
    __syncthreads();
    if (diagonal) {
        for (int e = threadIdx.x; e < EDGE * OUT; e += 128) some[e] = some[e] + some[EDGE * OUT + e];
        __syncthreads();
    }

    const weighing<S> weigh(n, lambda, labels, lambda_bar, inverse, divides && divides[b]);
    const bool reports = !refused(status[b]);
    bool any_tied = diagonal;
    for (int e = threadIdx.x; e < EDGE * EDGE; e += 128) {
        const int row = I + e % EDGE, column = J + e / EDGE;
        if (row < n && column < n && row != column) any_tied |= weigh.tied(row, column);
    }
    if (__syncthreads_or(any_tied)) {
        for (int c = threadIdx.x / 32; c < 2 * EDGE; c += 4) {
            const int column = (c < EDGE ? I : J) + c % EDGE;
            const bool counts = reports && column < n && labels[column];
            const R norm = norm_of_lanes(counts ? n : 0, v_bar + static_cast<long long>(counts ? column : 0) * n);
            if (threadIdx.x % 32 != 0) continue;
            norms[c / EDGE][c % EDGE] = norm;
            if (diagonal && c < EDGE && column < n) gauge_defect[column] = gauge_of(x_ij[c * OUT + c], norm);
        }
    } else if (threadIdx.x < EDGE) {
        norms[0][threadIdx.x] = norms[1][threadIdx.x] = 0;
    }
    __syncthreads();
    R tie = 0;
    for (int e = threadIdx.x; e < EDGE * EDGE; e += 128) {
        const int row = e % EDGE, column = e / EDGE;
        if (I + row >= n || J + column >= n || (diagonal && row < column)) continue;
        S& at = x_ij[column * OUT + row];
        if (diagonal && row == column) at = weigh.diagonal(I + row, at);
        else tie = larger(tie, weigh.pair(I + row, J + column, at, x_ji[row * OUT + column], larger(norms[0][row], norms[1][column])));
    }
    tie = largest_of_team(tie);
    if (threadIdx.x == 0) ties[b * tiles + number] = reports ? tie : R(0);
    for (int e = threadIdx.x; e < (diagonal ? 1 : 2) * EDGE * EDGE; e += 128) {
        const bool mirrored = e >= EDGE * EDGE;
        const int row = (mirrored ? J : I) + e % EDGE, column = (mirrored ? I : J) + e / EDGE % EDGE;
        if (row < n && column < n) g[static_cast<long long>(column) * n + row] = some[e / EDGE * OUT + e % EDGE];
    }
}

// The findings of a matrix: `ties` of its tiles and ρ of its columns into what backward/columns.cu
// began.
template <class S>
__global__ void __launch_bounds__(128)
    report(long long batch, int n, int tiles, real_of<S> round_off, const real_of<S>* __restrict__ ties,
           const real_of<S>* __restrict__ gauge_defect, real_of<S>* __restrict__ tie_defect, unsigned* __restrict__ status) {
    using R = real_of<S>;
    const long long b = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (b >= batch || refused(status[b])) return;
    R tie = 0, gauge = 0;
    for (int k = 0; k < tiles; ++k) tie = larger(tie, ties[b * tiles + k]);
    for (int k = 0; k < n; ++k) gauge = larger(gauge, gauge_defect[b * n + k]);
    tie_defect[b] = larger(tie_defect[b], tie);
    status[b] |= (gauge > round_off ? PHASE_DEPENDENT : 0) | (tie > round_off ? TIE_DEFECT : 0);
}

} // namespace eigengrad
