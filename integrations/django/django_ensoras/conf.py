"""The settings of this app, as the core's options."""

from __future__ import annotations

from django.conf import settings

from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.options import options_from_settings


def options() -> dict[str, object]:
    """Return the `ENSORAS_…` settings by the core's keywords.

    Raises `ConfigurationError` for an unknown one, and for one that URLs take the place of.
    """
    options = options_from_settings(
        {name: getattr(settings, name) for name in dir(settings) if name.startswith("ENSORAS_")}
    )
    if "identity_path" in options:
        raise ConfigurationError(
            "ENSORAS_IDENTITY_PATH is not for Django: remove it, and add "
            'path("ensoras/", include("django_ensoras.urls")) to your URLs.'
        )
    return options
