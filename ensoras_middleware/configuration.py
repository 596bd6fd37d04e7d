"""From the options of a site to its widget: all of it is validated when the site starts.

Whatever cannot work is a `ConfigurationError` that names the setting and the remedy.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ensoras_middleware.errors import ConfigurationError, hiding_variables
from ensoras_middleware.log import logger
from ensoras_middleware.options import SETTINGS, Options
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.secret import (
    CheckedSource,
    SecretFile,
    is_async,
    secret_from_file,
    secret_source,
)
from ensoras_middleware.widget import Widget
from ensoras_middleware.widget_tag import (
    DEFAULT_ORIGIN,
    NONCE,
    PATH,
    SLUG,
    address_pattern,
    needle,
    widget_tag,
)

_FROM_ENVIRONMENT = ("slug", "secret", "secret_file")

_DOTTED_PATHS = {"get_email": "shop.customers.email_of", "on_outcome": "shop.metrics.count"}

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", re.I | re.A)
_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~-]+)+")
_LOOPBACK = re.compile(r"(?:.*\.)?localhost|127(?:\.[0-9]+){3}|\[::1\]")


@hiding_variables
def options_from_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the options among a framework's settings, by keyword.

    Raises `ConfigurationError` for a setting that begins with `ENSORAS_` and is none of ours.
    """
    keywords = {setting: keyword for keyword, setting in SETTINGS.items()}
    options = {}
    for setting, value in settings.items():
        if setting.startswith("ENSORAS_"):
            if setting not in keywords:
                raise ConfigurationError(
                    f"{setting} is not a setting of ensoras-middleware: "
                    f"{_instead(setting, keywords)}"
                )
            options[keywords[setting]] = value
    return options


@hiding_variables
def widget_from_keywords(options: Mapping[str, object]) -> Widget | None:
    """Return the widget that the keywords of a middleware class describe; see `widget_from`."""
    for keyword in options:
        if keyword not in Options.__annotations__:
            raise ConfigurationError(
                f"`{keyword}` is not an option of EnsorasMiddleware: "
                f"{_instead(keyword, Options.__annotations__)}"
            )
    return widget_from(options)


@hiding_variables
def widget_from(options: Mapping[str, object]) -> Widget | None:
    """Return the widget that the options describe, or `None` where it is switched off.

    What the site does not set comes from the environment: slug, and secret or secret file.

    Raises `ConfigurationError` for whatever cannot work.
    """
    if options.get("enabled") is False:
        return None  # CI and image builds: the rest may be None, or nonsense
    for keyword, value in options.items():
        if value is None:
            raise ConfigurationError(
                f"{_named(keyword)} is None: give it a value, or leave it out for the default."
            )
    _switch(options, "enabled", default=True)
    _warn_of_environment(options)
    options = _with_environment(options)
    source = _secret_source(options)
    slug = _slug_or_any(options, source)
    origin = _origin(options)
    debug, on_outcome = _switch(options, "debug", default=False), _on_outcome(options)
    return Widget(
        slug=slug,
        origin=origin,
        embed=_embed(options, slug),
        exclude=_exclude(options),
        identity_path=_identity_path(options),
        debug=debug,
        on_outcome=on_outcome,
        wants_every_outcome=debug or on_outcome is not None,
        get_email=_function(options, "get_email"),
        trust_emails=_switch(options, "trust_emails", default=False),
        allow_impersonation=_switch(options, "allow_impersonation", default=False),
        needle=needle(origin, slug),
        address=address_pattern(origin, slug),
        _secret=source,
    )


