"""What keeps other sites, and other machines, away from a server that shows a secret."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK_HOST = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Tell whether a `Host` field value, with or without a port, names this machine."""
    return _LOOPBACK_HOST.fullmatch(host) is not None


class LoopbackHostMiddleware:
    """Answers only requests for a loopback host name.

    Against DNS rebinding: a site whose name suddenly resolves to 127.0.0.1 is same-origin with
    us in the eyes of the browser, but its name still stands in the `Host` field.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for this machine, answer 400 to the rest."""
        app = self.app
        if scope["type"] == "http" and not is_loopback(Request(scope).headers.get("host", "")):
            app = PlainTextResponse("The sandbox answers to loopback host names only.\n", 400)
        await app(scope, receive, send)


def refuse_cross_site(request: Request) -> None:
    """Raise a 403 for what another origin, another port of this machine too, made a browser send.

    A request with neither `Sec-Fetch-Site` nor `Origin` comes from no browser: curl, a test.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers['host']}"
    if site not in (None, "same-origin") or origin not in (None, own):
        raise HTTPException(403, "Rotate the secret from the sandbox's own dashboard.")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, or raise a 413 as soon as it exceeds `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"The body is larger than {limit} bytes.")
    return bytes(body)
