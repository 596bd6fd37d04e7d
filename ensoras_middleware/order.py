"""What stands around this middleware in an ASGI stack, and what of that is on the wrong side.

The layers are looked at when they are all there: at lifespan start and at the first request, for
Starlette builds its stack late. `scope["app"]` shows those around us, `app` of each those inside.
Each wrong order was tried with the packages named here; of others nothing is said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from ensoras_middleware import csp
from ensoras_middleware.log import NO_USER, UNKNOWN_USER, WRONG_ORDER
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.widget import Widget

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

_OURS = {"ensoras_middleware.EnsorasMiddleware"}
_AUTHENTICATION = {"starlette.AuthenticationMiddleware", "starlette_login.AuthenticationMiddleware"}
_COMPRESSION = {
    "starlette.GZipMiddleware",
    "brotli_asgi.BrotliMiddleware",
    "starlette_compress.CompressMiddleware",
    "zstd_asgi.ZstdMiddleware",
}
_HISHEL = {"hishel.ASGICacheMiddleware"}
_STARLETTE_CACHES = {"starlette_caches.CacheMiddleware"}
_SECURE = {"secure.SecureASGIMiddleware"}

_SOME_HASH = "'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='"

_NO_USER = "no-user"  # the kind of warning

_DEEPEST = 100  # no stack has so many layers, but one might hold itself


class FirstCall:
    """Stands in for `app` until the first request, which it hands to what `begin` returns.

    Around a cache that heeds no `Cache-Control`, nobody is identified: it would hand one visitor's
    identity to another.
    """

    def __init__(
        self, app: Application, widget: Widget, begin: Callable[[Application, Widget], Application]
    ) -> None:
        self.app = app
        self._widget = widget
        self._begin = begin

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Tell what is on the wrong side, then answer."""
        heedless = True  # in doubt
        try:
            outside = list(_outside(scope, self))
            heedless = any(map(_is_heedless_cache, outside))
            self._tell(scope, outside)
        except Exception as error:  # layers of other people, of any version
            self._widget.warn_of_fault(error)
        app = self.app
        if scope["type"] == "http":
            widget = replace(self._widget, get_email=_nobody) if heedless else self._widget
            app = self._begin(app, widget)
        await app(scope, receive, send)

    def _tell(self, scope: Scope, outside: list[_Layer]) -> None:
        if not any(layer.is_one_of(_OURS) for layer in outside):  # that one sees all that we do
            _tell_of_outside(self._widget, outside)
            _tell_of_inside(self._widget, list(_inside(self.app)))
        everywhere = _everywhere(self.app, scope.get("app"))
        if any(layer.is_one_of(_AUTHENTICATION) for layer in everywhere):
            self._widget.never_warn(_NO_USER)


def tell_of_no_user(widget: Widget) -> None:
    """Say once that nothing tells who is logged in, unless there is an authentication layer.

    Such a one may leave out some paths, and set no user there.
    """
    widget.warn_once(_NO_USER, NO_USER)


def tell_of_unknown_user(widget: Widget) -> None:
    """Say once that the user is none whose address can be known."""
    widget.warn_once("unknown-user", UNKNOWN_USER)


# What is on the wrong side ----------------------------------------------------------------------


def _tell_of_outside(widget: Widget, outside: list[_Layer]) -> None:
    for layer in outside:
        if _is_heedless_cache(layer):
            widget.warn_once("order-cache", WRONG_ORDER["cache"], layer.name)
        if layer.is_one_of(_SECURE) and _blocks_identify_script(layer):
            widget.warn_once("order-csp", WRONG_ORDER["csp"], layer.name)


def _tell_of_inside(widget: Widget, inside: list[_Layer]) -> None:
    cache: _Layer | None = None
    for layer in inside:
        if layer.is_one_of(_COMPRESSION) and _compresses_pages(layer):
            # The kind of the first compressed page's warning, which says no more.
            widget.warn_once(Outcome.ENCODED.value, WRONG_ORDER["compression"], layer.name)
        elif layer.is_one_of(_OURS):
            widget.warn_once("order-twice", WRONG_ORDER["twice"])
        elif layer.is_one_of(_HISHEL | _STARLETTE_CACHES):
            cache = layer
        elif cache and widget.get_email is None and layer.is_one_of(_AUTHENTICATION):
            widget.warn_once("order-user", WRONG_ORDER["user"], cache.name, layer.name)


def _compresses_pages(layer: _Layer) -> bool:
    return "text/html" not in layer.option("exclude_content_types", ())


def _is_heedless_cache(layer: _Layer) -> bool:
    """Tell whether a layer is a cache that keeps pages whatever their `Cache-Control` says."""
    return layer.is_one_of(_STARLETTE_CACHES) or (
        layer.is_one_of(_HISHEL) and layer.option("rfc", True) is False
    )


def _blocks_identify_script(layer: _Layer) -> bool:
    fields = list(layer.option("secure", None).header_items())
    return csp.admitting(fields, nonce=None, hash_source=_SOME_HASH) != fields


def _nobody(connection: object) -> None:
    return None


# The layers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer: its name, its classes as "package.Class", and its options by name."""

    name: str
    classes: frozenset[str]
    option: Callable[[str, Any], Any]

    def is_one_of(self, classes: set[str]) -> bool:
        return not classes.isdisjoint(self.classes)


def _layer(cls: Any, option: Callable[[str, Any], Any]) -> _Layer:
    bases = cls.__mro__ if isinstance(cls, type) else ()  # Starlette takes any factory
    classes = frozenset(f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in bases)
    return _Layer(getattr(cls, "__name__", "?"), classes, option)


def _built(layer: Any) -> _Layer:
    return _layer(type(layer), lambda name, default: _attribute(layer, name, default))


def _attribute(layer: Any, name: str, default: Any = None) -> Any:
    try:
        return getattr(layer, name, default)
    except Exception:  # a property that is not to be read now
        return default


def _outside(scope: Scope, ourselves: FirstCall) -> Iterator[_Layer]:
    """Yield the layers around us, as far as they can be seen from here."""
    if "__starlette_caches__" in scope:
        yield _built(scope["__starlette_caches__"])
    for app in _chain(_attribute(scope.get("app"), "middleware_stack")):
        if _attribute(app, "app") is ourselves:
            return
        yield _built(app)


def _inside(app: Any) -> Iterator[_Layer]:
    """Yield the layers from `app` inwards, and those of a Starlette that has not built them yet."""
    for one in _chain(app):
        yield _built(one)
        if _attribute(one, "middleware_stack") is None:
            for entry in _attribute(one, "user_middleware", ()):
                yield _layer(entry.cls, entry.kwargs.get)


def _everywhere(*apps: Any) -> Iterator[_Layer]:
    """Yield the layers of these, and of all that they route to."""
    waiting, seen = list(apps), set[int]()
    while waiting:
        for one in _chain(waiting.pop()):
            if id(one) not in seen:
                seen.add(id(one))
                is_starlette = _attribute(one, "user_middleware") is not None
                yield from _inside(one) if is_starlette else [_built(one)]
                waiting += _attribute(one, "routes", ())


def _chain(app: Any) -> Iterator[Any]:
    for _ in range(_DEEPEST):
        if app is None:
            return
        yield app
        inner = _attribute(app, "app")
        app = _attribute(app, "middleware_stack") if inner is None else inner
