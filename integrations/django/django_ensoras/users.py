"""Who is logged in to a Django site: `request.user`, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse

from ensoras_middleware.identity import NotSigned, canonical_email, email_of
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.secret import is_async
from ensoras_middleware.widget import Widget


def email_getter(widget: Widget) -> Callable[[HttpRequest], Any]:
    """Return what reads the visitor's e-mail: of `request.user`, or as the site says.

    It raises `NotSigned` for a staff member who acts as a customer, unless the site allows that.
    """
    get_email = widget.get_email or partial(current_users_email, widget)
    if widget.allow_impersonation:
        return get_email

    def of_nobody_else(request: HttpRequest) -> Any:
        email = get_email(request)
        if email is not None:
            _refuse_impersonation(request)
        return email

    async def of_nobody_else_async(request: HttpRequest) -> Any:
        email = await get_email(request)
        if email is not None:
            await sync_to_async(_refuse_impersonation)(request)  # the session may be in a database
        return email

    return of_nobody_else_async if is_async(get_email) else of_nobody_else


def current_users_email(widget: Widget, request: HttpRequest) -> Any:
    """Return the e-mail of `request.user`, or `None` for one who is anonymous or inactive.

    With django-otp, so is a user who has a device, and has not shown it for this session.

    Raises `NotSigned` for an address that django-allauth, where it is installed, does not know to
    be verified, unless the site trusts its addresses.
    """
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    if apps.is_installed("django_otp") and _lacks_second_factor(user):
        return None
    field = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    email = email_of(user, field, trusted=widget.trust_emails)
    signed = canonical_email(email)
    if signed is None or widget.trust_emails:
        return email
    if apps.is_installed("allauth.account") and not _is_verified(user, signed):
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


def _refuse_impersonation(request: HttpRequest) -> None:
    keys = (
        "hijack_history",  # django-hijack
        "_impersonate",  # django-impersonate
        "exit_users_pk",  # django-su
        getattr(settings, "LOGINAS_FROM_USER_SESSION_FLAG", "loginas_from_user"),  # django-loginas
    )
    session: Any = getattr(request, "session", {})
    # hijack and su leave an empty list behind; the primary key of an impersonated user may be 0.
    acting = any(session.get(key) not in (None, []) for key in keys)
    # django-impersonate's own mark: the view that ends it leaves `request.user` as it was.
    if acting or getattr(request, "impersonator", None) is not None:
        raise NotSigned(Outcome.IMPERSONATED)


def _lacks_second_factor(user: Any) -> bool:
    from django_otp import user_has_device

    # Set by OTPMiddleware; without that nobody is known to have shown a device.
    return getattr(user, "otp_device", None) is None and user_has_device(user)


def _is_verified(user: Any, signed: str) -> bool:
    addresses: Any = apps.get_model("account", "EmailAddress")
    verified = addresses.objects.filter(user=user, verified=True).values_list("email", flat=True)
    # Compared here: a database may take `jörg@` for `jorg@`.
    return any(canonical_email(one) == signed for one in verified)
