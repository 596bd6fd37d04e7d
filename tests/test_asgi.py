"""The ASGI middleware keeps the ASGI specification on both sides, whatever the host does.

Most tests run one host twice, alone and behind the middleware: for a visitor who is not logged in,
the server must not be able to tell the two apart.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from asgiref.testing import ApplicationCommunicator
from asgiref.wsgi import WsgiToAsgi
from fastapi import FastAPI
from fastapi.responses import HTMLResponse as FastAPIPage
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ensoras_middleware import ConfigurationError, Identity
from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.snippet import identify_script

SECRET = "the secret of the acme widget"
TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer></script>'
PAGE = b"<!doctype html><title>Tea</title><p>Hello</p>" + TAG + b"<p>Bye</p>"
HALF = len(PAGE) // 2 + 10  # inside the widget tag
HTML = [(b"content-type", b"text/html; charset=utf-8")]
TEXT = [(b"content-type", b"text/plain")]
LENGTH = (b"content-length", str(len(PAGE)).encode())
OUTCOME = b"x-ensoras-outcome"
EMAILS = {"alice": "alice@example.com", "bob": "bob@example.com"}
STARTS: list[Message] = [
    {"type": "http.response.start", "status": 200, "headers": HTML},
    {"type": "http.response.start", "status": 200, "headers": TEXT},
]
START = STARTS[0]


def sign(email: str) -> str:
    return hmac.new(SECRET.encode(), email.encode(), hashlib.sha256).hexdigest()


def script_of(user: str) -> bytes:
    email = EMAILS.get(user, f"{user}@example.com")
    return b"<script>" + identify_script(Identity(email, sign(email))) + b"</script>"


def page_of(user: str | None, page: bytes = PAGE) -> bytes:
    return page if user is None else page.replace(TAG, script_of(user) + TAG)


def email_of(connection: HTTPConnection) -> str | None:
    user = connection.cookies.get("user")
    return user and f"{user}@example.com"


def identifying(host: ASGIApp, **options: Any) -> ASGIApp:
    options = {"slug": "acme", "secret": SECRET, "get_email": email_of, **options}
    return EnsorasMiddleware(host, **options)


def scope_of(user: str | None = None, **fields: Any) -> Scope:
    headers = [(b"host", b"localhost"), (b"accept", b"text/html")]
    if user is not None:
        headers.append((b"cookie", b"user=" + user.encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        **fields,
    }


class Refusal(Exception):
    """The server does not accept a message."""


class Server:
    """Takes messages as uvicorn does; `leaves_after` messages the client has left."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self.sent: list[Message] = []
        self.error: BaseException | None = None
        self._leaves_after = leaves_after
        self._asked = False
        self._awaited = "http.response.start"

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._leaves_after is None:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if len(self.sent) == self._leaves_after:
            raise OSError("the client has left")
        kind = message["type"]
        if kind in ("http.response.start", "http.response.body") and kind != self._awaited:
            raise Refusal(f"expected {self._awaited}, got {kind}")
        if kind == "http.response.start":
            self._awaited = "http.response.body"
        elif kind == "http.response.body" and not message.get("more_body"):
            self._awaited = "nothing"
        self.sent.append(message)

    async def run(self, app: ASGIApp, scope: Scope) -> Server:
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            self.error = error
        return self

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        (start,) = [one for one in self.sent if one["type"] == "http.response.start"]
        return [(name, value) for name, value in start.get("headers", ())]

    def header(self, name: bytes) -> bytes | None:
        values = [value for one, value in self.headers if one == name]
        assert len(values) < 2
        return values[0] if values else None

    @property
    def kinds(self) -> list[str]:
        return [message["type"].rpartition(".")[2] for message in self.sent]

    @property
    def complete(self) -> bool:
        return self._awaited == "nothing"


def serve(app: ASGIApp, scope: Scope, *, leaves_after: int | None = None) -> Server:
    return asyncio.run(Server(leaves_after=leaves_after).run(app, scope))


def get(
    app: ASGIApp,
    path: str = "/",
    user: str | None = None,
    *,
    method: str = "GET",
    root_path: str = "",
    raises: bool = True,
    **headers: str,
) -> httpx.Response:
    """Answer one request of a browser."""
    fields = {"Accept": "text/html"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    if user is not None:
        fields["Cookie"] = f"user={user}"

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=fields)

    return asyncio.run(main())


def body(data: bytes | None = None, more: bool | None = None) -> Message:
    message: Message = {"type": "http.response.body"}
    if data is not None:
        message["body"] = data
    if more is not None:
        message["more_body"] = more
    return message


def sending(*messages: Message | Exception) -> ASGIApp:
    """Return a host that sends these messages, and raises where one is an exception."""

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    return host


# --- The shapes of an answer -----------------------------------------------------------------

WITH_LENGTH: Message = {**START, "headers": [*HTML, LENGTH]}

SHAPES = {
    "one message": [START, body(PAGE, False)],
    "no more_body": [START, body(PAGE)],
    "two messages": [START, body(PAGE, True), body(b"", False)],
    "two messages, with a length": [WITH_LENGTH, body(PAGE, True), body(b"", False)],
    "no body in the last": [WITH_LENGTH, body(PAGE, True), body()],
    "cut": [START, body(PAGE[:HALF], True), body(PAGE[HALF:], False)],
    "cut, with a length": [WITH_LENGTH, body(PAGE[:HALF], True), body(PAGE[HALF:])],
    "empty first": [START, body(b"", True), body(None, True), body(PAGE, False)],
    "empty between": [START, body(PAGE[:HALF], True), body(b"", True), body(PAGE[HALF:])],
    "byte by byte": [START, *(body(bytes([one]), True) for one in PAGE), body()],
    "pairs as lists": [{**START, "headers": [[*pair] for pair in HTML]}, body(PAGE)],
    "headers as a tuple": [{**START, "headers": tuple(HTML)}, body(PAGE)],
    "name in capitals": [{**START, "headers": [(b"Content-Type", b"TEXT/HTML")]}, body(PAGE)],
    "memoryview": [START, body(memoryview(PAGE))],  # Starlette takes it, and servers do
    "memoryview, cut": [START, body(memoryview(PAGE)[:HALF], True), body(memoryview(PAGE)[HALF:])],
    "bytearray": [START, body(bytearray(PAGE))],
    "bytearray, cut": [START, body(bytearray(PAGE[:HALF]), True), body(bytearray(PAGE[HALF:]))],
}


