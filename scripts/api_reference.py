#!/usr/bin/env python3
"""Writes docs/api.md, the reference of the SDK, from its signatures and docstrings.

Usage: api_reference.py [--check]. With --check nothing is written; exit code 1 says that the page is not up to date, or
that something public has no docstring.
"""

import argparse
import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
MODULES = (
    "edgewise",
    "edgewise.streams",
    "edgewise.backends",
    "edgewise.preprocess.audio",
    "edgewise.preprocess.resample",
    "edgewise.preprocess.samples",
    "edgewise.testing",
)
_FROM_BASES = ("ValueError", "RuntimeError", "Exception", "BaseException", "object", "Protocol")


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    bare: list[str] = []
    text = page(bare)
    for name in bare:
        print(f"{name}: has no docstring", file=sys.stderr)
    if not asked.check:
        PAGE.write_text(text)
        print(PAGE)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print(f"{PAGE}: is not what the docstrings say; run scripts/api_reference.py", file=sys.stderr)
        return 1
    return 1 if bare else 0


def page(bare: list[str]) -> str:
    """The whole page; names without a docstring are added to ``bare``."""
    lines = [
        "# SDK reference",
        "",
        "Made from signatures and docstrings by `scripts/api_reference.py`. [sdk.md](sdk.md) is the tour.",
        "",
    ]
    modules = [importlib.import_module(name) for name in MODULES]
    for module in modules:
        lines += [f"- [`{module.__name__}`](#{_anchor(module.__name__)}): {', '.join(_links(module))}"]
    for module in modules:
        lines += ["", f"## {module.__name__}", "", _text(module, module.__name__, bare)]
        for name, value in _public(module):
            lines += ["", *_entry(f"{module.__name__}.{name}", value, bare)]
    return "\n".join(lines) + "\n"


def _public(module: Any) -> list[tuple[str, Any]]:
    """What a module exports: its ``__all__``, else the classes and functions that are its own."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
        ]
    found = [(name, getattr(module, name)) for name in sorted(names, key=str.lower)]
    return [(name, value) for name, value in found if callable(value) and hasattr(value, "__module__")]


def _links(module: Any) -> Iterator[str]:
    taken: dict[str, int] = {}
    for name, _ in _public(module):
        anchor = _anchor(f"{module.__name__}.{name}")
        taken[anchor] = taken.get(anchor, -1) + 1
        yield f"[{name}](#{anchor}{f'-{taken[anchor]}' if taken[anchor] else ''})"


def _anchor(title: str) -> str:
    """As GitHub makes it from a heading; a second one of the same gets -1."""
    return re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-")


def _entry(title: str, value: Any, bare: list[str]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    if not inspect.isclass(value):
        yield _code(value.__name__, value)
        yield ""
        yield _text(value, title, bare)
        return
    ours = [base.__name__ for base in value.__bases__ if base.__name__ not in _FROM_BASES]
    if ours:
        yield f"A `{'`, `'.join(ours)}`.\n"
    yield _text(value, title, bare)
    if "__init__" in vars(value) and not dataclasses.is_dataclass(value):
        yield ""
        yield _code(value.__name__, value.__init__)
        if inspect.getdoc(value.__init__) and not issubclass(value, Exception):
            yield ""
            yield _text(value.__init__, title, bare)
    yield from _fields(value)
    for name, member in vars(value).items():
        if not name.startswith("_"):
            yield from _member(f"{title}.{name}", name, member, bare)


def _fields(value: type) -> Iterator[str]:
    """The fields of a dataclass or a named tuple, with the strings behind them."""
    if not dataclasses.is_dataclass(value):
        return
    said = _attribute_docstrings(value)
    yield ""
    for field in dataclasses.fields(value):
        if field.name.startswith("_"):
            continue
        kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        default = "" if field.default is dataclasses.MISSING else f" = {_short(field.default)}"
        yield f"- `{field.name}: {_short_names(kind)}{default}`" + (
            f": {said[field.name]}" if field.name in said else ""
        )


def _short(default: Any) -> str:
    text = repr(default)
    return text if len(text) <= 40 and " at 0x" not in text else "..."


def _attribute_docstrings(value: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for first, second in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(first, ast.AnnAssign)
            and isinstance(first.target, ast.Name)
            and isinstance(second, ast.Expr)
            and isinstance(second.value, ast.Constant)
            and isinstance(second.value.value, str)
        ):
            found[first.target.id] = _markdown(" ".join(second.value.value.split()))
    return found


def _member(title: str, name: str, member: Any, bare: list[str]) -> Iterator[str]:
    """A method or a property, as a list entry."""
    kind = ""
    if isinstance(member, classmethod | staticmethod):
        kind, member = f" ({type(member).__name__})", member.__func__
    if isinstance(member, property):
        kind, signature = " (property)", ""
        shown: Any = member.fget
    elif inspect.isfunction(member):
        shown, signature = member, _signature(member)
    else:
        return
    yield ""
    yield f"**`{name}{signature}`**{kind}"
    yield ""
    yield _text(shown, title, bare)


def _code(name: str, function: Any) -> str:
    return f"```python\n{name}{_signature(function)}\n```"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    kept = [p for name, p in signature.parameters.items() if name not in ("self", "cls")]
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", str(signature.replace(parameters=kept)))
    return _short_names(text)


def _short_names(text: str) -> str:
    """Types without the modules they live in."""
    return re.sub(
        r"\b(?:edgewise|pathlib|collections|typing|numpy|PIL|os)\.(?:[a-z_0-9]+\.)*(?=\w)", "", text
    )


def _text(value: Any, title: str, bare: list[str]) -> str:
    doc = inspect.getdoc(value) if not inspect.isclass(value) else vars(value).get("__doc__")
    if not doc or (inspect.isclass(value) and doc.startswith(f"{value.__name__}(")):
        bare.append(title)
        return ""
    return _markdown(inspect.cleandoc(doc))


def _markdown(doc: str) -> str:
    return doc.replace("``", "`")


if __name__ == "__main__":
    sys.exit(main())
