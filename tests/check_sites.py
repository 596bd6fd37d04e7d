"""Sites with the mistakes that the command `check` is for, each below a path of its own."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensoras_middleware import identity_hash
from ensoras_middleware.asgi import EnsorasMiddleware

# What nobody may be shown.
SESSIONS = {"session-of-alice-4711": ALICE, "session-of-bob-4712": BOB}
OF_ALICE, OF_BOB = (f"session={session}" for session in SESSIONS)


# --- Parts of sites ---------------------------------------------------------------------------


def customer_of(connection: HTTPConnection) -> str | None:
    return SESSIONS.get(connection.cookies.get("session", ""))


def ours(app: ASGIApp, **options: Any) -> ASGIApp:
    options = {"slug": SLUG, "secret": SECRET, "get_email": customer_of} | options
    return EnsorasMiddleware(app, **options)


def host(body: bytes = PAGE, **headers: str) -> ASGIApp:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}

    async def view(scope: Scope, receive: Receive, send: Send) -> None:
        await HTMLResponse(body, headers=fields)(scope, receive, send)

    return view


async def streamed(scope: Scope, receive: Receive, send: Send) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield PAGE[:30]
        yield PAGE[30:]

    await StreamingResponse(chunks(), media_type="text/html")(scope, receive, send)


def with_fields(app: ASGIApp, **headers: str) -> ASGIApp:
    """Let a layer outside of the site replace header fields."""
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def replace(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [one for one in message["headers"] if one[0].lower() not in fields]
                message = {**message, "headers": [*kept, *fields.items()]}
            await send(message)

        await app(scope, receive, replace)

    return outer


def cached(app: ASGIApp) -> ASGIApp:
    """Let a cache that heeds nothing keep the first answer for everybody."""
    stored: list[Message] = []

    async def cache(scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(message: Message) -> None:
            stored.append(message)

        if not stored:
            await app(scope, receive, keep)
        for message in list(stored):
            await send(message)

    return cache


def not_modified(app: ASGIApp) -> ASGIApp:
    """Let a layer outside compare validators, whoever asks."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if "if-none-match" in HTTPConnection(scope).headers:
            app_of_cache: ASGIApp = Response(status_code=304)
            await app_of_cache(scope, receive, send)
        else:
            await app(scope, receive, send)

    return outer


