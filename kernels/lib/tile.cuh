// Products of small matrices in shared memory, in square tiles of registers; copies between it and
// global memory, 16 bytes at a time.
#pragma once
#include "lib/element.cuh"

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

// The 2-norm of a column. Padding is zero.
template <int N, int AT_ONCE, class S>
__device__ real_of<S> norm(const S* x) {
    using R = real_of<S>;
    R squares = 0;
    for (int i = 0; i < N; i += AT_ONCE) {
        const pack<S, AT_ONCE> some = read<AT_ONCE>(x + i);
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) squares += square(some.at[u]);
    }
    // Where this has a square, no square that counts has over- or underflown.
    if (squares * squares > 0 && finite(squares * squares)) return square_root(squares);
    R largest = limits<R>::least_normal();
    for (int i = 0; i < N; ++i) largest = larger(largest, size(x[i]));
    const R scale = 1 / largest;
    squares = 0;
    for (int i = 0; i < N; ++i) squares += square(times(x[i], scale));
    return squares == 0 ? R(0) : largest * square_root(squares);
}

// Where the scalars of an N×N matrix lie in shared memory, and the TILE×TILE tiles that a team has,
// a thread for each.
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

// += X Y over k ∈ [first, n), where Y_kj = 0 for k < j and `first` is the first j: X by columns, Y
// by rows.
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

// += a tile whose columns lie LD apart.
template <int LD, class S, int TILE>
__device__ void add_columns(tile<S, TILE>& sum, const S* from) {
#pragma unroll
    for (int w = 0; w < TILE; ++w) {
        const pack<S, TILE> column = read<TILE>(from + w * LD);
#pragma unroll
        for (int u = 0; u < TILE; ++u) sum.at[u][w] = sum.at[u][w] + column.at[u];
    }
}

