"""The command `check` against sites that cannot be checked: one clear line each, exit status 2.

And whatever a site answers, cookies and header fields stay at the origin that they are for.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import struct
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from adapters import PAGE, SECRET, SLUG
from check_command import Command, command, site
from check_sites import OF_ALICE, SESSIONS, SITES, certificate, host, ours, served
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from ensoras_middleware.check import decoding
from ensoras_middleware.check.decoding import decoded
from ensoras_middleware.check.finding import CannotCheck
from ensoras_middleware.check.network import explained
from ensoras_middleware.check.visitor import Network, Visitor

__all__ = ["command", "site"]

SETTINGS = {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("error", "answers 500 to an anonymous visitor"),
        ("json", "is no HTML page: its Content-Type says application/json"),
        ("odd-type", "its Content-Type says text/�31m"),
        ("empty", "empty page"),
        ("encoded-oddly", "encoding `compress`"),
        ("encoded-falsely", "is encoded in `gzip`, and is not"),
        ("bomb", "larger than 16 MB when it is decoded"),
        ("large", "larger than 16 MB"),
        ("loop", "redirects more than 10 times"),
        ("to-mail", "no address of http or https"),
        ("to-ftp", "no address of http or https"),
        ("to-nowhere", "no address of http or https"),
    ],
)
def test_no_page(site: str, command: Command, path: str, words: str) -> None:
    assert words in command.json(f"{site}/{path}").error


def test_as_many_redirects_as_are_followed(site: str, command: Command) -> None:
    """Ten; more are told."""
    assert command.json(f"{site}/redirects/10").problems == []
    assert "more than 10 times" in command.json(f"{site}/redirects/11").error


def test_error_as_text(site: str, command: Command) -> None:
    """Without --json it is one line on standard error."""
    report = command(f"{site}/error?token=top-secret", cookie=OF_ALICE)
    assert (report.status, report.output) == (2, "")
    assert report.errors == (
        f"ensoras-middleware: {site}/error?… answers 500 to the customer: give the address of a "
        "page that works.\n"
    )


# Servers that are none -------------------------------------------------------------------------


@contextlib.contextmanager
def answering(
    *chunks: bytes, hold: bool = False, reset: bool = False, pause: float = 0
) -> Iterator[str]:
    """Answer every connection with these bytes; with `hold` never end it, with `reset` abort it."""
    done = threading.Event()
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    if done.is_set():
                        connection.close()
                        return
                    connection.recv(65536)
                    if reset:  # closing it then discards and resets (socket(7), SO_LINGER)
                        linger = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    with contextlib.suppress(ConnectionError):
                        for chunk in chunks:
                            connection.sendall(chunk)
                            done.wait(pause)
                    if hold:
                        held.append(connection)
                    else:
                        connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            done.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join(10)
            for connection in held:
                connection.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["no answer", "no body"])
def test_stalled_server(command: Command, sent: bytes) -> None:
    with answering(sent, hold=True) as address:
        report = command.json(address, "--timeout", "0.2")
    assert "does not answer within 0.2 seconds" in report.error


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", HEAD + b"<p>"])
def test_server_that_breaks_off(command: Command, sent: bytes) -> None:
    with answering(sent) as address:
        assert "breaks the answer off" in command.json(address).error


def test_body_that_never_ends(command: Command) -> None:
    """A server that sends a little now and then does not keep the command for ever."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    with answering(head, *itertools.repeat(PAGE, 100), pause=0.02) as address:
        assert "does not answer within 0.2 seconds" in command.json(
            address, "--timeout", "0.2"
        ).error  # fmt: skip


def test_connection_that_is_reset(command: Command) -> None:
    with answering(reset=True) as address:
        assert "breaks the connection off" in command.json(address).error


def test_nobody_accepts(command: Command) -> None:
    """Linux lets who comes to a full queue wait."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        error = command.json(address, "--timeout", "0.2").error
    assert "cannot be reached within 0.2 seconds" in error


def test_proxy(site: str, command: Command) -> None:
    """One that refuses, and one that is none."""
    url = "https://shop.invalid/"
    assert "cannot be reached through your proxy" in command.json(url, HTTPS_PROXY=site).error
    assert "Your proxy" in command.json(url, HTTPS_PROXY="gopher://127.0.0.1").error


def test_plain_http(site: str, command: Command) -> None:
    """On any other machine that is a problem; here a proxy knows the host."""
    url = "http://shop.example.com/right"
    report = command.json(url, cookie=OF_ALICE, HTTP_PROXY=site, **SETTINGS)
    assert report.problems == [("transport", "")]


@pytest.mark.parametrize(
    "error", [httpx.ReadError("secret"), httpx.UnsupportedProtocol("secret")], ids=type
)
def test_other_errors(error: httpx.HTTPError) -> None:
    """Of what is not known only the kind is told."""
    assert explained(error, 1) == f"cannot be reached ({type(error).__name__})."


def test_nobody_listens(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    assert "refuses the connection" in command.json(address).error


def test_no_such_host(command: Command) -> None:
    """RFC 6761: a name below `invalid` is never anybody's."""
    assert "cannot be resolved" in command.json("http://shop.invalid/").error


