// The kernels between the products of the double backward pass: docs/derivation.md, §9.
//
//   q, x [batch, n, n] column-major, Q = VᴴHV and X = VᴴV̄ of which columns outside K are not read
//     and set to 0; x null for 0
//   down [batch, n, n] VᴴV̄ from downstream, columns outside K likewise; null for 0
//   g    [batch, n, n] G = diag λ̄ + F ∘ skew(X); fq, fx F ∘ Q, and F ∘ X in the columns of K
//   m    [batch, n, n] M = 2QG − X(F∘Q) + what comes from downstream, in; B out
//   t    [batch, n, n] (F∘Q)(F∘X)ᴴ, of which D×D is read: the closed form of B there; null for 0
//   lambda, labels, lambda_bar, other_bar [batch, n] as jvp/columns.cu leaves them; other_bar in: λ̄
//     from downstream, out: ℓ
//   values [batch, n] diag Q on K, else 0; status [batch] TIE_DEFECT
//
// Bytes: 7·n² scalars, transposed reads from the cache. Flops: about 60·n² a matrix, complex. Sums
// over a column are made by the lanes of a warp, always in the same order.
#include "lib/gap.cuh"
#include "jvp/split_ties.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256, 3)
    double_backward_open(long long batch, int n, const S* __restrict__ q, S* __restrict__ x, S* __restrict__ down, const real_of<S>* __restrict__ lambda,
                const int* __restrict__ labels, const real_of<S>* __restrict__ lambda_bar, real_of<S>* __restrict__ other_bar,
                S* __restrict__ g, S* __restrict__ fq, S* __restrict__ fx, real_of<S>* __restrict__ values, real_of<S> round_off, unsigned* status) {
    using R = real_of<S>;
    const long long b = matrix_of_team(), row = b * n;
    const bool here = b < batch;
    q += row * n, g += row * n, fq += row * n;
    lambda += row, labels += row, lambda_bar += row, other_bar += row, values += row;
    if (x) x += row * n, fx += row * n;
    if (down) down += row * n;
    const gaps of(here ? n : 0, lambda, labels);
    const S zero = make<S>::from(0, 0);
    note_split_ties(here, n, q, labels, round_off, status + b);

    const unsigned lanes = lanes_of_team();
    for (int k = threadIdx.x / lanes; k < n; k += blockDim.x / lanes) {
        R sum = 0; // Σ_i F_ik² (R_ki − R_ik), R = Re(conj(Q) ∘ X)
        for (int i = threadIdx.x % lanes; here && x && labels[k] && i < n; i += lanes) {
            const long long ik = static_cast<long long>(k) * n + i, ki = static_cast<long long>(i) * n + k;
            const S of_ki = labels[i] ? add_adjoint_product(zero, q[ki], x[ki]) : zero, of_ik = add_adjoint_product(zero, q[ik], x[ik]);
            sum += of.times_f(of.times_f(re(of_ki) - re(of_ik), i, k), i, k);
        }
        sum = sum_of_lanes(sum);
        if (here && threadIdx.x % lanes == 0) {
            other_bar[k] += sum;
            values[k] = labels[k] ? re(q[static_cast<long long>(k) * n + k]) : R(0);
        }
    }

    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        const S x_ij = x && labels[j] ? x[e] : zero, x_ji = x && labels[i] ? x[static_cast<long long>(i) * n + j] : zero;
        const S skew = times(x_ij - conj(x_ji), R(0.5));
        g[e] = i == j ? make<S>::from(lambda_bar[j], 0) : of.times_f(skew, i, j);
        fq[e] = of.times_f(q[e], i, j);
        if (x) fx[e] = of.times_f(x_ij, i, j);
        if (x && !labels[j]) x[e] = zero; // no thread reads it
        if (down && !labels[j]) down[e] = zero;
    }
}

template <class S>
__global__ void __launch_bounds__(256)
    double_backward_close(long long batch, int n, S* __restrict__ m, const S* __restrict__ t, const real_of<S>* __restrict__ lambda,
                 const int* __restrict__ labels, const real_of<S>* __restrict__ other_bar) {
    using R = real_of<S>;
    const long long b = matrix_of_team(), row = b * n;
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    m += row * n, lambda += row, labels += row, other_bar += row;
    if (t) t += row * n;
    const gaps of(entries ? n : 0, lambda, labels);
    const S zero = make<S>::from(0, 0);
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        if (i > j) continue;
        const long long ij = e, ji = static_cast<long long>(i) * n + j;
        if (!labels[i] && !labels[j]) { // herm is taken of what is made of it
            m[ij] = t ? t[ij] : zero;
            m[ji] = t ? t[ji] : zero;
        } else if (i == j) {
            m[ij] = make<S>::from(other_bar[j], 0);
        } else {
            const S above = of.times_f(times(m[ij] - conj(m[ji]), R(0.5)), i, j);
            m[ij] = above;
            m[ji] = conj(above);
        }
    }
}

} // namespace eigengrad
