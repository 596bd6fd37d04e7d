"""What stands around the extension on a site: whatever is lost by it is told, once.

Flask runs `after_request` functions in the reverse order of their registration: those that were
registered before `Ensoras(app)` get the answer after us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from ensoras_middleware.outcome import Outcome
from ensoras_middleware.widget import Widget
from flask_ensoras.guard import BLOCKED, POLICY, blocks, guard

_NO_LOG_IN = (
    "Nothing tells Ensoras who is logged in: set up Flask-Login's LoginManager, or "
    "decorate a function that returns the e-mail with @ensoras.email_getter."
)
_ANY_ADDRESS = (
    "Flask-Security lets visitors register with any address (SECURITY_REGISTERABLE without "
    "SECURITY_CONFIRMABLE), and they would chat as its owner: set SECURITY_CONFIRMABLE, or "
    "ENSORAS_TRUST_EMAILS where your site verifies addresses by itself."
)
_LATE_SETTINGS = (
    "Settings in app.config were changed after Ensoras(app) had read them, so they mean nothing: "
    "set them before. They are: %s"
)
_COMPRESSED = (
    "Flask-Compress runs before Ensoras, so compressed pages stay anonymous: put it outside, "
    "Compress(app) before Ensoras(app)."
)
# What these packages do after us loses nothing; with Flask-Compress that is the right order.
_HARMLESS = ("flask_compress", "flask_login", "flask_security")


def watch_order(app: Flask, widget: Widget, email_getter: Callable[[], object]) -> None:
    """Look at what stands around us, at the first request: then all of it is there.

    To be called directly before our own `after_request` is registered.
    """
    outside = list(app.after_request_funcs.get(None, ()))
    settings = _settings(app)

    def check() -> None:
        # A new list: a request is going through the old one.
        before = app.before_request_funcs[None]
        app.before_request_funcs[None] = [one for one in before if one is not check]
        try:
            _check_settings(app, widget, settings)
            _check_log_in(app, widget, email_getter())
            _check_order(app, widget, outside)
        except Exception as error:
            widget.warn_of_fault(error)

    app.before_request_funcs.setdefault(None, []).insert(0, check)
    unknown = [one for one in outside if package_of(one) not in _HARMLESS]
    if unknown:
        guard(app, widget, ", ".join(map(_name, unknown)))


def _check_settings(app: Flask, widget: Widget, settings: Mapping[str, object]) -> None:
    now = _settings(app)
    changed = [name for name in {**settings, **now} if now.get(name) != settings.get(name)]
    if changed:
        widget.warn_once("late-settings", _LATE_SETTINGS, ", ".join(changed))


def _check_log_in(app: Flask, widget: Widget, email_getter: object) -> None:
    if email_getter is not None:
        return
    if not hasattr(app, "login_manager"):
        widget.warn_once("no-login-manager", _NO_LOG_IN)
    security = app.extensions.get("security")
    confirmed = getattr(security, "confirmable", False) or widget.trust_emails
    if getattr(security, "registerable", False) and not confirmed:
        widget.warn_once("any-address", _ANY_ADDRESS)


def _check_order(app: Flask, widget: Widget, outside: list[Callable[..., Any]]) -> None:
    for function in app.after_request_funcs.get(None, ()):
        owner, package = owner_of(function), package_of(function)
        if function in outside:
            if package == "flask_talisman" and _blocks_scripts(owner):
                widget.warn_once("order-policy", BLOCKED, _name(function))
        elif package == "flask_compress" and "text/html" in owner.compress_mimetypes_set:
            # Instead of the warning with the first page that comes to us compressed.
            widget.warn_once(Outcome.ENCODED.value, _COMPRESSED)


def _blocks_scripts(talisman: Any) -> bool:
    """Tell whether Talisman's policy blocks every inline script that does not carry its nonce."""
    policy = talisman.content_security_policy
    if not policy or talisman.content_security_policy_report_only:
        return False
    if isinstance(policy, str):
        parts = [part.split() for part in policy.split(";")]
        policy = {part[0]: part[1:] for part in parts if part}
    directives = []
    for name, sources in policy.items():
        sources = [sources] if isinstance(sources, str) else sources
        nonce = ["'nonce-x'"] if name in talisman.content_security_policy_nonce_in else []
        directives.append(" ".join([name, *sources, *nonce]))
    return blocks([(POLICY, "; ".join(directives))], "x", "'sha256-x'")


def _settings(app: Flask) -> dict[str, object]:
    return {name: value for name, value in app.config.items() if name.startswith("ENSORAS_")}


def owner_of(function: Callable[..., Any]) -> Any:
    """Return the object that this is a method of."""
    return getattr(function, "__self__", None)


def package_of(function: Callable[..., Any]) -> str:
    """Return the name of the top package that this function, or this method, was written in."""
    return _module(function).split(".")[0]


def _module(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__module__", None))


def _name(function: Callable[..., Any]) -> str:
    return f"{_module(function)}.{getattr(function, '__qualname__', type(function).__qualname__)}"
