"""A site whose pages navigate by themselves, and a Chromium that tells what the widget was told.

Nothing but the site listens: what is asked of Ensoras' own address is answered in the browser.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from secrets import token_hex

import uvicorn
from adapters import ALICE, BOB, SECRET, SLUG
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ensoras_middleware import verify_identity
from ensoras_middleware.asgi import EnsorasMiddleware, identity_endpoint

WIDGET = f"https://app.ensoras.com/cdn/v1/widget/{SLUG}.js"
TAG = f'<script src="{WIDGET}" async defer></script>'

# As the sandbox's widget, it takes the calls that wait in the queue, and then each new one; a call
# that finds the bubble gone waits for the next run, for the body was replaced.
STAND_IN = """
(() => {
  const widget = (window.widget ||= { runs: 0, told: [], ran: new WeakSet() });
  const present = document.body.querySelector("chat-bubble");
  const bubble = present || document.createElement("chat-bubble");
  document.body.append(bubble);
  const queue = Array.isArray(window.EnsorasQueue) ? window.EnsorasQueue : [];
  const hear = (call) => call[0] === "identify" && widget.told.push(call[1]);
  queue.splice(0).forEach(hear);
  queue.push = (call) => {
    if (bubble.isConnected) hear(call);
    else Array.prototype.push.call(queue, call);
  };
  window.EnsorasQueue = queue;
  window.Ensoras = function () { window.EnsorasQueue.push(arguments); };
  widget.runs += 1;
  widget.ran.add(document.currentScript);
})();
"""

# Each widget tag of the page has run: all that it can be told has been told by then.
SETTLED = """
() => document.readyState === "complete" && window.widget &&
  [...document.querySelectorAll("script[src^='https://app.ensoras.com']")]
    .every((tag) => widget.ran.has(tag))
"""
# Turbo shows a copy of a page that it knows until the page itself is there; htmx takes no clicks
# of what it has just added, and the browser would load the whole page of the link.
SHOWS = """
(heading) => !document.documentElement.hasAttribute("data-turbo-preview") &&
  !document.querySelector(".htmx-added") &&
  document.querySelector("h1")?.textContent === heading
"""


class Sessions:
    """Who is logged in: the cookie is an id, which is new after each log-in and log-out."""

    def __init__(self) -> None:
        self._emails: dict[str, str] = {}

    def email(self, connection: HTTPConnection) -> str | None:
        return self._emails.get(connection.cookies.get("sid", ""))

    async def log_in(self, request: Request) -> Response:
        """Log in as the user of the form, or out without one, and go where it says."""
        form = {key: str(value) for key, value in (await request.form()).items()}
        to = form.get("to")
        response = RedirectResponse(to, 303) if to else Response(status_code=204)
        self._emails.pop(request.cookies.get("sid", ""), None)
        sid = token_hex()
        if form.get("email"):
            self._emails[sid] = form["email"]
        response.set_cookie("sid", sid, httponly=True)
        return response


def site_of(
    routes: list[Route], email: Callable[[HTTPConnection], str | None], around: list[Middleware]
) -> Starlette:
    """Return a site with these routes and the identity endpoint."""
    ours = Middleware(EnsorasMiddleware, slug=SLUG, secret=SECRET, get_email=email)
    return Starlette(
        routes=[Route("/ensoras/identity", identity_endpoint), *routes],
        middleware=[*around, ours],
    )


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """Serve an app on the loopback host; yield the port."""
    # With the protocol named asyncio sets TCP_NODELAY, else every answer takes 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # now, since the first request may come before the server
        config = uvicorn.Config(app, lifespan="off", log_level="critical", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


@contextlib.contextmanager
def opened(browser: Browser, base: str, *, widget: bool = True) -> Iterator[Visitor]:
    """Open a tab in a fresh profile.

    With `widget`, Playwright looks at each request, and then grants every CORS preflight by itself.
    """
    with browser.new_context(base_url=base) as context:
        context.set_default_timeout(10_000)
        if widget:
            context.route(
                "https://app.ensoras.com/**",
                lambda route: route.fulfill(body=STAND_IN, content_type="text/javascript"),
            )
        yield Visitor(context)


class Visitor:
    """One tab, and what the widget in it was told."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def log_in(self, email: str) -> None:
        """Log in as this user before there is a page, or out with ""."""
        self.context.request.post("/user", form={"email": email}).dispose()

    def told(self) -> list[str]:
        """Return the users of whom the widget of this document was told, once it has run."""
        self.page.wait_for_function(SETTLED)
        return self._emails("widget.told")

    def told_since(self, heading: str) -> list[str]:
        """Return the users of whom it was told since the last call, once the page is `heading`."""
        self.page.wait_for_function(SHOWS, arg=heading)
        self.page.wait_for_function(SETTLED)
        return self._emails("widget.told.splice(0)")

    def _emails(self, expression: str) -> list[str]:
        told = self.page.evaluate(expression)
        assert all(verify_identity(**one, secret=SECRET) for one in told)
        assert {one["email"] for one in told} <= {ALICE, BOB}
        return [one["email"] for one in told]