@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize("shape", SHAPES)
def test_identifies_every_shape_of_answer(shape: str, user: str | None) -> None:
    """A page is identified however the host sends it; its length is right or not given."""
    host = sending(*SHAPES[shape])
    alone = serve(host, scope_of(user))
    answer = serve(identifying(host), scope_of(user))
    assert (alone.error, alone.complete) == (None, True)
    assert (answer.error, answer.complete) == (None, True)
    assert answer.body == page_of(user)
    assert answer.header(b"content-length") in (None, str(len(answer.body)).encode())
    if user is None:
        assert answer.header(b"content-length") == alone.header(b"content-length")
        assert [one for one in answer.headers if one != (b"vary", b"Cookie")] == alone.headers


@pytest.mark.parametrize("shape", SHAPES)
def test_messages_of_the_host_are_never_changed(shape: str) -> None:
    """Messages, header lists and bodies at module level serve everybody, each with their own."""
    messages = SHAPES[shape]
    before = [(dict(one), list(one.get("headers", ()))) for one in messages]
    app = identifying(sending(*messages))
    for user in ("alice", "bob", None, "alice", None):
        assert serve(app, scope_of(user)).body == page_of(user)
        assert [(dict(one), list(one.get("headers", ()))) for one in messages] == before


def test_header_fields_may_be_read_only_once() -> None:
    """`headers` is any iterable of pairs: a generator reaches the server whole."""

    def host(fields: list[tuple[bytes, bytes]]) -> ASGIApp:
        async def generating(scope: Scope, receive: Receive, send: Send) -> None:
            await send({**START, "headers": (field for field in fields)})
            await send(body(PAGE))

        return generating

    assert serve(identifying(host(HTML)), scope_of("alice")).body == page_of("alice")
    answer = serve(identifying(host([(b"x-one", b"1"), *TEXT])), scope_of("alice"))
    assert (answer.headers, answer.body) == ([(b"x-one", b"1"), *TEXT], PAGE)


def test_debug_tells_the_outcome_of_a_start_without_headers() -> None:
    """Its field is the first one then."""
    host = sending({"type": "http.response.start", "status": 204}, body())
    start = serve(identifying(host, debug=True), scope_of()).sent[0]
    assert start["headers"] == [(b"x-ensoras-outcome", b"not-html")]


def test_a_start_without_headers_passes() -> None:
    """`headers` may be missing; then nothing says that the body is a page."""
    host = sending({"type": "http.response.start", "status": 200}, body(PAGE))
    assert serve(identifying(host), scope_of("alice")).sent == serve(host, scope_of()).sent


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("user", ["alice", None])
def test_what_is_no_page_passes_as_the_hosts_own_messages(user: str | None, debug: bool) -> None:
    """The very messages of the host reach the server, in their order and at once."""
    messages = [STARTS[1], body(PAGE[:HALF], True), body(b"", True), body(PAGE[HALF:])]
    answer = serve(identifying(sending(*messages), debug=debug), scope_of(user))
    assert all(mine is theirs for mine, theirs in zip(answer.sent[1:], messages[1:], strict=True))
    assert answer.header(OUTCOME) == (b"not-html" if debug else None)
    assert (answer.sent[0] is messages[0]) is not debug


def test_an_empty_page_starts_and_ends() -> None:
    """A page without a byte keeps its status and header fields."""
    for messages in ([START, body()], [START, body(b"", True), body(b"", False)]):
        answer = serve(identifying(sending(*messages)), scope_of("alice"))
        assert (answer.headers, answer.body, answer.complete) == (HTML, b"", True)


# --- Messages that are no body ---------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", None])
def test_other_messages_keep_their_place(user: str | None) -> None:
    """Early hints, pushes, debug messages, trailers and unknown ones pass as they are."""
    hint = {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]}
    debug = {"type": "http.response.debug", "info": {"template": "tea.html"}}
    push = {"type": "http.response.push", "path": "/style.css", "headers": []}
    trailers = {"type": "http.response.trailers", "headers": [], "more_trailers": False}
    unknown = {"type": "http.response.x_unknown"}
    start = {**START, "trailers": True}
    for parts in ([body(PAGE)], [body(PAGE[:HALF], True), body(PAGE[HALF:])]):
        messages = [hint, debug, start, unknown, push, *parts, trailers, unknown]
        answer = serve(identifying(sending(*messages)), scope_of(user))
        kinds = [one["type"].rpartition(".")[2] for one in messages]
        assert (answer.kinds, answer.error) == (kinds, None)
        assert answer.sent[kinds.index("start")]["trailers"] is True
        for one in (hint, debug, push, trailers, unknown):
            assert any(one is sent for sent in answer.sent)
        assert answer.body == page_of(user)


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
@pytest.mark.parametrize("user", ["alice", None])
def test_a_file_that_the_server_sends_passes(kind: str, user: str | None) -> None:
    """Its bytes never come here: header fields and message go out as they are, with an outcome."""
    message = {"type": kind, "path": "/srv/page.html"}
    host = sending({**START, "headers": [*HTML, LENGTH]}, message)
    answer = serve(identifying(host), scope_of(user))
    assert answer.headers == [*HTML, LENGTH]
    assert answer.sent[1] is message
    debugged = serve(identifying(host, debug=True), scope_of(user))
    assert debugged.headers == [*HTML, LENGTH, (OUTCOME, b"pathsend")]


