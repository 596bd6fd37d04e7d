"""A wrong order of an ASGI stack is told once, when it starts; a right one is never told of.

Every stack here is real, and what is said of it is looked at: where a layer is told to be on the
wrong side, something is lost; where nothing is told, the customer is identified.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from adapters import ALICE, SECRET, SLUG
from secure.middleware import SecureASGIMiddleware
from stacks import (
    ANOTHER,
    ANY,
    BROTLI,
    BUILDS,
    CACHE,
    COMPRESS,
    ENSORAS,
    GZIP,
    GZIP_OF_DATA,
    INLINE_POLICY,
    LONG,
    NO_POLICY,
    POLICY,
    RFC_CACHE,
    SEEN_OUTSIDE,
    SESSIONS,
    USERS,
    WIDGET_POLICY,
    ZSTD,
    Build,
    ByCookie,
    Customer,
    Stack,
    around,
    ask,
    by_hand,
    in_list,
    seen,
    start,
    with_caches,
)
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import Mount

from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.log import WRONG_ORDER


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert all(one.levelno == logging.WARNING for one in ours)
    return [one.getMessage() for one in ours]


def sort_of(message: str) -> str:
    """Return which of the wrong orders a line tells."""
    (sort,) = [
        sort for sort, text in WRONG_ORDER.items() if message.endswith(text.rpartition("%s")[2])
    ]
    return sort


# What is inside, and should not be --------------------------------------------------------------

COMPRESSED = {
    "gzip": ([ENSORAS, GZIP, USERS], "GZipMiddleware", "gzip"),
    "gzip, innermost": ([ENSORAS, USERS, ANY, GZIP], "GZipMiddleware", "gzip"),
    "brotli-asgi": ([ENSORAS, BROTLI, USERS], "BrotliMiddleware", "br"),
    "starlette-compress": ([ENSORAS, COMPRESS, USERS], "CompressMiddleware", "zstd"),
    "zstd-asgi": ([ENSORAS, ZSTD, USERS], "ZstdMiddleware", "zstd"),
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("stack", "name", "encoding"), COMPRESSED.values(), ids=COMPRESSED)
def test_compression_inside(
    stack: Stack, name: str, encoding: str, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told at start, and not again with the first page that comes compressed."""
    app = build(stack)
    start(app)
    (message,) = told(caplog)
    assert sort_of(message) == "compression"
    assert name in message
    answer = ask(app, "alice", **{"accept-encoding": encoding})
    assert answer["content-encoding"] == encoding
    assert len(told(caplog)) == 1


def test_inside_an_application_that_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    """Starlette has built its stack by then."""
    host = in_list([GZIP, USERS])
    ask(host)
    start(EnsorasMiddleware(host, slug=SLUG, secret=SECRET))
    assert [sort_of(message) for message in told(caplog)] == ["compression"]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("cache", [CACHE, RFC_CACHE])
