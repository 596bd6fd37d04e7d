"""`Ensoras`, the extension: drives the core from `before_request` and `after_request`.

The user is read inside `after_request`, since the request context is gone when `wsgi_app` returns.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Response, current_app, got_request_exception, has_app_context, request
from markupsafe import Markup
from werkzeug.datastructures import Headers
from werkzeug.wsgi import ClosingIterator

from ensoras_middleware.caching import Fields
from ensoras_middleware.configuration import (
    options_from_settings,
    require_arguments,
    require_sync,
    widget_from,
    widget_tag_from,
)
from ensoras_middleware.eligibility import is_html
from ensoras_middleware.endpoint import METHODS, IdentityResponse
from ensoras_middleware.environ import (
    RESPONSIBLE,
    has_preconditions,
    hide_preconditions,
    show_preconditions,
)
from ensoras_middleware.errors import ConfigurationError, hiding_variables
from ensoras_middleware.injection import Injection
from ensoras_middleware.log import is_debugging
from ensoras_middleware.secret import CheckedSource
from ensoras_middleware.signing import Signing
from ensoras_middleware.widget import Widget
from ensoras_middleware.wsgi import request_of
from flask_ensoras.order import owner_of, package_of, watch_order
from flask_ensoras.users import current_users_email

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_View = TypeVar("_View", bound=Callable[..., Any])
_EmailGetter = TypeVar("_EmailGetter", bound=Callable[[], Any])

_EXEMPT = "_ensoras_exempt"

_COMPRESS_CACHE = (
    "The cache of Flask-Compress keeps pages for all visitors, whatever their Cache-Control says, "
    "and would hand one visitor's identity to another: remove it."
)

_TWICE = "Ensoras is set up twice on this app: keep one Ensoras(app), or one init_app(app)."


class Ensoras:
    """Identifies the logged-in user on every page of `app` that carries the widget tag.

    By default that is Flask-Login's `current_user`; `email_getter` names another source.

    Raises `ConfigurationError` where a setting is missing or cannot work.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._email_getter: Callable[[], Any] | None = None
        if app is not None:
            self.init_app(app)

    @hiding_variables
    def init_app(self, app: Flask) -> None:
        """Read `app.config`, and look at every response of `app` from now on.

        Raises `ConfigurationError` where a setting is missing or cannot work.
        """
        if "ensoras" in app.extensions:
            raise ConfigurationError(_TWICE)
        options = options_from_settings(app.config)
        of_tag = {name: value for name, value in options.items() if name != "secret"}
        app.jinja_env.globals["ensoras_widget"] = lambda nonce=None, slug=None: Markup(
            widget_tag_from(of_tag, slug=slug, nonce=nonce)
        )
        try:
            widget = widget_from(options)
        except ConfigurationError as error:
            if options:
                raise
            raise ConfigurationError(f"{error} Fill app.config before Ensoras(app).") from None
        if widget is None:
            return
        _require_getter(widget.get_email)
        if app.config.get("COMPRESS_CACHE_BACKEND"):
            raise ConfigurationError("COMPRESS_CACHE_BACKEND is set. " + _COMPRESS_CACHE)
        if widget.slug is None:
            widget = replace(widget, _secret=_in_context(app, widget.secret))
        app.extensions["ensoras"] = widget

        def hide() -> None:
            _hide_preconditions(widget)

        def identify(response: Response) -> Response:
            try:
                return self._after_request(widget, response)
            except Exception as error:  # a response that is none, perhaps: the server's to refuse
                widget.warn_of_fault(error)
                _show_preconditions(current_app)
                return response
            except BaseException:  # such as a time-out of gevent: Flask forgets the response
                _show_preconditions(current_app)
                response.close()
                raise

        # First of all: a `before_request` that answers by itself must not see them either.
        app.before_request_funcs.setdefault(None, []).insert(0, hide)
        watch_order(app, widget, lambda: self._email_getter or widget.get_email)
        app.after_request(identify)
        # An exception that nobody handles goes past `after_request`. (What is no `Exception` goes
        # past this, too. A function for the teardown would cost every request a microsecond.)
        got_request_exception.connect(_show_preconditions, app)
        if widget.identity_path is not None:
            app.add_url_rule(
                widget.identity_path,
                "ensoras_identity",
                partial(self._identity, widget),
                methods=METHODS,
            )

    def email_getter(self, function: _EmailGetter) -> _EmailGetter:
        """Let `function` say who is logged in: it returns the e-mail, or `None`.

        Raises `ConfigurationError` for an asynchronous function, and for one that takes arguments.
        """
        _require_getter(function)
        self._email_getter = function
        return function

    def exempt(self, view: _View) -> _View:
        """Never touch what this view answers. The order of decorators does not matter."""
        wrapped: Any = view
        while wrapped is not None:  # the route may hold any of them
            setattr(wrapped, _EXEMPT, True)
            wrapped = getattr(wrapped, "__wrapped__", None)
        return view

    def _after_request(self, widget: Widget, response: Response) -> Response:
        _show_preconditions(current_app)
        is_page = is_html(response.headers.get("Content-Type"))
        if not (is_page or widget.wants_every_outcome or is_debugging()):
            return response
        if not self._is_responsible():
            return response
        injection = Injection(
            widget,
            request_of(request.environ),
            response.status_code,
            list(response.headers),
            exempt=_is_exempt(),
        )
        if injection.outcome is not None:
            return _answer(response, injection.fields)
        if _is_error_page(response):
            body = b"".join(response.iter_encoded())
            response = _answer(response, list(response.headers), [body])
        if response.is_sequence:
            return self._whole(widget, injection, response)
        self._read_user(injection, widget)
        injection.start_stream()
        return _answer(response, injection.fields, injection.stream(response.iter_encoded()))

    def _is_responsible(self) -> bool:
        return request.environ.setdefault(RESPONSIBLE, self) is self

    def _whole(self, widget: Widget, injection: Injection, response: Response) -> Response:
        body = b"".join(response.iter_encoded())
        if not injection.names_widget(body):
            return _answer(response, injection.fields)
        self._read_user(injection, widget)
        changed = injection.whole(body)
        return _answer(response, injection.fields, None if changed is body else [changed])

    def _identity(self, widget: Widget) -> Response:
        query = request.query_string.decode("latin-1")
        response = IdentityResponse(widget, request_of(request.environ), query)
        request.environ[RESPONSIBLE] = None
        if response.outcome is None:
            self._read_user(response, widget)
            response.give()
        answer = Response(response.body, response.status)
        answer.headers = Headers(response.fields)
        return answer

    def _read_user(self, signing: Signing, widget: Widget) -> None:
        getter = self._email_getter or widget.get_email or partial(current_users_email, widget)
        try:
            if _compress_keeps_pages():
                widget.warn_once("compress-cache", _COMPRESS_CACHE)
                signing.user_is(None)
            else:
                signing.user_is(getter())
        except Exception as error:
            signing.user_failed(error)


