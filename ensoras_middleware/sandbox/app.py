"""The sandbox as an ASGI app: what Ensoras serves to visitors, and a one-page dashboard."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

from ensoras_middleware import ConfigurationError
from ensoras_middleware.sandbox.account import CALLS_SHOWN, Account
from ensoras_middleware.sandbox.guards import LoopbackHostMiddleware, read_body, refuse_cross_site
from ensoras_middleware.sandbox.orders import orders_of
from ensoras_middleware.widget_tag import PATH, widget_tag

BODY_LIMIT = 8 * 1024  # an address has 254 characters at most, a hash 64

_HERE = Path(__file__).parent
_TEMPLATES = Jinja2Templates(_HERE / "templates")
_NOT_STORED = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_WIDGET_HEADERS = {
    **_NOT_STORED,
    "Cross-Origin-Resource-Policy": "cross-origin",  # for sites with COEP: require-corp
}
_DASHBOARD_HEADERS = {
    **_NOT_STORED,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # "no-referrer" would make the form's Origin "null"
}


def create_app(slug: str, secret: str, *, secret_file: Path | None = None) -> Starlette:
    """Return a stand-in for Ensoras with one widget.

    `secret` is the current one until somebody rotates it; an empty one stands for a random one.
    `secret_file`, where given, receives it now and at every rotation, in one step and readable
    by its owner alone.

    Raises `ConfigurationError` for a slug or a secret that no widget can have, `OSError` where
    the file cannot be written.
    """
    account = Account(slug, secret, secret_file)
    # The widget runs on the sites' origins. The dashboard shows the secret: no CORS there.
    any_origin = [
        Middleware(
            CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    ]
    app = Starlette(
        routes=[
            Route("/", _dashboard),
            Route("/dashboard/rotate", _rotate, methods=["POST"]),
            Mount(PATH, routes=[Route(f"/{slug}.js", _widget)], middleware=any_origin),
            Mount(
                "/api/v1/widget",
                routes=[Route(f"/{slug}/identify", _identify, methods=["POST"])],
                middleware=any_origin,
            ),
        ],
        middleware=[Middleware(LoopbackHostMiddleware)],
    )
    app.state.account = account
    return app


async def _widget(request: Request) -> Response:
    script = (_HERE / "widget.js").read_bytes()
    return Response(script, media_type="text/javascript", headers=_WIDGET_HEADERS)


async def _identify(request: Request) -> Response:
    email, hash = _credentials(await read_body(request, BODY_LIMIT))
    if not _account(request).identify(email, hash):
        return JSONResponse({"tier": "unverified"}, headers=_NOT_STORED)
    answer = {"tier": "verified", "email": email, "orders": orders_of(email)}
    return JSONResponse(answer, headers=_NOT_STORED)


def _credentials(body: bytes) -> tuple[str, str]:
    """Return the lower-cased address and the hash; the messages of its 400s repeat neither."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
    email, hash = (call.get("email"), call.get("hash")) if isinstance(call, dict) else (None, None)
    if not isinstance(email, str) or not isinstance(hash, str):
        raise HTTPException(400, 'The body must be {"email": string, "hash": string}.')
    try:
        (email + hash).encode()
    except UnicodeEncodeError:  # a lone surrogate would break the dashboard
        raise HTTPException(400, "The e-mail or the hash is not valid Unicode.") from None
    return email.lower(), hash


async def _dashboard(request: Request) -> Response:
    account = _account(request)
    origin = f"http://{request.headers['host']}"
    context = {
        "account": account,
        "calls_shown": CALLS_SHOWN,
        "origin": origin,
        "widget_tag": widget_tag(origin, account.slug),
    }
    return _TEMPLATES.TemplateResponse(
        request, "dashboard.html", context, headers=_DASHBOARD_HEADERS
    )


async def _rotate(request: Request) -> Response:
    refuse_cross_site(request)
    form = parse_qs((await read_body(request, BODY_LIMIT)).decode("utf-8", "replace"))
    try:
        secret = _account(request).rotate(form.get("secret", [""])[0])
    except ConfigurationError as error:
        raise HTTPException(400, f"Not rotated. {error}") from None
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"secret": secret}, headers=_NOT_STORED)
    return RedirectResponse("/", 303)


def _account(request: Request) -> Account:
    account: Account = request.app.state.account
    return account
