"""The expressions of rules, by the library rule-engine: typed, without side effects, bounded.

rule-engine folds constants while it parses, so what could run for long is refused before it sees the text: its
built-in functions (``$range(1e9)`` fills the memory), regular expressions (backtracking), powers, and more than two
comprehensions. What remains is walked node by node, and a node that is not on the list is refused too.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import rule_engine
from rule_engine import DataType, ast, errors
from rule_engine.builtins import Builtins

from edgewise_agent.errors import InvalidExpression, RuleFailed
from edgewise_agent.rules.vocabulary import Kind, Vocabulary, Word

MAX_CHARACTERS = 500
MAX_COMPREHENSIONS = 2
"""Of at most 100 boxes each: 10,000 steps."""

_FORBIDDEN = (
    (re.compile(r"\$"), "built-in functions ($...)"),
    (re.compile(r"~"), "regular expressions (~)"),
    (re.compile(r"\*\*"), "powers (**)"),
    (re.compile(r"<<|>>"), "shifts"),
    (re.compile(r"[&|^]"), "bit operations and &"),
    (re.compile(r"\\"), "backslashes"),
    (re.compile(r"#"), "comments (#)"),
    (re.compile(r"[\x00-\x1f\x7f]"), "line breaks and control characters"),
    (re.compile(r"\b(?:null|inf|nan)\b", re.IGNORECASE), "null, inf and nan"),
)
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_ALLOWED_NODES = frozenset(
    ("Statement", "AddExpression", "SubtractExpression", "ArithmeticExpression", "LogicExpression")
    + (
        "ComparisonExpression",
        "ArithmeticComparisonExpression",
        "ContainsExpression",
        "GetAttributeExpression",
    )
    + ("SymbolExpression", "FunctionCallExpression", "ComprehensionExpression", "TernaryExpression")
    + ("UnaryExpression", "ArrayExpression", "BooleanExpression", "FloatExpression", "StringExpression")
)
_ALLOWED_ATTRIBUTES = frozenset(
    ("length", "as_lower", "as_upper", "starts_with", "ends_with", "is_empty")
    + ("label", "score", "x", "y", "width", "height", "area", "left", "top")
)
_NUMBER = DataType.FLOAT
_BOX = DataType.OBJECT(
    "Box",
    {"label": DataType.STRING}
    | dict.fromkeys(("score", "x", "y", "width", "height", "area", "left", "top"), _NUMBER),
)
_TYPES: dict[Kind, Any] = {
    "number": _NUMBER,
    "text": DataType.STRING,
    "truth": DataType.BOOLEAN,
    "boxes": DataType.ARRAY(_BOX),
}
_OUTCOMES: dict[str, Kind] = {"FLOAT": "number", "STRING": "text", "BOOLEAN": "truth"}


@dataclass(frozen=True)
class Call:
    """A function that an expression calls with a text said in it."""

    name: str
    texts: tuple[str | None, ...]
    """Its arguments; None where one is computed."""


@dataclass(frozen=True)
class Expression:
    """A checked expression."""

    text: str
    kind: Kind
    """What it gives: a number, a text or a truth."""
    words: frozenset[str]
    """The variables and functions it speaks of."""
    calls: tuple[Call, ...]
    rule: rule_engine.Rule

    def column_of(self, word: str) -> int:
        """Where a word stands first, from 1."""
        return _column_of(self.text, word)

    def value(self, facts: Mapping[str, Any]) -> float | str | bool:
        """Its value for these facts. Raises RuleFailed."""
        try:
            found = self.rule.evaluate(facts)
        except (errors.EngineError, ArithmeticError, ValueError, TypeError, RecursionError) as error:
            raise RuleFailed(f"{self.text}: {_reason(error)}") from error
        if isinstance(found, bool | str):
            return found
        return float(found)


def compile_expression(text: str, vocabulary: Vocabulary, *, expected: tuple[Kind, ...]) -> Expression:
    """Check an expression. Raises InvalidExpression, which says at which column what is wrong."""
    _refuse_forbidden(text)
    context = _context(vocabulary)
    try:
        rule = rule_engine.Rule(text, context=context)
    except RecursionError as error:
        raise InvalidExpression("too deeply nested", column=1) from error
    except errors.EngineError as error:
        raise _explained(error, text, context, vocabulary) from error
    except (ArithmeticError, ValueError, TypeError) as error:
        raise InvalidExpression(f"{_reason(error)} in a constant part", column=1) from error
    nodes = tuple(_nodes(rule.statement))
    _refuse_unknown(nodes, text)
    _refuse_mixed(nodes)
    kind = _OUTCOMES.get(rule.statement.expression.result_type.name)
    if kind not in expected:
        got = _named(rule.statement.expression.result_type)
        raise InvalidExpression(f"got {got}, expected a {' or a '.join(expected)}", column=1)
    symbols = {node.name for node in nodes if isinstance(node, ast.SymbolExpression)}
    return Expression(text, kind, frozenset(symbols & set(vocabulary.words)), tuple(_calls(nodes)), rule)


def _refuse_forbidden(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise InvalidExpression(f"got {len(text)} characters, expected at most {MAX_CHARACTERS}", column=1)
    for (
        pattern,
        what,
    ) in _FORBIDDEN:  # also inside texts: to tell them apart would be a second parser to trust
        found = pattern.search(text)
        if found:
            raise InvalidExpression(f"{what} are not allowed", column=found.start() + 1)
    loops = list(re.finditer(r"\bfor\b", text))
    if len(loops) > MAX_COMPREHENSIONS:
        raise InvalidExpression(
            f"got {len(loops)} times 'for', expected at most {MAX_COMPREHENSIONS}",
            column=loops[MAX_COMPREHENSIONS].start() + 1,
        )


def _context(vocabulary: Vocabulary) -> rule_engine.Context:
    types = {word.name: _type_of(word) for word in vocabulary.words.values()}
    context = rule_engine.Context(
        resolver=rule_engine.resolve_item, type_resolver=rule_engine.type_resolver_from_dict(types)
    )
    context.builtins = Builtins({})
    return context


def _type_of(word: Word) -> Any:
    if word.kind != "function":
        return _TYPES[word.kind]
    return DataType.FUNCTION(
        word.name,
        return_type=_NUMBER,
        argument_types=tuple(_TYPES[kind] for kind in word.arguments),
        minimum_arguments=len(word.arguments) - word.optional,
    )


def _nodes(node: Any) -> Iterator[Any]:
    """The node and all below it; whatever a class keeps in its slots or attributes is looked at."""
    yield node
    names = {name for kind in type(node).__mro__ for name in getattr(kind, "__slots__", ())}
    for name in names | set(getattr(node, "__dict__", ())):
        value = getattr(node, name, None)
        for inner in value if isinstance(value, list | tuple | set | frozenset) else (value,):
            if isinstance(inner, ast.ASTNodeBase):
                yield from _nodes(inner)


def _refuse_unknown(nodes: tuple[Any, ...], text: str) -> None:
    for node in nodes:
        name = type(node).__name__
        if name not in _ALLOWED_NODES:
            plain = re.sub(r"(?<!^)(?=[A-Z])", " ", name.removesuffix("Expression")).lower()
            raise InvalidExpression(f"{plain} expressions are not allowed", column=1)
        if isinstance(node, ast.GetAttributeExpression) and node.name not in _ALLOWED_ATTRIBUTES:
            column = _column_of(text, node.name)
            raise InvalidExpression(
                f"got '.{node.name}', expected one of {', '.join(sorted(_ALLOWED_ATTRIBUTES))}", column=column
            )


def _refuse_mixed(nodes: tuple[Any, ...]) -> None:
    """The library calls ``label == 3`` false and ``label`` true: both are mistakes here."""
    for node in nodes:
        if isinstance(node, ast.ComparisonExpression):
            left, right = node.left.result_type, node.right.result_type
            if DataType.UNDEFINED not in (left, right) and left.name != right.name:
                raise InvalidExpression(
                    f"{_named(left)} {node.type.lower()} {_named(right)}: types that do not go together",
                    column=1,
                )
        truths: tuple[Any, ...] = ()
        if isinstance(node, ast.LogicExpression):
            truths = (node.left, node.right)
        elif isinstance(node, ast.TernaryExpression | ast.ComprehensionExpression):
            truths = (node.condition,) if node.condition is not None else ()
        elif isinstance(node, ast.UnaryExpression) and node.result_type == DataType.BOOLEAN:
            truths = (node.right,)
        for one in truths:
            if one.result_type != DataType.BOOLEAN:
                raise InvalidExpression(
                    f"got {_named(one.result_type)} as a condition, expected a truth", column=1
                )


def _named(kind: Any) -> str:
    known = _OUTCOMES.get(kind.name)
    return f"a {known}" if known else str(kind.name).lower()


def _calls(nodes: tuple[Any, ...]) -> Iterator[Call]:
    for node in nodes:
        if isinstance(node, ast.FunctionCallExpression) and isinstance(node.function, ast.SymbolExpression):
            texts = tuple(
                one.value if isinstance(one, ast.StringExpression) else None for one in node.arguments
            )
            yield Call(node.function.name, texts)


def _explained(
    error: errors.EngineError, text: str, context: rule_engine.Context, vocabulary: Vocabulary
) -> InvalidExpression:
    known = f"; known are {vocabulary.known()}"
    if isinstance(error, errors.RuleSyntaxError):
        token = getattr(error, "token", None)
        if token is None:
            return InvalidExpression("it ends too early", column=len(text) + 1)
        return InvalidExpression(f"did not expect {token.value!r} here", column=token.lexpos + 1)
    if isinstance(error, errors.SymbolResolutionError):
        hint = f"; did you mean {error.suggestion!r}?" if error.suggestion else ""
        column = _column_of(text, error.symbol_name)
        return InvalidExpression(f"unknown {error.symbol_name!r}{hint}{known}", column=column)
    if isinstance(error, errors.AttributeResolutionError):
        hint = f"; did you mean {error.suggestion!r}?" if error.suggestion else ""
        return InvalidExpression(
            f"unknown '.{error.attribute_name}'{hint}", column=_column_of(text, error.attribute_name)
        )
    column, part = _clause_that_fails(text, context)
    return InvalidExpression(f"{_reason(error)} in {part!r}{known}", column=column)


def _clause_that_fails(text: str, context: rule_engine.Context) -> tuple[int, str]:
    """The library does not say where types disagree: the first part between ands and ors that fails alone."""
    bounds = [
        0,
        *(place for found in re.finditer(r"\band\b|\bor\b|\bnot\b", text) for place in found.span()),
        len(text),
    ]
    for start, end in zip(bounds[::2], bounds[1::2], strict=True):
        part = text[start:end]
        try:
            rule_engine.Rule(part, context=context)
        except errors.SyntaxError:
            continue
        except (errors.EngineError, ArithmeticError, ValueError, TypeError):
            return start + 1 + len(part) - len(part.lstrip()), part.strip()
    return 1, text


def _column_of(text: str, name: str) -> int:
    """Where a name stands outside of texts, from 1."""
    bare = _STRING.sub(lambda found: " " * len(found.group()), text)
    found = re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", bare)
    return found.start() + 1 if found else 1


def _reason(error: Exception) -> str:
    inner = getattr(error, "error", None)
    if isinstance(error, errors.FunctionCallError) and isinstance(inner, Exception):
        return str(inner)
    message = getattr(error, "message", "") or str(error) or type(error).__name__
    return "types that do not go together" if message.startswith("data type mismatch") else str(message)