@pytest.mark.parametrize("user", ["alice", None])
def test_a_file_in_the_middle_of_a_stream_stays_in_its_place(user: str | None) -> None:
    """`zerocopysend` may be mixed with bodies: what was held back leaves before the file."""
    part = {"type": "http.response.zerocopysend", "file": 3, "more_body": True}
    host = sending(START, body(b"<p>one</p><script ", True), part, body(b"<p>three</p>"))
    alone, answer = serve(host, scope_of(user)), serve(identifying(host), scope_of(user))
    place = answer.sent.index(part)
    before = b"".join(one.get("body", b"") for one in answer.sent[:place])
    assert before == b"<p>one</p><script "
    assert answer.body == alone.body


def test_starlette_files_by_pathsend(tmp_path: Path) -> None:
    """Where the server has the extension, Starlette's files go by it, pages too."""
    (tmp_path / "page.html").write_bytes(PAGE)
    scope = scope_of("alice", path="/page.html", extensions={"http.response.pathsend": {}})
    host = StaticFiles(directory=tmp_path)
    if serve(host, scope).kinds == ["start", "body"]:
        pytest.skip("this Starlette sends no file by pathsend")
    answer = serve(identifying(host, debug=True), scope)
    assert answer.kinds == ["start", "pathsend"]
    assert answer.header(OUTCOME) == b"pathsend"
    assert answer.header(b"content-length") == str(len(PAGE)).encode()


# --- Wrong messages --------------------------------------------------------------------------


def test_a_start_without_a_body_starts() -> None:
    """A host that returns after its start has started, no less and no more."""
    answer = serve(identifying(sending(START)), scope_of("alice"))
    assert (answer.sent, answer.complete) == ([START], False)


def test_a_stream_that_is_not_ended_stays_open() -> None:
    """A host that returns in the middle has sent all of its bytes, and no end."""
    host = sending(START, body(b"<p>one</p><script ", True))
    for user in ("alice", None):
        answer = serve(identifying(host), scope_of(user))
        assert (answer.body, answer.complete) == (b"<p>one</p><script ", False)


def test_a_body_without_a_start_is_the_servers_to_refuse() -> None:
    """The server's own error reaches the host."""
    answer = serve(identifying(sending(body(PAGE))), scope_of("alice"))
    assert isinstance(answer.error, Refusal)
    assert answer.sent == []


@pytest.mark.parametrize("second", STARTS, ids=["html", "text"])
@pytest.mark.parametrize("first", STARTS, ids=["html", "text"])
def test_a_second_start_is_the_servers_to_refuse(first: Message, second: Message) -> None:
    """Two starts end in the server's own error, before any body and in the middle of one."""
    for between in ([], [body(b"<p>one</p><script ", True)]):
        host = sending(first, *between, {**second, "status": 500}, body(b"<p>two</p>"))
        alone = serve(host, scope_of("alice"))
        answer = serve(identifying(host), scope_of("alice"))
        assert isinstance(alone.error, Refusal)
        assert isinstance(answer.error, Refusal)
        assert answer.sent[0]["status"] == 200
        assert answer.body == alone.body


@pytest.mark.parametrize("after", [[], [body(b"<p>two</p>", True)], [body()]])
def test_messages_after_the_end_are_the_servers_to_refuse(after: list[Message]) -> None:
    """A body behind the last one reaches the server."""
    for parts in ([body(PAGE)], [body(PAGE[:HALF], True), body(PAGE[HALF:])]):
        host = sending(START, *parts, *after)
        answer = serve(identifying(host), scope_of("alice"))
        assert isinstance(answer.error, Refusal if after else type(None))
        assert answer.body == page_of("alice")


# --- Errors of the host ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [START],
        [START, body(b"", True)],
        [START, body(b"<p>one</p>", True)],
        [START, body(b"<p>one</p><script ", True)],
        [START, body(b"<p>one</p><script ", True), body(b"", True)],
        [START, body(PAGE[:HALF], True), body(PAGE[HALF:])],
        [STARTS[1], body(b"<p>one</p><script ", True)],
    ],
)
@pytest.mark.parametrize("user", ["alice", None])
def test_errors_of_the_host_pass_through(messages: list[Message], user: str | None) -> None:
    """The same exception object comes out, behind the bytes that came before it."""
    error = LookupError("the host's")
    host = sending(*messages, error)
    alone, answer = serve(host, scope_of(user)), serve(identifying(host), scope_of(user))
    assert answer.error is alone.error is error
    assert ("start" in answer.kinds) is ("start" in alone.kinds)
    assert answer.body == page_of(user, alone.body)
    assert answer.complete is alone.complete


def test_an_error_of_the_host_outlives_one_of_the_server() -> None:
    """Where sending what was held back fails too, the host's error is the one that is raised."""
    error = LookupError("the host's")
    host = sending(START, body(b"<p>one</p><script ", True), error)
    assert serve(identifying(host), scope_of("alice"), leaves_after=2).error is error


def test_starlette_answers_500_before_the_start() -> None:
    """The host's own error page comes through, and so does its error."""

    def broken(request: Request) -> Response:
        raise LookupError("the host's")

    app = Starlette(
        routes=[Route("/", broken)], middleware=[Middleware(EnsorasMiddleware, **OPTIONS)]
    )
    answer = get(app, raises=False)
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    with pytest.raises(LookupError):
        get(app)


OPTIONS: dict[str, Any] = {"slug": "acme", "secret": SECRET, "get_email": email_of}


# --- Cancellation and disconnects ------------------------------------------------------------


def test_cancellation_in_a_stream_passes() -> None:
    """A server that cancels the request cancels the host, which cleans up; nothing more is sent."""
    events: list[str] = []
    streaming = asyncio.Event()

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"<p>one</p><script ", True))
        streaming.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async def main() -> Server:
        server = Server()
        request = asyncio.create_task(
            identifying(host)(scope_of("alice"), server.receive, server.send)
        )
        await streaming.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        return server

    server = asyncio.run(main())
    assert events == ["cancelled"]
    assert (server.body, server.complete) == (b"<p>one</p>", False)


