"""Nothing that a request leaves behind shows a secret, a hash or an address, but the page itself.

A matrix: what happens in it, through each adapter, and all the places to look at afterwards.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import identity_sites
import pytest
from adapters import ADAPTERS, PAGE, SLUG, TAG, Answer, Host, identify_script, serve
from hygiene import (
    EMAIL,
    HASH,
    SECRET,
    Records,
    canaries_in,
    leaks_in_frames,
    words_of,
)  # fmt: skip
from identity_sites import PATH, SITES

from ensoras_middleware import Outcome
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.identity import NotSigned
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

POLICY = ("Content-Security-Policy", "script-src 'self'")
STRANGER = identify_script(EMAIL, SECRET)
WITHOUT_IDENTITY = PAGE.replace(TAG, STRANGER + TAG)


class Gone(BaseException):
    """As a time limit, a cancellation or the end of a worker."""


def raising(kind: type[BaseException]) -> Callable[..., Any]:
    """Return a function that raises with all that it should not say."""

    def fail(*arguments: object) -> Any:
        raise kind("no", EMAIL, HASH, SECRET)

    return fail


def broken_stream(kind: type[BaseException], *chunks: bytes) -> Callable[[], Host]:
    """Return a host whose stream breaks off, behind some chunks."""

    def stream() -> Iterator[bytes]:
        yield from chunks
        raise kind("the host's own words")

    return lambda: Host(chunks=stream())  # type: ignore[arg-type]


def broken_view(kind: type[BaseException]) -> Callable[[], Host]:
    def view() -> Host:
        raise kind("the host's own words")

    return view


@dataclass
class Event:
    """What happens: the host's answer, the user, and the options."""

    host: Host | Callable[[], Host] = field(default_factory=Host)
    user: object = EMAIL
    options: dict[str, Any] = field(default_factory=dict)
    request: dict[str, str] = field(default_factory=dict)


