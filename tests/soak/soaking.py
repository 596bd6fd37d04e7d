"""Soaks one server: rounds of load, and after each of them quiet, in which nothing may be left."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from servers import PATIENCE, Site, running_site

from soak import figures, memory
from soak.client import Ask, Connection
from soak.judging import LEFT_OPEN, LOGGED, Judge
from soak.pages import SLUG, secret_number
from soak.visits import Visitors

CLIENTS = 10
ROTATIONS = 5  # of the secret, in a round
# The servers with their sites.
SITES = (
    ("gunicorn-gthread", "flask"),
    ("gunicorn-gthread", "django"),
    ("waitress", "plain"),
    ("granian-wsgi", "plain"),
    ("granian-wsgi", "django"),
    ("uvicorn-h11", "starlette"),
    ("uvicorn-httptools", "django_async"),
    ("hypercorn", "starlette"),
    ("granian-asgi", "starlette"),
    ("granian-asgi", "django_async"),
)
_OPTIONS = {"gunicorn-gthread": "-w 2", "hypercorn": "--keep-alive 1"}
_PROCESSES = {"gunicorn-gthread": 2}
_RESTART_ON_HUP = {"gunicorn-gthread"}
# With us and without, once in ten thousand times: what was sent just before an exception.
_LOSES_ENDS = {"granian-asgi"}

# The host's own errors may be logged; these may not.
_NEVER_LOGGED = re.compile(
    r"never awaited|@[Ss]oak\.example|[0-9a-f]{64}|secret \d{4}|Ensoras middleware|ENSORAS_"
)


@dataclass
class Soak:
    """One server under load, and what was seen of it."""

    site: Site
    judge: Judge
    visitors: Visitors
    random: Random
    at_rest: Counter[str] = field(default_factory=Counter)  # what ends with the server
    samples: list[memory.Sample] = field(default_factory=list)
    seconds: float = 0

    async def begin(self) -> None:
        """Let all users log in."""
        await self.visitors.log_in()
        for worker in (await self._figures()).values():
            self.at_rest = Counter(worker["alive"])

    async def round(self, seconds: float, disturb: Callable[[], None], *, times: int) -> None:
        """Put the server under load, disturb it so many times, and look when all have gone."""
        start = time.monotonic()

        async def client(random: Random) -> None:
            while time.monotonic() < start + seconds:
                await self.visitors.visit(random)

        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(client(Random(self.random.random())))
            for _ in range(times):
                await asyncio.sleep(seconds / (times + 1))
                disturb()
        self.seconds += time.monotonic() - start
        await self._look()

    def rotate(self) -> None:
        """Let the file have a new secret."""
        self.judge.secret += 1
        write_secret(self.site.files, self.judge.secret)

    def restart(self) -> None:
        """Let the server replace its workers."""
        self.visitors.may_refuse = True
        self.site.process.send_signal(signal.SIGHUP)

    def read_log(self) -> None:
        """Look for what must not be logged."""
        for line in self.site.log.splitlines():
            if found := _NEVER_LOGGED.search(line):
                self.judge.note(LOGGED, f"{found.start()} characters into {line[:20]!r}…")

    async def _look(self) -> None:
        """Wait until nothing is left of the load, and see what the workers hold."""
        deadline, pause = time.monotonic() + PATIENCE, 0.05
        while True:
            connections = memory.connections_of(self.site.address[1])
            workers = await self._figures()
            left = [one for worker in workers.values() for one in self._left_in(worker)]
            left += [f"{connections} connections"] if connections else []
            if not left or time.monotonic() > deadline:
                break
            # Longer and longer, for hypercorn closes what a client has left, these ones too, when
            # it has been idle for its keep-alive timeout.
            await asyncio.sleep(pause)
            pause *= 2
        for one in left:
            self.judge.note(LEFT_OPEN, one)
        traced = {process: one["traced"] for process, one in workers.items()}
        self.samples.append(memory.sample(self.judge.counts["answers"], traced))

    def _left_in(self, worker: Any) -> list[str]:
        alive = Counter(worker["alive"]) - self.at_rest
        left = [f"{count} {name}" for name, count in alive.items()]
        return left + [f"{worker[one]} streams {one}" for one in ("open", "twice") if worker[one]]

    async def _figures(self) -> dict[int, Any]:
        """Return what each worker says of itself."""
        workers: dict[int, Any] = {}
        deadline = time.monotonic() + PATIENCE
        while len(workers) < _PROCESSES.get(self.site.server, 1):
            assert time.monotonic() < deadline, f"only {len(workers)} workers; {self.site.log}"
            ask, connection = Ask(figures.PATH), await Connection.to(self.site.address)
            await connection.send(ask)
            one = json.loads((await connection.reply(ask)).body)
            await connection.leave()
            workers[one["process"]] = one
        return workers


def write_secret(files: Path, number: int) -> None:
    files.joinpath("new").write_text(secret_number(number))
    files.joinpath("new").replace(files / "secret")


async def soak(
    server: str, app: str, files: Path, *, rounds: int, seconds: float, enabled: bool = True
) -> Soak:
    """Soak one server with one site, in so many rounds of so many seconds."""
    write_secret(files, 0)
    environment = {
        "ENSORAS_WIDGET_SLUG": SLUG,
        "ENSORAS_WIDGET_SECRET_FILE": str(files / "secret"),
        "SOAK_ENABLED": "yes" if enabled else "",
    }
    options = _OPTIONS.get(server, "").split()
    with running_site(server, f"soak.sites:{app}_site", files, *options, **environment) as site:
        judge = Judge(enabled=enabled, loses_ends=server in _LOSES_ENDS)
        running = Soak(site, judge, Visitors(site, judge), Random(server + app))
        await running.begin()
        for _ in range(rounds):
            await running.round(seconds, running.rotate, times=ROTATIONS)
        if server in _RESTART_ON_HUP:
            await running.round(seconds, running.restart, times=1)
            after = running.samples.pop()
            if after.traced.keys() & running.samples[-1].traced.keys():
                judge.note(LEFT_OPEN, "a worker from before the restart")
        running.read_log()
    return running
