"""Arithmetic on ``Lanes``, one number per star, for the kernels of recurrent layers and of mixtures.

numba vectorises a loop only if it recognises it; this type says outright what belongs side by side. A value of type
Lanes is an LLVM vector of ``LANES`` floats: it lives in registers, ``+ - * /`` and the functions below work on all of
them at once, and every lane goes through the same instructions, so a star's result does not depend on its neighbours.
Plain arrays and plain inner loops were tried instead (docs/benchmarks/recurrent.md): on AVX2 they take 1.1 to 1.6 times
as long in inference and 1.0 to 1.4 times in training, because sums of products do not stay in registers.
Nothing here is called from Python; ``_``, ``_c`` and ``_s`` are arguments of numba's protocol that are not needed.
"""

# numba and llvmlite have no types
# mypy: allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import extending, types
from numba.core import cgutils

# numba's own hints do not know that an intrinsic is called without its first argument
intrinsic: Any = extending.intrinsic

__all__ = [
    "LANES",
    "TILE",
    "LanesType",
    "exp2m1",
    "flush",
    "gelu",
    "load",
    "multiply_add",
    "pick",
    "sigmoid_and_tanh",
    "spread",
    "square_root",
    "store",
    "tanh",
    "total",
    "transpose",
    "two_sigmoids",
    "where_less",
]

LANES = 32 if binding.get_host_cpu_features().get("avx512f", False) else 16
"""Stars per block: two vector registers on AVX-512 and AVX2, enough to hide the latency of a multiply-add."""
TILE = LANES // 2
"""Side of the squares in which matrices are transposed: one register."""
LOG2_E = 1.0 / math.log(2.0)
TWO_LOG2_E = 2.0 * LOG2_E


class LanesType(types.Type):
    """numba type of ``LANES`` numbers of one floating type."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype}, {LANES})")


@extending.register_model(LanesType)
class LanesModel(extending.models.PrimitiveModel):
    """In LLVM, lanes are a vector; it is cut into registers of whatever width the processor has."""

    def __init__(self, manager: Any, lanes: LanesType) -> None:
        element = ir.FloatType() if lanes.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, lanes, ir.VectorType(element, LANES))


def _constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * LANES)


def _indices(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def _spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Put a scalar into every lane; lanes stay as they are."""
    if isinstance(value.type, ir.VectorType):
        return value
    undefined = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    single = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, undefined, _indices([0] * LANES))


def _call(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """One of LLVM's functions on lanes, all of the type of the last argument."""
    kind = args[-1].type
    width = 32 if isinstance(kind.element, ir.FloatType) else 64
    signature = ir.FunctionType(kind, [kind] * len(args))
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{LANES}f{width}")
    return builder.call(function, [_spread(builder, value) for value in args])


def _multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Product and sum a b + c, in one instruction where the processor has it."""
    return _call(builder, "fmuladd", a, b, c)


def _pointer(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    """Address of array[index, 0 ...] as lanes; signature and args begin with the array and the index."""
    (array_type, index_type), (array, index) = signature.args[:2], args[:2]
    pairs = zip(index_type, cgutils.unpack_tuple(builder, index), strict=True)
    numbers = [context.cast(builder, number, kind, types.intp) for kind, number in pairs]
    numbers += [ir.Constant(ir.IntType(64), 0)] * (array_type.ndim - len(numbers))
    view = context.make_array(array_type)(context, builder, array)
    address = cgutils.get_item_pointer(context, builder, array_type, view, numbers)
    vector = ir.VectorType(context.get_data_type(array_type.dtype), LANES)
    return builder.bitcast(address, vector.as_pointer())


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """Lanes at array[index], a tuple, and the numbers that follow in memory; missing trailing indices are 0."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        value = builder.load(_pointer(context, builder, signature, args))
        value.align = array.dtype.bitwidth // 8
        return value

    return LanesType(array.dtype)(array, index), generate


@intrinsic
def store(_: Any, array: Any, index: Any, lanes: Any) -> Any:
    """The reverse of load."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        value = builder.store(args[2], _pointer(context, builder, signature, args))
        value.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, index, lanes), generate


@intrinsic
def pick(_: Any, array: Any, index: Any) -> Any:
    """The one number array[index], index a tuple of numbers that are not negative, in every lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        address = _pointer(context, builder, signature, args)
        element = ir.PointerType(context.get_data_type(array.dtype))
        return _spread(builder, builder.load(builder.bitcast(address, element)))

    return LanesType(array.dtype)(array, index), generate


@intrinsic
def transpose(_: Any, source: Any, index: Any, target: Any, place: Any) -> Any:
    """target[place + (j, i)] = source[index + (i, j)] for i, j < TILE, of two-dimensional arrays."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = ir.VectorType(context.get_data_type(source.dtype), TILE)

        def row(which: int, number: int) -> ir.Value:
            sides = zip(signature.args[which + 1], cgutils.unpack_tuple(builder, args[which + 1]), strict=True)
            first, second = (context.cast(builder, value, side, types.intp) for side, value in sides)
            first = builder.add(first, ir.Constant(first.type, number))
            view = context.make_array(signature.args[which])(context, builder, args[which])
            address = cgutils.get_item_pointer(context, builder, signature.args[which], view, [first, second])
            return builder.bitcast(address, kind.as_pointer())

        rows = [builder.load(row(0, i)) for i in range(TILE)]
        for value in rows:
            value.align = source.dtype.bitwidth // 8
        step = 1
        while step < TILE:  # exchange the off-diagonal squares of side 1, 2, 4 ...
            low = [j if not j & step else TILE + j - step for j in range(TILE)]
            high = [j + step if not j & step else TILE + j for j in range(TILE)]
            for i in range(TILE):
                if not i & step:
                    pair = rows[i], rows[i + step]
                    rows[i], rows[i + step] = (builder.shuffle_vector(*pair, _indices(mask)) for mask in (low, high))
            step *= 2
        for j in range(TILE):
            builder.store(rows[j], row(2, j)).align = source.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(source, index, target, place), generate


@intrinsic
def spread(_: Any, scalar: Any) -> Any:
    """Lanes that all hold one number."""
    return LanesType(scalar)(scalar), lambda _c, builder, _s, args: _spread(builder, args[0])


@intrinsic
def multiply_add(_: Any, a: Any, b: Any, c: Any) -> Any:
    """Product and sum a b + c; a may be a scalar, b and c are lanes."""
    return c(a, b, c), lambda _c, builder, _s, args: _multiply_add(builder, *args)


@intrinsic
def where_less(_: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """In each lane: yes if a < b, else no; a is a scalar. What is not chosen does not matter, were it NaN."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.select(
            builder.fcmp_ordered(
                "<", _spread(builder, context.cast(builder, args[0], signature.args[0], b.dtype)), args[1]
            ),
            args[2],
            args[3],
        )

    return yes(a, b, yes, no), generate


