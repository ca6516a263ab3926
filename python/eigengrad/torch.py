"""PyTorch: eigendecompositions that are differentiated, twice too, where the matrix has a null
space.

The operators ``torch.ops.eigengrad`` are leaves, without derivatives of their own. What is
differentiated are functions around them: :class:`_Eigh` in eager mode, whose derivatives are such
functions again, and :class:`_Compiled`, without a forward derivative, under ``torch.compile``,
which takes none.

λ, V, kept and info are constants in the functions of derivatives. What these depend on A by goes
through the argument ``a`` in closed form, so that no gap between dropped eigenvalues is ever
divided by.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.autograd import Function as AutogradFunction

from . import _core, _cuda
from ._request import Function, Request, coarsest, same_matrices, slope, with_precision
from ._result import PASS, Eigh, Spectrum, described, of_report

__all__ = ["probe", "watch"]

# --- Operators ------------------------------------------------------------------------------------

_PAIRS = "Tensor values, Tensor vectors, Tensor kept, Tensor info"
_BARS = "Tensor values_bar, Tensor vectors_bar"
_DOTS = "Tensor a_dot, Tensor values_bar_dot, Tensor vectors_bar_dot"
_ASKED = "float atol, float rtol, float tie_rtol, int rank, int choices"
_FUNCTION = "int function, float exponent"
_GIVEN = "Tensor f, Tensor slope"
_SPECTRUM = "Tensor kept, Tensor info, Tensor gaps"
_library = torch.library.Library("eigengrad", "DEF")
for _schema in (
    f"eigh(Tensor a, {_ASKED}) -> (Tensor values, Tensor vectors, {_SPECTRUM})",
    f"eigvalsh(Tensor a, {_ASKED}) -> (Tensor values, {_SPECTRUM})",
    f"backward({_PAIRS}, {_BARS}, {_ASKED})"
    " -> (Tensor a_bar, Tensor gauge_defect, Tensor tie_defect, Tensor status)",
    f"double_backward({_PAIRS}, {_BARS}, Tensor h, {_ASKED})"
    " -> (Tensor a_bar, Tensor values_bar_bar, Tensor vectors_bar_bar, Tensor status)",
    f"jvp({_PAIRS}, Tensor a_dot, {_ASKED})"
    " -> (Tensor values_dot, Tensor vectors_dot, Tensor status)",
    f"backward_jvp({_PAIRS}, {_BARS}, {_DOTS}, {_ASKED}) -> (Tensor a_bar_dot, Tensor status)",
    f"spectral({_PAIRS}, {_GIVEN}, {_FUNCTION}, int derivative, {_ASKED})"
    " -> (Tensor result, Tensor status)",
    f"spectral_derivative({_PAIRS}, {_GIVEN}, Tensor e, {_FUNCTION}, {_ASKED})"
    " -> (Tensor result, Tensor status)",
    f"trace_of({_PAIRS}, {_GIVEN}, {_FUNCTION}, {_ASKED}) -> (Tensor trace, Tensor status)",
    f"eigh_factor(Tensor b, {_ASKED})"
    f" -> (Tensor values, Tensor vectors, {_SPECTRUM}, Tensor projection)",
    f"backward_factor({_PAIRS}, Tensor projection, {_BARS}, {_ASKED})"
    " -> (Tensor b_bar, Tensor gauge_defect, Tensor tie_defect, Tensor status)",
    f"fidelity(Tensor a, Tensor b, {_ASKED})"
    " -> (Tensor root, Tensor status, Tensor a_bar, Tensor b_bar)",
):
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides))
_loaded = "libtorch_cpu.dylib" if sys.platform == "darwin" else "libtorch_cpu.so"
_core.register_torch(os.path.join(os.path.dirname(torch.__file__), "lib", _loaded))
_op = torch.ops.eigengrad
_eigh, _eigvalsh, _backward = _op.eigh.default, _op.eigvalsh.default, _op.backward.default
_double_backward, _jvp, _backward_jvp = (
    _op.double_backward.default,
    _op.jvp.default,
    _op.backward_jvp.default,
)
_spectral, _spectral_derivative, _trace_of = (
    _op.spectral.default,
    _op.spectral_derivative.default,
    _op.trace_of.default,
)
_eigh_factor, _backward_factor, _fidelity = (
    _op.eigh_factor.default,
    _op.backward_factor.default,
    _op.fidelity.default,
)


def _real(dtype: torch.dtype) -> torch.dtype:
    return {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(dtype, dtype)


def _rows(of: Tensor, shape: Sequence[Any], dtype: torch.dtype | None = None) -> Tensor:
    return of.new_empty(shape, dtype=dtype)


def _columns(of: Tensor, lead: Sequence[Any], n: Any, count: Any = None) -> Tensor:
    """Memory for ``count`` vectors, n of them where it is not said, one after the other."""
    return of.new_empty((*lead, n if count is None else count, n)).mT


def _spectrum_fake(a: Tensor) -> tuple[Tensor, ...]:
    torch._check(
        a.dim() >= 2 and a.shape[-2] == a.shape[-1],
        lambda: "eigengrad: expected square matrices [..., n, n]",
    )
    return _of_columns_fake(a)


def _of_columns_fake(a: Tensor) -> tuple[Tensor, ...]:
    """λ, kept, info, gaps, of as many pairs as there are columns."""
    lead, n, real = a.shape[:-2], a.shape[-1], _real(a.dtype)
    return (
        _rows(a, (*lead, n), real),
        _rows(a, (*lead, n), torch.bool),
        _rows(a, (2, *lead), torch.int32),
        _rows(a, (2, *lead), real),
    )


def _eigh_fake(a: Tensor, *_: Any) -> tuple[Tensor, ...]:
    values, *rest = _spectrum_fake(a)
    return values, _columns(a, a.shape[:-2], a.shape[-1]), *rest


def _lead(values_bar: Tensor, vectors_bar: Tensor) -> Sequence[Any]:
    """The shape of the batch that cotangents belong to, of which one may be absent."""
    return vectors_bar.shape[:-2] if vectors_bar.dim() >= 2 else values_bar.shape[:-1]


def _backward_fake(values, vectors, kept, info, values_bar, vectors_bar, *_):
    lead, n, real = _lead(values_bar, vectors_bar), vectors.shape[-1], _real(vectors.dtype)
    tie_defect, status = _rows(vectors, lead, real), _rows(vectors, lead, torch.int32)
    return _rows(vectors, (*lead, n, n)), _rows(vectors, (*lead, n), real), tie_defect, status


def _double_backward_fake(values, vectors, kept, info, values_bar, vectors_bar, h, *_):
    lead, n, real = h.shape[:-2], vectors.shape[-1], _real(vectors.dtype)
    bars = _rows(vectors, (*lead, n), real), _columns(vectors, lead, n)
    return _rows(vectors, (*lead, n, n)), *bars, _rows(vectors, lead, torch.int32)


def _jvp_fake(values, vectors, kept, info, a_dot, *_):
    lead, n = a_dot.shape[:-2], vectors.shape[-1]
    values_dot = _rows(vectors, (*lead, n), _real(vectors.dtype))
    return values_dot, _columns(vectors, lead, n), _rows(vectors, lead, torch.int32)


def _hermitian_fake(values, vectors, *_):
    return _rows(vectors, vectors.shape), _rows(vectors, vectors.shape[:-2], torch.int32)


def _trace_fake(values, vectors, *_):
    lead = vectors.shape[:-2]
    return _rows(vectors, lead, _real(vectors.dtype)), _rows(vectors, lead, torch.int32)


def _eigh_factor_fake(b: Tensor, *_: Any) -> tuple[Tensor, ...]:
    torch._check(b.dim() >= 2, lambda: "eigengrad: expected factors [..., n, r]")
    (n, r), lead = b.shape[-2:], b.shape[:-2]
    values, *rest = _of_columns_fake(b)
    return values, _columns(b, lead, n, r), *rest, _columns(b, lead, r)


def _backward_factor_fake(values, vectors, *_):
    (n, r), lead, real = vectors.shape[-2:], vectors.shape[:-2], _real(vectors.dtype)
    report = _rows(vectors, (*lead, r), real), _rows(vectors, lead, real)
    return _columns(vectors, lead, n, r), *report, _rows(vectors, lead, torch.int32)


def _fidelity_fake(a, b, *_):
    lead = a.shape[:-2]
    gradients = _rows(a, a.shape), _rows(a, a.shape)
    return _rows(a, lead, _real(a.dtype)), _rows(a, lead, torch.int32), *gradients


def _front(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """The tensor with the mapped dimension in front, repeated without a copy where it has none."""
    return (
        tensor.unsqueeze(0).expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    )


def _mapped(op: Any, directions: bool = False) -> Callable:
    """The rule by which vmap maps an operator: tensors in front of the batch; info, whose first
    axis is rank and status, behind it. Where ``directions`` are taken, pairs that are not mapped
    stay as they are."""

    def rule(
        info: Any, in_dims: Sequence[int | None], *args: Any
    ) -> tuple[tuple[Tensor, ...], Sequence[int]]:
        size = info.batch_size
        pairs_stay = directions and all(dim is None for dim in in_dims[:4])
        mapped = []
        for at, (arg, dim) in enumerate(zip(args, in_dims)):
            absent = isinstance(arg, Tensor) and dim is None and arg.shape == (0,)
            if not isinstance(arg, Tensor) or absent or (pairs_stay and at < 4):
                mapped.append(arg)
            elif at == 3:  # info, of operators that take pairs
                mapped.append(_front(arg, dim, size).movedim(0, 1))
            else:
                mapped.append(_front(arg, dim, size))
        results = op(*mapped)
        # info and gaps of a decomposition have their own axis in front
        behind = {"eigh": (3, 4), "eigh_factor": (3, 4), "eigvalsh": (2, 3)}.get(
            op._schema.name.split("::")[1], (-1, -1)
        )
        return results, tuple(1 if at in behind else 0 for at in range(len(results)))

    return rule


for _leaf, _fake, _directions in (
    (_eigh, _eigh_fake, False),
    (_eigvalsh, lambda a, *_: _spectrum_fake(a), False),
    (_backward, _backward_fake, True),
    (_double_backward, _double_backward_fake, True),
    (_jvp, _jvp_fake, True),
    (_backward_jvp, _hermitian_fake, False),
    (_spectral, _hermitian_fake, False),
    (_spectral_derivative, _hermitian_fake, False),
    (_trace_of, _trace_fake, False),
    (_eigh_factor, _eigh_factor_fake, False),
    (_backward_factor, _backward_factor_fake, False),
    (_fidelity, _fidelity_fake, False),
):
    torch.library.register_fake(_leaf.name(), _fake, lib=_library)
    torch.library.register_vmap(_leaf.name(), _mapped(_leaf, _directions), lib=_library)

# --- Derivatives ----------------------------------------------------------------------------------


def _raising(reason: str) -> Any:
    """A derivative that there is not: whoever asks for it is told why."""

    def raises(*_: Any) -> NoReturn:
        raise NotImplementedError(f"eigengrad has {reason}")

    return staticmethod(raises)


_keeps_nothing: Any = staticmethod(lambda ctx, inputs, output: None)
_third = _raising("first and second derivatives: a third was asked for")
_no_second = _raising(
    "no second derivative of spectral(A, f), nor of trace_of(A, (f, df)): "
    "differentiate a loss of eigh(A) twice"
)


_absent: Tensor | None = None


def _present(bar: Tensor | None, of: Tensor) -> Tensor:
    """A cotangent, or the empty tensor that stands for none: one for all, unless a tracer is at
    work, whose tensors do not outlive it."""
    global _absent
    if bar is not None:
        return bar
    if type(of) is not Tensor:
        return of.new_empty(0)
    if _absent is None:
        none = torch.empty(0)
        if type(none) is not Tensor:
            return none
        _absent = none
    return _absent


def _summed(tensor: Tensor, like: Tensor) -> Tensor:
    """The sum over directions, of which the matrices know nothing."""
    return tensor if tensor.shape == like.shape else tensor.sum_to_size(like.shape)


def _of_matrices(lead: Sequence[int], pairs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Pairs repeated, without a copy, for as many matrices as there are directions of them."""
    values, vectors, kept, info = pairs
    if vectors.shape[:-2] == torch.Size(lead):
        return pairs
    n = vectors.shape[-1]
    info = info.reshape(2, *(1,) * (len(lead) + 1 - info.dim()), *info.shape[1:]).expand(2, *lead)
    return values.expand(*lead, n), vectors.expand(*lead, n, n), kept.expand(*lead, n), info


