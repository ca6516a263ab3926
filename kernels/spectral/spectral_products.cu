// The kernels between the products of f(A) = V_K f(Λ_K) V_Kᴴ and of E ↦ V (W ∘ VᴴEV) Vᴴ:
// docs/derivation.md, §11.
//
//   v  [batch, n, n] one vector after the other; out [batch, n, n] V f(Λ), 0 outside K; f [batch,
//                    n]
//   q  [batch, n, n] column-major, Q = VᴴEV in, W ∘ Q out
//   lambda, labels, f, slope, other [batch, n], within, lifts [batch] as spectral/evaluate.cu
//     leaves them
//
// W are the divided differences of f on K and 0 on D, or f_i f_j on K×K. Bytes: n² scalars in and
// out. Flops: up to 60·n² a matrix.
#include "spectral/function.cuh"
#include "lib/team.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256)
    scale_columns(long long batch, int n, const S* __restrict__ v, const int* __restrict__ labels, const real_of<S>* __restrict__ f,
                  S* __restrict__ out) {
    const long long b = matrix_of_team();
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    v += b * n * n, out += b * n * n, labels += b * n, f += b * n;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        out[e] = labels[e / n] ? times(v[e], f[e / n]) : make<S>::from(0, 0);
    }
}

template <class S>
__global__ void __launch_bounds__(256)
    divide(long long batch, int n, function of, int products, const real_of<S>* __restrict__ lambda, const int* __restrict__ labels,
           const real_of<S>* __restrict__ f, const real_of<S>* __restrict__ slope, const real_of<S>* __restrict__ other,
           const real_of<S>* __restrict__ within, const int* __restrict__ lifts, S* __restrict__ q) {
    using R = real_of<S>;
    const long long b = matrix_of_team(), row = b * n;
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    q += row * n, lambda += row, labels += row, f += row, slope += row, other += row;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        const bool keep_i = labels[i], keep_j = labels[j];
        const sampled<R> at_i = {lambda[i], f[i], slope[i], other[i]}, at_j = {lambda[j], f[j], slope[j], other[j]};
        const R w = !products ? divided_on_kept(of, at_i, keep_i, at_j, keep_j, within[b]) : keep_i && keep_j ? at_i.f * at_j.f : R(0);
        q[e] = keep_i || keep_j ? times_weight(q[e], w, of, lifts[b]) : make<S>::from(0, 0);
    }
}

} // namespace eigengrad
