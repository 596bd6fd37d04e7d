"""The small ways in which a module can be wrong: one expression or statement of it, changed."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from mutation.patterns import wrong_patterns

_COMPARISONS: dict[type[ast.cmpop], str] = {
    **{ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not", ast.IsNot: "is"},
    **{ast.In: "not in", ast.NotIn: "in"},
    **{ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"},
}
_METHODS = {
    **{"startswith": "endswith", "endswith": "startswith", "find": "rfind", "rfind": "find"},
    **{"partition": "rpartition", "rpartition": "partition", "index": "rindex"},
    **{"fullmatch": "match", "match": "search", "search": "match"},
}
_FUNCTIONS = {"any": "all", "all": "any", "min": "max", "max": "min"}
# What comes of them often looks the same.
_DROPPED_CALLS = {
    *("lower", "upper", "strip", "lstrip", "rstrip", "removesuffix", "removeprefix"),
    *("translate", "replace", "title", "copy", "sorted", "set"),
}
# What they are told is for people; that it is told is of interest.
_TELLING = re.compile(r"warn\w*|error|info|debug|Warning|Error|Info|\w+Error|TypeVar|cast|_because")


@dataclass(frozen=True)
class Mutant:
    """One changed place of a module."""

    source: bytes
    line: int
    last_line: int
    top: int  # which statement of the module
    path: tuple[str, ...]  # the class, if any, and the function it is in
    label: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    raw = source.encode()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for number, top in enumerate(ast.parse(source).body):
        if _is_of_interest(top):
            for node, path, statement, new in _walk(top, (), top, None):
                begin = starts[node.lineno - 1] + node.col_offset
                end = starts[node.end_lineno - 1] + node.end_col_offset
                old = raw[begin:end].decode()
                if " ".join(new.split()) in (" ".join(old.split()), f"({old})"):
                    continue
                before = raw[starts[node.lineno - 1] : begin].decode().lstrip()[-25:]
                after = raw[end : starts[node.end_lineno]].decode().rstrip()[:15]
                label = f"{'.'.join(path)}: {before}{_difference(old, new)}{after}"
                changed = raw[:begin] + new.encode() + raw[end:]
                is_default = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
                last_line = (statement if is_default else node).end_lineno
                yield Mutant(changed, statement.lineno, last_line, number, path, label)


def _difference(old: str, new: str) -> str:
    """Say what becomes of what; of long texts the part that differs."""
    start = _common(old, new)
    end = _common(old[:start:-1], new[:start:-1])
    texts = [text[max(start - 40, 0) : len(text) - max(end - 20, 0)] for text in (old, new)]
    return "⟦{} → {}⟧".format(*(" ".join(text.split()) for text in texts))


def _common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_of_interest(top: ast.stmt) -> bool:
    if isinstance(top, ast.Assign):
        is_type = isinstance(top.value, ast.Subscript)
        return not is_type and ast.unparse(top.targets[0]) not in ("__all__", "logger")
    if isinstance(top, ast.AnnAssign):
        return top.value is not None
    return isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _walk(
    node: ast.AST, path: tuple[str, ...], statement: ast.stmt, parent: ast.AST | None
) -> Iterator[tuple[ast.AST, tuple[str, ...], ast.stmt, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and len(path) < 2:
        path = (*path, node.name)
    if isinstance(node, ast.stmt):
        statement = node
    if isinstance(node, ast.Assert):
        return
    in_class = isinstance(parent, ast.ClassDef)
    if in_class and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return  # fields, slots and constants
    for new in _news(node, parent, bool(path)):
        yield node, path, statement, new
    if isinstance(node, ast.JoinedStr | ast.Raise) or _is_telling(node):
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile":
        for flags in (*node.args[1:], *(one.value for one in node.keywords)):
            yield from _walk(flags, path, statement, node)
        for one in ast.walk(node.args[0]):
            if isinstance(one, ast.Constant) and isinstance(one.value, str | bytes):
                for new in _wrong_constants(one.value):
                    yield one, path, statement, new
        return
    if _is_words(node):
        return
    for child in _children(node):
        if isinstance(node, ast.BoolOp) and getattr(child, "value", None) in ("", b""):
            continue  # `x or ""`: the type matters, and nothing comes of another value
        yield from _walk(child, path, statement, node)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "ctx"):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST) and not isinstance(one, ast.expr_context | ast.operator):
                yield one


def _is_telling(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    return _TELLING.fullmatch(name) is not None


def _is_words(node: ast.AST) -> bool:
    """Tell whether this is `"a b c".split()`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "split"
        and isinstance(node.func.value, ast.Constant)
    )


def _news(node: ast.AST, parent: ast.AST | None, inside: bool) -> Iterator[str]:
    if isinstance(node, ast.stmt):
        yield from _statements(node, parent, inside)
    elif isinstance(node, ast.expr):
        for new in _expressions(node, parent):
            yield new if new.isidentifier() or isinstance(node, ast.Constant) else f"({new})"
    elif isinstance(node, ast.ExceptHandler) and not isinstance(node.type, ast.Tuple):
        name = f" as {node.name}" if node.name else ""
        body = ast.unparse(ast.Module(node.body, []))
        yield f"except (){name}:\n" + textwrap.indent(body, " " * (node.col_offset + 4))


