"""Canaries, and where to look for them: a secret, a hash and an address that stand nowhere else."""

from __future__ import annotations

import base64
import logging
import reprlib
import traceback
import urllib.parse
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from ensoras_middleware import identity_hash

SECRET = "Qanary-Widget-Secret-7fd1c20e94b85a63"
EMAIL = "qanary.visitor+zq81@example.com"
HASH = identity_hash(EMAIL, SECRET)

OUR_PACKAGES = ("ensoras_middleware", "flask_ensoras", "django_ensoras")


def _forms(value: str) -> Iterator[str]:
    yield value[:16]
    yield value[-16:]
    yield urllib.parse.quote(value, safe="")
    yield value.encode().hex()
    for before in ("", "x", "xx"):  # the three ways in which base64 may cut it
        encoded = base64.b64encode((before + value).encode()).decode()
        yield encoded[4:-4]
        yield encoded[4:-4].replace("+", "-").replace("/", "_")


_FORMS = {
    name: {form.lower() for form in _forms(value)}
    for name, value in {"secret": SECRET, "hash": HASH, "e-mail": EMAIL}.items()
}


def canaries_in(text: str | bytes) -> list[str]:
    """Return which of them stand in a text, in whatever form and case."""
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    lower = text.lower()
    return [name for name, forms in _FORMS.items() if any(form in lower for form in forms)]


# Exceptions -----------------------------------------------------------------------------------


def chain_of(error: BaseException) -> list[BaseException]:
    """Return an exception with all that stands behind it: causes, contexts and members."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in chain:
            chain.append(one)
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return chain


def words_of(error: BaseException) -> str:
    """Return all that an exception says, without what its frames hold."""
    parts = [
        f"{one} {one!r} {one.args!r} {getattr(one, '__notes__', ())} {vars(one)!r}"
        for one in chain_of(error)
    ]
    return "\n".join([*parts, *traceback.format_exception(error)])


def frames_of(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def leaks_in_frames(error: BaseException) -> list[str]:
    """Return the variables of our own frames that show a canary, as an error tracker would."""
    return [
        f"{name} in {frame.f_code.co_qualname} shows the {canary}"
        for one in chain_of(error)
        for frame in frames_of(one.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] in OUR_PACKAGES
        for name, value in frame.f_locals.items()
        for canary in canaries_in(shown(value))
    ]


def shown(value: object) -> str:
    """Return what error trackers show of a variable: its `repr`, and what a text itself says."""
    try:
        return f"{value!r} {value if isinstance(value, str) else ''}"
    except Exception:
        return reprlib.repr(type(value))


# Logs -----------------------------------------------------------------------------------------


class Records(logging.Handler):
    """Keeps every record of every logger, formatted, with its arguments and its exception."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def text(self) -> str:
        """What a handler may make of the records, and all that they hold."""
        return "\n".join(f"{logging.Formatter().format(one)} {vars(one)!r}" for one in self.records)


def public_state(one: Any) -> str:
    """Return what a dump of an object's attributes shows."""
    names = [*getattr(one, "__dict__", ())]
    for kind in type(one).__mro__:
        slots = getattr(kind, "__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return " ".join(f"{name}={getattr(one, name, None)!r}" for name in names)