CHUNKS = (PAGE[:60], PAGE[60:], b"<p>")
BRANDS = {"slug": ...}
EVENTS = {
    "identified": Event(),
    "stream": Event(Host(chunks=CHUNKS)),
    "policy": Event(Host().with_headers(POLICY)),
    "stream with policy": Event(Host(chunks=CHUNKS).with_headers(POLICY)),
    "debug": Event(options={"debug": True}),
    "embedded": Event(Host(body=b"<p></body>"), options={"embed": True}),
    "address refused": Event(user=f"é{EMAIL}"),
    "address with a name": Event(user=f"Alice <{EMAIL}>"),
    "address as bytes": Event(user=EMAIL.encode()),
    "withheld": Event(request={"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}),
    "stranger": Event(Host(body=WITHOUT_IDENTITY)),
    "stranger in a stream": Event(Host(chunks=(WITHOUT_IDENTITY[:99], WITHOUT_IDENTITY[99:]))),
    "no secret": Event(options={"secret": lambda slug: None} | BRANDS),
    "secret unusable": Event(options={"secret": lambda slug: f" {SECRET}\n"}),
    "secret of no type": Event(options={"secret": lambda slug: [SECRET]}),
    "secret with what is no character": Event(options={"secret": lambda slug: f"{SECRET}\ud800"}),
    "secret fails": Event(options={"secret": raising(LookupError)}),
    "secret fails in a stream": Event(
        Host(chunks=CHUNKS), options={"secret": raising(LookupError)} | BRANDS
    ),
    "secret is gone": Event(options={"secret": raising(Gone)}),
    "secret is gone in a stream": Event(Host(chunks=CHUNKS), options={"secret": raising(Gone)}),
    "secret of any brand is gone in a stream": Event(
        Host(chunks=CHUNKS), options={"secret": raising(Gone)} | BRANDS
    ),
    "user fails": Event(user=raising(LookupError)),
    "user is gone": Event(user=raising(Gone)),
    "user fails in a stream": Event(Host(chunks=CHUNKS), raising(LookupError)),
    "user is not signed": Event(user=raising(lambda *words: NotSigned(Outcome.UNVERIFIED))),  # type: ignore[arg-type]
    "outcome fails": Event(options={"on_outcome": raising(LookupError)}),
    "outcome is gone": Event(options={"on_outcome": raising(Gone)}),
    "outcome is gone in a stream": Event(
        Host(chunks=CHUNKS), options={"on_outcome": raising(Gone)}
    ),
    "view fails": Event(broken_view(LookupError)),
    "view is gone": Event(broken_view(Gone)),
    "stream fails": Event(broken_stream(LookupError, PAGE)),
    "stream fails later": Event(broken_stream(LookupError, PAGE, b"<p>")),
    "stream fails early": Event(broken_stream(LookupError)),
    "stream is gone": Event(broken_stream(Gone, PAGE)),
}  # fmt: skip


@pytest.fixture
def records() -> Iterator[Records]:
    """All that any logger says, at every level."""
    handler, root = Records(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)


def outcome_of(event: Event, adapter: str) -> Answer | BaseException:
    options = {"secret": SECRET} | event.options
    try:
        return serve(adapter, event.host, event.user, **options).get(
            accept="text/html", cookie="session=1", if_none_match='"1"', **event.request
        )
    except (Exception, Gone) as error:
        return error


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", EVENTS)
def test_nothing_is_shown(
    name: str, adapter: str, records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    """In no log, header, warning, exception, variable of ours, nor on the standard streams."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        outcome = outcome_of(EVENTS[name], adapter)
    said = [*(str(one.message) for one in warned), records.text, *capfd.readouterr()]
    assert_nothing_shown(name, outcome, said)
    if adapter == "django-asgi" and not isinstance(outcome, Answer):
        del outcome
        collect_open_files()


def assert_nothing_shown(name: str, outcome: Answer | BaseException, said: list[str]) -> None:
    assert [canaries_in(one) for one in said] == [[]] * len(said)
    if isinstance(outcome, Answer):
        assert canaries_in(repr(outcome.headers)) == []
    else:
        # What the host's own frames and words show is the host's to know.
        assert leaks_in_frames(outcome) == []
        assert "fails" in name or "gone" in name
        gone = name.startswith(("secret", "outcome")) and "gone" in name
        assert name.startswith("user") or gone or canaries_in(words_of(outcome)) == []


def collect_open_files() -> None:
    """Django's ASGI handler leaves one open, where an exception goes past it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_matrix_would_see_them(adapter: str, records: Records) -> None:
    """The page itself does hold the address and the hash, and the log is not empty."""
    outcome = outcome_of(EVENTS["identified"], adapter)
    assert isinstance(outcome, Answer)
    assert canaries_in(outcome.body) == ["hash", "e-mail"]
    outcome_of(EVENTS["user fails"], adapter)
    assert "LookupError at " in records.text


# The identity endpoint --------------------------------------------------------------------------

# Whether somebody is told of; elsewhere nobody is, in the body neither.
OF_THE_ENDPOINT = {
    "identified": True,
    "debug": True,
    "outcome fails": True,
    **dict.fromkeys(("secret is gone", "outcome is gone"), False),
    **dict.fromkeys(("address refused", "address with a name", "address as bytes"), False),
    **dict.fromkeys(("secret unusable", "secret of no type", "secret fails"), False),
    **dict.fromkeys(("user fails", "user is gone", "user is not signed", "withheld"), False),
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", OF_THE_ENDPOINT)
def test_nothing_is_shown_by_the_endpoint(
    name: str, site: str, records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    event = EVENTS[name]
    fields = {"x-ensoras-identity": "1", "if-none-match": '"1"'}
    fields |= {key.replace("_", "-"): value for key, value in event.request.items()}
    outcome: Answer | BaseException
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            send = identity_sites.serve(
                site, event.user, **{"slug": SLUG, "secret": SECRET} | event.options
            )
            outcome = send("GET", PATH, fields)
        except Gone as error:
            outcome = error
    said = [*(str(one.message) for one in warned), records.text, *capfd.readouterr()]
    assert_nothing_shown(name, outcome, said)
    if isinstance(outcome, Answer):
        told = ["hash", "e-mail"] if OF_THE_ENDPOINT[name] else []
        assert canaries_in(outcome.body) == told
    elif site == "django-asgi":
        del outcome
        collect_open_files()


# What sends fails -------------------------------------------------------------------------------

# Variables that hold the page on its way out, or the message with it: those of every server do.
OF_THE_PAGE = ("body in ", "message in ")

BODIES: list[list[bytes]] = [[PAGE], [PAGE, b"<p>"], [PAGE[:60], PAGE[60:], b"<p>"]]


class Server:
    """One that fails when it is called so many times."""

    def __init__(self, fails_at: int) -> None:
        self.left = fails_at

    def take(self, *arguments: object) -> Callable[..., object]:
        self.left -= 1
        if self.left < 0:
            raise OSError("The browser is gone.")
        return self.take

    async def send(self, message: object) -> None:
        self.take(message)


@pytest.mark.parametrize("fails_at", range(4))
@pytest.mark.parametrize("bodies", BODIES, ids=len)
@pytest.mark.parametrize("kind", ["wsgi", "write", "asgi"])
def test_a_server_that_fails(kind: str, bodies: list[bytes], fails_at: int) -> None:
    """No variable of ours shows more than the page that it could not send."""

    def wsgi(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Type", "text/html")])
        if kind == "wsgi":
            return iter(bodies) if len(bodies) > 1 else bodies
        return [write(body) for body in bodies][:0]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    options: Any = {"slug": "acme", "secret": SECRET, "get_email": lambda request: EMAIL}
    server = Server(fails_at)
    error: Exception | None = None
    try:
        if kind == "asgi":
            scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
            asyncio.run(AsgiMiddleware(asgi, **options)(scope, None, server.send))  # type: ignore[arg-type]
        else:
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
            for _ in WsgiMiddleware(wsgi, **options)(environ, server.take):  # type: ignore[arg-type]
                pass
    except OSError as raised:
        error = raised
    if error is not None:
        assert canaries_in(words_of(error)) == []
        assert [one for one in leaks_in_frames(error) if not one.startswith(OF_THE_PAGE)] == []
