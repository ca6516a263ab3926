// Which entries the gradient is taken by.
#pragma once

namespace eigengrad {

enum form { HERMITIAN = 0, LOWER = 1, UPPER = 2 };

// What the entry (i, j) of the Hermitian Ā is multiplied with.
__device__ inline int factor_of(int form, int i, int j) {
    if (form == HERMITIAN || i == j) return 1;
    return (i > j) == (form == LOWER) ? 2 : 0;
}

} // namespace eigengrad
