"""The middleware for every WSGI application.

    app = EnsorasMiddleware(app, slug="acme", secret="…", get_email=email_of)

Source: PEP 3333.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Unpack

from werkzeug.wrappers import Request as WerkzeugRequest

from ensoras_middleware.configuration import require_arguments, require_sync, widget_from_keywords
from ensoras_middleware.eligibility import Request, is_html
from ensoras_middleware.endpoint import IdentityResponse
from ensoras_middleware.environ import (
    RESPONSIBLE,
    has_preconditions,
    header_of,
    hide_preconditions,
    show_preconditions,
)
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.injection import Injection
from ensoras_middleware.log import is_debugging
from ensoras_middleware.options import Options
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.signing import Signing
from ensoras_middleware.widget import Widget

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


_NOTHING: Iterator[bytes] = iter(())


class EnsorasMiddleware:
    """Identifies the logged-in user on every page of `app` that carries the widget tag.

    The options are those of `ensoras_middleware.options.Options`. `get_email` is required: it takes
    a `werkzeug.wrappers.Request` and returns the e-mail of the authenticated user, or `None`.

    Raises `ConfigurationError` where an option is missing or cannot work.
    """

    def __init__(self, app: WSGIApplication, **options: Unpack[Options]) -> None:
        self.app = app
        try:
            self._widget = widget_from_keywords(options)
        finally:
            del options  # with the secret: error trackers show the variables of an error's frames
        if self._widget is not None:
            if self._widget.get_email is None:
                raise ConfigurationError(
                    "ENSORAS_GET_EMAIL (keyword `get_email`) is missing: WSGI knows no user, so "
                    "give a function that takes a werkzeug Request and returns the logged-in "
                    "user's e-mail, or None."
                )
            require_sync(self._widget.get_email)
            require_arguments(self._widget.get_email, takes_request=True)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request as `app` does."""
        if self._widget is None or environ.setdefault(RESPONSIBLE, self) is not self:
            return self.app(environ, start_response)
        if self._widget.identity_path == environ.get("PATH_INFO", ""):
            return _identity(self._widget, environ, start_response)
        response = _Response(self._widget, environ, start_response)
        try:
            iterable = self.app(environ, response.start_response)
        except Exception:
            response.break_off()
            raise
        except BaseException:  # such as a time-out of gevent: nothing more is written
            show_preconditions(environ)
            raise
        return iterable if response.passing else response.answer(iterable)


