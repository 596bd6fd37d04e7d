"""The site's `MIDDLEWARE`, as its classes and what they are derived from."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils.module_loading import import_string

ENSORAS = "django_ensoras.middleware.EnsorasMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry of `MIDDLEWARE`: how the site names it, and every class that it is, by path.

    By path, so that packages which are not there need not be imported.
    """

    path: str
    classes: frozenset[str]


def installed_layers() -> list[Layer]:
    """Return the layers from the outermost to the innermost."""
    return [Layer(path, _classes(path)) for path in settings.MIDDLEWARE]


def find(layers: list[Layer], path: str) -> int | None:
    """Return the place of the outermost layer that is this class, or a subclass of it."""
    return next((place for place, layer in enumerate(layers) if path in layer.classes), None)


def _classes(path: str) -> frozenset[str]:
    try:
        layer = import_string(path)
    except Exception:  # not ours to report: Django says it when the site starts
        return frozenset({path})
    bases = layer.__mro__ if isinstance(layer, type) else ()  # or it is a function
    return frozenset({path, *(f"{base.__module__}.{base.__qualname__}" for base in bases)})
