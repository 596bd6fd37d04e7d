"""What docs/security.md says: what this middleware cannot know, and the tests that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from adapters import ALICE, PAGE, SECRET, SLUG
from recipes import Visitor, whose
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ensoras_middleware.asgi import EnsorasMiddleware


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> Any:
        if "user" in conn.session:
            user = SimpleUser("alice")
            user.email = ALICE  # type: ignore[attr-defined]
            return AuthCredentials(["authenticated"]), user
        return None


def log_in(request: Request) -> Response:
    request.session["user"] = "alice"
    return HTMLResponse(PAGE)


def log_out(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/") if "redirect" in request.query_params else HTMLResponse(PAGE)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/log-out", "alice"),  # rendered in the same request
        ("/log-out?redirect", None),
    ],
)
def test_the_page_that_answers_a_log_out(path: str, shown: str | None) -> None:
    """Starlette's middleware names the user of the beginning of the request: so redirect."""
    home = Route("/", lambda request: HTMLResponse(PAGE))
    app = Starlette(
        routes=[home, Route("/log-in", log_in), Route("/log-out", log_out)],
        middleware=[
            Middleware(EnsorasMiddleware, slug=SLUG, secret=SECRET),
            Middleware(SessionMiddleware, secret_key="tests"),
            Middleware(AuthenticationMiddleware, backend=Backend()),
        ],
    )
    visitor = Visitor(app)
    assert visitor.seen("/log-in") is None  # for the same reason
    assert visitor.seen() == "alice"
    answer = visitor.get(path)
    assert whose_after(visitor, answer) == shown
    assert visitor.seen() is None


def whose_after(visitor: Visitor, answer: Any) -> str | None:
    """Return as whom the page that the browser ends at identifies it."""
    if answer.is_redirect:
        return visitor.seen(answer.headers["Location"])
    return whose(answer.content)


# The list of properties ---------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent
SECTION = re.compile(r"## What is promised, and what holds it\n(.*?)\n## ", re.DOTALL)


def lines_of_the_list() -> list[str]:
    section = SECTION.search((ROOT / "docs/security.md").read_text())
    assert section is not None
    lines = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| **", "| property", "| ---"))]


def names_in(file: Path) -> set[str]:
    """Return the tests of a file, as pytest names them."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            inner = getattr(node, "body", [])
            names |= {
                f"{node.name}::{one.name}" for one in inner if isinstance(one, ast.FunctionDef)
            }
    return names


def test_every_property_has_a_test_that_exists() -> None:
    """By its file, or by its name in it."""
    lines = lines_of_the_list()
    assert len(lines) >= 20
    for line in lines:
        tests = re.findall(r"`(tests/[^`]+)`", line)
        assert tests, line
        for test in tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file(), test
            assert not name or (name in names_in(ROOT / file) and "est" in name), test
