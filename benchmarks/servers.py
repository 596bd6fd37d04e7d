"""Real servers: the example shops with this project and without it, side by side.

Both servers of a pair stand ready; they are asked in turns, so that a busy machine slows both. A
page of 50 KB, drawn from its template for a customer who is logged in, as the shop draws it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.load import requests_per_second
from benchmarks.report import TIMES, Row, short
from benchmarks.subject import EMAIL, SECRET, SLUG
from benchmarks.timing import Figure, figure
from examples import shop

ROOT = Path(__file__).parent.parent

SERVERS = {
    "uvicorn, Starlette": "uvicorn --port {port} --log-level warning --no-access-log --factory "
    "benchmarks.served:starlette_app",
    "gunicorn, Flask": "gunicorn -k gthread --threads 2 -b 127.0.0.1:{port} --no-control-socket "
    "--log-level warning --keep-alive 60 benchmarks.served:flask_app()",
    "gunicorn, Django": "gunicorn -k gthread --threads 2 -b 127.0.0.1:{port} --no-control-socket "
    "--log-level warning --keep-alive 60 benchmarks.served:django_app()",
}
CONNECTIONS = 2
WITH, WITHOUT = "with", "without"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and the request fields of a customer who is logged in."""

    port: int
    process: subprocess.Popen[bytes]
    fields: dict[str, str]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server and its workers."""
        processes = [self.process.pid, *_children(self.process.pid)]
        ticks = 0
        for process in processes:
            words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])  # utime and stime: proc(5)
        return ticks / os.sysconf("SC_CLK_TCK")


def _children(process: int) -> list[int]:
    names = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for name in names for child in name.read_text().split()]


@contextmanager
def running(command: str, *, ours: bool) -> Iterator[Server]:
    """Run one server with a folder of its own, and log in."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "ENSORAS_WIDGET_SLUG": SLUG,
            "ENSORAS_WIDGET_SECRET": SECRET,
            "EXAMPLE_DATA_DIR": folder,
            "EXAMPLE_SECRET_KEY": "k" * 50,
            **({} if ours else {"BENCHMARK_WITHOUT": "1"}),
        }
        if "django" in command:
            prepare = [sys.executable, "-m", "examples.django_shop.prepare"]
            subprocess.run(prepare, cwd=ROOT, env=environment, check=True, capture_output=True)
        words = [sys.executable, "-m", *command.format(port=port).split()]
        process = subprocess.Popen(words, cwd=ROOT, env=environment)
        try:
            yield Server(port, process, _logged_in(f"http://127.0.0.1:{port}", process, ours))
        finally:
            process.terminate()
            process.wait(10)


def _logged_in(url: str, process: subprocess.Popen[bytes], ours: bool) -> dict[str, str]:
    with httpx.Client(base_url=url, headers={"Accept": "text/html"}) as client:
        page = _first_page(client, process)
        form = {"username": EMAIL, "password": shop.DEMO_PASSWORD}
        if "csrfmiddlewaretoken" in page.text:
            form["csrfmiddlewaretoken"] = page.text.split('middlewaretoken" value="')[1][:64]
        client.post("/login", data=form, headers={"Referer": url})
        page = client.get("/")
        identified = "Ensoras identity" in page.text
        if "Hello, Alice" not in page.text or identified is not ours:
            raise RuntimeError(f"not the page of a customer: {page.text[:1000]}")
        if not 45_000 < len(page.content) < 75_000:
            raise RuntimeError(f"not a page of 50 KB: {len(page.content)} bytes")
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return {"Accept": "text/html", "Cookie": cookies, "Sec-Fetch-Dest": "document"}


def _first_page(client: httpx.Client, process: subprocess.Popen[bytes]) -> httpx.Response:
    for _ in range(300):
        try:
            return client.get("/login")
        except httpx.TransportError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError("the server did not start")


def rows(rounds: int, seconds: float) -> list[Row]:
    """Return two lines for each server: by the clock, and by the CPU time it took itself."""
    return [
        row for name, command in SERVERS.items() for row in _pair(name, command, rounds, seconds)
    ]


def _pair(name: str, command: str, rounds: int, seconds: float) -> list[Row]:
    rates: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    answers = {WITH: 0, WITHOUT: 0}
    with ExitStack() as stack:
        servers = {
            one: stack.enter_context(running(command, ours=one == WITH)) for one in (WITH, WITHOUT)
        }
        for server in servers.values():  # warm
            asyncio.run(requests_per_second(server.port, server.fields, 0.5, CONNECTIONS))
        cpu = {one: -server.cpu_seconds() for one, server in servers.items()}
        for turn in range(rounds):
            for one in (WITH, WITHOUT) if turn % 2 else (WITHOUT, WITH):
                server = servers[one]
                rate, count = asyncio.run(
                    requests_per_second(server.port, server.fields, seconds, CONNECTIONS)
                )
                rates[one].append(rate)
                answers[one] += count
        for one, server in servers.items():
            cpu[one] += server.cpu_seconds()
    per_request = {one: cpu[one] / answers[one] for one in servers}
    share = per_request[WITHOUT] / per_request[WITH]
    return [
        Row(
            f"requests per second with us / without: {name}",
            figure([a / b for a, b in zip(rates[WITH], rates[WITHOUT], strict=True)]),
            TIMES,
            0.98,
            at_least=True,
            beside={one: f"{short(figure(rates[one]).median)}/s" for one in servers},
            details={"rates": rates},
        ),
        Row(
            "  … by the CPU time that the server took",
            Figure(share, share, share),
            TIMES,
            0.98,
            at_least=True,
            beside={one: f"{short(per_request[one] * 1e6)} µs" for one in servers},
        ),
    ]
