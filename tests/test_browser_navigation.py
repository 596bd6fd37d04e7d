"""Pages that Turbo or htmx put in place of the last one: the real libraries, in a real Chromium.

After every step the widget was told the user of the moment, once, or nobody; and what the libraries
keep of pages holds no identity.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from adapters import ALICE, BOB
from app_browser import TAG, Sessions, Visitor, opened, served, site_of
from chromium import chromium
from playwright.sync_api import Browser
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-navigation")]

# `make test` puts them there, where it finds npm.
LIBRARIES = Path(sys.prefix, "node", "node_modules")
FILES = {
    "turbo": LIBRARIES / "@hotwired" / "turbo" / "dist" / "turbo.es2017-umd.js",
    "htmx2": LIBRARIES / "htmx2" / "dist" / "htmx.js",
    "htmx4": LIBRARIES / "htmx4" / "dist" / "htmx.js",
}
BODY = {"turbo": "", "htmx2": 'hx-boost="true"', "htmx4": 'hx-boost:inherited="true"'}
WHOLE_PAGE = {
    "turbo": 'data-turbo="false"',
    "htmx2": 'hx-boost="false"',
    "htmx4": 'hx-boost="false"',
}
# Where the library keeps no copies of pages.
NO_COPIES = {
    "turbo": '<meta name="turbo-cache-control" content="no-cache">',
    "htmx2": 'hx-history="false"',
}
FRAGMENTS = {
    "turbo": '<turbo-frame id="part"><a id="fragment" href="part">part</a></turbo-frame>',
    "htmx2": '<div id="part"><button id="fragment" hx-get="fragment" hx-target="#part">part</div>',
}
FRAGMENTS["htmx4"] = FRAGMENTS["htmx2"]


def page(request: Request) -> Response:
    """Return a page of the library that the path begins with, and with what is added to it."""
    library, *options = request.path_params["library"].split("+")
    name = request.path_params["name"]
    copies = NO_COPIES.get(library, "") if "no-copies" in options else ""
    whole_page = "" if "forms" in options else WHOLE_PAGE[library]
    if name == "fragment":
        return HTMLResponse('<b id="there">a fragment</b>')
    fragment = FRAGMENTS[library]
    if name == "part":  # a whole page, of which Turbo takes the frame
        fragment = '<turbo-frame id="part"><b id="there">a fragment</b></turbo-frame>'
    to = f"/{request.path_params['library']}/d"
    links = "".join(f'<a id="{one}" href="{one}">{one}</a> ' for one in "abc")
    buttons = "".join(f'<button name="email" value="{one}">in</button>' for one in (ALICE, BOB, ""))
    return HTMLResponse(
        f"""<!doctype html><html><head><title>{name}</title><link rel="icon" href="data:,">
        <script src="/{library}.js"></script>{copies if library == "turbo" else ""}</head>
        <body {BODY[library]} {copies if library != "turbo" else ""}><h1>{name}</h1>{links}
        <form method="post" action="/user" {whole_page}><input type="hidden" name="to" value="{to}">
        {buttons}</form>{fragment}{TAG}</body></html>"""
    )


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    sessions = Sessions()
    routes = [
        Route("/user", sessions.log_in, methods=["POST"]),
        *(Route(f"/{name}.js", _file(path)) for name, path in FILES.items()),
        Route("/{library}/{name}", page),
    ]
    with served(site_of(routes, sessions.email, [])) as port:
        yield f"http://127.0.0.1:{port}"


def _file(path: Path) -> FileResponse:
    return FileResponse(path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    for path in FILES.values():
        if not path.exists():
            pytest.skip(f"no {path.name} at {path.parent}: `make test` installs it where npm is")
    with chromium(keeps_pages=True) as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser, base: str) -> Iterator[Visitor]:
    with opened(browser, base) as visitor:
        yield visitor
        assert visitor.errors == []


class Walk:
    """A visitor's way through the pages of one library."""

    def __init__(self, visitor: Visitor, library: str) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.library = library

    def type(self, name: str) -> list[str]:
        """Each step returns of whom the widget was told because of it."""
        self.page.goto(f"/{self.library}/{name}")
        return self.visitor.told_since(name)

    def follow(self, name: str) -> list[str]:
        """Go there by the library, within the document."""
        self.page.evaluate(
            "id => { window.stays = true; document.getElementById(id).click(); }", name
        )
        told = self.visitor.told_since(name)
        assert self.page.evaluate("window.stays")
        return told

    def back(self, name: str) -> list[str]:
        self.page.evaluate("history.back()")
        return self.visitor.told_since(name)

    def submit(self, email: str) -> list[str]:
        """Log in as this user, or out with "", by the form of the page."""
        self.page.evaluate("(email) => document.querySelector(`[value='${email}']`).click()", email)
        return self.visitor.told_since("d")

    def keeps_no_identity(self) -> bool:
        """Tell whether neither the page nor what is stored holds an identity."""
        kept = self.page.evaluate(
            "document.documentElement.outerHTML + JSON.stringify([sessionStorage, localStorage])"
        )
        return "identify" not in kept and "hash" not in kept


