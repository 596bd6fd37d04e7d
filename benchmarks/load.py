"""A small HTTP client that asks for one page over and over, on a few connections kept open."""

from __future__ import annotations

import asyncio
import re
import time

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


# Fewer answers than these say nothing about a rate.
FEWEST_ANSWERS = 20


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = 0
        self.failed: str | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self._missing = 0  # bytes of the answer that are still to come
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            data = self._head + data
            head, end, body = data.partition(b"\r\n\r\n")
            if not end:
                self._head = data
                return
            self._head = b""
            length = _LENGTH.search(head)
            if b" 200 " not in head[:16] or length is None:
                self.stop(head.partition(b"\r\n")[0].decode("latin-1"))
                return
            self._missing, data = int(length[1]), body
        self._missing -= len(data)
        if self._missing == 0 and self._transport is not None:
            self.answers += 1
            self._transport.write(self.request)

    def stop(self, failed: str | None = None) -> None:
        self.failed = failed
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)


async def requests_per_second(
    port: int, fields: dict[str, str], seconds: float, connections: int
) -> tuple[float, int]:
    """Return how many answers came in a second, and in all.

    Raises `RuntimeError` where an answer is not a page.
    """
    lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{''.join(lines)}\r\n".encode()
    loop = asyncio.get_running_loop()
    open_ones = [
        (await loop.create_connection(lambda: _Connection(request), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    start = time.perf_counter()
    while True:
        await asyncio.sleep(seconds)
        answers, took = sum(one.answers for one in open_ones), time.perf_counter() - start
        failures = {one.failed for one in open_ones if one.failed}
        # On a busy machine a server may not get its turn for a second.
        if failures or answers >= FEWEST_ANSWERS or took > 60 * seconds:
            break
    for one in open_ones:
        one.stop(one.failed)
    await asyncio.gather(*(one.closed for one in open_ones))
    if failures or not answers:
        raise RuntimeError(f"the server did not answer with the page: {failures}")
    return answers / took, answers
