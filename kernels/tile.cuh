// Products of small matrices in shared memory, in square tiles of registers; copies between it and global memory, 16 bytes at a time.
#pragma once
#include "element.cuh"

namespace eigengrad {

// Scalars that are read and written at once, by 16 bytes.
template <class S, int COUNT>
struct alignas(COUNT * sizeof(S) < 16 ? COUNT * sizeof(S) : 16) pack {
    S at[COUNT];
};
template <int COUNT, class S>
__device__ pack<S, COUNT> read(const S* from) {
    return *reinterpret_cast<const pack<S, COUNT>*>(from);
}
template <class S, int COUNT>
__device__ void write(S* to, const pack<S, COUNT>& packed) {
    *reinterpret_cast<pack<S, COUNT>*>(to) = packed;
}

// Where the scalars of an N×N matrix lie in shared memory, and the TILE×TILE tiles that a team has, a thread for each.
template <class S, int N, int TILE>
struct layout {
    static constexpr int AT_ONCE = sizeof(S) < 16 ? 16 / sizeof(S) : 1; // scalars in 16 bytes
    static constexpr int SIDE = (N + TILE - 1) / TILE;
    static constexpr int PADDED = SIDE * TILE;
    static constexpr int TEAM = SIDE * SIDE;
    static constexpr int LOWER = SIDE * (SIDE + 1) / 2;
    // Odd in units of 16 bytes: neither columns nor matrices begin in the same bank.
    static constexpr int LD = ((PADDED + AT_ONCE - 1) / AT_ONCE | 1) * AT_ONCE;
    static constexpr int SIZE = (LD / AT_ONCE * PADDED | 1) * AT_ONCE;
};

// sum + x·y.
template <class R>
__device__ R add_product(R sum, R x, R y) { return sum + x * y; }
template <class R>
__device__ complex<R> add_product(complex<R> sum, complex<R> x, complex<R> y) {
    return {sum.re + x.re * y.re - x.im * y.im, sum.im + x.re * y.im + x.im * y.re};
}

// A tile of a product, in registers.
template <class S, int TILE>
struct tile {
    S at[TILE][TILE];