@intrinsic
def flush(_: Any, x: Any) -> Any:
    """Round x to 0 where |x| < 1e-25 (float64: 1e-280).

    Gradients that vanish over many steps would otherwise end as denormal numbers, which processors handle a hundred
    times slower than others. Beside gradients of order one such a number is far below rounding.
    """
    tiny = 1e-25 if x.dtype == types.float32 else 1e-280

    def generate(_c: Any, builder: ir.IRBuilder, _s: Any, args: Any) -> ir.Value:
        (value,) = args
        small = builder.fcmp_ordered("<", _call(builder, "fabs", value), _constant(value.type, tiny))
        return builder.select(small, _constant(value.type, 0.0), value)

    return x(x), generate


@intrinsic
def square_root(_: Any, x: Any) -> Any:
    """Square root, rounded as that of a number is."""

    def generate(_c: Any, builder: ir.IRBuilder, _s: Any, args: Any) -> ir.Value:
        return _call(builder, "sqrt", args[0])

    return x(x), generate


@intrinsic
def total(_: Any, lanes: Any) -> Any:
    """Sum over lanes, in a fixed order: halves are added until one number is left."""

    def generate(_c: Any, builder: ir.IRBuilder, _s: Any, args: Any) -> ir.Value:
        value, width = args[0], LANES
        while width > 1:
            width //= 2
            low, high = (
                builder.shuffle_vector(value, value, _indices(list(range(start, start + width))))
                for start in (0, width)
            )
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return lanes.dtype(lanes), generate


def _define(symbol: Callable[..., Any], instruction: str) -> None:
    """Let + - * / work on lanes, and between lanes and numbers."""

    @intrinsic
    def apply(_: Any, a: Any, b: Any) -> Any:
        lanes = a if isinstance(a, LanesType) else b

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            vectors = [
                value
                if isinstance(kind, LanesType)
                else _spread(builder, context.cast(builder, value, kind, lanes.dtype))
                for value, kind in zip(args, signature.args, strict=True)
            ]
            return getattr(builder, instruction)(*vectors)

        return lanes(a, b), generate

    @extending.overload(symbol, strict=False)
    def choose(a: Any, b: Any) -> Any:
        if isinstance(a, LanesType) or isinstance(b, LanesType):
            return lambda a, b: apply(a, b)
        return None


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_symbol, _instruction)