@pytest.mark.parametrize("shape", ["one message", "cut"])
def test_cancellation_while_the_user_is_read_passes(shape: str) -> None:
    """`get_email` that waits for a database is cancelled with its request."""
    waiting = asyncio.Event()

    async def get_email(connection: HTTPConnection) -> str:
        waiting.set()
        await asyncio.Event().wait()
        return "never"

    async def main() -> Server:
        server = Server()
        app = identifying(sending(*SHAPES[shape]), get_email=get_email)
        request = asyncio.create_task(app(scope_of("alice"), server.receive, server.send))
        await waiting.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        return server

    assert asyncio.run(main()).sent == []


@pytest.mark.parametrize("shape", ["one message", "cut", "two messages"])
@pytest.mark.parametrize("leaves_after", [0, 1, 2])
def test_an_error_of_send_reaches_the_host(shape: str, leaves_after: int) -> None:
    """A client that has left makes `send` raise `OSError` inside the host, as without us."""
    caught: list[Exception] = []

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await sending(*SHAPES[shape])(scope, receive, send)
        except OSError as error:
            caught.append(error)
            raise

    alone = serve(host, scope_of("alice"), leaves_after=leaves_after)
    count = len(caught)
    answer = serve(identifying(host), scope_of("alice"), leaves_after=leaves_after)
    assert type(answer.error) is type(alone.error)
    assert len(caught) == 2 * count


def test_the_hosts_receive_is_the_servers() -> None:
    """A host reads the body and waits for `http.disconnect` at the server itself."""
    server = Server(leaves_after=9)

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        assert receive == server.receive
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"

    assert asyncio.run(server.run(identifying(host), scope_of())).error is None


@pytest.mark.parametrize("spec_version", ["2.0", "2.4"])
@pytest.mark.parametrize("user", ["alice", None])
def test_a_client_that_leaves_ends_the_hosts_generator(spec_version: str, user: str | None) -> None:
    """The asynchronous generator of a stream is closed once, as without us."""
    events: list[str] = []

    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"<p>tick</p>"
                await asyncio.sleep(0)
        finally:
            events.append("closed")

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(ticks(), media_type="text/html")(scope, receive, send)

    async def main(app: ASGIApp) -> Server:
        scope = scope_of(user, asgi={"version": "3.0", "spec_version": spec_version})
        server = await Server(leaves_after=4).run(app, scope)
        gc.collect()
        await asyncio.sleep(0)
        return server

    alone = asyncio.run(main(host))
    answer = asyncio.run(main(identifying(host)))
    assert events == ["closed", "closed"]
    assert type(answer.error) is type(alone.error)


# --- The scope -------------------------------------------------------------------------------


@pytest.mark.parametrize("after_a_page", [False, True])
@pytest.mark.parametrize("kind", ["websocket", "lifespan", "x_unknown"])
def test_other_connections_are_not_touched(kind: str, after_a_page: bool) -> None:
    """The host gets the very scope, receive and send of the server."""
    got: list[Any] = []

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        got[:] = [scope, receive, send]

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    app = identifying(host)
    if after_a_page:
        serve(app, scope_of())
    scope = {"type": kind}
    asyncio.run(app(scope, receive, send))
    assert all(one is other for one, other in zip(got, [scope, receive, send], strict=True))
    assert scope == {"type": kind}


def test_websockets_of_starlette_work() -> None:
    """A websocket beside the pages talks as without us."""

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = identifying(Starlette(routes=[WebSocketRoute("/", echo)]))

    async def main() -> None:
        scope = scope_of("alice", type="websocket", subprotocols=[])
        client = ApplicationCommunicator(app, scope)
        await client.send_input({"type": "websocket.connect"})
        assert (await client.receive_output())["type"] == "websocket.accept"
        await client.send_input({"type": "websocket.receive", "text": "tea"})
        assert await client.receive_output() == {"type": "websocket.send", "text": "tea"}
        await client.wait()

    asyncio.run(main())


PRECONDITIONS = [
    (b"if-none-match", b'"1"'),
    (b"if-modified-since", b"Thu, 01 Jan 2026 00:00:00 GMT"),
]


@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize("shape", ["one message", "cut", "text", "error", "error in the body"])
def test_layers_outside_see_what_the_host_leaves_in_the_scope(shape: str, stripped: bool) -> None:
    """What the host puts into the scope is there outside, from the start of the answer on."""
    messages: list[Message | Exception] = {
        **SHAPES,
        "text": [STARTS[1], body(PAGE)],
        "error": [LookupError()],
        "error in the body": [START, body(PAGE[:HALF], True), LookupError()],
    }[shape]

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        scope["host.route"] = "tea"
        await sending(*messages)(scope, receive, send)

    seen: list[str | None] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            seen.append(scope.get("host.route"))
            await send(message)

        await identifying(host)(scope, receive, noting)

    scope = scope_of("alice")
    if stripped:
        scope["headers"] += PRECONDITIONS
    serve(outer, scope)
    assert scope["host.route"] == "tea"
    assert set(seen) == (set() if shape == "error" else {"tea"})


