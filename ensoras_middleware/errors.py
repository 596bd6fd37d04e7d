"""The errors of this project: one base, one kind for each mistake a site can make."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class EnsorasError(Exception):
    """The base of every error that this project raises."""


class ConfigurationError(EnsorasError, ValueError):
    """The site's configuration cannot work; the message names the setting and the remedy."""


def hiding_variables(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let what a function refuses show none of its variables, nor those of what it called.

    They hold secrets and addresses, and error trackers show the variables of an error's frames.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except (ConfigurationError, TypeError) as error:
            _clear_frames(error)
            del args, kwargs
            raise

    return call


def _clear_frames(error: BaseException) -> None:
    from traceback import clear_frames  # no site that is set up right needs it

    cause: BaseException | None = error
    while cause is not None:
        clear_frames(cause.__traceback__)
        cause = cause.__context__
