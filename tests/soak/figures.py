"""What a worker tells of its memory, of our objects in it, and of the streams of its host.

The site answers `/figures` outside of this middleware, so that asking leaves no trace.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from soak.pages import Page

PATH = "/figures"
PAUSE = 0.005  # seconds between the chunks of a slow stream

_PACKAGES = ("ensoras_middleware", "flask_ensoras", "django_ensoras")
_OF_ONE_REQUEST = {"_Response", "Injection", "Scanner", "IdentityBlanker"}
_CODE: dict[type, str] = {
    GeneratorType: "gi_code",
    AsyncGeneratorType: "ag_code",
    CoroutineType: "cr_code",
}


class Streams:
    """How many of the host's streams are open, and how many were closed twice."""

    open = twice = 0


class Blocking:
    """A stream of a WSGI host, which the server must close once."""

    def __init__(self, page: Page) -> None:
        Streams.open += 1
        self._chunks = self._paused(page)
        self._closed = False

    def _paused(self, page: Page) -> Iterator[bytes]:
        for chunk in page.chunks():
            yield chunk
            if page.manner == "slow":
                time.sleep(PAUSE)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        if self._closed:
            Streams.twice += 1
        else:
            Streams.open -= 1
        self._closed = True


async def waiting(page: Page) -> AsyncIterator[bytes]:
    """Yield the stream of an ASGI host, which the server must leave."""
    Streams.open += 1
    try:
        for chunk in page.chunks():
            yield chunk
            await asyncio.sleep(PAUSE if page.manner == "slow" else 0)
    finally:
        Streams.open -= 1


# --- The endpoint ----------------------------------------------------------------------------


def _figures() -> bytes:
    gc.collect()
    figures = {
        "process": os.getpid(),
        "traced": tracemalloc.get_traced_memory()[0],
        "alive": dict(Counter(_of_one_request(gc.get_objects()))),
        "open": Streams.open,
        "twice": Streams.twice,
    }
    return json.dumps(figures).encode()


def _of_one_request(objects: Iterable[Any]) -> Iterator[str]:
    """Yield the names of our objects, and of our functions that have not ended."""
    for one in objects:
        kind = type(one)
        if kind.__name__ in _OF_ONE_REQUEST and kind.__module__.startswith(_PACKAGES):
            yield f"{kind.__module__}.{kind.__name__}"
        elif kind in _CODE:
            code = getattr(one, _CODE[kind])
            if any(f"/{package}/" in code.co_filename for package in _PACKAGES):
                yield code.co_qualname


def measured_wsgi(app: Any) -> Any:
    """Answer `/figures`, and everything else as `app` does."""
    tracemalloc.start()

    def measured(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return app(environ, start_response)  # type: ignore[no-any-return]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [_figures()]

    return measured


def measured_asgi(app: Any) -> Any:
    """Answer `/figures`, and everything else as `app` does."""
    tracemalloc.start()

    async def measured(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
            return
        fields = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": _figures()})

    return measured
