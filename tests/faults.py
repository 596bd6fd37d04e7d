"""Raises where it is told to: at the entry of any function of the three packages.

By a profile function, which needs no change of the code, and so reaches every step that a
request takes, in threads of its own too, and those steps that somebody adds later.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TypeVar

import django_ensoras
import flask_ensoras
from recording import perform

import ensoras_middleware

_FOLDERS = tuple(one.__path__[0] for one in (ensoras_middleware, flask_ensoras, django_ensoras))

# Parts of their functions, and in newer Pythons no functions at all.
_COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}

T = TypeVar("T")


def steps_of(run: Callable[[], object]) -> dict[str, set[str]]:
    """Return the functions of ours that a run calls, in their order: for each, who calls it.

    As `wsgi._Response.close`; a caller that is not ours is "".
    """
    steps: dict[str, set[str]] = {}

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and _is_ours(frame):
            caller = frame.f_back
            while caller and caller.f_code.co_name in _COMPREHENSIONS:
                caller = caller.f_back
            name = _name(caller.f_code) if caller and _is_ours(caller) else ""
            steps.setdefault(_name(frame.f_code), set()).add(name)

    _profiled(run, watch)
    return steps


def with_fault(run: Callable[[], T], step: str, error: BaseException) -> T:
    """Run, and raise `error` when that function is first called."""
    errors = [error]

    def fail(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and errors and _is_ours(frame) and _name(frame.f_code) == step:
            perform(errors.pop())

    return _profiled(run, fail)


def _is_ours(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_filename.startswith(_FOLDERS) and code.co_name not in _COMPREHENSIONS


def _name(code: CodeType) -> str:
    module = code.co_filename.rpartition("/")[2].removesuffix(".py")
    return f"{module}.{code.co_qualname}"


def _profiled(run: Callable[[], T], profile: Callable[[FrameType, str, object], None]) -> T:
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        return run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
