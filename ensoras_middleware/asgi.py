"""The middleware for Starlette, FastAPI and every other ASGI application.

Put it outermost, with compression alone outside of it:

    app.add_middleware(EnsorasMiddleware, slug="acme", secret="…")

Source: the ASGI specification, HTTP & WebSocket message format, version 2.5.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Unpack

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensoras_middleware.caching import Fields
from ensoras_middleware.configuration import require_arguments, widget_from_keywords
from ensoras_middleware.eligibility import Request, hides_preconditions, is_html
from ensoras_middleware.endpoint import IdentityResponse
from ensoras_middleware.environ import RESPONSIBLE, SWITCHED_OFF
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.injection import Injection
from ensoras_middleware.log import is_debugging
from ensoras_middleware.options import Options
from ensoras_middleware.order import FirstCall
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.scope import path_of, read_user, request_of
from ensoras_middleware.widget import Widget

# Extensions by which the server sends a file that never passes here as bytes.
_FILES = ("http.response.pathsend", "http.response.zerocopysend")

# Behind the responsible layer in its list: the identity endpoint has told its outcome.
_TOLD = "told"

_PRECONDITIONS = frozenset([b"if-none-match", b"if-modified-since"])
_NAME = itemgetter(0)  # of a header field

_Headers = Sequence[tuple[bytes, bytes]]


class EnsorasMiddleware:
    """Identifies the logged-in user on every page of `app` that carries the widget tag.

    The options are those of `ensoras_middleware.options.Options`. `get_email` takes a
    `starlette.requests.HTTPConnection` and returns the e-mail or `None`, plainly or as an
    awaitable; by default it is that of `scope["user"]`, where `is_authenticated` is true.

    Raises `ConfigurationError` where an option cannot work. Starlette builds its middleware when
    the first call comes, too late to stop a server that way: there the error is reported as
    `lifespan.startup.failed`, and raised for every request.
    """

    def __init__(self, app: ASGIApp, **options: Unpack[Options]) -> None:
        self._widget: Widget | None = None  # before the first request, too
        self.app: ASGIApp
        try:
            widget = widget_from_keywords(options)
            _require_email(widget)
        except ConfigurationError as error:
            del options  # with the secret: error trackers show the variables of an error's frames
            if sys._getframe(1).f_code.co_name != "build_middleware_stack":
                raise
            self.app = partial(_fail, error)
        else:
            off = partial(_pass_by, app)
            self.app = off if widget is None else FirstCall(app, widget, self._begin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection as `app` does; only `http` responses are looked at."""
        widget = self._widget
        if (
            widget is None
            or scope["type"] != "http"
            or scope.setdefault(RESPONSIBLE, [self])[0] is not self
        ):
            await self.app(scope, receive, send)
            return
        if widget.identity_path is not None and _is_identity_path(widget, scope):
            await (await _identity(widget, scope))(scope, receive, send)
            return
        response = _Response(widget, scope, send)
        try:
            await self.app(scope, receive, response)
        except Exception:
            await response.break_off()
            raise
        finally:
            if response.hidden is not None:
                response.show_preconditions()
        if not response.passing:
            await response.flush()

    def _begin(self, app: ASGIApp, widget: Widget) -> ASGIApp:
        self.app, self._widget = app, widget
        return self


