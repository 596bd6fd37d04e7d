"""The Python blocks of `docs/wsgi.md` run as they stand there."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import bottle
import falcon
import proxies
import pytest
from adapters import PAGE, SECRET, SLUG
from pyramid.authentication import AuthTktCookieHelper
from pyramid.config import Configurator
from pyramid.response import Response as PyramidResponse
from pyramid.security import forget, remember
from recipes import EMAILS, Recipes, Visitor, assert_log_in_counts, chunks, whose
from werkzeug.wrappers import Request, Response

WSGI = Recipes("wsgi.md")


@pytest.fixture(autouse=True)
def widget(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The environment that the page names; no recipe may bring a warning."""
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
    yield
    assert [one for one in caplog.get_records("call") if one.name == "ensoras_middleware"] == []


@Request.application
def by_cookie(request: Request) -> Response:
    """A site that knows its customers by a cookie."""
    response = Response(chunks() if request.path == "/stream" else PAGE, mimetype="text/html")
    if request.path == "/log-in":
        response.set_cookie("user", request.args["user"])
    if request.path == "/log-out":
        response.delete_cookie("user")
    return response


def email_of(cookies: Any) -> str | None:
    return EMAILS.get(cookies.get("user", ""))


def test_every_block_is_tried_here() -> None:
    """A block added to the page needs a test."""
    assert WSGI.names == {
        ("Pyramid, Falcon, Bottle and every other WSGI application", 0),
        ("Pyramid", 0),
        ("Falcon", 0),
        ("Bottle", 0),
        ("Bottle", 1),
        ("The server, or a proxy, logs in", 0),
        ("The server, or a proxy, logs in", 1),
    }


def test_any_application() -> None:
    modules = {"site": {"app": by_cookie}, "sessions": {"email_of": email_of}}
    heading = "Pyramid, Falcon, Bottle and every other WSGI application"
    assert_log_in_counts(WSGI.run(heading, **modules).app, wsgi=True)


class TicketPolicy:
    """A security policy with Pyramid's own signed ticket."""

    def __init__(self) -> None:
        self._tickets = AuthTktCookieHelper("tests", hashalg="sha512")

    def identity(self, request: Any) -> Any:
        return self._tickets.identify(request)

    def authenticated_userid(self, request: Any) -> str | None:
        identity = self.identity(request)
        return None if identity is None else identity["userid"]

    def permits(self, request: Any, context: Any, permission: str) -> bool:
        return True

    def remember(self, request: Any, userid: str, **options: Any) -> Any:
        return self._tickets.remember(request, userid, **options)

    def forget(self, request: Any, **options: Any) -> Any:
        return self._tickets.forget(request, **options)


def pyramid_site() -> Configurator:
    def page(request: Any) -> PyramidResponse:
        return PyramidResponse(PAGE)

    def stream(request: Any) -> PyramidResponse:
        return PyramidResponse(app_iter=chunks(), content_type="text/html")

    def log_in(request: Any) -> PyramidResponse:
        return PyramidResponse(headerlist=remember(request, request.params["user"]))

    def log_out(request: Any) -> PyramidResponse:
        return PyramidResponse(headerlist=forget(request))

    config = Configurator()
    config.set_security_policy(TicketPolicy())
    views = {"/": page, "/stream": stream, "/log-in": log_in, "/log-out": log_out}
    for path, view in views.items():
        config.add_route(path, path)
        config.add_view(view, route_name=path)
    config.add_notfound_view(page)
    return config


def test_pyramid() -> None:
    """Any security policy; on the page of an exception too."""
    modules = {"site": {"config": pyramid_site()}, "customers": {"verified_email": EMAILS.get}}
    app = WSGI.run("Pyramid", **modules).app
    assert_log_in_counts(app, wsgi=True)
    alice = Visitor(app, wsgi=True)
    alice.get("/log-in?user=alice")
    assert alice.get("/missing").status_code == 200
    assert alice.seen("/missing") == "alice"


