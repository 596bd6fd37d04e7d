"""Every response has one outcome, and each that wants to know hears it exactly once.

The header with `debug`, the log at DEBUG, and the site's `on_outcome`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import replace
from typing import Any

import flask
import pytest
from adapters import ADAPTERS, ALICE, PAGE, SECRET, SLUG, TAG, Host, run_asgi, run_wsgi, serve
from adapters import identify_script as script_of
from flask_ensoras import Ensoras
from identity_sites import PATH, SITES
from identity_sites import serve as serve_endpoint
from starlette.requests import HTTPConnection

from ensoras_middleware import Outcome
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.identity import NotSigned
from ensoras_middleware.injection import Injection
from ensoras_middleware.log import kind_and_place
from ensoras_middleware.options import SETTINGS
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

FIELD = "X-Ensoras-Outcome"
HTML = ("Content-Type", "text/html; charset=utf-8")


def page(*headers: tuple[str, str], **changes: Any) -> Host:
    return replace(Host(), headers=[HTML, *headers], **changes)


def failing(error: Exception) -> Any:
    def user() -> object:
        raise error

    return user


STREAM = page(body=b"", chunks=(PAGE[:30], PAGE[30:]))
CASES: dict[str, tuple[Host, Any, dict[str, Any], tuple[str, ...]]] = {
    # name: host, user, options, request
    "identified": (page(), ALICE, {}, ()),
    "streaming": (STREAM, ALICE, {}, ()),
    "anonymous": (page(), None, {}, ()),
    "anonymous, streamed": (STREAM, None, {}, ()),
    "email-refused": (page(), "nobody", {}, ()),
    "unverified": (page(), failing(NotSigned(Outcome.UNVERIFIED)), {}, ()),
    "impersonated": (page(), failing(NotSigned(Outcome.IMPERSONATED)), {}, ()),
    "user-error": (page(), failing(LookupError(ALICE)), {}, ()),
    "withheld": (page(("Content-Security-Policy", "sandbox")), ALICE, {}, ()),
    "no-secret": (page(), ALICE, {"slug": ..., "secret": lambda slug: None}, ()),
    "secret-error": (page(), ALICE, {"secret": lambda slug: 1 / 0}, ()),
    "no-tag": (page(body=b"<!--" + TAG), ALICE, {}, ()),
    "no-tag, the address alone": (page(body=TAG[19:58]), ALICE, {}, ()),
    "ambiguous": (page(body=b"<frameset>" + TAG), ALICE, {}, ()),
    "dangling": (page(body=TAG.replace(b"async", b'x="<script"')), ALICE, {}, ()),
    "csp-blocked": (page(("Content-Security-Policy", "script-src 'none'")), ALICE, {}, ()),
    "no-widget": (page(body=b"<p>"), ALICE, {}, ()),
    "no-widget, empty": (page(body=b""), ALICE, {}, ()),
    "not-html": (Host(headers=[("Content-Type", "text/css")]), ALICE, {}, ()),
    "not-html, streamed": (
        Host(chunks=(b"a", b"b"), headers=[("Content-Type", "text/css")]),
        ALICE,
        {},
        (),
    ),
    "not-html, excluded": (
        Host(headers=[("Content-Type", "text/css")]),
        ALICE,
        {"exclude": ["/admin"]},
        ("/admin/1",),
    ),
    "excluded": (page(), ALICE, {"exclude": ["/admin"]}, ("/admin/1",)),
    "status": (page(status=206), ALICE, {}, ()),
    "head": (page(), ALICE, {}, ("/", "HEAD")),
    "encoded": (page(("Content-Encoding", "gzip")), ALICE, {}, ()),
    "attachment": (page(("Content-Disposition", "attachment")), ALICE, {}, ()),
    "charset": (Host(headers=[("Content-Type", "text/html; charset=utf-7")]), ALICE, {}, ()),
}
NEITHER = {Outcome.PATHSEND, Outcome.ERROR}  # their own tests, below


@pytest.fixture
def heard() -> list[Outcome]:
    return []


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "DEBUG"]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "ensoras_middleware")
    return caplog


def test_cases_are_complete() -> None:
    """No outcome is forgotten in the table below."""
    assert {name.partition(",")[0] for name in CASES} | NEITHER == set(Outcome)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", CASES)
def test_told_once(
    adapter: str, name: str, heard: list[Outcome], told: pytest.LogCaptureFixture
) -> None:
    """The same outcome in all three places, and the header only with `debug`."""
    host, user, options, request = CASES[name]
    outcome = Outcome(name.partition(",")[0])
    options = {"on_outcome": heard.append} | options
    assert serve(adapter, host, user, debug=True, **options).get(*request)[FIELD] == outcome
    assert heard == [outcome]
    assert logged(told) == [outcome]
    del options["on_outcome"]
    assert serve(adapter, host, user, **options).get(*request)[FIELD] is None
    assert logged(told) == [outcome] * 2
    told.set_level(logging.WARNING, "ensoras_middleware")
    options["on_outcome"] = heard.append
    assert serve(adapter, host, user, **options).get(*request)[FIELD] is None
    assert heard == [outcome] * 2
    assert type(heard[0]) is Outcome


# What a site should do something about.
WARNED_OF = "email-refused unverified user-error no-secret secret-error dangling encoded".split()


@pytest.mark.parametrize("name", CASES)
def test_what_is_a_problem_is_a_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once; what visitors and pages just are is none."""
    host, user, options, request = CASES[name]
    site = serve("wsgi", host, user, **options)
    for _ in range(2):
        site.get(*request)
    expected = ["WARNING"] if name in WARNED_OF else []
    assert [one.levelname for one in caplog.records] == expected


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("content_type", ["text/html", "text/css"])
def test_a_failing_callback(
    adapter: str, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The page goes out as it would, and one warning says where, without the words."""

    def count(outcome: Outcome) -> None:
        raise LookupError(ALICE)

    site = serve(adapter, Host(headers=[("Content-Type", content_type)]), ALICE, on_outcome=count)
    body = PAGE.replace(TAG, script_of(ALICE) + TAG) if content_type == "text/html" else PAGE
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        assert [site.get().body, site.get().body] == [body] * 2
    (record,) = caplog.records
    assert record.getMessage().startswith("`on_outcome` failed")
    assert re.search(rf"LookupError at {re.escape(__file__)}:\d+$", record.getMessage())
    assert ALICE not in caplog.text


@pytest.mark.parametrize(
    ("adapter", "option"),
    [(adapter, "on_outcome") for adapter in ADAPTERS]
    + [(adapter, "get_email") for adapter in ADAPTERS if adapter != "wsgi"],  # has one already
)
def test_where_a_sites_function_failed(
    adapter: str, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it called may be anybody's: its own line is told too."""

    def fail(*arguments: object) -> None:
        json.loads("{")

    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        serve(adapter, page(), ALICE, **{option: fail}).get()
    (record,) = caplog.records
    told = rf"JSONDecodeError at .*decoder\.py:\d+, called from {re.escape(__file__)}:\d+$"
    assert re.search(told, record.getMessage())


def test_an_error_that_was_not_raised() -> None:
    """It has no place."""
    assert kind_and_place(LookupError(ALICE)) == "LookupError"


def test_a_function_of_code_without_a_name(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its module calls itself, telling of its fault is none."""
    names: dict[str, Any] = {"__name__": None}
    exec("def count(outcome): raise LookupError", names)
    site = serve("wsgi", page(), ALICE, on_outcome=names["count"])
    assert site.get().body == PAGE.replace(TAG, script_of(ALICE) + TAG)
    assert "LookupError at <string>:1" in caplog.text


@pytest.mark.parametrize("adapter", ["wsgi", "asgi"])
def test_a_cancelled_callback(adapter: str) -> None:
    """Only an `Exception` is ours to swallow."""

    def count(outcome: Outcome) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        serve(adapter, page(), ALICE, on_outcome=count).get()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_stream_that_fails_later(
    adapter: str,
    heard: list[Outcome],
    told: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its outcome left with its header fields; what comes later is a warning."""
    monkeypatch.setattr(Injection, "_feed", lambda *arguments: 1 / 0)
    answer = serve(adapter, STREAM, ALICE, debug=True, on_outcome=heard.append).get()
    assert (answer.body, answer[FIELD], heard) == (PAGE, "streaming", [Outcome.STREAMING])
    assert [one.levelname for one in told.records if one.levelname != "DEBUG"] == ["WARNING"]
    assert logged(told) == ["streaming"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_fault_of_ours(
    adapter: str,
    heard: list[Outcome],
    told: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Injection, "_whole", lambda *arguments: 1 / 0)
    answer = serve(adapter, page(), ALICE, debug=True, on_outcome=heard.append).get()
    assert (answer.body, answer[FIELD], heard) == (PAGE, "error", [Outcome.ERROR])
    assert logged(told) == ["error"]


@pytest.mark.parametrize("type_", [b"text/html", b"text/css"])
def test_pathsend(heard: list[Outcome], type_: bytes) -> None:
    """A file that the server sends by itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", type_)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": "/page.html"})

    site = AsgiMiddleware(app, slug=SLUG, secret=SECRET, on_outcome=heard.append)
    run_asgi(site, "GET", "/", {})
    assert heard == [Outcome.PATHSEND if type_ == b"text/html" else Outcome.NOT_HTML]


def test_pathsend_in_a_stream(heard: list[Outcome]) -> None:
    """What a stream has told stays its only outcome."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<p>", "more_body": True})
        await send({"type": "http.response.pathsend", "path": "/page.html"})

    options: dict[str, Any] = {"get_email": lambda request: ALICE, "on_outcome": heard.append}
    run_asgi(AsgiMiddleware(app, slug=SLUG, secret=SECRET, **options), "GET", "/", {})
    assert heard == [Outcome.STREAMING]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_what_is_no_body(kind: str, heard: list[Outcome]) -> None:
    """The server's to refuse, and no page of any other outcome."""

    def wsgi(environ: Any, start_response: Any) -> list[Any]:
        start_response("200 OK", [HTML])
        return ["<p>text"]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"body": PAGE})

    options: dict[str, Any] = {"slug": SLUG, "secret": SECRET, "on_outcome": heard.append}
    options["get_email"] = lambda request: ALICE
    if kind == "wsgi":
        run_wsgi(WsgiMiddleware(wsgi, **options), "GET", "/", {})
    else:
        run_asgi(AsgiMiddleware(asgi, **options), "GET", "/", {})
    assert heard == [Outcome.ERROR]


