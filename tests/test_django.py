"""The Django middleware on whole Django sites, under WSGI and under ASGI.

Users, sessions and log-ins are those of `django.contrib`, on SQLite.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.util import FileWrapper

import jinja2
import pytest
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG, identify_script, run_asgi, run_wsgi
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.core.cache import cache
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import DatabaseError, connection
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject, empty
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import etag
from django_ensoras.decorators import ensoras_exempt
from django_sites import (
    CONDITIONAL_GET,
    ENSORAS,
    GZIP,
    HOMES,
    USERS,
    AsgiClient,
    Browser,
    async_home,
    customer,
    dotted,
    empty_tables,
    home,
    identified,
    tables,
    warnings_of,
)

from ensoras_middleware import ConfigurationError
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

NEVER_REUSED = "private, no-store, max-age=0"
PAGE_VIEW = {"Sec-Fetch-Dest": "document"}

LOCALE = "django.middleware.locale.LocaleMiddleware"


pytest_plugins = ["django_fixtures"]


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with tables():
        yield


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    empty_tables()


@pytest.fixture(params=[(WSGIHandler, run_wsgi), (ASGIHandler, run_asgi)], ids=["wsgi", "asgi"])
def visit(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Send one request to Django's own handler, without a test client between."""
    handler, run = request.param
    return lambda method="GET", url="/", **headers: run(handler(), method, url, headers)


def email_in_query(request: Any) -> str | None:
    email: str | None = request.GET.get("as")
    return email


# Who is logged in -----------------------------------------------------------------------------


@HOMES
def test_a_customer_logs_in_and_out(site: Any, browser: Browser, home: Any) -> None:
    """The user of `contrib.auth` is the visitor, from the log-in on and until the log-out."""
    site(
        path("", home),
        path("login/", LoginView.as_view(next_page="/")),
        path("logout/", LogoutView.as_view(next_page="/")),
    )
    customer("alice", "Alice@Example.com")
    customer("bob", BOB)
    visitor = browser()
    assert visitor.get("/").content == PAGE
    visitor.post("/login/", {"username": "alice", "password": "secret"})
    answer = visitor.get("/")
    assert answer.content == identified()
    assert answer.headers["Cache-Control"] == NEVER_REUSED
    assert answer.headers["Content-Length"] == str(len(identified()))
    visitor.post("/logout/")
    assert visitor.get("/").content == PAGE
    visitor.post("/login/", {"username": "bob", "password": "secret"})
    assert visitor.get("/").content == identified(email=BOB)


def test_the_user_at_the_end_of_the_request_counts(site: Any, browser: Browser) -> None:
    """A page that logs the visitor in or out shows the state that it leaves behind."""

    def welcome(request: Any) -> HttpResponse:
        login(request, User.objects.get(username="alice"))
        return HttpResponse(PAGE)

    def goodbye(request: Any) -> HttpResponse:
        assert request.user.email == ALICE
        logout(request)
        return HttpResponse(PAGE)

    site(path("welcome", welcome), path("goodbye", goodbye))
    customer("alice", ALICE)
    visitor = browser()
    assert visitor.get("/welcome").content == identified()
    assert visitor.get("/goodbye").content == PAGE


def test_an_inactive_user_is_anonymous(site: Any, browser: Browser) -> None:
    """Even where the site's backend lets inactive users log in."""
    backend = "django.contrib.auth.backends.AllowAllUsersModelBackend"
    site(path("", home), AUTHENTICATION_BACKENDS=[backend])
    alice = customer("alice", ALICE)
    visitor = browser()
    visitor.force_login(alice)
    assert visitor.get("/").content == identified()
    User.objects.update(is_active=False)
    assert visitor.get("/").content == PAGE


def test_a_new_secret_key_logs_nobody_out(site: Any, browser: Browser) -> None:
    """Django renews a session that was signed with an old key when the user is first read.

    On a page whose view does not read the user, that is after `SessionMiddleware` has answered:
    the new session must reach the browser all the same.
    """
    site(path("", home), SECRET_KEY="old")
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert visitor.get("/").content == identified()
        assert visitor.get("/").content == identified()


def test_a_session_is_saved_once(site: Any, browser: Browser) -> None:
    """Where reading the user renews nothing: every page of such a site saves it already."""
    site(path("", home), SESSION_SAVE_EVERY_REQUEST=True)
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    with CaptureQueriesContext(connection) as queries:
        assert visitor.get("/").content == identified()
    assert sum(one["sql"].startswith("UPDATE") for one in queries) == 1