def test_falcon() -> None:
    """A middleware that looks its customer up, here by a cookie."""
    names = WSGI.run("Falcon", customers={"verified_email": lambda req: email_of(req.cookies)})

    class Page:
        def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.content_type = "text/html"
            resp.data = PAGE

        def on_get_stream(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.content_type = "text/html"
            resp.stream = chunks()

        def on_get_log_in(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.set_cookie("user", req.params["user"])

        def on_get_log_out(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.unset_cookie("user")

    names.site.add_route("/", Page())
    for suffix in ("stream", "log_in", "log_out"):
        names.site.add_route("/" + suffix.replace("_", "-"), Page(), suffix=suffix)
    assert_log_in_counts(names.app, wsgi=True)


def bottle_pages(site: bottle.Bottle, log_in: Callable[[str], object], log_out: Any) -> None:
    site.route("/", callback=lambda: PAGE)
    site.route("/stream", callback=chunks)
    site.route("/log-in", callback=lambda: log_in(bottle.request.query.user) or "")
    site.route("/log-out", callback=lambda: log_out() or "")


def test_bottle() -> None:
    """Its own signed cookies."""
    names = WSGI.run("Bottle")

    def log_in(user: str) -> None:
        bottle.response.set_cookie("customer", EMAILS[user], secret=names.KEY)

    bottle_pages(names.site, log_in, lambda: bottle.response.delete_cookie("customer"))
    assert_log_in_counts(names.app, wsgi=True)
    forger = Visitor(names.app, wsgi=True)
    forger.cookies.set("customer", EMAILS["alice"])
    assert forger.seen() is None


def test_beaker() -> None:
    """A session of its middleware, inside of ours."""
    site = bottle.Bottle()

    def log_in(user: str) -> None:
        session = bottle.request.environ["beaker.session"]
        session["verified_email"] = EMAILS[user]
        session.save()

    bottle_pages(site, log_in, lambda: bottle.request.environ["beaker.session"].delete())
    app = WSGI.run("Bottle", 1, site={"app": site}).app
    assert_log_in_counts(app, wsgi=True)


# The server, or a proxy, logs in ----------------------------------------------------------------

FORGED = ["Remote-User", "Remote_User", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-Email"]


def test_remote_user() -> None:
    """What the server sets counts; what a client sends by any such name does not."""
    app = WSGI.run("The server, or a proxy, logs in", site={"app": by_cookie}).app

    def server(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return app(environ | {"REMOTE_USER": EMAILS["alice"]}, start_response)

    alice, anybody = Visitor(server, wsgi=True), Visitor(app, wsgi=True)
    assert (alice.seen("/"), alice.seen("/stream")) == ("alice", "alice")
    for name in FORGED:
        assert anybody.seen("/", **{name: EMAILS["bob"]}) is None
        assert alice.seen("/", **{name: EMAILS["bob"]}) == "alice"


def test_proxy() -> None:
    """The header counts where the proxy sends it, and from nobody else."""
    app = WSGI.run("The server, or a proxy, logs in", 1, site={"app": by_cookie}).app
    by_proxy = Visitor(app, wsgi=True, address="10.0.0.2")
    directly = Visitor(app, wsgi=True, address="10.0.0.3")
    header = {"X-Forwarded-Email": EMAILS["alice"]}
    assert (by_proxy.seen(**header), by_proxy.seen("/stream", **header)) == ("alice", "alice")
    assert by_proxy.seen() is None
    assert directly.seen(**header) is None
    assert directly.seen(**header, **{"X-Forwarded-For": "10.0.0.2"}) is None


class _Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def running(app: Any) -> Iterator[tuple[str, int]]:
    """Python's own server, which cannot tell `X_Forwarded_Email` from `X-Forwarded-Email`."""
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address  # type: ignore[misc]
        server.shutdown()
        thread.join()


# As with auth_request, `$email` is of who is logged in at the proxy, and empty for nobody.
LOGS_IN = proxies.Setup(
    """
    set $email "";
    if ($cookie_user = alice) { set $email "alice@example.com"; }
    proxy_set_header X-Forwarded-Email $email;
    proxy_no_cache 1;
    proxy_cache_bypass 1;
    """
)


@pytest.mark.servers
def test_nginx_overwrites_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line on the page: a visitor's own header, in any spelling, reaches nobody."""
    names = WSGI.run("The server, or a proxy, logs in", 1, site={"app": by_cookie})
    names.PROXIES.add("127.0.0.1")
    monkeypatch.setattr(proxies, "NGINX", {"plain": LOGS_IN})

    def shown(address: tuple[str, int], **fields: str) -> str | None:
        connection = http.client.HTTPConnection(*address, timeout=10)
        connection.request(
            "GET", "/", headers={"Host": "plain.shop", "Accept": "text/html"} | fields
        )
        body = connection.getresponse().read()
        connection.close()
        return whose(body)

    alice = {"Cookie": "user=alice"}
    forged = [{name: EMAILS["bob"]} for name in ("X-Forwarded-Email", "X_Forwarded_Email")]
    with running(names.app) as site, proxies.nginx(tmp_path, {"shop": site}) as address:
        assert (shown(address, **alice), shown(address)) == ("alice", None)
        for header in forged:
            assert (shown(address, **alice, **header), shown(address, **header)) == ("alice", None)
            assert shown(site, **header) == "bob"  # why nobody may get past the proxy