@pytest.mark.parametrize("type_", ["text/html", "text/css"])
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_two_layers(kind: str, type_: str, heard: list[Outcome], told: Any) -> None:
    """One of them tells, for there is one response."""
    options: dict[str, Any] = {"slug": SLUG, "secret": SECRET, "on_outcome": heard.append}

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", type_)])
        return [PAGE]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", type_.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})

    options["get_email"] = lambda request: ALICE
    if kind == "wsgi":
        run_wsgi(WsgiMiddleware(WsgiMiddleware(wsgi, **options), **options), "GET", "/", {})
    else:
        run_asgi(AsgiMiddleware(AsgiMiddleware(asgi, **options), **options), "GET", "/", {})
    assert heard == ["identified" if type_ == "text/html" else "not-html"]
    assert logged(told) == heard


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize(
    ("email", "headers", "outcome"),
    [
        (ALICE, {"x-ensoras-identity": "1"}, "identified"),
        (None, {"x-ensoras-identity": "1"}, "anonymous"),
        (ALICE, {}, "withheld"),
    ],
)
def test_identity_endpoint(
    name: str,
    email: str | None,
    headers: dict[str, str],
    outcome: str,
    heard: list[Outcome],
    told: pytest.LogCaptureFixture,
) -> None:
    """Its own outcome, and not that of the layer which the answer passes, too."""
    for debug in (True, False):
        send = serve_endpoint(name, email, debug=debug, on_outcome=heard.append)
        answer = send("GET", PATH, headers)
        assert answer[FIELD] == (outcome if debug else None)
    assert heard == logged(told) == [outcome] * 2


