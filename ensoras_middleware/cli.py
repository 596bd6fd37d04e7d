"""The command line: `python -m ensoras_middleware`, also installed as `ensoras-middleware`.

A secret is never taken from an argument, which every user of the machine could read.
"""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.identity import canonical_email, identity_hash
from ensoras_middleware.secret import checked_secret, secret_from_file

_SECRET = "ENSORAS_WIDGET_SECRET"
_SECRET_FILE = "ENSORAS_WIDGET_SECRET_FILE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 2 for what cannot work."""
    options = _parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"ensoras-middleware: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ensoras-middleware",
        description="Verifies logged-in customers in the Ensoras live-chat widget.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    hashing = commands.add_parser(
        "hash",
        allow_abbrev=False,
        help="print the hash of an e-mail address",
        description=f"Print the hash of an e-mail address. The secret comes from {_SECRET} or "
        f"{_SECRET_FILE}, else from standard input.",
    )
    hashing.add_argument("email", metavar="EMAIL")

    sandbox = commands.add_parser(
        "sandbox",
        allow_abbrev=False,  # no `--secret VALUE` for `--secret-file PATH`
        help="serve a local stand-in for Ensoras",
        description=f"Serve a local stand-in for Ensoras. Its secret is that of {_SECRET}, else a "
        "new one; its dashboard shows it.",
    )
    sandbox.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    sandbox.add_argument("--port", type=_port, default=8400, help="default: %(default)s")
    sandbox.add_argument("--slug", default="demo", help="default: %(default)s")
    sandbox.add_argument(
        "--secret-file",
        type=Path,
        metavar="PATH",
        help="keep the secret in this file too, for sites that read it from there",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _hash(options: argparse.Namespace) -> int:
    email = canonical_email(options.email)
    if email is None:
        raise ConfigurationError(
            "EMAIL is not an address that a page is signed for: give one like alice@example.com, "
            "in ASCII."
        )
    sys.stdout.write(identity_hash(email, _secret()) + "\n")
    return 0


def _secret() -> bytes:
    if _SECRET in os.environ and _SECRET_FILE in os.environ:
        raise ConfigurationError(f"{_SECRET} and {_SECRET_FILE} are both set: keep one of them.")
    if _SECRET in os.environ:
        return checked_secret(os.environ[_SECRET])
    if _SECRET_FILE in os.environ:
        return secret_from_file(os.environ[_SECRET_FILE])("")
    if sys.stdin is None:  # closed by whoever started this process
        raise ConfigurationError(f"There is no standard input: set {_SECRET} or {_SECRET_FILE}.")
    if sys.stdin.isatty():
        try:
            return checked_secret(getpass.getpass("Widget secret: "))
        except (EOFError, KeyboardInterrupt):
            sys.stderr.write("\n")
            sys.exit(130)
    # Bytes: what a locale makes of them would sign differently.
    return checked_secret(sys.stdin.buffer.readline().rstrip(b"\r\n"))


def _sandbox(options: argparse.Namespace) -> int:
    try:
        from ensoras_middleware.sandbox.server import run
    except ImportError as error:
        raise ConfigurationError(
            f"The sandbox needs {error.name}: pip install 'ensoras-middleware[sandbox]'."
        ) from None
    if secret := os.environ.get(_SECRET, ""):
        checked_secret(secret)
    else:
        secret = secrets.token_hex(32)
    run(options.host, options.port, options.slug, secret, secret_file=options.secret_file)
    return 0


_COMMANDS = {"hash": _hash, "sandbox": _sandbox}