def without_scripts(app: ASGIApp) -> ASGIApp:
    """Let a layer outside drop the identify script, as some optimisers do."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def drop(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [one for one in message["headers"] if one[0] != b"content-length"]
                message = {**message, "headers": kept}
            elif message["body"]:
                message = {**message, "body": PAGE}
            await send(message)

        await app(scope, receive, drop)

    return outer


def call_by_hand(email: str, hash: str) -> bytes:
    return b"<script>Ensoras('identify', {email: '%s', hash: '%s'});</script>" % (
        email.encode(),
        hash.encode(),
    )


def hash_of(email: str) -> str:
    return identity_hash(email, SECRET)


def empty_hash(email: str | None) -> bytes:
    """A template that leaves nothing out for anonymous visitors."""
    return PAGE.replace(TAG, call_by_hand(email or "", hash_of(email) if email else "") + TAG)


def by_customer(page: Callable[[str | None], bytes]) -> ASGIApp:
    async def view(scope: Scope, receive: Receive, send: Send) -> None:
        response = HTMLResponse(page(customer_of(Request(scope))), headers={"Vary": "Cookie"})
        await response(scope, receive, send)

    return view


def members_only(app: ASGIApp, denied: ASGIApp) -> ASGIApp:
    async def view(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if customer_of(Request(scope)) else denied)(scope, receive, send)

    return view


async def redirects(scope: Scope, receive: Receive, send: Send) -> None:
    """Lead to `right` over as many redirects as the path says."""
    count = int(scope["path"].rpartition("/")[2])
    target = f"/redirects/{count - 1}" if count > 1 else "/right"
    await RedirectResponse(target)(scope, receive, send)


async def log_in(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    response = HTMLResponse(
        "<form method=post><input name=user><input type=password name=word></form>"
    )
    if b"user=alice" in await request.body():
        response = RedirectResponse("right", 303)
        response.set_cookie("session", next(iter(SESSIONS)))
    await response(scope, receive, send)


BLOCKING = "script-src 'self' https://app.ensoras.com"
OF_PAGES_ALONE = "default-src 'self'; script-src 'self'"
META = b"<meta http-equiv='Content-Security-Policy' content=\"%s\">"

SITES: dict[str, ASGIApp] = {
    "right": ours(host(ETag='"1"', Cache_Control="no-cache")),
    "compressed": GZipMiddleware(ours(host()), minimum_size=1),
    "policy-inside": ours(host(Content_Security_Policy=BLOCKING)),
    "debug": ours(host(), debug=True),
    "stream": ours(streamed),
    "members": members_only(ours(host()), HTMLResponse("Log in first.", 401)),
    "compressed-inside": ours(GZipMiddleware(host(), minimum_size=1)),
    "compressed-and-told": ours(GZipMiddleware(host(), minimum_size=1), debug=True),
    "cached": cached(ours(host())),
    "not-installed": host(),
    "other-slug": ours(host(), slug="other"),
    "nobody": ours(host(), get_email=lambda connection: None, debug=True),
    "by-hand": host(PAGE.replace(TAG, call_by_hand(ALICE, hash_of(ALICE)) + TAG), Vary="Cookie"),
    "beside": ours(host(PAGE.replace(b"<p>", call_by_hand(ALICE, hash_of(ALICE)) + b"<p>"))),
    "empty-hash": by_customer(empty_hash),
    "wrong-secret": ours(host(), secret="another secret, long enough"),
    "comment": ours(host(PAGE.replace(TAG, b"<!-- " + TAG + b" -->"))),
    "no-tag": ours(host(b"<title>Shop</title>")),
    "policy-outside": with_fields(ours(host()), content_security_policy=BLOCKING),
    "policy-blocks-all": ours(host(Content_Security_Policy=OF_PAGES_ALONE)),
    "policy-in-meta": ours(host(META % BLOCKING.encode() + PAGE)),
    "policy-on-trial": with_fields(ours(host()), content_security_policy_report_only=BLOCKING),
    "stored": with_fields(ours(host()), age="12", x_cache="HIT from edge"),
    "rewritten": with_fields(ours(host()), cache_control="max-age=60", etag='"1"', vary="Accept"),
    "not-modified": not_modified(ours(host(ETag='"1"'))),
    "optimised": without_scripts(ours(host())),
    "leaking": ours(host(PAGE.replace(b"Hello", SECRET.encode()))),
    "log-in": log_in,
    # What cannot be checked
    "error": HTMLResponse("Traceback", 500),
    "json": JSONResponse({}),
    "odd-type": HTMLResponse(PAGE, headers={"Content-Type": "text/\x9b31m"}),
    "empty": HTMLResponse(b" "),
    "encoded-oddly": HTMLResponse(PAGE, headers={"Content-Encoding": "compress"}),
    "encoded-falsely": HTMLResponse(PAGE, headers={"Content-Encoding": "gzip"}),
    "bomb": HTMLResponse(
        gzip.compress(bytes(17 * 2**20), 9), headers={"Content-Encoding": "gzip"}
    ),
    "large": HTMLResponse(bytes(16 * 2**20 + 1)),
    "loop": RedirectResponse("loop"),
    "to-right": RedirectResponse("right?token=top-secret-4713", 302),
    "redirects": redirects,
    "to-ftp": RedirectResponse("ftp://ftp.example.com/"),
    "to-nowhere": RedirectResponse("https://shop.example.com:x/"),
    "to-mail": RedirectResponse("mailto:alice@example.com"),
}  # fmt: skip


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """All sites, and what a test adds."""
    await SITES[scope["path"].split("/")[1]](scope, receive, send)


# --- Servers ----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(app: ASGIApp, **options: Any) -> Iterator[str]:
    """Serve an app on the loopback host; yield its address."""
    # With the protocol named asyncio sets TCP_NODELAY, else every answer takes 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # now, since the first request may come before the server
        config = uvicorn.Config(
            app, http="httptools", lifespan="off", log_level="critical", ws="none", **options
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        scheme = "https" if "ssl_certfile" in options else "http"
        try:
            yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that nobody trusts; its key is in the same file."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path
