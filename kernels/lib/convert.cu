// Numbers from the type computed in to the type stored, and back; and from any strides to any.
//
//   store   to[e] = narrow(from[e]); load: to[e] = widen(from[e]); e < count
//   gather  to[b, i, j] = from[b, i, j] for a [batch, rows, columns] view on either side, strides
//           in elements
//
// Bytes: each number read and written once. Flops: none.
#include "lib/element.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256) store(long long count, const scalar_of<T>* __restrict__ from, T* __restrict__ to) {
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < count; e += step) {
        to[e] = narrow<T>::from(from[e]);
    }
}

template <class T>
__global__ void __launch_bounds__(256) load(long long count, const T* __restrict__ from, scalar_of<T>* __restrict__ to) {
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < count; e += step) to[e] = widen(from[e]);
}

struct strides {
    long long batch, row, column;

    __device__ long long offset(long long b, long long i, long long j) const { return b * batch + i * row + j * column; }
};

template <class T>
__global__ void __launch_bounds__(256) gather(long long batch, long long rows, long long columns, const T* __restrict__ from,
                                              strides from_strides, T* __restrict__ to, strides to_strides) {
    const long long count = batch * rows * columns, step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < count; e += step) {
        const long long b = e / (rows * columns), i = e / columns % rows, j = e % columns;
        to[to_strides.offset(b, i, j)] = from[from_strides.offset(b, i, j)];
    }
}

} // namespace eigengrad
