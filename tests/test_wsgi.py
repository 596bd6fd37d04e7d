"""The WSGI middleware keeps PEP 3333 on both sides, whatever the host does.

Most tests run one host twice, alone and behind the middleware: for a visitor who is not logged in,
the server must not be able to tell the two apart.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Request

from ensoras_middleware import Identity
from ensoras_middleware.caching import NEVER_REUSED
from ensoras_middleware.snippet import MARK, identify_script
from ensoras_middleware.wsgi import EnsorasMiddleware

SECRET = "the secret of the acme widget"
TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer></script>'
PAGE = b"<!doctype html><title>Tea</title><p>Hello</p>" + TAG + b"<p>Bye</p>"
HTML = [("Content-Type", "text/html; charset=utf-8")]
TEXT = [("Content-Type", "text/plain")]
EMAILS = {"alice": "alice@example.com", "bob": "bob@example.com"}

Environ = dict[str, Any]
Host = Callable[[Environ, Any], Iterable[bytes]]


def sign(email: str) -> str:
    return hmac.new(SECRET.encode(), email.encode(), hashlib.sha256).hexdigest()


def script_of(user: str) -> bytes:
    email = EMAILS[user]
    return b"<script>" + identify_script(Identity(email, sign(email))) + b"</script>"


def page_of(user: str | None, page: bytes = PAGE) -> bytes:
    return page if user is None else page.replace(TAG, script_of(user) + TAG)


def email_of(request: Request) -> str | None:
    return EMAILS.get(request.cookies.get("user", ""))


def identifying(host: Host, **options: Any) -> Host:
    options = {"slug": "acme", "secret": SECRET, "get_email": email_of, **options}
    return EnsorasMiddleware(host, **options)


def environ_of(user: str | None = None, **variables: Any) -> Environ:
    environ: Environ = {}
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    environ["wsgi.file_wrapper"] = FileWrapper
    if user is not None:
        environ["HTTP_COOKIE"] = f"user={user}"
    return environ | variables


@dataclass
class Answer:
    """What a server has seen of an application."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    error: BaseException | None = None
    headers_sent: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        values = [value for one, value in self.headers if one.lower() == name.lower()]
        assert len(values) < 2
        return values[0] if values else None


class Refusal(AssertionError):
    """The server does not accept what an application does."""


def serve(app: Host, environ: Environ, *, until: int | None = None) -> Answer:
    """Answer one request as the server in PEP 3333 does; after `until` chunks the client leaves."""
    answer = Answer()

    def write(data: bytes) -> None:
        if not answer.status:
            raise Refusal("body before start_response()")
        if data:
            answer.headers_sent = True
            answer.chunks.append(data)

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            if answer.headers_sent:
                raise exc_info[1]
        elif answer.status:
            raise Refusal("a second start_response() without exc_info")
        answer.status, answer.headers = status, list(headers)
        return write

    try:
        iterable = app(environ, start_response)
        try:
            for data in iterable:
                write(data)
                if len(answer.chunks) == until:
                    break
        finally:
            if hasattr(iterable, "close"):
                iterable.close()
        if not answer.status:
            raise Refusal("no start_response()")
    except Exception as error:
        answer.error = error
    return answer


class Body:
    """A host's iterable that counts how often it is closed; an exception in it is raised."""

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self.chunks = list(chunks)
        self.closed = 0

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        if not self.chunks:
            raise StopIteration
        chunk = self.chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed += 1