def _require_getter(get_email: Callable[..., Any] | None) -> None:
    require_sync(get_email)
    require_arguments(get_email, takes_request=False)


def _is_error_page(response: Response) -> bool:
    """Tell whether this is Flask's own page for an `HTTPException`, which arrives as a stream."""
    return (
        type(response.response) is ClosingIterator
        and response.status_code >= 400
        and response.content_length is not None
    )


def _in_context(app: Flask, secret: CheckedSource) -> CheckedSource:
    """Let `secret` be asked for while a stream is sent, when the application context is gone."""

    def secret_in_context(slug: str) -> bytes | None:
        with nullcontext() if has_app_context() else app.app_context():
            return secret(slug)

    return secret_in_context


def _is_exempt() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return hasattr(view, _EXEMPT) or hasattr(getattr(view, "view_class", None), _EXEMPT)


def _compress_keeps_pages() -> bool:
    """Tell whether a cache was given to Flask-Compress after the start, as its README has it."""
    return any(
        package_of(one) == "flask_compress" and getattr(owner_of(one), "cache", None) is not None
        for one in current_app.after_request_funcs.get(None, ())
    )


def _answer(response: Response, fields: Fields, body: Any = None) -> Response:
    """Return a copy of the host's response with these fields and this body."""
    if body is None and fields == list(response.headers):
        return response
    answer: Response = copy.copy(response)
    answer.headers = Headers(fields)
    if body is None:
        answer._on_close = list(response._on_close)
    else:
        answer._on_close = [response.close]
        answer.response = body
        answer.direct_passthrough = False
    return answer


def _hide_preconditions(widget: Widget) -> None:
    environ = _environ()
    if not has_preconditions(environ) or _is_exempt():
        return
    if hide_preconditions(widget, request_of(environ), environ):
        _forget_cached()


def _show_preconditions(app: Flask, exception: BaseException | None = None) -> None:
    if show_preconditions(_environ()):
        _forget_cached()


def _environ() -> WSGIEnvironment:
    # An attribute of the proxy itself takes nine times as long.
    return request._get_current_object().environ  # type: ignore[attr-defined, no-any-return]


def _forget_cached() -> None:
    for name in ("if_none_match", "if_modified_since"):
        request.__dict__.pop(name, None)
