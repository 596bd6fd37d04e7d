"""The middleware for every WSGI application.

    app = EnsorasMiddleware(app, slug="acme", secret="…", get_email=email_of)

Source: PEP 3333.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

from werkzeug.wrappers import Request as WerkzeugRequest

from ensoras_middleware.caching import asks_for_page
from ensoras_middleware.eligibility import Request, is_html
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.injection import Injection
from ensoras_middleware.log import logger
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.widget import (
    Options,
    Widget,
    require_sync,
    widget_from_keywords,
)

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# In an environment: the layer of this middleware that is responsible for the response.
RESPONSIBLE = "ensoras_middleware.layer"

PRECONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


class EnsorasMiddleware:
    """Identifies the logged-in user on every page of `app` that carries the widget tag.

    The options are those of the table in the README. `get_email` is required: it takes a
    `werkzeug.wrappers.Request` and returns the e-mail of the authenticated user, or `None`.

    Raises `ConfigurationError` where an option is missing or cannot work.
    """

    def __init__(self, app: WSGIApplication, **options: Unpack[Options]) -> None:
        self.app = app
        self._widget = widget_from_keywords(options)
        if self._widget is not None:
            if self._widget.get_email is None:
                raise ConfigurationError(
                    "ENSORAS_GET_EMAIL (keyword `get_email`) is missing: WSGI knows no user, so "
                    "give a function that takes a werkzeug Request and returns the logged-in "
                    "user's e-mail, or None."
                )
            require_sync(self._widget.get_email)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request as `app` does."""
        if self._widget is None or environ.setdefault(RESPONSIBLE, self) is not self:
            return self.app(environ, start_response)
        inner = without_preconditions(environ)
        response = _Response(self._widget, environ, inner, start_response)
        iterable = self.app(inner, response.start_response)
        response.share()
        return response.answer(iterable)


class _Response:
    """The answer to one request: what the host starts, writes and yields."""

    __slots__ = (
        "_environ", "_error", "_injection", "_inner", "_iterable", "_iterator", "_passing",
        "_server_start", "_server_write", "_start", "_widget",
    )  # fmt: skip

    def __init__(
        self,
        widget: Widget,
        environ: WSGIEnvironment,
        inner: WSGIEnvironment,
        server_start: StartResponse,
    ) -> None:
        self._widget = widget
        self._environ = environ
        self._inner = inner
        self._server_start = server_start
        self._server_write: Callable[[bytes], object] | None = None
        self._passing = False  # the rest goes out as it comes
        self._start: tuple[str, OptExcInfo | None] | None = None  # held until there is a body
        self._injection: Injection | None = None
        self._iterable: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())
        self._error: Exception | None = None  # the host's, behind what it had sent before

    # What the host calls --------------------------------------------------------------------

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: OptExcInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        if self._start is not None and exc_info is None:
            self._send_start()  # a second start: the server's to refuse
        if self._server_write is not None or not (_may_be_page(headers) or self._widget.debug):
            self._passing, self._start = True, None
            self.share()
            logger.debug("%s", Outcome.NOT_HTML.value)
            return self._server_start(status, headers, *_given(exc_info))
        request = request_of(self._environ)
        self._injection = Injection(self._widget, request, int(status[:3]), list(headers))
        self._start = (status, exc_info)
        if self._injection.outcome is not None:
            return self._pass_on()
        return self._write

    def _write(self, data: bytes) -> None:
        assert self._injection is not None
        if self._server_write is None:
            self._start_stream(self._injection)
        assert self._server_write is not None
        self._server_write(data if self._passing else self._injection.feed(data))

    # What the server gets -------------------------------------------------------------------

    def answer(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server iterates over, in place of what the host returned."""
        if self._passing:
            return iterable
        self._iterable = iterable
        if type(iterable) in (list, tuple) and self._start is not None and _is_single(iterable):
            (body,) = iterable
            changed = self._whole(body)
            return iterable if changed is body else [changed]
        return self

    def __iter__(self) -> Iterator[bytes]:
        self._iterator = iter(self._iterable)
        return self

    def __next__(self) -> bytes:
        if self._error is not None:
            raise self._error
        while not self._passing:
            try:
                chunk = next(self._iterator)
            except StopIteration:
                data = self._end()
            except Exception as error:  # what was held back belongs before it
                self._error = error
                data = b"" if self._injection is None else self._injection.finish()
                if not data:
                    raise
            else:
                data = self._take(chunk)
            if data:
                return data
        return next(self._iterator)

    def _take(self, chunk: bytes) -> bytes:
        if self._injection is None:
            self._passing = True  # there is no start yet: the server's to refuse
        if self._passing or not chunk:
            return chunk
        assert self._injection is not None
        if self._start is not None:
            if _is_single(self._iterable) or self._injection.is_whole(len(chunk)):
                return self._whole(chunk)
            self._start_stream(self._injection)
        return self._injection.feed(chunk)

    def _end(self) -> bytes:
        if self._start is not None:
            self._whole(b"")
        self._passing = True
        return b"" if self._injection is None else self._injection.finish()

    def close(self) -> None:
        """Close what the host returned."""
        self.share()
        iterable, self._iterable = self._iterable, ()
        close = getattr(iterable, "close", None)
        if close is not None:
            close()

    # Decisions ------------------------------------------------------------------------------

    def _whole(self, body: bytes) -> bytes:
        injection = self._injection
        assert injection is not None
        if injection.names_widget(body):
            body = injection.whole(body, self._email(injection))
        self._pass_on()
        return body

    def _start_stream(self, injection: Injection) -> None:
        injection.start_stream(self._email(injection))
        self._send_start()

    def _pass_on(self) -> Callable[[bytes], object]:
        self._passing = True
        return self._send_start()

    def _send_start(self) -> Callable[[bytes], object]:
        assert self._start is not None
        assert self._injection is not None
        (status, exc_info), self._start = self._start, None
        self.share()
        fields = list(self._injection.fields)
        self._server_write = self._server_start(status, fields, *_given(exc_info))
        return self._server_write

    def _email(self, injection: Injection) -> object:
        assert self._widget.get_email is not None
        with injection.reading_user():
            return self._widget.get_email(WerkzeugRequest(self._inner, populate_request=False))
        return None

    def share(self) -> None:
        """Let the layers outside see what the host has put into its environment."""
        if self._inner is not self._environ:
            for key, value in self._inner.items():
                self._environ[key] = value


def request_of(environ: WSGIEnvironment) -> Request:
    """Return the core's view of a WSGI request."""

    def header(name: str) -> str | None:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
    return Request(environ["REQUEST_METHOD"], path, header)


def without_preconditions(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Return the environment that the host gets: a copy where preconditions are taken out."""
    if not any(key in environ for key in PRECONDITIONS):
        return environ
    request = request_of(environ)
    if not asks_for_page(request.method, request.path, request.header):
        return environ
    return {key: value for key, value in environ.items() if key not in PRECONDITIONS}


def _may_be_page(headers: list[tuple[str, str]]) -> bool:
    return any(name.lower() == "content-type" and is_html(value) for name, value in headers)


def _given(exc_info: OptExcInfo | None) -> tuple[Any, ...]:
    return () if exc_info is None else (exc_info,)


def _is_single(iterable: Any) -> bool:
    return hasattr(iterable, "__len__") and len(iterable) == 1
