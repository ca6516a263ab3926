// Teams of threads: blockDim.x threads, a power of two up to 256, share a matrix, and blockDim.y
// teams a block.
//
// Every thread of a block calls every function here equally often: a team without a matrix takes
// part with neutral values.
#pragma once
#include "lib/element.cuh"

namespace eigengrad {

constexpr unsigned ALL_LANES = 0xffffffffu;

// The matrix of this thread's team, of a batch or beyond it.
__device__ inline long long matrix_of_team() { return static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y; }

// The threads of a team that lie in one warp.
__device__ inline unsigned lanes_of_team() { return smaller(blockDim.x, 32u); }

// Waits for the team, and orders what it reads and writes.
__device__ inline void team_barrier() {
    if (blockDim.x > 32) __syncthreads();
    else __syncwarp();
}

// The largest value of the lanes of a team that lie in one warp, in each of them.
template <class R>
__device__ R largest_of_lanes(R x) {
    for (unsigned step = lanes_of_team() / 2; step > 0; step /= 2) x = larger(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
}

// The sum over the lanes of a team that lie in one warp, in each of them, always in the same order.
template <class R>
__device__ R sum_of_lanes(R x) {
    for (unsigned step = lanes_of_team() / 2; step > 0; step /= 2) x = x + __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}
template <class R>
__device__ complex<R> sum_of_lanes(complex<R> x) { return {sum_of_lanes(x.re), sum_of_lanes(x.im)}; }

// The largest value of a team, in each of its threads. NaN counts for nothing. It is a barrier of
// the team, for its memory too.
template <class R>
__device__ R largest_of_team(R x) {
    __shared__ R of_warps[8];
    x = largest_of_lanes(x);
    if (blockDim.x <= 32) {
        __syncwarp(); // shuffles order no memory
        return x;
    }
    __syncthreads(); // of_warps may still be read
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.y * (blockDim.x / 32) + threadIdx.x / 32] = x;
    __syncthreads();
    x = of_warps[threadIdx.y * (blockDim.x / 32)];
    for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) x = larger(x, of_warps[threadIdx.y * (blockDim.x / 32) + warp]);
    return x;
}

// The sum over a team, in each of its threads, always in the same order. It orders no memory.
template <class R>
__device__ R sum_of_team(R x) {
    __shared__ R of_warps[8];
    x = sum_of_lanes(x);
    if (blockDim.x <= 32) return x;
    __syncthreads(); // of_warps may still be read
    const unsigned first = threadIdx.y * (blockDim.x / 32);
    if (threadIdx.x % 32 == 0) of_warps[first + threadIdx.x / 32] = x;
    __syncthreads();
    x = of_warps[first];
    for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) x += of_warps[first + warp];
    return x;
}

} // namespace eigengrad