def _mapped_function(function: Any, tensors: int, outputs: int, directions: bool) -> Callable:
    """The vmap rule of a function of derivatives: its first ``tensors`` arguments may be mapped,
    the last four of which are the pairs."""

    def vmap(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        size, first = info.batch_size, tensors - 4
        stay = directions and all(dim is None for dim in in_dims[first:tensors])
        mapped = []
        for at, (arg, dim) in enumerate(zip(args, in_dims)):
            constant = at >= tensors or arg is None or (stay and at >= first)
            # the matrix itself is only what derivatives go to: mapped if the pairs are
            constant = constant or (stay and at == 0 and dim is None and function._matrix_first)
            if constant:
                mapped.append(arg)
            elif at == tensors - 1:
                mapped.append(_front(arg, dim, size).movedim(0, 1))
            else:
                mapped.append(_front(arg, dim, size))
        results = function.apply(*mapped)
        return results, (0 if outputs == 1 else (0,) * outputs)

    return vmap


class _Backward(AutogradFunction):
    """(A, λ̄, V̄) ↦ Ā, ρ, tie defect, status."""

    _matrix_first = True

    @staticmethod
    def forward(a, values_bar, vectors_bar, values, vectors, kept, info, asked):
        bars = _present(values_bar, values), _present(vectors_bar, vectors)
        return _backward(values, vectors, kept, info, *bars, *asked)

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, *tensors, ctx.asked = inputs
        ctx.save_for_backward(a, *tensors)
        ctx.save_for_forward(a, *tensors)
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, h, *_):
        if h is None:
            return (None,) * 8
        a, values_bar, vectors_bar, *pairs = ctx.saved_tensors
        a_bar, values_bar_bar, vectors_bar_bar = _applied(
            _DoubleBackward, values_bar, vectors_bar, h, *pairs, ctx.asked
        )
        return (
            None if a is None else _summed(a_bar, a),
            None if values_bar is None else values_bar_bar,
            None if vectors_bar is None else vectors_bar_bar,
            *(None,) * 5,
        )

    @staticmethod
    def jvp(ctx, a_dot, values_bar_dot, vectors_bar_dot, *_):
        _, values_bar, vectors_bar, *pairs = ctx.saved_tensors
        present = vectors_bar.shape[:-2] if vectors_bar is not None else values_bar.shape[:-1]
        pairs = _of_matrices(present, pairs)
        n = pairs[1].shape[-1]
        a_dot = (
            pairs[1].new_zeros((*present, n, n)) if a_dot is None else a_dot.expand(*present, n, n)
        )
        tangent = _BackwardJvp.apply(
            values_bar, vectors_bar, a_dot, values_bar_dot, vectors_bar_dot, *pairs, ctx.asked
        )
        return tangent, None, None, None


