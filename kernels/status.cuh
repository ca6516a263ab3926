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

// There is no eigendecomposition.
constexpr unsigned FAILED = NOT_FINITE | NOT_CONVERGED | VALUES_OVERFLOW | NOT_ORTHONORMAL;

// Whether a matrix gets no gradient, nor any other result.
__device__ inline bool refused(unsigned status, int refuse_ties) {
    return status & (FAILED | OUTSIDE_DOMAIN) || (refuse_ties && status & TIED);
}

} // namespace eigengrad
