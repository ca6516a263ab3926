// P = Vᴴ Ȧ V ↦ Ω = F ∘ P on the columns of K, in place, and λ̇ = diag P: docs/derivation.md, (4) and
// (5).
//
//   p [batch, n, n] column-major, P in, Ω out; lambda, labels [batch, n] as jvp/columns.cu leaves
//     them; lambda_dot [batch, n], 0 outside K
//   status [batch] TIE_DEFECT
//
// Bytes: P twice, n² scalars each. Flops: about 5·n² a matrix, complex.
#include "lib/gap.cuh"
#include "jvp/split_ties.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256, 3) omega(long long batch, int n, S* __restrict__ p, const real_of<S>* __restrict__ lambda,
                                              const int* __restrict__ labels, real_of<S>* __restrict__ lambda_dot,
                                              real_of<S> round_off, unsigned* status) {
    const long long b = matrix_of_team();
    const unsigned entries = b < batch ? static_cast<unsigned>(n) * n : 0;
    p += b * n * n, lambda += b * n, labels += b * n, lambda_dot += b * n;
    note_split_ties(b < batch, n, p, labels, round_off, status + b);
    const gaps of(entries ? n : 0, lambda, labels);
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        const S x = p[e];
        if (i == j) lambda_dot[j] = labels[j] ? re(x) : real_of<S>(0);
        p[e] = labels[j] ? of.times_f(x, i, j) : make<S>::from(0, 0);
    }
}

} // namespace eigengrad