class _Response:
    """The `send` of one request: passes messages on, changed where a page is identified."""

    __slots__ = (
        "_behind", "_fields", "_headers", "_injection", "_method", "_path", "_root", "_scope",
        "_send", "_start", "_widget", "hidden", "passing",
    )  # fmt: skip

    def __init__(self, widget: Widget, scope: Scope, send: Send) -> None:
        self._widget = widget
        self._scope = scope
        # Now, since a host may shift its path.
        self._method: str = scope["method"]
        self._path: str = scope["path"]
        self._root: str = scope.get("root_path", "")
        # The header fields of the request, and those that the host does not see.
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.hidden: list[tuple[bytes, bytes]] | None = None
        self._send = send
        self.passing = False  # the rest goes out as it comes
        self._start: Message | None = None  # held until the first of the body is there
        self._behind: list[Message] | None = None  # what came behind it, other than a body
        self._fields: Fields = []  # of the start, as text
        self._injection: Injection | None = None
        if not _PRECONDITIONS.isdisjoint(map(_NAME, self._headers)):
            self._hide_preconditions()

    # A plain function would save a coroutine, but asgiref's bridges warn of such a `send`.
    async def __call__(self, message: Message) -> None:
        if self.passing:
            await self._send(message)
            return
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "http.response.start":
            if self.hidden is not None:
                self.show_preconditions()
            headers = message.get("headers", ())
            if hasattr(headers, "__next__"):  # may be read only once
                headers = list(headers)
                message = {**message, "headers": headers}
            if self._is_looked_at(headers):
                await self._take_start(message, headers)
            else:
                if self._injection is not None:
                    await self.flush()
                self.passing = True
                await self._send(message)
        elif kind == "http.response.body" and self._injection is not None:
            await self._take_body(self._injection, message)
        elif kind in _FILES or not isinstance(kind, str):
            await self._leave(message, Outcome.PATHSEND if kind in _FILES else Outcome.ERROR)
        elif self._start is not None:
            self._behind = [*(self._behind or ()), message]
        else:
            await self._send(message)

    async def break_off(self) -> None:
        """Send what is held, for the host's error must find what the host had sent before it."""
        with contextlib.suppress(Exception):
            await self.flush()

    def _is_looked_at(self, headers: _Headers) -> bool:
        try:
            if _is_html(headers):
                return True
        except Exception as error:  # what are no header fields is the server's to refuse
            self._widget.warn_of_fault(error)
            return False
        return (self._widget.wants_every_outcome or is_debugging()) and self._is_untold()

    async def _take_start(self, message: Message, headers: _Headers) -> None:
        if self._injection is not None:
            await self.flush()  # a second start is the server's to refuse
        try:
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
            injection = Injection(self._widget, self._request(), message["status"], fields)
        except Exception as error:  # and so is what is no start
            self._widget.warn_of_fault(error)
            self.passing = True
            await self._send(message)
            return
        self._start, self._fields, self._injection = message, fields, injection
        if injection.outcome is not None:
            self.passing = True
            await self._send_start()

    async def _take_body(self, injection: Injection, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if not isinstance(body, (bytes, bytearray, memoryview)):
            await self._leave(message, Outcome.ERROR)
            return
        body = bytes(body)
        if self._start is None:
            await self._send_of_stream(injection, message, body)
        elif not more or injection.is_whole(len(body)):
            if injection.names_widget(body):
                await self._read_user(injection)
                body = injection.whole(body)
                message = {**message, "body": body}
            self.passing = True
            await self._send_start()
            await self._send(message)
        elif body:
            await self._read_user(injection)
            injection.start_stream()
            await self._send_start()
            await self._send_of_stream(injection, message, body)

    async def _leave(self, message: Message, outcome: Outcome) -> None:
        """Send what is held, then this, and the rest as it comes."""
        if self._start is not None and self._injection is not None:
            self._injection.leave(outcome)
        await self.flush()
        self.passing = True
        await self._send(message)

    async def _send_of_stream(self, injection: Injection, message: Message, body: bytes) -> None:
        more = message.get("more_body", False)
        body = injection.feed(body) + (b"" if more else injection.finish())
        if body or not more:
            try:
                await self._send({**message, "body": body})
            except BaseException:
                injection.finish()  # what is held of this chunk is lost with the rest of it
                raise

    async def _send_start(self) -> None:
        message, self._start = self._start, None
        if message is not None and self._injection is not None:
            await self._send(_with_fields(message, self._fields, self._injection.fields))
        behind, self._behind = self._behind, None
        for other in behind or ():
            await self._send(other)

    async def flush(self) -> None:
        """Send what is held, now that the host will not go on with it."""
        await self._send_start()
        held = b"" if self._injection is None else self._injection.finish()
        if held:
            await self._send({"type": "http.response.body", "body": held, "more_body": True})

    def _hide_preconditions(self) -> None:
        """Take from the scope the preconditions that the host must not see."""
        if hides_preconditions(self._widget, self._request()):
            self.hidden = [one for one in self._headers if one[0] in _PRECONDITIONS]
            self._scope["headers"] = _without_preconditions(self._headers)

    def show_preconditions(self) -> None:
        """Show the request as it came, to the layers outside and from now on to all."""
        assert self.hidden is not None
        shown = self._scope["headers"]  # and perhaps changed by the host
        untouched = shown == _without_preconditions(self._headers)
        self._scope["headers"] = self._headers if untouched else [*shown, *self.hidden]
        self.hidden = None

    def _is_untold(self) -> bool:
        return _TOLD not in self._scope.get(RESPONSIBLE, ())

    def _request(self) -> Request:
        return request_of(self._method, path_of(self._path, self._root), self._headers)

    async def _read_user(self, injection: Injection) -> None:
        await read_user(self._scope, self._widget, injection)


async def identity_endpoint(request: StarletteRequest) -> Response:
    """Answer as the identity endpoint, for the widget of the layer around it.

        routes = [Route("/ensoras/identity", identity_endpoint), ...]

    Raises `ConfigurationError` where no `EnsorasMiddleware` is around it.
    """
    layer, *_ = marks = request.scope.get(RESPONSIBLE, [None])
    if not isinstance(layer, EnsorasMiddleware) or layer._widget is None:
        if SWITCHED_OFF in request.scope:
            return Response(status_code=404)
        raise ConfigurationError(
            "identity_endpoint has no EnsorasMiddleware around it: add the middleware to the same "
            "application, or to one around it."
        )
    marks.append(_TOLD)
    return await _identity(layer._widget, request.scope)


async def _identity(widget: Widget, scope: Scope) -> Response:
    request = request_of(scope["method"], scope["path"], scope["headers"])
    response = IdentityResponse(widget, request, scope.get("query_string", b"").decode("latin-1"))
    if response.outcome is None:
        await read_user(scope, widget, response)
        response.give()
    return Response(response.body, response.status, dict(response.fields))


def _require_email(widget: Widget | None) -> None:
    if widget is None:
        return
    require_arguments(widget.get_email, takes_request=True)
    if widget.identity_path is not None and widget.get_email is None:
        raise ConfigurationError(
            "ENSORAS_IDENTITY_PATH (keyword `identity_path`) needs `get_email` under ASGI: this "
            "middleware is around the one that reads the user. Give `get_email`, or take the "
            'option away and add Route("/ensoras/identity", identity_endpoint) to your routes.'
        )


def _is_identity_path(widget: Widget, scope: Scope) -> bool:
    return widget.identity_path == path_of(scope["path"], scope.get("root_path", ""))


def _without_preconditions(headers: _Headers) -> list[tuple[bytes, bytes]]:
    return [one for one in headers if one[0] not in _PRECONDITIONS]


def _is_html(headers: _Headers) -> bool:
    for name, value in headers:
        if name == b"content-type" or name.lower() == b"content-type":
            return is_html(value.decode("latin-1"))
    return False


def _with_fields(message: Message, host_fields: Fields, fields: Fields) -> Message:
    """Return the start with these fields; those of the host keep their bytes."""
    if fields is host_fields:
        return message
    host_headers = dict(zip(host_fields, message.get("headers", ()), strict=True))
    headers = [
        host_headers.get(field) or (field[0].lower().encode("latin-1"), field[1].encode("latin-1"))
        for field in fields
    ]
    return {**message, "headers": headers}


async def _pass_by(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as `app` does: everything is switched off."""
    scope[SWITCHED_OFF] = True
    await app(scope, receive, send)


async def _fail(error: ConfigurationError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        raise ConfigurationError(str(error))  # its own, without the frames of other requests
    await receive()  # lifespan.startup
    await send({"type": "lifespan.startup.failed", "message": str(error)})
