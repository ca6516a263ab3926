// The kernels between the products of the tangent of Ā: docs/derivation.md, §10.
//
//   p     [batch, n, n] column-major, P = VᴴȦV in, its block D×D out, else 0
//   omega [batch, n, n] Ω = F ∘ P; lambda_dot [batch, n] diag P on K
//   x     [batch, n, n] X = VᴴV̄, of which columns outside K are not read and set to 0; y its block
//                       D×K times F, else 0; x null for 0
//   x_dot [batch, n, n] VᴴV̄̇ − ΩX + P_DD Y in, columns outside K are not read; ½Ġ out; `has_x_dot`
//     tells whether anything is in
//   g     [batch, n, n] G = diag λ̄ + F ∘ skew(X)
//   lambda, labels, lambda_bar, other_bar [batch, n] as jvp/columns.cu leaves them; other_bar is λ̄̇
//   status [batch] TIE_DEFECT
//
// Bytes: 8·n² scalars, transposed reads from the cache. Flops: about 60·n² a matrix, complex.
#include "lib/gap.cuh"
#include "jvp/split_ties.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256, 3)
    backward_jvp_open(long long batch, int n, S* __restrict__ p, S* __restrict__ x, const real_of<S>* __restrict__ lambda,
                 const int* __restrict__ labels, S* __restrict__ omega, S* __restrict__ y, real_of<S>* __restrict__ lambda_dot, real_of<S> round_off,
                 unsigned* status) {
    using R = real_of<S>;
    const long long b = matrix_of_team(), row = b * n;
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    p += row * n, omega += row * n, lambda += row, labels += row, lambda_dot += row;
    if (x) x += row * n, y += row * n;
    note_split_ties(b < batch, n, p, labels, round_off, status + b);
    const gaps of(entries ? n : 0, lambda, labels);
    const S zero = make<S>::from(0, 0);
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        const S p_ij = p[e];
        omega[e] = of.times_f(p_ij, i, j);
        p[e] = !labels[i] && !labels[j] ? p_ij : zero;
        if (i == j) lambda_dot[j] = labels[j] ? re(p_ij) : R(0);
        if (!x) continue;
        y[e] = labels[j] && !labels[i] ? of.times_f(x[e], i, j) : zero;
        if (!labels[j]) x[e] = zero;
    }
}

template <class S>
__global__ void __launch_bounds__(256)
    backward_jvp_close(long long batch, int n, int has_x_dot, const S* __restrict__ x, S* __restrict__ x_dot,
                  const real_of<S>* __restrict__ lambda, const int* __restrict__ labels, const real_of<S>* __restrict__ lambda_bar,
                  const real_of<S>* __restrict__ other_bar, const real_of<S>* __restrict__ lambda_dot, S* __restrict__ g) {
    using R = real_of<S>;
    const long long b = matrix_of_team(), row = b * n;
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    x_dot += row * n, g += row * n, lambda += row, labels += row, lambda_bar += row, other_bar += row, lambda_dot += row;
    if (x) x += row * n;
    const gaps of(entries ? n : 0, lambda, labels);
    const S zero = make<S>::from(0, 0);
    const R half = R(0.5);
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        if (i > j) continue;
        const long long ij = e, ji = static_cast<long long>(i) * n + j;
        if (i == j) {
            g[ij] = make<S>::from(lambda_bar[j], 0);
            x_dot[ij] = make<S>::from(half * other_bar[j], 0);
            continue;
        }
        S of_g = zero, of_g_dot = zero;
        if (of.apart(i, j)) {
            const auto skew = [&](const S* from) {
                return times((labels[j] ? from[ij] : zero) - (labels[i] ? conj(from[ji]) : zero), half);
            };
            if (x) of_g = of.times_f(skew(x), i, j);
            if (has_x_dot) of_g_dot = of.times_f(skew(x_dot), i, j);
            // λ̇ is 0 on D: what (D×K) has in its place, P_DD, is a product.
            of_g_dot = of_g_dot - times(of_g, of.times_f(lambda_dot[j] - lambda_dot[i], i, j));
        }
        g[ij] = of_g;
        g[ji] = conj(of_g);
        x_dot[ij] = times(of_g_dot, half);
        x_dot[ji] = conj(times(of_g_dot, half));
    }
}

} // namespace eigengrad
