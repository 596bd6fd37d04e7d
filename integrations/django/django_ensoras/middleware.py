"""The Django middleware: drives the core, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from copy import deepcopy
from functools import partial
from typing import Any

from asgiref.sync import (
    async_to_sync,
    iscoroutinefunction,
    markcoroutinefunction,
    sync_to_async,
)
from django.apps import apps
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from django_ensoras.conf import options
from django_ensoras.users import email_getter, session_key, with_session
from ensoras_middleware.caching import Fields
from ensoras_middleware.configuration import require_arguments, require_sync, widget_from
from ensoras_middleware.eligibility import Request, is_html
from ensoras_middleware.endpoint import IdentityResponse
from ensoras_middleware.environ import (
    RESPONSIBLE,
    has_preconditions,
    header_of,
    hide_preconditions,
    show_preconditions,
)
from ensoras_middleware.injection import Injection
from ensoras_middleware.log import is_debugging
from ensoras_middleware.secret import is_async

_NOT_INSTALLED = (
    "django_ensoras is not in INSTALLED_APPS, so `manage.py check` does not look at how the site "
    "uses Ensoras: add it."
)


class EnsorasMiddleware:
    """Identifies the logged-in user on every page that carries the widget tag.

    Put it high in `MIDDLEWARE`, with only `GZipMiddleware` and `ConditionalGetMiddleware` above.

    Raises `ConfigurationError` where a setting is missing or cannot work.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        widget = widget_from(options())
        if widget is None:
            raise MiddlewareNotUsed("ENSORAS_ENABLED is False")
        self.get_response = get_response
        self._widget = widget
        if not apps.is_installed("django_ensoras"):
            widget.warn_once("not-installed", _NOT_INSTALLED)
        require_arguments(widget.get_email, takes_request=True)
        self._get_email = email_getter(widget)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            self.process_view: Callable[..., Any] = self._process_view_async
        else:
            require_sync(widget.get_email)
            self.process_view = self._process_view

    def __call__(self, request: HttpRequest) -> Any:
        """Answer one request as the rest of the site does."""
        if self._is_async:
            return self._answer_async(request)
        if not self._is_responsible(request):
            return self.get_response(request)
        path = request.path_info  # now, since the site may shift it
        self._hide_preconditions(request)
        try:
            response: HttpResponseBase = self.get_response(request)
        finally:
            _show_preconditions(request)
        try:
            return self._identify(path, request, response)
        except Exception as error:  # a response that is none, perhaps: Django's to refuse
            self._widget.warn_of_fault(error)
            return response
        except BaseException:  # such as a time-out of gevent: Django forgets the response
            response.close()
            raise

    async def _answer_async(self, request: HttpRequest) -> Any:
        if not self._is_responsible(request):
            return await self.get_response(request)
        path = request.path_info
        self._hide_preconditions(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
        finally:
            _show_preconditions(request)
        try:
            return await self._identify_async(path, request, response)
        except Exception as error:
            self._widget.warn_of_fault(error)
            return response

    def _identify(self, path: str, request: HttpRequest, response: HttpResponseBase) -> Any:
        if not self._may_be_page(request, response):
            return response
        injection = self._injection(path, request, response)
        if not _needs_user(injection, response):
            return _copy(response, injection.fields)
        return self._read_and_identify(injection, request, response)

    async def _identify_async(
        self, path: str, request: HttpRequest, response: HttpResponseBase
    ) -> Any:
        if not self._may_be_page(request, response):
            return response
        injection = self._injection(path, request, response)
        if not _needs_user(injection, response):
            return _copy(response, injection.fields)
        if not is_async(self._get_email):
            # In a thread: it may query the database, and so may a callable that gives the secret.
            # Not `request.auser()`: impersonation replaces `request.user` only.
            return await sync_to_async(self._read_and_identify)(injection, request, response)
        try:
            injection.user_is(await self._get_email(request))
        except Exception as error:
            injection.user_failed(error)
        return await sync_to_async(_identified)(injection, response)

    def _read_and_identify(self, injection: Injection, request: HttpRequest, response: Any) -> Any:
        session = None
        try:
            session = session_key(request)
            injection.user_is(self._get_email(request))
        except Exception as error:
            injection.user_failed(error)
        answer = _identified(injection, response)
        try:
            if session_key(request) != session:
                answer = with_session(request, answer)
        except Exception as error:
            injection.user_failed(error)
        return answer

    def identity(self, request: HttpRequest) -> HttpResponse:
        """Answer as the identity endpoint does; see `views`."""
        query = request.META.get("QUERY_STRING", "")
        response = IdentityResponse(self._widget, _request(request.path_info, request), query)
        marks_of(request)[RESPONSIBLE] = None
        if response.outcome is None:
            get_email = self._get_email
            try:
                # Under ASGI Django runs the view in a thread, where this waits for the loop.
                get_email = async_to_sync(get_email) if is_async(get_email) else get_email
                response.user_is(get_email(request))
            except Exception as error:
                response.user_failed(error)
            response.give()
        answer = HttpResponse(response.body, status=response.status)
        answer.headers = type(answer.headers)(dict(response.fields))
        return answer

    def _process_view(self, request: HttpRequest, view: Any, *arguments: Any) -> None:
        if _is_exempt(view):
            _show_preconditions(request)

    async def _process_view_async(self, request: HttpRequest, view: Any, *arguments: Any) -> None:
        self._process_view(request, view)

    def _is_responsible(self, request: HttpRequest) -> bool:
        return marks_of(request).setdefault(RESPONSIBLE, self) is self

    def _hide_preconditions(self, request: HttpRequest) -> None:
        if has_preconditions(request.META) and hide_preconditions(
            self._widget, _request(request.path_info, request), request.META
        ):
            _forget_headers(request)

    def _may_be_page(self, request: HttpRequest, response: HttpResponseBase) -> bool:
        if is_html(response.headers.get("Content-Type")):
            return True
        wanted = self._widget.wants_every_outcome or is_debugging()
        return wanted and self._is_responsible(request)

    def _injection(self, path: str, request: HttpRequest, response: HttpResponseBase) -> Injection:
        return Injection(
            self._widget,
            _request(path, request),
            response.status_code,
            list(response.headers.items()),
            exempt=_is_exempt(getattr(request.resolver_match, "func", None)),
        )


def marks_of(request: HttpRequest) -> dict[str, Any]:
    """Return where the layers of this middleware around a request see each other's marks."""
    marks: dict[str, Any] = getattr(request, "scope", request.META)
    return marks


def _is_exempt(view: Any) -> bool:
    return bool(getattr(view, "ensoras_exempt", False))


def _needs_user(injection: Injection, response: Any) -> bool:
    if injection.outcome is not None:
        return False
    return bool(response.streaming) or injection.names_widget(response.content)


def _identified(injection: Injection, response: Any) -> Any:
    if response.streaming:
        injection.start_stream()
        answer = _copy(response, injection.fields, always=True)
        stream = partial(_stream_async, injection) if response.is_async else injection.stream
        answer.streaming_content = stream(response.streaming_content)
        return answer
    body = injection.whole(response.content)
    answer = _copy(response, injection.fields, always=True)
    answer.content = body
    return answer


def _copy(response: Any, fields: Fields, *, always: bool = False) -> Any:
    """Return the response with these fields: a copy, since the host may keep its own."""
    if not always and fields == list(response.headers.items()):
        return response
    answer: Any = response.__class__.__new__(response.__class__)
    answer.__dict__.update(response.__dict__)
    answer.headers = type(response.headers)(dict(fields))
    answer.cookies = deepcopy(response.cookies)
    answer._resource_closers = list(response._resource_closers)
    return answer


async def _stream_async(injection: Injection, chunks: Any) -> AsyncIterator[bytes]:
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                if injection.may_ask_for_secret:  # in a thread: it may query the database
                    data = await sync_to_async(injection.feed)(chunk)
                else:
                    data = injection.feed(chunk)
                if data:
                    yield data
                del data  # error trackers show the variables of frames
    except Exception:
        if held := injection.finish():
            yield held
        raise
    if held := injection.finish():
        yield held


def _request(path: str, request: HttpRequest) -> Request:
    return Request(request.method or "GET", path, header_of(request.META))


def _show_preconditions(request: HttpRequest) -> None:
    if show_preconditions(request.META):
        _forget_headers(request)


def _forget_headers(request: HttpRequest) -> None:
    request.__dict__.pop("headers", None)  # made of META when first asked for
