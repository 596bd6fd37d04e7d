"""Serves the sandbox on a loopback address of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uvicorn

from ensoras_middleware import ConfigurationError
from ensoras_middleware.sandbox.app import create_app
from ensoras_middleware.sandbox.guards import is_loopback

OPTIONS: dict[str, Any] = {
    "access_log": False,
    "lifespan": "off",
    "server_header": False,
    "timeout_graceful_shutdown": 1,  # a half-sent request must not delay the end
    "ws": "none",
}


def run(host: str, port: int, slug: str, secret: str, *, secret_file: Path | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM; the address is logged. Port 0 takes any free one.

    Raises `ConfigurationError` for a host that other machines could reach, for a slug or a
    secret that no widget can have; `OSError` where `secret_file` cannot be written; `SystemExit`
    where the port is taken.
    """
    if not is_loopback(f"[{host}]" if ":" in host else host):
        raise ConfigurationError(
            "the sandbox shows its secret to every caller: "
            "give it a loopback host such as '127.0.0.1'"
        )
    app = create_app(slug, secret, secret_file=secret_file)
    uvicorn.run(app, host=host, port=port, **OPTIONS)
