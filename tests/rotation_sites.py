"""A site whose secrets change in every way there is, for real servers to serve.

Below `/WAY` it has the secret that is changed in that way. `/WAY/whole` is a whole page,
`/WAY/stream` a stream, and `/WAY/slow` one that waits in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from adapters import ALICE, PAGE, SLUG, TAG
from servers import PATIENCE, Site, running_site

from ensoras_middleware import secret_from_file

POLICY = "script-src https://app.ensoras.com"
FIELDS = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
CUT = PAGE.index(TAG) + 20  # inside of the widget tag

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


# What serves the site, with which options, and in how many processes.
SERVERS = {
    "gunicorn-gthread": ("wsgi_app", "-w 2 --keep-alive 60", 2),
    "uvicorn-httptools": ("asgi_app", "--lifespan off --timeout-keep-alive 60", 1),
}


@contextlib.contextmanager
def running_rotation(server: str, files: Path) -> Iterator[Site]:
    """Run the site behind this server."""
    prepare(files)
    app, options, processes = SERVERS[server]
    with running_site(server, f"rotation_sites:{app}", files, *options.split()) as site:
        # None starts without a secret, so all must have started before the first change.
        site.wait_for("ready-*", processes)
        yield site
