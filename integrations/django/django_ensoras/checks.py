"""System checks: what `manage.py check` says about the set-up."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured

from django_ensoras.conf import options
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.options import widget_from

_MIDDLEWARE = "django_ensoras.middleware.EnsorasMiddleware"


def check_configuration(**kwargs: Any) -> list[CheckMessage]:
    """ensoras.E001: the settings cannot work."""
    try:
        widget_from(options())
    except ConfigurationError as error:
        return [Error(str(error), id="ensoras.E001")]
    return []


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """ensoras.W001: the app is installed, but nothing identifies anybody."""
    if _MIDDLEWARE in settings.MIDDLEWARE:
        return []
    return [
        Warning(
            "django_ensoras is installed, but its middleware is not: no page is identified.",
            hint=f'Put "{_MIDDLEWARE}" first in MIDDLEWARE, below GZipMiddleware and '
            "ConditionalGetMiddleware where you have them.",
            id="ensoras.W001",
        )
    ]


def check_addresses(**kwargs: Any) -> list[CheckMessage]:
    """ensoras.W002: whoever can enter an address chats as its owner."""
    if getattr(settings, "ENSORAS_GET_EMAIL", None) or apps.is_installed("allauth.account"):
        return []
    try:
        user = get_user_model()
        field = user._meta.get_field(user.get_email_field_name())
    except (FieldDoesNotExist, ImproperlyConfigured, AttributeError):
        return []
    if getattr(field, "unique", False):
        return []
    return [
        Warning(
            "Nothing here verifies users' e-mail addresses or keeps them unique: whoever can enter "
            "an address into a profile chats as its owner.",
            hint="Verify addresses before they are saved, for example with django-allauth, or "
            "return only verified ones from ENSORAS_GET_EMAIL. Silence this check where you do.",
            id="ensoras.W002",
        )
    ]
