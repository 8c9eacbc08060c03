"""Random chains of operators: whatever order layouts, reshapes and branches come in, the answer stays."""

import numpy as np
import pytest
from converters.onnx_cases import Case, check

GRAPHS = 60
_NODES = 7


class Dice:
    """Builds one graph from a seed, keeping track of shapes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        shape = (1, *map(int, self.rng.choice([2, 4, 6], 3)))
        self.shapes: dict[str, tuple[int, ...]] = {"x": shape}
        self.values: dict[str, object] = {"x": shape}
        self.lines: list[str] = []

    def graph(self) -> Case:
        """A chain with branches, whose last value and one other leave."""
        while len(self.lines) < _NODES:
            name = list(self.shapes)[
                -1 if self.rng.random() < 0.7 else int(self.rng.integers(len(self.shapes)))
            ]
            possible = [made for step in _STEPS if (made := step(self, name)) is not None]
            text, shape = possible[int(self.rng.integers(len(possible)))]
            self._add(text, shape)
        last, other = list(self.shapes)[-1], list(self.shapes)[int(self.rng.integers(1, len(self.shapes)))]
        body = " ".join([*self.lines, f"y = Identity({last})", f"y2 = Neg({other})"])
        return Case(body, {name: self.values[name] for name in self.values})

    def _add(self, text: str, shape: tuple[int, ...]) -> None:
        name = f"t{len(self.lines)}"
        for placeholder in text.split("$")[1::2]:
            constant = f"c{len(self.values)}"
            dims = tuple(map(int, placeholder[1:].split(",")))
            self.values[constant] = np.array(dims) if placeholder[0] == "i" else dims
            text = text.replace(f"${placeholder}$", constant, 1)
        self.lines.append(f"{name} = {text}")
        self.shapes[name] = shape


Step = tuple[str, tuple[int, ...]] | None


def _list(values: object) -> str:
    return ",".join(map(str, values))  # type: ignore[call-overload]


def convolution(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    if len(shape) != 4 or max(shape) > 24:
        return None
    weights = (4, shape[1], 3, 3)
    return f"Conv<pads=[1,1,1,1]>({name}, $f{_list(weights)}$)", (shape[0], 4, *shape[2:])


def activation(dice: Dice, name: str) -> Step:
    kind = str(dice.rng.choice(["Relu", "Sigmoid", "HardSwish", "Tanh", "Abs"]))
    return f"{kind}({name})", dice.shapes[name]


def scale(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    small = [dim if dice.rng.random() < 0.5 else 1 for dim in shape][int(dice.rng.integers(len(shape))) :]
    kind = str(dice.rng.choice(["Mul", "Add", "Sub"]))
    return f"{kind}({name}, $f{_list(small)}$)", shape


def add_other(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    same = [other for other, dims in dice.shapes.items() if dims == shape]
    return f"Add({name}, {same[int(dice.rng.integers(len(same)))]})", shape


def transpose(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    perm = list(map(int, dice.rng.permutation(len(shape))))
    return f"Transpose<perm=[{_list(perm)}]>({name})", tuple(shape[axis] for axis in perm)


def reshape(dice: Dice, name: str) -> Step:
    shape = list(dice.shapes[name])
    if dice.rng.random() < 0.5 and len(shape) > 1:
        axis = int(dice.rng.integers(len(shape) - 1))
        shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
    else:
        axes = [axis for axis, dim in enumerate(shape) if dim % 2 == 0]
        if len(shape) > 4 or not axes:
            return None
        axis = axes[int(dice.rng.integers(len(axes)))]
        shape[axis : axis + 1] = [2, shape[axis] // 2] if dice.rng.random() < 0.5 else [shape[axis] // 2, 2]
    return f"Reshape({name}, $i{_list(shape)}$)", tuple(shape)


def concat(dice: Dice, name: str) -> Step:
    shape = list(dice.shapes[name])
    axis = int(dice.rng.integers(len(shape)))
    if shape[axis] > 12:
        return None
    shape[axis] *= 2
    return f"Concat<axis={axis}>({name}, {name})", tuple(shape)


def reduce(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    axis = int(dice.rng.integers(len(shape)))
    keep = int(len(shape) < 3 or dice.rng.random() < 0.5)
    after = tuple(1 if i == axis else d for i, d in enumerate(shape) if keep or i != axis)
    return f"ReduceMean<axes=[{axis}],keepdims={keep}>({name})", after


def softmax(dice: Dice, name: str) -> Step:
    return f"Softmax<axis={int(dice.rng.integers(len(dice.shapes[name])))}>({name})", dice.shapes[name]


def pad(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    if len(shape) > 4:
        return None
    pads = list(map(int, dice.rng.integers(0, 2, 2 * len(shape))))
    after = tuple(d + pads[i] + pads[i + len(shape)] for i, d in enumerate(shape))
    return f"Pad({name}, $i{_list(pads)}$)", after


def dense(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    return (f"MatMul({name}, $f{shape[-1]},3$)", (*shape[:-1], 3)) if 2 <= len(shape) <= 4 else None


def pool(dice: Dice, name: str) -> Step:
    shape = dice.shapes[name]
    if len(shape) != 4 or min(shape[2:]) < 2:
        return None
    return f"AveragePool<kernel_shape=[2,2]>({name})", (*shape[:2], shape[2] - 1, shape[3] - 1)


_STEPS = (
    convolution, activation, scale, add_other, transpose, reshape, concat, reduce, softmax, pad, dense, pool,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_random_graph_answers_as_onnxruntime(seed: int) -> None:
    check(Dice(seed).graph())