def test_a_renewed_session_that_cannot_be_saved_breaks_no_page(
    site: Any, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """The view had not asked for the user, so without us nothing would have failed."""

    class SessionStore(DatabaseSessionStore):
        key_salt = DatabaseSessionStore().key_salt  # made of the class's name

        def save(self, must_create: bool = False) -> None:
            if not must_create:
                raise DatabaseError("the disk is full")
            super().save(must_create)

    site(path("", home), SECRET_KEY="old")
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    engine = dotted(SessionStore).rpartition(".")[0]
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"], SESSION_ENGINE=engine):
        answer = visitor.get("/")
    assert (answer.status_code, answer.content) == (200, identified())
    (message,) = warnings_of(caplog)
    assert "DatabaseError" in message


# ENSORAS_GET_EMAIL ----------------------------------------------------------------------------


async def email_in_query_async(request: Any) -> str | None:
    await asyncio.sleep(0)
    return email_in_query(request)


@HOMES
@pytest.mark.parametrize("option", [email_in_query, f"{__name__}.email_in_query"])
def test_the_setting_names_a_function_of_the_request(
    site: Any, browser: Browser, home: Any, option: object
) -> None:
    """A function or its dotted path, in place of `request.user`."""
    site(path("", home), ENSORAS_GET_EMAIL=option)
    visitor = browser()
    visitor.force_login(customer("bob", BOB))
    assert visitor.get("/", {"as": ALICE}).content == identified()
    assert visitor.get("/").content == PAGE


@pytest.mark.parametrize("option", [email_in_query_async, f"{__name__}.email_in_query_async"])
def test_an_asynchronous_function_is_awaited_under_asgi(site: Any, option: object) -> None:
    """With synchronous and asynchronous views."""
    site(path("", home), path("async", async_home), ENSORAS_GET_EMAIL=option)
    for url in ("/", "/async"):
        assert AsgiClient().get(url, {"as": ALICE}).content == identified()
        assert AsgiClient().get(url).content == PAGE


def test_an_asynchronous_function_that_fails_leaves_an_anonymous_page(site: Any) -> None:
    """With the header fields of one, as where a synchronous function fails."""

    async def fail(request: Any) -> str:
        await asyncio.sleep(0)
        raise LookupError

    site(path("", async_home), ENSORAS_GET_EMAIL=fail, ENSORAS_DEBUG=True)
    answer = AsgiClient().get("/")
    assert answer.content == PAGE
    assert answer.headers["X-Ensoras-Outcome"] == "user-error"
    assert answer.headers["Vary"] == "Cookie"


def test_an_asynchronous_function_is_refused_where_nothing_awaits_it(site: Any) -> None:
    """Under WSGI at start; and under ASGI where a synchronous middleware stands below."""
    site(path("", home), ENSORAS_GET_EMAIL=email_in_query_async)
    with pytest.raises(ConfigurationError, match="ENSORAS_GET_EMAIL"):
        WSGIHandler()
    site(path("", home), ENSORAS_GET_EMAIL=email_in_query_async, below=[sync_middleware])
    with pytest.raises(ConfigurationError, match=r"ENSORAS_GET_EMAIL.*synchronous middleware"):
        ASGIHandler()


def test_the_database_can_be_asked_under_asgi(site: Any) -> None:
    """In a thread of its own, as Django wants it: no `SynchronousOnlyOperation`."""

    def email_from_database(request: Any) -> Any:
        return User.objects.get(username=request.GET["name"]).email

    site(path("", async_home), ENSORAS_GET_EMAIL=email_from_database)
    customer("alice", ALICE)

    async def get() -> Any:
        return await AsyncClient().get("/", {"name": "alice"})

    assert asyncio.run(get()).content == identified()


def test_the_user_is_read_from_the_database_under_asgi(site: Any) -> None:
    """The session and its user, on a real event loop."""
    site(path("", async_home))
    client = Client()
    client.force_login(customer("alice", ALICE))
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    assert run_asgi(ASGIHandler(), "GET", "/", {"cookie": cookie}).body == identified()


def test_a_page_without_the_widget_asks_nothing(site: Any, browser: Browser) -> None:
    """No query, no `Vary`: it stays cacheable for everybody."""
    site(path("", lambda request: HttpResponse("<p>No widget")))
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    with CaptureQueriesContext(connection) as queries:
        answer = visitor.get("/")
    assert "Vary" not in answer.headers
    assert list(queries) == []


# Other middleware -----------------------------------------------------------------------------


def sync_middleware(get_response: Any) -> Any:
    return lambda request: get_response(request)


@HOMES
@pytest.mark.parametrize("where", ["above", "below"])
def test_synchronous_middleware_may_stand_above_and_below(
    site: Any, browser: Browser, home: Any, where: str
) -> None:
    """Django then runs ours in the mode of its neighbours."""
    site(path("", home), **{where: [sync_middleware]})
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    assert visitor.get("/").content == identified()


def test_middleware_of_another_package_that_replaces_the_user_is_believed(
    site: Any, browser: Browser
) -> None:
    """`request.user` counts as it is when the page leaves."""

    def token_users(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            request.user = User.objects.get(username=request.headers["X-Token"])
            return get_response(request)

        return middleware

    site(path("", home), below=[token_users])
    customer("alice", ALICE)
    assert browser().get("/", headers={"X-Token": "alice"}).content == identified()


def test_an_anonymous_user_with_an_address_is_anonymous(site: Any, browser: Browser) -> None:
    """Such as a guest, of a class of the site's own."""

    def guests(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            guest = {"is_authenticated": False, "is_active": True, "email": ALICE}
            request.user = SimpleNamespace(**guest)
            return get_response(request)

        return middleware

    site(path("", home), below=[guests])
    assert browser().get("/").content == PAGE


@pytest.mark.parametrize("streamed", [False, True])
def test_compression_above_us_compresses_the_identified_page(
    site: Any, browser: Browser, streamed: bool
) -> None:
    """`GZipMiddleware` is right there."""
    body = PAGE + b"<p>" * 200

    def home(request: Any) -> Any:
        return StreamingHttpResponse([body[:40], body[40:]]) if streamed else HttpResponse(body)

    async def stream(request: Any) -> Any:
        async def rows() -> AsyncIterator[bytes]:
            yield body[:40]
            yield body[40:]

        return StreamingHttpResponse(rows())

    view = stream if streamed and browser is AsgiClient else home
    site(path("", view), above=[GZIP], ENSORAS_GET_EMAIL=email_in_query)
    for query, expected in [({"as": ALICE}, identified(body)), ({}, body)]:
        answer = browser().get("/", query, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(content_of(answer)) == expected
        assert answer.headers["Vary"] == "Cookie, Accept-Encoding"


def content_of(answer: Any) -> bytes:
    if not answer.streaming:
        return bytes(answer.content)
    if not answer.is_async:
        return b"".join(answer.streaming_content)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in answer.streaming_content])

    return async_to_sync(read)()


def test_compression_below_us_is_told_once(
    site: Any, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """In the wrong order pages stay anonymous and whole; the warning says how to mend it."""
    body = PAGE + b"<p>" * 200
    site(path("", lambda request: HttpResponse(body)), below=[GZIP], ENSORAS_DEBUG=True)
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        for _ in range(2):
            answer = visitor.get("/", headers={"Accept-Encoding": "gzip"})
            assert gzip.decompress(answer.content) == body
            assert answer.headers["X-Ensoras-Outcome"] == "encoded"
    (message,) = warnings_of(caplog)
    assert "outside" in message


def test_conditional_get_above_us_never_brings_a_page_from_before_the_log_in(
    site: Any, browser: Browser
) -> None:
    """Anonymous pages get their 304; an identified one has no validator."""
    site(path("", home), above=[CONDITIONAL_GET])
    visitor = browser()
    tag = visitor.get("/").headers["ETag"]
    again = PAGE_VIEW | {"If-None-Match": tag}
    assert visitor.get("/", headers=again).status_code == 304
    visitor.force_login(customer("alice", ALICE))
    answer = visitor.get("/", headers=again)
    assert (answer.status_code, answer.content) == (200, identified())
    assert "ETag" not in answer.headers
    visitor.logout()
    visitor.cookies["consent"] = "yes"
    assert visitor.get("/", headers=again).status_code == 304


def test_a_views_own_validators_bring_no_page_from_before_the_log_in(
    site: Any, browser: Browser
) -> None:
    """`@etag` does not see the precondition of a page view; that of an asset it does."""
    tagged = etag(lambda request: '"1"')(home)
    site(path("", tagged), path("style.css", tagged))
    visitor = browser()
    again = {"If-None-Match": '"1"'}
    assert visitor.get("/", headers=PAGE_VIEW | again).status_code == 304
    visitor.force_login(customer("alice", ALICE))
    assert visitor.get("/", headers=PAGE_VIEW | again).content == identified()
    assert visitor.get("/style.css", headers={"Sec-Fetch-Dest": "style"} | again).status_code == 304


def test_preconditions_are_back_for_the_layers_above(site: Any, browser: Browser) -> None:
    """Though one of them had `request.headers` made before us, and the view after."""
    names = ("If-None-Match", "If-Modified-Since", "Cookie")
    seen: list[tuple[str, list[bool]]] = []

    def outer(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            seen.append(("before", [name in request.headers for name in names]))
            try:
                return get_response(request)
            finally:
                seen.append(("after", [name in request.headers for name in names]))
                assert ("HTTP_IF_NONE_MATCH" in request.META) is seen[-1][1][0]

        return middleware

    def view(request: Any) -> HttpResponse:
        seen.append(("view", [name in request.headers for name in names]))
        assert ("HTTP_IF_NONE_MATCH" in request.META) is seen[-1][1][0]
        return HttpResponse(PAGE)

    site(path("", view), above=[outer])
    visitor = browser()
    visitor.cookies["consent"] = "yes"
    headers = {"If-None-Match": '"1"', "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}
    visitor.get("/", headers=headers | PAGE_VIEW)
    whole, taken = [True, True, True], [False, False, True]
    assert seen == [("before", whole), ("view", taken), ("after", whole)]
    seen.clear()
    visitor.get("/", headers=headers | {"Sec-Fetch-Dest": "image"})
    assert seen == [("before", whole), ("view", whole), ("after", whole)]


def test_cookies_of_all_layers_reach_the_browser(site: Any, browser: Browser) -> None:
    """Of the view, of middleware below us, and of middleware above us, which may set more."""

    def outer(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            response = get_response(request)
            response.set_cookie("outer", "1", max_age=60)
            response.delete_cookie("gone")
            return response

        return middleware

    def inner(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            response = get_response(request)
            response.set_cookie("inner", "1", httponly=True)
            return response

        return middleware

    def view(request: Any) -> HttpResponse:
        login(request, User.objects.get(username="alice"))
        response = HttpResponse(PAGE)
        response.set_cookie("view", "1")
        return response

    site(path("", view), above=[outer], below=[inner])
    customer("alice", ALICE)
    answer = browser().get("/")
    assert answer.content == identified()
    assert set(answer.cookies) == {"outer", "gone", "inner", "view", "sessionid"}
    assert answer.cookies["outer"]["max-age"] == 60
    assert answer.cookies["inner"]["httponly"] is True


def test_vary_of_locales_is_merged(site: Any, browser: Browser) -> None:
    """One field with both names, and the language stays."""
    site(path("", home), below=[LOCALE])
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    answer = visitor.get("/", headers={"Accept-Language": "fr"})
    assert answer.content == identified()
    assert answer.headers["Vary"] == "Accept-Language, Cookie"
    assert answer.headers["Content-Language"] == "fr"


def test_error_pages_are_identified(site: Any, browser: Browser) -> None:
    """404 and 500 carry the chat too; that is when customers need it."""
    site(
        path("broken", lambda request: 1 / 0),
        handler404=lambda request, exception: HttpResponse(PAGE, status=404),
        handler500=lambda request: HttpResponse(PAGE, status=500),
    )
    visitor = browser(raise_request_exception=False)
    visitor.force_login(customer("alice", ALICE))
    for url, status in [("/nowhere", 404), ("/broken", 500)]:
        answer = visitor.get(url)
        assert (answer.status_code, answer.content) == (status, identified())


# Responses that the site keeps ----------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"ENSORAS_DEBUG": True}])
def test_a_module_level_response_is_never_changed(
    site: Any, browser: Browser, config: dict[str, bool]
) -> None:
    """Served to everybody in turn, it holds no header, cookie or byte of any visitor."""
    kept = HttpResponse(PAGE, headers={"ETag": '"1"', "Cache-Control": "max-age=600"})
    kept.set_cookie("seen", "by nobody")

    def outer(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            response = get_response(request)
            response.set_cookie("seen", f"by {request.GET.get('as')}")
            return response

        return middleware

    site(path("", lambda request: kept), above=[outer], ENSORAS_GET_EMAIL=email_in_query, **config)

    def state() -> Any:
        parts = [(name, repr(value)) for name, value in vars(kept).items()]
        return [*parts, *kept.headers.items(), kept.cookies.output()]

    before = state()
    for email in (ALICE, None, BOB, ALICE, None):
        answer = browser().get("/", {"as": email} if email else {})
        assert answer.content == (identified(email=email) if email else PAGE)
        assert answer.headers.get("ETag") == (None if email else '"1"')
        assert answer.cookies["seen"].value == f"by {email}"
        assert state() == before


@pytest.mark.parametrize("kind", [HttpResponse, StreamingHttpResponse])
def test_requests_that_share_a_response_end_each_on_its_own(
    site: Any, kind: Callable[..., Any]
) -> None:
    """Django hangs the end of a request on the response that leaves: not on the site's own."""
    kept = kind([PAGE], headers={"Vary": "Cookie"})
    site(path("", lambda request: kept), ENSORAS_GET_EMAIL=email_in_query)
    handler = WSGIHandler()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
    environ |= {"SERVER_NAME": "testserver", "SERVER_PORT": "80"}
    alice: Any = handler(environ | {"QUERY_STRING": f"as={ALICE}"}, lambda *start: None)
    anonymous: Any = handler(environ | {"QUERY_STRING": ""}, lambda *start: None)
    assert kept._resource_closers == []
    alice.close()
    assert anonymous._resource_closers != []
    anonymous.close()
    assert not kept.closed


def visitors(browser: Browser) -> list[tuple[Any, bytes]]:
    alice, bob = browser(), browser()
    alice.force_login(customer("alice", ALICE))
    bob.force_login(customer("bob", BOB))
    return [(alice, identified()), (bob, identified(email=BOB)), (browser(), PAGE)]


def cached() -> bytes:
    return b"".join(cache._cache.values())  # of Django's local-memory backend


@pytest.mark.parametrize("content_type", ["text/html", "text/css"])
def test_a_response_that_gets_nothing_is_handed_on_itself(
    site: Any, browser: Browser, content_type: str
) -> None:
    """Layers above may know it by what it is."""
    kept = HttpResponse("<p>No widget", content_type=content_type)
    seen: list[Any] = []

    def outer(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            seen.append(get_response(request))
            return seen[-1]

        return middleware

    site(path("", lambda request: kept), above=[outer])
    browser().get("/")
    assert seen[0] is kept


@pytest.mark.parametrize("by", ["cache_page", "middleware"])
def test_djangos_caches_hold_no_identity(site: Any, browser: Browser, by: str) -> None:
    """One cached page for all, whoever comes first; each visitor gets their own script."""
    calls: list[int] = []

    def home(request: Any) -> HttpResponse:
        calls.append(1)
        return HttpResponse(PAGE)

    if by == "cache_page":
        site(path("", cache_page(600)(home)))
    else:
        update = "django.middleware.cache.UpdateCacheMiddleware"
        fetch = "django.middleware.cache.FetchFromCacheMiddleware"
        site(path("", home), MIDDLEWARE=[ENSORAS, update, *USERS, fetch])
    for one, two, three in permutations(visitors(browser)):
        cache.clear()
        calls.clear()
        for visitor, expected in (one, two, three, one):
            answer = visitor.get("/")
            assert answer.content == expected
            assert answer.headers["Vary"] == "Cookie"
            if expected == PAGE:
                assert "max-age=600" in answer.headers["Cache-Control"]
            else:
                assert answer.headers["Cache-Control"] == NEVER_REUSED
                assert "Expires" not in answer.headers
        assert len(calls) == 1
        assert TAG in cached()
        assert b"example.com" not in cached().replace(b"app.ensoras", b"")
        assert b"identify" not in cached()


# Responses of every kind ----------------------------------------------------------------------


def test_template_responses_are_identified(site: Any, browser: Browser) -> None:
    """They are rendered before they reach us, with what other middleware adds to them."""

    def view(request: Any) -> TemplateResponse:
        return TemplateResponse(request, engines["django"].from_string("<p>{{ name }}" + TAG_TEXT))

    class Names:
        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: Any) -> Any:
            return self.get_response(request)

        def process_template_response(self, request: Any, response: Any) -> Any:
            response.context_data = {"name": "<Alice>"}
            return response

    site(path("", view), below=[Names])
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    answer = visitor.get("/")
    assert answer.content == b"<p>&lt;Alice&gt;" + identify_script(ALICE) + TAG
    assert answer.text == answer.content.decode()


TAG_TEXT = TAG.decode()


@pytest.mark.parametrize("user", [ALICE, None])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
def test_a_file_is_identified_and_closed_once(
    site: Any, visit: Any, user: str | None, method: str
) -> None:
    """`FileResponse`, as a stream; under ASGI Django warns of it with and without us."""
    closed: list[int] = []
    finished: list[Any] = []

    class File(io.BytesIO):
        def close(self) -> None:
            closed.append(1)
            super().close()

    def view(request: Any) -> FileResponse:
        return FileResponse(File(PAGE), content_type="text/html")

    def finish(sender: Any, **kwargs: Any) -> None:
        finished.append(sender)

    site(path("", view), ENSORAS_GET_EMAIL=lambda request: user)
    request_finished.connect(finish)
    try:
        answer = visit(method)
    finally:
        request_finished.disconnect(finish)
    if method == "GET":
        assert answer.body == (identified() if user else PAGE)
    assert answer["Vary"] == "Cookie"
    assert answer["Content-Length"] == (None if user and method == "GET" else str(len(PAGE)))
    assert closed == [1]
    assert finished in ([WSGIHandler], [ASGIHandler])


@pytest.mark.parametrize("user", [ALICE, None])
def test_a_servers_file_wrapper_does_not_go_around_us(
    site: Any, user: str | None, tmp_path: Path
) -> None:
    """Django hands the file itself to such a server (PEP 3333); a page it must not."""
    body = PAGE + b"<p>" * 5_000
    (tmp_path / "page.html").write_bytes(body)
    (tmp_path / "style.css").write_bytes(body)
    files: list[Any] = []

    def view(request: Any, name: str) -> FileResponse:
        files.append((tmp_path / name).open("rb"))
        return FileResponse(files[-1])

    site(path("<name>", view), ENSORAS_GET_EMAIL=lambda request: user)
    handler = WSGIHandler()
    wrapped: list[Any] = []

    def wrapper(file: Any, size: int) -> FileWrapper:
        wrapped.append(file)
        return FileWrapper(file, size)

    def server(environ: Any, start_response: Any) -> Any:
        return handler(environ | {"wsgi.file_wrapper": wrapper}, start_response)

    assert run_wsgi(server, "GET", "/page.html", {}).body == (identified(body) if user else body)
    assert wrapped == []
    assert run_wsgi(server, "GET", "/style.css", {}).body == body
    assert len(wrapped) == 1
    assert all(file.closed for file in files)


class Rows:
    """An iterable with a `close`, as database cursors are."""

    def __init__(self) -> None:
        self.closed = 0
        self.rows = iter([PAGE[:40], PAGE[40:], b"<p>"])

    def __iter__(self) -> Iterator[bytes]:
        return self.rows

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("read", [0, 1, 9])
@pytest.mark.parametrize("user", [ALICE, None])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_stream_is_closed_once_as_without_us(
    site: Any, read: int, user: str | None, method: str, debug: bool
) -> None:
    """Read to the end, broken off, or not begun; `request_finished` is sent once too."""
    for enabled in (False, True):
        rows, finished = Rows(), []

        def view(request: Any, rows: Rows = rows) -> StreamingHttpResponse:
            return StreamingHttpResponse(rows)

        def finish(sender: Any, finished: list[Any] = finished, **kwargs: Any) -> None:
            finished.append(sender)

        site(
            path("", view),
            ENSORAS_GET_EMAIL=lambda request: user,
            ENSORAS_ENABLED=enabled,
            ENSORAS_DEBUG=debug,
        )
        handler = WSGIHandler()
        request_finished.connect(finish)
        try:
            environ = {"REQUEST_METHOD": method, "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
            environ |= {"SERVER_NAME": "testserver", "SERVER_PORT": "80"}
            response: Any = handler(environ, lambda status, headers: None)
            for _ in zip(range(read), response, strict=False):
                pass
            response.close()
        finally:
            request_finished.disconnect(finish)
        assert rows.closed == 1
        assert finished == [WSGIHandler]


def test_an_asynchronous_stream_is_identified_chunk_by_chunk(site: Any) -> None:
    """What is sent leaves before the view goes on, and the generator ends by itself."""
    steps: list[str] = []
    place = PAGE.index(TAG)

    async def view(request: Any) -> StreamingHttpResponse:
        async def rows() -> AsyncIterator[bytes]:
            try:
                yield PAGE[:40]
                steps.append("first left")
                await asyncio.sleep(0)
                yield PAGE[40:place]
                yield PAGE[place : place + 1]  # held back, until the tag is whole
                yield PAGE[place + 1 :]
            finally:
                steps.append("closed")

        return StreamingHttpResponse(rows())

    site(path("", view), ENSORAS_GET_EMAIL=email_in_query_async)

    async def get() -> list[bytes]:
        answer = await AsyncClient().get("/", {"as": ALICE})
        chunks = []
        async for chunk in answer.streaming_content:
            chunks.append(chunk)
            if len(chunks) == 1:
                assert steps == []
        return chunks

    chunks = asyncio.run(get())
    assert chunks[:2] == [PAGE[:40], PAGE[40:place]]
    assert all(chunks)
    assert b"".join(chunks) == identified()
    assert steps == ["first left", "closed"]


@pytest.mark.parametrize("user", [ALICE, None])
def test_an_asynchronous_stream_is_closed_where_the_client_leaves(
    site: Any, user: str | None
) -> None:
    """The server cancels the request; the view's `finally` runs, once, with and without us."""
    for enabled in (False, True):
        steps: list[str] = []

        async def view(request: Any, steps: list[str] = steps) -> StreamingHttpResponse:
            async def rows() -> AsyncIterator[bytes]:
                try:
                    yield PAGE[:40]
                    steps.append("waits")
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    steps.append("cancelled")
                    raise
                finally:
                    steps.append("closed")

            return StreamingHttpResponse(rows())

        site(path("", view), ENSORAS_GET_EMAIL=lambda request: user, ENSORAS_ENABLED=enabled)
        received = asyncio.run(_leave_after_the_first_chunk(ASGIHandler()))
        assert received == [PAGE[:40]]
        assert steps == ["waits", "cancelled", "closed"]


async def _leave_after_the_first_chunk(app: Any) -> list[bytes]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"testserver")],
        "query_string": b"",
    }
    received: list[bytes] = []
    first = asyncio.Event()
    messages = iter([{"type": "http.request"}])

    async def receive() -> Any:
        for message in messages:
            return message
        await first.wait()
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            received.append(message["body"])
            first.set()

    await app(scope, receive, send)
    return received


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_of_the_other_mode_is_identified(site: Any, asynchronous: bool) -> None:
    """A synchronous stream under ASGI, an asynchronous one under WSGI: Django warns, as always."""

    async def rows() -> AsyncIterator[bytes]:
        yield PAGE[:40]
        yield PAGE[40:]

    def view(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(rows() if asynchronous else iter([PAGE[:40], PAGE[40:]]))

    site(path("", view), ENSORAS_GET_EMAIL=lambda request: ALICE)
    handler, run = (WSGIHandler, run_wsgi) if asynchronous else (ASGIHandler, run_asgi)
    with pytest.warns(Warning, match="StreamingHttpResponse must consume"):
        answer = run(handler(), "GET", "/", {})
    assert answer.body == identified()


@pytest.mark.parametrize("before", [b"<p>" + TAG[:30], b"<p>"])
def test_an_error_within_a_stream_comes_after_all_that_came_before_it(
    site: Any, before: bytes
) -> None:
    """What was held back as a possible tag leaves first; then the host's own exception."""

    async def view(request: Any) -> StreamingHttpResponse:
        async def rows() -> AsyncIterator[bytes]:
            yield before
            raise LookupError("no such row")

        return StreamingHttpResponse(rows())

    def sync_view(request: Any) -> StreamingHttpResponse:
        def rows() -> Iterator[bytes]:
            yield before
            raise LookupError("no such row")

        return StreamingHttpResponse(rows())

    site(path("async", view), path("", sync_view), ENSORAS_GET_EMAIL=lambda request: ALICE)

    async def read() -> None:
        answer = await AsyncClient().get("/async")
        async for chunk in answer.streaming_content:
            received.append(chunk)

    received: list[bytes] = []
    with pytest.raises(LookupError, match="no such row"):
        asyncio.run(read())
    assert b"".join(received) == before
    received.clear()
    with pytest.raises(LookupError, match="no such row"):
        received.extend(Client().get("/").streaming_content)
    assert b"".join(received) == before


# Views that are never touched -----------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    list(permutations([ensoras_exempt, login_required, csrf_exempt])),
    ids=lambda order: " ".join(one.__name__ for one in order),
)
@HOMES
def test_exempt_works_in_every_order_of_decorators(
    site: Any, browser: Browser, home: Any, order: Any
) -> None:
    """Of synchronous and asynchronous views; the same view under another URL is identified."""
    decorated = home
    for decorator in reversed(order):
        decorated = decorator(decorated)
    site(path("exempt", decorated), path("", login_required(home)))
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    answer = visitor.get("/exempt")
    assert answer.content == PAGE
    assert "Cache-Control" not in answer.headers
    assert visitor.get("/").content == identified()


def test_exempt_views_get_the_arguments_of_their_url(site: Any, browser: Browser) -> None:
    """By position and by name, synchronous and asynchronous."""

    def order(request: Any, *numbers: str, **names: str) -> HttpResponse:
        return HttpResponse(f"{numbers} {names} {TAG_TEXT}")

    async def async_order(request: Any, *numbers: str, **names: str) -> HttpResponse:
        return order(request, *numbers, **names)

    for view in (order, async_order):
        exempt = ensoras_exempt(view)
        site(re_path(r"^(\d)$", exempt), path("named/<name>", exempt))
        visitor = browser()
        visitor.force_login(customer(view.__name__, ALICE))
        assert visitor.get("/7").content.decode() == f"('7',) {{}} {TAG_TEXT}"
        assert visitor.get("/named/7").content.decode() == f"() {{'name': '7'}} {TAG_TEXT}"


def test_class_based_views_are_exempt(site: Any, browser: Browser) -> None:
    """By `method_decorator`, or where the URL names them; synchronous and asynchronous."""

    class Plain(View):
        def get(self, request: Any) -> HttpResponse:
            return HttpResponse(PAGE)

    class Asynchronous(View):
        async def get(self, request: Any) -> HttpResponse:
            return HttpResponse(PAGE)

    @method_decorator(ensoras_exempt, name="dispatch")
    class Decorated(Plain):
        pass

    @method_decorator(ensoras_exempt, name="dispatch")
    class DecoratedAsynchronous(Asynchronous):
        pass

    class Method(Plain):
        @method_decorator(ensoras_exempt)
        def dispatch(self, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(*args, **kwargs)

    site(
        path("1", Decorated.as_view()),
        path("2", DecoratedAsynchronous.as_view()),
        path("3", Method.as_view()),
        path("4", ensoras_exempt(Plain.as_view())),
        path("5", ensoras_exempt(Asynchronous.as_view())),
        path("6", Plain.as_view()),
        path("7", Asynchronous.as_view()),
    )
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    for number in "12345":
        assert visitor.get(f"/{number}").content == PAGE, number
    for number in "67":
        assert visitor.get(f"/{number}").content == identified(), number


# Two layers -----------------------------------------------------------------------------------


def test_two_layers_write_one_script(
    site: Any, visit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The WSGI or ASGI middleware around a Django site with ours: the outer one answers."""
    site(path("", home), ENSORAS_GET_EMAIL=lambda request: BOB)
    for email, expected in [(ALICE, identified()), (None, PAGE)]:
        options: Any = {"slug": SLUG, "secret": SECRET, "get_email": lambda _, email=email: email}
        with caplog.at_level(logging.WARNING, "ensoras_middleware"):
            wsgi = run_wsgi(WsgiMiddleware(WSGIHandler(), **options), "GET", "/", {})
            asgi = run_asgi(AsgiMiddleware(ASGIHandler(), **options), "GET", "/", {})
        assert wsgi.body == asgi.body == expected
    assert warnings_of(caplog) == []
    assert visit().body == identified(email=BOB)


# Set-up ---------------------------------------------------------------------------------------


def test_switched_off_the_middleware_is_not_there(site: Any, browser: Browser) -> None:
    """`MiddlewareNotUsed`; no secret is needed."""
    site(path("", home), ENSORAS_ENABLED=False, ENSORAS_WIDGET_SECRET="", ENSORAS_WIDGET_SLUG="")
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    answer = visitor.get("/")
    assert answer.content == PAGE
    assert "Vary" not in answer.headers


def test_not_installed(site: Any, browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """Without the app there are no checks, so the log says so; pages are identified."""
    apps = [one for one in settings.INSTALLED_APPS if one != "django_ensoras"]
    site(path("", home), INSTALLED_APPS=apps)
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    assert visitor.get("/").content == identified()
    assert "django_ensoras is not in INSTALLED_APPS" in caplog.text


# The template tag -----------------------------------------------------------------------------

OTHER = TAG_TEXT.replace("acme", "other")


class _Nonce(SimpleLazyObject):
    """As Django 6 and django-csp 4 have it: false until somebody uses it."""

    def __bool__(self) -> bool:
        return self._wrapped is not empty


WITH_NONCE = TAG_TEXT.replace(" defer", ' defer nonce="a+/-_Z9=="')


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("{% ensoras_widget %}", TAG_TEXT),
        ("{% ensoras_widget slug='other' %}", OTHER),
        ("{% ensoras_widget 'other' %}", OTHER),
        ("{% ensoras_widget nonce=nonce %}", WITH_NONCE),
        ("{% ensoras_widget nonce=lazy_nonce %}", WITH_NONCE),
        ("{% ensoras_widget nonce=unused_nonce %}", WITH_NONCE),
        ("{% ensoras_widget nonce=no_such_name %}", TAG_TEXT),
        ("{% ensoras_widget nonce=None %}", TAG_TEXT),
        ("{% autoescape off %}{% ensoras_widget %}{% endautoescape %}", TAG_TEXT),
        ("{% ensoras_widget as chat %}<p>{{ chat }}", "<p>" + TAG_TEXT),
    ],
)
def test_the_template_tag_writes_the_widget_tag(
    site: Any, browser: Browser, tag: str, expected: str
) -> None:
    """Not escaped, without identity; django-csp's nonce is a lazy object.

    Where the template has no nonce, there is no attribute.
    """
    context = {
        "nonce": "a+/-_Z9==",
        "lazy_nonce": SimpleLazyObject(lambda: "a+/-_Z9=="),
        "unused_nonce": _Nonce(lambda: "a+/-_Z9=="),
    }

    def view(request: Any) -> HttpResponse:
        template = engines["django"].from_string("{% load ensoras %}" + tag)
        return HttpResponse(template.render(context, request))

    site(path("", view))
    assert browser().get("/").content.decode() == expected


def test_a_nonce_that_is_none_is_refused(site: Any) -> None:
    """It would be written into an attribute as it stands."""
    template = "{% load ensoras %}{% ensoras_widget nonce='\"><script>' %}"
    with pytest.raises(ConfigurationError, match="nonce"):
        engines["django"].from_string(template).render({})


def test_a_cached_fragment_holds_no_identity(site: Any, browser: Browser) -> None:
    """`{% cache %}` around the template tag is shared by all visitors."""

    def view(request: Any) -> HttpResponse:
        template = engines["django"].from_string(
            "{% load cache ensoras %}{% cache 600 chat %}<p>{% ensoras_widget %}{% endcache %}"
        )
        return HttpResponse(template.render({}, request))

    site(path("", view))
    for visitor, expected in visitors(browser):
        start, stop = PAGE.index(TAG), expected.index(TAG)
        assert visitor.get("/").content == b"<p>" + expected[start:stop] + TAG
        assert b"identify" not in cached()
    assert TAG in cached()


def test_jinja2_templates_write_the_widget_tag(site: Any, browser: Browser) -> None:
    """Django's Jinja2 backend, with the function among the globals of its environment."""

    def environment(**options: Any) -> jinja2.Environment:
        from django_ensoras.templatetags.ensoras import ensoras_widget

        environment = jinja2.Environment(**options)
        environment.globals["ensoras_widget"] = ensoras_widget
        return environment

    backend = {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"environment": dotted(environment)},
    }

    def view(request: Any) -> HttpResponse:
        template = engines["jinja2"].from_string(
            "{{ '<' }}{{ ensoras_widget() }}{{ ensoras_widget(slug='other', nonce='abc') }}"
        )
        return HttpResponse(template.render({}, request))

    site(path("", view), TEMPLATES=[backend])
    visitor = browser()
    visitor.force_login(customer("alice", ALICE))
    other = OTHER.replace(" defer", ' defer nonce="abc"').encode()
    assert visitor.get("/").content == b"&lt;" + identify_script(ALICE) + TAG + other


def test_an_exempt_view_keeps_its_304s(site: Any, visit: Any) -> None:
    """Never touched includes the preconditions of the request, under WSGI and ASGI."""

    @ensoras_exempt
    @etag(lambda request: '"1"')
    def exempt(request: Any) -> HttpResponse:
        return HttpResponse(PAGE)

    @etag(lambda request: '"1"')
    def other(request: Any) -> HttpResponse:
        return HttpResponse(PAGE)

    site(path("exempt", exempt), path("other", other))
    headers = {"accept": "text/html", "cookie": "a=b", "if-none-match": '"1"'}
    assert visit(url="/exempt", **headers).status == 304
    assert visit(url="/other", **headers).status == 200