class _DoubleBackward(AutogradFunction):
    """(λ̄, V̄, H) ↦ the cotangents of A, λ̄ and V̄."""

    _matrix_first = False

    @staticmethod
    def forward(values_bar, vectors_bar, h, values, vectors, kept, info, asked):
        bars = _present(values_bar, values), _present(vectors_bar, vectors)
        return _double_backward(values, vectors, kept, info, *bars, h, *asked)[:3]

    setup_context = _keeps_nothing
    backward = jvp = _third


class _BackwardJvp(AutogradFunction):
    """(λ̄, V̄, Ȧ, λ̄̇, V̄̇) ↦ the tangent of Ā."""

    _matrix_first = False

    @staticmethod
    def forward(
        values_bar,
        vectors_bar,
        a_dot,
        values_bar_dot,
        vectors_bar_dot,
        values,
        vectors,
        kept,
        info,
        asked,
    ):
        bars = _present(values_bar, values), _present(vectors_bar, vectors)
        dots = _present(values_bar_dot, values), _present(vectors_bar_dot, vectors)
        return _backward_jvp(values, vectors, kept, info, *bars, a_dot, *dots, *asked)[0]

    setup_context = _keeps_nothing
    backward = jvp = _third


class _Jvp(AutogradFunction):
    """(A, Ȧ) ↦ λ̇, V̇, whose transpose is made of the backward and the double backward pass."""

    _matrix_first = True

    @staticmethod
    def forward(a, a_dot, values, vectors, kept, info, asked):
        return _jvp(values, vectors, kept, info, a_dot, *asked)[:2]

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, *tensors, ctx.asked = inputs
        ctx.save_for_backward(a, *tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, values_bar, vectors_bar):
        if values_bar is None and vectors_bar is None:
            return (None,) * 7
        a, a_dot, *pairs = ctx.saved_tensors
        a_bar = _DoubleBackward.apply(values_bar, vectors_bar, a_dot, *pairs, ctx.asked)[0]
        a_dot_bar = _Backward.apply(None, values_bar, vectors_bar, *pairs, ctx.asked)[0]
        return _summed(a_bar, a), a_dot_bar, *(None,) * 5

    jvp = _third


