"""Real servers, each in processes of its own, started as the owner of a site starts them.

A server is given an application as `module:factory`; it runs in this folder, where it finds it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30  # seconds until something that hangs is given up

_WAITRESS = """
import importlib, socket, sys, waitress
module, _, factory = sys.argv[1].partition(":")
app = getattr(importlib.import_module(module), factory)()
waitress.serve(app, sockets=[socket.socket(fileno=int(sys.argv[2]))])
"""
_GRANIAN = "-m granian --no-ws --http 1 --port {port} --factory {app}"

SERVERS = {
    "gunicorn-sync": "-m gunicorn --bind fd://{fd} {app}()",
    "gunicorn-gthread": "-m gunicorn -k gthread --threads 4 --bind fd://{fd} {app}()",
    "waitress": "-c {waitress} {app} {fd}",
    "granian-wsgi": f"{_GRANIAN} --interface wsgi --blocking-threads 4",
    "uvicorn-h11": "-m uvicorn --http h11 --fd {fd} --factory {app}",
    "uvicorn-httptools": "-m uvicorn --http httptools --fd {fd} --factory {app}",
    "hypercorn": "-m hypercorn --bind fd://{fd} asgi:{app}()",
    "granian-asgi": f"{_GRANIAN} --interface asgi",
}


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    server: str
    address: tuple[str, int]
    files: Path  # where it writes its log, and finds what a test has for its application
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.files / "log").read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def wait_for(self, name: str, count: int = 1) -> None:
        """Wait for the files by which the application says how far it is."""
        deadline = time.monotonic() + PATIENCE
        while len([*self.files.glob(name)]) < count:
            assert time.monotonic() < deadline, f"never {name}; {self.log}"
            time.sleep(0.01)


@contextlib.contextmanager
def running_site(
    server: str, app: str, files: Path, *options: str, **environment: str
) -> Iterator[Site]:
    """Run an application; it is told of the folder `files`."""
    # The socket listens before the server does, so that nobody has to wait or to guess a port.
    with socket.create_server(("127.0.0.1", 0)) as listening, (files / "log").open("wb") as log:
        address, fd = listening.getsockname(), listening.fileno()
        words = {"app": app, "fd": fd, "port": address[1], "waitress": _WAITRESS}
        if takes_no_socket := "{port}" in SERVERS[server]:
            listening.close()
        process = subprocess.Popen(
            [sys.executable, *(word.format(**words) for word in SERVERS[server].split()), *options],
            cwd=Path(__file__).parent,
            env={**os.environ, "ENSORAS_TEST_FILES": str(files), **environment},
            pass_fds=[] if takes_no_socket else [fd],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    site = Site(server, address, files, process)
    try:
        if takes_no_socket:
            _wait_until_it_listens(site)
        yield site
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_listens(site: Site) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), site.connect():
            return
        assert site.process.poll() is None, site.log
        assert time.monotonic() < deadline, f"it does not listen: {site.log}"
        time.sleep(0.02)
