// What the kernels of derivatives and functions that keep matrices on chip share beyond tiles:
// whole matrices from triangles and from columns of K, VᴴEV, and Hermitian results.
#pragma once
#include "lib/ties.cuh"
#include "lib/status.cuh"
#include "lib/tile.cuh"

namespace eigengrad {

// Zeros behind the columns of some matrices, where they are read AT_ONCE.
template <class ON, int N, class S>
__device__ void clear_padding(S* all, int matrices) {
    constexpr int PADDING = (ON::AT_ONCE - N % ON::AT_ONCE) % ON::AT_ONCE;
    if constexpr (PADDING > 0)
        for (int q = threadIdx.x; q < matrices * ON::PADDED; q += blockDim.x)
            for (int u = 0; u < PADDING; ++u) all[q / ON::PADDED * ON::SIZE + q % ON::PADDED * ON::LD + N + u] = make<S>::from(0, 0);
}

// Where column k of matrices that lie one after the other is in shared memory.
template <class ON, int N>
__device__ int column_at(unsigned k) {
    return static_cast<int>(k / N * ON::SIZE + k % N * ON::LD);
}

// The columns of K, and zeros for those of D, which are not read.
template <class ON, int N, int THREADS, class O, class S, class C>
__device__ void gather_kept(const O* from, int here, S* all, const C* of) {
    gather<N, THREADS, 1, O, S>({from}, here * N, {all}, [of](unsigned k) {
        return column_place{column_at<ON, N>(k), {of[k / N].label[k % N] != 0, false}};
    });
}

// A Hermitian matrix as it lies in memory, row after row, of which one triangle is right, or the
// mean ↦ whole, column after column.
template <class ON, int N, class S>
__device__ void complete(S* e, int t, int read) {
    for (int p = t; p < N * (N + 1) / 2; p += ON::TEAM) {
        int i, j;
        pair_at<N>(p, i, j);
        const S left = e[i * ON::LD + j], right = e[j * ON::LD + i];
        const S below = read == READ_LOWER ? left : read == READ_UPPER ? conj(right) : mean(left, right);
        if (i != j) e[i * ON::LD + j] = conj(below);
        e[j * ON::LD + i] = i == j ? make<S>::from(re(below), 0) : below;
    }
}

// Q = VᴴEV by a whole block, in the place of E, row after row.
template <class ON, int N, int TILE, class S>
__device__ void to_basis(bool works, const S* v, S* e, int I, int J) {
    constexpr int LD = ON::LD, SIDE = ON::SIDE, STEP = SIDE * LD;
    tile<S, TILE> product, q;
    // E = Eᴴ
    if (works) add_inner<STEP, LD, ON::AT_ONCE>(product, N, e + I * LD, v + TILE * J * LD);
    __syncthreads();
    if (works) {
#pragma unroll
        for (int w = 0; w < TILE; ++w)
#pragma unroll
            for (int u = 0; u < TILE; ++u) {
                const int i = I + u * SIDE;
                e[(TILE * J + w) * LD + i] = i < N ? product.at[u][w] : make<S>::from(0, 0);
            }
    }
    __syncthreads();
    if (works) add_inner<STEP, LD, ON::AT_ONCE>(q, N, v + I * LD, e + TILE * J * LD);
    __syncthreads();
    if (works) write_rows<STEP>(e + I * LD + TILE * J, q);
}

// += X Y over k < n: X by columns, Y by rows.
template <int LD, class S, int TILE>
__device__ void add_plain(tile<S, TILE>& sum, int n, const S* x, const S* y) {
    for (int k = 0; k < n; ++k) sum.add(read<TILE>(x + k * LD), read<TILE>(y + k * LD));
}

// += XᴴY over k < n where `on(k)`: X and Y by rows.
template <int LD, class S, int TILE, class F>
__device__ void add_by_rows(tile<S, TILE>& sum, int n, const S* x, const S* y, F on) {
    for (int k = 0; k < n; ++k)
        if (on(k)) sum.add(conj(read<TILE>(x + k * LD)), read<TILE>(y + k * LD));
}
template <int LD, class S, int TILE>
__device__ void add_by_rows(tile<S, TILE>& sum, int n, const S* x, const S* y) {
    add_by_rows<LD>(sum, n, x, y, [](int) { return true; });
}

// −= XᴴY over k < n: X and Y by rows.
template <int LD, class S, int TILE>
__device__ void subtract_by_rows(tile<S, TILE>& sum, int n, const S* x, const S* y) {
    for (int k = 0; k < n; ++k) {
        pack<S, TILE> left = read<TILE>(x + k * LD);
#pragma unroll
        for (int u = 0; u < TILE; ++u) left.at[u] = make<S>::from(-re(left.at[u]), im(left.at[u]));
        sum.add(left, read<TILE>(y + k * LD));
    }
}

// A tile on or below the diagonal of a matrix of the block, for the threads from the first on,
// whatever team they are in.
template <class ON>
struct lower_tile {
    int owner, number, row = 0, column;

    __device__ lower_tile() : owner(threadIdx.x / ON::LOWER), number(threadIdx.x % ON::LOWER) {
#pragma unroll
        for (int i = 1; i < ON::SIDE; ++i) row += number >= i * (i + 1) / 2;
        column = number - row * (row + 1) / 2;
    }
};

// Such a tile ↦ both sides of the diagonal, by rows. Whether it is finite as T.
template <class T, int N, int LD, class S, int TILE>
__device__ bool mirror(S* to, const tile<S, TILE>& from, int I, int J, real_of<S> factor, bool refuse) {
    const real_of<S> nan = limits<real_of<S>>::nan();
    tile<S, TILE> lower, upper;
    bool all_finite = true;
#pragma unroll
    for (int u = 0; u < TILE; ++u)
#pragma unroll
        for (int w = 0; w < TILE; ++w) {
            S entry = I == J && u < w ? conj(from.at[w][u]) : from.at[u][w];
            if (I == J && u == w) entry = make<S>::from(re(entry), 0);
            entry = refuse ? make<S>::from(nan, nan) : times(entry, factor);
            if (TILE * I + u < N && TILE * J + w < N) all_finite &= finite(widen(narrow<T>::from(entry)));
            lower.at[u][w] = entry;
            upper.at[u][w] = conj(entry);
        }
    write_rows<LD>(to + TILE * (I * LD + J), lower);
    if (I != J) write_columns<LD>(to + TILE * (J * LD + I), upper);
    return all_finite;
}

} // namespace eigengrad
