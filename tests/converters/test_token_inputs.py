"""How many token ids there are is read off the tables they are looked up in."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, lowered, model_of

from edgewise_converters.samples import InputSpec, noise
from edgewise_converters.token_inputs import table_sizes

IDS = np.zeros((1, 6), np.int64)
KNOWN = {
    "one table": (case("y = Gather(t, x)", x=IDS, t=(50, 4)), 50),
    "through a cast": (case("i = Cast<to=6>(x) y = Gather(t, i)", x=IDS, t=(50, 4)), 50),
    "through a reshape": (
        case("i = Reshape(x, s) y = Gather(t, i)", x=IDS, t=(50, 4), s=np.array([2, 3])), 50,
    ),
    "second axis": (case("y = Gather<axis=1>(t, x)", x=IDS, t=(4, 30)), 30),
    "two tables": (case("a = Gather(t, x) b = Gather(u, x) y = Add(a, b)", x=IDS, t=(50, 4), u=(40, 4)), 40),
}  # fmt: skip
UNKNOWN = {
    "a mask": case("a = Cast<to=1>(x) y = Mul(a, w)", x=IDS, w=(1, 6)),
    "shifted by one": case("a = Gather(t, x) i = Add(x, o) b = Gather(t, i) y = Add(a, b)",
                           x=IDS, t=(50, 4), o=np.array(1)),
    "doubled": case("i = Mul(x, o) y = Gather(t, i)", x=IDS, t=(50, 4), o=np.array(2)),
    "a table that is computed": case("y = Gather(x2, x)", x=IDS, x2=(5, 4)),
}  # fmt: skip


@pytest.mark.parametrize(("this", "size"), KNOWN.values(), ids=KNOWN)
def test_the_smallest_table_says_how_many(this: Case, size: int) -> None:
    assert table_sizes(lowered(model_of(this)).graph) == {"x": size}


@pytest.mark.parametrize("this", UNKNOWN.values(), ids=UNKNOWN)
def test_nothing_is_said_where_the_limit_is_unknown(this: Case) -> None:
    assert table_sizes(lowered(model_of(this)).graph) == {}


def test_random_tokens_come_from_the_whole_table() -> None:
    spec = InputSpec("ids", (1, 2000), np.dtype(np.int64), values=50)
    drawn = np.concatenate([feed["ids"] for feed in noise([spec]).feeds()])
    assert set(np.unique(drawn)) == set(range(50))
