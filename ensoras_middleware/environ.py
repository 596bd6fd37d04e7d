"""Requests as CGI variables (RFC 3875): WSGI's environment, and Django's `request.META`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ensoras_middleware.eligibility import Request, hides_preconditions
from ensoras_middleware.widget import Widget

# The key, in a scope too, of the layer of this middleware that is responsible for the response;
# `None` is there once the identity endpoint has told its outcome. (Our ASGI layer stands in a list,
# which copies of a scope share.)
RESPONSIBLE = "ensoras_middleware.layer"

# The same for a layer that is switched off, and so is never responsible.
SWITCHED_OFF = "ensoras_middleware.off"

_HIDDEN = "ensoras_middleware.preconditions"
_PRECONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


def header_of(environ: dict[str, Any]) -> Callable[[str], str | None]:
    """Return what gives a header field of the request by its lower-case name."""

    def header(name: str) -> str | None:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    return header


def has_preconditions(environ: dict[str, Any]) -> bool:
    """Tell whether a request asks for an answer only if the page has changed."""
    return "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MODIFIED_SINCE" in environ


def hide_preconditions(widget: Widget, request: Request, environ: dict[str, Any]) -> bool:
    """Hide from the host the preconditions that it must not see; return whether there are any."""
    if not hides_preconditions(widget, request):
        return False
    environ[_HIDDEN] = {key: environ.pop(key) for key in _PRECONDITIONS if key in environ}
    return True


def show_preconditions(environ: dict[str, Any]) -> bool:
    """Show them again; return whether there are any."""
    if _HIDDEN not in environ:
        return False
    environ.update(environ.pop(_HIDDEN))
    return True
