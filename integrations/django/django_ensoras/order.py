"""System checks of the order of `MIDDLEWARE`: only orders in which something is lost."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import import_string

from django_ensoras.layers import AUTHENTICATION, ENSORAS, Layer, find
from ensoras_middleware.caching import Fields
from ensoras_middleware.csp import admitting, lets_no_script_run

COMPRESSION = (
    "django.middleware.gzip.GZipMiddleware",
    "compression_middleware.middleware.CompressionMiddleware",
    "django_brotli.middleware.BrotliMiddleware",
    "django_http_compression.middleware.HttpCompressionMiddleware",
)
CONDITIONAL_GET = "django.middleware.http.ConditionalGetMiddleware"
UPDATE_CACHE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH_FROM_CACHE = "django.middleware.cache.FetchFromCacheMiddleware"
DJANGO_CSP = "csp.middleware.CSPMiddleware"
DJANGO_6_CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware"


def wrong_order(layers: list[Layer], *, reads_user: bool) -> Iterator[CheckMessage]:
    """Tell what must stand elsewhere, for `MIDDLEWARE` from the outermost to the innermost.

    `reads_user` tells whether `request.user` is needed.
    """
    ours = find(layers, ENSORAS)
    if ours is None:
        return
    above, below = layers[:ours], layers[ours:]
    for path in COMPRESSION:
        if (place := find(below, path)) is not None:
            yield Warning(
                "Pages are compressed before they reach the Ensoras middleware: they stay "
                "anonymous.",
                hint=_move(below[place], "above", layers[ours]),
                id="ensoras.W007",
            )
    place = find(below, CONDITIONAL_GET)
    if place is not None and find(above, CONDITIONAL_GET) is None:
        yield Warning(
            "Visitors with a cookie never get a page answered with 304: below the Ensoras "
            "middleware their If-None-Match is not seen.",
            hint=_move(below[place], "above", layers[ours]),
            id="ensoras.W008",
        )
    yield from _caches(layers, ours, reads_user=reads_user)
    for path, policies in ((DJANGO_CSP, _django_csp), (DJANGO_6_CSP, _django_6_csp)):
        if (place := find(above, path)) is not None and _block(policies()):
            yield Warning(
                "The Content-Security-Policy is written above the Ensoras middleware: it blocks "
                "the identify script, and browsers report that.",
                hint=_move(above[place], "below", layers[ours]),
                id="ensoras.W011",
            )


def _caches(layers: list[Layer], ours: int, *, reads_user: bool) -> Iterator[CheckMessage]:
    update, fetch = find(layers, UPDATE_CACHE), find(layers, FETCH_FROM_CACHE)
    if update is not None and update < ours:
        yield Warning(
            "Pages of logged-in visitors are never cached: where the cache sees them, they hold an "
            "identity. Below the Ensoras middleware it keeps one copy for everybody.",
            hint=_move(layers[ours], "above", layers[update]),
            id="ensoras.W009",
        )
        return
    needed = max(ours, find(layers, AUTHENTICATION) or ours) if reads_user else ours
    if fetch is not None and fetch < needed:
        yield Warning(
            "Pages from the cache stay anonymous: they leave before the Ensoras middleware, or "
            "before the one that tells who is logged in.",
            hint=_move(layers[fetch], "below", layers[needed]),
            id="ensoras.W010",
        )


def _move(layer: Layer, where: str, ours: Layer) -> str:
    return f'Move "{layer.path}" {where} "{ours.path}" in MIDDLEWARE.'


def _block(policies: Fields) -> bool:
    """Tell whether our script needs its hash there, though the widget tag has the nonce."""
    admitted = admitting(policies, nonce=_NONCE, hash_source="'sha256-'")
    return admitted != policies and not lets_no_script_run(policies)


_NONCE = "nonce-of-the-page"


def _django_csp() -> Fields:
    build_policy = import_string("csp.utils.build_policy")
    return [
        ("Content-Security-Policy", build_policy(nonce=_NONCE)),
        ("Content-Security-Policy-Report-Only", build_policy(nonce=_NONCE, report_only=True)),
    ]


def _django_6_csp() -> Fields:
    build_policy = import_string("django.utils.csp.build_policy")
    return [
        ("Content-Security-Policy", build_policy(settings.SECURE_CSP, _NONCE)),
        (
            "Content-Security-Policy-Report-Only",
            build_policy(settings.SECURE_CSP_REPORT_ONLY, _NONCE),
        ),
    ]
