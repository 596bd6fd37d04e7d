"""Who is logged in to a Django site: `request.user`, and nothing else."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse

from ensoras_middleware.identity import NotSigned, canonical_email, email_of
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.widget import Widget

# Where a staff member acts as a customer: the session keys of django-hijack, django-impersonate,
# django-loginas and django-su.
_IMPERSONATION_KEYS = ("hijack_history", "_impersonate", "loginas_from_user", "exit_users_pk")


def current_users_email(widget: Widget, request: HttpRequest) -> Any:
    """Return the e-mail of `request.user`, or `None` for an anonymous or inactive one.

    Raises `NotSigned` for a staff member who acts as a customer, unless the site allows that; and,
    with django-allauth installed, for an address that it does not know to be verified, unless the
    site trusts its addresses.
    """
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    if not widget.allow_impersonation and _is_impersonated(request):
        raise NotSigned(Outcome.IMPERSONATED)
    field = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    email = email_of(user, field, trusted=widget.trust_emails)
    if not isinstance(email, str) or not email or widget.trust_emails:
        return email
    if apps.is_installed("allauth.account") and not _is_verified(user, email):
        raise NotSigned(Outcome.UNVERIFIED)
    return email


def session_key(request: HttpRequest) -> str | None:
    """Return the key of the visitor's session, which reading the user may renew.

    Django does so for a session that was signed with one of `SECRET_KEY_FALLBACKS`.
    """
    return getattr(getattr(request, "session", None), "session_key", None)


def with_session(request: HttpRequest, response: HttpResponse) -> Any:
    """Send a renewed session to the browser: `SessionMiddleware`, below us, has answered before."""
    return SessionMiddleware(lambda request: response).process_response(request, response)


def _is_impersonated(request: HttpRequest) -> bool:
    session: Any = getattr(request, "session", {})
    return any(session.get(key) for key in _IMPERSONATION_KEYS)


def _is_verified(user: Any, email: str) -> bool:
    addresses: Any = apps.get_model("account", "EmailAddress")
    verified = addresses.objects.filter(user=user, verified=True).values_list("email", flat=True)
    # Compared here: a database may take `jörg@` for `jorg@`.
    signed = canonical_email(email)
    return signed is not None and any(canonical_email(one) == signed for one in verified)
