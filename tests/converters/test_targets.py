"""Target files."""

import pytest

from edgewise.backends import available
from edgewise_converters.errors import UnknownTarget
from edgewise_converters.targets import load_target, target_names
from edgewise_converters.verify import GATES_DB


@pytest.mark.parametrize("name", target_names())
def test_target_names_runtimes_and_precisions_that_exist(name: str) -> None:
    target = load_target(name)
    assert target.title and target.cpu
    assert target.architecture in ("arm64", "armv7")
    assert target.runtimes and set(target.runtimes) <= set(available())
    assert {target.precision, target.precision_without_samples} <= set(GATES_DB)


@pytest.mark.parametrize(
    ("name", "near"), [("rpi44", "rpi4"), ("RPI5", "rpi5"), ("pi-zero2w", "rpi-zero2w"), ("arm6", "arm64")]
)
def test_nearest_names_are_suggested(name: str, near: str) -> None:
    with pytest.raises(UnknownTarget, match=f"did you mean.*{near}"):
        load_target(name)


def test_path_is_no_target() -> None:
    with pytest.raises(UnknownTarget):
        load_target("../targets/rpi4")
