"""Raw HTTP/1.1 over one connection, as strictly as h11 is; requests may be pipelined."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

import h11
from servers import PATIENCE

# The receive buffer of a client that stalls, so that the server soon feels it.
NARROW = 4096


@dataclass(frozen=True)
class Ask:
    """A request of a user, or of nobody."""

    path: str
    user: int | None = None
    cookie: str | None = None
    method: str = "GET"

    @property
    def breaks_off(self) -> bool:
        """Tell whether the host breaks off in the middle of its answer."""
        return "/breaks/" in self.path

    def sent_with(self, parser: h11.Connection) -> bytes:
        fields = [("Host", "localhost"), ("Accept", "text/html")]
        fields += [("Cookie", self.cookie)] if self.cookie else []
        request = h11.Request(method=self.method, target=self.path, headers=fields)
        return (parser.send(request) or b"") + (parser.send(h11.EndOfMessage()) or b"")


@dataclass
class Reply:
    """What came of a response."""

    status: int = 0  # until its head has come
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    malformed: str = ""

    def value(self, name: str) -> str | None:
        values = [value for one, value in self.fields if one == name]
        return ", ".join(values) if values else None


class Connection:
    """One connection: `send` requests, then take a `reply` for each, in their order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._rest = b""  # of what has come, behind the last reply
        self.is_open = True

    @classmethod
    async def to(cls, address: tuple[str, int], *, narrow: bool = False) -> Connection:
        sock = socket.socket()
        sock.setblocking(False)
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        limit = NARROW if narrow else 2**18
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    async def send(self, *asks: Ask, pieces: int = 1, share: float = 1) -> None:
        """Send requests at once, or in pieces with pauses between them, or a share of them only."""
        data = b"".join([ask.sent_with(h11.Connection(h11.CLIENT)) for ask in asks])
        data = data[: int(len(data) * share)]
        size = len(data) // pieces + 1
        try:
            for start in range(0, len(data), size):
                self._writer.write(data[start : start + size])
                await self._writer.drain()
                await asyncio.sleep(0 if pieces == 1 else 0.02)
        except ConnectionError:
            self.is_open = False  # the reply will show it

    async def reply(
        self, ask: Ask, *, until: int | None = None, stall: tuple[int, float] | None = None
    ) -> Reply:
        """Return the reply to a request; incomplete where it broke off.

        Read no more than `until` some bytes of its body have come; `stall` at so many bytes for so
        many seconds.
        """
        parser, reply = h11.Connection(h11.CLIENT), Reply()
        ask.sent_with(parser)
        if self._rest:
            parser.receive_data(self._rest)
        self._rest = b""
        ended = False
        try:
            while not reply.complete and (until is None or len(reply.body) < until):
                if stall is not None and len(reply.body) >= stall[0]:
                    await asyncio.sleep(stall[1])
                    stall = None
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    data = await asyncio.wait_for(self._reader.read(65536), PATIENCE)
                    ended = ended or not data
                    parser.receive_data(data)
                elif isinstance(event, h11.ConnectionClosed):
                    break
                else:
                    _take(reply, event)
        except ConnectionError:
            pass
        except h11.RemoteProtocolError as error:
            reply.malformed = "" if ended else str(error)
        except TimeoutError:
            reply.malformed = "nothing came any more"
        if reply.complete:
            self._rest = parser.trailing_data[0]
        self.is_open = reply.complete and parser.their_state is h11.DONE
        return reply

    async def leave(self, *, rudely: bool = False) -> bytes:
        """Close the connection, or reset it; return what has come behind the last reply."""
        if rudely:  # a reset instead of an end
            linger = struct.pack("ii", 1, 0)
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        return self._rest


def _take(reply: Reply, event: object) -> None:
    if isinstance(event, h11.Response):
        reply.status = event.status_code
        reply.fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
    elif isinstance(event, h11.Data):
        reply.body += event.data
    elif isinstance(event, h11.EndOfMessage):
        reply.complete = True
