"""The app's configuration: registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class EnsorasConfig(AppConfig):
    """`django_ensoras` in `INSTALLED_APPS`."""

    name = "django_ensoras"
    verbose_name = "Ensoras"

    def ready(self) -> None:
        """Register the system checks."""
        from django_ensoras.checks import check_ensoras

        register(check_ensoras)
