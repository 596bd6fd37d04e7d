"""The sites of the browser matrix: one small shop in each framework, behind a real server.

Run as a script, one site for each process: `history_sites.py SITE WIDGET_ORIGIN FD`; the last is a
listening socket. Every shop has the pages of `PAGES`, each with the widget and cached as its name
says, the same bytes for every visitor; `/door`, a page without the widget; `POST /user`, which logs
the visitor in or out; and `POST /middleware`, which installs the middleware or takes it away.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs

SLUG = "acme"
SECRET = "a-secret-of-the-tests-0123456789"
KEY = "k" * 50

# The hosts' header fields. A page that is two years old is fresh to browsers for 70 days more
# where only `Last-Modified` says so (RFC 9111, section 4.2.2).
PAGES = {
    "no-cache": {"Cache-Control": "no-cache", "ETag": '"1"'},
    "max-age": {"Cache-Control": "max-age=600", "ETag": '"1"'},
    "last-modified": {"Last-Modified": "Mon, 01 Jan 2024 10:00:00 GMT"},
    "public": {"Cache-Control": "public, s-maxage=600"},
    "no-store": {"Cache-Control": "no-store"},
    "none": {},
}
LINKS = "".join(
    f'<a id="{name}-{way}" href="/{name}?{way}">{name}</a> '
    for name in PAGES
    for way in ("link", "type", "back")
)
# The icon spares the sites one request for each page.
DOOR = (
    '<!doctype html><title>Door</title><link rel="icon" href="data:,">'
    '<body><a id="door" href="/door">door</a> <a id="frames" href="/frames">frames</a> '
    f"{LINKS}</body>"
)


# A page without the widget whose frames have it.
FRAMES = DOOR.replace(
    "</body>", "".join(f'<iframe src="/{name}?frame"></iframe>' for name in PAGES)
)


def page_of(origin: str) -> bytes:
    """Return the page that carries the widget; nobody is greeted on it."""
    tag = f'<script src="{origin}/cdn/v1/widget/{SLUG}.js" async defer></script>'
    return DOOR.replace("</body>", tag + "</body>").encode()


class Switch:
    """Whether the middleware is installed; both sites are the same but for that."""

    def __init__(self, build: Callable[[bool], Any]) -> None:
        self.sites = {installed: build(installed) for installed in (True, False)}
        self.installed = True

    def take(self, body: bytes) -> None:
        self.installed = body == b"on"

    @property
    def site(self) -> Any:
        return self.sites[self.installed]


class WsgiSwitch(Switch):
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/middleware":
            answer: Iterable[bytes] = self.site(environ, start_response)
            return answer
        self.take(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("204 No Content", [])
        return []


class AsgiSwitch(Switch):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/middleware":
            await self.site(scope, receive, send)
            return
        self.take((await receive())["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


# --- WSGI: sessions on the server, with a new id for each log-in ------------------------------


def wsgi(origin: str) -> Any:
    from werkzeug.wrappers import Request, Response

    from ensoras_middleware.wsgi import EnsorasMiddleware

    page, sessions = page_of(origin), {}

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        name = request.path[1:]
        if name == "user":
            response = Response(status=204)
            sessions.pop(request.cookies.get("sid"), None)
            response.delete_cookie("sid")
            if email := request.form["email"]:
                sid = token_hex()
                sessions[sid] = email
                response.set_cookie("sid", sid, httponly=True)
        elif name in PAGES:
            response = Response(page, headers=PAGES[name], mimetype="text/html")
            response.make_conditional(request)
        else:
            response = Response(FRAMES if name == "frames" else DOOR, mimetype="text/html")
        return response(environ, start_response)

    def email_of(request: Request) -> str | None:
        return sessions.get(request.cookies.get("sid"))

    def build(installed: bool) -> Any:
        options = {"slug": SLUG, "secret": SECRET, "origin": origin, "enabled": installed}
        return EnsorasMiddleware(host, get_email=email_of, **options)

    return WsgiSwitch(build)


# --- ASGI: Starlette with sessions in a signed cookie -----------------------------------------


def asgi(origin: str) -> Any:
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route
    from starlette.staticfiles import NotModifiedResponse, StaticFiles

    from ensoras_middleware.asgi import EnsorasMiddleware

    page, files = page_of(origin), StaticFiles()

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            if "email" not in conn.session:
                return None
            user = SimpleUser("somebody")
            user.email = conn.session["email"]
            return AuthCredentials(["authenticated"]), user

    async def user(request: Any) -> Response:
        email = parse_qs((await request.body()).decode())
        request.session.clear()
        if email:
            request.session["email"] = email["email"][0]
        return Response(status_code=204)

    async def door(request: Any) -> Response:
        return HTMLResponse(DOOR)

    async def cached(request: Any) -> Response:
        response = HTMLResponse(page, headers=PAGES[request.path_params["name"]])
        if "etag" not in response.headers and "last-modified" not in response.headers:
            return response
        if files.is_not_modified(response.headers, request.headers):
            return NotModifiedResponse(response.headers)
        return response

    routes = [
        Route("/door", door),
        Route("/user", user, methods=["POST"]),
        Route("/{name}", cached),
    ]

    def build(installed: bool) -> Any:
        options = {"slug": SLUG, "secret": SECRET, "origin": origin, "enabled": installed}
        return Starlette(
            routes=routes,
            middleware=[
                Middleware(EnsorasMiddleware, **options),
                Middleware(SessionMiddleware, secret_key=KEY),
                Middleware(AuthenticationMiddleware, backend=Backend()),
            ],
        )

    return AsgiSwitch(build)


# --- Flask: its own cookie sessions, and sessions on the server that keep their id ------------


def flask(origin: str, *, server_side: bool = False) -> Any:
    import flask
    import flask_login
    from flask.sessions import SecureCookieSession, SessionInterface
    from flask_ensoras import Ensoras

    page = page_of(origin)
    stored: dict[str, dict[str, Any]] = {}

    class KeptId(SessionInterface):
        """The id stays the same through log-in and log-out, where nobody renews it."""

        def open_session(self, app: Any, request: Any) -> Any:
            return SecureCookieSession(stored.get(request.cookies.get("sid"), {}))

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            if session.modified:
                session.setdefault("sid", token_hex())
                stored[session["sid"]] = dict(session)
                if flask.request.cookies.get("sid") != session["sid"]:
                    response.set_cookie("sid", session["sid"], httponly=True)

    def build(installed: bool) -> Any:
        app = flask.Flask(__name__, static_folder=None)
        app.config.update(
            SECRET_KEY=KEY,
            ENSORAS_WIDGET_SLUG=SLUG,
            ENSORAS_WIDGET_SECRET=SECRET,
            ENSORAS_WIDGET_ORIGIN=origin,
            ENSORAS_ENABLED=installed,
        )
        if server_side:
            app.session_interface = KeptId()
        Ensoras(app)
        users = flask_login.LoginManager(app)
        users.session_protection = None

        @users.user_loader
        def user_of(email: str) -> Any:
            user = flask_login.UserMixin()
            user.id = user.email = email
            return user

        @app.post("/user")
        def user() -> Any:
            flask_login.logout_user()
            if email := flask.request.form["email"]:
                flask_login.login_user(user_of(email))
            return "", 204

        @app.get("/door")
        def door() -> str:
            flask.session.setdefault("basket", [])  # so it lives through the log-out
            return DOOR

        @app.get("/<name>")
        def cached(name: str) -> flask.Response:
            response = flask.Response(page, headers=PAGES[name], mimetype="text/html")
            return response.make_conditional(flask.request)

        return app

    return WsgiSwitch(build)


def django(origin: str, **options: Any) -> Any:
    from history_django import build  # settles the settings of this process

    return (AsgiSwitch if options["is_async"] else WsgiSwitch)(
        build(page_of(origin), origin, **options)
    )


# --- The sites, and their servers -------------------------------------------------------------

SITES: dict[str, Callable[[str], Any]] = {
    "wsgi": wsgi,
    "asgi": asgi,
    "flask": flask,
    "flask-kept-id": lambda origin: flask(origin, server_side=True),
    "django-wsgi": lambda origin: django(origin, sessions="db", is_async=False),
    "django-asgi": lambda origin: django(origin, sessions="signed_cookies", is_async=True),
    "django-conditional": lambda origin: django(
        origin, sessions="cache", is_async=False, conditional=True
    ),
}


def serve(name: str, origin: str, fd: int) -> None:
    site = SITES[name](origin)
    listener = socket.socket(fileno=fd)
    if isinstance(site, AsgiSwitch):
        import uvicorn

        config = uvicorn.Config(site, log_level="warning", lifespan="off", ws="none")
        uvicorn.Server(config).run(sockets=[listener])
    else:
        import waitress

        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a browser opens many at once
        waitress.serve(site, sockets=[listener], threads=8, _quiet=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
