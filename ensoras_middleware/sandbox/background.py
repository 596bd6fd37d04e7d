"""Serves the sandbox in a thread of its own, to the tests of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from ensoras_middleware.sandbox.account import Account, IdentifyCall
from ensoras_middleware.sandbox.app import create_app
from ensoras_middleware.sandbox.server import OPTIONS

_SLUG = "demo"


class Sandbox:
    """A running sandbox, as a test sees it.

    `origin` and `slug` are what the site is configured with; both stay the same.
    """

    def __init__(self, origin: str, account: Account) -> None:
        self.origin = origin
        self.slug = account.slug
        self._account = account
        self._first_secret = account.secret

    @property
    def secret(self) -> str:
        """The current secret of the widget."""
        return self._account.secret

    @property
    def calls(self) -> list[IdentifyCall]:
        """The identify calls that it has received, newest first."""
        return list(self._account.calls)

    def rotate(self) -> str:
        """Make a new secret the current one, and return it: all hashes so far turn false."""
        return self._account.rotate()

    def reset(self) -> None:
        """Forget the calls, and go back to the first secret."""
        self._account.rotate(self._first_secret)
        self._account.calls.clear()


@contextmanager
def running_sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox with a secret of its own on a free port of 127.0.0.1."""
    app = create_app(_SLUG, "")
    # The loggers of a site's tests stay as they are.
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **OPTIONS))
    # With the protocol named asyncio sets TCP_NODELAY, else every answer takes 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # now, since the first request may come before the server
        thread = threading.Thread(
            target=server.run, args=([listener],), name="ensoras-sandbox", daemon=True
        )
        thread.start()
        try:
            host, port = listener.getsockname()
            yield Sandbox(f"http://{host}:{port}", app.state.account)
        finally:
            server.should_exit = True
            thread.join()
