// X = VᴴV̄ ↦ G = diag λ̄ + F ∘ skew(X), equation (8) of docs/derivation.md, or where it divides by λ
// G' = ½(G − X Λ⁻¹) of equation (10), in place; and the gauge defect ρ and the tie defect of the
// cotangents.
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
#include "lib/gap.cuh"
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

// ‖x‖ of one column, by the lanes of a team that lie in one warp, scaled so that no square over- or
// underflows.
template <class S>
__device__ real_of<S> norm_of_lanes(int n, const S* x) {
    using R = real_of<S>;
    const unsigned lanes = lanes_of_team(), lane = threadIdx.x % lanes;
    R largest = limits<R>::least_normal();
    for (int i = lane; i < n; i += lanes) largest = larger(largest, size(x[i]));
    largest = largest_of_lanes(largest);
    const R scale = 1 / largest;
    R squares = 0;
    for (int i = lane; i < n; i += lanes) squares += square(times(x[i], scale));
    squares = sum_of_lanes(squares);
    return squares == 0 ? R(0) : largest * square_root(squares);
}

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
        const R defect = norm == 0 ? R(0) : magnitude(im(x[column + k])) / norm; // X_kk = v_kᴴ v̄_k
        norms[k] = norm;
        gauge_defect[k] = defect;
        largest_defect = larger(largest_defect, defect);
    }
    // and then the norms are there, and the diagonal of X has been read
    largest_defect = largest_of_team(largest_defect);

    R tie = 0;
    const gaps of(here ? n : 0, lambda, labels);
    const unsigned entries = here ? static_cast<unsigned>(n) * n : 0;
    const S zero = make<S>::from(0, 0);
    const R half = R(0.5);
    for (unsigned k = threadIdx.x; here && k < static_cast<unsigned>(n); k += blockDim.x) {
        const S g = make<S>::from(lambda_bar[k], 0), x_kk = labels[k] ? x[k * n + k] : zero;
        x[k * n + k] = by_lambda ? times(g - times(x_kk, inverse[k]), half) : g;
    }
    for (unsigned ij = threadIdx.x; ij < entries; ij += blockDim.x) {
        const int j = ij / n, i = ij % n;
        if (i >= j) continue;
        const unsigned ji = static_cast<unsigned>(i) * n + j;
        const S x_ij = labels[j] ? x[ij] : zero;
        const S x_ji = labels[i] ? x[ji] : zero;
        const S skew = times(x_ij - conj(x_ji), half);
        const bool tied = !of.apart(i, j);
        const R norm = larger(norms[i], norms[j]);
        if (tied && norm > 0) tie = larger(tie, square_root(square(make<S>::from(re(skew) / norm, im(skew) / norm))));
        // In equation (10) D takes no part.
        const bool apart = by_lambda && (!labels[i] || !labels[j]);
        const S g = apart ? zero : of.times_f(skew, i, j);
        x[ij] = !by_lambda ? g : apart ? zero : times(g - times(x_ij, inverse[j]), half);
        x[ji] = !by_lambda ? conj(g) : apart ? zero : times(conj(g) - times(x_ji, inverse[i]), half);
    }
    tie = largest_of_team(tie);
    if (here && threadIdx.x == 0 && reports) {
        tie_defect[b] = larger(tie_defect[b], tie);
        if (largest_defect > round_off) status[b] |= PHASE_DEPENDENT;
        if (tie > round_off) status[b] |= TIE_DEFECT;
    }
}

} // namespace eigengrad
