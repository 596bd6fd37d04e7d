"""What docs/security.md says that this middleware cannot know, as it is."""

from __future__ import annotations

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
