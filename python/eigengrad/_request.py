"""What is asked of a decomposition, as numbers that pass through any framework."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict


class Options(TypedDict, total=False):
    """What :func:`eigengrad.eigh` is asked beside its triangle."""

    rtol: float | None
    atol: float | None
    rank: int | None
    keep_all: bool
    computed_in: str | None
    ties: str
    tie_rtol: float | None
    dropped: str


READ = {"L": 0, "U": 1}
TIES = {"zero": 0, "exact": 1, "nan": 2}
DROPPED = {"as_computed": 0, "zero": 1}
PRECISIONS = {None: 0, "float16": 1, "bfloat16": 2, "float32": 3, "float64": 4}
FUNCTIONS = {
    name: number
    for number, name in enumerate(
        ("projector", "sqrt", "rsqrt", "pinv", "log", "exp", "xlogx", "pow")
    )
}


class Request(NamedTuple):
    """Tolerances, of which -1 is the default, the largest rank, -1 for any, and choices in bits."""

    atol: float
    rtol: float
    tie_rtol: float
    rank: int
    choices: int


class Function(NamedTuple):
    """A function by its number, and the exponent of a power; or by f and f′, numbered -1."""

    number: int
    exponent: float
    given: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None


def _chosen(what: str, table: dict, choice: object) -> int:
    try:
        return table[choice]
    except (KeyError, TypeError):
        names = ", ".join(repr(name) for name in table)
        raise ValueError(f"{what} is {choice!r}: expected one of {names}") from None


def _tolerance(what: str, value: float | None) -> float:
    if value is None:
        return -1.0
    value = float(value)
    if not value >= 0.0:
        raise ValueError(f"{what} is {value}: expected a number that is not negative, or None")
    return value


def request(
    UPLO: str = "L",
    *,
    rtol: float | None = None,
    atol: float | None = None,
    rank: int | None = None,
    keep_all: bool = False,
    computed_in: str | None = None,
    ties: str = "zero",
    tie_rtol: float | None = None,
    dropped: str = "as_computed",
    **unknown: object,
) -> Request:
    """Checks what a user asks and packs it."""
    if unknown:
        known = "rtol, atol, rank, keep_all, computed_in, ties, tie_rtol, dropped"
        raise TypeError(f"unknown option {', '.join(unknown)}: expected UPLO, {known}")
    if rank is not None and (rank := operator.index(rank)) < 0:
        raise ValueError(f"rank is {rank}: expected a number that is not negative, or None")
    if keep_all and not (rtol is atol is None):
        raise ValueError("keep_all sets no tolerance: it takes no rtol and no atol")
    # As Request in src/request.rs reads them.
    choices = _chosen("UPLO", READ, UPLO.upper() if isinstance(UPLO, str) else UPLO)
    choices |= bool(keep_all) << 2
    choices |= _chosen("ties", TIES, ties) << 3
    choices |= _chosen("dropped", DROPPED, dropped) << 5
    choices |= _chosen("computed_in", PRECISIONS, computed_in) << 6
    return Request(
        _tolerance("atol", atol),
        _tolerance("rtol", rtol),
        _tolerance("tie_rtol", tie_rtol),
        -1 if rank is None else rank,
        choices,
    )


def with_precision(asked: Request, precision: str) -> Request:
    """The request where data were rounded to halves, unless it says where they were computed."""
    if asked.choices >> 6:
        return asked
    return asked._replace(choices=asked.choices | PRECISIONS[precision] << 6)


def coarsest(asked: Request, *precisions: str) -> Request:
    """The request for operands of several precisions, which are computed in one: round-off is that
    of the coarsest."""
    ordered = ("bfloat16", "float16", "float32", "float64")
    least = min(precisions, key=ordered.index)
    same = set(precisions) == {least} and least in ("float32", "float64")
    return asked if same else with_precision(asked, least)


def same_matrices(one: Sequence[int], other: Sequence[int]) -> None:
    """Whether both are square matrices of one order; batches may differ."""
    if len(one) < 2 or len(other) < 2 or tuple(one[-2:]) != tuple(other[-2:]):
        raise ValueError(
            f"expected square matrices of one order, got shapes {tuple(one)} and {tuple(other)}"
        )


def function(f: Any) -> Function:
    """A function by its name, ("pow", p), or a pair of f and f′."""
    if isinstance(f, tuple) and len(f) == 2 and f[0] == "pow":
        return Function(FUNCTIONS["pow"], float(f[1]))
    if isinstance(f, tuple) and len(f) == 2 and callable(f[0]) and callable(f[1]):
        return Function(-1, 0.0, f)
    if callable(f):
        raise ValueError("f comes with its derivative, as a pair of functions of the eigenvalues")
    if f == "pow":
        raise ValueError('a power has an exponent: ("pow", 0.5)')
    return Function(_chosen("f", FUNCTIONS, f), 0.0)


def slope(f: Function) -> list[tuple[float, Function]]:
    """f′ of a named function as a sum of multiples of such."""
    power = FUNCTIONS["pow"]
    named = {name: Function(number, 0.0) for name, number in FUNCTIONS.items()}
    return {
        "projector": [(0.0, named["projector"])],
        "sqrt": [(0.5, named["rsqrt"])],
        "rsqrt": [(-0.5, Function(power, -1.5))],
        "pinv": [(-1.0, Function(power, -2.0))],
        "log": [(1.0, named["pinv"])],
        "exp": [(1.0, named["exp"])],
        "xlogx": [(1.0, named["log"]), (1.0, named["projector"])],
        "pow": [(f.exponent, Function(power, f.exponent - 1.0))],
    }[next(name for name, number in FUNCTIONS.items() if number == f.number)]