    __device__ tile() {
#pragma unroll
        for (int u = 0; u < TILE; ++u)
#pragma unroll
            for (int w = 0; w < TILE; ++w) at[u][w] = make<S>::from(0, 0);
    }
    // += x yᵀ, of the columns up to `last`.
    __device__ void add(const pack<S, TILE>& x, const pack<S, TILE>& y, int last = TILE - 1) {
#pragma unroll
        for (int u = 0; u < TILE; ++u)
#pragma unroll
            for (int w = 0; w < TILE; ++w)
                if (w <= last) at[u][w] = add_product(at[u][w], x.at[u], y.at[w]);
    }
};

template <int COUNT, class S>
__device__ pack<S, COUNT> conj(pack<S, COUNT> x) {
#pragma unroll
    for (int u = 0; u < COUNT; ++u) x.at[u] = conj(x.at[u]);
    return x;
}

// += XᴴY over the entries [0, n) of columns: X's lie STEP apart, Y's LD.
template <int STEP, int LD, int AT_ONCE, class S, int TILE>
__device__ void add_inner(tile<S, TILE>& sum, int n, const S* x, const S* y) {
    for (int k = 0; k < n; k += AT_ONCE) {
        pack<S, AT_ONCE> left[TILE], right[TILE];
#pragma unroll
        for (int u = 0; u < TILE; ++u) {
            left[u] = conj(read<AT_ONCE>(x + u * STEP + k));
            right[u] = read<AT_ONCE>(y + u * LD + k);
        }
#pragma unroll
        for (int e = 0; e < AT_ONCE; ++e)
#pragma unroll
            for (int u = 0; u < TILE; ++u)
#pragma unroll
                for (int w = 0; w < TILE; ++w) sum.at[u][w] = add_product(sum.at[u][w], left[u].at[e], right[w].at[e]);
    }
}

// += X Y over k ∈ [first, n), where Y_kj = 0 for k < j and `first` is the first j: X by columns, Y by rows.
template <int LD, class S, int TILE>
__device__ void add_trapezoid(tile<S, TILE>& sum, int first, int n, const S* x, const S* y) {
#pragma unroll
    for (int k = 0; k < TILE; ++k)
        if (first + k < n) sum.add(read<TILE>(x + (first + k) * LD), read<TILE>(y + (first + k) * LD), k);
    for (int k = first + TILE; k < n; ++k) sum.add(read<TILE>(x + k * LD), read<TILE>(y + k * LD));
}

// += X Yᴴ over k ∈ [0, n): X and Y by columns.
template <int LD, class S, int TILE>
__device__ void add_outer(tile<S, TILE>& sum, int n, const S* x, const S* y) {
    for (int k = 0; k < n; ++k) sum.add(read<TILE>(x + k * LD), conj(read<TILE>(y + k * LD)));
}

// += X Yᴴ + Y Xᴴ over k ∈ [0, n), at rows I and columns J of X and Y, which lie by columns.
template <int LD, class S, int TILE>
__device__ void add_rank_2k(tile<S, TILE>& sum, int n, int I, int J, const S* x, const S* y) {
    for (int k = 0; k < n; ++k, x += LD, y += LD) {
        sum.add(read<TILE>(x + I), conj(read<TILE>(y + J)));
        sum.add(read<TILE>(y + I), conj(read<TILE>(x + J)));
    }
}

// X diag(weight).
template <int LD, class S, int TILE>
__device__ tile<S, TILE> weighted(const S* x, const real_of<S>* weight) {
    tile<S, TILE> product;
#pragma unroll
    for (int w = 0; w < TILE; ++w) {
        const pack<S, TILE> column = read<TILE>(x + w * LD);
#pragma unroll
        for (int u = 0; u < TILE; ++u) product.at[u][w] = times(column.at[u], weight[w]);
    }
    return product;
}

// Rows that lie LD apart, or columns.
template <int LD, class S, int TILE>
__device__ void write_rows(S* to, const tile<S, TILE>& from) {
#pragma unroll
    for (int u = 0; u < TILE; ++u) {
        pack<S, TILE> row;
#pragma unroll
        for (int w = 0; w < TILE; ++w) row.at[w] = from.at[u][w];
        write(to + u * LD, row);
    }
}
template <int LD, class S, int TILE>
__device__ void write_columns(S* to, const tile<S, TILE>& from) {
#pragma unroll
    for (int w = 0; w < TILE; ++w) {
        pack<S, TILE> column;
#pragma unroll
        for (int u = 0; u < TILE; ++u) column.at[u] = from.at[u][w];
        write(to + w * LD, column);
    }
}

// The row of a tile on or below the diagonal, of SIDE(SIDE + 1)/2 that are numbered row by row.
template <int SIDE>
__device__ int row_of_tile(int number) {
    int row = 0;
#pragma unroll
    for (int i = 1; i < SIDE; ++i) row += number >= i * (i + 1) / 2;
    return row;
}

// The number of a pair i ≥ j of N: the triangle is folded into a rectangle.
template <int N>
__device__ void pair_at(int number, int& i, int& j) {
    constexpr int EVEN = N % 2 == 0, LONG = N + EVEN;
    const int x = number % LONG, y = number / LONG;
    const bool unfolded = x >= y + EVEN;
    i = unfolded ? x - EVEN : N - 1 - x;
    j = unfolded ? y : N - EVEN - y;
}

// to[where(e)] = from[e] for e in [0, count) where `where` is not negative; nothing else of `from` needs to be there.
template <class T, class S, class F>
__device__ void gather(const T* __restrict__ from, int count, S* to, F where) {
    constexpr int AT_ONCE = 16 / sizeof(T);
    const int unaligned = static_cast<int>(-reinterpret_cast<size_t>(from) % 16 / sizeof(T));
    const int head = smaller(count, unaligned), packs = (count - head) / AT_ONCE, rest = head + packs * AT_ONCE;
    for (int p = threadIdx.x; p < packs; p += blockDim.x) {
        const int e = head + p * AT_ONCE;
        int place[AT_ONCE];
        bool any = false;
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) any |= (place[u] = where(e + u)) >= 0;
        if (!any) continue;
        const pack<T, AT_ONCE> packed = read<AT_ONCE>(from + e);
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u)
            if (place[u] >= 0) to[place[u]] = widen(packed.at[u]);
    }
    for (int e = threadIdx.x; e < head + count - rest; e += blockDim.x) {
        const int single = e < head ? e : rest + e - head, place = where(single);
        if (place >= 0) to[place] = widen(from[single]);
    }
}

// to[e] = entry(e) for e in [0, count).
template <class T, class F>
__device__ void scatter(T* __restrict__ to, int count, F entry) {
    constexpr int AT_ONCE = 16 / sizeof(T);
    const int unaligned = static_cast<int>(-reinterpret_cast<size_t>(to) % 16 / sizeof(T));
    const int head = smaller(count, unaligned), packs = (count - head) / AT_ONCE, rest = head + packs * AT_ONCE;
    for (int p = threadIdx.x; p < packs; p += blockDim.x) {
        const int e = head + p * AT_ONCE;
        pack<T, AT_ONCE> packed;
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) packed.at[u] = entry(e + u);
        write(to + e, packed);
    }
    for (int e = threadIdx.x; e < head + count - rest; e += blockDim.x) {
        const int single = e < head ? e : rest + e - head;
        to[single] = entry(single);
    }
}

} // namespace eigengrad
