"""Raises where it is told to: at the entry of any function of the three packages.

By a profile function, which needs no change of the code, and so reaches every step that a
request takes, those included that somebody adds later. Threads of their own are not reached.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TypeVar

import django_ensoras
import flask_ensoras

import ensoras_middleware

_FOLDERS = tuple(one.__path__[0] for one in (ensoras_middleware, flask_ensoras, django_ensoras))

T = TypeVar("T")


def name_of(code: CodeType) -> str:
    """As `wsgi._Response.close`."""
    module = code.co_filename.rpartition("/")[2].removesuffix(".py")
    return f"{module}.{code.co_qualname}"


def steps_of(run: Callable[[], object]) -> list[str]:
    """Return the functions that a run calls, in their order."""
    steps: dict[str, None] = {}

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_FOLDERS):
            steps.setdefault(name_of(frame.f_code))

    _profiled(run, watch)
    return list(steps)


def with_fault(run: Callable[[], T], step: str, error: BaseException) -> T:
    """Run, and raise `error` when that function is first called."""

    def fail(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_FOLDERS) and name_of(code) == step:
            sys.setprofile(None)
            raise error

    return _profiled(run, fail)


def _profiled(run: Callable[[], T], profile: Callable[[FrameType, str, object], None]) -> T:
    sys.setprofile(profile)
    try:
        return run()
    finally:
        sys.setprofile(None)
