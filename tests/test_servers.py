"""Real servers serve identified pages: right lengths, one connection for many, streams that stream.

Each server runs in a process of its own and imports its application from this file. Paths below
`/excluded` answer the same as those without it, untouched by the middleware: what goes wrong there
goes wrong without us.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import os
import re
import select
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import pytest
from servers import PATIENCE, Site, running_site

from ensoras_middleware import Identity
from ensoras_middleware.snippet import identify_script

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("servers")]

SECRET = "the secret of the acme widget"
TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer></script>'
PAGE = b"<!doctype html><title>Tea</title><p>Hello</p>" + TAG + b"<p>Bye</p>"
CUT = PAGE.index(TAG) + 20  # inside the widget tag
EMAILS = {"alice": "alice@example.com", "bob": "bob@example.com"}
EXCLUDED = "/excluded"
OPTIONS: dict[str, Any] = {"slug": "acme", "secret": SECRET, "exclude": [EXCLUDED]}

# Where a host and a test tell each other how far they are.
FILES = Path(os.environ.get("ENSORAS_TEST_FILES", "."))


# --- The host, in four frameworks ------------------------------------------------------------


def chunks_of(path: str) -> Iterator[bytes | None]:
    """Yield the chunks of a stream; `None` where the host waits until the test is ready."""
    if path == "/stream":
        yield from (PAGE[:CUT], b"", PAGE[CUT:])
    elif path == "/slow":
        yield b"<p>one</p>"
        yield None
        yield PAGE
    elif path == "/breaks":
        yield b"<p>one</p><script "
        raise LookupError("the host's")
    elif path == "/endless":
        try:
            while True:
                yield b"<p>tick</p>" * 1000
        finally:
            (FILES / "closed").touch()


def blocking(chunks: Iterator[bytes | None]) -> Iterator[bytes]:
    deadline = time.monotonic() + PATIENCE
    try:
        for chunk in chunks:
            while chunk is None and not (FILES / "go").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            if chunk is not None:
                yield chunk
    finally:
        chunks.close()  # type: ignore[attr-defined]


async def waiting(chunks: Iterator[bytes | None]) -> AsyncIterator[bytes]:
    deadline = time.monotonic() + PATIENCE
    try:
        for chunk in chunks:
            await asyncio.sleep(0.001)
            # A file is what every server can look at, however its processes are arranged.
            while chunk is None and not (FILES / "go").exists() and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if chunk is not None:
                yield chunk
    finally:
        chunks.close()  # type: ignore[attr-defined]


def answer(path: str, if_none_match: str | None) -> tuple[int, dict[str, str], Any]:
    """Return status, header fields, and a body or the chunks of a stream."""
    path = path.removeprefix(EXCLUDED)
    if path == "/data.json":
        return 200, {"Content-Type": "application/json", "Content-Length": "2"}, b"{}"
    kind, body = ("text/css", b"p {}") if path == "/style.css" else ("text/html", PAGE)
    if path not in ("/", "/style.css"):
        return 200, {"Content-Type": kind}, chunks_of(path)
    if if_none_match == '"1"':
        return 304, {"ETag": '"1"'}, b""
    fields = {"Content-Type": kind, "ETag": '"1"', "Content-Length": str(len(body))}
    return 200, fields, body


def email_of(request: Any) -> str | None:
    cookies = request.COOKIES if hasattr(request, "COOKIES") else request.cookies
    return EMAILS.get(cookies.get("user", ""))


def plain_app() -> Any:
    from ensoras_middleware.wsgi import EnsorasMiddleware

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, fields, body = answer(environ["PATH_INFO"], environ.get("HTTP_IF_NONE_MATCH"))
        start_response(f"{status} Whatever", list(fields.items()))
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return [body] if isinstance(body, bytes) else blocking(body)

    return EnsorasMiddleware(host, get_email=email_of, **OPTIONS)


def flask_app() -> Any:
    import flask
    from flask_ensoras import Ensoras

    app = flask.Flask(__name__)
    app.config.update(
        {f"ENSORAS_WIDGET_{name}".upper(): OPTIONS[name] for name in ("slug", "secret")}
    )
    app.config["ENSORAS_EXCLUDE"] = OPTIONS["exclude"]

    @app.get("/<path:rest>")
    @app.get("/", defaults={"rest": ""})
    def host(rest: str) -> flask.Response:
        request = flask.request
        status, fields, body = answer(request.path, request.headers.get("If-None-Match"))
        body = body if isinstance(body, bytes) else blocking(body)
        return flask.Response(body, status, fields)

    Ensoras(app).email_getter(lambda: email_of(flask.request))
    return app


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    from ensoras_middleware.asgi import EnsorasMiddleware

    def host(request: Request) -> Response:
        status, fields, body = answer(request.url.path, request.headers.get("If-None-Match"))
        if isinstance(body, bytes):
            return Response(body, status, fields)
        return StreamingResponse(waiting(body), status, fields)

    return Starlette(
        routes=[Route("/{rest:path}", host)],
        middleware=[Middleware(EnsorasMiddleware, get_email=email_of, **OPTIONS)],
    )


urlpatterns: list[Any] = []


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.urls import re_path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django_ensoras"],
        MIDDLEWARE=["django_ensoras.middleware.EnsorasMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="tests",
        ENSORAS_WIDGET_SLUG=OPTIONS["slug"],
        ENSORAS_WIDGET_SECRET=OPTIONS["secret"],
        ENSORAS_EXCLUDE=OPTIONS["exclude"],
        ENSORAS_GET_EMAIL=email_of,
    )
    django.setup(set_prefix=False)

    async def host(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        status, fields, body = answer(request.path, request.headers.get("If-None-Match"))
        if isinstance(body, bytes):
            return HttpResponse(body, status=status, headers=fields)
        return StreamingHttpResponse(waiting(body), status=status, headers=fields)

    urlpatterns.append(re_path("", host))
    return get_asgi_application()


# --- The servers -----------------------------------------------------------------------------

# Whatever the host does, they close: the one always, the other after a stream and a 304.
CLOSING = {"gunicorn-sync", "waitress"}

SITES = [
    ("gunicorn-sync", "plain"),
    ("gunicorn-gthread", "plain"),
    ("gunicorn-gthread", "flask"),
    ("waitress", "plain"),
    ("waitress", "flask"),
    ("uvicorn-h11", "starlette"),
    ("uvicorn-h11", "django"),
    ("uvicorn-httptools", "starlette"),
    ("hypercorn", "starlette"),
    ("hypercorn", "django"),
    ("granian-wsgi", "plain"),
    ("granian-wsgi", "flask"),
    ("granian-asgi", "starlette"),
    ("granian-asgi", "django"),
]


@pytest.fixture(scope="module", params=SITES, ids="-".join)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    server, app = request.param
    if server == "uvicorn-httptools" and importlib.util.find_spec("httptools") is None:
        pytest.skip("httptools is not installed")
    files = tmp_path_factory.mktemp("site")
    with running_site(server, f"test_servers:{app}_app", files) as site:
        yield site


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Browser:
    """Asks over one connection for as long as the server keeps it, as strictly as h11 is."""

    site: Site
    connections: int = 0
    _socket: socket.socket | None = None
    _connection: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    def ask(
        self, path: str, user: str | None = None, *, method: str = "GET", **headers: str
    ) -> Reply:
        if self._socket is None:
            self._socket = self.site.connect()
            self._connection = h11.Connection(h11.CLIENT)
            self.connections += 1
        fields = [("Host", "localhost"), ("Accept", "text/html")]
        fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
        fields += [("Cookie", f"user={user}")] if user else []
        request = h11.Request(method=method, target=path, headers=fields)
        for event in (request, h11.EndOfMessage()):
            self._socket.sendall(self._connection.send(event) or b"")
        response, body = self._next(), b""
        assert type(response) is h11.Response, response
        while type(event := self._next()) is h11.Data:
            body += event.data
        assert type(event) is h11.EndOfMessage, event
        self._end_cycle()
        names = [name.decode() for name, _ in response.headers]
        assert len(names) == len(set(names)), names
        values = {name.decode(): value.decode() for name, value in response.headers}
        return Reply(response.status_code, values, body)

    def _next(self) -> Any:
        assert self._socket is not None
        while (event := self._connection.next_event()) is h11.NEED_DATA:
            self._connection.receive_data(self._socket.recv(65536))
        return event

    def _end_cycle(self) -> None:
        assert self._connection.trailing_data[0] == b""
        if self._connection.our_state is h11.MUST_CLOSE:
            self.close()
        else:
            self._connection.start_next_cycle()

    def close(self) -> None:
        if self._socket is not None:
            readable, _, _ = select.select([self._socket], [], [], 0.05)
            assert not readable or self._socket.recv(1) == b"", "bytes behind the last answer"
            self._socket.close()
            self._socket = None


def page_of(user: str | None, page: bytes = PAGE) -> bytes:
    if user is None:
        return page
    email = EMAILS[user]
    hash = hmac.new(SECRET.encode(), email.encode(), hashlib.sha256).hexdigest()
    script = b"<script>" + identify_script(Identity(email, hash)) + b"</script>"
    return page.replace(TAG, script + TAG)


# --- The promises ----------------------------------------------------------------------------


def test_one_connection_serves_every_kind_of_answer(site: Site) -> None:
    """Each answer ends where it says, so that the next one on the same connection begins there."""
    browser, alone = Browser(site), Browser(site)

    def ask(path: str, user: str | None, **options: str) -> Reply:
        reply, without_us = browser.ask(path, user, **options), alone.ask(EXCLUDED + path, user)
        if path == "/":
            assert (without_us.body, "vary" in without_us.headers) == (PAGE, False)
        return reply

    for user in ("alice", "bob", None, "alice"):
        page = ask("/", user)
        assert (page.status, page.body) == (200, page_of(user))
        assert page.headers["content-length"] == str(len(page.body))
        assert ("etag" in page.headers) is (user is None)

        stream = ask("/stream", user)
        assert stream.body == page_of(user)
        assert "content-length" not in stream.headers
        assert stream.headers["vary"] == "Cookie"

        head = ask("/", user, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(PAGE))

        data = ask("/data.json", user)
        assert (data.body, data.headers["content-length"]) == (b"{}", "2")

        style = ask("/style.css", user, if_none_match='"1"')
        assert (style.status, style.body) == (304, b"")

        again = ask("/", user, if_none_match='"1"')
        assert (again.status, again.body) == (200, page_of(user)) if user else (304, b"")
    browser.close()
    alone.close()
    if site.server not in CLOSING:
        assert browser.connections == alone.connections == 1
    assert "Traceback" not in site.log
    assert "never awaited" not in site.log


@pytest.mark.parametrize("user", ["alice", None])
def test_the_first_byte_of_a_stream_does_not_wait_for_its_end(site: Site, user: str | None) -> None:
    """The host goes on only when the client has got what it sent: a stream stays a stream."""
    go = site.files / "go"
    go.unlink(missing_ok=True)
    with site.connect() as client:
        client.sendall(request_of("/slow", user, "1.1", "Connection: close"))
        got = b""
        while b"<p>one</p>" not in got:
            part = client.recv(65536)
            assert part, got
            got += part
        assert TAG not in got
        go.touch()
        got += rest_of(client)
    assert unframed(got) == b"<p>one</p>" + page_of(user)


@pytest.mark.parametrize("user", ["alice", None])
def test_a_client_of_http_1_0(site: Site, user: str | None) -> None:
    """It gets a whole page with its length, and a stream that ends with the connection."""
    # uvicorn with httptools chunks its streams for HTTP/1.0 too, with us and without.
    for path in ("/",) if "httptools" in site.server else ("/", "/stream"):
        with site.connect() as client:
            client.sendall(request_of(path, user, "1.0"))
            head, _, body = rest_of(client).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert body == page_of(user)
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        assert (length is not None) is (path == "/")
        assert length is None or int(length[1]) == len(body)


@pytest.mark.parametrize("user", ["alice", None])
def test_a_host_that_breaks_off_is_seen_to(site: Site, user: str | None) -> None:
    """The client gets what came before the error, and no end, as without us."""
    answers = []
    for path in ("/breaks", f"{EXCLUDED}/breaks"):
        with site.connect() as client:
            client.sendall(request_of(path, user, "1.1", "Connection: close"))
            answers.append(rest_of(client))
    answer, without_us = answers
    assert answer.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"")
    assert unframed(answer) == unframed(without_us) == b"<p>one</p><script "
    ends = [one.endswith(b"\r\n0\r\n\r\n") for one in answers]
    assert ends[0] is ends[1]


@pytest.mark.parametrize("user", ["alice", None])
def test_a_client_that_leaves_ends_the_hosts_stream(site: Site, user: str | None) -> None:
    """The host's generator is closed, and the server goes on to serve others."""
    closed = site.files / "closed"
    closed.unlink(missing_ok=True)
    with site.connect() as client:
        client.sendall(request_of("/endless", user, "1.1"))
        while b"<p>tick</p>" not in client.recv(65536):
            pass
    site.wait_for("closed")
    browser = Browser(site)
    assert browser.ask("/", "bob").body == page_of("bob")
    browser.close()


def request_of(path: str, user: str | None, version: str, *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: localhost", "Accept: text/html", *fields]
    lines += [f"Cookie: user={user}"] if user else []
    return "\r\n".join([*lines, "", ""]).encode()


def rest_of(client: socket.socket) -> bytes:
    got = b""
    while part := client.recv(65536):
        got += part
    return got


def unframed(response: bytes) -> bytes:
    """Return the body of a response, without chunked transfer coding, as far as it goes."""
    head, _, body = response.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return whole
