"""Requests as CGI variables (RFC 3875): WSGI's environment, and Django's `request.META`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ensoras_middleware.eligibility import Request, hides_preconditions
from ensoras_middleware.widget import Widget

# The key of the layer of this middleware that is responsible for the response.
RESPONSIBLE = "ensoras_middleware.layer"

_PRECONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


def header_of(environ: dict[str, Any]) -> Callable[[str], str | None]:
    """Return what gives a header field of the request by its lower-case name."""

    def header(name: str) -> str | None:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    return header


def hide_preconditions(widget: Widget, request: Request, environ: dict[str, Any]) -> dict[str, str]:
    """Take from the environment, and return, the preconditions that the host must not see."""
    if not any(key in environ for key in _PRECONDITIONS):
        return {}
    if not hides_preconditions(widget, request):
        return {}
    return {key: environ.pop(key) for key in _PRECONDITIONS if key in environ}