_Backward.vmap = staticmethod(_mapped_function(_Backward, 7, 4, True))  # type: ignore[method-assign]
_DoubleBackward.vmap = staticmethod(_mapped_function(_DoubleBackward, 7, 3, True))  # type: ignore[method-assign]
_BackwardJvp.vmap = staticmethod(_mapped_function(_BackwardJvp, 9, 1, False))  # type: ignore[method-assign]
_Jvp.vmap = staticmethod(_mapped_function(_Jvp, 6, 2, True))  # type: ignore[method-assign]


class _Eigh(AutogradFunction):
    """A ↦ λ, V, kept, info, gaps; a probe beside A receives the report of the backward pass as its
    gradient.
    """

    @staticmethod
    def forward(a, probe, asked):
        return _eigh(a, *asked)

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, probe, ctx.asked = inputs
        ctx.probed, ctx.seen = probe is not None, _seen
        values, vectors, kept, info, gaps = output
        ctx.mark_non_differentiable(kept, info, gaps)
        ctx.save_for_backward(a, values, vectors, kept, info)
        if _forward_mode():
            ctx.save_for_forward(a, values, vectors, kept, info)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, values_bar, vectors_bar, *_):
        if values_bar is None and vectors_bar is None:
            return None, None, None
        a, values, vectors, kept, info = ctx.saved_tensors
        if torch.is_grad_enabled() or _forward_mode():
            pairs = values.detach(), vectors.detach(), kept, info
            made = _applied(_Backward, a, values_bar, vectors_bar, *pairs, ctx.asked)
        else:  # nobody differentiates it again: the kernel alone
            bars = _present(values_bar, values), _present(vectors_bar, vectors)
            made = _backward(values, vectors, kept, info, *bars, *ctx.asked)
        if ctx.seen is not None:
            ctx.seen.append(made[3])
        return made[0], _report(*made[1:]) if ctx.probed else None, None

    @staticmethod
    def jvp(ctx, a_dot, *_):
        a, values, vectors, kept, info = ctx.saved_tensors
        tangents = _Jvp.apply(a, a_dot, values.detach(), vectors.detach(), kept, info, ctx.asked)
        return *tangents, None, None, None

    @staticmethod
    def vmap(info, in_dims, a, probe, asked):
        size = info.batch_size
        probe = None if probe is None else _front(probe, in_dims[1], size)
        return _Eigh.apply(_front(a, in_dims[0], size), probe, asked), (0, 0, 0, 1, 1)


