"""The settings of this app, as the core's options."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.urls import get_script_prefix

from ensoras_middleware.configuration import options_from_settings
from ensoras_middleware.errors import ConfigurationError, hiding_variables


@hiding_variables
def options() -> dict[str, object]:
    """Return the `ENSORAS_…` settings by the core's keywords.

    What users have uploaded is excluded too, where the site serves it: pages of theirs may not
    be ours to change, and are nobody's chat.

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
    uploads, excluded = _path_of_uploads(), options.get("exclude", ())
    if uploads and isinstance(excluded, Iterable) and not isinstance(excluded, str | bytes):
        options["exclude"] = [*excluded, uploads]
    return options


def _path_of_uploads() -> str | None:
    """Return `MEDIA_URL` without the script prefix, where it is a path below the root."""
    url, prefix = settings.MEDIA_URL or "", get_script_prefix()
    if url.startswith("//") or not url.startswith("/"):
        return None
    path = "/" + url.removeprefix(prefix).lstrip("/")
    return path if path != "/" else None
