"""Einsum: operands are multiplied two at a time, as matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import string_of
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.matmul import fully_connected
from edgewise_converters.tflite.graph import Tensor


@dataclass(frozen=True)
class _Term:
    """A tensor and the letter of each of its axes."""

    tensor: Tensor
    letters: tuple[str, ...]

    def size(self, letters: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.tensor.shape[self.letters.index(letter)] for letter in letters)


@lowers("Einsum")
def lower_einsum(low: Lowering, node: ir.Node) -> None:
    """Diagonals, sums over letters that only one operand has, products of matrices, a transposition."""
    result = node.outputs[0]
    f = Algebra(low, str(result.name))
    values = [value for value in node.inputs if value is not None]
    if any(value.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE) for value in values):
        raise low.refuse(node, "it works on integers, expected float32; put Cast nodes around it")
    shapes = [low.shape(value) for value in values]
    inputs, output = parse(string_of(node, "equation", ""), [len(shape) for shape in shapes])
    terms = [
        _diagonal(f, _Term(low.read(value), letters)) for value, letters in zip(values, inputs, strict=True)
    ]
    terms = _without_broadcast_axes(f, terms)
    total = terms[0]
    for number, term in enumerate(terms[1:], start=1):
        kept = set(output).union(*(later.letters for later in terms[number + 1 :]))
        total = _multiply(f, _summed(f, total, kept | set(term.letters)),
                          _summed(f, term, kept | set(total.letters)), kept)  # fmt: skip
    total = _summed(f, total, set(output))
    present = [letter for letter in output if letter in total.letters]
    tensor = f.transpose(total.tensor, [total.letters.index(letter) for letter in present])
    low.bind(result, f.reshape(tensor, low.shape(result)))


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The letters of each operand and of the output; an ellipsis becomes numbers, counted from its end."""
    equation = equation.replace(" ", "")
    left, arrow, right = equation.partition("->")
    words = left.split(",")
    hidden = [rank - len(word.replace("...", "")) if "..." in word else 0
              for word, rank in zip(words, ranks, strict=True)]  # fmt: skip
    inputs = [_spell(word, count) for word, count in zip(words, hidden, strict=True)]
    if arrow:
        return inputs, _spell(right, max(hidden))
    letters = left.replace(",", "").replace("...", "")
    once = tuple(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return inputs, (*_spell("..." if "..." in left else "", max(hidden)), *once)


def _spell(word: str, hidden: int) -> tuple[str, ...]:
    before, dots, after = word.partition("...")
    middle = tuple(str(i) for i in reversed(range(hidden))) if dots else ()
    return (*before, *middle, *after)


def _diagonal(f: Algebra, term: _Term) -> _Term:
    """With a letter that an operand has twice taken along its diagonal."""
    for letter in term.letters:
        if term.letters.count(letter) == 1:
            continue
        axes = [i for i, other in enumerate(term.letters) if other == letter][:2]
        rest = [i for i in range(len(term.letters)) if i not in axes]
        moved = f.transpose(term.tensor, [*rest, *axes])
        size = moved.shape[-1]
        flat = f.reshape(moved, (*moved.shape[:-2], size * size))
        chosen = f.part(flat, len(rest), 0, size * size, size + 1)
        return _diagonal(f, _Term(chosen, (*(term.letters[i] for i in rest), letter)))
    return term


def _without_broadcast_axes(f: Algebra, terms: list[_Term]) -> list[_Term]:
    """Without axes of length one that are longer in another operand."""
    longest: dict[str, int] = {}
    for term in terms:
        for letter, size in zip(term.letters, term.tensor.shape, strict=True):
            longest[letter] = max(longest.get(letter, 1), size)
    narrow = []
    for term in terms:
        letters = tuple(letter for letter in term.letters if longest[letter] == term.size([letter])[0])
        narrow.append(_Term(f.reshape(term.tensor, term.size(letters)), letters))
    return narrow


def _summed(f: Algebra, term: _Term, kept: set[str]) -> _Term:
    """Summed over the letters that nobody needs any more."""
    gone = [i for i, letter in enumerate(term.letters) if letter not in kept]
    if not gone:
        return term
    letters = tuple(letter for letter in term.letters if letter in kept)
    return _Term(f.reduce("SUM", term.tensor, gone, keep=False), letters)


def _multiply(f: Algebra, left: _Term, right: _Term, kept: set[str]) -> _Term:
    """[batch, own, inner] times [batch, inner, own]."""
    both = [letter for letter in left.letters if letter in right.letters]
    batch = [letter for letter in both if letter in kept]
    inner = [letter for letter in both if letter not in kept]
    rows = [letter for letter in left.letters if letter not in both]
    columns = [letter for letter in right.letters if letter not in both]
    letters = (*batch, *rows, *columns)
    shape = (*left.size(batch), *left.size(rows), *right.size(columns))
    if left.tensor.is_constant and not right.tensor.is_constant:
        return _multiply(f, right, left, kept)
    first = _as_matrices(f, left, batch, rows, inner)
    second = _as_matrices(f, right, batch, columns, inner)
    if not inner:
        count, height, width = first.shape[0], first.shape[1], second.shape[1]
        product = f.mul(f.reshape(first, (count, height, 1)), f.reshape(second, (count, 1, width)))
    elif not batch and second.data is not None and first.data is None:
        weights = second.data.reshape(second.shape[1:])
        flat = f.reshape(first, first.shape[1:])
        target = (flat.shape[0], weights.shape[0])
        product = fully_connected(f.low, flat, weights, np.zeros(target[1]), target, f.name)
    else:
        product = f.product(first, second, transpose_right=True)
    return _Term(f.reshape(product, shape), letters)


def _as_matrices(
    f: Algebra, term: _Term, batch: Sequence[str], own: Sequence[str], inner: Sequence[str]
) -> Tensor:
    """[batch, own, inner], each of them one axis."""
    order = [term.letters.index(letter) for letter in (*batch, *own, *inner)]
    shape = [int(np.prod(term.size(letters))) for letters in (batch, own, inner)]
    return f.reshape(f.transpose(term.tensor, order), shape)
