// Findings about one matrix, as the bits of src/status.rs.
#pragma once

namespace eigengrad {

constexpr unsigned NOT_FINITE = 1u;
constexpr unsigned NOT_CONVERGED = 1u << 1;
constexpr unsigned TIE_ACROSS_CUT = 1u << 2;
constexpr unsigned TIED = 1u << 3;
constexpr unsigned PHASE_DEPENDENT = 1u << 4;
constexpr unsigned GRADIENT_NOT_FINITE = 1u << 5;
constexpr unsigned VALUES_OVERFLOW = 1u << 6;
constexpr unsigned NOT_ORTHONORMAL = 1u << 7;
constexpr unsigned OUTSIDE_DOMAIN = 1u << 8;
constexpr unsigned RESULT_NOT_FINITE = 1u << 9;
constexpr unsigned AMBIGUOUS_RANK = 1u << 10;
constexpr unsigned TIE_DEFECT = 1u << 11;
constexpr unsigned TIES_REFUSED = 1u << 12;
constexpr unsigned VALUES_UNDERFLOW = 1u << 13;
constexpr unsigned LARGE_RESIDUAL = 1u << 14;

// There is no eigendecomposition.
constexpr unsigned FAILED = NOT_FINITE | NOT_CONVERGED | VALUES_OVERFLOW | NOT_ORTHONORMAL | LARGE_RESIDUAL;

// What is made of ties, as `TieRule` has it.
enum tie_rule { ZERO_AND_REPORT = 0, EXACT = 1, REFUSE = 2 };

// What is found where kept eigenvalues tie, before any defect is measured.
__device__ inline unsigned ties_found(bool tied, int rule) {
    return !tied ? 0 : rule == EXACT ? TIED | TIE_DEFECT : rule == REFUSE ? TIED | TIES_REFUSED : TIED;
}

// Whether a matrix gets no gradient, nor any other result.
__device__ inline bool refused(unsigned status) { return status & (FAILED | OUTSIDE_DOMAIN | TIES_REFUSED); }

} // namespace eigengrad
