"""Who is logged in to a Flask site: Flask-Login's `current_user`, and nothing else."""

from __future__ import annotations

from typing import Any

from flask import current_app

from ensoras_middleware.identity import NotSigned, email_of
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.widget import Widget

_NO_EMAIL = (
    "Flask-Login's current user, a %s, has no `email`, so the visitor stays anonymous: decorate a "
    "function that returns the e-mail with @ensoras.email_getter."
)


def current_users_email(widget: Widget) -> Any:
    """Return the e-mail of Flask-Login's current user, or `None` for an anonymous one.

    Raises `NotSigned` for a user whom Flask-Security knows to be unconfirmed, unless the site
    trusts its addresses.
    """
    if not hasattr(current_app, "login_manager"):
        return None
    from flask_login import current_user

    user: Any = current_user._get_current_object()  # the proxy looks for it at each attribute
    if user is None or not _holds(user.is_authenticated) or not _holds(user.is_active):
        return None
    security = current_app.extensions.get("security")
    confirmable = getattr(security, "confirmable", False) and not widget.trust_emails
    if confirmable and user.confirmed_at is None:
        raise NotSigned(Outcome.UNVERIFIED)
    email = email_of(user, trusted=widget.trust_emails)
    if email is None and not hasattr(user, "email"):
        widget.warn_once("no-email", _NO_EMAIL, type(user).__qualname__)
    return email


def _holds(flag: Any) -> bool:
    # Methods up to Flask-Login 0.2, which user classes still copy: each of them is true.
    return bool(flag() if callable(flag) else flag)
