// X = VᴴV̄ ↦ G in place, of factors: backward/weighing.cuh; and the gauge defect ρ and the tie defect
// of the cotangents.
//
//   x          [batch, n, n] column-major, X in, G or G' out; columns outside K are not read
//   v_bar      [batch, n, rows] V̄, one column after the other; those outside K are not read
//   lambda, labels, lambda_bar, inverse [batch, n], divides [batch] or null as backward/columns.cu
//     leaves them
//   norms      [batch, n] scratch, ‖V̄_k‖
//   gauge_defect [batch, n] |Im v_kᴴ v̄_k| / ‖v̄_k‖; tie_defect [batch] raised to what is found in X;
//     status [batch] PHASE_DEPENDENT, TIE_DEFECT
//
// Refused matrices, failed ones and under that rule tied ones, report nothing. Bytes: X in and out,
// V̄ once, n² and n·rows scalars. Flops: about 30·n² a matrix, complex.
#include "backward/weighing.cuh"

namespace eigengrad {

template <class S>
__global__ void __launch_bounds__(256, 3)
    f_matrix(long long batch, int n, int rows, real_of<S> round_off, S* __restrict__ x, const S* __restrict__ v_bar,
          const real_of<S>* __restrict__ lambda, const int* __restrict__ labels, const real_of<S>* __restrict__ lambda_bar,
          const int* __restrict__ divides, const real_of<S>* __restrict__ inverse, real_of<S>* norms,
          real_of<S>* __restrict__ gauge_defect, real_of<S>* __restrict__ tie_defect, unsigned* __restrict__ status) {
    using R = real_of<S>;
    const long long b = matrix_of_team();
    const bool here = b < batch, reports = here && !refused(status[b]), by_lambda = here && divides && divides[b];
    const long long row = here ? b * n : 0;
    x += row * n, v_bar += row * rows;
    lambda += row, labels += row, lambda_bar += row, inverse += row, norms += row, gauge_defect += row;

    const unsigned lanes = lanes_of_team();
    R largest_defect = 0;
    for (int k = threadIdx.x / lanes; k < n; k += blockDim.x / lanes) {
        const long long column = static_cast<long long>(k) * n;
        const bool counts = reports && labels[k];
        const R norm = norm_of_lanes(counts ? rows : 0, v_bar + static_cast<long long>(k) * rows);
        if (!here || threadIdx.x % lanes != 0) continue;
        const R defect = gauge_of(x[column + k], norm); // X_kk = v_kᴴ v̄_k
        norms[k] = norm;
        gauge_defect[k] = defect;
        largest_defect = larger(largest_defect, defect);
    }
    // and then the norms are there, and the diagonal of X has been read
    largest_defect = largest_of_team(largest_defect);

    R tie = 0;
    const weighing<S> weigh(here ? n : 0, lambda, labels, lambda_bar, inverse, by_lambda);
    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0;
    for (unsigned k = threadIdx.x; here && k < static_cast<unsigned>(n); k += blockDim.x) {
        x[k * n + k] = weigh.diagonal(k, x[k * n + k]);
    }
    for (unsigned ij = threadIdx.x; ij < entries; ij += blockDim.x) {
        const int j = ij / n, i = ij % n;
        if (i >= j) continue;
        const unsigned ji = static_cast<unsigned>(i) * n + j;
        tie = larger(tie, weigh.pair(i, j, x[ij], x[ji], larger(norms[i], norms[j])));
    }
    tie = largest_of_team(tie);
    if (here && threadIdx.x == 0 && reports) {
        tie_defect[b] = larger(tie_defect[b], tie);
        if (largest_defect > round_off) status[b] |= PHASE_DEPENDENT;
        if (tie > round_off) status[b] |= TIE_DEFECT;
    }
}

} // namespace eigengrad