// Its adjoint.
template <class S, int TILE>
__device__ tile<S, TILE> adjoint(const tile<S, TILE>& of) {
    tile<S, TILE> result;
#pragma unroll
    for (int u = 0; u < TILE; ++u)
#pragma unroll
        for (int w = 0; w < TILE; ++w) result.at[u][w] = conj(of.at[w][u]);
    return result;
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

// The number of a pair i ≥ j of N: the triangle is folded into a rectangle.
template <int N>
__device__ void pair_at(int number, int& i, int& j) {
    constexpr int EVEN = N % 2 == 0, LONG = N + EVEN;
    const int x = number % LONG, y = number / LONG;
    const bool unfolded = x >= y + EVEN;
    i = unfolded ? x - EVEN : N - 1 - x;
    j = unfolded ? y : N - EVEN - y;
}

// What lies at 16 bytes of memory is moved at once; at both ends of an array that may be less.
template <class T>
struct spans {
    static constexpr unsigned AT_ONCE = 16 / sizeof(T);
    unsigned head, packs, singles;

    __device__ spans(const T* at, unsigned count) {
        head = smaller(count, static_cast<unsigned>(-reinterpret_cast<size_t>(at) % 16 / sizeof(T)));
        packs = (count - head) / AT_ONCE;
        singles = count - packs * AT_ONCE;
    }
    __device__ unsigned pack_at(unsigned number) const { return head + number * AT_ONCE; }
    __device__ unsigned single_at(unsigned number) const { return number < head ? number : number + packs * AT_ONCE; }
};

// Where columns of N numbers are whole packs, at most all THREADS have a place in a column, and
// always the same.
template <class T, unsigned N, unsigned THREADS>
struct lanes_of_columns {
    static constexpr unsigned AT_ONCE = spans<T>::AT_ONCE, PACKS = (N + AT_ONCE - 1) / AT_ONCE, AT_A_TIME = THREADS / PACKS;
    static_assert(AT_A_TIME > 0, "a column is moved at once");
    unsigned first, entry;

    __device__ lanes_of_columns() : first(threadIdx.x / PACKS), entry(threadIdx.x % PACKS * AT_ONCE) {}
    __device__ bool any() const { return first < AT_A_TIME; }
};

// to[where(k) + i] = from[k·N + i] for i < N and columns k < count where `where`, a multiple of 16
// bytes, is not negative; nothing else of `from` needs to be there.
template <unsigned N, unsigned THREADS, class T, class S, class F>
__device__ void gather(const T* __restrict__ from, unsigned count, S* to, F where) {
    constexpr unsigned AT_ONCE = spans<T>::AT_ONCE, WIDE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    const spans<T> of(from, count * N);
    if (N % AT_ONCE == 0 && of.head == 0) {
        const lanes_of_columns<T, N, THREADS> lane;
        if (!lane.any()) return;
        // Some loads at once, before any of them is waited for.
        constexpr unsigned IN_FLIGHT = 8;
        for (unsigned k = lane.first; k < count; k += IN_FLIGHT * lane.AT_A_TIME) {
            int place[IN_FLIGHT];
            pack<T, AT_ONCE> packed[IN_FLIGHT];
#pragma unroll
            for (unsigned f = 0; f < IN_FLIGHT; ++f) {
                const unsigned column = k + f * lane.AT_A_TIME;
                place[f] = column < count ? where(column) : -1;
                if (place[f] >= 0) packed[f] = read<AT_ONCE>(from + column * N + lane.entry);
            }
#pragma unroll
            for (unsigned f = 0; f < IN_FLIGHT; ++f) {
                if (place[f] < 0) continue;
#pragma unroll
                for (unsigned u = 0; u < AT_ONCE; u += WIDE) {
                    pack<S, WIDE> wide;
#pragma unroll
                    for (unsigned w = 0; w < WIDE; ++w) wide.at[w] = widen(packed[f].at[u + w]);
                    write(to + place[f] + lane.entry + u, wide);
                }
            }
        }
        return;
    }
    constexpr unsigned IN_FLIGHT = AT_ONCE > 4 ? 2 : 4;
    for (unsigned p = threadIdx.x; p < of.packs; p += IN_FLIGHT * THREADS) {
        int place[IN_FLIGHT][AT_ONCE];
        pack<T, AT_ONCE> packed[IN_FLIGHT];
#pragma unroll
        for (unsigned f = 0; f < IN_FLIGHT; ++f) {
            const unsigned number = p + f * THREADS, e = of.pack_at(number);
            bool any = false;
#pragma unroll
            for (unsigned u = 0; u < AT_ONCE; ++u)
                any |= (place[f][u] = number < of.packs ? where((e + u) / N) : -1) >= 0;
            if (any) packed[f] = read<AT_ONCE>(from + e);
        }
#pragma unroll
        for (unsigned f = 0; f < IN_FLIGHT; ++f) {
            const unsigned e = of.pack_at(p + f * THREADS);
#pragma unroll
            for (unsigned u = 0; u < AT_ONCE; ++u)
                if (place[f][u] >= 0) to[place[f][u] + (e + u) % N] = widen(packed[f].at[u]);
        }
    }
    for (unsigned p = threadIdx.x; p < of.singles; p += THREADS) {
        const unsigned e = of.single_at(p);
        const int place = where(e / N);
        if (place >= 0) to[place + e % N] = widen(from[e]);
    }
}

// to[k·N + i] = from[where(k) + i] for i < N and rows k < count, `where` a multiple of 16 bytes.
template <unsigned N, unsigned THREADS, class T, class S, class F>
__device__ void scatter(T* __restrict__ to, unsigned count, const S* from, F where) {
    constexpr unsigned AT_ONCE = spans<T>::AT_ONCE, WIDE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    const spans<T> of(to, count * N);
    if (N % AT_ONCE == 0 && of.head == 0) {
        const lanes_of_columns<T, N, THREADS> lane;
        if (!lane.any()) return;
        for (unsigned k = lane.first; k < count; k += lane.AT_A_TIME) {
            const S* const row = from + where(k) + lane.entry;
            pack<T, AT_ONCE> packed;
#pragma unroll
            for (unsigned u = 0; u < AT_ONCE; u += WIDE) {
                const pack<S, WIDE> wide = read<WIDE>(row + u);
#pragma unroll
                for (unsigned w = 0; w < WIDE; ++w) packed.at[u + w] = narrow<T>::from(wide.at[w]);
            }
            write(to + k * N + lane.entry, packed);
        }
        return;
    }
    const auto entry = [=](unsigned e) { return narrow<T>::from(from[where(e / N) + e % N]); };
    for (unsigned p = threadIdx.x; p < of.packs; p += THREADS) {
        const unsigned e = of.pack_at(p);
        pack<T, AT_ONCE> packed;
#pragma unroll
        for (unsigned u = 0; u < AT_ONCE; ++u) packed.at[u] = entry(e + u);
        write(to + e, packed);
    }
    for (unsigned p = threadIdx.x; p < of.singles; p += THREADS) to[of.single_at(p)] = entry(of.single_at(p));
}

} // namespace eigengrad