class Sized:
    """An iterable that is neither list nor tuple, of a known length."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


# --- The shapes of an answer -------------------------------------------------------------------

HALF = len(PAGE) // 2 + 10  # inside the widget tag


def a_list(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return [PAGE]


def a_list_with_length(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [*HTML, ("Content-Length", str(len(PAGE)))])
    return [PAGE]


def a_list_of_chunks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [*HTML, ("Content-Length", str(len(PAGE)))])
    return [PAGE[:HALF], PAGE[HALF:]]


def a_tuple(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return (PAGE,)


def a_sized_iterable(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return Sized(PAGE)


def a_sized_iterable_of_chunks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return Sized(PAGE[:HALF], b"", PAGE[HALF:])


def an_iterator(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return iter([PAGE[:HALF], PAGE[HALF:]])


def a_generator(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [*HTML, ("Content-Length", str(len(PAGE)))])
    yield PAGE


def a_late_start(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    yield PAGE[:HALF]
    yield PAGE[HALF:]


def empty_chunks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return [b"", b"", PAGE[:HALF], b"", PAGE[HALF:], b""]


def one_byte_chunks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return [PAGE[i : i + 1] for i in range(len(PAGE))]


def written(environ: Environ, start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", list(HTML))
    write(PAGE[:HALF])
    write(b"")
    write(PAGE[HALF:])
    return []


def written_and_returned(environ: Environ, start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", list(HTML))
    write(PAGE[:HALF])
    return [PAGE[HALF:]]


def written_and_returned_in_chunks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", list(HTML))
    write(b"")
    write(PAGE[:5])
    return iter([PAGE[5:HALF], PAGE[HALF:]])


def a_file(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](BytesIO(PAGE), 50)
    return wrapped


def started_twice(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    try:
        raise LookupError
    except LookupError:
        start_response("404 Not Found", list(HTML), sys.exc_info())
    return [PAGE]


def started_twice_late(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    try:
        raise LookupError
    except LookupError:
        start_response("404 Not Found", list(HTML), sys.exc_info())
    yield PAGE[:HALF]
    yield PAGE[HALF:]


def nothing(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    return []


def nothing_yielded(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", list(HTML))
    yield from ()


PAGES = [
    a_list, a_list_with_length, a_list_of_chunks, a_tuple, a_sized_iterable,
    a_sized_iterable_of_chunks, an_iterator, a_generator, a_late_start, empty_chunks,
    one_byte_chunks, written, written_and_returned, written_and_returned_in_chunks, a_file,
    started_twice,
]  # fmt: skip


@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize("host", PAGES)
def test_identifies_every_shape_of_answer(host: Host, user: str | None) -> None:
    """A page is identified however the host hands it over; its length is right or not given."""
    alone = serve(host, environ_of(user))
    answer = serve(identifying(host), environ_of(user))
    assert answer.error is None
    assert answer.status == alone.status
    assert answer.body == page_of(user)
    assert answer.header("Content-Length") in (None, str(len(answer.body)))
    if user is None:
        assert answer.header("Content-Length") == alone.header("Content-Length")


@pytest.mark.parametrize("host", [*PAGES, started_twice_late, nothing, nothing_yielded])
@pytest.mark.parametrize("user", ["alice", None])
def test_validator_accepts_both_sides(
    host: Host, user: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """`wsgiref.validate` finds nothing wrong: not with what the host sees, nor the server."""
    answer = serve(validator(identifying(validator(host))), environ_of(user))
    assert answer.error is None
    # Without the middleware the validator complains in the same way, or not at all.
    assert answer.status == serve(validator(host), environ_of(user)).status
    gc.collect()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("host", [*PAGES, started_twice_late, nothing, nothing_yielded])
def test_wsgiref_serves_every_shape_as_without_us(host: Host) -> None:
    """The server of the standard library writes the same bytes to the socket, but for `Vary`."""

    def response(app: Host) -> bytes:
        output = BytesIO()
        handler = SimpleHandler(BytesIO(), output, sys.stderr, environ_of())
        handler.origin_server = False
        handler.run(app)
        return output.getvalue()

    head, _, body = response(identifying(host)).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line != b"Vary: Cookie"]
    alone_head, _, alone_body = response(host).partition(b"\r\n\r\n")
    if host is a_sized_iterable:  # wsgiref counts the length of what it knows to be one block
        alone_head = alone_head.replace(b"\r\nContent-Length: %d" % len(PAGE), b"")
    assert sorted(lines) == sorted(alone_head.split(b"\r\n"))
    assert body == alone_body


def test_an_empty_page_starts_once() -> None:
    """A page without a byte of body keeps its status and header fields."""
    for host in (nothing, nothing_yielded):
        answer = serve(identifying(host), environ_of("alice"))
        assert (answer.status, answer.headers, answer.body) == ("200 OK", HTML, b"")


# --- start_response ----------------------------------------------------------------------------


def test_an_error_page_replaces_a_text() -> None:
    """A host that has started a text, and then fails, is answered with its own error page."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(TEXT))
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oops", list(HTML), sys.exc_info())
        return [PAGE]

    for app in (host, started_twice_late):
        answer = serve(identifying(app), environ_of())
        assert answer.status == serve(app, environ_of()).status
        assert answer.header("Content-Type") == HTML[0][1]
        assert answer.body == PAGE
        assert answer.error is None


def test_a_text_replaces_a_page() -> None:
    """A host that has started a page, and then fails, may answer with a text."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oops", list(TEXT), sys.exc_info())
        return [PAGE]

    answer = serve(identifying(host), environ_of("alice"))
    assert (answer.status, answer.headers, answer.body) == ("500 Oops", TEXT, PAGE)


def test_the_servers_raise_of_exc_info_reaches_the_host() -> None:
    """After the headers have left, `start_response` raises the host's own error (PEP 3333)."""
    error = LookupError("the host's")

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        yield b"<p>one</p><script "
        try:
            raise error
        except LookupError:
            start_response("500 Oops", list(HTML), sys.exc_info())

    for user in ("alice", None):
        answer = serve(identifying(host), environ_of(user))
        assert answer.error is error
        assert answer.status == "200 OK"
        assert answer.body == b"<p>one</p><script "


def test_a_host_that_catches_the_servers_raise_loses_no_byte() -> None:
    """Bytes keep their order where the host goes on after a `start_response` that came too late."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        yield b"<p>one</p><script "
        try:
            raise LookupError
        except LookupError:
            try:
                start_response("500 Oops", list(HTML), sys.exc_info())
            except LookupError:
                yield b"data-x></script>sorry"

    assert serve(identifying(host), environ_of("alice")).body == serve(host, environ_of()).body


@pytest.mark.parametrize("second", [HTML, TEXT])
@pytest.mark.parametrize("first", [HTML, TEXT])
def test_a_second_start_is_the_servers_to_refuse(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    """`start_response` twice without `exc_info` is refused by the server, as without us."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(first))
        start_response("201 Created", list(second))
        return [PAGE]

    alone = serve(host, environ_of("alice"))
    answer = serve(identifying(host), environ_of("alice"))
    assert isinstance(alone.error, Refusal)
    assert isinstance(answer.error, Refusal)
    assert answer.error.args == alone.error.args
    assert answer.chunks == alone.chunks == []