class _Compiled(AutogradFunction):
    """As :class:`_Eigh`, for ``torch.compile``: once differentiable, by reverse mode alone."""

    @staticmethod
    def forward(a, probe, asked):
        return _eigh(a, *asked)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, probe, ctx.asked = inputs
        ctx.probed = probe is not None
        ctx.mark_non_differentiable(*output[2:])
        ctx.save_for_backward(*output[:4])

    @staticmethod
    def backward(ctx, values_bar, vectors_bar, *_):
        made = _backward(*ctx.saved_tensors, values_bar, vectors_bar, *ctx.asked)
        return made[0], _report(*made[1:]) if ctx.probed else None, None

    @staticmethod
    def vmap(info, in_dims, a, probe, asked):
        size = info.batch_size
        probe = None if probe is None else _front(probe, in_dims[1], size)
        return _Compiled.apply(_front(a, in_dims[0], size), probe, asked), (0, 0, 0, 1, 1)


def _report(gauge_defect: Tensor, tie_defect: Tensor, status: Tensor) -> Tensor:
    """ρ of each vector, the tie defect and the status, ``[..., n + 2]``; the status has a fraction
    by which backward passes that add up are told."""
    status = status.to(gauge_defect.dtype) + PASS
    return torch.cat((gauge_defect, tie_defect.unsqueeze(-1), status.unsqueeze(-1)), -1)


def _forward_mode() -> bool:
    return forward_ad._current_level >= 0


def _evaluated(f: Function, values: Tensor) -> tuple[Tensor, Tensor]:
    """f(λ) and f′(λ) of a function that is given; of a named one what stands for none."""
    if f.given is None:
        return _present(None, values), _present(None, values)
    value, slope = (g(values).to(values.dtype).expand(values.shape) for g in f.given)
    return value, slope


def _slope_of(values: Tensor, vectors: Tensor, kept: Tensor, info: Tensor, f: Any, asked: Any):
    """f′(A)."""
    given = _evaluated(f, values)
    return _spectral(values, vectors, kept, info, *given, *f[:2], 1, *asked)[0]


def _along(pairs: Sequence[Tensor], e: Tensor, f: Function, asked: Request) -> Tensor:
    """The derivative of f(A) along E."""
    return _spectral_derivative(*pairs, *_evaluated(f, pairs[0]), e, *f[:2], *asked)[0]


