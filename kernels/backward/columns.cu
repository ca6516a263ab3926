// The columns of the backward pass: docs/derivation.md §4, (17). What of λ, λ̄ and the ties enters
// G, and what starts the report.
//
//   values     [batch, n] λ; kept [batch, n]; found [batch] statuses of the forward
//   values_bar [batch, n] λ̄, or null for 0; not read outside K
//   lambda     [batch, n] λ, or 0 on D where that is declared
//   labels     [batch, n] F_ij = 0 where labels agree: 0 on D, on K a number for each group
//   lambda_bar [batch, n] λ̄ on K, else 0
//   divides    [batch] whether equation (10) is used, that is whether D is declared zero and
//                      neither D nor K is empty; null for factors
//   inverse    [batch, n] 1/λ on K where it is, and for factors; else 0
//   gauge_defect [batch, n] 0; tie_defect [batch] the spread of λ̄; status [batch] found, and what
//     ties are
//
// A thread takes a matrix, since groups are chains. Bytes: 8·n numbers a matrix. Flops: about 5·n.
#include "lib/ties.cuh"
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

template <class T>
__global__ void __launch_bounds__(128)
    label(long long batch, int n, int ties, int dropped_zero, double tie_rtol, real_of<T> round_off, const stored_real_of<T>* __restrict__ values,
          const bool* __restrict__ kept, const unsigned* __restrict__ found, const stored_real_of<T>* __restrict__ values_bar,
          real_of<T>* __restrict__ lambda, int* __restrict__ labels, real_of<T>* __restrict__ lambda_bar,
          int* __restrict__ divides, real_of<T>* __restrict__ inverse, real_of<T>* __restrict__ gauge_defect, real_of<T>* __restrict__ tie_defect,
          unsigned* __restrict__ status) {
    using R = real_of<T>;
    const long long b = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (b >= batch) return;
    const long long row = b * n;
    tie_groups<R> groups(n ? widen(values[row]) : R(0), n ? widen(values[row + n - 1]) : R(0), tie_rtol, ties);
    spread<R> of_group(0);
    int before = 0; // the group of the last kept one
    R largest = 0, scale = 0; // half of the largest spread so far, and the largest |λ̄|
    bool all_kept = true;
    for (int k = 0; k < n; ++k) {
        const bool keep = kept[row + k];
        const R x = widen(values[row + k]), x_bar = keep && values_bar ? widen(values_bar[row + k]) : R(0);
        all_kept &= keep;
        lambda[row + k] = keep || !dropped_zero ? x : R(0);
        const int group = labels[row + k] = groups.see(keep, x);
        if (group) {
            if (group == before) of_group.see(x_bar);
            else {
                largest = larger(largest, of_group.half());
                of_group = spread<R>(x_bar);
                before = group;
            }
        }
        scale = larger(scale, magnitude(x_bar));
        lambda_bar[row + k] = x_bar;
        gauge_defect[row + k] = 0;
    }
    const bool by_lambda = !divides || (dropped_zero && !all_kept && groups.group > 0);
    if (divides) divides[b] = by_lambda;
    for (int k = 0; k < n; ++k) inverse[row + k] = by_lambda && labels[row + k] ? 1 / lambda[row + k] : R(0);
    const R defect = relative(larger(largest, of_group.half()), scale);
    tie_defect[b] = defect;
    const unsigned so_far = found[b] | groups.found();
    status[b] = so_far | (defect > round_off && !refused(so_far) ? TIE_DEFECT : 0);
}

} // namespace eigengrad
