// Householder's reflections that make a Hermitian A real and tridiagonal, T = QᴴAQ, and implicit
// QL, which finds T = Z Λ Zᵀ: docs/derivation.md §14.
//
// All of it takes 1 ≤ max|A_ij| < 2, as eigh/prepare.cu leaves A: what is below ε beside that is
// round-off of A.
#pragma once
#include "lib/team.cuh"
#include "lib/tile.cuh"

namespace eigengrad {

// Sweeps for each eigenvalue, as LAPACK has them: no matrix is known to need as many.
constexpr int SWEEPS_EACH = 30;

// Squares below this are those of numbers far below round-off.
__device__ inline float negligible_square(float) { return 1e-36f; }
__device__ inline double negligible_square(double) { return 1e-290; }

// 1/√x within an ulp or two for normal x, without a branch: the chip's estimate, to 20 bits, and steps
// of Newton's.
__device__ inline float inverse_root(float x) {
#ifdef EIGENGRAD_EMULATED
    const float y = rsqrtf(x) * (1 + 0x1p-20f);
#else
    float y = x;
    asm("rsqrt.approx.ftz.f32 %0, %0;" : "+f"(y));
#endif
    return fmaf(0.5f * y, fmaf(-x * y, y, 1.0f), y);
}
__device__ inline double inverse_root(double x) {
#ifdef EIGENGRAD_EMULATED
    double y = rsqrt(x) * (1 + 0x1p-20);
#else
    double y = x;
    asm("rsqrt.approx.ftz.f64 %0, %0;" : "+d"(y));
#endif
    y = fma(0.5 * y, fma(-x * y, y, 1.0), y);
    return fma(0.5 * y, fma(-x * y, y, 1.0), y);
}

// Wilkinson's shift of the window from l to m, less d_l: e_l is not negligible.
template <class R>
__device__ R shifted(R d_l, R d_next, R e_l, R d_m) {
    const R half = (d_next - d_l) * reciprocal(2 * e_l), square = half * half + 1, root = square * inverse_root(square);
    return d_m - d_l + e_l * reciprocal(half + (half < 0 ? -root : root));
}

// Whether e between diagonal entries a and b is round-off.
template <class R>
__device__ bool negligible(R e, R a, R b) {
    return magnitude(e) <= limits<R>::epsilon() * (magnitude(a) + magnitude(b) + R(0.25));
}

// c − x·y, and c − x·ȳ.
template <class S>
__device__ S subtract_product(S c, S x, S y) { return add_product(c, make<S>::from(-re(x), -im(x)), y); }

// I − τ v vᴴ with v = (1, scale·tail), whose adjoint maps (α, tail) to (β, 0), β real: LAPACK's
// ?larfg.
template <class S>
struct reflection_of {
    S tau, scale;
    real_of<S> beta;

    __device__ reflection_of(S alpha, real_of<S> tail_squares) {
        using R = real_of<S>;
        const R a = re(alpha), b = im(alpha), beside = b * b + tail_squares;
        tau = scale = make<S>::from(0, 0);
        beta = a;
        if (!(beside > negligible_square(R()))) return;
        const R squares = a * a + beside, inverse = inverse_root(squares), norm = squares * inverse;
        beta = a < 0 ? norm : -norm;
        const R by_beta = a < 0 ? inverse : -inverse, from_beta = a - beta, by_square = reciprocal(from_beta * from_beta + b * b);
        tau = make<S>::from(-from_beta * by_beta, -b * by_beta);
        scale = make<S>::from(from_beta * by_square, -b * by_square);
    }
};

// A rotation of two neighbouring columns of Z by three shears, (x, y) ↦ (c·x − s·y, s·x + c·y):
// t = −s/(1 + c). Nothing turns where s = t = 0. c ≥ 0, so |t| ≤ 1.
template <class R>
struct shears {
    R t, s;

    // By the tangent of half the angle, s/(1 + c).
    __device__ static shears by_half_tangent(R u) { return {-u, 2 * u * reciprocal(1 + u * u)}; }
    __device__ void turn(R& x, R& y) const {
        x += t * y;
        y += s * x;
        x += t * y;
    }
};

// Implicit QL of one T of order n, whose diagonal and off-diagonal are d and e at every `stride`th
// place; Wilkinson's shift. e_i is set to 0 where it is negligible; d becomes Λ.
//
// A sweep works on a window, an unreduced block of rows l to m, upwards. Its rotation i, m > i ≥ l,
// turns columns i and i + 1 of Z.
template <class R>
struct ql_iteration {
    R *d, *e;
    int stride, n;
    int l = 0, m = 0;

    __device__ ql_iteration(R* d, R* e, int stride, int n) : d(d), e(e), stride(stride), n(n) {}

    // The next window; false where there is none.
    __device__ bool next_window() {
        while (l < n - 1 && at(e, l) == 0) ++l;
        if (l >= n - 1) return false;
        if (m <= l)
            for (m = l + 1; m < n - 1 && at(e, m) != 0;) ++m;
        return true;
    }

    // Begins a sweep over the window.
    __device__ void begin() {
        const R d_m = at(d, m);
        g = shifted(at(d, l), at(d, l + 1), at(e, l), d_m);
        s = c = 1;
        p = 0;
        i = m - 1;
        split = m;
        d_above = d_m;
        d_next = d_last = 0;
        d_next = at(d, i);
        e_next = at(e, i);
    }

