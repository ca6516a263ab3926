// Products of small matrices in shared memory, in tiles of registers; copies between it and global
// memory, 16 bytes at a time.
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
#pragma unroll 1
    for (int i = 0; i < N; ++i) largest = larger(largest, size(x[i]));
    const R scale = 1 / largest;
    squares = 0;
#pragma unroll 1
    for (int i = 0; i < N; ++i) squares += square(times(x[i], scale));
    return squares == 0 ? R(0) : largest * square_root(squares);
}

// Where the scalars of an N×N matrix lie in shared memory, and the ROWS×COLUMNS tiles that a team
// has, a thread for each. ROWS divides COLUMNS.
template <class S, int N, int ROWS, int COLUMNS = ROWS>
struct layout {
    static constexpr int AT_ONCE = sizeof(S) < 16 ? 16 / sizeof(S) : 1; // scalars in 16 bytes
    static constexpr int SIDE = (N + ROWS - 1) / ROWS;
    static constexpr int ACROSS = (N + COLUMNS - 1) / COLUMNS;
    static constexpr int PADDED = ACROSS * COLUMNS;
    static constexpr int TEAM = SIDE * ACROSS;
    static constexpr int LOWER = SIDE * (SIDE + 1) / 2; // of square tiles
    // Odd in units of 16 bytes: neither columns nor matrices begin in the same bank.
    static constexpr int LD = ((PADDED + AT_ONCE - 1) / AT_ONCE | 1) * AT_ONCE;
    static constexpr int SIZE = (LD / AT_ONCE * PADDED | 1) * AT_ONCE;

    // Waits for the team, and orders what it reads and writes.
    static __device__ void team_barrier() {
        if (32 % TEAM == 0) __syncwarp();
        else __syncthreads();
    }
};

// A tile of a product, in registers.
template <class S, int ROWS, int COLUMNS = ROWS>
struct tile {
    S at[ROWS][COLUMNS];