def _series(degree: int) -> list[float]:
    """Coefficients of (2^f - 1) / f for |f| <= 1/2: interpolation in Chebyshev nodes, nearly the best polynomial."""
    nodes = np.polynomial.Chebyshev.interpolate(lambda f: np.expm1(f * math.log(2.0)) / f, degree, domain=[-0.5, 0.5])
    return [float(value) for value in nodes.convert(kind=np.polynomial.Polynomial).coef]


@intrinsic
def exp2m1(_: Any, y: Any) -> Any:
    """2^y - 1 to rounding, also for small y, without a branch or a call, so that it stays in registers.

    y = n + f with |f| <= 1/2: a polynomial gives 2^f - 1, and 2^n is made by writing n into the bits of the exponent;
    then 2^y - 1 = 2^n (2^f - 1) + (2^n - 1). Arguments are cut at ±60 (float64: ±500).
    """
    single = y.dtype == types.float32
    degree, limit, mantissa, bias, word = (5, 60.0, 23, 127, 32) if single else (13, 500.0, 52, 1023, 64)

    def generate(_c: Any, builder: ir.IRBuilder, _s: Any, args: Any) -> ir.Value:
        (value,) = args
        kind = value.type
        integer = ir.VectorType(ir.IntType(word), LANES)
        for sign, order in ((-1.0, "<"), (1.0, ">")):
            bound = _constant(kind, sign * limit)
            value = builder.select(builder.fcmp_ordered(order, value, bound), bound, value)
        # adding this number rounds to an integer and leaves it, plus the bias, in the lowest bits
        magic = _constant(kind, 1.5 * 2.0**mantissa + bias)
        shifted = builder.fadd(value, magic)
        fraction = builder.fsub(value, builder.fsub(shifted, magic))
        *lower, series = (_constant(kind, coefficient) for coefficient in _series(degree))
        for coefficient in reversed(lower):
            series = _multiply_add(builder, series, fraction, coefficient)
        power = builder.bitcast(builder.shl(builder.bitcast(shifted, integer), _constant(integer, mantissa)), kind)
        scale = builder.fmul(power, fraction)
        return _multiply_add(builder, scale, series, builder.fsub(power, _constant(kind, 1.0)))

    return y(y), generate


_ERF_ABOVE = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
              -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
_ERF_BELOW = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
              -1.42647390514189e-02)  # fmt: skip
"""erf(z) = z P(z^2) / Q(z^2) for |z| <= 4, highest power first: the rational function of the Eigen library."""


@intrinsic
def gelu(_: Any, x: Any) -> Any:
    """The product x Phi(x) with the normal distribution function Phi, float32 only: to 4e-7 of |x| or of 1."""

    def generate(_c: Any, builder: ir.IRBuilder, _s: Any, args: Any) -> ir.Value:
        (value,) = args
        kind = value.type
        z = builder.fmul(value, _constant(kind, math.sqrt(0.5)))
        for bound, order in ((-4.0, "<"), (4.0, ">")):
            z = builder.select(builder.fcmp_ordered(order, z, _constant(kind, bound)), _constant(kind, bound), z)
        square = builder.fmul(z, z)
        above, below = (_constant(kind, series[0]) for series in (_ERF_ABOVE, _ERF_BELOW))
        for coefficient in _ERF_ABOVE[1:]:
            above = _multiply_add(builder, above, square, _constant(kind, coefficient))
        for coefficient in _ERF_BELOW[1:]:
            below = _multiply_add(builder, below, square, _constant(kind, coefficient))
        half = builder.fmul(value, _constant(kind, 0.5))
        return _multiply_add(builder, half, builder.fdiv(builder.fmul(z, above), below), half)

    return x(x), generate


# The last two functions share a division, the slowest instruction, between two results. The argument of exp2m1 is cut
# so that the product of two denominators stays finite.


@numba.njit(error_model="numpy")
def tanh(x: Any) -> Any:
    """Hyperbolic tangent, (e^2x - 1) / (e^2x + 1)."""
    m = exp2m1(x * TWO_LOG2_E)
    return m / (m + 2.0)


@numba.njit(error_model="numpy")
def two_sigmoids(x: Any, y: Any) -> Any:
    """Logistic function 1 / (1 + e^-x) of x and of y."""
    a, b = exp2m1(x * -LOG2_E) + 2.0, exp2m1(y * -LOG2_E) + 2.0
    inverse = 1.0 / (a * b)
    return b * inverse, a * inverse


@numba.njit(error_model="numpy")
def sigmoid_and_tanh(x: Any, y: Any) -> Any:
    """Logistic function of x and hyperbolic tangent of y."""
    a, m = exp2m1(x * -LOG2_E) + 2.0, exp2m1(y * TWO_LOG2_E)
    b = m + 2.0
    inverse = 1.0 / (a * b)
    return b * inverse, m * a * inverse
