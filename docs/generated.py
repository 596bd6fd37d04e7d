"""What the reference takes from the code, beside what autodoc does: as directives in Markdown.

Each makes Markdown, which is then read as if it stood in the page.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from typing import Any, ClassVar, get_type_hints

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import OptionSpec, stringify_annotation

from ensoras_middleware import cli, options
from ensoras_middleware.configuration import widget_from
from ensoras_middleware.explanations import EXPLANATIONS

CHECKS = ("django_ensoras.checks", "django_ensoras.order")


class Generated(SphinxDirective):
    """The Markdown of `markdown`, in place of the directive."""

    option_spec: ClassVar[OptionSpec] = {}

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.markdown()))

    def markdown(self) -> Iterator[str]:
        raise NotImplementedError


class Options(Generated):
    """Every option: its setting, keyword, type and default, and the docstring below its field."""

    def markdown(self) -> Iterator[str]:
        for keyword, setting in options.SETTINGS.items():
            yield f"````{{confval}} {setting}\n"
            line = ", ".join(facts(keyword))
            yield f"{line[0].upper()}{line[1:]}.\n"
            yield f"{meaning(keyword)}\n````\n"


def facts(keyword: str) -> Iterator[str]:
    """Yield the keyword of an option, its type, and what it is where the site does not set it."""
    if keyword in options.Options.__annotations__:
        yield f"keyword `{keyword}`"
    hint = get_type_hints(options.Settings)[keyword]
    type_ = stringify_annotation(hint, "fully-qualified-except-typing")
    yield f"type `{type_.replace('collections.abc.', '')}`"
    default = default_of(keyword)
    if default is not None:
        yield f"default `{default!r}`"


def default_of(keyword: str) -> Any:
    """Return what the smallest configuration that works has for an option that it leaves out."""
    smallest = {"slug": "acme", "secret": "a secret of 16 bytes or more"}
    widget = widget_from(smallest)
    if keyword == "enabled":
        return widget is not None
    return None if keyword in smallest else getattr(widget, keyword, None)


def meaning(keyword: str) -> str:
    """Return the docstring below the field of an option."""
    docs = ModuleAnalyzer.for_module(options.__name__).find_attr_docs()
    owner = "Options" if keyword in options.Options.__annotations__ else "Settings"
    if (owner, keyword) not in docs:
        raise ExtensionError(f"Say below {owner}.{keyword} in {options.__name__} what it means.")
    return "\n".join(docs[owner, keyword])


class Outcomes(Generated):
    """Every outcome, and why it happens."""

    def markdown(self) -> Iterator[str]:
        yield "| `Outcome` | value | cause |\n| --- | --- | --- |"
        for outcome, explanation in EXPLANATIONS.items():
            yield f"| `{outcome.name}` | `{outcome}` | {explanation.cause} |"


class Checks(Generated):
    """Every system check of `django_ensoras`: its id, and what it says."""

    def markdown(self) -> Iterator[str]:
        yield "| id | message |\n| --- | --- |"
        for id_, message in sorted(found for name in CHECKS for found in checks_of(name)):
            yield f"| `{id_}` | {message} |"


def checks_of(module_name: str) -> Iterator[tuple[str, str]]:
    """Yield the id and the message of every `CheckMessage` that a module makes."""
    for node in ast.walk(ast.parse(inspect.getsource(importlib.import_module(module_name)))):
        if isinstance(node, ast.Call) and (id_ := keyword_of(node, "id")) is not None:
            yield ast.literal_eval(id_), text_of(node.args[0])


def keyword_of(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def text_of(message: ast.expr) -> str:
    """Return a text as it stands in the code; for what is not known there, an ellipsis."""
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(text_of(part) for part in message.values)
    return "…"


class CommandLine(Generated):
    """The help of the command, and of each of its commands."""

    def markdown(self) -> Iterator[str]:
        os.environ["COLUMNS"] = "80"  # not as wide as the terminal of whoever builds
        parser = cli._parser()
        commands = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
        for one in (parser, *next(commands).choices.values()):
            yield f"```text\n{one.format_help()}```\n"


def mark_code(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let what is indented in a docstring be code, as in Markdown."""
    for place in reversed(range(2, len(lines))):
        if lines[place].startswith("    ") and not lines[place - 1] and lines[place - 2][:1] != " ":
            lines[place - 1 : place] = ["", "::", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", mark_code)
    for directive in (Options, Outcomes, Checks, CommandLine):
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", directive.__name__).lower()
        app.add_directive(f"ensoras-{name}", directive)
    return {"parallel_read_safe": True}
