"""Signing, memory, the import, and what of a stream has to wait."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import tracemalloc
from typing import Any

import jinja2

from benchmarks import sites, subject
from benchmarks.pages import BODY, Page
from benchmarks.report import Row, micro
from benchmarks.timing import Figure, each, figure, side_by_side
from ensoras_middleware import Identity, identity_hash, snippet
from ensoras_middleware.scanner import Scanner

OPEN_STREAMS = 100

_TEMPLATE = """<script>window.EnsorasQueue = window.EnsorasQueue || [];
function Ensoras() { EnsorasQueue.push(arguments); }
Ensoras('identify', {{ identity|tojson }});</script>"""


def signing(rounds: int) -> Row:
    """Return the line about the script, from the e-mail to the element."""
    template = jinja2.Environment(autoescape=True).from_string(_TEMPLATE)

    def ours() -> bytes:
        hash_ = identity_hash(subject.EMAIL, subject.SECRET)
        script = snippet.identify_script(Identity(subject.EMAIL, hash_))
        return snippet.script_element(script, None)

    def with_jinja2() -> bytes:
        hash_ = identity_hash(subject.EMAIL, subject.SECRET)
        return template.render(identity={"email": subject.EMAIL, "hash": hash_}).encode()

    signed = each(identity_hash, subject.EMAIL, subject.SECRET)
    run = side_by_side(
        {"ours": each(ours), "Jinja2": each(with_jinja2), "the hash alone": signed}, rounds=rounds
    )
    beside = {name: micro(run.seconds(name)) for name in ("Jinja2", "the hash alone")}
    value = run.seconds("ours").scaled(1e6)
    return Row("signing and rendering the script", value, "µs", 4, beside=beside)


# Memory ---------------------------------------------------------------------------------------


def memory(page: Page) -> Row:
    """Return the line about what an open stream holds, over the same stream without us."""
    chunk = page.with_tag(BODY)[: 64 * 1024]
    asyncio.run(_held(chunk, 20, ours=True))  # what is made once
    per_stream = [
        asyncio.run(_held(chunk, OPEN_STREAMS, ours=True))
        - asyncio.run(_held(chunk, OPEN_STREAMS, ours=False))
        for _ in range(3)
    ]
    value = figure(per_stream)
    return Row("memory held per open stream (ASGI)", value.scaled(1 / 1024), "KB", 4.2)


async def _held(chunk: bytes, count: int, *, ours: bool) -> float:
    """Return the bytes that each of many streams holds while its host prepares the next chunk."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    # Of each stream its own: as from a real host, a chunk is not in memory when it has left.
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/html; charset=utf-8")],
    }

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": bytes(bytearray(chunk)), "more_body": 1})
        await waiting
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        pass

    app = sites.asgi_ours(host) if ours else host
    scopes = [sites.asgi_scope() for _ in range(count)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.ensure_future(app(scope, sites.receive, send)) for scope in scopes]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    waiting.set_result(None)
    await asyncio.gather(*tasks)
    return held


# Import ---------------------------------------------------------------------------------------

_IMPORT, _BARE = "import ensoras_middleware", "pass"
# What every adapter imports of this project, without its framework.
_WORKING = "import ensoras_middleware.injection, ensoras_middleware.configuration"


def imports(rounds: int) -> list[Row]:
    """Return the lines about imports, each in an interpreter of its own."""
    return [
        _import_row(f"`{_IMPORT}` over a bare interpreter", _IMPORT, rounds, 5),
        _import_row("  … and what every adapter imports of it", _WORKING, rounds),
    ]


def _import_row(what: str, program: str, rounds: int, goal: float | None = None) -> Row:
    traced, walls, cpu = [], [], []
    for _ in range(rounds):
        traced.append(_traced(program) - _traced(_BARE))
        (wall, own), (bare_wall, bare_own) = _started(program), _started(_BARE)
        walls.append(wall - bare_wall)
        cpu.append(own - bare_own)
    return Row(
        what,
        figure(traced).scaled(1e3),
        "ms",
        goal,
        beside={
            "CPU time": f"{figure(cpu).median * 1e3:.1f} ms",
            "on the wall": f"{figure(walls).median * 1e3:.1f} ms",
        },
        details={
            "wall_ms": figure(walls).scaled(1e3).as_json(),
            "slowest": _slowest_imports(program),
        },
    )


def _traced(program: str) -> float:
    return sum(_import_times(program).values()) / 1e6


def _import_times(program: str) -> dict[str, int]:
    """Return the microseconds that each imported module took, without those it imports."""
    lines = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    ).stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines if "|" in line]
    return {name.strip(): int(own) for own, _, name in rows[1:]}


def _slowest_imports(program: str) -> dict[str, int]:
    bare = _import_times(_BARE)
    times = {name: own for name, own in _import_times(program).items() if name not in bare}
    return dict(sorted(times.items(), key=lambda one: -one[1])[:20])


def _started(program: str) -> tuple[float, float]:
    """Return how long a process took: on the wall, and of the CPU."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return wall, usage.ru_utime + usage.ru_stime


# Streams --------------------------------------------------------------------------------------


def streams(pages: list[Page]) -> list[Row]:
    """Return the lines about what of a chunk does not leave with it."""
    held, late = 0, 0
    for page in pages:
        body = page.with_tag(BODY)
        for size in (64 * 1024, 4096, 1000 if len(body) > 20_000 else 1):
            longest, wrongly = _waiting(body, size)
            held, late = max(held, longest), late + wrongly
    return [
        Row(
            "chunks of streams held back though no widget tag begins in them",
            Figure(late, late, late), "chunks", 0.5,
            beside={"longest that was held": f"{held} bytes"},
        ),
        _single_bytes(pages),
    ]  # fmt: skip


def _waiting(body: bytes, size: int) -> tuple[int, int]:
    """Return the most that waited for the next chunk, and how often what waited was no tag."""
    injection = subject.injection()
    injection.user_is(subject.EMAIL)
    injection.start_stream()
    given, gone, longest, wrongly = 0, 0, 0, 0
    for at in range(0, len(body), size):
        chunk = body[at : at + size]
        left = injection.feed(chunk)
        given, gone = given + len(chunk), gone + len(left)
        if gone > given:  # the script has left
            break
        rest = body[gone:given]
        longest = max(longest, len(rest))
        may_be_tag = b"<script"[: len(rest)] == rest[:7].lower() and b">" not in rest
        wrongly += bool(rest) and not may_be_tag
    return longest, wrongly


def _single_bytes(pages: list[Page]) -> Row:
    body = min(pages, key=lambda page: abs(len(page.text) - 50_000)).with_tag(BODY)[:20_000]
    chunks = [body[at : at + 1] for at in range(len(body))]

    def scanned() -> None:
        scanner = Scanner(subject.WIDGET.address)
        for chunk in chunks:
            scanner.feed(chunk)

    def all_in() -> None:
        injection = subject.injection()
        injection.user_is(subject.EMAIL)
        injection.start_stream()
        for chunk in chunks:
            injection.feed(chunk)

    run = side_by_side({"scanner": each(scanned), "all in": each(all_in)}, rounds=9)
    per_chunk = 1e6 / len(chunks)
    return Row(
        "1-byte chunks: scanner, per chunk",
        run.seconds("scanner").scaled(per_chunk),
        "µs",
        1,
        beside={"all in": f"{run.seconds('all in').median * per_chunk:.2f} µs"},
    )