def test_layers_outside_keep_what_they_wrote_themselves() -> None:
    """What an outer layer notes while the page leaves is not undone."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            scope["outer.state"] = "started"
            await send(message)

        await identifying(sending(*SHAPES["cut"]))(scope, receive, noting)

    scope = scope_of("alice") | {"outer.state": "waiting"}
    scope["headers"] += PRECONDITIONS
    assert serve(outer, scope).body == page_of("alice")
    assert scope["outer.state"] == "started"


@pytest.mark.parametrize("make", [list, tuple])
def test_preconditions_are_hidden_from_the_host_alone(make: Callable[..., Any]) -> None:
    """The host cannot answer 304 from before the log-in; layers outside see the request whole."""
    inside: list[Any] = []

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        inside.extend(scope["headers"])
        await sending(*SHAPES["one message"])(scope, receive, send)

    scope = scope_of("alice")
    plain = list(scope["headers"])
    headers = scope["headers"] = make([*plain, *PRECONDITIONS])
    assert serve(identifying(host), scope).body == page_of("alice")
    assert inside == plain
    assert list(scope["headers"]) == list(headers)  # Starlette makes a list of them
    assert list(headers) == [*plain, *PRECONDITIONS]


def test_layers_outside_see_the_whole_request_from_the_start_of_the_answer_on() -> None:
    """With what the host has made of it."""
    seen: list[Any] = []
    plain = [*scope_of("alice")["headers"]]
    for added in ([], [(b"x-host", b"tea")]):

        async def host(
            scope: Scope, receive: Receive, send: Send, added: Any = tuple(added)
        ) -> None:
            scope["headers"] = [*scope["headers"], *added]
            await sending(*SHAPES["cut"])(scope, receive, send)

        async def outer(scope: Scope, receive: Receive, send: Send, host: Any = host) -> None:
            async def noting(message: Message) -> None:
                seen.append(scope["headers"])
                await send(message)

            await identifying(host)(scope, receive, noting)

        seen.clear()
        scope = scope_of() | {"headers": [*PRECONDITIONS, *plain]}
        assert serve(outer, scope).body == page_of("alice")
        expected = [*plain, *added, *PRECONDITIONS] if added else [*PRECONDITIONS, *plain]
        assert [*seen, scope["headers"]] == [expected] * (len(seen) + 1)


def test_preconditions_of_excluded_paths_are_left() -> None:
    """An excluded path is never touched: its pages keep their 304."""

    def host(request: Request) -> Response:
        return Response(status_code=304 if "if-none-match" in request.headers else 200)

    app = identifying(Starlette(routes=[Route("/{rest:path}", host)]), exclude=["/admin"])
    for path, status in [("/admin/tea", 304), ("/administrators", 200)]:
        assert get(app, path, "alice", if_none_match='"1"').status_code == status


def test_mounted_applications_and_exclude() -> None:
    """`exclude` means the path of the whole site, wherever inside of us apps are mounted."""
    page = Route("/{rest:path}", lambda request: HTMLResponse(PAGE))
    app = identifying(
        Starlette(routes=[Mount("/admin", routes=[page]), Mount("/shop", routes=[page]), page]),
        exclude=["/admin"],
    )
    for root in ("", "/site"):
        assert get(app, f"{root}/admin/users", "alice", root_path=root).content == PAGE
        for path in ("/", "/administrators", "/shop/admin", "/shop/admin/users"):
            answer = get(app, root + path, "alice", root_path=root)
            assert answer.content == page_of("alice"), path


def test_the_middleware_inside_a_mount() -> None:
    """Wrapped around a mounted application, `exclude` counts from where it is mounted."""
    page = Route("/{rest:path}", lambda request: HTMLResponse(PAGE))
    inner = identifying(Starlette(routes=[page]), exclude=["/admin"])
    app = Starlette(routes=[Mount("/shop", inner)])
    assert get(app, "/shop/tea", "alice").content == page_of("alice")
    assert get(app, "/shop/admin/users", "alice").content == PAGE


# --- Reading the user ------------------------------------------------------------------------


class Eventually:
    """An awaitable that is no coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


