"""The client of docs/single-page-apps.md, as it stands there, in a real Chromium.

Its widget is told the user of the moment once, or nobody, through client-side navigation, log-in,
log-out, failures, the browser's memory and a service worker; and no other site's page gets anything
out of the identity endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adapters import ALICE, BOB, SECRET
from app_browser import Sessions, Visitor, opened, served, site_of
from chromium import chromium
from playwright.sync_api import Browser, Route
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route as SiteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensoras_middleware import identity_hash

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-spa")]

DOCS = Path(__file__).parent.parent / "docs" / "single-page-apps.md"
CLIENT, USE = re.findall(r"```js\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)

IDENTITY = "/ensoras/identity"

# The app: its links change the address and the view, and its log-in loads nothing by itself.
APP = (
    USE
    + """
const show = () => { document.querySelector("h1").textContent = location.pathname; };
document.addEventListener("click", async ({ target }) => {
  if (target.matches("a.view")) {
    event.preventDefault();
    history.pushState(null, "", target.href);
    show();
  }
  if (target.matches("button")) {
    await fetch("/user", { method: "POST", body: new URLSearchParams({ email: target.value }) });
    await ensoras();
    window.settled = true;
  }
});
addEventListener("popstate", show);
show();
"""
)
SHELL = f"""<!doctype html><title>App</title><link rel="icon" href="data:,">
<body><h1></h1><a class="view" href="/orders">orders</a> <a href="/elsewhere">elsewhere</a>
<button value="{ALICE}">alice</button> <button value="{BOB}">bob</button>
<button value="">log out</button>
<script type="module" src="/app.js"></script></body>"""


def script(text: str) -> Callable[[Request], Response]:
    return lambda request: Response(text, media_type="text/javascript")


def page(text: str, **fields: str) -> Callable[[Request], Response]:
    return lambda request: HTMLResponse(text, headers=fields)


# It keeps all that it sees of its own site, whatever the answer says, and asks no more.
NAIVE_WORKER = """
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(location.origin)) return;
  event.respondWith((async () => {
    const cache = await caches.open("all");
    const kept = await cache.match(request, { ignoreVary: true });
    if (kept) return kept;
    const answer = await fetch(request);
    await cache.put(request, answer.clone()).catch(() => null);
    return answer;
  })());
});
"""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    sessions = Sessions()
    routes = [
        SiteRoute("/ensoras.js", script(CLIENT)),
        SiteRoute("/app.js", script(APP)),
        SiteRoute("/worker.js", script(NAIVE_WORKER)),
        SiteRoute("/user", sessions.log_in, methods=["POST"]),
        SiteRoute("/elsewhere", page("<link rel=icon href=data:,><h1>elsewhere</h1>")),
        SiteRoute("/{view:path}", page(SHELL, **{"Cache-Control": "max-age=600"})),
    ]
    with served(site_of(routes, sessions.email, [])) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium that keeps whole pages in memory for Back and Forward, as visitors' do."""
    with chromium(keeps_pages=True) as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser, base: str) -> Iterator[Visitor]:
    with opened(browser, base) as visitor:
        yield visitor
        assert visitor.errors == []


def log_in(visitor: Visitor, name: str) -> None:
    """Press the app's button, and wait until the page has reloaded itself."""
    with visitor.page.expect_navigation():
        visitor.page.click(f"text={name}")


# The client -----------------------------------------------------------------------------------


def test_log_in_and_log_out(visitor: Visitor) -> None:
    """After each, the widget of the page is told who is there now, once, or nobody."""
    visitor.page.goto("/")
    assert visitor.told() == []
    for name, told in (("alice", [ALICE]), ("bob", [BOB]), ("log out", []), ("alice", [ALICE])):
        log_in(visitor, name)
        assert visitor.told() == told


def test_client_side_navigation(visitor: Visitor) -> None:
    """The widget stays as it is: loaded once, and told once."""
    visitor.log_in(ALICE)
    visitor.page.goto("/")
    assert visitor.told() == [ALICE]
    requests: list[str] = []
    visitor.page.on("request", lambda request: requests.append(request.url))
    visitor.page.click("text=orders")
    visitor.page.wait_for_function("document.querySelector('h1').textContent === '/orders'")
    visitor.page.go_back()
    visitor.page.wait_for_function("document.querySelector('h1').textContent === '/'")
    assert visitor.told() == [ALICE]
    assert visitor.page.evaluate("widget.runs") == 1
    assert requests == []


def test_the_same_user_again(visitor: Visitor) -> None:
    """A second call, where nothing has changed, does nothing."""
    visitor.log_in(ALICE)
    visitor.page.goto("/")
    assert visitor.told() == [ALICE]
    visitor.page.evaluate("window.same = true")
    visitor.page.evaluate("import('/ensoras.js').then(({ ensoras }) => ensoras())")
    assert visitor.told() == [ALICE]
    assert visitor.page.evaluate("window.same && widget.runs === 1")


