// Entries of a Hermitian matrix as the user has it.
#pragma once
#include "lib/element.cuh"

namespace eigengrad {

// Where the entries are: row-major, as `enum read` has it, or as eigh/prepare.cu leaves them.
constexpr int PREPARED = 3;

// A_ij with i ≥ j.
template <class T>
__device__ scalar_of<T> lower_entry(const T* a, int n, int read, int i, int j) {
    using S = scalar_of<T>;
    const T *below = a + static_cast<long long>(i) * n + j, *above = a + static_cast<long long>(j) * n + i;
    const S x = read == READ_LOWER ? widen(*below) : read == READ_UPPER ? conj(widen(*above)) : mean(widen(*below), widen(*above));
    return i == j ? make<S>::from(re(x), 0) : x;
}

// x·2^-e.
template <class S>
__device__ S scaled_down(S x, int e) { return make<S>::from(scaled(re(x), -e), scaled(im(x), -e)); }

} // namespace eigengrad