async def coroutine(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def in_a_thread(connection: HTTPConnection) -> str | None:
    return await asyncio.to_thread(email_of, connection)


class CallableObject:
    async def __call__(self, connection: HTTPConnection) -> str | None:
        return email_of(connection)


@pytest.mark.parametrize("shape", ["one message", "cut"])
@pytest.mark.parametrize(
    "get_email",
    [
        email_of,
        in_a_thread,
        CallableObject(),
        lambda connection: coroutine(email_of(connection)),
        lambda connection: Eventually(email_of(connection)),
        lambda connection: asyncio.ensure_future(coroutine(email_of(connection))),
    ],
)
def test_get_email_is_plain_or_awaitable(get_email: Callable[..., Any], shape: str) -> None:
    """A function, a coroutine function, and whatever else gives an awaitable."""
    app = identifying(sending(*SHAPES[shape]), get_email=get_email)
    for user in ("alice", None):
        assert serve(app, scope_of(user)).body == page_of(user)


def raising(connection: HTTPConnection) -> str:
    raise LookupError("no user alice@example.com")


@pytest.mark.parametrize("shape", ["one message", "cut"])
@pytest.mark.parametrize(
    "get_email",
    [raising, lambda connection: Eventually(LookupError("no user alice@example.com"))],
)
def test_a_get_email_that_raises_is_nobody(
    get_email: Callable[..., Any], shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The page goes out as it is; the log names the error's type, and nothing of its text."""
    app = identifying(sending(*SHAPES[shape]), get_email=get_email)
    for _ in range(2):
        answer = serve(app, scope_of("alice"))
        assert (answer.body, answer.error, answer.complete) == (PAGE, None, True)
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "LookupError" in warnings[0]
    assert "alice" not in warnings[0]


class PropertyRaises:
    is_authenticated = True

    @property
    def email(self) -> str:
        raise LookupError("no user alice@example.com")


def user_of(is_authenticated: Any, email: Any) -> SimpleNamespace:
    return SimpleNamespace(is_authenticated=is_authenticated, email=email)


@pytest.mark.parametrize("shape", ["one message", "cut"])
@pytest.mark.parametrize(
    ("user", "identified"),
    [
        pytest.param(user_of(True, EMAILS["alice"]), True, id="logged in"),
        pytest.param(user_of(True, " Alice@Example.com\n"), True, id="in another spelling"),
        pytest.param(user_of(False, EMAILS["alice"]), False, id="logged out"),
        pytest.param(user_of(lambda: True, EMAILS["alice"]), False, id="a method"),
        pytest.param(user_of(1, EMAILS["alice"]), False, id="not quite true"),
        pytest.param(SimpleNamespace(email=EMAILS["alice"]), False, id="no is_authenticated"),
        pytest.param(SimpleNamespace(is_authenticated=True), False, id="no e-mail"),
        pytest.param(user_of(True, None), False, id="None for an e-mail"),
        pytest.param(user_of(True, b"alice@example.com"), False, id="bytes for an e-mail"),
        pytest.param(user_of(True, lambda: EMAILS["alice"]), False, id="a method for an e-mail"),
        pytest.param(PropertyRaises(), False, id="a property that raises"),
        pytest.param({"is_authenticated": True, "email": EMAILS["alice"]}, False, id="a dict"),
        pytest.param(EMAILS["alice"], False, id="a string"),
        pytest.param(None, False, id="None"),
    ],
)
def test_the_user_in_the_scope(user: object, identified: bool, shape: str) -> None:
    """By default it is `scope["user"]`: where `is_authenticated` is true, and `email` a string."""

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        scope["user"] = user
        await sending(*SHAPES[shape])(scope, receive, send)

    app = EnsorasMiddleware(host, slug="acme", secret=SECRET)
    answer = serve(app, scope_of())
    assert answer.error is None
    assert answer.body == page_of("alice" if identified else None)


def test_an_awaitable_for_an_email_is_nobody() -> None:
    """A user whose `email` is a coroutine signs nobody, and none is left un-awaited."""

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        scope["user"] = user_of(True, coroutine(EMAILS["alice"]))
        await sending(*SHAPES["one message"])(scope, receive, send)

    answer = serve(EnsorasMiddleware(host, slug="acme", secret=SECRET), scope_of())
    assert (answer.body, answer.error) == (PAGE, None)
    gc.collect()


def test_authentication_middleware_of_starlette_inside() -> None:
    """The user is read after the host has run, so its authentication may be inside of us."""

    class Customer(BaseUser):
        is_authenticated = True  # type: ignore[assignment]

        def __init__(self, email: str) -> None:
            self.email = email

    class Cookies(AuthenticationBackend):
        async def authenticate(
            self, connection: HTTPConnection
        ) -> tuple[AuthCredentials, BaseUser] | None:
            email = email_of(connection)
            return None if email is None else (AuthCredentials(), Customer(email))

    app = Starlette(
        routes=[Route("/", lambda request: HTMLResponse(PAGE))],
        middleware=[
            Middleware(EnsorasMiddleware, slug="acme", secret=SECRET),
            Middleware(AuthenticationMiddleware, backend=Cookies()),
        ],
    )
    assert get(app).content == PAGE
    for user in ("alice", "bob"):
        assert get(app, user=user).content == page_of(user)
        assert get(app, user=user, if_none_match='"1"').content == page_of(user)


def test_the_user_is_read_once_and_only_for_pages_with_the_widget() -> None:
    """`get_email` is called at most once for an answer, and not at all without need."""
    calls: list[str] = []

    def get_email(connection: HTTPConnection) -> str:
        calls.append(connection.url.path)
        return EMAILS["alice"]

    answers = {
        "/": SHAPES["one message"],
        "/stream": SHAPES["byte by byte"],
        "/plain": [START, body(b"<p>no widget</p>")],
        "/text": [STARTS[1], body(PAGE)],
    }

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await sending(*answers[scope["path"]])(scope, receive, send)

    app = identifying(host, get_email=get_email)
    for path in answers:
        serve(app, scope_of("alice", path=path))
    assert calls == ["/", "/stream"]


def test_two_hundred_visitors_at_once_each_get_their_own_page() -> None:
    """Requests that interleave in one application object never meet."""

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        whole = scope["path"] == "/whole"
        for message in SHAPES["one message" if whole else "byte by byte"]:
            await send(message)
            await asyncio.sleep(0)

    async def get_email(connection: HTTPConnection) -> str | None:
        await asyncio.sleep(0)
        return email_of(connection)

    async def main() -> None:
        app = identifying(host, get_email=get_email)
        users = [None if i % 5 == 0 else f"user{i}" for i in range(200)]
        paths = ["/whole" if i % 3 else "/stream" for i in range(200)]
        answers = await asyncio.gather(
            *(
                Server().run(app, scope_of(user, path=path))
                for user, path in zip(users, paths, strict=True)
            )
        )
        for user, answer in zip(users, answers, strict=True):
            assert (answer.body, answer.error) == (page_of(user), None)

    asyncio.run(main())


# --- Layers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_two_layers_write_one_script(shape: str) -> None:
    """Stacked layers of this middleware agree: the outer one identifies the page, once."""
    app = identifying(identifying(sending(*SHAPES[shape])))
    for user in ("alice", None):
        assert serve(app, scope_of(user)).body == page_of(user)


@pytest.mark.parametrize("user", ["alice", None])
def test_a_page_of_base_http_middleware_is_judged_whole(user: str | None) -> None:
    """`BaseHTTPMiddleware` inside us sends every page as two messages; its length stays right."""

    async def dispatch(request: Request, call_next: Callable[..., Awaitable[Response]]) -> Response:
        answer = await call_next(request)
        answer.headers["x-inner"] = "yes"
        return answer

    app = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse(PAGE)),
            Route("/plain", lambda request: HTMLResponse("<p>no widget</p>")),
        ],
        middleware=[
            Middleware(EnsorasMiddleware, debug=True, **OPTIONS),
            Middleware(BaseHTTPMiddleware, dispatch=dispatch),
        ],
    )
    answer = get(app, "/", user)
    assert answer.content == page_of(user)
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["x-ensoras-outcome"] == ("identified" if user else "anonymous")
    assert answer.headers["x-inner"] == "yes"
    plain = get(app, "/plain", user)
    assert plain.headers["x-ensoras-outcome"] == "no-widget"
    assert "vary" not in plain.headers


