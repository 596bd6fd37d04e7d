"""The secrets of widgets: where they come from, and which are refused.

A secret is asked for by slug, for every identified page, so that it can be rotated while the
site runs. No secret is ever part of a message or a `repr`.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ensoras_middleware.errors import ConfigurationError, hiding_variables
from ensoras_middleware.log import say
from ensoras_middleware.widget_tag import SLUG

SecretSource = Callable[[str], "str | bytes | None"]
CheckedSource = Callable[[str], "bytes | None"]

_NAME = "ENSORAS_WIDGET_SECRET"
_SETTING = f"{_NAME} (keyword `secret`)"
_FILE_SETTING = "ENSORAS_WIDGET_SECRET_FILE"
_REMEDY = "copy the widget secret from the Ensoras dashboard"

_MIN_BYTES = 16  # half of SHA-256; the dashboard's secrets are longer
# What stands in documentation, in templates that nobody filled in, and in masked copies.
_PLACEHOLDER = re.compile(
    rb"""\W*(?:(?:put|enter)[\W_])?(?:your|change|replace|insert|paste|todo)(?:[\W_]|me).*
    | [$]?\{.*\} | [$%]\w+%? | <.*> | \*+ | ENSORAS_WIDGET_SECRET | \W*your\w*secret\W*""",
    re.IGNORECASE | re.VERBOSE,
)
# In UTF-16 every other byte of an ASCII text is NUL.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]|\xef\xbb\xbf")

# A file that was written this recently may be written again within its clock's resolution.
_SETTLED_AFTER_NS = 2_000_000_000


class UnusableSecret(ConfigurationError):
    """A secret that no widget has; the message does not show it."""


def checked_secret(value: object, setting: str = _SETTING) -> bytes:
    """Return the secret as the bytes that sign.

    Raises `ConfigurationError`, naming `setting`, where no real secret looks like this.
    """
    if not isinstance(value, str | bytes):
        raise UnusableSecret(f"{setting} must be text, not {type(value).__name__}: {_REMEDY}.")
    secret = _encoded(value) if isinstance(value, str) else value
    if secret is None:
        raise UnusableSecret(f"{setting} holds what is no character: {_REMEDY}.")
    if not secret.strip():
        raise UnusableSecret(f"{setting} is blank: {_REMEDY}.")
    if secret != secret.strip():
        raise UnusableSecret(f"{setting} has white space around it: {_REMEDY} without it.")
    if len(secret) > 1 and secret[:1] == secret[-1:] and secret[:1] in (b'"', b"'"):
        raise UnusableSecret(f"{setting} has quotes around it: {_REMEDY} without them.")
    if _PLACEHOLDER.fullmatch(secret):
        raise UnusableSecret(f"{setting} is still a placeholder: {_REMEDY}.")
    if _CONTROL.search(secret):
        raise UnusableSecret(
            f"{setting} holds a byte order mark, a line break or another control character: "
            f"{_REMEDY}, as plain text on one line."
        )
    if len(secret) < _MIN_BYTES:
        raise UnusableSecret(
            f"{setting} is shorter than {_MIN_BYTES} bytes, so it is not the widget's: {_REMEDY}."
        )
    return secret


def _encoded(value: str) -> bytes | None:
    try:
        # As Python decodes bytes of the environment that are no UTF-8 (PEP 383).
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # it holds the secret, so no other error may hold it
        return None


def secret_from_environment() -> bytes | None:
    """Return the secret that the environment gives now, or `None` where it gives none.

    Raises `ConfigurationError` where it gives two, or an unusable one.
    """
    if _NAME in os.environ and _FILE_SETTING in os.environ:
        raise ConfigurationError(f"{_NAME} and {_FILE_SETTING} are both set: keep one of them.")
    if _NAME in os.environ:
        return checked_secret(os.environ[_NAME])
    if _FILE_SETTING in os.environ:
        return secret_from_file(os.environ[_FILE_SETTING])("")
    return None


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling `function` gives a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def drop_coroutine(value: object) -> None:
    """Close what came of an asynchronous function that did not look like one."""
    if inspect.iscoroutine(value):
        value.close()


def secret_source(secret: object) -> CheckedSource:
    """Return what gives the secret of a slug, from any of the forms that `secret` may have.

    Raises `ConfigurationError` where it has none of them.
    """
    if isinstance(secret, Mapping):
        secrets = {
            _checked_slug(slug): checked_secret(one, f"{_SETTING} of {slug}")
            for slug, one in secret.items()
        }
        if not secrets:
            raise ConfigurationError(f"{_SETTING} is an empty mapping: name a slug and its secret.")
        return secrets.get
    if callable(secret):
        if is_async(secret):
            raise ConfigurationError(
                f"{_SETTING} is an asynchronous callable: give a synchronous one."
            )
        return secret if isinstance(secret, SecretFile) else _checked(secret)
    key = checked_secret(secret)
    return lambda slug: key


def _checked(source: SecretSource) -> CheckedSource:
    def secret(slug: str) -> bytes | None:
        secret = source(slug)
        drop_coroutine(secret)
        return None if secret is None else checked_secret(secret)

    return secret


def _checked_slug(slug: object) -> str:
    if not isinstance(slug, str) or not SLUG.fullmatch(slug):
        raise ConfigurationError(
            f"{_SETTING} is a mapping with a key that is no slug: use the slugs of your widgets, "
            "letters, digits, `-` and `_`."
        )
    return slug


@hiding_variables
def secret_from_file(path: str | os.PathLike[str]) -> SecretFile:
    """Return a `secret` that is read from a file, and read again when the file has changed.

    One trailing newline is dropped. While the file is unreadable or holds no usable secret,
    the last good one stays in use, with a warning. Replace the file in one step (write another,
    then rename it), so that no half of it is ever read.

    Raises `ConfigurationError` where the file cannot be read now, or holds no usable secret.
    """
    try:
        return SecretFile(Path(path))
    except (TypeError, ValueError):
        if isinstance(path, str | os.PathLike) and "\0" not in os.fspath(path):
            raise
        raise ConfigurationError(f"{_FILE_SETTING} must be the path of a file.") from None


class SecretFile:
    """A secret in a file; see `secret_from_file`."""

    __slots__ = ("_path", "_state", "_warned")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._warned = False
        try:
            self._state = self._read()
        except OSError as error:
            raise ConfigurationError(
                f"{_FILE_SETTING} cannot be read ({error.strerror}): name a file that holds the "
                "widget secret and that this process may read."
            ) from None

    def __call__(self, slug: str) -> bytes:
        """Return the secret as the file has it now."""
        stamp, secret = self._state
        try:
            if stamp is None or stamp != self._stamp():
                self._state = stamp, secret = self._read()
            self._warned = False
        except (OSError, ConfigurationError) as error:
            if not self._warned:
                self._warned = True
                say(
                    logging.WARNING,
                    "%s cannot be used now (%s): the last good secret stays in use.",
                    _FILE_SETTING,
                    getattr(error, "strerror", None) or error,
                )
        return secret

    def _stamp(self) -> tuple[int, ...]:
        status = os.stat(self._path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would let every page wait
            raise UnusableSecret(
                f"{_FILE_SETTING} is no regular file: name one that holds the "
                "widget secret and that this process may read."
            )
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)

    def _read(self) -> tuple[tuple[int, ...] | None, bytes]:
        now = time.time_ns()  # before the reading, for that may take as long as it likes
        stamp = self._stamp()
        content = self._path.read_bytes()
        if content.endswith(b"\n"):
            content = content[:-1].removesuffix(b"\r")
        secret = checked_secret(content, _FILE_SETTING)
        settled = now - max(stamp[:2]) > _SETTLED_AFTER_NS
        return (stamp if settled else None), secret
