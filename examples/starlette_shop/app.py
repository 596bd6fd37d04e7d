"""The tea shop with Starlette: AuthenticationMiddleware and signed cookie sessions."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    BaseUser,
    SimpleUser,
    requires,
)
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.templating import Jinja2Templates

from ensoras_middleware.asgi import EnsorasMiddleware  # Ensoras: line 1 of 3
from examples import shop

CACHING = {
    "etag": {"cache-control": "no-cache"},
    "max-age": {"cache-control": "max-age=600"},
    "last-modified": {"last-modified": format_datetime(shop.NOTES_CHANGED, usegmt=True)},
    "public": {"cache-control": "public, s-maxage=600"},
    "no-store": {"cache-control": "no-store"},
    "none": {},
}

static_files = StaticFiles(directory=shop.STATIC_DIR)
templates = Jinja2Templates(Path(__file__).parent / "templates")
templates.env.globals["shop"] = shop


class Password(NamedTuple):
    salt: bytes
    key: bytes

    @classmethod
    def of(cls, password: str) -> Password:
        salt = secrets.token_bytes(16)
        return cls(salt, cls.derive(password, salt))

    @staticmethod
    def derive(password: str, salt: bytes) -> bytes:
        return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)

    def matches(self, password: str) -> bool:
        return hmac.compare_digest(self.key, self.derive(password, self.salt))


class User(SimpleUser):
    """Starlette's user with an `email`, which the middleware reads."""

    def __init__(self, customer: shop.Customer) -> None:
        super().__init__(customer.name)
        self.email = customer.email


USERS = {customer.email: User(customer) for customer in shop.CUSTOMERS}
PASSWORDS = {email: Password.of(shop.DEMO_PASSWORD) for email in USERS}
NOBODY = Password.of("nobody")


class SessionBackend(AuthenticationBackend):
    """Finds the user whose address the signed session cookie carries."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        user = USERS.get(conn.session.get("email", ""))
        return (AuthCredentials(["authenticated"]), user) if user else None


def page(request: Request, template: str, *, status: int = 200, **context: object) -> Response:
    context = {"personal": True, "widget_src": shop.widget_src(), **context}
    return templates.TemplateResponse(request, template, context, status_code=status)


async def login(request: Request) -> Response:
    if request.method != "POST":
        return page(request, "login.html")
    async with request.form() as form:
        email = str(form.get("username", "")).strip().lower()
        password = str(form.get("password", ""))
    stored = PASSWORDS.get(email, NOBODY)
    if not await run_in_threadpool(stored.matches, password) or email not in USERS:
        return page(request, "login.html", failed=True, email=email, status=401)
    request.session.clear()
    request.session["email"] = email
    return RedirectResponse(shop.after_login(request.query_params.get("next")), 303)


async def logout(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse(request.url_for("products").path, 303)


async def products(request: Request) -> Response:
    return page(request, "products.html")


@requires("authenticated", redirect="login")
async def orders(request: Request) -> Response:
    return page(request, "orders.html", orders=shop.orders_of(request.user.email))


async def cached(request: Request) -> Response:
    style = request.path_params["style"]
    note = next((note for note in shop.NOTES if note.style == style), None)
    if note is None:
        raise HTTPException(404)
    response = page(request, "note.html", note=note, personal=note.personal)
    response.headers.update(CACHING[style])
    if style in ("etag", "max-age"):
        response.headers["etag"] = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    return conditional(request, response)


def conditional(request: Request, response: Response) -> Response:
    """Answer 304 where the browser's copy is good, by the comparison of Starlette's StaticFiles.

    That comparison takes it for granted that there is an ETag.
    """
    if "if-none-match" in request.headers and "etag" not in response.headers:
        return response
    if static_files.is_not_modified(response.headers, request.headers):
        return NotModifiedResponse(response.headers)
    return response


async def stream(request: Request) -> Response:
    whole = page(request, "stream.html").body
    return StreamingResponse(shop.pour_async(bytes(whole).decode()), media_type="text/html")


def create_app() -> Starlette:
    app = Starlette(
        routes=[
            Route("/", products),
            Route("/login", login, methods=["GET", "POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/orders", orders),
            Route("/cached/{style}", cached),
            Route("/stream", stream),
            Mount("/static", static_files, name="static"),
        ]
    )
    # What is added last is outermost.
    app.add_middleware(AuthenticationMiddleware, backend=SessionBackend())
    # All three shops live on 127.0.0.1, and cookies know no ports.
    app.add_middleware(
        SessionMiddleware, secret_key=shop.secret_key(), session_cookie="starlette_shop_session"
    )
    # Ensoras: line 2 of 3. Slug and secret come from the environment.
    # (Only the demo sets the origin, to show its own stand-in for app.ensoras.com.)
    app.add_middleware(EnsorasMiddleware, origin=shop.widget_origin())
    # Ensoras: line 3 of 3 is the widget tag in templates/base.html.
    return app
