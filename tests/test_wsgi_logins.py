"""Who is logged in to a WSGI site: what `get_email` finds after the application has answered."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import bottle
import falcon
import pytest
from adapters import PAGE, SECRET, SLUG
from beaker.middleware import SessionMiddleware
from pyramid.config import Configurator
from pyramid.events import NewResponse
from pyramid.httpexceptions import HTTPForbidden
from pyramid.response import Response as PyramidResponse
from recipes import EMAILS, Visitor, chunks
from secure import ContentSecurityPolicy, Secure
from secure.middleware import SecureWSGIMiddleware

from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.log import PROBLEMS
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.wsgi import EnsorasMiddleware

OPTIONS: Any = {"slug": SLUG, "secret": SECRET}
KEY = "shop.verified_email"


def ours(app: Any, get_email: Any = lambda request: request.environ.get(KEY)) -> Visitor:
    return Visitor(EnsorasMiddleware(app, get_email=get_email, **OPTIONS), wsgi=True)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert all(one.levelno == logging.WARNING for one in records)
    assert not any(email in one.getMessage() for one in records for email in EMAILS.values())
    return [one.getMessage() for one in records]


# What a layer inside writes into the environment, and when --------------------------------------


def before_start(environ: Any, start_response: Any) -> Iterable[bytes]:
    environ[KEY] = EMAILS["alice"]
    start_response("200 OK", [("Content-Type", "text/html")])
    return [PAGE]


def after_start(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/html")])
    environ[KEY] = EMAILS["alice"]
    return chunks()


def by_generator(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Nothing of it has run when the application returns."""
    environ[KEY] = EMAILS["alice"]
    start_response("200 OK", [("Content-Type", "text/html")])
    yield from chunks()


@pytest.mark.parametrize("app", [before_start, after_start, by_generator])
def test_written_before_the_first_byte(app: Any) -> None:
    """It is read when the first byte is there, whatever the way in which it comes."""
    assert ours(app).seen() == "alice"


def test_written_too_late() -> None:
    """What is written behind the first byte of a stream comes too late: nobody."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        for chunk in chunks():
            yield chunk
            environ[KEY] = EMAILS["alice"]

    assert ours(app).seen() is None


def test_get_email_is_needed() -> None:
    """WSGI knows no user, not even `REMOTE_USER` by default."""
    with pytest.raises(ConfigurationError, match="get_email"):
        EnsorasMiddleware(before_start, **OPTIONS)


@pytest.mark.parametrize("name", [KEY, "Shop-Verified-Email", "Shop.Verified_Email", "REMOTE-USER"])
def test_no_header_counts(name: str) -> None:
    """A client's header fields get keys that begin with HTTP_, whatever their names are."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [PAGE]

    def email(request: Any) -> str | None:
        found: str | None = request.environ.get(KEY) or request.environ.get("REMOTE_USER")
        return found

    assert ours(app, email).seen(**{name: EMAILS["alice"]}) is None


# Pyramid ----------------------------------------------------------------------------------------


class ByCookie:
    """The smallest security policy; a real one is in `test_docs_wsgi`."""

    def identity(self, request: Any) -> Any:
        return self.authenticated_userid(request)

    def authenticated_userid(self, request: Any) -> str | None:
        return request.cookies.get("user")  # type: ignore[no-any-return]

    def permits(self, request: Any, context: Any, permission: str) -> bool:
        return False


def remember(event: NewResponse) -> None:
    event.request.environ[KEY] = EMAILS.get(event.request.authenticated_userid)


def pyramid_views(config: Configurator) -> None:
    def page(request: Any) -> PyramidResponse:
        return PyramidResponse(PAGE)

    def failing(request: Any) -> PyramidResponse:
        raise HTTPForbidden

    config.set_security_policy(ByCookie())
    for name, view, permission in [
        ("/", page, None),
        ("/forbidden", failing, None),
        ("/not-permitted", page, "buy"),
    ]:
        config.add_route(name, name)
        config.add_view(view, route_name=name, permission=permission)
    config.add_notfound_view(page)
    config.add_forbidden_view(page)


@pytest.mark.parametrize("path", ["/", "/missing", "/forbidden", "/not-permitted"])
def test_pyramid_on_every_page(path: str) -> None:
    """The views of exceptions too; the subscriber comes behind all tweens."""
    config = Configurator()
    pyramid_views(config)
    config.add_subscriber(remember, NewResponse)
    alice, nobody = ours(config.make_wsgi_app()), ours(config.make_wsgi_app())
    alice.cookies.set("user", "alice")
    assert (alice.seen(path), nobody.seen(path)) == ("alice", None)


# Falcon -----------------------------------------------------------------------------------------


class Remember:
    def process_response(self, req: Any, resp: Any, resource: Any, succeeded: bool) -> None:
        req.env[KEY] = EMAILS.get(req.cookies.get("user", ""))


def falcon_error(req: Any, resp: Any, error: Any, params: Any) -> None:
    resp.content_type, resp.data = "text/html", PAGE


def test_falcon_on_the_page_of_an_error() -> None:
    """`process_response` runs there too."""
    site = falcon.App(middleware=[Remember()])
    site.add_error_handler(falcon.HTTPNotFound, falcon_error)
    alice, nobody = ours(site), ours(site)
    alice.cookies.set("user", "alice")
    assert (alice.seen("/missing"), nobody.seen("/missing")) == ("alice", None)


# Bottle and Beaker ------------------------------------------------------------------------------


def beaker_email(request: Any) -> str | None:
    email: str | None = request.environ["beaker.session"].get("verified_email")
    return email


def beaker_site() -> bottle.Bottle:
    site = bottle.Bottle()

    @site.route("/log-in")
    def log_in() -> bytes:
        session = bottle.request.environ["beaker.session"]
        session["verified_email"] = EMAILS[bottle.request.query.user]
        session.save()
        return PAGE

    @site.route("/log-out")
    def log_out() -> bytes:
        bottle.request.environ["beaker.session"].delete()
        return PAGE

    return site


def test_beaker_in_the_same_answer() -> None:
    """The page that answers a log-in is the new customer's, and that of a log-out nobody's."""
    visitor = ours(SessionMiddleware(beaker_site(), {"session.type": "memory"}), beaker_email)
    assert [visitor.seen(f"/log-in?user={user}") for user in EMAILS] == ["alice", "bob"]
    assert visitor.seen("/log-out") is None


def test_beaker_outside_is_as_good() -> None:
    """The environment is the same one on both sides."""
    inner = EnsorasMiddleware(beaker_site(), get_email=beaker_email, **OPTIONS)
    visitor = Visitor(SessionMiddleware(inner, {"session.type": "memory"}), wsgi=True)
    assert [visitor.seen(f"/log-in?user={user}") for user in EMAILS] == ["alice", "bob"]


def test_without_its_session_layer(caplog: pytest.LogCaptureFixture) -> None:
    """A recipe whose layer is not there leaves visitors anonymous, and that is told once."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [PAGE]

    visitor = ours(app, beaker_email)
    assert [visitor.seen(), visitor.seen()] == [None, None]
    (message,) = told(caplog)
    assert message.startswith(PROBLEMS[Outcome.USER_ERROR].partition("%s")[0])
    assert "KeyError" in message


# Order ------------------------------------------------------------------------------------------


def test_policy_inside() -> None:
    """The package secure belongs inside: its policy then admits the script."""
    policy = Secure(csp=ContentSecurityPolicy().set("script-src https://app.ensoras.com"))
    inside = ours(SecureWSGIMiddleware(before_start, secure=policy))
    assert "'sha256-" in inside.get("/").headers["content-security-policy"]