def test_a_host_that_never_starts_is_the_servers_to_refuse() -> None:
    """A body without `start_response` is refused by the server, as without us."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return [PAGE]

    def empty(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return []

    def late(environ: Environ, start_response: Any) -> Iterable[bytes]:
        yield PAGE
        start_response("200 OK", list(HTML))

    for app in (host, empty, late):
        alone, answer = serve(app, environ_of()), serve(identifying(app), environ_of())
        assert isinstance(alone.error, Refusal)
        assert isinstance(answer.error, Refusal)
        assert answer.error.args == alone.error.args


def test_start_response_takes_exc_info_by_keyword() -> None:
    """Servers allow `exc_info=`, so hosts rely on it."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML), exc_info=None)
        return [PAGE]

    assert serve(identifying(host), environ_of("alice")).body == page_of("alice")


def test_header_fields_may_be_read_only_once() -> None:
    """Servers read the fields once, so that an iterator of them reaches them whole."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", iter([("X-One", "1"), *TEXT, ("X-Two", "2")]))
        return [b"text"]

    assert serve(identifying(host), environ_of()).headers == serve(host, environ_of()).headers


@pytest.mark.parametrize("status", ["OK", "20x OK", ""])
def test_a_status_that_is_none_is_the_servers_to_refuse(
    status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A malformed status reaches the server, whose message names the host's mistake."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(HTML))
        return [PAGE]

    started: list[Any] = []
    iterable = identifying(host)(environ_of("alice"), lambda *start: started.append(start) or print)
    assert started == [(status, HTML)]
    assert list(iterable) == [PAGE]
    assert caplog.records == []


def raising() -> Any:
    try:
        raise LookupError("the host's")
    except LookupError:
        return sys.exc_info()


@pytest.mark.parametrize("exc_info", [(), (raising(),)], ids=["start", "error"])
@pytest.mark.parametrize("headers", [HTML, TEXT])
def test_a_start_reaches_the_server_as_it_was_given(
    headers: list[tuple[str, str]], exc_info: tuple[Any, ...]
) -> None:
    """With the error that it tells of, or without the argument (PEP 3333)."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("500 Oops", list(headers), *exc_info)
        return [b"<p>Oops</p>"]

    started: list[Any] = []
    identifying(host)(environ_of("alice"), lambda *start: started.append(start) or print)
    assert started == [("500 Oops", headers, *exc_info)]


def test_a_host_that_starts_late_is_not_begun_before_the_server_asks() -> None:
    """Its view runs where it would without us."""
    begun: list[object] = []

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        begun.append(environ)
        start_response("200 OK", list(HTML))
        yield PAGE

    iterable = identifying(host)(environ_of("alice"), lambda *_: print)
    assert begun == []
    assert b"".join(iterable) == page_of("alice")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_write_of_a_page_that_is_left_alone(method: str) -> None:
    """The host gets the server's own `write()`."""
    app = identifying(written, exclude=["/admin"])
    environ = environ_of("alice", PATH_INFO="/admin", REQUEST_METHOD=method)
    assert serve(app, environ).body == PAGE


@pytest.mark.parametrize("shape", [list, tuple, lambda chunks: Sized(*chunks)])
def test_a_body_of_one_item_is_whole(shape: Any) -> None:
    """It is judged before its header fields leave: without the widget they stay as they are."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        chunks: Iterable[bytes] = shape([b"<p>no widget</p>"])
        return chunks

    assert serve(identifying(host), environ_of("alice")).headers == HTML


def test_the_name_of_a_field_in_any_case() -> None:
    """As hosts write it."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("CONTENT-type", "text/HTML")])
        return [PAGE]

    assert serve(identifying(host), environ_of("alice")).body == page_of("alice")


def test_the_server_gets_no_more_than_the_host_gave() -> None:
    """Not even an empty chunk, before what it refuses or before the host's error."""
    got: list[Any] = []

    def yielding(environ: Environ, start_response: Any) -> Iterable[Any]:
        start_response("200 OK", list(HTML))
        yield b"<p>"
        yield "text"

    def writing(environ: Environ, start_response: Any) -> Iterable[Any]:
        write = start_response("200 OK", list(HTML))
        write(b"<p>")
        write("text")
        return []

    def failing(environ: Environ, start_response: Any) -> Iterable[Any]:
        start_response("200 OK", list(HTML))(b"<p>")
        raise LookupError("the host's")

    for user in ("alice", None):
        for host in (yielding, writing):
            got.clear()
            got.extend(identifying(host)(environ_of(user), lambda *_: got.append))
            assert got == [b"<p>", "text"], host.__name__
        got.clear()
        with pytest.raises(LookupError):
            identifying(failing)(environ_of(user), lambda *_: got.append)
        assert got == [b"<p>"]


