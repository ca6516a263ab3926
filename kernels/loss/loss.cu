// A loss of eigenpairs against targets, and its cotangents: docs/derivation.md §15.
//
//   values         [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward
//   vectors        [batch, n, n] V, one vector after the other
//   target_values  [batch, n] λ*; target_vectors [batch, n, n] V* as V; weights [batch, n] w
//   losses         [batch] the loss, NaN of a matrix without eigenpairs
//   values_bar     [batch, n] λ̄; vectors_bar [batch, n, n] V̄; 0 where a pair does not count
//
// A team shares a matrix, and some of its lanes a vector. Bytes: V and V* read twice, from the
// cache the second time, V̄ written once. Flops, complex: 24·n a pair that counts.
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(256, 4)
    loss(long long batch, int n, real_of<T> spectral, real_of<T> overlap, real_of<T> intensity,
              const stored_real_of<T>* __restrict__ values, const bool* __restrict__ kept, const unsigned* __restrict__ found,
              const T* __restrict__ vectors, const stored_real_of<T>* __restrict__ target_values,
              const T* __restrict__ target_vectors, const stored_real_of<T>* __restrict__ weights, real_of<T>* __restrict__ losses,
              stored_real_of<T>* __restrict__ values_bar, T* __restrict__ vectors_bar) {
    using R = real_of<T>;
    using S = scalar_of<T>;
    const long long b = matrix_of_team(), first = b < batch ? b * n : 0;
    const bool here = b < batch;
    // Lanes that share a vector, as many vectors at a time as there are of such lanes.
    int lanes = static_cast<int>(lanes_of_team());
    while (lanes / 2 >= n) lanes /= 2;
    const int lane = threadIdx.x % lanes, at_once = blockDim.x / lanes;
    const auto sum_of_vector = [lanes](R x) {
        for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
        return x;
    };
    R total = 0;
    for (int k0 = 0; k0 < n; k0 += at_once) {
        const int k = k0 + threadIdx.x / lanes;
        const bool is_vector = here && k < n;
        const long long pair = first + (is_vector ? k : 0);
        const R weight = is_vector ? widen(weights[pair]) : R(0);
        const bool counts = is_vector && kept[pair] && weight != 0;
        const int rows = counts ? n : 0;
        const T* const v = vectors + pair * n;
        const T* const target = target_vectors + pair * n;
        S inner = make<S>::from(0, 0); // v*ᴴv
        for (int i = lane; i < rows; i += lanes) inner = add_adjoint_product(inner, widen(target[i]), widen(v[i]));
        inner = make<S>::from(sum_of_vector(re(inner)), sum_of_vector(im(inner)));
        R apart = 0, brighter = 0; // ‖v − v*(v*ᴴv)‖² and Σ (|v_i|² − |v*_i|²)²
        for (int i = lane; i < (is_vector ? n : 0); i += lanes) {
            S v_bar = make<S>::from(0, 0);
            if (counts) {
                const S x = widen(v[i]), along = add_product(make<S>::from(0, 0), widen(target[i]), inner);
                const R difference = square(x) - square(widen(target[i]));
                apart += square(x - along);
                brighter += difference * difference;
                v_bar = times(x, 4 * intensity * weight * difference) - times(along, 2 * overlap * weight);
            }
            vectors_bar[pair * n + i] = narrow<T>::from(v_bar);
        }
        const R off = counts ? widen(values[pair]) - widen(target_values[pair]) : R(0);
        if (is_vector && lane == 0) values_bar[pair] = narrow<stored_real_of<T>>::from(2 * spectral * weight * off);
        total += weight * (overlap * apart + intensity * brighter + (lane == 0 ? spectral * off * off : R(0)));
    }
    total = sum_of_team(total);
    if (here && threadIdx.x == 0) losses[b] = found[b] & FAILED ? limits<R>::nan() : total;
}

} // namespace eigengrad