    __device__ tile() {
#pragma unroll
        for (int u = 0; u < ROWS; ++u)
#pragma unroll
            for (int w = 0; w < COLUMNS; ++w) at[u][w] = make<S>::from(0, 0);
    }
    // += x yᵀ, of the columns up to `last`.
    __device__ void add(const pack<S, ROWS>& x, const pack<S, COLUMNS>& y, int last = COLUMNS - 1) {
#pragma unroll
        for (int u = 0; u < ROWS; ++u)
#pragma unroll
            for (int w = 0; w < COLUMNS; ++w)
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
template <int STEP, int LD, int AT_ONCE, class S, int ROWS, int COLUMNS>
__device__ void add_inner(tile<S, ROWS, COLUMNS>& sum, int n, const S* x, const S* y) {
    for (int k = 0; k < n; k += AT_ONCE) {
        pack<S, AT_ONCE> left[ROWS], right[COLUMNS];
#pragma unroll
        for (int u = 0; u < ROWS; ++u) left[u] = conj(read<AT_ONCE>(x + u * STEP + k));
#pragma unroll
        for (int w = 0; w < COLUMNS; ++w) right[w] = read<AT_ONCE>(y + w * LD + k);
#pragma unroll
        for (int e = 0; e < AT_ONCE; ++e)
#pragma unroll
            for (int u = 0; u < ROWS; ++u)
#pragma unroll
                for (int w = 0; w < COLUMNS; ++w) sum.at[u][w] = add_product(sum.at[u][w], left[u].at[e], right[w].at[e]);
    }
}

// += X Y over k ∈ [first, n), where Y_kj = 0 for k < j and `first` is the first j: X by columns, Y
// by rows.
template <int LD, class S, int ROWS, int COLUMNS>
__device__ void add_trapezoid(tile<S, ROWS, COLUMNS>& sum, int first, int n, const S* x, const S* y) {
#pragma unroll
    for (int k = 0; k < COLUMNS; ++k)
        if (first + k < n) sum.add(read<ROWS>(x + (first + k) * LD), read<COLUMNS>(y + (first + k) * LD), k);
#pragma unroll 4
    for (int k = first + COLUMNS; k < n; ++k) sum.add(read<ROWS>(x + k * LD), read<COLUMNS>(y + k * LD));
}

// += X Yᴴ over k ∈ [0, n): X and Y by columns.
template <int LD, class S, int ROWS, int COLUMNS>
__device__ void add_outer(tile<S, ROWS, COLUMNS>& sum, int n, const S* x, const S* y) {
#pragma unroll 4
    for (int k = 0; k < n; ++k) sum.add(read<ROWS>(x + k * LD), conj(read<COLUMNS>(y + k * LD)));
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
template <int LD, class S, int ROWS, int COLUMNS = ROWS>
__device__ tile<S, ROWS, COLUMNS> weighted(const S* x, const real_of<S>* weight) {
    tile<S, ROWS, COLUMNS> product;
#pragma unroll
    for (int w = 0; w < COLUMNS; ++w) {
        const pack<S, ROWS> column = read<ROWS>(x + w * LD);
#pragma unroll
        for (int u = 0; u < ROWS; ++u) product.at[u][w] = times(column.at[u], weight[w]);
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

// Rows that lie LD apart, or columns.
template <int LD, class S, int ROWS, int COLUMNS>
__device__ void write_rows(S* to, const tile<S, ROWS, COLUMNS>& from) {
#pragma unroll
    for (int u = 0; u < ROWS; ++u) {
        pack<S, COLUMNS> row;
#pragma unroll
        for (int w = 0; w < COLUMNS; ++w) row.at[w] = from.at[u][w];
        write(to + u * LD, row);
    }
}
template <int LD, class S, int ROWS, int COLUMNS>
__device__ void write_columns(S* to, const tile<S, ROWS, COLUMNS>& from) {
#pragma unroll
    for (int w = 0; w < COLUMNS; ++w) {
        pack<S, ROWS> column;
#pragma unroll
        for (int u = 0; u < ROWS; ++u) column.at[u] = from.at[u][w];
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

// 16 bytes from global to shared memory, or zeros, through no register where the device can do so.
// They are there behind `await_copies` and a barrier.
template <class T>
__device__ void copy_16_bytes(T* to, const T* from, bool wanted) {
#ifdef EIGENGRAD_EMULATED
    __pipeline_memcpy_async(to, from, 16, wanted ? 0 : 16);
#elif __CUDA_ARCH__ >= 800
    const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(to)), bytes = wanted ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(__cvta_generic_to_global(from)), "r"(bytes) : "memory");
#else
    *reinterpret_cast<uint4*>(to) = wanted ? *reinterpret_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
#endif
}
__device__ inline void await_copies() {
#ifdef EIGENGRAD_EMULATED
    __pipeline_wait_prior(0);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Asks for an array of at most 128 bytes a thread, so that it is near when it is read.
template <class T>
__device__ void prefetch(const T* from, unsigned count) {
#ifndef EIGENGRAD_EMULATED
    const unsigned first = threadIdx.x * (128 / sizeof(T));
    if (first < count) asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from + first)));
#endif
}

template <class A, class B>
struct same {
    static constexpr bool TYPES = false;
};
template <class A>
struct same<A, A> {
    static constexpr bool TYPES = true;
};

// Where a column goes, a multiple of 16 bytes, and of which arrays it is wanted.
struct column_place {
    int at;
    bool wanted[2];
};

// to[a][where(k).at + i] = from[a][k·N + i], or 0 where it is not wanted and not read, for i < N,
// columns k < count and some arrays. It is there behind `await_copies` and a barrier.
template <unsigned N, unsigned THREADS, int ARRAYS, class T, class S, class F>
__device__ void gather(const T* const (&from)[ARRAYS], unsigned count, S* const (&to)[ARRAYS], F where) {
    constexpr unsigned AT_ONCE = spans<T>::AT_ONCE, WIDE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    bool whole = N % AT_ONCE == 0;
#pragma unroll
    for (int a = 0; a < ARRAYS; ++a) whole &= reinterpret_cast<size_t>(from[a]) % 16 == 0;
    if (whole) {
        const lanes_of_columns<T, N, THREADS> lane;
        if (!lane.any()) return;
        if constexpr (same<T, S>::TYPES) {
            for (unsigned k = lane.first; k < count; k += lane.AT_A_TIME) {
                const column_place place = where(k);
#pragma unroll
                for (int a = 0; a < ARRAYS; ++a)
                    copy_16_bytes(to[a] + place.at + lane.entry, from[a] + k * N + lane.entry, place.wanted[a]);
            }
            return;
        }
        // Some loads at once, before any of them is waited for.
        constexpr unsigned IN_FLIGHT = 8 / ARRAYS;
        for (unsigned k = lane.first; k < count; k += IN_FLIGHT * lane.AT_A_TIME) {
            column_place place[IN_FLIGHT];
            pack<T, AT_ONCE> packed[IN_FLIGHT][ARRAYS];
#pragma unroll
            for (unsigned f = 0; f < IN_FLIGHT; ++f) {
                const unsigned column = k + f * lane.AT_A_TIME;
                place[f] = where(column < count ? column : 0);
#pragma unroll
                for (int a = 0; a < ARRAYS; ++a)
                    if (column < count && place[f].wanted[a]) packed[f][a] = read<AT_ONCE>(from[a] + column * N + lane.entry);
            }
#pragma unroll
            for (unsigned f = 0; f < IN_FLIGHT; ++f)
#pragma unroll
                for (int a = 0; a < ARRAYS; ++a) {
                    if (k + f * lane.AT_A_TIME >= count) continue;
#pragma unroll
                    for (unsigned u = 0; u < AT_ONCE; u += WIDE) {
                        pack<S, WIDE> wide;
#pragma unroll
                        for (unsigned w = 0; w < WIDE; ++w)
                            wide.at[w] = place[f].wanted[a] ? widen(packed[f][a].at[u + w]) : make<S>::from(0, 0);
                        write(to[a] + place[f].at + lane.entry + u, wide);
                    }
                }
        }
        return;
    }
    // Each array as it lies, 16 bytes at a time behind its head.
#pragma unroll
    for (int a = 0; a < ARRAYS; ++a) {
        constexpr unsigned IN_FLIGHT = AT_ONCE > 4 ? 2 : 4;
        const spans<T> of(from[a], count * N);
        for (unsigned p = threadIdx.x; p < of.packs; p += IN_FLIGHT * THREADS) {
            column_place place[IN_FLIGHT][AT_ONCE];
            pack<T, AT_ONCE> packed[IN_FLIGHT];
#pragma unroll
            for (unsigned f = 0; f < IN_FLIGHT; ++f) {
                const unsigned number = p + f * THREADS, e = of.pack_at(number < of.packs ? number : 0);
                bool any = false;
#pragma unroll
                for (unsigned u = 0; u < AT_ONCE; ++u) any |= (place[f][u] = where((e + u) / N)).wanted[a];
                if (number < of.packs && any) packed[f] = read<AT_ONCE>(from[a] + e);
            }
#pragma unroll
            for (unsigned f = 0; f < IN_FLIGHT; ++f) {
                const unsigned number = p + f * THREADS, e = of.pack_at(number);
                if (number >= of.packs) continue;
#pragma unroll
                for (unsigned u = 0; u < AT_ONCE; ++u)
                    to[a][place[f][u].at + (e + u) % N] = place[f][u].wanted[a] ? widen(packed[f].at[u]) : make<S>::from(0, 0);
            }
        }
        for (unsigned p = threadIdx.x; p < of.singles; p += THREADS) {
            const unsigned e = of.single_at(p);
            const column_place place = where(e / N);
            to[a][place.at + e % N] = place.wanted[a] ? widen(from[a][e]) : make<S>::from(0, 0);
        }
    }
}

// All columns of one array.
template <unsigned N, unsigned THREADS, class T, class S, class F>
__device__ void gather_all(const T* from, unsigned count, S* to, F where) {
    gather<N, THREADS, 1, T, S>({from}, count, {to}, [where](unsigned k) { return column_place{where(k), {true, false}}; });
}

// Rows that lie in memory.
template <class S, class F>
struct rows_at {
    const S* from;
    F where;

    template <int COUNT>
    __device__ pack<S, COUNT> some(unsigned row, unsigned column) {
        return read<COUNT>(from + where(row) + column);
    }
};

// to[k·N + i] = the entry i of row k, for i < N and rows k < count. `rows` gives some entries of a
// row at once, those of 16 bytes of S or one.
template <unsigned N, unsigned THREADS, class S, class T, class ROWS>
__device__ void scatter_rows(T* __restrict__ to, unsigned count, ROWS& rows) {
    constexpr unsigned AT_ONCE = spans<T>::AT_ONCE, WIDE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    const spans<T> of(to, count * N);
    if (N % AT_ONCE == 0 && of.head == 0) {
        const lanes_of_columns<T, N, THREADS> lane;
        if (!lane.any()) return;
        for (unsigned k = lane.first; k < count; k += lane.AT_A_TIME) {
            pack<T, AT_ONCE> packed;
#pragma unroll
            for (unsigned u = 0; u < AT_ONCE; u += WIDE) {
                const pack<S, WIDE> wide = rows.template some<WIDE>(k, lane.entry + u);
#pragma unroll
                for (unsigned w = 0; w < WIDE; ++w) packed.at[u + w] = narrow<T>::from(wide.at[w]);
            }
            write(to + k * N + lane.entry, packed);
        }
        return;
    }
    for (unsigned p = threadIdx.x; p < of.packs; p += THREADS) {
        const unsigned e = of.pack_at(p);
        pack<T, AT_ONCE> packed;
#pragma unroll
        for (unsigned u = 0; u < AT_ONCE; ++u) packed.at[u] = narrow<T>::from(rows.template some<1>((e + u) / N, (e + u) % N).at[0]);
        write(to + e, packed);
    }
    for (unsigned p = threadIdx.x; p < of.singles; p += THREADS) {
        const unsigned e = of.single_at(p);
        to[e] = narrow<T>::from(rows.template some<1>(e / N, e % N).at[0]);
    }
}

// to[k·N + i] = from[where(k) + i], `where` a multiple of 16 bytes.
template <unsigned N, unsigned THREADS, class T, class S, class F>
__device__ void scatter(T* __restrict__ to, unsigned count, const S* from, F where) {
    rows_at<S, F> rows{from, where};
    scatter_rows<N, THREADS, S>(to, count, rows);
}

} // namespace eigengrad