def test_nothing_before_the_start_is_no_answer_yet() -> None:
    """A server may let empty chunks pass before `start_response` (PEP 3333 speaks of the first)."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        yield b""
        start_response("200 OK", list(HTML))
        yield PAGE

    started: list[Any] = []
    for user in ("alice", None):
        chunks = list(identifying(host)(environ_of(user), lambda *start: started.append(start)))
        assert b"".join(chunks) == page_of(user)
        assert started.pop()[0] == "200 OK"
    assert not started


def test_a_chunk_of_text_is_the_servers_to_refuse(caplog: pytest.LogCaptureFixture) -> None:
    """A host that yields `str` gets the server's own error, not one of ours."""

    def host(environ: Environ, start_response: Any) -> Iterable[Any]:
        start_response("200 OK", list(HTML))
        return ["text"]

    for user in ("alice", None):
        answer = serve(validator(identifying(host)), environ_of(user))
        assert isinstance(answer.error, AssertionError)
        assert "non-bytestring" in str(answer.error)
    assert caplog.records == []


def test_werkzeugs_debugger_shows_its_page() -> None:
    """An error page from inside, after the page has started, comes whole."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        if environ["PATH_INFO"]:
            raise LookupError("the host's")
        yield PAGE

    debugged = DebuggedApplication(host)
    environ = {"wsgi.errors": type("Errors", (), {"write": lambda self, text: None})()}
    alone = serve(debugged, environ_of(**environ))
    answer = serve(identifying(debugged), environ_of(**environ))
    assert type(answer.error) is type(alone.error)
    assert answer.status == alone.status
    assert len(answer.body) == len(alone.body)


# --- Files -------------------------------------------------------------------------------------


def test_a_file_that_is_no_page_keeps_its_file_wrapper() -> None:
    """The server gets the host's own `wsgi.file_wrapper` object, so it can send the file itself."""
    handed: list[Iterable[bytes]] = []

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "image/png")])
        handed.append(environ["wsgi.file_wrapper"](BytesIO(b"\x89PNG")))
        return handed[-1]

    app = identifying(host)
    for environ in (environ_of("alice"), environ_of("alice", HTTP_IF_NONE_MATCH='"1"')):
        assert app(environ, lambda *_: print) is handed[-1]


def test_a_file_that_is_a_page_is_streamed() -> None:
    """A page in a file is identified block by block, and the file is closed once."""
    opened: list[BytesIO] = []

    class File(BytesIO):
        closings = 0

        def close(self) -> None:
            self.closings += 1
            super().close()

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [*HTML, ("Content-Length", str(len(PAGE)))])
        opened.append(File(PAGE))
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened[-1], 16)
        return wrapped

    answer = serve(identifying(host), environ_of("alice"))
    assert answer.body == page_of("alice")
    assert answer.header("Content-Length") is None
    assert len(answer.chunks) > 3
    assert [file.closings for file in opened] == [1]  # type: ignore[attr-defined]
    anonymous = serve(identifying(host), environ_of())
    assert anonymous.chunks == serve(host, environ_of()).chunks


# --- close() -----------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [HTML, TEXT])
@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize(
    ("chunks", "until"),
    [
        pytest.param([PAGE], None, id="whole"),
        pytest.param([PAGE[:HALF], PAGE[HALF:]], None, id="streamed"),
        pytest.param([], None, id="empty"),
        pytest.param([PAGE[:20], PAGE[20:], b"more"], 1, id="left early"),
        pytest.param([LookupError("the host's")], None, id="fails at once"),
        pytest.param([PAGE[:HALF], LookupError("the host's")], None, id="fails in the middle"),
        pytest.param([PAGE, LookupError("the host's")], None, id="fails at the end"),
        pytest.param([b"", LookupError("the host's")], None, id="fails after nothing"),
    ],
)
def test_closes_the_hosts_iterable_once(
    headers: list[tuple[str, str]], chunks: list[Any], until: int | None, user: str | None
) -> None:
    """`close()` of the host is called exactly once, however the answer ends."""
    bodies: list[Body] = []

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(headers))
        bodies.append(Body(*chunks))
        return bodies[-1]

    alone = serve(host, environ_of(user), until=until)
    answer = serve(identifying(host), environ_of(user), until=until)
    assert [body.closed for body in bodies] == [1, 1]
    assert answer.error is alone.error
    if user is None or headers is TEXT:
        assert answer.chunks == alone.chunks
        assert answer.status == alone.status or not alone.headers_sent


def test_an_error_of_close_reaches_the_server() -> None:
    """What the host raises in `close()` is the host's."""

    class Failing(Body):
        def close(self) -> None:
            super().close()
            raise LookupError("the host's")

    body = Failing(PAGE[:HALF], PAGE[HALF:])

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return body

    answer = serve(identifying(host), environ_of("alice"))
    assert answer.body == page_of("alice")
    assert isinstance(answer.error, LookupError)
    assert body.closed == 1


