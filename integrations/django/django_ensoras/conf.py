"""The settings of this app, as the core's options."""

from __future__ import annotations

from django.conf import settings

from ensoras_middleware.options import options_from_settings


def options() -> dict[str, object]:
    """Return the `ENSORAS_…` settings by the core's keywords.

    Raises `ConfigurationError` for an unknown one.
    """
    return options_from_settings(
        {name: getattr(settings, name) for name in dir(settings) if name.startswith("ENSORAS_")}
    )
