"""Runs the sites of `cached_sites` and the example shops, each in a process of its own.

Run as a script it serves one of them: `python site_servers.py NAME FILE_DESCRIPTOR`.

Below `/without/WHAT/` a site answers with some of our header fields taken back on the way out, as
if we had never set them: what a cache must be seen to make of that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cached_sites
from cached_sites import SECRET, SLUG, STYLES, Fields

_OVER_CACHES = frozenset(
    "cache-control expires x-accel-expires surrogate-control cdn-cache-control".split()
)
_VALIDATORS = frozenset(["etag", "last-modified"])
WITHOUT = {
    "everything": _OVER_CACHES | _VALIDATORS | {"vary"},
    "cache-control": _OVER_CACHES,
    "vary": frozenset(["vary"]),
    "validators": _VALIDATORS,
}


# --- Without us ------------------------------------------------------------------------------


def _shifted(path: str) -> tuple[str, frozenset[str]]:
    if not path.startswith("/without/"):
        return path, frozenset()
    _, _, what, rest = path.split("/", 3)
    return "/" + rest, WITHOUT[what]


def _undone(path: str, taken: frozenset[str], fields: Fields) -> Fields:
    """Return the fields with those `taken` as the host sent them."""
    known = STYLES.get(path.split("/")[1], []) if taken else []
    return [
        *((name, value) for name, value in fields if name.lower() not in taken),
        *((name, value) for name, value in known if name.lower() in taken),
    ]


def undoing_wsgi(app: Any) -> Any:
    """Take back what WHAT says of the header fields that `app` sends."""

    def outermost(environ: Any, start_response: Any) -> Any:
        path, taken = _shifted(environ["PATH_INFO"])

        def start(status: str, fields: Fields, *exc_info: Any) -> Any:
            return start_response(status, _undone(path, taken, fields), *exc_info)

        return app(environ | {"PATH_INFO": path}, start)

    return outermost


def undoing_asgi(app: Any) -> Any:
    """Take back what WHAT says of the header fields that `app` sends."""

    async def outermost(scope: Any, receive: Any, send: Any) -> None:
        path, taken = _shifted(scope["path"])

        async def undo(message: Any) -> None:
            if message["type"] == "http.response.start":
                fields = [(k.decode(), v.decode("latin-1")) for k, v in message["headers"]]
                undone = _undone(path, taken, fields)
                headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in undone]
                message = {**message, "headers": headers}
            await send(message)

        await app({**scope, "path": path, "raw_path": path.encode()}, receive, undo)

    return outermost


# --- The servers -----------------------------------------------------------------------------


def _waitress(app: Any, listening: socket.socket) -> None:
    import waitress

    waitress.serve(undoing_wsgi(app), sockets=[listening], threads=8, connection_limit=1000)


def _uvicorn(app: Any, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(undoing_asgi(app), lifespan="off", log_level="error", ws="none")
    uvicorn.Server(config).run(sockets=[listening])


def _shop(name: str) -> Any:
    from examples import shop

    shop.STEP_SECONDS = 0.001
    if name == "flask":
        from examples.flask_shop.app import create_app

        return create_app()
    if name == "starlette":
        from examples.starlette_shop.app import create_app as create_starlette

        return create_starlette()
    from examples.django_shop.prepare import prepare

    prepare()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


SITES = {
    "wsgi": lambda listening: _waitress(cached_sites.wsgi_site(), listening),
    "flask": lambda listening: _waitress(cached_sites.flask_site(), listening),
    "starlette": lambda listening: _uvicorn(cached_sites.starlette_site(), listening),
    "django-wsgi": lambda listening: _waitress(cached_sites.django_site(), listening),
    "django-asgi": lambda listening: _uvicorn(
        cached_sites.django_site(asynchronous=True), listening
    ),
}
SHOPS = {
    "flask-shop": lambda listening: _waitress(_shop("flask"), listening),
    "django-shop": lambda listening: _uvicorn(_shop("django"), listening),
    "starlette-shop": lambda listening: _uvicorn(_shop("starlette"), listening),
}


@contextlib.contextmanager
def running_sites(names: Iterable[str], folder: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """Run these sites, each in a process of its own; yield their addresses."""
    addresses = {}
    with contextlib.ExitStack() as stack:
        for name in names:
            (folder / name).mkdir()
            addresses[name] = stack.enter_context(_running_site(name, folder / name))
        yield addresses


@contextlib.contextmanager
def _running_site(name: str, folder: Path) -> Iterator[tuple[str, int]]:
    root = Path(__file__).parent.parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
        "ENSORAS_WIDGET_SLUG": SLUG,
        "ENSORAS_WIDGET_SECRET": SECRET,
        "EXAMPLE_DATA_DIR": str(folder),
        "EXAMPLE_SECRET_KEY": hashlib.sha256(name.encode()).hexdigest(),
    }
    # The socket listens before the server does, so that nobody has to wait or to guess a port.
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listening,
        (folder / "log").open("wb") as log,
    ):
        process = subprocess.Popen(
            [sys.executable, __file__, name, str(listening.fileno())],
            env=environment,
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
        )
        address = listening.getsockname()
    try:
        yield address
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Let the process end, or end it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    (SITES | SHOPS)[sys.argv[1]](socket.socket(fileno=int(sys.argv[2])))
