"""What stands in for our middleware, or around it, where a test must be seen to go red.

The undoing ones put the host's header fields back in place of ours. The mutating ones identify
pages as ours does, but in the host's own objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from adapters import TAG, Headers, identify_script

# Of a page that its site takes to be the same for everybody.
STORABLE: Headers = [("Cache-Control", "public, max-age=600"), ("ETag", '"1"')]

_OURS = ("cache-control", "x-accel-expires", "vary", "etag")


def undone(fields: Iterable[tuple[str, str]]) -> Headers:
    return [*((name, value) for name, value in fields if name.lower() not in _OURS), *STORABLE]


def undoing_wsgi(app: Any) -> Any:
    def outermost(environ: Any, start_response: Any) -> Any:
        return app(environ, lambda status, fields: start_response(status, undone(fields)))

    return outermost


def undoing_asgi(app: Any) -> Any:
    async def outermost(scope: Any, receive: Any, send: Any) -> None:
        async def undo(message: Any) -> None:
            if message["type"] == "http.response.start":
                fields = [(name.decode(), value.decode()) for name, value in message["headers"]]
                headers = [(name.lower().encode(), v.encode()) for name, v in undone(fields)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, undo)

    return outermost


class UndoingDjango:
    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response.headers = type(response.headers)(dict(undone(response.headers.items())))
        return response


# Mutating -----------------------------------------------------------------------------------


def _identified(body: bytes, email: str) -> bytes:
    return body.replace(TAG, identify_script(email) + TAG)


def mutating_wsgi(app: Any, *, get_email: Callable[[Any], str | None], **options: Any) -> Any:
    from werkzeug.wrappers import Request

    def outermost(environ: Any, start_response: Any) -> Any:
        body = app(environ, start_response)
        email = get_email(Request(environ))
        if email and isinstance(body, list):
            body[:] = [_identified(part, email) for part in body]
        return body

    return outermost


def mutating_asgi(app: Any, *, get_email: Callable[[Any], str | None], **options: Any) -> Any:
    from starlette.requests import HTTPConnection

    async def outermost(scope: Any, receive: Any, send: Any) -> None:
        email = get_email(HTTPConnection(scope))

        async def change(message: Any) -> None:
            if email and message.get("body"):
                message["body"] = _identified(message["body"], email)
            await send(message)

        await app(scope, receive, change)

    return outermost


def mutating_flask(app: Any, get_email: Callable[[], str | None]) -> None:
    def change(response: Any) -> Any:
        if email := get_email():
            response.set_data(_identified(response.get_data(), email))
        return response

    app.after_request(change)


class MutatingDjango:
    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        from django.conf import settings

        response = self.get_response(request)
        if email := settings.ENSORAS_GET_EMAIL(request):
            response.content = _identified(response.content, email)
        return response