# TLS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A site with a certificate of its own authority, and that."""
    path = certificate(tmp_path_factory.mktemp("tls"))
    with served(ours(host()), ssl_certfile=str(path)) as address:
        yield address, path


def test_certificate_that_is_not_trusted(encrypted: tuple[str, Path], command: Command) -> None:
    """It is told why, and how to name an authority of one's own."""
    address, path = encrypted
    error = command.json(address).error
    assert "is not trusted (self-signed certificate)" in error
    assert "SSL_CERT_FILE" in error
    report = command.json(address, cookie=OF_ALICE, SSL_CERT_FILE=str(path), **SETTINGS)
    assert report.problems == []
    assert report.findings[0]["found"] == "https"


def test_authority_that_cannot_be_read(command: Command) -> None:
    report = command.json("https://shop.invalid/", SSL_CERT_FILE="/no/such/file")
    assert "SSL_CERT_FILE" in report.error


def test_wrong_scheme(encrypted: tuple[str, Path], site: str, command: Command) -> None:
    """Https at a port of http, and the other way round."""
    error = command.json(site.replace("http:", "https:")).error
    assert "does not speak TLS as it should" in error
    assert "breaks the answer off" in command.json(encrypted[0].replace("https:", "http:")).error


# Where credentials go --------------------------------------------------------------------------


@contextlib.contextmanager
def elsewhere() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Another origin, and the header fields that it has seen."""
    seen: list[dict[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(HTTPConnection(scope).headers))
        response = HTMLResponse(PAGE, headers={"Vary": "Cookie"})
        await response(scope, receive, send)

    with served(app) as address:
        yield address, seen


@pytest.mark.parametrize(
    "credentials",
    [
        {"cookie": OF_ALICE},
        {"header": "Authorization: Bearer " + next(iter(SESSIONS))},
        {"header": "X-Session: " + next(iter(SESSIONS))},
    ],
)
def test_credentials_stay_at_their_origin(
    site: str, command: Command, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str]
) -> None:
    """A redirect to another origin ends the check; nothing is asked for there."""
    with elsewhere() as (address, seen):
        monkeypatch.setitem(SITES, "leads-away", RedirectResponse(address, 307))
        error = command.json(f"{site}/leads-away", **credentials).error
    assert f"redirects to another origin, {address}" in error
    assert seen == []


def test_credentials_are_for_one_origin(site: str) -> None:
    """Even a visitor who is sent straight to another origin shows nothing there."""
    fields = [("Cookie", OF_ALICE), ("Authorization", "Bearer " + next(iter(SESSIONS)))]
    with elsewhere() as (address, seen):
        visitor = Visitor("customer", Network(20), origin=site, credentials=fields)
        with contextlib.closing(visitor):
            visitor.get(address)
    assert len(seen) == 1
    assert not {"cookie", "authorization"} & set(seen[0])


def test_cookies_of_a_site_stay_there(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An anonymous visitor is led on, without the cookie of the first origin, and back with it."""
    with elsewhere() as (address, seen):
        away = RedirectResponse(address, 302)
        away.set_cookie("visit", "of-the-first-origin")
        monkeypatch.setitem(SITES, "leads-away", away)
        visitor = Visitor("anonymous", Network(20))
        with contextlib.closing(visitor):
            answer = visitor.get(f"{site}/leads-away")
            assert answer.hops == (address,)
            visitor.get(f"{site}/leads-away")
            assert visitor.has_cookies(site)
            assert not visitor.has_cookies(address)
    assert len(seen) == 2
    assert all("cookie" not in fields for fields in seen)


