"""Real ASGI stacks in every order and every way to build them; for `test_stack_order`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters import PAGE, SECRET, SLUG, TAG, identify_script, run_asgi
from asgiref.testing import ApplicationCommunicator
from brotli_asgi import BrotliMiddleware
from fastapi import FastAPI
from hishel import AsyncSqliteStorage
from hishel.asgi import ASGICacheMiddleware
from recipes import EMAILS
from secure import ContentSecurityPolicy, Secure
from secure.middleware import SecureASGIMiddleware
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette_compress import CompressMiddleware
from zstd_asgi import ZstdMiddleware

from ensoras_middleware.asgi import EnsorasMiddleware

LONG = PAGE + b"<p>" + b"tea, " * 200  # long enough to be compressed

WIDGET_POLICY = "script-src 'self' https://app.ensoras.com"


class Customer(SimpleUser):
    def __init__(self, user: str) -> None:
        super().__init__(user)
        self.email = EMAILS[user]


class ByCookie(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> Any:
        user = conn.cookies.get("user")
        return user and (AuthCredentials(["authenticated"]), Customer(user))


def policy(value: str) -> Secure:
    return Secure(csp=ContentSecurityPolicy().set(value))


async def passing(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


ENSORAS = Middleware(EnsorasMiddleware, slug=SLUG, secret=SECRET)
ANOTHER = Middleware(EnsorasMiddleware, slug="another", secret=SECRET)
USERS = Middleware(AuthenticationMiddleware, backend=ByCookie())
SESSIONS = Middleware(SessionMiddleware, secret_key="tests")
GZIP = Middleware(GZipMiddleware)
GZIP_OF_DATA = Middleware(GZipMiddleware, exclude_content_types=("text/html",))
BROTLI = Middleware(BrotliMiddleware)
COMPRESS = Middleware(CompressMiddleware)
ZSTD = Middleware(ZstdMiddleware)
POLICY = Middleware(SecureASGIMiddleware, secure=policy(WIDGET_POLICY))
INLINE_POLICY = Middleware(SecureASGIMiddleware, secure=policy("script-src 'unsafe-inline' https:"))
NO_POLICY = Middleware(SecureASGIMiddleware, secure=Secure())
ANY = Middleware(BaseHTTPMiddleware, dispatch=passing)


class _Cache:
    """hishel's cache, until it gets a file."""

    def __init__(self, rfc: bool) -> None:
        self.rfc = rfc


CACHE, RFC_CACHE = _Cache(rfc=False), _Cache(rfc=True)

Stack = list[Any]


async def page(request: Request) -> Response:
    return HTMLResponse(LONG)


def in_list(stack: Stack) -> Any:
    return Starlette(routes=[Route("/", page)], middleware=stack)


def added(stack: Stack) -> Any:
    """As FastAPI has it: the last one added is outermost."""
    app = FastAPI()
    for one in reversed(stack):
        app.add_middleware(one.cls, *one.args, **one.kwargs)
    app.add_route("/", page)
    return app


def by_hand(stack: Stack) -> Any:
    app: Any = Starlette(routes=[Route("/", page)])
    for one in reversed(stack):
        app = one.cls(app, *one.args, **one.kwargs)
    return app


def around(stack: Stack) -> Any:
    """Ours around a Starlette that has not built its own stack yet."""
    place = stack.index(ENSORAS)
    app: Any = Starlette(routes=[Route("/", page)], middleware=stack[place + 1 :])
    for one in reversed(stack[: place + 1]):
        app = one.cls(app, *one.args, **one.kwargs)
    return app


BUILDS = [in_list, added, by_hand, around]
SEEN_OUTSIDE = [in_list, added]  # by `scope["app"]`

Build = Callable[[Stack], Any]


def with_caches(stack: Stack, folder: Path) -> Stack:
    """Give its caches files of their own."""
    return [
        Middleware(
            ASGICacheMiddleware,
            storage=AsyncSqliteStorage(database_path=folder / f"{number}.db"),
            rfc=one.rfc,
        )
        if isinstance(one, _Cache)
        else one
        for number, one in enumerate(stack)
    ]


def start(app: Any) -> None:
    """Start and stop, as a server does."""

    async def main() -> None:
        server = ApplicationCommunicator(app, {"type": "lifespan", "asgi": {"version": "3.0"}})
        for step in ("startup", "shutdown"):
            await server.send_input({"type": f"lifespan.{step}"})
            answer = await server.receive_output(10)
            assert answer == {"type": f"lifespan.{step}.complete"}
        await server.wait(10)

    asyncio.run(main())


def ask(app: Any, user: str | None = None, path: str = "/", **headers: str) -> Any:
    fields = {"accept": "text/html", **headers}
    if user:
        fields["cookie"] = f"user={user}"
    return run_asgi(app, "GET", path, fields)


def seen(app: Any, user: str | None, page: bytes = LONG, path: str = "/") -> str | None:
    body = ask(app, user, path).body
    for name, email in [(None, None), *EMAILS.items()]:
        if body == page.replace(TAG, (identify_script(email) if email else b"") + TAG):
            return name
    raise AssertionError(body)
