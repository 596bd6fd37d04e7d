"""A real Chromium visits a host's page twice: as the host wrote it, and as the middleware sends it.

One server listens on two ports: the host's site, and the origin of a stand-in for the widget, which
records what it was told. Both visits open the same address; a cookie tells the server whether the
middleware is there, so that nothing else can differ between the two.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensoras_middleware import identity_hash
from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.snippet import MARK

SLUG = "acme"
SECRET = "the secret of the acme widget"
ALICE = "alice@example.com"
HASH = identity_hash(ALICE, SECRET)
IDENTIFY = ["identify", {"email": ALICE, "hash": HASH}]
WIDGET_PATH = f"/cdn/v1/widget/{SLUG}.js"

# What the widget was told is what waits in the queue when it begins to run.
WIDGET = """
(() => {
  const calls = Array.isArray(window.EnsorasQueue) ? window.EnsorasQueue.map(one => [...one]) : [];
  const told = {page: location.href, framed: top !== window, calls};
  recorder.told.push(told);
  if (TELLS) {
    const request = new XMLHttpRequest();  // synchronous: the load event waits for it
    request.open("POST", ORIGIN + "/told", false);
    request.send(JSON.stringify(told));
  }
})();
"""

# Chromium asks for a page's icon once in a while, whenever it likes.
ICON = "/favicon.ico"

# Runs before every script of a page, and is not subject to its policy.
RECORDER = """
window.recorder = {told: [], violations: []};
window.steps = [];
document.addEventListener("securitypolicyviolation", event => {
  if (event.blockedURI.endsWith("ICON")) return;
  recorder.violations.push({
    directive: event.effectiveDirective, blocked: event.blockedURI, disposition: event.disposition,
    sample: event.sample, source: event.sourceFile, line: event.lineNumber,
    policy: event.originalPolicy,
  });
});
""".replace("ICON", ICON)

WHAT_A_PAGE_SHOWS = """() => ({
  told: recorder.told, steps, violations: recorder.violations, mode: document.compatMode,
  text: document.body ? document.body.innerText : null, title: document.title,
  queue: Array.isArray(window.EnsorasQueue) ? window.EnsorasQueue.map(one => [...one]) : null,
})"""

# What tells one report from another, without the policy, which names our hash.
Reported = tuple[str, ...]
REPORTED = ("effective-directive", "blocked-uri", "disposition", "script-sample", "line-number")


@dataclass(frozen=True)
class Document:
    """A page as the host writes it; in more than one chunk it is a stream."""

    chunks: list[bytes]
    fields: list[tuple[str, str]] = field(default_factory=list)
    charset: str | None = "utf-8"

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class Visit:
    """What one load of a page brought."""

    url: str
    body: bytes
    outcome: str | None
    fields: dict[str, str]
    told: list[dict[str, Any]]  # by the widget's account in the page, one for each run
    steps: list[Any]  # what the page's own scripts did, in order
    violations: list[dict[str, Any]]
    queue: list[Any] | None
    mode: str
    text: str | None
    title: str
    tree: Any  # with shadow roots, contents of templates, and framed documents
    left_scripts: int  # identify scripts that are still in the tree
    requests: list[tuple[str, str]]
    errors: list[str]

    @property
    def runs(self) -> list[list[Any]]:
        """What was in the queue at each run of the widget in the page itself."""
        return [told["calls"] for told in self.told if not told["framed"]]


class Site:
    """The host's pages at `origin`, by path, and the widget's stand-in at `widget_origin`."""

    def __init__(self, *, tells: bool, **options: Any) -> None:
        self.pages: dict[str, Document] = {}
        self.told: list[dict[str, Any]] = []  # by the widget's account on its server
        self._reports: list[dict[str, Any]] = []
        self._reported = threading.Condition()
        self.sent = b""  # the body of the last page
        self._tells = tells
        self._options = {"get_email": lambda connection: ALICE} | options

    @contextmanager
    def running(self) -> Iterator[Site]:
        with _listener() as site, _listener() as widget:
            self.origin = f"http://127.0.0.1:{site.getsockname()[1]}"
            self._widget_port = widget.getsockname()[1]
            # A name, so that it has an upper and a lower case.
            self.widget_origin = f"http://localhost:{self._widget_port}"
            self._bare: ASGIApp = self._host
            self._ours: ASGIApp = EnsorasMiddleware(
                self._host,
                slug=SLUG,
                secret=SECRET,
                origin=self.widget_origin,
                debug=True,
                **self._options,
            )
            config = uvicorn.Config(self, lifespan="off", log_level="critical", ws="none")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [site, widget]})
            thread.start()
            try:
                yield self
            finally:
                server.should_exit = server.force_exit = True
                thread.join(10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["server"][1] == self._widget_port:
            response = await self._widget(Request(scope, receive))
            await response(scope, receive, send)
            return

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.clear()
            else:
                sent.append(message.get("body", b""))
                if scope["path"] in self.pages:
                    self.sent = b"".join(sent)
            await send(message)

        sent: list[bytes] = []
        cookies = SimpleCookie(Request(scope).headers.get("cookie", ""))
        await (self._bare if "bare" in cookies else self._ours)(scope, receive, record)

    def reports(self, path: str, expected: set[Reported]) -> set[Reported]:
        """Wait until these reports of a page have come in, and return all that have."""

        def received() -> set[Reported]:
            page = self.origin + path
            return {
                tuple(str(report.get(key, 0 if key == "line-number" else "")) for key in REPORTED)
                for report in self._reports
                if report["document-uri"] == page
            }

        with self._reported:
            assert self._reported.wait_for(lambda: expected <= received(), timeout=10)
            return received()

    def fetch(self, path: str) -> bytes:
        """Return what the middleware sends, without a browser."""
        connection = HTTPConnection(self.origin.removeprefix("http://"), timeout=10)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()

    async def _widget(self, request: Request) -> Response:
        if request.method == "POST":
            self.told.append(json.loads(await request.body()))
        elif request.url.path != WIDGET_PATH:
            return Response(status_code=404)
        tells, origin = json.dumps(self._tells), json.dumps(self.widget_origin)
        text = WIDGET.replace("TELLS", tells).replace("ORIGIN", origin)
        fields = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
        return Response(text, media_type="text/javascript", headers=fields)

    async def _host(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.url.path
        response: Response
        if request.method == "POST":
            report = json.loads(await request.body())["csp-report"]
            if not report["blocked-uri"].endswith(ICON):
                with self._reported:
                    self._reports.append(report)
                    self._reported.notify_all()
            response = Response(status_code=204)
        elif path in self.pages:
            response = _page(self.pages[path])
        elif path.endswith(".js"):
            response = Response("steps.push('file')", media_type="text/javascript")
        else:  # a page's icon
            response = Response(status_code=204)
        await response(scope, receive, send)


def _page(document: Document) -> Response:
    if len(document.chunks) == 1:
        response = Response(document.body)
    else:

        async def chunks() -> Any:
            for chunk in document.chunks:
                yield chunk

        response = StreamingResponse(chunks())
    charset = f"; charset={document.charset}" if document.charset else ""
    response.headers["Content-Type"] = f"text/html{charset}"
    for name, value in document.fields:
        response.headers.append(name, value)
    return response


@contextmanager
def _listener() -> Iterator[socket.socket]:
    # With the protocol named asyncio sets TCP_NODELAY, else every answer takes 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # now, since the first request may come before the server
        yield listener


ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    # No other host name resolves.
    "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# Chromium 156 starts three processes for each window that no test looks at: for the next site, and
# for two kinds of suggestions below the address. They cost more than half of a new context.
UNSEEN = "SpareRendererForSitePerProcess,WebUIOmniboxPopup,WebUIOmniboxAimPopup"
# A fifth of the time of a page, where all come from one site; pages kept in memory need the second.
SWAPS = "RenderDocument,ProactivelySwapBrowsingInstance"


def launch(playwright: Playwright, *, keeps_pages: bool) -> Browser:
    """Start Debian's Chromium, with or without its back/forward cache, or skip the test."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no `chromium` on the PATH (Debian: apt-get install chromium)")
    features = UNSEEN if keeps_pages else f"{UNSEEN},{SWAPS}"
    return playwright.chromium.launch(
        executable_path=path,
        args=[*ARGUMENTS, f"--disable-features={features}"],
        ignore_default_args=["--disable-back-forward-cache"] if keeps_pages else None,
    )