def _statements(node: ast.stmt, parent: ast.AST | None, inside: bool) -> Iterator[str]:
    if not inside:
        return
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            pass
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) not in ("None", "False"):
            yield "return None"
        case ast.Continue():
            yield "pass"
        case ast.Break():
            yield "pass"
        case ast.Assign(targets=[ast.Name()]):
            pass  # nearly always an `UnboundLocalError`
        case ast.Assign() | ast.AugAssign() | ast.Expr() | ast.Raise() | ast.Delete():
            yield "pass"


def _expressions(node: ast.expr, parent: ast.AST | None) -> Iterator[str]:
    text = ast.unparse
    if getattr(parent, "test", None) is node and isinstance(parent, ast.If | ast.IfExp):
        yield "False"
        yield "True"
    if isinstance(parent, ast.comprehension) and node in parent.ifs:
        yield "True"
    match node:
        case ast.Compare(left=left, ops=ops, comparators=right):
            for number, op in enumerate(ops):
                parts = [text(left)]
                for one, (each, value) in enumerate(zip(ops, right, strict=True)):
                    same = text(ast.Compare(ast.Name("x"), [each], [ast.Name("y")]))[2:-2]
                    parts += [_COMPARISONS[type(op)] if one == number else same, f"({text(value)})"]
                yield " ".join(parts)
        case ast.BoolOp(op=op, values=values):
            word = " and " if isinstance(op, ast.And) else " or "
            for one in values:
                yield word.join(f"({text(each)})" for each in values if each is not one)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield text(operand)
        case ast.BinOp(
            left=left, op=ast.Add() | ast.Sub() | ast.BitOr() | ast.BitAnd(), right=right
        ):
            yield text(left)
            yield text(right)
        case ast.Set(elts=parts) | ast.List(elts=parts, ctx=ast.Load()) if (
            parts and not isinstance(parent, ast.Tuple)  # of a type, as `Callable[[str], str]`
        ):
            for one in parts:
                rest = [each for each in parts if each is not one]
                yield (
                    text(ast.List(rest))
                    if isinstance(node, ast.List)
                    else (text(ast.Set(rest)) if rest else "set()")
                )
        case ast.Tuple(elts=parts, ctx=ast.Load()) if _may_lose(parent):
            for one in parts:
                yield text(ast.Tuple([each for each in parts if each is not one], ast.Load()))
        case ast.Dict(keys=keys, values=values):
            for one in values:
                pairs = [pair for pair in zip(keys, values, strict=True) if pair[1] is not one]
                yield text(ast.Dict([key for key, _ in pairs], [value for _, value in pairs]))
        case ast.Slice():
            pass
        case ast.Call():
            yield from _calls(node)
        case ast.Constant(value=value):
            yield from _constants(value)


def _may_lose(parent: ast.AST | None) -> bool:
    """Tell whether a tuple there is a collection rather than a record."""
    return isinstance(parent, ast.Compare | ast.ExceptHandler | ast.Call | ast.For | ast.Starred)


def _calls(node: ast.Call) -> Iterator[str]:
    text = ast.unparse
    for one in node.keywords:
        rest = [each for each in node.keywords if each is not one]
        yield text(ast.Call(node.func, node.args, rest))
    if _is_words(node):
        words = node.func.value.value.split()
        blank = b" " if isinstance(words[0], bytes) else " "
        for one in words:
            yield f"{blank.join(each for each in words if each != one)!r}.split()"
    elif isinstance(node.func, ast.Attribute):
        name = node.func.attr
        if name in _METHODS:
            func = ast.Attribute(node.func.value, _METHODS[name], ast.Load())
            yield text(ast.Call(func, node.args, node.keywords))
        if name in _DROPPED_CALLS:
            yield text(node.func.value)
    elif isinstance(node.func, ast.Name) and node.args:
        name = node.func.id
        if name in _FUNCTIONS:
            yield text(ast.Call(ast.Name(_FUNCTIONS[name]), node.args, node.keywords))
        if name in _DROPPED_CALLS:
            yield text(node.args[0])


def _constants(value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield repr(not value)
    elif isinstance(value, int):
        yield repr(value + 1)
        if value > 0:
            yield repr(value - 1)
    elif isinstance(value, str):
        if len(value.split()) < 3:
            yield repr(f"XX{value}" if value else "XX")
    elif isinstance(value, bytes):
        yield repr(b"XX" + value)


def _wrong_constants(pattern: str | bytes) -> Iterator[str]:
    if isinstance(pattern, str):
        yield from (_literal("r", new) for new in wrong_patterns(pattern))
    else:
        yield from (_literal("rb", new) for new in wrong_patterns(pattern.decode("latin-1")))


def _literal(prefix: str, pattern: str) -> str:
    if pattern.endswith('"'):
        return prefix[1:] + repr(pattern)
    return f'{prefix}"""{pattern}"""'
