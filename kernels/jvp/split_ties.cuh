// Whether a direction splits tied groups: the largest |P_ij| within a group beside ‖P‖_F,
// docs/derivation.md §4.
#pragma once
#include "lib/status.cuh"
#include "lib/team.cuh"

namespace eigengrad {

// Sets TIE_DEFECT of a tied matrix, or clears what another direction set; by a team, p [n, n]
// column-major. Under EXACT no labels agree, and the status stays. What is written to p behind it
// is not read here.
template <class S>
__device__ void note_split_ties(bool here, int n, const S* p, const int* labels, real_of<S> round_off, unsigned* status) {
    using R = real_of<S>;
    const unsigned entries = here && *status & TIED && !refused(*status) ? static_cast<unsigned>(n) * n : 0;
    R largest = limits<R>::least_normal();
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) largest = larger(largest, size(p[e]));
    const R scale = 1 / largest_of_team(largest);
    R squares = 0, within = 0, grouped = 0;
    for (unsigned e = threadIdx.x; e < entries; e += blockDim.x) {
        const int j = e / n, i = e % n;
        const R of_entry = square(times(p[e], scale));
        squares += of_entry;
        if (i == j || !labels[i] || labels[i] != labels[j]) continue;
        within = larger(within, of_entry);
        grouped = 1;
    }
    squares = sum_of_team(squares);
    within = largest_of_team(within);
    grouped = largest_of_team(grouped);
    if (threadIdx.x == 0 && grouped > 0) *status = (*status & ~TIE_DEFECT) | (within > round_off * round_off * squares ? TIE_DEFECT : 0);
}

} // namespace eigengrad
