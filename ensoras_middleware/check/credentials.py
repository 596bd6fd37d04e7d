"""Whose eyes the page is looked at with: from the environment, standard input or a terminal.

Never from arguments, which every user of the machine could read.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from ensoras_middleware.caching import Fields
from ensoras_middleware.check.visitor import cookie_pairs
from ensoras_middleware.errors import ConfigurationError

COOKIE = "ENSORAS_CHECK_COOKIE"
HEADER = "ENSORAS_CHECK_HEADER"
USERNAME = "ENSORAS_CHECK_USERNAME"
PASSWORD = "ENSORAS_CHECK_PASSWORD"
_SECOND = "_2"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")
_COOKIE = re.compile(r"[^=;]+=[^;]*(?:;[^=;]+=[^;]*)*;?\s*")
# What says how the request itself is to be read.
_NOT_GIVEN = frozenset(
    "host connection content-length transfer-encoding te upgrade accept-encoding".split()
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What makes one customer: header fields, and user name and password for the log-in form."""

    fields: Fields = field(default_factory=list, repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return bool(self.fields or self.login)

    def secrets(self) -> Iterator[str]:
        """Yield whatever must not be shown."""
        for name, value in self.fields:
            yield value
            if name.lower() == "cookie":
                yield from (content for _, content in cookie_pairs(value))
            else:
                yield value.rpartition(" ")[2]
        yield from self.login or ()


def read_credentials(*, stdin: bool, login: bool) -> list[Credentials]:
    """Return the credentials of no, one or two customers.

    Raises `ConfigurationError` for what cannot be credentials; no message shows any.
    """
    given = _from_environment()
    if stdin:
        if any(given):
            raise ConfigurationError(
                f"Credentials are in the environment ({COOKIE}, {HEADER}) and on standard input: "
                "keep one of them."
            )
        given = _from_standard_input()
    logins = _logins(ask=not stdin) if login else [None, None]
    both = [Credentials(fields, one) for fields, one in zip(given, logins, strict=True)]
    if both[1] and not both[0]:
        raise ConfigurationError("There are credentials of a second customer, and none of a first.")
    if both[1] and both[0] == both[1]:
        raise ConfigurationError("The credentials of both customers are the same: give two.")
    return [one for one in both if one]


def _from_environment() -> list[Fields]:
    given = []
    for suffix in ("", _SECOND):
        fields = []
        if cookie := os.environ.get(COOKIE + suffix):
            fields.append(_checked("Cookie", cookie, COOKIE + suffix))
        if header := os.environ.get(HEADER + suffix):
            fields.append(_parsed(header, HEADER + suffix))
        given.append(fields)
    return given


def _from_standard_input() -> list[Fields]:
    if sys.stdin is None:
        raise ConfigurationError(f"There is no standard input: set {COOKIE} or {HEADER}.")
    lines = sys.stdin.buffer.read().decode("latin-1").splitlines()
    given: list[Fields] = [[]]
    for number, line in enumerate(lines, 1):
        if line.strip():
            given[-1].append(_parsed(line, f"Line {number} of standard input"))
        elif given[-1]:
            given.append([])
    given = [fields for fields in given if fields]
    if not 1 <= len(given) <= 2:
        raise ConfigurationError(
            "Standard input must hold header fields of one customer, or of two with an empty line "
            "between them, like `Cookie: sessionid=…`."
        )
    return [*given, []][:2]


def _parsed(line: str, where: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{where} is no header field: write it like `Name: value`.")
    return _checked(name, value.strip(), where)


def _checked(name: str, value: str, where: str) -> tuple[str, str]:
    if name.lower() in _NOT_GIVEN:
        raise ConfigurationError(f"{where} is {name}, which is not to be given: leave it out.")
    if not _VALUE.fullmatch(value):
        raise ConfigurationError(
            f"{where} is empty, or holds a line break or a character that no header field may hold."
        )
    if name.lower() == "cookie" and not _COOKIE.fullmatch(value):
        raise ConfigurationError(f"{where} is no cookie: write it like `sessionid=…; other=…`.")
    return name, value


def _logins(*, ask: bool) -> list[tuple[str, str] | None]:
    logins: list[tuple[str, str] | None] = []
    for suffix in ("", _SECOND):
        names = (USERNAME + suffix, PASSWORD + suffix)
        username, password = map(os.environ.get, names)
        if not suffix and ask and is_terminal():
            username = username or _asked("User name: ")
            password = password or getpass.getpass("Password: ")
        if username and password:
            logins.append((username, password))
        elif username or password or not suffix:
            raise ConfigurationError(f"--login needs both {names[0]} and {names[1]}.")
        else:
            logins.append(None)
    return logins


def is_terminal() -> bool:
    """Tell whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(prompt: str) -> str:
    sys.stderr.write(prompt)  # standard output is the report's
    sys.stderr.flush()
    return sys.stdin.readline().strip()