def test_two_calls_at_once(visitor: Visitor) -> None:
    """They load one widget, and tell it once."""
    visitor.log_in(ALICE)
    visitor.page.goto("/elsewhere")
    visitor.page.evaluate(
        "import('/ensoras.js').then(({ ensoras }) => Promise.all([ensoras(), ensoras()]))"
    )
    assert visitor.told() == [ALICE]
    assert visitor.page.evaluate("widget.runs") == 1


LESS_PATIENCE = """
{
  const real = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (time) => { window.patience = time; return real(10); };
}
"""


# With each, the endpoint tells nothing.
def _never(route: Route) -> None:
    """Leave the request without an answer."""


FAILURES: dict[str, Callable[[Route], None]] = {
    "no network": lambda route: route.abort(),
    "never answered": _never,
    "an error": lambda route: route.fulfill(status=500, body="{}"),
    "refused": lambda route: route.fulfill(status=403),
    "not there": lambda route: route.fulfill(status=404, body="<h1>404</h1>"),
    "a log-in page": lambda route: route.fulfill(status=302, headers={"Location": "/elsewhere"}),
    "no JSON": lambda route: route.fulfill(status=200, body="<h1>Log in</h1>"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_failures(visitor: Visitor, failure: Callable[[Route], None]) -> None:
    """The widget is there all the same, for nobody; and after a log-out nobody stays in it."""
    visitor.log_in(ALICE)
    visitor.page.goto("/")
    assert visitor.told() == [ALICE]
    visitor.page.evaluate(LESS_PATIENCE)
    visitor.context.add_init_script(LESS_PATIENCE)
    visitor.context.route("**" + IDENTITY, failure)
    log_in(visitor, "log out")
    assert visitor.told() == []
    assert visitor.page.evaluate("window.patience") == 3000


# The browser's memory, and a service worker's -------------------------------------------------


def test_back_to_a_page_in_memory(visitor: Visitor) -> None:
    """After a log-out elsewhere, the page that comes back whole asks again."""
    visitor.log_in(ALICE)
    visitor.page.goto("/")
    assert visitor.told() == [ALICE]
    visitor.page.evaluate(
        "void (onpageshow = (event) => { sessionStorage.kept = event.persisted })"
    )
    visitor.page.goto("/elsewhere")
    visitor.log_in("")
    visitor.page.go_back(wait_until="commit")
    visitor.page.wait_for_function("window.widget && !onpageshow")  # it has reloaded itself
    assert visitor.told() == []
    assert visitor.page.evaluate("sessionStorage.kept") == "true"


def test_a_service_worker_keeps_nothing(visitor: Visitor) -> None:
    """One that keeps whatever it sees, and heeds no `Cache-Control`."""
    ask = (
        "() => fetch('/ensoras/identity', { headers: { 'X-Ensoras-Identity': '1' } })"
        ".then((answer) => answer.text())"
    )
    kept = (
        "async () => (await (await caches.open('all')).keys())"
        ".map(({ url }) => new URL(url).pathname)"
    )
    log = "email => fetch('/user', { method: 'POST', body: new URLSearchParams({ email }) })"
    visitor.page.goto("/elsewhere")
    visitor.page.evaluate(
        "new Promise((resolve) => {"
        "  navigator.serviceWorker.addEventListener('controllerchange', () => resolve());"
        "  navigator.serviceWorker.register('/worker.js');"
        "})"
    )
    visitor.page.evaluate("fetch('/orders')")
    visitor.page.evaluate(log, ALICE)
    assert ALICE in visitor.page.evaluate(ask)
    assert visitor.page.evaluate(kept) == ["/orders"]
    visitor.page.evaluate(log, "")
    assert visitor.page.evaluate(ask) == ""


# Another site ---------------------------------------------------------------------------------

# What a page of another site can try; what it reads of an answer goes into `got`.
ATTACKS = """
async (address) => {
  const got = [];
  const read = async (answer) => {
    const text = await answer.text().catch(() => "");
    got.push(text, JSON.stringify([...answer.headers]));
  };
  const header = { "X-Ensoras-Identity": "1" };
  const requests = [];
  for (const credentials of ["omit", "include"])
    for (const mode of ["cors", "no-cors", "same-origin"])
      for (const headers of [{}, header])
        for (const method of ["GET", "POST"])
          requests.push(fetch(address, { credentials, mode, headers, method }).then(read));
  await Promise.allSettled(requests);
  await new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.withCredentials = true;
    request.setRequestHeader("X-Ensoras-Identity", "1");
    request.onloadend = () => { got.push(request.responseText); resolve(); };
    request.send();
  });
  const load = (name, attributes) => new Promise((resolve) => {
    const element = Object.assign(document.createElement(name), attributes);
    element.onload = () => resolve(element);
    element.onerror = () => resolve(element);
    document.body.append(element);
  });
  addEventListener("error", (event) => { got.push(event.message); });
  await load("script", { src: address });
  await load("script", { src: address, crossOrigin: "use-credentials" });
  await load("script", { src: address, type: "module", crossOrigin: "use-credentials" });
  const image = await load("img", { src: address });
  got.push(image.naturalWidth);
  await load("link", { rel: "stylesheet", href: address });
  const crossOrigin = "use-credentials";
  await load("link", { rel: "preload", as: "fetch", href: address, crossOrigin });
  await load("link", { rel: "prefetch", href: address });
  await load("object", { data: address });
  for (const sandbox of [null, "allow-scripts", "allow-scripts allow-same-origin"]) {
    const frame = document.createElement("iframe");
    if (sandbox !== null) frame.sandbox = sandbox;
    const done = new Promise((resolve) => { frame.onload = resolve; });
    frame.src = address;
    document.body.append(frame);
    await done;
    try { got.push(frame.contentDocument.body.innerText); } catch { }
  }
  navigator.sendBeacon(address);
  await import(address).then((module) => got.push(...Object.values(module)), () => null);
  return got;
}
"""

SUBMIT = """
([action, method]) => {
  const form = Object.assign(document.createElement("form"), { action, method });
  document.body.append(form);
  form.submit();
}
"""


class Proxy:
    """Around everything: takes away what older browsers do not send, and records the answers."""

    def __init__(self, sites: dict[str, ASGIApp]) -> None:
        self.sites = sites
        self.site = ""
        self.older_browser = False
        self.answers: list[tuple[str, int, bytes]] = []  # of the endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.older_browser:
            headers = [one for one in scope["headers"] if not one[0].startswith(b"sec-fetch-")]
            scope = {**scope, "headers": headers}
        status = 0

        async def record(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if "body" in message:
                self.answers.append((scope["method"], status, message["body"]))
            await send(message)

        await self.sites[self.site](scope, receive, record if scope["path"] == IDENTITY else send)


PERMISSIVE = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_credentials=True,  # the origin is reflected then
    allow_methods=["*"],
    allow_headers=["*"],
    expose_headers=["*"],
)


@pytest.fixture(scope="module")
def alices() -> Iterator[tuple[Proxy, int]]:
    """Sites at which every request is alice's, whatever cookies are sent along."""
    routes = [SiteRoute("/page", page("<!doctype html><link rel=icon href=data:,><p>a page"))]
    around = {"plain": [], "permissive CORS": [PERMISSIVE]}
    proxy = Proxy({name: site_of(routes, lambda _: ALICE, one) for name, one in around.items()})
    with served(proxy) as port:
        yield proxy, port


@pytest.mark.parametrize("older_browser", [False, True])
@pytest.mark.parametrize("site", ["plain", "permissive CORS"])
def test_another_site_gets_nothing(
    alices: tuple[Proxy, int], browser: Browser, site: str, older_browser: bool
) -> None:
    """By `fetch`, elements, frames or forms: the identity does not even leave the server."""
    proxy, port = alices
    proxy.site, proxy.older_browser = site, older_browser
    address = f"http://127.0.0.1:{port}{IDENTITY}"  # another site than `localhost` to browsers
    with opened(
        browser, f"http://localhost:{port}", widget=False
    ) as visitor:  # another site to browsers
        proxy.answers.clear()
        visitor.page.goto("/page")
        got = visitor.page.evaluate(ATTACKS, address)
        assert ALICE not in str(got)
        assert identity_hash(ALICE, SECRET) not in str(got)
        for method in ("get", "post"):
            tab = visitor.context.new_page()
            tab.goto("/page")
            with tab.expect_response(re.compile(IDENTITY)):
                tab.evaluate(SUBMIT, [address, method])
    assert len(proxy.answers) > 15
    statuses: dict[bool, set[int]] = {True: set(), False: set()}
    for method, status, body in proxy.answers:
        assert b"hash" not in body
        statuses[method == "OPTIONS"].add(status)
    assert statuses[False] == {403, 405}
    assert statuses[True] == {405 if site == "plain" else 200}  # the CORS preflights
    # The site's own page is told what is refused above.
    with opened(browser, f"http://127.0.0.1:{port}", widget=False) as visitor:
        visitor.page.goto("/page")
        got = visitor.page.evaluate(
            "fetch('/ensoras/identity', { headers: { 'X-Ensoras-Identity': '1' } })"
            ".then((answer) => answer.json())"
        )
        assert got == {"email": ALICE, "hash": identity_hash(ALICE, SECRET)}
        with visitor.page.expect_response("**" + IDENTITY) as answer:
            visitor.page.evaluate("address => { location = address; }", IDENTITY)
        assert answer.value.status == 403
