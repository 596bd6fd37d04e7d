"""Requests as ASGI scopes: what the core wants to know of them, and who is logged in."""

from __future__ import annotations

import inspect

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ensoras_middleware.eligibility import Request
from ensoras_middleware.identity import email_of
from ensoras_middleware.order import tell_of_no_user, tell_of_unknown_user
from ensoras_middleware.signing import Signing
from ensoras_middleware.widget import Widget


def path_of(path: str, root: str) -> str:
    """Return the path without the root path."""
    return path[len(root) :] if path == root or path.startswith(root + "/") else path


def request_of(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Request:
    """Return the core's view of a request; `path` is without the root path."""

    def header(name: str) -> str | None:
        key = name.encode("ascii")
        values = [value.decode("latin-1") for one, value in headers if one == key]
        return ", ".join(values) if values else None

    return Request(method, path, header)


async def read_user(scope: Scope, widget: Widget, signing: Signing) -> None:
    """Tell `signing` who is logged in."""
    try:
        if widget.get_email is None:
            signing.user_is(_users_email(scope, widget))
            return
        email = widget.get_email(HTTPConnection(scope))
        signing.user_is(await email if inspect.isawaitable(email) else email)
    except Exception as error:
        signing.user_failed(error)


def _users_email(scope: Scope, widget: Widget) -> object:
    user = scope.get("user")
    if user is None:
        if "user" not in scope:
            tell_of_no_user(widget)
        return None
    authenticated = getattr(user, "is_authenticated", None)
    if authenticated is True:
        email = email_of(user, trusted=widget.trust_emails)
        if email is not None or hasattr(user, "email"):
            return email
    if authenticated is True or authenticated is None:
        tell_of_unknown_user(widget)
    return None
