// T = Z Λ Zᵀ by implicit QL, a matrix a lane: docs/derivation.md §14.
//
//   diagonal, beside [⌈batch/32⌉, n, 32] d and e of eigh/tridiagonalise.cu
//   turns    [batch, most_turns] the rotations, one sweep after the other, each by the tangent of
//                             half its angle; most_turns a multiple of 4; null where Z is not
//                             wanted
//   windows  [batch, most_sweeps] the rows l | m << 16 that a sweep worked on; null likewise
//   sweeps   [batch] how many, or −1 where the rotations did not fit
//   lambda   [batch, n] ascending, where Z is not wanted; info [batch] 0, or n + 1 where the sweeps
//                             did not end, where λ is not cut either
//   exponent [batch] e of 2^-e·A, out of eigh/cut.cuh, or null where λ is not cut; its status as
//                             eigh/tridiagonalise.cu leaves it
//
// A warp is a block, and its first `lanes` lanes, a divisor of 32, have a matrix: fewer where the
// batch would leave a device without warps. d and e of a lane are in its own bank, whatever row each
// lane is at. All lanes begin a sweep together, each in a window of its own.
//
// Bytes: 2·n reals a matrix in, some n² of rotations out. Flops: 20 for each of about n² rotations.
#include "eigh/cut.cuh"
#include "eigh/tridiagonal.cuh"

namespace eigengrad {

// Rotations of one matrix on their way to memory, four at a time: a lane writes to its own line.
template <class R>
struct turn_writer {
    R* to;
    pack<R, 4> last = {};
    int count = 0;

    __device__ void put(R u) {
        last = {last.at[1], last.at[2], last.at[3], u};
        if (++count % 4 == 0) flush();
    }
    // The last ones, with zeros behind.
    __device__ void end() {
        while (count % 4 != 0) put(0);
    }

private:
    __device__ void flush() {
#pragma unroll
        for (int part = 0; part < 4; part += 16 / sizeof(R)) {
            pack<R, 16 / sizeof(R)> some;
#pragma unroll
            for (int u = 0; u < 16 / sizeof(R); ++u) some.at[u] = last.at[part + u];
            write(to + count - 4 + part, some);
        }
    }
};

// The eigenvalues of this lane, ascending.
template <class R>
__device__ void sort_values(R* d, int stride, int n) {
    for (int k = 1; k < n; ++k) {
        const R x = d[k * stride];
        int place = k;
        for (; place > 0 && d[(place - 1) * stride] > x; --place) d[place * stride] = d[(place - 1) * stride];
        d[place * stride] = x;
    }
}

template <class T>
__global__ void __launch_bounds__(32, 1)
    implicit_ql(long long batch, int n, int lanes, int most_turns, int most_sweeps, const real_of<T>* __restrict__ diagonal,
                const real_of<T>* __restrict__ beside, real_of<T>* __restrict__ turns, unsigned* __restrict__ windows,
                int* __restrict__ sweeps, real_of<T>* __restrict__ lambda, int* __restrict__ info, const int* __restrict__ exponent,
                cut cut, spectrum_results<T> out) {
    using R = real_of<T>;
    extern __shared__ uint4 memory[];
    R* const d = reinterpret_cast<R*>(memory) + threadIdx.x;
    R* const e = d + n * 32;
    const long long b = static_cast<long long>(blockIdx.x) * lanes + threadIdx.x;
    const bool here = threadIdx.x < lanes && b < batch;
    const long long first = b / 32 * 32 * n + b % 32;
    R last = 0;
    for (int i = n - 1; i >= 0; --i) {
        const R d_i = here ? diagonal[first + i * 32] : R(0), e_i = here && i < n - 1 ? beside[first + i * 32] : R(0);
        d[i * 32] = d_i;
        e[i * 32] = negligible(e_i, d_i, last) ? R(0) : e_i;
        last = d_i;
    }
    ql_iteration<R> ql(d, e, 32, n);
    turn_writer<R> to = {turns ? turns + (here ? b : 0) * most_turns : nullptr};
    if (windows) windows += (here ? b : 0) * most_sweeps;
    const int bound = turns ? most_sweeps : SWEEPS_EACH * n;
    int count = 0;
    bool more = here, ended = true;
    for (;;) {
        more = more && ql.next_window();
        if (more && (count == bound || (turns && to.count + (ql.m - ql.l) > most_turns))) more = ended = false;
        if (!__any_sync(ALL_LANES, more)) break;
        if (more) {
            if (windows) windows[count] = ql.l | ql.m << 16;
            ++count;
            ql.begin();
        }
        while (__any_sync(ALL_LANES, more && ql.on())) {
            if (!more || !ql.on()) continue;
            const R u = ql.rotate();
            if (turns) to.put(u);
        }
        if (more) ql.end();
    }
    if (!here) return;
    if (turns) {
        to.end();
        sweeps[b] = ended ? count : -1;
        return;
    }
    sort_values(d, 32, n);
    lambda += b * n;
    for (int k = 0; k < n; ++k) lambda[k] = d[k * 32];
    if (out.values) cut_spectrum<T>(cut, n, lambda, exponent[b], out.status[b] | (ended ? 0 : NOT_CONVERGED), b, out);
    else info[b] = ended ? 0 : n + 1;
}

} // namespace eigengrad