@hiding_variables
def widget_tag_from(
    options: Mapping[str, object], *, slug: str | None = None, nonce: str | None = None
) -> str:
    """Return the widget tag, as Ensoras' dashboard shows it, for a template.

    Nothing is returned where no slug is given or set, and the widget is switched off.

    Raises `ConfigurationError` where no slug is given or set, elsewhere.
    """
    options = _with_environment(options)
    if options.get("enabled") is False and "slug" not in options and not slug:
        return ""
    slug = _slug(options | ({"slug": slug} if slug else {}))
    # Packages make it when it is first asked for; until then Django's and django-csp's are false.
    nonce = (str(nonce) or None) if nonce is not None else None
    if nonce is not None and not NONCE.fullmatch(nonce):
        raise ConfigurationError("The nonce of a widget tag is not one: take your CSP package's.")
    return widget_tag(_origin(options), slug, nonce)


def require_arguments(get_email: Callable[..., Any] | None, *, takes_request: bool) -> None:
    """Refuse a `get_email` that cannot be called with the request, or in Flask with nothing."""
    if get_email is None:
        return
    try:
        signature = inspect.signature(get_email)
    except (TypeError, ValueError):  # some functions written in C
        return
    try:
        signature.bind(*([None] if takes_request else []))
    except TypeError:
        wanted = "one argument, the request" if takes_request else "no arguments: use flask.request"
        raise ConfigurationError(
            f"{_named('get_email')} cannot be called as it will be: let it take {wanted}."
        ) from None


def require_sync(get_email: Callable[..., Any] | None) -> None:
    """Refuse an asynchronous `get_email`, where nothing could await it."""
    if get_email is not None and is_async(get_email):
        raise ConfigurationError(
            f"{_named('get_email')} is asynchronous, but this site runs under WSGI, or has a "
            "synchronous middleware below this one: give a plain function."
        )


def _named(keyword: str) -> str:
    setting = SETTINGS[keyword]
    return f"{setting} (keyword `{keyword}`)" if keyword in Options.__annotations__ else setting


def _instead(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # no site that is set up right needs it

    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}? Else " if close else ""
    return f"{hint}remove it, or use one of {', '.join(known)}."


def _warn_of_environment(options: Mapping[str, object]) -> None:
    for keyword, setting in SETTINGS.items():
        if setting in os.environ and keyword not in options and keyword not in _FROM_ENVIRONMENT:
            logger.warning(
                "%s is set in the environment, where it means nothing: set it in your site's own "
                "settings.",
                setting,
            )


def _with_environment(options: Mapping[str, object]) -> dict[str, object]:
    environment = {
        keyword: os.environ[SETTINGS[keyword]]
        for keyword in _FROM_ENVIRONMENT
        if SETTINGS[keyword] in os.environ
    }
    if "secret" in options or "secret_file" in options:
        environment.pop("secret", None)
        environment.pop("secret_file", None)
    return environment | dict(options)


def _secret_source(options: Mapping[str, object]) -> CheckedSource:
    if "secret" in options and "secret_file" in options:
        raise ConfigurationError(
            f"{SETTINGS['secret']} and {SETTINGS['secret_file']} are both set: keep one of them."
        )
    if "secret" in options:
        return secret_source(options["secret"])
    if "secret_file" not in options:
        raise ConfigurationError(
            f"{_named('secret')} is missing: copy the widget secret from the Ensoras dashboard "
            f"into it, or name a file that holds it in {SETTINGS['secret_file']}."
        )
    path = options["secret_file"]
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ConfigurationError(f"{SETTINGS['secret_file']} must be the path of a file.")
    return secret_from_file(path)


def _slug(options: Mapping[str, object]) -> str:
    if "slug" not in options:
        raise ConfigurationError(
            f"{_named('slug')} is missing: it is the name in your widget's address, "
            f"{DEFAULT_ORIGIN}{PATH}SLUG.js."
        )
    slug = options["slug"]
    if not isinstance(slug, str) or not SLUG.fullmatch(slug) or slug == "YOUR_SLUG":
        raise ConfigurationError(
            f"{_named('slug')} is not a slug: copy the name in your widget's address, letters, "
            "digits, `-` and `_`."
        )
    return slug


