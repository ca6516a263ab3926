// Whether λ and V are an eigendecomposition of A: orthonormal, and with A's trace, Frobenius norm
// and product with a vector.
//
// probe: what is kept of A before a solver overwrites it
//   a     [batch, n, n] column-major, both triangles
//   image [batch, n] A·x of a vector x of signs
//   sums  [batch, 2] tr A and ‖A‖_F
//
// certificate
//   v      [batch, n, n] one eigenvector after the other, or null; lambda [batch, n]
//   turned [batch, n] scratch: Λ·Vᴴ·x
//   weight by which the residual counts
//   defect [2, batch] max_ij |(VᴴV − I)_ij| by components, 0 without V; the residual: the largest
//     of |Σλ − tr A|/√n, |‖λ‖ − ‖A‖_F| and
//          ‖VΛVᴴx − Ax‖/√n, over ‖A‖_F. Infinite where an entry is not finite, or λ does not ascend
//
// Backward error E = A − VΛVᴴ bounds each of the three by ‖E‖_F. Bytes: n² scalars a matrix, once
// to probe and once to certify, the rest from the cache. Flops: n² complex multiply-adds to probe;
// n³, half of what VᴴV takes, and 2·n².
#include "lib/team.cuh"

namespace eigengrad {

// x_k, one of a fixed sequence of signs.
template <class R>
__device__ R sign_of(unsigned k) {
    k *= 0x9e3779b9u;
    k = (k ^ k >> 15) * 0x85ebca6bu;
    return k >> 31 ? R(-1) : R(1);
}

template <class S>
__global__ void __launch_bounds__(256, 4)
    probe(long long batch, int n, const S* __restrict__ a, S* __restrict__ image, real_of<S>* __restrict__ sums) {
    using R = real_of<S>;
    const long long b = matrix_of_team();
    const bool here = b < batch;
    const int rows = here ? n : 0;
    a += here ? b * n * n : 0;
    R trace = 0, squares = 0;
    for (int i = threadIdx.x; i < rows; i += blockDim.x) {
        S sum = make<S>::from(0, 0);
        for (int j = 0; j < n; ++j) {
            const S x = a[static_cast<long long>(j) * n + i];
            sum = sum + times(x, sign_of<R>(j));
            squares += square(x);
            if (i == j) trace += re(x);
        }
        image[b * n + i] = sum;
    }
    trace = sum_of_team(trace);
    squares = sum_of_team(squares);
    if (here && threadIdx.x == 0) sums[2 * b] = trace, sums[2 * b + 1] = square_root(squares);
}

// max_ij |(VᴴV − I)_ij|, what this thread sees of it.
template <class S>
__device__ real_of<S> not_orthonormal(int n, unsigned pairs, const S* v) {
    using R = real_of<S>;
    R largest = 0;
    for (unsigned e = threadIdx.x; e < pairs; e += blockDim.x) {
        const int j = e / n, i = e % n;
        if (i > j) continue;
        S sum = make<S>::from(i == j ? -1 : 0, 0);
        for (int k = 0; k < n; ++k) {
            sum = add_adjoint_product(sum, v[static_cast<long long>(i) * n + k], v[static_cast<long long>(j) * n + k]);
        }
        largest = larger(largest, finite(sum) ? size(sum) : limits<R>::infinity());
    }
    return largest;
}

// ‖VΛVᴴx − Ax‖², what this thread sees of it.
template <class S>
__device__ real_of<S> residual_of_vector(int n, int rows, const S* v, const real_of<S>* lambda, const S* image, S* turned) {
    using R = real_of<S>;
    for (int k = threadIdx.x; k < rows; k += blockDim.x) {
        S sum = make<S>::from(0, 0);
        for (int i = 0; i < n; ++i) sum = sum + times(conj(v[static_cast<long long>(k) * n + i]), sign_of<R>(i));
        turned[k] = times(sum, lambda[k]);
    }
    team_barrier();
    R squares = 0;
    for (int i = threadIdx.x; i < rows; i += blockDim.x) {
        S sum = times(image[i], R(-1));
        for (int k = 0; k < n; ++k) sum = add_product(sum, v[static_cast<long long>(k) * n + i], turned[k]);
        squares += square(sum);
    }
    return squares;
}

template <class S>
__global__ void __launch_bounds__(256, 2)
    certificate(long long batch, int n, const S* __restrict__ v, const real_of<S>* __restrict__ lambda, const S* __restrict__ image,
                const real_of<S>* __restrict__ sums, S* turned, real_of<S> weight, real_of<S>* __restrict__ defect) {
    using R = real_of<S>;
    const long long b = matrix_of_team(), first = b < batch ? b * n : 0;
    const bool here = b < batch;
    const int rows = here ? n : 0;
    R orthonormal = 0, vector = 0;
    if (v) {
        const S* const of_matrix = v + first * n;
        orthonormal = largest_of_team(not_orthonormal(n, static_cast<unsigned>(rows) * n, of_matrix));
        vector = sum_of_team(residual_of_vector(n, rows, of_matrix, lambda + first, image + first, turned + first));
    }
    R trace = 0, squares = 0;
    for (int k = threadIdx.x; k < rows; k += blockDim.x) {
        trace += lambda[first + k];
        squares += lambda[first + k] * lambda[first + k];
        if (k + 1 < n && lambda[first + k] > lambda[first + k + 1]) squares = limits<R>::infinity();
    }
    trace = sum_of_team(trace);
    squares = sum_of_team(squares);
    if (!here || threadIdx.x != 0) return;
    const R norm = sums[2 * b + 1], root = square_root(R(n));
    const R of_trace = magnitude(trace - sums[2 * b]) / root, of_norm = magnitude(square_root(squares) - norm);
    const R of_vector = square_root(vector) / root;
    const R all = larger(larger(of_trace, of_norm), of_vector), residual = norm > 0 ? all / norm * weight : all;
    defect[b] = orthonormal;
    defect[batch + b] = finite(of_trace + of_norm + of_vector) ? residual : limits<R>::infinity();
}

} // namespace eigengrad
