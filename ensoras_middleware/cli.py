"""The command line: `python -m ensoras_middleware`, also installed as `ensoras-middleware`.

A secret is never taken from an argument, which every user of the machine could read.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from ensoras_middleware import __version__
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.identity import (
    Identity,
    canonical_email,
    identity_hash,
    verify_identity,
)
from ensoras_middleware.mistakes import mistake_of
from ensoras_middleware.options import SETTINGS
from ensoras_middleware.secret import checked_secret, secret_from_environment

_SLUG, _SECRET, _SECRET_FILE = (SETTINGS[one] for one in ("slug", "secret", "secret_file"))


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
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    hashing = commands.add_parser(
        "hash",
        allow_abbrev=False,
        help="print the hash of an e-mail address",
        description=f"Print the hash of an e-mail address. The secret comes from {_SECRET} or "
        f"{_SECRET_FILE}, else from standard input.",
    )
    hashing.add_argument("email", metavar="EMAIL")

    verifying = commands.add_parser(
        "verify",
        allow_abbrev=False,
        help="tell whether a hash verifies an e-mail address",
        description="Tell whether Ensoras would verify this address by this hash, and if not, "
        "which mistake makes such a hash. It takes the secret as `hash` does. Exit status: 0 "
        "verified, 1 not, 2 for a secret that cannot be used.",
    )
    verifying.add_argument("email", metavar="EMAIL")
    verifying.add_argument("hash", metavar="HASH")

    sandbox = commands.add_parser(
        "sandbox",
        allow_abbrev=False,  # no `--secret VALUE` for `--secret-file PATH`
        help="serve a local stand-in for Ensoras",
        description=f"Serve a local stand-in for Ensoras. Its secret is that of {_SECRET}, else a "
        "new one; its dashboard shows it.",
    )
    sandbox.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    sandbox.add_argument("--port", type=_port, default=8400, help="default: %(default)s")
    slug = os.environ.get(_SLUG, "demo")
    sandbox.add_argument("--slug", default=slug, help=f"default: {_SLUG}, or demo")
    sandbox.add_argument(
        "--secret-file",
        type=Path,
        metavar="PATH",
        help="keep the secret in this file too, for sites that read it from there",
    )

    checking = commands.add_parser(
        "check",
        allow_abbrev=False,
        help="check an installation from outside",
        description="Open a page as an anonymous visitor and, with credentials, as a customer; say "
        "what is wrong and what to do. Exit status: 0 nothing is wrong, 1 something is, 2 it could "
        "not be checked.",
        epilog="Credentials: ENSORAS_CHECK_COOKIE, or ENSORAS_CHECK_HEADER as `Name: value`; with "
        "--login ENSORAS_CHECK_USERNAME and ENSORAS_CHECK_PASSWORD. Of a second customer: the same "
        f"names with _2. The hash is verified with {_SECRET} or {_SECRET_FILE}.",
    )
    checking.add_argument("url", metavar="URL", help="a page with the widget")
    checking.add_argument(
        "--login", metavar="URL", help="log in through the form there; on the same origin"
    )
    checking.add_argument(
        "--stdin",
        action="store_true",
        help="read header fields such as `Cookie: …` from standard input; behind an empty line "
        "those of a second customer",
    )
    checking.add_argument("--email", metavar="EMAIL", help="the customer who must be identified")
    checking.add_argument(
        "--timeout",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="how long each answer may take; default: %(default)g",
    )
    checking.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 3600:
            return float(text)
    raise argparse.ArgumentTypeError("a time is a number of seconds, more than 0 and up to 3600")


def _port(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 0 <= int(text) <= 65535:
            return int(text)
    raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")


def _hash(options: argparse.Namespace) -> int:
    email = canonical_email(options.email)
    if email is None:
        raise ConfigurationError(
            "EMAIL is not an address that a page is signed for: give one like alice@example.com, "
            "in ASCII."
        )
    sys.stdout.write(identity_hash(email, _secret()) + "\n")
    return 0


def _verify(options: argparse.Namespace) -> int:
    identity, secret = Identity(options.email, options.hash), _secret()
    if verify_identity(identity.email, identity.hash, secret):
        sys.stdout.write("verified\n")
        return 0
    mistake = mistake_of(identity, secret) or "it is that of another e-mail, or of another secret"
    sys.stdout.write(f"not verified: {mistake}\n")
    return 1


def _secret() -> bytes:
    if secret := secret_from_environment():
        return secret
    if sys.stdin is None:  # closed by whoever started this process
        raise ConfigurationError(f"There is no standard input: set {_SECRET} or {_SECRET_FILE}.")
    if sys.stdin.isatty():
        try:
            return checked_secret(getpass.getpass("Widget secret: "))
        except (EOFError, KeyboardInterrupt):
            sys.stderr.write("\n")
            sys.exit(130)
    # Bytes: what a locale makes of them would sign differently.
    secret = sys.stdin.buffer.readline().rstrip(b"\r\n")
    if not secret:
        raise ConfigurationError(
            f"There is no secret: set {_SECRET} or {_SECRET_FILE}, or give it on standard input."
        )
    return checked_secret(secret)


def _sandbox(options: argparse.Namespace) -> int:
    try:
        from ensoras_middleware.sandbox.server import run
    except ImportError as error:
        raise _without_extra("sandbox", error) from None
    if secret := os.environ.get(_SECRET, ""):
        checked_secret(secret)
    else:
        secret = secrets.token_hex(32)
    host = f"[{options.host}]" if ":" in options.host else options.host
    if options.port:  # else uvicorn tells it
        sys.stderr.write(f"Tag, settings, secret and calls: http://{host}:{options.port}\n")
    try:
        run(options.host, options.port, options.slug, secret, secret_file=options.secret_file)
    except SystemExit:  # uvicorn has said why
        raise ConfigurationError(
            f"The sandbox cannot use port {options.port}: give another one by --port."
        ) from None
    return 0


def _check(options: argparse.Namespace) -> int:
    try:
        from ensoras_middleware.check.command import run
    except ImportError as error:
        raise _without_extra("check", error) from None
    try:
        return run(
            options.url,
            login=options.login,
            stdin=options.stdin,
            email=options.email,
            seconds=options.timeout,
            as_json=options.json,
        )
    except (EOFError, KeyboardInterrupt):
        sys.stderr.write("\n")
        return 130


def _without_extra(extra: str, error: ImportError) -> ConfigurationError:
    return ConfigurationError(
        f"The {extra} needs {error.name}: pip install 'ensoras-middleware[{extra}]'."
    )


_COMMANDS = {"hash": _hash, "verify": _verify, "sandbox": _sandbox, "check": _check}