@pytest.mark.parametrize(
    ("library", "kept"),
    [
        ("turbo", []),
        ("turbo+no-copies", [ALICE]),
        ("htmx2", []),
        ("htmx2+no-copies", [ALICE]),
        ("htmx4", [ALICE]),
    ],
)
def test_each_page_tells_of_its_visitor(visitor: Visitor, library: str, kept: list[str]) -> None:
    """Whole pages at log-in and log-out, as docs/single-page-apps.md has it.

    `kept` is of whom the widget is told where Back finds a copy, which holds no identity.
    """
    walk = Walk(visitor, library)
    visitor.log_in(ALICE)
    assert walk.type("a") == [ALICE]
    for name in "bcb":  # Turbo shows its copy of the last one first
        assert walk.follow(name) == [ALICE]
        assert walk.keeps_no_identity()
    assert walk.back("c") == kept
    assert walk.keeps_no_identity()

    visitor.page.evaluate("window.before = true")
    assert walk.submit("") == []
    assert not visitor.page.evaluate("window.before")
    assert walk.follow("b") == []
    assert walk.back("d") == []
    assert walk.back("c") == []  # from before the log-out
    assert walk.back("b") == []

    assert walk.submit(BOB) == [BOB]
    assert walk.follow("a") == [BOB]


@pytest.mark.parametrize("library", ["turbo+forms", "htmx2+forms", "htmx4+forms"])
def test_log_in_and_log_out_without_a_whole_page(visitor: Visitor, library: str) -> None:
    """No page tells of anybody else than the visitor of the moment."""
    walk = Walk(visitor, library)
    visitor.log_in(ALICE)
    assert walk.type("a") == [ALICE]
    assert walk.follow("b") == [ALICE]
    assert walk.submit("") == []
    assert walk.follow("b") == []
    assert walk.back("d") == []
    assert walk.follow("a") == []
    assert walk.submit(BOB) == [BOB]
    assert walk.follow("c") == [BOB]


def test_a_page_that_turbo_asked_for_before_the_log_out(visitor: Visitor) -> None:
    """Turbo asks for the page of a link under the pointer; the log-out ends that."""
    walk = Walk(visitor, "turbo+forms")
    visitor.log_in(ALICE)
    assert walk.type("a") == [ALICE]
    with visitor.page.expect_response("**/c") as asked:
        visitor.page.hover("#c")
    assert asked.value.request.headers["x-sec-purpose"] == "prefetch"
    assert walk.submit("") == []
    assert walk.follow("c") == []


@pytest.mark.parametrize("library", ["turbo", "htmx2", "htmx4"])
def test_fragments(visitor: Visitor, library: str) -> None:
    """A part of a page that is put into this one tells nothing, and runs no widget."""
    walk = Walk(visitor, library)
    visitor.log_in(ALICE)
    assert walk.type("a") == [ALICE]
    visitor.page.evaluate("document.getElementById('fragment').click()")
    visitor.page.wait_for_selector("#there")
    assert visitor.told_since("a") == []
    assert visitor.page.evaluate("widget.runs") == 1
