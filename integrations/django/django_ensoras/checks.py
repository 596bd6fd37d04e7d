"""System checks: what `manage.py check` says about the set-up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_ensoras.conf import options
from django_ensoras.layers import AUTHENTICATION, ENSORAS, Layer, find, installed_layers
from django_ensoras.order import wrong_order
from ensoras_middleware.configuration import widget_from
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.widget import Widget

OTP = "django_otp.middleware.OTPMiddleware"


def check_ensoras(**kwargs: Any) -> list[CheckMessage]:
    """Return what cannot work, or does less than the site may expect; nothing where it is off."""
    try:
        widget = widget_from(options())
    except ConfigurationError as error:
        return [Error(str(error), id="ensoras.E001")]
    if widget is None:
        return []
    layers = installed_layers()
    reads_user = widget.get_email is None  # else the site says who is logged in
    messages = [*_middleware(layers), *wrong_order(layers, reads_user=reads_user)]
    if reads_user:
        messages += [*_users(layers), *_addresses(widget)]
    return messages


def _middleware(layers: list[Layer]) -> Iterator[CheckMessage]:
    if find(layers, ENSORAS) is None:
        yield Warning(
            "django_ensoras is installed, but its middleware is not: no page is identified.",
            hint=f'Put "{ENSORAS}" first in MIDDLEWARE, below GZipMiddleware and '
            "ConditionalGetMiddleware where you have them.",
            id="ensoras.W001",
        )


def _users(layers: list[Layer]) -> Iterator[CheckMessage]:
    if find(layers, AUTHENTICATION) is None:
        yield Warning(
            "Nothing in MIDDLEWARE tells who is logged in: every visitor stays anonymous.",
            hint=f'Add "{AUTHENTICATION}", or name a function in ENSORAS_GET_EMAIL. Silence this '
            "check where another middleware sets request.user.",
            id="ensoras.W005",
        )
    elif apps.is_installed("django_otp") and find(layers, OTP) is None:
        yield Warning(
            "django_otp is installed, but its middleware is not: users who have a device stay "
            "anonymous, since nothing tells whether they have shown it.",
            hint=f'Add "{OTP}" below "{AUTHENTICATION}" in MIDDLEWARE.',
            id="ensoras.W006",
        )


def _addresses(widget: Widget) -> Iterator[CheckMessage]:
    user = _user_model()
    if user is None:
        return
    field = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    if not hasattr(user, str(field)):
        yield Warning(
            f"{user.__name__} has no e-mail address: every visitor stays anonymous.",
            hint="Set EMAIL_FIELD of your user model to the name of its e-mail field, or name a "
            "function in ENSORAS_GET_EMAIL.",
            id="ensoras.W004",
        )
    elif widget.trust_emails:
        return
    elif apps.is_installed("allauth.account"):
        yield from _allauth()
    elif not hasattr(user, "email_verified"):
        yield Warning(
            "Nothing here verifies users' e-mail addresses: whoever can enter an address, at "
            "sign-up or into a profile, chats as its owner. A unique field does not help: the "
            "owner may have no account here, or one in other letters (Alice@ and alice@).",
            hint="Verify addresses before they are saved, for example with django-allauth, and "
            "then say so with ENSORAS_TRUST_EMAILS = True; or return only verified ones from "
            "ENSORAS_GET_EMAIL.",
            id="ensoras.W002",
        )


def _allauth() -> Iterator[CheckMessage]:
    from allauth.account.app_settings import EMAIL_VERIFICATION, LOGIN_BY_CODE_ENABLED
    from allauth.app_settings import SOCIALACCOUNT_ONLY

    # The others verify addresses too: a provider does, or a code that was sent there.
    if EMAIL_VERIFICATION == "none" and not (SOCIALACCOUNT_ONLY or LOGIN_BY_CODE_ENABLED):
        yield Warning(
            'ACCOUNT_EMAIL_VERIFICATION is "none": users who sign up by e-mail stay anonymous, '
            "since django-allauth never verifies their address.",
            hint='Set it to "optional" or "mandatory"; or, where nobody can enter an address that '
            "is not their own, set ENSORAS_TRUST_EMAILS = True.",
            id="ensoras.W003",
        )


def _user_model() -> Any:
    try:
        return get_user_model()
    except ImproperlyConfigured:  # `django.contrib.auth` is not installed
        return None
