"""`{% load ensoras %}{% ensoras_widget %}` writes the widget tag.

It holds no identity, so it is safe in a cached template. For Django's Jinja2 backend, put the
function into the environment: `environment.globals["ensoras_widget"] = ensoras_widget`.
"""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString, mark_safe

from django_ensoras.conf import options
from ensoras_middleware.configuration import widget_tag_from

register = template.Library()


@register.simple_tag
def ensoras_widget(slug: str | None = None, nonce: str | None = None) -> SafeString:
    """Return the widget tag; `slug` where settings name none, `nonce` for a strict policy.

    Raises `ConfigurationError` where there is no slug.
    """
    return mark_safe(widget_tag_from(options(), slug=slug, nonce=nonce))