def test_requests_are_those_of_a_browser(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that tells pages from other requests takes it for a browser, which says who it is."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(HTTPConnection(scope).headers))
        await HTMLResponse(PAGE)(scope, receive, send)

    monkeypatch.setitem(SITES, "echo", app)
    fields = [("Cookie", OF_ALICE), ("X-Staging", "yes")]
    visitor = Visitor("customer", Network(20), origin=site, credentials=fields)
    with contextlib.closing(visitor):
        visitor.get(f"{site}/echo")
    (fields_seen,) = seen
    assert fields_seen["accept"].startswith("text/html,")
    assert fields_seen["accept-encoding"] == decoding.ACCEPT_ENCODING
    assert "Mozilla/5.0" in fields_seen["user-agent"]
    assert "ensoras-middleware-check" in fields_seen["user-agent"]
    assert fields_seen["sec-fetch-dest"] == "document"
    assert fields_seen["sec-fetch-mode"] == "navigate"
    assert fields_seen["cookie"] == OF_ALICE
    assert fields_seen["x-staging"] == "yes"


def test_given_cookie_that_the_site_renews(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent once, as it was set last; one that the site deletes is gone."""
    seen: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(HTTPConnection(scope).headers.get("cookie"))
        response = HTMLResponse(PAGE)
        if len(seen) == 1:
            response.set_cookie("session", "renewed", secure=True)
        else:
            response.delete_cookie("session")
        await response(scope, receive, send)

    monkeypatch.setitem(SITES, "renews", app)
    fields = [("Cookie", f"{OF_ALICE}; theme=dark")]
    visitor = Visitor("customer", Network(20), origin=site, credentials=fields)
    with contextlib.closing(visitor):
        for _ in range(3):
            visitor.get(f"{site}/renews")
    assert seen[0] == f"{OF_ALICE}; theme=dark"
    assert {*str(seen[1]).split("; ")} == {"session=renewed", "theme=dark"}
    assert seen[2] == "theme=dark"


# Encodings -------------------------------------------------------------------------------------


def encoded_in(encoding: str, text: bytes) -> bytes:
    if encoding == "br":
        brotli = pytest.importorskip("brotli")
        compressed: bytes = brotli.compress(text, quality=1)
        return compressed
    if encoding == "zstd":
        zstandard = pytest.importorskip("zstandard")
        compressed = zstandard.ZstdCompressor().compress(text)
        return compressed
    raw = zlib.compressobj(wbits=-15)
    return {
        "gzip": lambda: gzip.compress(text),
        "x-gzip": lambda: gzip.compress(text),
        "deflate": lambda: zlib.compress(text),
        "deflate without header": lambda: raw.compress(text) + raw.flush(),
        "identity": lambda: text,
    }[encoding]()


ENCODINGS = ["gzip", "x-gzip", "deflate", "deflate without header", "br", "zstd", "identity"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decoded(encoding: str) -> None:
    """Alone, and in another one; in any case."""
    name, body = encoding.partition(" ")[0], encoded_in(encoding, PAGE)
    assert decoded(body, name.upper()) == PAGE
    assert decoded(gzip.compress(body), f"{name}, gzip") == PAGE


@pytest.mark.parametrize("encoding", ENCODINGS[:-1])
@pytest.mark.parametrize("broken", ["cut", "another"])
def test_broken_encoding(encoding: str, broken: str) -> None:
    body = encoded_in(encoding, PAGE)[:-9] if broken == "cut" else PAGE
    with pytest.raises(CannotCheck, match="is broken"):
        decoded(body, encoding.partition(" ")[0])


@pytest.mark.parametrize(
    ("missing", "accepted"),
    [("brotli", ["gzip", "deflate", "zstd"]), ("zstandard", ["gzip", "deflate", "br"])],
)
def test_encodings_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, missing: str, accepted: list[str]
) -> None:
    """Those that can be decoded here."""
    assert decoding.ACCEPT_ENCODING == "gzip, deflate, br, zstd"
    monkeypatch.setitem(sys.modules, missing, None)
    assert list(decoding._decoders()) == accepted


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_no_more_is_decoded_than_the_limit(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to it all is well, beyond it nothing is kept."""
    monkeypatch.setattr(decoding, "LIMIT", 1 << 20)
    assert len(decoded(encoded_in(encoding, bytes(1 << 20)), encoding)) == 1 << 20
    with pytest.raises(CannotCheck, match="larger than 1 MB"):
        decoded(encoded_in(encoding, bytes((1 << 20) + 1)), encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_memory_of_a_bomb(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the limit is not even decoded, but for a few blocks of zstd."""
    monkeypatch.setattr(decoding, "LIMIT", 1 << 16)
    bomb = encoded_in(encoding, bytes(32 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(CannotCheck):
            decoded(bomb, encoding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20
