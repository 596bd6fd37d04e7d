"""The one account of the sandbox: its widget, its secret and the identify calls it has seen."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from errno import ENOENT
from pathlib import Path

from ensoras_middleware import ConfigurationError, Identity, verify_identity
from ensoras_middleware.mistakes import mistake_of
from ensoras_middleware.secret import checked_secret
from ensoras_middleware.widget_tag import SLUG

CALLS_SHOWN = 50
_HASH_SHOWN = 8  # of 64: enough to tell two calls apart, far too little to replay
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class IdentifyCall:
    """One row of the dashboard's table. It never holds a whole hash."""

    time: datetime
    email: str = field(repr=False)
    hash_start: str = field(repr=False)
    verified: bool
    mistake: str | None = None  # what was done wrong to come to such a hash, where that is known


@dataclass(slots=True)
class Account:
    """What Ensoras knows about one customer of its own: slug, current secret, recent calls.

    An empty `secret` stands for a random one. Where `secret_file` is given it holds the current
    secret at all times: sites that sign with `ENSORAS_WIDGET_SECRET_FILE` follow a rotation
    without a restart.

    Raises `ConfigurationError` for a slug or a secret that no widget can have, and `OSError`
    where the file cannot be written.
    """

    slug: str
    secret: str = field(repr=False)
    secret_file: Path | None = None
    calls: deque[IdentifyCall] = field(default_factory=lambda: deque(maxlen=CALLS_SHOWN))

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.slug):
            raise ConfigurationError(
                "The sandbox's slug is not a slug: use letters, digits, `-` and `_`, as in `acme`."
            )
        self.rotate(self.secret)

    def identify(self, email: str, hash: str) -> bool:
        """Tell whether the visitor owns the lower-cased `email`, and remember the call."""
        verified = verify_identity(email, hash, self.secret)
        # Never more than a quarter of what was sent, should it be a short secret of another kind.
        hash_start = hash[: min(_HASH_SHOWN, len(hash) // 4)]
        mistake = None if verified else mistake_of(Identity(email, hash), self.secret.encode())
        self.calls.appendleft(IdentifyCall(datetime.now(), email, hash_start, verified, mistake))
        return verified

    def rotate(self, secret: str = "") -> str:
        """Make `secret`, or a new random one, the current secret: all hashes so far turn false.

        The file is written first; where that fails the old secret stays in force everywhere.
        """
        secret = secret or secrets.token_hex(_SECRET_BYTES)
        _check_secret(secret)
        if self.secret_file is not None:
            _write_private(self.secret_file, secret)
        self.secret = secret
        return secret


def _check_secret(secret: str) -> None:
    """Refuse what the middleware would refuse, and what nobody can copy from a dashboard."""
    setting = "The sandbox's secret"
    if not secret.isprintable():
        raise ConfigurationError(f"{setting} has unprintable characters: use printable ones.")
    checked_secret(secret, setting)


def _write_private(path: Path, text: str) -> None:
    """Replace the file in one step; nobody but its owner can read it, nobody sees half of it."""
    if not path.parent.is_dir():  # the error of `mkstemp` names a file of its own
        raise FileNotFoundError(ENOENT, "There is no such folder", str(path.parent))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
