"""Writes the fixtures of functions of the spectrum that tests/suite/reference.rs reads, computed with 60 digits.

    python3 tests/reference/make_function_fixtures.py        # needs numpy and mpmath; writes tests/reference/functions/*.npy

For each function, for float64 and float32, whose numbers the eigenvalues are: an array [cases, n, 2 + n] of float64 with
  [:, :, 0]    the eigenvalues, ascending where they are kept; 0 stands for a dropped one
  [:, :, 1]    f of them, 0 where dropped
  [:, :, 2:]   the divided differences: (f_i - f_j)/(l_i - l_j) between kept ones, f' where they are equal; f_j/l_j between a kept and a dropped
               one; 0 between dropped ones
"""
from pathlib import Path

import mpmath
import numpy as np

HERE = Path(__file__).resolve().parent / "functions"
mpmath.mp.dps = 60

power = lambda p: (lambda x: mpmath.sign(x) ** p * abs(x) ** p if p == int(p) else x ** mpmath.mpf(p))
FUNCTIONS = {  # f, f', and whether it takes negative numbers
    "projector": (lambda x: mpmath.mpf(1), lambda x: mpmath.mpf(0), True),
    "sqrt": (mpmath.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)), False),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), lambda x: -1 / (2 * x * mpmath.sqrt(x)), False),
    "pinv": (lambda x: 1 / x, lambda x: -1 / x**2, True),
    "log": (mpmath.log, lambda x: 1 / x, False),
    "exp": (mpmath.exp, mpmath.exp, True),
    "xlogx": (lambda x: x * mpmath.log(x), lambda x: mpmath.log(x) + 1, False),
    **{f"pow_{p}": (power(p), lambda x, p=p: p * power(p - 1)(x), p == 3) for p in (0.3, -1.5, 3)},
}


def cases(epsilon, signed):
    """Clustered, tied, wide and rank-deficient spectra."""
    steps = np.array([0, 1, 2, 64, epsilon**-0.5, 0.01 / epsilon, 0.3 / epsilon, 1 / epsilon])
    yield 1 + epsilon * steps
    yield 3e-5 * (1 + 2 * epsilon * steps)
    yield np.array([0.5, 0.5, 0.5, 2, 2, 3, 3, 3])
    yield np.geomspace(1e-8, 80, 8)
    yield np.array([1, 1.9, 2.1, 5.7, 6.3, 18, 19, 57])  # ratios about 2 and 3, where forms change
    yield np.array([0, 0, 0, 1e-6, 1e-6 * (1 + 4 * epsilon), 0.2, 0.2, 7])
    if signed:
        yield np.array([-60, -2, -2 + 4 * epsilon, -1e-5, 1e-5, 2, 2 + 4 * epsilon, 3])
        yield np.array([-3, -3, -0.5, 0, 0, 0.5, 3, 3])


def row(f, slope, spectrum):
    exact = [mpmath.mpf(float(x)) for x in spectrum]
    value = [f(x) if x else mpmath.mpf(0) for x in exact]

    def divided(i, j):
        a, b = exact[i], exact[j]
        if a != b:
            return (value[i] - value[j]) / (a - b)
        return slope(a) if a else mpmath.mpf(0)

    return [[x, fx, *(divided(i, j) for j in range(len(exact)))] for i, (x, fx) in enumerate(zip(exact, value))]


def main():
    HERE.mkdir(exist_ok=True)
    for precision in (np.float64, np.float32):
        for name, (f, slope, signed) in FUNCTIONS.items():
            spectra = [x.astype(precision) for x in cases(np.finfo(precision).eps, signed)]
            array = np.array([row(f, slope, x) for x in spectra]).astype(np.float64)
            np.save(HERE / f"{name}_{'f64' if precision == np.float64 else 'f32'}.npy", array)


if __name__ == "__main__":
    main()