    __device__ bool on() const { return i >= l; }

    // Rotation i: returns the tangent of half its angle.
    __device__ R rotate() {
        const R d_i = d_next, e_i = e_next;
        const int above = i > l ? i - 1 : l;
        d_next = at(d, above), e_next = at(e, above); // before they are needed
        const R f = s * e_i, b = c * e_i, squares = g * g + f * f;
        const bool none = squares < negligible_square(R());
        const R inverse = inverse_root(none ? R(1) : squares);
        // c ≥ 0, and r has g's sign
        const R r = none ? R(0) : (g < 0 ? -squares : squares) * inverse;
        s = none ? R(0) : (g < 0 ? -f : f) * inverse;
        c = none ? R(1) : magnitude(g) * inverse;
        const R lowered = d_above - p, rest = (d_i - lowered) * s + 2 * c * b;
        p = s * rest;
        const R settled = lowered + p;
        at(d, i + 1) = settled;
        if (i + 1 < m) {
            const bool gone = negligible(r, settled, d_last);
            at(e, i + 1) = gone ? R(0) : r;
            if (gone) split = i + 1;
        }
        g = c * rest - b;
        d_above = d_i;
        d_last = settled;
        --i;
        return s * reciprocal(1 + c);
    }

    // Ends the sweep: the window is now what lies above the highest row where T has come apart.
    __device__ void end() {
        const R settled = d_above - p;
        at(d, l) = settled;
        at(e, l) = negligible(g, settled, d_last) ? R(0) : g;
        m = split;
    }

private:
    R g, s, c, p, d_above, d_last, d_next, e_next;
    int i, split;

    __device__ R& at(R* x, int k) const { return x[k * stride]; }
};

// Threads, a power of two, that have the columns of a matrix of up to N.
template <int N>
constexpr int COLUMNS_OF = N <= 16 ? 16 : N <= 32 ? 32 : N <= 64 ? 64 : 128;

// Threads that share a column: thread h has its rows h, h + SPLIT, …, so that none is without work
// as columns become shorter.
template <class S, int N>
constexpr int SPLIT_OF = N > (!is_complex(S()) ? 96 : sizeof(S) == 8 ? 64 : 32) ? 2 : 1;

// Threads of a team: first one for each column, then the next ones.
template <class S, int N>
constexpr int TEAM_OF = COLUMNS_OF<N> * SPLIT_OF<S, N>;

// What the threads of such a team do together. `box` is shared memory for a number of each warp.
template <int THREADS>
struct columns_team {
    __device__ static void barrier() {
        if constexpr (THREADS > 32) __syncthreads();
        else __syncwarp();
    }

    // Always in the same order. Where a team has several warps it is a barrier, and `box` is free
    // again behind the next one.
    template <class R>
    __device__ static R sum(R x, R* box) {
#pragma unroll
        for (int step = (THREADS < 32 ? THREADS : 32) / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
        if constexpr (THREADS > 32) {
            if (threadIdx.x % 32 == 0) box[threadIdx.x / 32] = x;
            __syncthreads();
            x = box[0];
#pragma unroll
            for (int warp = 1; warp < THREADS / 32; ++warp) x += box[warp];
        }
        return x;
    }

    // As the sum.
    template <class R>
    __device__ static R largest(R x, R* box) {
#pragma unroll
        for (int step = (THREADS < 32 ? THREADS : 32) / 2; step > 0; step /= 2)
            x = larger(x, __shfl_xor_sync(ALL_LANES, x, step));
        if constexpr (THREADS > 32) {
            if (threadIdx.x % 32 == 0) box[threadIdx.x / 32] = x;
            __syncthreads();
            x = box[0];
#pragma unroll
            for (int warp = 1; warp < THREADS / 32; ++warp) x = larger(x, box[warp]);
        }
        return x;
    }
};

// Rows of a thread that are worked on at once: whole chunks, of which zeros are the rest.
constexpr int CHUNK = 4;

// A vector of up to N in shared memory, where the threads that share a column read their rows 16
// bytes at once: those of the first one, then those of the next.
template <class S, int N>
struct shared_vector {
    static constexpr int SPLIT = SPLIT_OF<S, N>, AT_ONCE = sizeof(S) < 16 ? 16 / sizeof(S) : 1;
    static constexpr int LENGTH = (N / SPLIT + CHUNK + AT_ONCE) / AT_ONCE * AT_ONCE;
    alignas(16) S of[SPLIT * LENGTH];

    __device__ S& operator[](int t) { return of[t % SPLIT * LENGTH + t / SPLIT]; }
    // Rows SPLIT·r + h from r on.
    __device__ pack<S, AT_ONCE> rows(int h, int r) const { return read<AT_ONCE>(of + h * LENGTH + r); }
};

// The sum of what the threads of column j have of it, in each of them. It is a barrier where they are
// several; `partial` is free again behind the next one.
template <class S, int N>
__device__ S sum_of_column(S x, S* partial) {
    if constexpr (SPLIT_OF<S, N> > 1) {
        const int j = threadIdx.x % COLUMNS_OF<N>;
        partial[threadIdx.x] = x;
        __syncthreads();
        x = partial[j];
#pragma unroll
        for (int h = 1; h < SPLIT_OF<S, N>; ++h) x = x + partial[h * COLUMNS_OF<N> + j];
    }
    return x;
}

} // namespace eigengrad
