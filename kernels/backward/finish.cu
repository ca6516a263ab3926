// The last product by itself: Ā = M Vᴴ, which is Hermitian, or where it divides by λ (10), M Vᴴ + V
// Mᴴ; as it is stored, and whether it is finite. Where only eigenvalues have cotangents M is V diag
// λ̄.
//
//   m       [batch, n, n] one column after the other, or null for 0
//   x, weight [batch, n, n] and [batch, n]: M has column k of x times weight_k·factor more; not
//     read where that is 0; may be null
//   v       [batch, n, n] one vector after the other
//   divides [batch] as backward/columns.cu leaves it, or null for nowhere
//   alone   whether matrices where it is 0 are another kernel's
//   a_bar   [batch, n, n] row-major, as T: Ā, or by the entries of one triangle, or NaN for refused
//                         matrices
//   status  [batch] GRADIENT_NOT_FINITE; blocks of a matrix that find it all store the same number,
//                   so that no atomics are needed
//
// A block makes a square tile on or below the diagonal, and its mirror image. Bytes: M and V
// n²/EDGE·n/2 scalars each, all but n² of them from the cache, and n²·sizeof(T) written. Flops:
// 4·n³ a matrix where it does not divide, 8·n³ where it does; a quarter of them if real.
#include "lib/form.cuh"
#include "lib/status.cuh"
#include "lib/tile.cuh"

namespace eigengrad {

// A tile has EDGE rows and columns, made by 8×8 threads from CHUNK columns of M and V at a time.
template <class S>
struct block_tile {
    static constexpr int TILE = sizeof(S) == 4 ? 8 : 4, EDGE = 8 * TILE, CHUNK = 16;
};

template <class T>
__global__ void __launch_bounds__(64, 1)
    finish(int n, int form, const scalar_of<T>* __restrict__ m, const scalar_of<T>* __restrict__ x,
           const real_of<T>* __restrict__ weight, real_of<T> factor, const scalar_of<T>* __restrict__ v, const int* __restrict__ divides,
           int alone, T* __restrict__ a_bar, volatile unsigned* status) {
    using S = scalar_of<T>;
    using R = real_of<T>;
    constexpr int TILE = block_tile<S>::TILE, EDGE = block_tile<S>::EDGE, CHUNK = block_tile<S>::CHUNK;
    constexpr int LD = 2 * EDGE; // the rows of the tile, and then those of its mirror image
    constexpr int IN = 2 * CHUNK * LD, OUT = EDGE * (EDGE + 1), SIZE = IN > OUT ? IN : OUT;
    __shared__ pack<S, TILE> memory[(SIZE + TILE - 1) / TILE];
    S* const some_m = reinterpret_cast<S*>(memory);
    S* const some_v = some_m + CHUNK * LD;
    const S zero = make<S>::from(0, 0);

    const int side = (n + EDGE - 1) / EDGE, tiles = side * (side + 1) / 2, number = blockIdx.x % tiles;
    int row = 0;
    while ((row + 1) * (row + 2) / 2 <= number) ++row;
    const int I = row * EDGE, J = (number - row * (row + 1) / 2) * EDGE;
    const long long b = blockIdx.x / tiles, first = b * n * n;
    const unsigned before = status[b];
    const bool refuse = refused(before), both = divides && divides[b];
    if (alone && !both) return;

    const int u = threadIdx.x % 8 * TILE, w = threadIdx.x / 8 * TILE;
    tile<S, TILE> a;
    for (int k = 0; k < n; k += CHUNK) {
        for (int e = threadIdx.x; e < CHUNK * LD; e += 64) {
            const int column = k + e / LD, half = e % LD / EDGE, i = (half ? J : I) + e % EDGE;
            const bool there = column < n && i < n;
            const long long at = first + static_cast<long long>(column) * n + i;
            S of_m = zero, of_v = zero;
            if (there && (!half || both)) {
                if (m) of_m = m[at];
                const R by = weight ? weight[b * n + column] * factor : R(0);
                if (by != 0) of_m = of_m + times(x[at], by);
            }
            if (there && (half || both)) of_v = v[at];
            some_m[e] = of_m;
            some_v[e] = of_v;
        }
        __syncthreads();
        if (both) add_rank_2k<LD>(a, CHUNK, u, EDGE + w, some_m, some_v);
        else add_outer<LD>(a, CHUNK, some_m + u, some_v + EDGE + w);
        __syncthreads();
    }

    const auto out = [some_m](int i, int j) -> S& { return some_m[i * (EDGE + 1) + j]; };
#pragma unroll
    for (int i = 0; i < TILE; ++i)
#pragma unroll
        for (int j = 0; j < TILE; ++j) out(u + i, w + j) = a.at[i][j];
    __syncthreads();
    bool all_finite = true;
    const auto store = [&](int i, int j, S entry) {
        if (i >= n || j >= n) return;
        if (i == j) entry = make<S>::from(re(entry), 0);
        entry = times(entry, static_cast<R>(factor_of(form, i, j)));
        const T stored = narrow<T>::from(refuse ? make<S>::from(limits<R>::nan(), limits<R>::nan()) : entry);
        a_bar[first + static_cast<long long>(i) * n + j] = stored;
        all_finite &= finite(widen(stored));
    };
    for (int e = threadIdx.x; e < EDGE * EDGE; e += 64) {
        const int i = e / EDGE, j = e % EDGE;
        const bool below = I > J || i >= j;
        store(I + i, J + j, below ? out(i, j) : conj(out(j, i)));
        if (I > J) store(J + i, I + j, conj(out(j, i)));
    }
    if (!all_finite && !refuse) status[b] = before | GRADIENT_NOT_FINITE;
}

} // namespace eigengrad