def _slug_or_any(options: Mapping[str, object], source: CheckedSource) -> str | None:
    secret = options.get("secret")
    any_slug = isinstance(secret, Mapping) or callable(secret)
    if "slug" not in options and any_slug and not isinstance(secret, SecretFile):
        return None
    slug = _slug(options)
    if isinstance(secret, Mapping) and source(slug) is None:
        raise ConfigurationError(
            f"{_named('slug')} is not in the mapping {_named('secret')}: add its secret there."
        )
    return slug


def _origin(options: Mapping[str, object]) -> str:
    """Return the origin that the widget is loaded from, in lower case."""
    origin = options.get("origin", DEFAULT_ORIGIN)
    parts = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
    if parts is None:
        raise ConfigurationError(
            f"{_named('origin')} is not an origin: write it like {DEFAULT_ORIGIN}, without a path."
        )
    scheme, host, port = (part.lower() for part in parts.groups(default=""))
    if scheme == "http" and not _LOOPBACK.fullmatch(host):
        raise ConfigurationError(
            f"{_named('origin')} is not safe: use https, or http on a loopback host only."
        )
    default_port = {"https": ":443", "http": ":80"}[scheme]
    return f"{scheme}://{host}{'' if port == default_port else port}"


def _embed(options: Mapping[str, object], slug: str | None) -> bool:
    embed = _switch(options, "embed", default=False)
    if embed and slug is None:
        raise ConfigurationError(
            f"{_named('slug')} is missing: {_named('embed')} writes the tag of one widget into "
            "every page, so name it."
        )
    return embed


def _exclude(options: Mapping[str, object]) -> tuple[str, ...]:
    paths = options.get("exclude", ())
    if isinstance(paths, str | bytes) or not isinstance(paths, Iterable):
        raise ConfigurationError(f'{_named("exclude")} must be a list of paths, like ["/admin"].')
    paths = tuple(paths)
    if not all(isinstance(path, str) and path.startswith("/") for path in paths):
        raise ConfigurationError(
            f'{_named("exclude")} has an entry that is no path: each begins with "/".'
        )
    if any(sign in path for path in paths for sign in "*?#"):
        raise ConfigurationError(
            f"{_named('exclude')} has an entry with `*`, `?` or `#`: give plain paths; each one "
            "excludes what is below it too."
        )
    return tuple(path.rstrip("/") for path in paths)


def _identity_path(options: Mapping[str, object]) -> str | None:
    path = options.get("identity_path")
    if path is not None and not (isinstance(path, str) and _PATH.fullmatch(path)):
        raise ConfigurationError(
            f'{_named("identity_path")} is not a plain path: write it like "/ensoras/identity", '
            'without "/" at the end.'
        )
    return path


def _switch(options: Mapping[str, object], keyword: str, *, default: bool) -> bool:
    value = options.get(keyword, default)
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"{_named(keyword)} must be True or False, not {type(value).__name__}."
        )
    return value


def _on_outcome(options: Mapping[str, object]) -> Callable[[Outcome], object] | None:
    on_outcome = _function(options, "on_outcome")
    if on_outcome is not None and is_async(on_outcome):
        raise ConfigurationError(
            f"{_named('on_outcome')} is asynchronous, but is called while a response goes out, and "
            "never awaited: give a plain function that counts and returns."
        )
    return on_outcome


def _function(options: Mapping[str, object], keyword: str) -> Callable[..., Any] | None:
    function = options.get(keyword)
    if isinstance(function, str):
        path = function
        module, _, name = path.rpartition(".")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f'{_named(keyword)} "{path}" cannot be imported ({type(error).__name__}): give '
                f'the dotted path of a function, like "{_DOTTED_PATHS[keyword]}".'
            ) from error
    if function is not None and not callable(function):
        raise ConfigurationError(
            f"{_named(keyword)} must be a function, or the dotted path of one."
        )
    return function