class _Spectral(AutogradFunction):
    """A ↦ f(A) on the kept spectrum, whose derivative is its own adjoint, and statuses."""

    @staticmethod
    def forward(a, f, asked):
        values, vectors, kept, info, _ = _eigh(a, *asked)
        return (
            *_spectral(values, vectors, kept, info, *_evaluated(f, values), *f[:2], 0, *asked),
            values,
            vectors,
            kept,
            info,
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, ctx.f, ctx.asked = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(a, *output[2:])
        ctx.save_for_forward(a, *output[2:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, bar, *_):
        if bar is None:
            return None, None, None
        a, *pairs = ctx.saved_tensors
        return _SpectralDerivative.apply(a, bar, *pairs, ctx.f, ctx.asked), None, None

    @staticmethod
    def jvp(ctx, a_dot, *_):
        a, *pairs = ctx.saved_tensors
        return _SpectralDerivative.apply(a, a_dot, *pairs, ctx.f, ctx.asked), *(None,) * 5

    @staticmethod
    def vmap(info, in_dims, a, f, asked):
        return _Spectral.apply(_front(a, in_dims[0], info.batch_size), f, asked), (0, 0, 0, 0, 0, 1)


class _CompiledSpectral(AutogradFunction):
    """As :class:`_Spectral`, for ``torch.compile``."""

    forward, setup_context = _Spectral.forward, _Spectral.setup_context

    @staticmethod
    def backward(ctx, bar, *_):
        _, *pairs = ctx.saved_tensors
        return None if bar is None else _along(pairs, bar, ctx.f, ctx.asked), None, None


class _SpectralDerivative(AutogradFunction):
    """(A, E) ↦ the derivative of f(A) along E: linear in E, and its own adjoint there."""

    _matrix_first = False

    @staticmethod
    def forward(a, e, values, vectors, kept, info, f, asked):
        return _along((values, vectors, kept, info), e, f, asked)

    setup_context = _keeps_nothing
    backward = jvp = _no_second


class _Slope(AutogradFunction):
    """A ↦ f′(A) of a function that is given, of which no derivative is known."""

    _matrix_first = False

    @staticmethod
    def forward(a, values, vectors, kept, info, f, asked):
        return _slope_of(values, vectors, kept, info, f, asked)

    setup_context = _keeps_nothing
    backward = jvp = _no_second


_SpectralDerivative.vmap = staticmethod(_mapped_function(_SpectralDerivative, 6, 1, False))  # type: ignore[method-assign]
_Slope.vmap = staticmethod(_mapped_function(_Slope, 5, 1, False))  # type: ignore[method-assign]


class _Trace(AutogradFunction):
    """A ↦ tr f(A), and statuses."""

    @staticmethod
    def forward(a, f, asked):
        values, vectors, kept, info, _ = _eigh(a, *asked)
        return (
            *_trace_of(values, vectors, kept, info, *_evaluated(f, values), *f[:2], *asked),
            values,
            vectors,
            kept,
            info,
        )

    setup_context = _Spectral.setup_context

    @staticmethod
    def _slope(ctx):
        """f′(A): as functions of A that are differentiated in turn, where somebody may."""
        a, *pairs = ctx.saved_tensors
        if ctx.f.given is not None:
            return _Slope.apply(a, *pairs, ctx.f, ctx.asked)
        if torch.is_grad_enabled() or _forward_mode():
            terms = [factor * _Spectral.apply(a, g, ctx.asked)[0] for factor, g in slope(ctx.f)]
            return sum(terms[1:], terms[0])
        return _slope_of(*pairs, ctx.f, ctx.asked)

    @staticmethod
    def backward(ctx, bar, *_):
        return None if bar is None else bar[..., None, None] * _Trace._slope(ctx), None, None

    @staticmethod
    def jvp(ctx, a_dot, *_):
        tangent = (_Trace._slope(ctx).conj() * a_dot).sum((-2, -1))
        return tangent.real if tangent.is_complex() else tangent, *(None,) * 5

    @staticmethod
    def vmap(info, in_dims, a, f, asked):
        return _Trace.apply(_front(a, in_dims[0], info.batch_size), f, asked), (0, 0, 0, 0, 0, 1)


class _CompiledTrace(AutogradFunction):
    """As :class:`_Trace`, for ``torch.compile``."""

    forward, setup_context = _Trace.forward, _Trace.setup_context

    @staticmethod
    def backward(ctx, bar, *_):
        _, *pairs = ctx.saved_tensors
        if bar is None:
            return None, None, None
        return bar[..., None, None] * _slope_of(*pairs, ctx.f, ctx.asked), None, None


class _CompiledEighFactor(AutogradFunction):
    """B ↦ λ, V, kept, info, gaps, S of B Bᴴ; once differentiable, by reverse mode alone."""

    @staticmethod
    def forward(b, asked):
        return _eigh_factor(b, *asked)

    @staticmethod
    def setup_context(ctx, inputs, output):
        b, ctx.asked = inputs
        ctx.seen = _seen
        values, vectors, kept, info, gaps, projection = output
        ctx.mark_non_differentiable(kept, info, gaps, projection)
        ctx.save_for_backward(b, projection, values, vectors, kept, info)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, values_bar, vectors_bar, *_):
        if values_bar is None and vectors_bar is None:
            return None, None
        b, projection, values, vectors, kept, info = ctx.saved_tensors
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            pairs = values.detach(), vectors.detach(), kept, info
            return _BackwardFactor.apply(
                b, projection, values_bar, vectors_bar, *pairs, ctx.asked
            ), None
        bars = _present(values_bar, values), _present(vectors_bar, vectors)
        made = _backward_factor(values, vectors, kept, info, projection, *bars, *ctx.asked)
        if ctx.seen is not None:
            ctx.seen.append(made[3])
        return made[0], None


class _EighFactor(AutogradFunction):
    """As :class:`_CompiledEighFactor`, in eager mode, where forward mode is told why it is not
    there."""

    forward, setup_context = _CompiledEighFactor.forward, _CompiledEighFactor.setup_context
    backward = _CompiledEighFactor.backward

    jvp = _raising("no forward-mode derivative of eigh_factor(B): take eigh(B @ B.mH)")

    @staticmethod
    def vmap(info, in_dims, b, asked):
        made = _EighFactor.apply(_front(b, in_dims[0], info.batch_size), asked)
        return made, (0, 0, 0, 1, 1, 0)


class _BackwardFactor(AutogradFunction):
    """(B, S, λ̄, V̄) ↦ B̄."""

    _matrix_first = False

    @staticmethod
    def forward(b, projection, values_bar, vectors_bar, values, vectors, kept, info, asked):
        bars = _present(values_bar, values), _present(vectors_bar, vectors)
        return _backward_factor(values, vectors, kept, info, projection, *bars, *asked)[0]

    setup_context = _keeps_nothing
    backward = jvp = _raising("no second derivative of eigh_factor(B): take eigh(B @ B.mH)")


class _Fidelity(AutogradFunction):
    """(A, B) ↦ the fidelity, status, and its gradients."""

    @staticmethod
    def forward(a, b, asked):
        root, status, a_bar, b_bar = _fidelity(a, b, *asked)
        return root.square(), status, a_bar, b_bar

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, b, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(a, b, *output[2:])
        ctx.save_for_forward(a, b, *output[2:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def _gradients(ctx):
        """Both, as functions of A and B, of which nobody knows a derivative."""
        a, b, a_bar, b_bar = ctx.saved_tensors
        watched = (torch.is_grad_enabled() or _forward_mode()) and not torch.compiler.is_compiling()
        return _FidelityGradients.apply(a, b, a_bar, b_bar) if watched else (a_bar, b_bar)

    @staticmethod
    def backward(ctx, bar, *_):
        if bar is None:
            return None, None, None
        a_bar, b_bar = _Fidelity._gradients(ctx)
        return bar[..., None, None] * a_bar, bar[..., None, None] * b_bar, None

    @staticmethod
    def jvp(ctx, *dots):
        pairs = zip(_Fidelity._gradients(ctx), dots)
        terms = [(bar.conj() * dot).sum((-2, -1)) for bar, dot in pairs if dot is not None]
        tangent = sum(terms[1:], terms[0])
        return tangent.real if tangent.is_complex() else tangent, None, None, None

    @staticmethod
    def vmap(info, in_dims, a, b, asked):
        a, b = (_front(x, dim, info.batch_size) for x, dim in zip((a, b), in_dims))
        return _Fidelity.apply(a, b, asked), (0, 0, 0, 0)


class _CompiledFidelity(AutogradFunction):
    """As :class:`_Fidelity`, for ``torch.compile``."""

    forward, setup_context = _Fidelity.forward, _Fidelity.setup_context

    @staticmethod
    def backward(ctx, bar, *_):
        if bar is None:
            return None, None, None
        _, _, a_bar, b_bar = ctx.saved_tensors
        return bar[..., None, None] * a_bar, bar[..., None, None] * b_bar, None


class _FidelityGradients(AutogradFunction):
    """The gradients of a fidelity as they are, of which no derivative is known."""

    @staticmethod
    def forward(a, b, a_bar, b_bar):
        return a_bar.clone(), b_bar.clone()

    setup_context = _keeps_nothing
    backward = jvp = _raising("no second derivative of fidelity(A, B): differentiate it once")

    @staticmethod
    def vmap(info, in_dims, *tensors):
        mapped = [_front(x, dim, info.batch_size) for x, dim in zip(tensors, in_dims)]
        return _FidelityGradients.apply(*mapped), (0, 0)


_BackwardFactor.vmap = staticmethod(_mapped_function(_BackwardFactor, 8, 1, False))  # type: ignore[method-assign]


def _without_transforms(function: Any) -> Any:
    """A function as it serves outside of ``torch.func``, whose wants cost 50 µs a call there, too:
    torch then asks for the signature of ``forward``."""

    def forward(ctx: Any, *inputs: Any) -> Any:
        output = function.forward(*inputs)
        function.setup_context(ctx, inputs, output)
        return output

    names = [name for name in ("backward", "jvp") if name in vars(function)]
    members = {name: staticmethod(getattr(function, name)) for name in names}
    return type(
        f"{function.__name__}Eager",
        (AutogradFunction,),
        {"forward": staticmethod(forward)} | members,
    )


_EAGER = {
    function: _without_transforms(function)
    for function in (_Eigh, _Spectral, _Trace, _EighFactor, _Fidelity, _Backward, _DoubleBackward)
}


def _applied(function: Any, *inputs: Any) -> Any:
    global _seen
    transformed = torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()
    chosen = function if transformed else _EAGER[function]
    if transformed or _watched is None or function in (_Backward, _DoubleBackward):
        return chosen.apply(*inputs)
    _seen = []
    _watched.append((_caller(), _seen))
    try:
        made = chosen.apply(*inputs)
        # the statuses: in info of a decomposition, the second result of the others
        _seen.append(made[3][1] if function in (_Eigh, _EighFactor) else made[1])
        return made
    finally:
        _seen = None


#: What :func:`watch` sees, of each call the place and the statuses; and those of one that runs.
_watched: list[tuple[str, list[Tensor]]] | None = None
_seen: list[Tensor] | None = None


def _caller() -> str:
    """The line outside of this package that called."""
    frame: Any = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("eigengrad"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


# --- What users call ------------------------------------------------------------------------------

_HALVES = {torch.float16: "float16", torch.bfloat16: "bfloat16"}
_COMPUTED = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def _checked(a: Tensor, asked: Request) -> tuple[Tensor, Request]:
    """Matrices in a type that is computed in: halves in float32, whose gradient is rounded
    to them.
    """
    if type(a).__name__ == "DTensor":
        from . import distributed  # noqa: F401, which registers how it is split
    if a.layout is not torch.strided:
        raise TypeError(f"tensors of {a.layout} are not decomposed: call to_dense() first")
    if a.dtype in _COMPUTED and a.device.type == "cpu":
        return a, asked
    if a.device.type == "cuda" and torch.version.cuda is not None:
        _cuda.preload()
    elif a.device.type not in ("cpu", "meta"):
        raise TypeError(
            f"eigengrad has no kernels for tensors on {a.device} here: move them to the CPU"
        )
    if a.dtype in _HALVES:
        return a.float(), with_precision(asked, _HALVES[a.dtype])
    if a.dtype not in _COMPUTED:
        raise TypeError(
            f"tensors of {a.dtype} are not decomposed: convert it to float32, float64, "
            "complex64 or complex128"
        )
    return a, asked


def _compiling() -> bool:
    if not torch.compiler.is_compiling():
        return False
    if _forward_mode():
        raise NotImplementedError(
            "eigengrad has no forward-mode derivatives inside torch.compile: "
            "compile what is inside, or not at all"
        )
    return True


def _differentiated(a: Tensor) -> bool:
    """Whether a derivative may be asked for, in any mode."""
    return (
        (a.requires_grad and torch.is_grad_enabled())
        or _forward_mode()
        or torch._C._are_functorch_transforms_active()
    )


def eigh(a: Tensor, asked: Request, probe: Tensor | None = None) -> Eigh:
    """As :func:`eigengrad.eigh`, of a request that was made before."""
    a, asked = _checked(a, asked)
    if probe is not None and not isinstance(probe, Tensor):
        raise TypeError("a probe is a tensor: see eigengrad.torch.probe")
    if probe is not None and (
        probe.dtype != _real(a.dtype) or probe.shape != (*a.shape[:-2], a.shape[-1] + 2)
    ):
        raise ValueError(
            f"a probe of this batch is {_real(a.dtype)} of shape "
            f"{(*a.shape[:-2], a.shape[-1] + 2)}: see eigengrad.torch.probe"
        )
    if _compiling():
        return Eigh(*_Compiled.apply(a, probe, asked))
    if probe is None and _watched is None and not _differentiated(a):
        return Eigh(*_eigh(a, *asked))
    return Eigh(*_applied(_Eigh, a, probe, asked))


def eigvalsh(a: Tensor, asked: Request) -> Spectrum:
    """As :func:`eigengrad.eigvalsh`: eigenvectors are computed where a gradient will want them."""
    if _compiling() or _differentiated(a):
        values, _, kept, info, gaps = eigh(a, asked)
        return Spectrum(values, kept, info, gaps)
    a, asked = _checked(a, asked)
    return Spectrum(*_eigvalsh(a, *asked))


def spectral(a: Tensor, f: Function, asked: Request) -> Tensor:
    """As :func:`eigengrad.spectral`."""
    a, asked = _checked(a, asked)
    if _compiling():
        return _CompiledSpectral.apply(a, f, asked)[0]
    return _applied(_Spectral, a, f, asked)[0]


def trace_of(a: Tensor, f: Function, asked: Request) -> Tensor:
    """As :func:`eigengrad.trace_of`."""
    a, asked = _checked(a, asked)
    if _compiling():
        return _CompiledTrace.apply(a, f, asked)[0]
    return _applied(_Trace, a, f, asked)[0]


def eigh_factor(b: Tensor, asked: Request) -> Eigh:
    """As :func:`eigengrad.eigh_factor`."""
    b, asked = _checked(b, asked)
    if _compiling():
        return Eigh(*_CompiledEighFactor.apply(b, asked)[:5])
    return Eigh(*_applied(_EighFactor, b, asked)[:5])


def fidelity(a: Tensor, b: Tensor, asked: Request) -> Tensor:
    """As :func:`eigengrad.fidelity`."""
    same_matrices(a.shape, b.shape)
    both = [_checked(x, asked)[0] for x in (a, b)]
    names = [_HALVES.get(x.dtype) or str(_real(x.dtype)).removeprefix("torch.") for x in (a, b)]
    asked = coarsest(asked, *names)
    a, b = torch.broadcast_tensors(*both)
    kind = torch.promote_types(a.dtype, b.dtype)
    a, b = a.to(kind), b.to(kind)
    if _compiling():
        return _CompiledFidelity.apply(a, b, asked)[0]
    return _applied(_Fidelity, a, b, asked)[0]


def probe(a: Tensor) -> Tensor:
    """Zeros whose gradient is the report of the backward pass: give it to :func:`eigengrad.eigh`
    beside ``a``.

    ``probe.grad`` is then ``[..., n + 2]``: ρ of each eigenvector, that is how much the loss
    depends on its phase; the tie defect; and the status as a number, plus 1/32. It is for one call
    and one backward pass: :func:`eigengrad.check` refuses what several added up, and waits for the
    device, which nothing else does.
    """
    return torch.zeros(
        *a.shape[:-2],
        a.shape[-1] + 2,
        dtype=_real(torch.float32 if a.dtype in _HALVES else a.dtype),
        device=a.device,
        requires_grad=True,
    )


def statuses(result: Any) -> list[int]:
    """The statuses of a result, of a probe behind the backward pass, or of its gradient."""
    if not isinstance(result, Tensor):
        return result.status.flatten().tolist()
    if result.requires_grad and result.is_leaf and result.grad is None:
        raise ValueError("the probe has no gradient yet: check it behind loss.backward()")
    gradient = result if result.grad is None else result.grad
    return of_report(gradient[..., -1].flatten().tolist() if gradient.dim() else [gradient.item()])


@contextlib.contextmanager
def watch() -> Iterator[None]:
    """For debugging: every function of eigengrad that is called inside is looked at, forward and
    backward, and at the end one warning tells of each call with a failure, and where it was made.

    It waits for the device once, at the end, and sees neither compiled functions nor transformed
    ones, of ``torch.func``.
    """
    global _watched
    before, _watched = _watched, []
    try:
        yield
    finally:
        seen, _watched = _watched, before
        texts = []
        for where, found in seen:
            passes = [of.flatten().tolist() for of in found]
            merged = [functools.reduce(operator.or_, of) for of in zip(*passes)]
            if (text := described(merged)) is not None:
                texts.append(f"{where}: {text}")
        if texts:
            warnings.warn("eigengrad: " + "; ".join(texts), stacklevel=3)