def test_a_generator_that_is_left_early_gets_generator_exit() -> None:
    """A client that leaves ends the host's generator at once, where it stands."""
    events: list[str] = []

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        try:
            while True:
                yield b"<p>tick</p>"
        except GeneratorExit:
            events.append("left")
            raise

    for user in ("alice", None):
        answer = serve(identifying(host), environ_of(user), until=3)
        assert answer.error is None
        assert len(answer.chunks) == 3
    assert events == ["left", "left"]


@pytest.mark.parametrize("parts", [[PAGE[:HALF], PAGE[HALF:]], [b"<p>", b"<script "]])
def test_the_hosts_iterator_is_not_read_behind_its_end(parts: list[bytes]) -> None:
    """The end is asked for once: an iterator over a queue would then block for ever."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return Queue([*parts, None])

    class Queue:
        def __init__(self, parts: list[bytes | None]) -> None:
            self.parts = parts

        def __iter__(self) -> Queue:
            return self

        def __next__(self) -> bytes:
            part = self.parts.pop(0)  # raises where a real queue would block
            if part is None:
                raise StopIteration
            return part

    for user in ("alice", None):
        answer = serve(identifying(host), environ_of(user))
        assert answer.error is None
        assert answer.body == page_of(user, b"".join(parts))


# --- Errors of the host ------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", None])
def test_errors_of_the_host_pass_through(user: str | None) -> None:
    """The same exception object comes out, behind the bytes that came before it."""
    error = LookupError("the host's")
    part = b"<p>one</p><script "  # held back: it may become the widget tag

    def before_start(environ: Environ, start_response: Any) -> Iterable[bytes]:
        raise error

    def after_start(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        raise error

    def after_late_start(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        if environ:
            raise error
        yield b""

    def before_late_start(environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ:
            raise error
        yield b""

    def in_iter(environ: Environ, start_response: Any) -> Iterable[bytes]:
        class Failing:
            def __iter__(self) -> Iterator[bytes]:
                raise error

        start_response("200 OK", list(HTML))
        return Failing()

    def in_body(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        yield part
        raise error

    def after_body(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        yield PAGE[:HALF]
        yield PAGE[HALF:]
        raise error

    def after_write(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))(part)
        raise error

    def in_body_after_write(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))(part)
        return Body(error)

    hosts = [
        before_start, after_start, after_late_start, before_late_start, in_iter, in_body,
        after_body, after_write, in_body_after_write,
    ]  # fmt: skip
    for host in hosts:
        alone = serve(host, environ_of(user))
        answer = serve(identifying(host), environ_of(user))
        assert alone.error is answer.error is error, host.__name__
        expected = page_of(user) if host is after_body else alone.body
        assert answer.body == expected, host.__name__


def test_an_error_is_raised_again_when_the_server_asks_again() -> None:
    """A server that goes on after an error finds it again, not the end of a page."""
    error = LookupError("the host's")

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return Body(b"<p>one</p><script ", error)

    chunks = iter(identifying(host)(environ_of("alice"), lambda *_: print))
    assert next(chunks) + next(chunks) == b"<p>one</p><script "
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            next(chunks)
        assert caught.value is error


def test_a_keyboard_interrupt_passes_at_once() -> None:
    """What is not an `Exception` is not held up, not even by bytes that are held back."""
    body = Body(b"<p>one</p><script ", KeyboardInterrupt())

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return body

    with pytest.raises(KeyboardInterrupt):
        serve(identifying(host), environ_of("alice"))
    assert body.closed == 1

    def at_once(environ: Environ, start_response: Any) -> Iterable[bytes]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(identifying(at_once), environ_of("alice"))


def test_an_error_of_the_server_reaches_whoever_it_would_without_us() -> None:
    """A server that fails to write raises into the host's `write()`, or breaks off the answer."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", list(HTML))
        try:
            write(PAGE)
        except OSError:
            environ["test.caught"] = True
            raise
        return []

    def start_response(*_: Any) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            raise ConnectionResetError

        return write

    environ = environ_of("alice")
    with pytest.raises(ConnectionResetError):
        identifying(host)(environ, start_response)
    assert environ["test.caught"]


