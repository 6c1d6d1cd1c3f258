"""Sixteen float32 numbers as one value of numba, and the product of matrices that fills a core with them.

LLVM gets every vector and every fused multiply-add written out, so what is in a register does not depend on what its
vectoriser finds, and the order of every sum is fixed. A machine without registers as wide takes several for one value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

LANES, ALIGN = 16, 4
FLOAT, INT, WORD = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR, WHOLE = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


def primitive(function: Callable[..., Any]) -> Any:
    """What compiled code may call, with the type of any Python function: (argument types) → (signature, its code)."""
    return intrinsic(function)


class Lanes(types.Type):
    """The type of sixteen float32 numbers."""

    def __init__(self) -> None:
        super().__init__("Lanes")


lanes = Lanes()


@register_model(Lanes)
class _InRegister(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


@primitive
def load(typing: Any, array: Any, offset: Any) -> Any:
    """Sixteen numbers of a flat array, from `offset` on."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _read(builder, _address(context, builder, signature.args[0], *args))

    return lanes(array, types.intp), write


@primitive
def store(typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """array[offset : offset + 16] = value."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _write(builder, args[2], _address(context, builder, signature.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), write


@primitive
def load_some(typing: Any, array: Any, offset: Any, count: Any) -> Any:
    """The first `count` of sixteen numbers, and zeros; what lies behind them is not touched."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.bitcast(_address(context, builder, signature.args[0], *args[:2]), VECTOR.as_pointer())
        held = _spread(builder, builder.trunc(args[2], INT), WHOLE)
        mask = builder.icmp_signed("<", ir.Constant(WHOLE, list(range(LANES))), held)
        name, zeros = f"llvm.masked.load.v{LANES}f32.p0", ir.Constant(VECTOR, [0.0] * LANES)
        return _call(builder, name, VECTOR, place, ir.Constant(INT, ALIGN), mask, zeros)

    return lanes(array, types.intp, types.intp), write


@primitive
def prefetch(typing: Any, array: Any, offset: Any) -> Any:
    """Has the cache fetch what lies at `offset`."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        place = builder.bitcast(_address(context, builder, signature.args[0], *args), byte)
        read, near, data = (ir.Constant(INT, i) for i in (0, 3, 1))
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), place, read, near, data)
        return context.get_dummy_value()

    return types.void(array, types.intp), write


@primitive
def splat(typing: Any, number: Any) -> Any:
    """The same float32 in all lanes."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(builder, args[0], VECTOR)

    return lanes(types.float32), write


@primitive
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a · b + c, rounded once."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _multiply_add(builder, *args)

    return lanes(lanes, lanes, lanes), write


@primitive
def clamp(typing: Any, x: Any, bound: Any) -> Any:
    """x, or ±bound where it lies beyond; NaN stays."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        high = _spread(builder, args[1], VECTOR)
        low = builder.fneg(high)
        below = builder.select(builder.fcmp_ordered(">", args[0], high), high, args[0])
        return builder.select(builder.fcmp_ordered("<", below, low), low, below)

    return lanes(lanes, types.float32), write


@primitive
def choose(typing: Any, x: Any, positive: Any, rest: Any) -> Any:
    """`positive` where x > 0, else `rest`."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(VECTOR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], args[2])

    return lanes(lanes, lanes, lanes), write


@primitive
def nearest(typing: Any, x: Any) -> Any:
    """Whole numbers next to x, halves to the even one."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, f"llvm.rint.v{LANES}f32", VECTOR, *args)

    return lanes(lanes), write


@primitive
def power_of_two(typing: Any, x: Any) -> Any:
    """2 to the power of whole numbers between −126 and 127."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        exponent = builder.add(builder.fptosi(args[0], WHOLE), ir.Constant(WHOLE, [127] * LANES))
        return builder.bitcast(builder.shl(exponent, ir.Constant(WHOLE, [23] * LANES)), VECTOR)

    return lanes(lanes), write


@primitive
def transpose(typing, a, a0, ai, b, b0, bi):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """b[at + k · row stride + i] = a[at + i · row stride + k] for i and k below 16."""
    at = types.intp

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a0, ai, b, b0, bi = args
        source = _address(context, builder, signature.args[0], a, a0)
        target = _address(context, builder, signature.args[3], b, b0)
        rows = [_read(builder, _at(builder, source, builder.mul(ai, _word(i)))) for i in range(LANES)]
        for width in (1, 2, 4, 8):
            low = [i + (LANES - width if i & width else 0) for i in range(LANES)]
            masks = [ir.Constant(WHOLE, [each + shift for each in low]) for shift in (0, width)]
            rows = [
                builder.shuffle_vector(rows[i & ~width], rows[i | width], masks[bool(i & width)]) for i in range(LANES)
            ]
        for k, row in enumerate(rows):
            _write(builder, row, _at(builder, target, builder.mul(bi, _word(k))))
        return context.get_dummy_value()

    return types.void(a, at, at, b, at, at), write


@primitive
def total(typing: Any, x: Any) -> Any:
    """Sum of the sixteen, in halves: 8 and 8, 4 and 4, …"""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, width = args[0], LANES
        while width > 1:
            width //= 2
            halves = [ir.Constant(ir.VectorType(INT, width), list(range(i, i + width))) for i in (0, width)]
            unused = ir.Constant(value.type, ir.Undefined)
            value = builder.fadd(*(builder.shuffle_vector(value, unused, half) for half in halves))
        return builder.extract_element(value, ir.Constant(INT, 0))

    return types.float32(lanes), write


def product(shapes: Sequence[tuple[int, int]]) -> Callable[..., None]:
    """A function that adds a product of matrices to a tile, which stays in registers meanwhile.

    (rows, vectors, a, at, row stride, step, b, at, step, c, at, row stride, count): for every row i below `rows`, lane
    v below 16 `vectors` and k below `count` (1 or more), in the order of k,
    c[at + i · row stride + v] += a[at + i · row stride + k · step] · b[at + k · step + v].

    Args:
        shapes: the (rows, vectors) that it can be asked for; others do nothing.
    """

    @primitive
    def add(typing, rows, vectors, a, a0, ai, ak, b, b0, bk, c, c0, ci, count):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        at = types.intp
        return types.void(at, at, a, at, at, at, b, at, at, c, at, at, at), _chosen(shapes)

    return add


def _chosen(shapes: Sequence[tuple[int, int]]) -> Callable[..., Any]:
    """A switch between the tiles of these shapes."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, a, a0, ai, ak, b, b0, bk, c, c0, ci, count = args
        arrays = zip((signature.args[2], signature.args[6], signature.args[9]), (a, b, c), (a0, b0, c0), strict=True)
        left, right, into = (_address(context, builder, *each) for each in arrays)
        end = builder.append_basic_block()
        choice = builder.switch(builder.add(builder.mul(rows, _word(8)), vectors), end)
        for height, width in shapes:
            choice.add_case(_word(8 * height + width), block := builder.append_basic_block())
            builder.position_at_end(block)
            _tile(builder, (height, width), (left, ai, ak), (right, bk), (into, ci), count)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return write


def _tile(builder: Any, shape: tuple[int, int], a: Any, b: Any, c: Any, count: Any) -> None:  # noqa: PLR0917
    rows, vectors = shape
    (left, left_row, left_step), (right, right_step), (into, into_row) = a, b, c
    lefts = [_at(builder, left, builder.mul(left_row, _word(i))) for i in range(rows)]
    starts = [_at(builder, into, builder.mul(into_row, _word(i))) for i in range(rows)]
    places = [_at(builder, start, _word(v * LANES)) for start in starts for v in range(vectors)]

    def step(k: Any, sums: list[Any]) -> list[Any]:
        row = _at(builder, right, builder.mul(k, right_step))
        values = [_read(builder, _at(builder, row, _word(v * LANES))) for v in range(vectors)]
        found = []
        for i, place in enumerate(lefts):
            factor = _spread(builder, builder.load(_at(builder, place, builder.mul(k, left_step))), VECTOR)
            mine = sums[i * vectors : (i + 1) * vectors]
            found += [_multiply_add(builder, factor, *pair) for pair in zip(values, mine, strict=True)]
        return found

    sums = _looped(builder, count, [_read(builder, place) for place in places], step)
    for value, place in zip(sums, places, strict=True):
        _write(builder, value, place)


def _looped(builder: Any, count: Any, first: list[Any], step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """What `count` steps (k, values) → values make of the first ones; `count` is 1 or more."""
    before, loop, end = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    k, values = builder.phi(WORD), [builder.phi(VECTOR) for _ in first]
    last = step(k, values)
    following = builder.add(k, _word(1))
    for phi, old, new in zip([k, *values], [_word(0), *first], [following, *last], strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, end)
    builder.position_at_end(end)
    return last


def _operation(symbol: Callable[..., Any], name: str) -> None:
    """Has numba know what `symbol` means between lanes."""

    @primitive
    def both(typing, a, b):  # type: ignore[no-untyped-def]
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return lanes(lanes, lanes), write

    @overload(symbol)
    def applied(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: both(a, b)) if a is lanes and b is lanes else None  # noqa: PLW0108 — numba reads its arguments


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operation(_symbol, _name)


def _word(number: int) -> Any:
    return ir.Constant(WORD, number)


def _at(builder: Any, pointer: Any, offset: Any) -> Any:
    return builder.gep(pointer, [offset], inbounds=True)


def _address(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    return _at(builder, context.make_array(kind)(context, builder, array).data, offset)


def _read(builder: Any, place: Any) -> Any:
    value = builder.load(builder.bitcast(place, VECTOR.as_pointer()))
    value.align = ALIGN
    return value


def _write(builder: Any, value: Any, place: Any) -> None:
    builder.store(value, builder.bitcast(place, VECTOR.as_pointer())).align = ALIGN


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    unused = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(unused, number, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, unused, ir.Constant(WHOLE, [0] * LANES))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, f"llvm.fma.v{LANES}f32", VECTOR, a, b, c)


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [each.type for each in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)