def test_base_http_middleware_outside() -> None:
    """Outside of us `BaseHTTPMiddleware` finds messages in the order it insists on."""

    async def dispatch(request: Request, call_next: Callable[..., Awaitable[Response]]) -> Response:
        return await call_next(request)

    async def chunks() -> AsyncIterator[bytes]:
        yield PAGE[:HALF]
        yield PAGE[HALF:]

    app = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse(PAGE)),
            Route("/stream", lambda request: StreamingResponse(chunks(), media_type="text/html")),
        ],
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=dispatch),
            Middleware(EnsorasMiddleware, **OPTIONS),
        ],
    )
    for path in ("/", "/stream"):
        assert get(app, path, "alice").content == page_of("alice")


BIG = PAGE + b"<p>" + b"tea " * 500


def test_compression_outside_is_fine() -> None:
    """Starlette's `GZipMiddleware` outside compresses the identified page."""
    app = Starlette(
        routes=[Route("/", lambda request: HTMLResponse(BIG))],
        middleware=[Middleware(GZipMiddleware), Middleware(EnsorasMiddleware, **OPTIONS)],
    )
    answer = get(app, "/", "alice", accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == page_of("alice", BIG)
    assert set(answer.headers["vary"].split(", ")) == {"Cookie", "Accept-Encoding"}


def test_compression_inside_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Inside, it leaves us nothing to read: the bytes pass, and one warning says what to move."""
    app = Starlette(
        routes=[Route("/", lambda request: HTMLResponse(BIG))],
        middleware=[
            Middleware(EnsorasMiddleware, debug=True, **OPTIONS),
            Middleware(GZipMiddleware),
        ],
    )
    for _ in range(2):
        scope = scope_of("alice")
        scope["headers"].append((b"accept-encoding", b"gzip"))
        answer = serve(app, scope)
        assert gzip.decompress(answer.body) == BIG
        assert answer.header(OUTCOME) == b"encoded"
        assert answer.header(b"content-length") == str(len(answer.body)).encode()
    (warning,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "compress" in warning.getMessage()
    assert "outside" in warning.getMessage()


# --- Hosts -----------------------------------------------------------------------------------


def test_a_starlette_response_at_module_level() -> None:
    """One response object for everybody stays as it is, header fields and all."""
    response = HTMLResponse(PAGE, headers={"ETag": '"1"'})
    before = list(response.raw_headers)
    app = identifying(response)
    for user in ("alice", "bob", None):
        answer = serve(app, scope_of(user))
        assert answer.body == page_of(user)
        assert response.raw_headers == before
        assert response.body == PAGE


def test_a_starlette_response_of_a_memoryview() -> None:
    """Starlette's responses take `memoryview`, and servers send it."""
    for response in (
        HTMLResponse(memoryview(PAGE)),
        StreamingResponse(
            iter([memoryview(PAGE)[:HALF], memoryview(PAGE)[HALF:]]), media_type="text/html"
        ),
    ):
        answer = serve(identifying(response), scope_of("alice"))
        assert (answer.body, answer.error) == (page_of("alice"), None)


@pytest.mark.parametrize("user", ["alice", None])
def test_streams_of_starlette(user: str | None) -> None:
    """Plain and asynchronous generators are identified, and closed once."""
    closed: list[str] = []

    def plain() -> Iterator[bytes]:
        try:
            yield PAGE[:HALF]
            yield PAGE[HALF:]
        finally:
            closed.append("plain")

    async def asynchronous() -> AsyncIterator[str]:
        try:
            yield PAGE[:HALF].decode()
            yield PAGE[HALF:].decode()
        finally:
            closed.append("asynchronous")

    app = identifying(
        Starlette(
            routes=[
                Route("/plain", lambda request: StreamingResponse(plain(), media_type="text/html")),
                Route(
                    "/async",
                    lambda request: StreamingResponse(asynchronous(), media_type="text/html"),
                ),
            ]
        )
    )
    assert get(app, "/plain", user).content == page_of(user)
    assert get(app, "/async", user).content == page_of(user)
    assert closed == ["plain", "asynchronous"]


def test_a_generator_that_raises_in_the_middle() -> None:
    """The error of a host's stream comes out, and the stream is closed once."""
    closed: list[str] = []

    async def failing() -> AsyncIterator[bytes]:
        try:
            yield b"<p>one</p><script "
            raise LookupError("the host's")
        finally:
            closed.append("closed")

    host = Starlette(
        routes=[Route("/", lambda request: StreamingResponse(failing(), media_type="text/html"))]
    )
    alone, server = serve(host, scope_of("alice")), serve(identifying(host), scope_of("alice"))
    # Starlette 0.40 wraps it into the group of its tasks.
    assert repr(server.error) == repr(alone.error)
    assert 'LookupError("the host\'s")' in repr(server.error)
    assert server.body == alone.body == b"<p>one</p><script "
    assert not server.complete
    assert closed == ["closed", "closed"]


@pytest.mark.parametrize("user", ["alice", None])
def test_files_of_starlette(user: str | None, tmp_path: Path) -> None:
    """Pages in files, small and large, are identified; their 304 is for assets alone."""
    large = b"<p>" + b"tea " * 50_000 + TAG + b"<p>" + b"tea " * 50_000
    (tmp_path / "index.html").write_bytes(PAGE)
    (tmp_path / "404.html").write_bytes(b"<p>none</p>" + TAG)
    (tmp_path / "large.html").write_bytes(large)
    (tmp_path / "style.css").write_bytes(b"p { color: green }")
    app = identifying(
        Starlette(
            routes=[
                Route("/large", lambda request: FileResponse(tmp_path / "large.html")),
                Mount("/", StaticFiles(directory=tmp_path, html=True)),
            ]
        )
    )
    pages = {"/": PAGE, "/large": large, "/large.html": large, "/none": b"<p>none</p>" + TAG}
    for path, page in pages.items():
        answer = get(app, path, user)
        assert answer.content == page_of(user, page)
        assert answer.headers.get("content-length") in (None, str(len(answer.content)))
        assert ("etag" in answer.headers) is (user is None)
    part = get(app, "/", user, range="bytes=0-9")
    assert (part.status_code, part.content) == (206, PAGE[:10])
    style = get(app, "/style.css", user, accept="text/css,*/*;q=0.1")
    assert style.content == b"p { color: green }"
    again = get(app, "/style.css", user, accept="*/*", if_none_match=style.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    head = get(app, "/", user, method="HEAD")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(PAGE)))