def test_a_body_shorter_than_its_length_stays_so() -> None:
    """A body that ends early against its `Content-Length` is the host's, and the server's."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [*HTML, ("Content-Length", "100000")])
        yield b"<p>one</p>"
        yield b"<scr"

    alone, answer = serve(host, environ_of()), serve(identifying(host), environ_of())
    assert answer.body == alone.body
    assert answer.header("Content-Length") == "100000"
    # For a logged-in user the length cannot be known any more when the fields leave.
    answer = serve(identifying(host), environ_of("alice"))
    assert answer.body == alone.body
    assert answer.header("Content-Length") is None


# --- The environment ---------------------------------------------------------------------------


@pytest.mark.parametrize("etag", [{}, {"HTTP_IF_NONE_MATCH": '"1"', "HTTP_ACCEPT": "text/html"}])
def test_layers_outside_see_what_the_host_leaves_in_the_environment(etag: Environ) -> None:
    """What the host puts into the environment is there outside: at the start, and at the end."""
    seen: list[str] = []

    def at_once(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["host.view"] = "tea"
        start_response("200 OK", list(HTML))
        return [PAGE]

    def late(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["host.view"] = "tea"
        start_response("200 OK", list(HTML))
        yield PAGE[:HALF]
        environ["host.done"] = "yes"
        yield PAGE[HALF:]

    def text(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["host.view"] = "tea"
        start_response("200 OK", list(TEXT))
        return [b"text"]

    def failing(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["host.view"] = "tea"
        raise LookupError

    for host in (at_once, late, text, failing):
        environ = environ_of("alice", **etag)

        def outer(environ: Environ, start_response: Any, host: Host = host) -> Iterable[bytes]:
            def noting(*start: Any) -> Any:
                seen.append(environ.get("host.view", ""))
                return start_response(*start)

            return identifying(host)(environ, noting)

        seen.clear()
        serve(outer, environ)
        assert environ["host.view"] == "tea", host.__name__
        assert seen == ([] if host is failing else ["tea"]), host.__name__
        assert ("host.done" in environ) == (host is late)


def test_layers_outside_keep_what_they_wrote_themselves() -> None:
    """What an outer layer notes while the page leaves is not undone."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return iter([PAGE[:HALF], PAGE[HALF:]])

    environ = environ_of("alice", HTTP_IF_NONE_MATCH='"1"', HTTP_ACCEPT="text/html")
    environ["outer.state"] = "waiting"

    def outer(environ: Environ, start_response: Any) -> Iterable[bytes]:
        def noting(*start: Any) -> Any:
            environ["outer.state"] = "started"
            return start_response(*start)

        return identifying(host)(environ, noting)

    assert serve(outer, environ).body == page_of("alice")
    assert environ["outer.state"] == "started"


def test_preconditions_are_hidden_from_the_host_alone() -> None:
    """The host cannot answer 304 from before the log-in; layers outside see the request whole."""
    preconditions = {
        "HTTP_IF_NONE_MATCH": '"1"',
        "HTTP_IF_MODIFIED_SINCE": "Thu, 01 Jan 2026 00:00:00 GMT",
    }
    inside: Environ = {}

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        inside.clear()
        inside.update(environ)
        start_response("200 OK", list(HTML))
        return [PAGE]

    app = identifying(host)
    environ = environ_of("alice", HTTP_ACCEPT="text/html", **preconditions)
    assert serve(app, environ).body == page_of("alice")
    assert preconditions.keys().isdisjoint(inside)
    assert environ.items() >= preconditions.items()
    environ = environ_of("alice", HTTP_ACCEPT="text/html", **preconditions)
    unasked: Any = identifying(a_late_start)(environ, lambda *_: print)
    unasked.close()  # the browser has left before the host began
    assert environ.items() >= preconditions.items()
    for name, value in preconditions.items():
        environ = environ_of("alice", HTTP_ACCEPT="text/html", **{name: value})
        assert serve(app, environ).body == page_of("alice")
        assert name not in inside
        assert environ[name] == value
    serve(app, environ_of("alice", HTTP_ACCEPT="image/png", **preconditions))
    assert inside.items() >= preconditions.items()


def test_preconditions_of_excluded_paths_are_left() -> None:
    """An excluded path is never touched: its pages keep their 304."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("304 Not Modified" if "HTTP_IF_NONE_MATCH" in environ else "200 OK", [])
        return []

    app = identifying(host, exclude=["/admin"])
    variables = {"HTTP_ACCEPT": "text/html", "HTTP_IF_NONE_MATCH": '"1"'}
    for path, status in [("/admin/tea", "304 Not Modified"), ("/administrators", "200 OK")]:
        answer = serve(app, environ_of("alice", PATH_INFO=path, **variables))
        assert answer.status == status


def test_a_host_that_shifts_the_path_is_excluded_by_the_path_of_the_request() -> None:
    """`exclude` means the path as it came, also where applications are mounted inside."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return [PAGE]

    app = identifying(
        DispatcherMiddleware(host, {"/admin": host, "/shop": host}), exclude=["/admin"]
    )
    assert serve(app, environ_of("alice", PATH_INFO="/admin/users")).body == PAGE
    for path in ("/", "/administrators", "/shop/admin", "/shop/admin/users"):
        assert serve(app, environ_of("alice", PATH_INFO=path)).body == page_of("alice"), path


def test_a_head_request_is_one_although_the_host_reads_it_as_get() -> None:
    """Some hosts answer HEAD by their GET view; the length they announce stays right."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["REQUEST_METHOD"] = "GET"
        start_response("200 OK", [*HTML, ("Content-Length", str(len(PAGE)))])
        return []

    answer = serve(identifying(host), environ_of("alice", REQUEST_METHOD="HEAD"))
    assert answer.body == b""
    assert answer.headers == [*HTML, ("Content-Length", str(len(PAGE))), ("Vary", "Cookie")]


def test_an_environment_without_a_path_is_served() -> None:
    """`PATH_INFO` may be missing (PEP 3333), or not be UTF-8."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return [PAGE]

    environ = environ_of("alice")
    del environ["PATH_INFO"]
    assert serve(identifying(host), environ).body == page_of("alice")
    environ = environ_of("alice", PATH_INFO="/caf\xe9")
    assert serve(identifying(host), environ).body == page_of("alice")
    environ = environ_of(PATH_INFO="/caf\u20ac", HTTP_IF_NONE_MATCH='"1"')  # what no server makes
    assert serve(identifying(host), environ).body == PAGE
    environ = environ_of("alice", PATH_INFO="/caf\xc3\xa9/tea")
    assert serve(identifying(host, exclude=["/café"]), environ).body == PAGE