def test_identity_endpoint_of_an_inner_layer(heard: list[Outcome]) -> None:
    """The layer around it has nothing to tell."""
    options: dict[str, Any] = {"slug": SLUG, "secret": SECRET, "on_outcome": heard.append}
    app = flask.Flask("site")
    app.config |= {SETTINGS[keyword]: value for keyword, value in options.items()}
    app.config |= {"ENSORAS_IDENTITY_PATH": PATH, "ENSORAS_GET_EMAIL": lambda: ALICE}
    Ensoras(app)
    site: Any = WsgiMiddleware(app, get_email=lambda request: ALICE, **options)
    run_wsgi(site, "GET", PATH, {"x-ensoras-identity": "1"})
    assert heard == [Outcome.IDENTIFIED]


def test_an_asynchronous_user_who_is_nobody(heard: list[Outcome]) -> None:
    """Under ASGI the callback is called on the event loop, once the user is known."""
    running = []

    def count(outcome: Outcome) -> None:
        running.append(asyncio.get_running_loop())
        heard.append(outcome)

    async def get_email(connection: HTTPConnection) -> None:
        await asyncio.sleep(0)

    serve("asgi", page(), get_email=get_email, on_outcome=count).get()
    assert heard == [Outcome.ANONYMOUS]
    assert len(running) == 1