@contextmanager
def chromium(*, keeps_pages: bool = False) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright, keeps_pages=keeps_pages)
        yield browser
        browser.close()


class Visitor:
    """A browser profile that visits pages; with `bare`, without the middleware."""

    def __init__(
        self, browser: Browser, site: Site, *, bare: bool, origin: str | None = None
    ) -> None:
        self._site = site
        self._origin = origin or site.origin
        self._context: BrowserContext = browser.new_context()
        self._context.set_default_timeout(10_000)
        self._context.add_init_script(RECORDER)
        if bare:
            self._context.add_cookies([{"name": "bare", "value": "1", "url": self._origin}])
        self.page: Page = self._context.new_page()
        self._protocol = self._context.new_cdp_session(self.page)
        self._requests: list[tuple[str, str]] = []
        self._errors: list[str] = []
        self.page.on("request", lambda one: self._requests.append((one.method, one.url)))
        self.page.on("pageerror", lambda error: self._errors.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._errors.append(message.text)

    def visit(self, path: str, then: str | None = None) -> Visit:
        """Load a page, run `then` in it, and return what came of it."""
        self._requests.clear()
        self._errors.clear()
        self._site.sent = b""
        response = self.page.goto(self._origin + path, wait_until="load")
        assert response is not None
        if then is not None:
            self.page.evaluate(then)
        shown = self.page.evaluate(WHAT_A_PAGE_SHOWS)
        root = self._protocol.send("DOM.getDocument", {"depth": -1, "pierce": True})["root"]
        left: list[str] = []
        return Visit(
            url=response.url,
            body=self._site.sent,
            fields=response.headers,
            outcome=response.headers.get("x-ensoras-outcome"),
            tree=_tree(root, left),
            left_scripts=len(left),
            requests=sorted(self._requests),
            errors=sorted(self._errors),
            **shown,
        )


def _tree(node: dict[str, Any], left: list[str]) -> Any:
    """Return what makes two trees equal, without identify scripts, which go to `left`."""
    branches = []
    for key in ("children", "shadowRoots"):
        for child in node.get(key, ()):
            if child.get("shadowRootType") == "user-agent":  # where a marquee moves, say
                continue
            text = child["children"][0]["nodeValue"] if child.get("children") else ""
            if child["nodeName"].lower() == "script" and text.startswith(MARK.decode()):
                left.append(text)
            else:
                branches.append((key, _tree(child, left)))
    for key in ("templateContent", "contentDocument"):
        if key in node:
            branches.append((key, _tree(node[key], left)))
    own = [node.get(key) for key in ("nodeName", "nodeValue", "attributes", "shadowRootType")]
    return (*own, branches)