def test_cache_around_the_users(
    cache: Any, build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is behind the cache is not seen by us, so nobody is known."""
    app = build(with_caches([ENSORAS, cache, SESSIONS, USERS], tmp_path))
    start(app)
    (message,) = told(caplog)
    assert sort_of(message) == "user"
    assert seen(app, "alice") is None
    assert len(told(caplog)) == 1


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("inner", [ENSORAS, ANOTHER], ids=["same", "another"])
def test_twice(inner: Any, build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """The outer one counts alone."""
    app = build([ENSORAS, ANY, Middleware(inner.cls, **inner.kwargs), USERS])
    start(app)
    assert [sort_of(message) for message in told(caplog)] == ["twice"]
    assert seen(app, "alice") == "alice"
    assert len(told(caplog)) == 1


@pytest.mark.parametrize("build", SEEN_OUTSIDE)
def test_twice_and_compressed(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Two layers do not tell the same thing twice."""
    start(build([ENSORAS, ANOTHER, GZIP]))
    assert sorted(map(sort_of, told(caplog))) == ["compression", "twice"]


# What is outside, and should not be -------------------------------------------------------------


@pytest.mark.parametrize("build", SEEN_OUTSIDE)
def test_cache_outside(build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that heeds no `Cache-Control` would show alice's page to bob: nobody gets any."""
    app = build(with_caches([ANY, CACHE, ENSORAS, USERS], tmp_path))
    start(app)
    (message,) = told(caplog)
    assert sort_of(message) == "cache"
    assert "ASGICacheMiddleware" in message
    assert [seen(app, user) for user in ("alice", "bob", None)] == [None, None, None]
    assert len(told(caplog)) == 1


@pytest.mark.parametrize("build", SEEN_OUTSIDE)
def test_cache_outside_without_a_start(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the server starts nothing, the very first answer is without identity already."""
    app = build(with_caches([CACHE, ENSORAS, USERS], tmp_path))
    assert [seen(app, user) for user in ("alice", "bob", "alice")] == [None, None, None]
    assert [sort_of(message) for message in told(caplog)] == ["cache"]


def test_cache_outside_and_get_email(tmp_path: Path) -> None:
    """Whoever tells who is logged in."""
    ours = Middleware(EnsorasMiddleware, get_email=lambda connection: ALICE, **ENSORAS.kwargs)
    app = in_list(with_caches([CACHE, ours], tmp_path))
    assert (seen(app, "alice"), seen(app, None)) == (None, None)
    assert seen(in_list([ours]), None) == "alice"


def test_cache_around_a_mount(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ours in the list of a mount: all layers of the application are around it."""
    mount = Mount("/", in_list([USERS]), middleware=[ENSORAS])
    app = Starlette(routes=[mount], middleware=with_caches([CACHE], tmp_path))
    assert [seen(app, user) for user in ("alice", "bob")] == [None, None]
    assert [sort_of(message) for message in told(caplog)] == ["cache"]


class _LikeStarletteCaches:
    """As starlette-caches 0.4.1, which does not go with Starlette 1, shows itself in the scope."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["__starlette_caches__"] = self
        await self.app(scope, receive, send)


_LikeStarletteCaches.__name__ = "CacheMiddleware"
_LikeStarletteCaches.__module__ = "starlette_caches.middleware"


@pytest.mark.parametrize("build", BUILDS)
def test_starlette_caches_around_the_users(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """The same as with the other cache."""
    start(build([ENSORAS, Middleware(_LikeStarletteCaches), USERS]))
    assert [sort_of(message) for message in told(caplog)] == ["user"]


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("build", BUILDS)
def test_starlette_caches_outside(
    build: Build, started: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It says in the scope of a request that it is there, so it is seen around any application."""
    app = build([Middleware(_LikeStarletteCaches), ENSORAS, USERS])
    if started:
        start(app)
    assert [seen(app, user) for user in ("alice", "bob")] == [None, None]
    assert [sort_of(message) for message in told(caplog)] == ["cache"]


def test_real_starlette_caches_outside(caplog: pytest.LogCaptureFixture) -> None:
    """The package itself."""
    reason = "starlette-caches 0.4.1 asks for a Starlette older than 1"
    caches: Any = pytest.importorskip("starlette_caches.middleware", reason=reason)
    from aiocache import SimpleMemoryCache

    app = in_list([Middleware(caches.CacheMiddleware, cache=SimpleMemoryCache()), ENSORAS, USERS])
    assert seen(app, "alice") is None
    assert [sort_of(message) for message in told(caplog)] == ["cache"]


@pytest.mark.parametrize("build", SEEN_OUTSIDE)
def test_policy_outside(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """The script goes out, under a policy that blocks it."""
    app = build([POLICY, ANY, ENSORAS, USERS])
    start(app)
    (message,) = told(caplog)
    assert sort_of(message) == "csp"
    assert "SecureASGIMiddleware" in message
    assert ask(app, "alice")["content-security-policy"] == WIDGET_POLICY
    assert len(told(caplog)) == 1


# Right ones -------------------------------------------------------------------------------------

RIGHT = {
    "README": [ENSORAS, USERS],
    "docs/starlette.md": [GZIP, ENSORAS, SESSIONS, USERS],
    "added first, so innermost": [SESSIONS, USERS, ANY, ENSORAS],
    "users outside, sessions outside": [USERS, ENSORAS],
    "brotli-asgi": [BROTLI, ENSORAS, USERS],
    "starlette-compress": [COMPRESS, ENSORAS, USERS],
    "zstd-asgi": [ZSTD, ENSORAS, USERS],
    "gzip that leaves pages alone": [ENSORAS, GZIP_OF_DATA, USERS],
    "secure": [ENSORAS, POLICY, USERS],
    "secure that lets inline scripts run, outside": [INLINE_POLICY, ENSORAS, USERS],
    "secure without a policy, outside": [NO_POLICY, ENSORAS, USERS],
    "a cache of pages": [ENSORAS, USERS, CACHE],
    "a cache by RFC 9111": [ENSORAS, USERS, RFC_CACHE],
    "a cache by RFC 9111, outside": [RFC_CACHE, ENSORAS, USERS],
    "all": [GZIP, ENSORAS, POLICY, SESSIONS, USERS, CACHE],
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("stack", RIGHT.values(), ids=RIGHT)
def test_right_order(
    stack: Stack, build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is told, and everybody is who they are."""
    app = build(with_caches(stack, tmp_path))
    start(app)
    assert [seen(app, user) for user in ("alice", "bob", None)] == ["alice", "bob", None]
    assert told(caplog) == []


def test_get_email_and_a_cache_around_the_users(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever tells who is logged in needs no user of the stack."""
    ours = Middleware(EnsorasMiddleware, get_email=lambda connection: ALICE, **ENSORAS.kwargs)
    app = in_list(with_caches([ours, CACHE, USERS], tmp_path))
    start(app)
    assert seen(app, None) == "alice"
    assert told(caplog) == []


class _Passing:
    """A layer that does nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class _OtherCache(_Passing):
    """As another version of hishel may be: it does not say by which rules it keeps pages."""


_OtherCache.__name__ = "ASGICacheMiddleware"
_OtherCache.__module__ = "hishel.asgi"


class _Mail(_Passing):
    """A layer that means another RFC."""

    rfc = False


@pytest.mark.parametrize("layer", [_OtherCache, _Mail])
def test_no_heedless_cache_outside(layer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Only what is known to be one is taken for one."""
    app = in_list([Middleware(layer), ENSORAS, USERS])
    assert seen(app, "alice") == "alice"
    assert told(caplog) == []


class _Nameless(_Passing):
    """A layer of no module."""


_Nameless.__module__ = None  # type: ignore[assignment]


def test_what_is_outside_cannot_be_known(caplog: pytest.LogCaptureFixture) -> None:
    """It may be a cache that heeds nothing, so nobody is identified."""
    app = in_list([Middleware(_Nameless), ENSORAS, USERS])
    assert [seen(app, user) for user in ("alice", "bob")] == [None, None]
    (message,) = told(caplog)
    assert "AttributeError at " in message


@pytest.mark.parametrize("build", BUILDS)
def test_a_factory_of_a_layer(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Starlette takes whatever makes one."""

    def factory(app: Any) -> Any:
        return _Passing(app)

    app = build([ENSORAS, Middleware(factory), USERS])
    start(app)
    assert seen(app, "alice") == "alice"
    assert told(caplog) == []


class _UsersOfSomePaths(AuthenticationMiddleware):
    """It sets no user where nobody needs one."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def test_users_of_some_paths_outside(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is known there, and nothing is missing."""
    app = in_list([Middleware(_UsersOfSomePaths, backend=ByCookie()), ENSORAS])
    assert seen(app, "alice") is None
    assert told(caplog) == []


def test_policy_inside() -> None:
    """Seen by us, it admits the script."""
    answer = ask(in_list([ENSORAS, POLICY, USERS]), "alice")
    assert answer["content-security-policy"].startswith(WIDGET_POLICY + " 'sha256-")


# The cost, and strange layers -------------------------------------------------------------------


def test_nothing_is_left_after_the_first_request() -> None:
    """The application is called directly from then on; before, a lifespan changes nothing."""
    host = in_list([USERS])
    ours = EnsorasMiddleware(host, slug=SLUG, secret=SECRET)
    start(ours)
    assert seen(ours, "alice") == "alice"
    assert ours.app is host


class _Strange:
    """A layer that cannot be looked into."""

    def __init__(self, app: Any) -> None:
        self._inner = app

    @property
    def app(self) -> Any:
        raise RuntimeError("not now")

    user_middleware = routes = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inner(scope, receive, send)


# Not `added`: with OpenTelemetry installed FastAPI looks into the layers itself, and fails.
@pytest.mark.parametrize("build", [in_list, by_hand, around])
def test_a_layer_that_cannot_be_looked_into(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """What is behind it is not seen, and nothing else happens."""
    app = build([ENSORAS, Middleware(_Strange), GZIP, USERS])
    start(app)
    assert seen(app, "alice") == "alice"
    assert [sort_of(message) for message in told(caplog)] in ([], ["compression"])


class _OtherSecure(SecureASGIMiddleware):
    """As another version of the package may be: it has not what is looked for."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def test_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong is told by its kind and place, and breaks nothing."""
    app = in_list([Middleware(_OtherSecure), ENSORAS, USERS])
    assert seen(app, "alice") == "alice"
    (message,) = told(caplog)
    assert "AttributeError at " in message


def test_a_fault_of_ours_hands_nothing_over(tmp_path: Path) -> None:
    """A cache around us is seen all the same."""
    app = in_list(with_caches([CACHE, Middleware(_OtherSecure), ENSORAS, USERS], tmp_path))
    assert [seen(app, user) for user in ("alice", "bob")] == [None, None]


def test_a_layer_that_stands_in_itself(caplog: pytest.LogCaptureFixture) -> None:
    """The look at a stack ends."""

    async def host(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = Customer("alice")
        await HTMLResponse(LONG)(scope, receive, send)

    host.app = host  # type: ignore[attr-defined]
    host.routes = [host]  # type: ignore[attr-defined]
    assert seen(EnsorasMiddleware(host, slug=SLUG, secret=SECRET), None) == "alice"
    assert told(caplog) == []
