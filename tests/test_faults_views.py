"""What a view, or a layer inside of ours, hands to Flask or Django that is of no type they know.

It gets as far as without us: what they refuse, they refuse in their own words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import pytest
from adapters import PAGE
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.utils.decorators import sync_and_async_middleware
from faulty_hosts import HALF
from recording import WORDS
from test_faults_types import PARTS, WHERE, Raising, check


def changed(make: Callable[..., Any], *arguments: Any, **attributes: Any) -> Callable[[], Any]:
    """Return what makes a response, and changes what nobody should."""

    def response() -> Any:
        response = make(*arguments)
        for name, value in attributes.items():
            setattr(response, name, value)
        return response

    return response


FLASK: dict[str, Callable[[], Any]] = {
    f"{name} as {type(value).__name__}": changed(flask.Response, PAGE, **{name: value})
    for name, values in {
        "headers": [None, {"Content-Type": "text/html"}, 5],
        "response": [None, 5, Raising()],
        "_status_code": [None, "200", 10**30],
        "_on_close": [None, [5]],
        "iter_encoded": [None, Raising()],
        "direct_passthrough": [True, None],
    }.items()
    for value in values
}
FLASK |= {
    f"a {kind.__name__} of {part} {where}": lambda make=make, place=place, kind=kind: (
        flask.Response(kind(place(make())))
    )
    for part, make in PARTS.items()
    for where, place in WHERE.items()
    for kind in (list, iter)
}
FLASK |= PARTS
FLASK |= {
    f"a response of {part}": lambda make=make: flask.Response(make())
    for part, make in PARTS.items()
}


@pytest.mark.parametrize("view", FLASK)
def test_flask(view: str, caplog: pytest.LogCaptureFixture) -> None:
    """Flask: from a view, whose response has passed our `after_request`."""
    check("flask", lambda: FLASK[view](), caplog)


@pytest.mark.parametrize("view", FLASK)
def test_flask_after_request(view: str, caplog: pytest.LogCaptureFixture) -> None:
    """Flask: from a function that runs before ours, where Flask looks at nothing any more."""

    def host() -> str:
        flask.after_this_request(lambda response: FLASK[view]())
        return "text"

    check("flask", host, caplog)


class Whole(HttpResponse):
    """One that makes its content late, and cannot."""

    @property
    def content(self) -> Any:
        raise LookupError(*WORDS)

    @content.setter
    def content(self, value: object) -> None:
        pass


DJANGO: dict[str, Callable[[], Any]] = {
    f"{make.__name__}, {name} as {type(value).__name__}": changed(make, content, **{name: value})
    for make, content in ((HttpResponse, PAGE), (StreamingHttpResponse, [PAGE[:HALF], PAGE[HALF:]]))
    for name, values in {
        "headers": [None, {"Content-Type": "text/html"}, 5],
        "status_code": [None, "200", 10**30],
        "cookies": [None, 5],
        "streaming": [None, Raising()],
        "_container": [None, [5], Raising()],
        "_iterator": [None, 5, Raising()],
        "_resource_closers": [None, [5]],
        "is_async": [True],
    }.items()
    for value in values
}
DJANGO |= {
    f"a stream of {part} {where}": lambda make=make, place=place: StreamingHttpResponse(
        iter(place(make()))
    )
    for part, make in PARTS.items()
    for where, place in WHERE.items()
}
DJANGO |= PARTS | {"a response without content": Whole, "a class": lambda: HttpResponse}
DJANGO |= {
    f"a {name} of {part}": lambda make=make, response=response: response(make())
    for part, make in PARTS.items()
    for name, response in (("response", HttpResponse), ("stream", StreamingHttpResponse))
}


@pytest.mark.parametrize("view", DJANGO)
@pytest.mark.parametrize("adapter", ["django-wsgi", "django-asgi"])
def test_django(adapter: str, view: str, caplog: pytest.LogCaptureFixture) -> None:
    """Django: from a view."""

    def host(request: Any) -> Any:
        return DJANGO[view]()

    async def async_host(request: Any) -> Any:
        return DJANGO[view]()

    check(adapter, host if adapter == "django-wsgi" else async_host, caplog)


@sync_and_async_middleware
def layer(get_response: Any) -> Any:
    """One inside of ours, which answers what Django itself does not look at."""

    def answer(request: Any) -> Any:
        return DJANGO[get_response(request).headers["X-View"]]()

    async def answer_async(request: Any) -> Any:
        return DJANGO[(await get_response(request)).headers["X-View"]]()

    return answer_async if iscoroutinefunction(get_response) else answer


@pytest.mark.parametrize("view", DJANGO)
@pytest.mark.parametrize("adapter", ["django-wsgi", "django-asgi"])
def test_django_layers(adapter: str, view: str, caplog: pytest.LogCaptureFixture) -> None:
    """Django: from another middleware."""

    def host(request: Any) -> Any:
        return HttpResponse(headers={"X-View": view})

    async def async_host(request: Any) -> Any:
        return host(request)

    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, f"{__name__}.layer"]):
        check(adapter, host if adapter == "django-wsgi" else async_host, caplog)
