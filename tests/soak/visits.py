"""What clients do and ask for; each visit has a connection of its own."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from servers import Site

from soak.client import Ask, Connection
from soak.judging import BROKEN_OFF, WRONG, Judge
from soak.pages import KINDS, LOGIN, LONG, RAISES, SIZES, START_TAG, USERS

# How often each is asked for, beside the others.
_SIZES = dict(zip(SIZES, (4, 4, 6, 4, 1), strict=True))
_MANNERS = {"whole": 6, "stream": 4, "slow": 1, "breaks": 1}
_CUTS = (0, 1, 8, 33, 60, len(START_TAG) - 1)
_NOBODY, _HEADS, _RAISES = 0.25, 0.2, 0.02


class Visitors:
    """The users of one site, and how their clients behave."""

    def __init__(self, site: Site, judge: Judge) -> None:
        self.judge = judge
        self.may_refuse = False  # a connection, while the server starts anew
        self._address = site.address
        self._cookies: list[str] = []

    async def log_in(self) -> None:
        """Let every user get a cookie of their own."""
        for user in USERS:
            ask = Ask(f"{LOGIN}{user}")
            connection = await Connection.to(self._address)
            await connection.send(ask)
            reply = await connection.reply(ask)
            await connection.leave()
            assert reply.status == 200, reply
            self._cookies.append((reply.value("set-cookie") or "").partition(";")[0])

    async def visit(self, random: Random) -> None:
        """Do one of the things that clients do."""
        visits = (self._browse, self._pipeline, self._dawdle, self._stall, self._leave)
        (visit,) = random.choices(visits, (8, 3, 1, 1, 3))
        try:
            await visit(random)
        except ConnectionError as error:
            if not self.may_refuse:
                self.judge.note(BROKEN_OFF, repr(error))

    # What clients do ------------------------------------------------------------------------

    async def _browse(self, random: Random) -> None:
        """Several users ask over one connection, one after the other."""
        connection = await Connection.to(self._address)
        for turn in range(random.randint(1, 8)):
            await self._ask(connection, self._some_ask(random), is_first=turn == 0)
            if not connection.is_open:
                break
        await self._end(connection)

    async def _pipeline(self, random: Random) -> None:
        """Several users ask over one connection, all at once."""
        connection, since = await Connection.to(self._address), self.judge.secret
        *asks, last = [self._some_ask(random) for _ in range(random.randint(3, 6))]
        # Where a server closes before it has read all, what it sent may be lost (RFC 9112, 9.6).
        asks = [*(ask for ask in asks if not ask.breaks_off), last]
        await connection.send(*asks)
        for turn, ask in enumerate(asks):
            await self._take(connection, ask, since, is_first=turn == 0)
            if not connection.is_open:
                break
            self.judge.counts["pipelined"] += turn > 0
        await self._end(connection)

    async def _dawdle(self, random: Random) -> None:
        """The request comes in small pieces."""
        connection = await Connection.to(self._address)
        await self._ask(connection, self._some_ask(random), pieces=random.randint(2, 12))
        await self._end(connection)

    async def _stall(self, random: Random) -> None:
        """The client reads a little, waits, and reads the rest."""
        connection = await Connection.to(self._address, narrow=True)
        ask = self._some_ask(random, size=random.choice([60_000, 1_000_000]))
        await self._ask(connection, ask, stall=(random.randint(0, 20_000), random.random()))
        self.judge.counts["stalled"] += 1
        await self._end(connection)

    async def _leave(self, random: Random) -> None:
        """The client leaves in the middle of the response, or of the request."""
        connection = await Connection.to(self._address, narrow=True)
        ask, since = self._some_ask(random), self.judge.secret
        if random.random() < 0.5:
            ask = replace(ask, path=f"/page/stream/{LONG}/0")
        if random.random() < 0.2:
            await connection.send(ask, share=random.random())
        else:
            await connection.send(ask)
            until = random.choice([0, 1, 1000, 50_000])
            await self._take(connection, ask, since, until=until)
        self.judge.counts["left"] += 1
        await connection.leave(rudely=random.random() < 0.5)

    # Asking ---------------------------------------------------------------------------------

    def _some_ask(self, random: Random, size: int | None = None) -> Ask:
        """Return what somebody asks for, logged in or not."""
        user = None if random.random() < _NOBODY else random.choice(USERS)
        cookie = None if user is None else self._cookies[user]
        if random.random() < _RAISES:
            return Ask(RAISES, user, cookie)
        kind = random.choice([*KINDS])
        (manner,) = random.choices([*_MANNERS], [*_MANNERS.values()])
        if size is None:
            (size,) = random.choices([*_SIZES], [*_SIZES.values()])
        cut = 0 if manner == "whole" else random.choice(_CUTS)
        # Not of streams: waitress ends them with a chunk all the same.
        method = "HEAD" if manner == "whole" and random.random() < _HEADS else "GET"
        return Ask(f"/{kind}/{manner}/{size}/{cut}", user, cookie, method)

    async def _ask(
        self, connection: Connection, ask: Ask, *, pieces: int = 1, **options: Any
    ) -> None:
        since = self.judge.secret
        await connection.send(ask, pieces=pieces)
        await self._take(connection, ask, since, **options)

    async def _take(
        self,
        connection: Connection,
        ask: Ask,
        since: int,
        *,
        is_first: bool = True,
        until: int | None = None,
        stall: tuple[int, float] | None = None,
    ) -> None:
        reply = await connection.reply(ask, until=until, stall=stall)
        # A server may close a connection when it has answered, though more was asked.
        unanswered = not reply.status and not reply.malformed and (not is_first or self.may_refuse)
        self.judge.judge(ask, reply, since, left=until is not None or unanswered)

    async def _end(self, connection: Connection) -> None:
        if behind := await connection.leave():
            self.judge.note(WRONG, f"{len(behind)} bytes behind the last answer")