def test_a_fastapi_application() -> None:
    """FastAPI's `add_middleware`, its page, its JSON and its error answers."""
    app = FastAPI()
    app.add_middleware(EnsorasMiddleware, **OPTIONS)

    @app.get("/", response_class=FastAPIPage)
    async def page() -> str:
        return PAGE.decode()

    @app.get("/data")
    async def data(number: int) -> dict[str, str]:
        return {"page": PAGE.decode()}

    assert get(app, "/", "alice").content == page_of("alice")
    assert get(app, "/data?number=1", "alice").json() == {"page": PAGE.decode()}
    assert get(app, "/data?number=x", "alice").status_code == 422
    assert get(app, "/docs", "alice").status_code == 200


def wsgi_host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/html")])
    return [PAGE[:HALF], PAGE[HALF:]]


def test_a_wsgi_application_behind_a_bridge() -> None:
    """A bridge calls `send` from a thread, and asgiref's insists on a coroutine function."""
    for user in ("alice", None):
        answer = serve(identifying(WsgiToAsgi(wsgi_host)), scope_of(user))
        assert (answer.error, answer.body) == (None, page_of(user))


def test_send_is_a_coroutine_function() -> None:
    """Bridges and task groups look at `send`: it must be what the specification says it is."""

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        for message in (START, body(PAGE[:HALF], True), body(PAGE[HALF:])):
            await asyncio.create_task(send(message))  # type: ignore[arg-type]

    async def text(scope: Scope, receive: Receive, send: Send) -> None:
        for message in (STARTS[1], body(PAGE)):
            await asyncio.create_task(send(message))  # type: ignore[arg-type]

    assert serve(identifying(host), scope_of("alice")).body == page_of("alice")
    assert serve(identifying(text), scope_of("alice")).body == PAGE


# --- Streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", None])
def test_a_chunk_leaves_before_the_next_is_made(user: str | None) -> None:
    """A stream stays a stream: what is not ambiguous goes out while the host sends it."""
    parts = [b"<p>one</p>", b"<p>two</p>", TAG, b"<p>three</p>", b"<p>four</p>"]

    async def main() -> None:
        server = Server()

        async def host(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            expected = b""
            for part in parts:
                await send(body(part, True))
                expected += page_of(user, part)
                assert server.body == expected
            await send(body())

        await server.run(identifying(host), scope_of(user))
        assert server.error is None
        assert server.complete

    asyncio.run(main())


def test_what_is_held_back_is_no_empty_message() -> None:
    """The server hears of it when there is something to send."""
    parts = [b"<p>one", b"<script ", b"data-x", b">"]
    host = sending(START, *(body(part, True) for part in parts), body())
    sent = serve(identifying(host), scope_of("alice")).sent
    assert [one.get("body") for one in sent[1:]] == [b"<p>one", b"<script data-x>", b""]


def test_many_small_chunks() -> None:
    """Fifty thousand bytes, one by one, inside of what may become a tag."""
    size = 50_000
    chunks = [b"<p>one</p><script ", *[b"a"] * size, TAG]
    host = sending(START, *(body(chunk, True) for chunk in chunks), body())
    answer = serve(identifying(host), scope_of("alice"))
    assert answer.error is None
    assert answer.body.replace(script_of("alice"), b"") == b"".join(chunks)


# --- Somebody else's script ------------------------------------------------------------------

STALE = page_of("bob")


@pytest.mark.parametrize("user", ["alice", "bob", None])
def test_a_page_with_another_visitors_script_loses_it(
    user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache inside us may hold an identified page: its script is taken out, with an error."""
    length = (b"content-length", str(len(STALE)).encode())
    host = sending({**START, "headers": [*HTML, length]}, body(STALE))
    answer = serve(identifying(host), scope_of(user))
    assert answer.body == page_of(user)
    assert answer.header(b"content-length") == str(len(answer.body)).encode()
    assert answer.header(b"cache-control") == b"private, no-store, max-age=0"
    errors = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one.levelno for one in errors] == [logging.ERROR]
    assert "bob" not in caplog.text


@pytest.mark.parametrize("user", ["alice", None])
def test_a_stream_with_another_visitors_script_loses_the_identity(user: str | None) -> None:
    """However the stream is cut, bob's address and hash never reach another visitor."""
    identity = f'{{"email":"{EMAILS["bob"]}","hash":"{sign(EMAILS["bob"])}"}}'.encode()
    assert identity in STALE
    blanked = STALE.replace(identity, b" " * len(identity))

    async def main() -> None:
        for cut in range(1, len(STALE)):
            app = identifying(sending(START, body(STALE[:cut], True), body(STALE[cut:])))
            answer = await Server().run(app, scope_of(user))
            assert answer.body == page_of(user, blanked), cut

    asyncio.run(main())


# --- Configuration ---------------------------------------------------------------------------


def test_a_wrong_configuration_stops_the_start() -> None:
    """By hand it raises at once; in Starlette's stack it fails the lifespan, and requests."""
    with pytest.raises(ConfigurationError):
        EnsorasMiddleware(sending(), slug="acme", secret="short")
    app = Starlette(middleware=[Middleware(EnsorasMiddleware, slug="acme", secret="short")])
    sent: list[Message] = []
    received: list[Message] = []

    async def receive() -> Message:
        received.append({"type": "lifespan.startup"})
        return received[-1]

    async def send(message: Message) -> None:
        assert received, "the answer to a start that the server has not told of"
        sent.append(message)

    asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))
    assert [one["type"] for one in sent] == ["lifespan.startup.failed"]
    assert "ENSORAS_WIDGET_SECRET" in sent[0]["message"]
    assert isinstance(serve(app, scope_of()).error, ConfigurationError)