# --- Reading the user --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "email",
    [b"alice@example.com", 5, "", "alice", ["alice@example.com"], {"email": 1}, True],
    ids=repr,
)
def test_what_is_no_email_is_nobody(email: object, caplog: pytest.LogCaptureFixture) -> None:
    """A `get_email` that returns something else leaves the page alone, with one warning."""
    for host in (a_list, a_late_start):
        app = identifying(host, get_email=lambda request: email)
        caplog.clear()
        for _ in range(2):
            answer = serve(app, environ_of("alice"))
            assert answer.body == PAGE
            assert answer.header("Vary") == "Cookie"
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "alice" not in caplog.text


def test_a_get_email_that_raises_is_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The page goes out as it is; the log names the error's type, and nothing of its text."""

    def get_email(request: Request) -> str:
        raise LookupError("no user alice@example.com")

    for host in (a_list, a_late_start):
        app = identifying(host, get_email=get_email)
        caplog.clear()
        for _ in range(2):
            answer = serve(app, environ_of("alice"))
            assert (answer.body, answer.error) == (PAGE, None)
        assert len(caplog.records) == 1
        assert "LookupError" in caplog.text
        assert "alice" not in caplog.text


def test_a_coroutine_for_an_email_is_nobody() -> None:
    """An asynchronous `get_email` in disguise signs nobody, and leaves no coroutine behind."""

    async def query() -> str:
        return EMAILS["alice"]

    for host in (a_list, a_late_start):
        app = identifying(host, get_email=lambda request: query())
        assert serve(app, environ_of("alice")).body == PAGE
    gc.collect()


def test_an_interrupt_while_the_user_is_read_passes() -> None:
    """Only an `Exception` of `get_email` is caught."""

    def get_email(request: Request) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(identifying(a_list, get_email=get_email), environ_of("alice"))


def test_the_user_is_read_once_and_only_for_pages_with_the_widget() -> None:
    """`get_email` is called at most once for an answer, and not at all without need."""
    calls: list[str] = []

    def get_email(request: Request) -> str:
        calls.append(request.path)
        return EMAILS["alice"]

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        start_response("200 OK", list(TEXT if path == "/text" else HTML))
        if path == "/stream":
            return iter([PAGE[:HALF], PAGE[HALF:] + PAGE])
        return [b"<p>no widget</p>"] if path == "/plain" else [PAGE]

    app = identifying(host, get_email=get_email)
    for path in ("/", "/stream", "/plain", "/text"):
        environ = environ_of("alice", PATH_INFO=path)
        serve(app, environ)
        assert "werkzeug.request" not in environ  # a host may look for its own there
    assert calls == ["/", "/stream"]


# --- What the host keeps -----------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [[PAGE], [PAGE[:HALF], PAGE[HALF:]], (PAGE,)], ids=repr)
def test_module_level_parts_are_never_changed(chunks: list[bytes] | tuple[bytes, ...]) -> None:
    """One list of bytes and one of header fields serve everybody, each with their own page."""
    body = chunks.copy() if isinstance(chunks, list) else chunks
    headers = [*HTML, ("Content-Length", str(len(PAGE))), ("ETag", '"1"')]
    before = list(headers)

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return body

    app = identifying(host)
    for user in ("alice", "bob", None, "alice", None):
        answer = serve(app, environ_of(user))
        assert answer.body == page_of(user)
        assert answer.header("ETag") == ('"1"' if user is None else None)
        assert headers == before
        assert body == chunks
        assert all(mine is theirs for mine, theirs in zip(body, chunks, strict=True))


def test_two_layers_write_one_script() -> None:
    """Stacked layers of this middleware agree: the outer one identifies the page, once."""
    for host in (a_list, a_late_start, written_and_returned):
        app = identifying(identifying(host))
        for user in ("alice", None):
            assert serve(app, environ_of(user)).body == page_of(user)
        assert serve(validator(app), environ_of("bob")).body == page_of("bob")


# --- Somebody else's script --------------------------------------------------------------------

STALE = page_of("bob")


