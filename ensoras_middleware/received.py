"""What a test client received, whichever framework's it is. Imports none of them."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from typing import Any, NamedTuple


class Received(NamedTuple):
    """A status, header fields by their lower-case names, and a body."""

    body: bytes
    status: int | None = None
    fields: dict[str, str] | None = None  # where there is more than a body


def received(response: Any) -> Received:
    """Return a response of a test client, or a page as `bytes` or `str`, without its framework.

    Raises `TypeError` where the body cannot be had.
    """
    __tracebackhide__ = True
    if isinstance(response, str):
        return Received(response.encode("utf-8", "replace"))
    if isinstance(response, bytes):
        return Received(response)
    body = _stream(response) if getattr(response, "streaming", False) is True else _body(response)
    fields: dict[str, str] = {}
    for name, value in response.headers.items():
        lower = name.lower()
        fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
    return Received(body, response.status_code, fields)


def _body(response: Any) -> bytes:
    """Return `content` (Django, httpx, requests), `data` (Flask) or `body` (WebTest)."""
    __tracebackhide__ = True
    for name in ("content", "data", "body"):
        body = getattr(response, name, None)
        if isinstance(body, bytes):
            return body
        if inspect.iscoroutine(body):
            body.close()
    raise TypeError(
        f"{type(response).__name__} is no response with a body that can be read here: pass the "
        "response of a test client, or the page as bytes or str."
    )


def _stream(response: Any) -> bytes:
    """Read a Django stream, and leave it there for the test."""
    __tracebackhide__ = True
    if response.is_async and _in_event_loop():
        raise TypeError(
            "This response is an asynchronous stream, which only the test itself can read. Before "
            "it passes it: response.streaming_content = [chunk async for chunk in response]"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "StreamingHttpResponse must consume asynchronous")
        chunks = list(response)
    response.streaming_content = chunks
    return b"".join(chunks)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
