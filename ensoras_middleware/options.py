"""The options: what each is called, takes and means.

Each has one name: a keyword of the two middleware classes, and `ENSORAS_…` in Flask's config and
Django's settings. The reference shows the words below each field.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from ensoras_middleware.outcome import Outcome
from ensoras_middleware.secret import SecretSource

SETTINGS = {
    "slug": "ENSORAS_WIDGET_SLUG",
    "secret": "ENSORAS_WIDGET_SECRET",
    "secret_file": "ENSORAS_WIDGET_SECRET_FILE",
    "get_email": "ENSORAS_GET_EMAIL",
    "trust_emails": "ENSORAS_TRUST_EMAILS",
    "allow_impersonation": "ENSORAS_ALLOW_IMPERSONATION",
    "origin": "ENSORAS_WIDGET_ORIGIN",
    "embed": "ENSORAS_WIDGET_EMBED",
    "exclude": "ENSORAS_EXCLUDE",
    "identity_path": "ENSORAS_IDENTITY_PATH",
    "enabled": "ENSORAS_ENABLED",
    "debug": "ENSORAS_DEBUG",
    "on_outcome": "ENSORAS_ON_OUTCOME",
}


class Options(TypedDict, total=False):
    """The keywords of the two middleware classes; what is said of each is in the reference."""

    slug: str
    """The name in your widget's address. Only this widget's tag counts.

    It may be left out where `secret` is a mapping or a callable: [Several brands](brands.md).
    """

    secret: str | bytes | Mapping[str, str | bytes] | SecretSource
    """The widget secret of the Ensoras dashboard; or a mapping from slug to secret; or a function.

    A function takes the slug of a page's widget and returns its secret, or `None`. It is asked for
    every page that is about to be identified, and is never asynchronous.
    """

    get_email: Callable[[Any], Any] | str
    """Who is logged in: a function, or its dotted path, that returns the e-mail or `None`.

    Django passes the `HttpRequest`, ASGI Starlette's `HTTPConnection`, WSGI Werkzeug's `Request`,
    Flask nothing. Under ASGI it may be asynchronous. Without it the framework's own user is read;
    WSGI has none, so there it is needed. It answers for itself whether the address is verified.
    """

    trust_emails: bool
    """`True` signs addresses that your log-in package does not know to be verified, too.

    Only where nobody can enter an address that is not their own: [Security](security.md).
    """

    allow_impersonation: bool
    """`True` lets staff who act as a customer in Django chat as that customer.

    That is with django-hijack, django-impersonate, django-loginas and django-su.
    """

    origin: str
    """Where the widget is loaded from: `https`, or for the sandbox `http` on a loopback host."""

    embed: bool
    """`True` writes the widget tag, too, before the `</body>` of pages that have none.

    It needs `slug`: [Pages without the tag](tag-managers.md#let-the-middleware-write-the-tag).
    """

    exclude: Iterable[str]
    """Paths that are never touched, with all that is below them.

    They go by whole segments, without the root path: `/admin` is not `/administrators`. In Django
    `MEDIA_URL` is always one of them.
    """

    identity_path: str
    """The path that answers a page's script with the identity as JSON; by default there is none.

    Not for Django, which has URLs. Under ASGI and WSGI it needs `get_email`. What asks there:
    [Single-page apps](single-page-apps.md).
    """

    enabled: bool
    """`False` switches everything off, for tests and image builds; no secret is needed then."""

    debug: bool
    """`True` adds the header `X-Ensoras-Outcome` to every response: why it was identified, or not.

    What the outcomes mean: [Troubleshooting](troubleshooting.md).
    """

    on_outcome: Callable[[Outcome], object] | str
    """A function, or its dotted path, that is told the outcome of every response, for counters.

    Never asynchronous: [Monitoring](monitoring.md).
    """


class Settings(Options, total=False):
    """The options of Flask's config and Django's settings, by keyword: these have one more."""

    secret_file: str | os.PathLike[str]
    """A file that holds the secret, in place of the secret. Replace it to rotate without a restart.

    It is read again when it changes: [A new secret](brands.md#a-new-secret). Your own code gives
    `secret=secret_from_file(path)` instead.
    """