class _Response:
    """The answer to one request: what the host starts, writes and yields."""

    __slots__ = (
        "_environ", "_error", "_first", "_hides_preconditions", "_injection", "_iterable",
        "_iterator", "_method", "_path", "_server_start", "_server_write", "_start", "_widget",
        "passing",
    )  # fmt: skip

    def __init__(
        self, widget: Widget, environ: WSGIEnvironment, server_start: StartResponse
    ) -> None:
        self._widget = widget
        self._environ = environ
        # Now, since a host may shift its path.
        self._method, self._path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        self._hides_preconditions = has_preconditions(environ) and hide_preconditions(
            widget, self._request(), environ
        )
        self._server_start = server_start
        self._server_write: Callable[[bytes], object] | None = None  # set once it has started
        self.passing = False  # the rest goes out as it comes
        self._start: tuple[str, OptExcInfo | None] | None = None  # held until there is a body
        self._injection: Injection | None = None
        self._iterable: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = _NOTHING
        self._first: list[bytes] = []  # what it gave before the server asked
        self._error: Exception | None = None  # the host's, behind what it had sent before

    # What the host calls --------------------------------------------------------------------

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: OptExcInfo | None = None,
    ) -> Callable[[bytes], object]:
        """Take the start of the host's answer; a page's is held until its body is known."""
        if self._hides_preconditions:
            show_preconditions(self._environ)
        if self._start is not None and exc_info is None:
            self._send_start()  # a second start: the server's to refuse
        if self._server_write is not None:
            return self._server_start(status, headers, *_given(exc_info))
        if not self._is_looked_at(headers):
            return self._pass_start(status, headers, exc_info)
        try:
            code = int(status[:3]) if status[:3].isdecimal() else 0
            self._injection = Injection(self._widget, self._request(), code, list(headers))
        except Exception as error:  # and so is what is no start
            self._widget.warn_of_fault(error)
            return self._pass_start(status, headers, exc_info)
        self._start = (status, exc_info)
        return self._write if self._injection.outcome is None else self._pass_on()

    def _is_looked_at(self, headers: list[tuple[str, str]]) -> bool:
        if not isinstance(headers, list):
            return False
        try:
            if _is_html(headers):
                return True
        except Exception as error:  # what are no header fields is the server's to refuse
            self._widget.warn_of_fault(error)
            return False
        return (self._widget.wants_every_outcome or is_debugging()) and self._is_untold()

    def _pass_start(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None
    ) -> Callable[[bytes], object]:
        self.passing, self._start = True, None
        if exc_info is None:
            write = self._server_start(status, headers)
        else:
            write = self._server_start(status, headers, exc_info)
        self._server_write = write
        return write

    def _write(self, data: bytes) -> None:
        assert self._injection is not None
        if not self.passing and not isinstance(data, bytes):
            held = self._leave(self._injection)
            if held:
                self._server_write(held)
        elif self._server_write is None:
            self._start_stream(self._injection)
        assert self._server_write is not None
        try:
            self._server_write(data if self.passing else self._injection.feed(data))
        except BaseException:
            self._injection.finish()  # what is held of this chunk is lost with the rest of it
            raise

    def _leave(self, injection: Injection) -> bytes:
        """Let the rest pass, for the server to refuse it; return what is held back before it."""
        if self._start is not None:
            injection.leave(Outcome.ERROR)
            self._send_start()
        self.passing = True
        return injection.finish()

    # What the server gets -------------------------------------------------------------------

    def answer(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server iterates over, in place of what the host returned."""
        self._iterable = iterable
        if (
            type(iterable) in (list, tuple)
            and self._injection
            and self._start
            and _is_single(iterable)
        ):
            (body,) = iterable
            if isinstance(body, bytes):
                changed = self._whole(self._injection, body)
                return iterable if changed is body else [changed]
        if self._start is not None:
            # Start the answer before it is returned, as the host has: Granian looks no later.
            try:
                self._first = list(islice(self, 1))
            except BaseException:
                self.close()  # the server does not get what it would have to close
                raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        if self._iterator is _NOTHING:
            try:
                self._iterator = iter(self._iterable)
            except Exception as error:  # what was held back belongs before it
                self._iterator = map(_raise, [error])
        return self

    def __next__(self) -> bytes:
        if self._first:
            return self._first.pop()
        if self._error is not None:
            raise self._error
        while not self.passing:
            try:
                data = self._take(next(self._iterator))
            except StopIteration:
                self._iterator = _NOTHING
                data = self._end()
                if not data:
                    raise
            except Exception as error:  # what was held back belongs before it
                self._error = error
                data = b"" if self._injection is None else self._injection.finish()
                if not data:
                    raise
            # One value for each of the host's, so that nothing waits for the next one; but none
            # before the start.
            if self._start is None or data:
                return data
        return next(self._iterator)

    def _take(self, chunk: bytes) -> bytes:
        if self._injection is None or self.passing:  # without a start: the server's to refuse
            return chunk
        if not isinstance(chunk, bytes):
            held = self._leave(self._injection)
            if not held:
                return chunk
            self._iterator = chain([chunk], self._iterator)
            return held
        if not chunk:
            return chunk
        if self._start is not None:
            if _is_single(self._iterable) or self._injection.is_whole(len(chunk)):
                return self._whole(self._injection, chunk)
            self._start_stream(self._injection)
        return self._injection.feed(chunk)

    def _end(self) -> bytes:
        if self._start is not None and self._injection is not None:
            self._whole(self._injection, b"")
        return b"" if self._injection is None else self._injection.finish()

    def close(self) -> None:
        """Close what the host returned."""
        iterable, self._iterable = self._iterable, ()
        close = getattr(iterable, "close", None)
        try:
            show_preconditions(self._environ)
        finally:
            if close is not None:
                close()

    def break_off(self) -> None:
        """Write what is held of what the host had written, now that it will not go on."""
        show_preconditions(self._environ)
        held = b"" if self._injection is None else self._injection.finish()
        if held and self._server_write is not None:
            with contextlib.suppress(Exception):  # the host's own error is the one to tell
                self._server_write(held)

    # Decisions ------------------------------------------------------------------------------

    def _whole(self, injection: Injection, body: bytes) -> bytes:
        if injection.names_widget(body):
            self._read_user(injection)
            body = injection.whole(body)
        self._pass_on()
        return body

    def _start_stream(self, injection: Injection) -> None:
        self._read_user(injection)
        injection.start_stream()
        self._send_start()

    def _pass_on(self) -> Callable[[bytes], object]:
        self.passing = True
        return self._send_start()

    def _send_start(self) -> Callable[[bytes], object]:
        assert self._start is not None
        assert self._injection is not None
        (status, exc_info), self._start = self._start, None
        fields = list(self._injection.fields)
        self._server_write = self._server_start(status, fields, *_given(exc_info))
        return self._server_write

    def _is_untold(self) -> bool:
        return self._environ.get(RESPONSIBLE, self) is not None

    def _request(self) -> Request:
        return _request(self._method, self._path, self._environ)

    def _read_user(self, injection: Injection) -> None:
        _read_user(self._widget, self._environ, injection)


def _identity(
    widget: Widget, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer as the identity endpoint."""
    response = IdentityResponse(widget, request_of(environ), environ.get("QUERY_STRING", ""))
    if response.outcome is None:
        _read_user(widget, environ, response)
        response.give()
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", response.fields)
    return [response.body]


def _read_user(widget: Widget, environ: WSGIEnvironment, signing: Signing) -> None:
    assert widget.get_email is not None
    try:
        signing.user_is(widget.get_email(WerkzeugRequest(environ, populate_request=False)))
    except Exception as error:
        signing.user_failed(error)


def request_of(environ: WSGIEnvironment) -> Request:
    """Return the core's view of a WSGI request."""
    return _request(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ)


def _request(method: str, path: str, environ: WSGIEnvironment) -> Request:
    if not path.isascii():
        path = path.encode("latin-1", "replace").decode("utf-8", "replace")
    return Request(method, path, header_of(environ))


def _is_html(headers: list[tuple[str, str]]) -> bool:
    for name, value in headers:
        if name == "Content-Type" or name.lower() == "content-type":
            return is_html(value)
    return False


def _raise(error: Exception) -> bytes:
    raise error


def _given(exc_info: OptExcInfo | None) -> tuple[Any, ...]:
    return () if exc_info is None else (exc_info,)


def _is_single(iterable: Any) -> bool:
    try:
        return len(iterable) == 1
    except Exception:  # a stream
        return False
