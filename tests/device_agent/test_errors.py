import builtins

import pytest

from edgewise_agent import errors
from edgewise_agent.errors import AgentError, InvalidSettings, Problem

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AgentError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_ends_the_command_with_1_and_is_drawn_in_the_tree(kind: type[AgentError]) -> None:
    assert kind.exit_code == 1
    assert errors.__doc__ and kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not AgentError])
def test_every_error_is_also_a_builtin_one(kind: type[AgentError]) -> None:
    named = {base.__name__ for base in kind.__mro__} - {"Exception", "BaseException", "object"}
    assert named & set(vars(builtins))


def test_one_problem_is_one_line_and_several_are_a_list() -> None:
    one, whole = Problem("a.b", "is wrong"), Problem("file", "is gone")
    assert str(InvalidSettings("x.toml", (one,))) == "x.toml: a.b: is wrong"
    assert str(InvalidSettings("x.toml", (whole,))) == "x.toml: is gone"
    assert (
        str(InvalidSettings("x.toml", (one, one))) == "x.toml: 2 problems\n  a.b: is wrong\n  a.b: is wrong"
    )