@pytest.mark.parametrize("user", ["alice", "bob", None])
def test_a_page_with_another_visitors_script_loses_it(
    user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache inside us may hold an identified page: its script is taken out, with an error."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [*HTML, ("Content-Length", str(len(STALE)))])
        return [STALE]

    answer = serve(identifying(host), environ_of(user))
    assert answer.body == page_of(user)
    assert answer.header("Content-Length") == str(len(answer.body))
    assert answer.header("Cache-Control") == "private, no-store, max-age=0"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "bob" not in caplog.text


@pytest.mark.parametrize("user", ["alice", None])
def test_a_stream_with_another_visitors_script_loses_the_identity(
    user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """However the stream is cut, bob's address and hash never reach another visitor."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        cut = environ["test.cut"]
        start_response("200 OK", [*HTML, ("Content-Length", str(len(STALE)))])
        if cut is None:
            return iter([STALE[i : i + 1] for i in range(len(STALE))])
        return iter([STALE[:cut], STALE[cut:]])

    app = identifying(host)
    identity = f'{{"email":"{EMAILS["bob"]}","hash":"{sign(EMAILS["bob"])}"}}'.encode()
    assert identity in STALE
    blanked = STALE.replace(identity, b" " * len(identity))
    for cut in (None, *range(1, len(STALE))):
        caplog.clear()
        answer = serve(app, environ_of(user) | {"test.cut": cut})
        assert answer.body == page_of(user, blanked), cut
        assert answer.header("Content-Length") in (None, str(len(answer.body)))
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_cache_between_two_layers_keeps_nobodys_page() -> None:
    """A host that caches what an inner layer answers serves each visitor their own page."""
    cache: list[bytes] = []

    def caching(app: Host) -> Host:
        def cached(environ: Environ, start_response: Any) -> Iterable[bytes]:
            if not cache:
                cache.append(b"".join(app(environ, start_response)))
            else:
                start_response("200 OK", list(HTML))
            return [cache[0]]

        return cached

    app = identifying(caching(identifying(a_list)))
    for user in ("bob", "alice", None):
        answer = serve(app, environ_of(user))
        assert answer.body == page_of(user)
    assert MARK not in cache[0]


# --- Streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["alice", None])
def test_a_chunk_leaves_before_the_next_is_asked_for(user: str | None) -> None:
    """A stream stays a stream: what is not ambiguous goes out with its own chunk."""
    parts = [b"<p>one</p>", b"<p>two</p>", TAG, b"<p>three</p>", b"<p>four</p>"]
    events: list[tuple[str, bytes]] = []

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        for part in parts:
            events.append(("host", part))
            yield part

    for chunk in identifying(host)(environ_of(user), lambda *_: print):
        events.append(("server", chunk))
    expected = [page_of(user, part) for part in parts]
    assert events == [
        event
        for part, chunk in zip(parts, expected, strict=True)
        for event in (("host", part), ("server", chunk))
    ]


@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize(
    "chunks",
    [(PAGE[:HALF], PAGE[HALF:]), (b"", PAGE[:HALF], b"", PAGE[HALF:]), (PAGE,), (b"",), ()],
    ids=len,
)
def test_an_answer_starts_before_it_is_returned(
    chunks: tuple[bytes, ...], user: str | None
) -> None:
    """As the host's did: Granian takes status and header fields then, and no later ones."""

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("404 Not Found", list(HTML))
        return iter(chunks)

    started: list[Any] = []
    iterable = identifying(host)(environ_of(user), lambda *start: started.append(start) or print)
    ((status, headers),) = started
    assert status == "404 Not Found"
    assert ("Content-Type", "text/html; charset=utf-8") in headers
    assert (("Cache-Control", NEVER_REUSED) in headers) is (user is not None and any(chunks))
    assert b"".join(iterable) == page_of(user, b"".join(chunks))


def test_an_error_before_the_answer_is_returned_closes_it() -> None:
    """A server cannot close what it was not given."""
    body = Body(LookupError("the host's"))

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        return body

    with pytest.raises(LookupError):
        identifying(host)(environ_of("alice"), lambda *_: print)
    assert body.closed == 1


def test_middleware_does_not_block_iteration() -> None:
    """For each chunk of the host one goes out, an empty one if need be (PEP 3333)."""
    parts = [b"<p>one</p>", b"", b"<script ", b"data-x", b"></script>", b""]
    events: list[str] = []

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        for part in parts:
            events.append("host")
            yield part

    for user in ("alice", None):
        events.clear()
        chunks = []
        for chunk in identifying(host)(environ_of(user), lambda *_: print):
            events.append("server")
            chunks.append(chunk)
        assert b"".join(chunks) == b"".join(parts)
        assert events == ["host", "server"] * len(parts)


@pytest.mark.parametrize("opening", [b"<script ", b"<p>one</p><template ", b"<!-- "])
def test_many_small_chunks_are_no_recursion(opening: bytes) -> None:
    """A hundred thousand bytes, one by one, inside of what may become a tag."""
    size = 100_000

    def host(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HTML))
        yield opening
        for _ in range(size):
            yield b"a"
        yield TAG

    answer = serve(identifying(host), environ_of("alice"))
    assert answer.error is None
    assert answer.body.replace(script_of("alice"), b"") == opening + b"a" * size + TAG


def test_the_server_may_ask_for_the_iterator_again() -> None:
    """Servers and layers outside call `iter()` more than once."""
    iterable = identifying(a_late_start)(environ_of("alice"), lambda *_: print)
    iterator = iter(iter(iterable))
    assert b"".join(iterator) == page_of("alice")
    assert list(iterator) == []
