"""A site whose secrets change in every way there is, for real servers to serve.

Below `/WAY` it has the secret that is changed in that way. `/WAY/whole` is a whole page,
`/WAY/stream` a stream, and `/WAY/slow` one that waits in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters import ALICE, PAGE, SLUG, TAG

from ensoras_middleware import secret_from_file

POLICY = "script-src https://app.ensoras.com"
FIELDS = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
CUT = PAGE.index(TAG) + 20  # inside of the widget tag
PATIENCE = 30  # seconds until something that hangs is given up

# Where a site finds its secrets, and is told to go on with a stream.
FILES = Path(os.environ.get("ENSORAS_TEST_FILES", "."))


def secret_number(number: int) -> str:
    return f"secret {number:04} of the widget"


# --- Ways to change a secret -----------------------------------------------------------------

Between = Callable[[], None]


def replaced(file: Path, secret: str, between: Between) -> None:
    file.with_name("new").write_text(secret)
    file.with_name("new").replace(file)


def rewritten(file: Path, secret: str, between: Between) -> None:
    file.write_text(secret)


def truncated_then_filled(file: Path, secret: str, between: Between) -> None:
    with file.open("w") as opened:
        between()
        opened.write(secret)


def created_again(file: Path, secret: str, between: Between) -> None:
    file.unlink()
    between()
    file.write_text(secret)


def swapped_by_kubernetes(file: Path, secret: str, between: Between) -> None:
    """As its `AtomicWriter` does: a new directory, to which the link `..data` goes over."""
    old = file.with_name("..data").resolve()
    new = file.with_name(f"..{secret[7:11]}")
    new.mkdir()
    (new / "secret").write_text(secret)
    file.with_name("..data_tmp").symlink_to(new.name)
    file.with_name("..data_tmp").replace(file.with_name("..data"))
    shutil.rmtree(old)


def in_a_table(file: Path, secret: str, between: Between) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE brand SET secret = ?", [secret])


WAYS = {
    "replaced": replaced,
    "rewritten": rewritten,
    "truncated": truncated_then_filled,
    "created-again": created_again,
    "kubernetes": swapped_by_kubernetes,
    "table": in_a_table,
}
# With these there is nothing in between, so nothing to warn of.
AT_ONCE = {"replaced", "kubernetes", "table"}


def prepare(files: Path) -> None:
    """Lay down the first secret for every way."""
    for way in WAYS:
        (files / way).mkdir()
        (files / way / "secret").write_text(secret_number(0))
    mounted = files / "kubernetes"
    (mounted / "..first").mkdir()
    (mounted / "secret").rename(mounted / "..first" / "secret")
    (mounted / "..data").symlink_to("..first")
    (mounted / "secret").symlink_to("..data/secret")
    (files / "table" / "secret").unlink()
    with contextlib.closing(sqlite3.connect(files / "table" / "secret")) as database, database:
        database.execute("CREATE TABLE brand (slug TEXT PRIMARY KEY, secret TEXT)")
        database.execute("INSERT INTO brand VALUES (?, ?)", [SLUG, secret_number(0)])


# --- The site, for both kinds of server ------------------------------------------------------


def from_table(slug: str) -> str | None:
    with contextlib.closing(sqlite3.connect(FILES / "table" / "secret")) as database:
        query = "SELECT secret FROM brand WHERE slug = ?"
        (secret,) = database.execute(query, [slug]).fetchone() or [None]
        return secret


def options(way: str) -> dict[str, Any]:
    secret: Any = from_table if way == "table" else secret_from_file(FILES / way / "secret")
    return {"slug": SLUG, "secret": secret, "get_email": lambda request: ALICE}


def is_waiting(deadline: float) -> bool:
    return not (FILES / "go").exists() and time.monotonic() < deadline


def wsgi_app() -> Any:
    from ensoras_middleware.wsgi import EnsorasMiddleware

    def chunks(path: str) -> Iterator[bytes]:
        deadline = time.monotonic() + PATIENCE
        yield PAGE[:CUT]
        while path.endswith("/slow") and is_waiting(deadline):
            time.sleep(0.01)
        yield PAGE[CUT:]

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, fields = environ["PATH_INFO"], {**FIELDS, "X-Process": str(os.getpid())}
        start_response("200 OK", list(fields.items()))
        return [PAGE] if path.endswith("/whole") else chunks(path)

    sites = {way: EnsorasMiddleware(host, **options(way)) for way in WAYS}
    (FILES / f"ready-{os.getpid()}").touch()
    return lambda environ, start_response: sites[environ["PATH_INFO"].split("/")[1]](
        environ, start_response
    )


def asgi_app() -> Any:
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse

    from ensoras_middleware.asgi import EnsorasMiddleware

    async def chunks(path: str) -> AsyncIterator[bytes]:
        deadline = time.monotonic() + PATIENCE
        yield PAGE[:CUT]
        while path.endswith("/slow") and is_waiting(deadline):  # noqa: ASYNC110
            # A file is what every server can look at, however its processes are arranged.
            await asyncio.sleep(0.01)
        yield PAGE[CUT:]

    async def host(scope: Any, receive: Any, send: Any) -> None:
        path, fields = Request(scope).url.path, {**FIELDS, "X-Process": str(os.getpid())}
        whole = path.endswith("/whole")
        kind, body = (Response, PAGE) if whole else (StreamingResponse, chunks(path))
        await kind(body, headers=fields)(scope, receive, send)

    sites = {way: EnsorasMiddleware(host, **options(way)) for way in WAYS}
    (FILES / f"ready-{os.getpid()}").touch()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sites[scope["path"].split("/")[1]](scope, receive, send)

    return app


GUNICORN = "-m gunicorn -w 2 -k gthread --threads 4 --keep-alive 60"
UVICORN = "-m uvicorn --lifespan off --timeout-keep-alive 60"
SERVERS = {
    "gunicorn": GUNICORN + " --bind fd://{fd} rotation_sites:wsgi_app()",
    "uvicorn": UVICORN + " --fd {fd} --factory rotation_sites:asgi_app",
}
PROCESSES = {"gunicorn": 2, "uvicorn": 1}


@dataclass
class Site:
    """A server that runs, and what it was seen to do."""

    server: str
    address: tuple[str, int]
    files: Path
    processes: set[str] = field(default_factory=set)

    @property
    def log(self) -> str:
        return (self.files / "log").read_text()


@contextlib.contextmanager
def running_site(server: str, files: Path) -> Iterator[Site]:
    """Run the site behind this server, in processes of its own."""
    prepare(files)
    # The socket listens before the server does, so that nobody has to wait or to guess a port.
    with socket.create_server(("127.0.0.1", 0)) as listening, (files / "log").open("wb") as log:
        command = SERVERS[server].format(fd=listening.fileno())
        process = subprocess.Popen(
            [sys.executable, *command.split()],
            cwd=Path(__file__).parent,
            env={**os.environ, "ENSORAS_TEST_FILES": str(files)},
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        address = listening.getsockname()
    try:
        deadline = time.monotonic() + PATIENCE
        # None starts without a secret, so all must have started before the first change.
        while len([*files.glob("ready-*")]) < PROCESSES[server]:
            assert time.monotonic() < deadline, (files / "log").read_text()
            time.sleep(0.01)
        yield Site(server, address, files)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
