"""Whatever a browser does with its caches, the widget is told the user of that moment, or nobody.

A visitor of each site walks through pages that are cached in six ways: anonymous, as alice, as bob
without a log-out in between, and logged out; by link, reload, typing, Back and Forward; with
Chromium's back/forward cache on and off. What counts is what the widget in the page was told.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chromium import launch
from history_browser import Tab, widget_server
from history_sites import PAGES, SECRET
from playwright.sync_api import Browser, Playwright, sync_playwright

pytestmark = pytest.mark.browser

ALICE, BOB, NOBODY = "alice@example.com", "bob@example.com", None

ADAPTERS = ["wsgi", "asgi", "flask", "django-wsgi", "django-asgi"]

# A copy of a page is there for Back, which shows it without asking the site (RFC 9111, section 6).
STORED = [name for name in PAGES if name != "no-store"]
# A copy is fresh for minutes or, by its age alone, for days: links and typing do not ask either.
FRESH = ["max-age", "last-modified"]

# Where a logged-in visitor may see an anonymous page, by circumstance, user and way; everywhere
# else only the right user will do. In each of these cells the browser asks the site nothing, so no
# middleware can answer; a reload always helps.
MAY_BE_NOBODY: dict[str, dict[tuple[str, str], list[str]]] = {
    # Without the back/forward cache `Vary: Cookie` of the anonymous page makes the browser ask.
    "usual": {},
    # The whole anonymous page comes back from memory. A `no-store` one does not: Chromium drops it
    # when a cookie changes.
    "memory": {(ALICE, "back"): STORED},
    # The browser's copies are from before the installation, and do not say `Vary: Cookie`.
    "installed later": {
        (ALICE, "back"): STORED,
        (ALICE, "link"): FRESH,
        (ALICE, "type"): FRESH,
    },
    # The log-in changes no cookie, so `Vary: Cookie` does not help. Bob goes back over what was
    # typed, then follows links to copies that are still those of the first visit.
    "kept id": {
        (ALICE, "back"): [*STORED, "no-store"],
        (ALICE, "link"): FRESH,
        (ALICE, "type"): FRESH,
        (BOB, "back"): FRESH,
        (BOB, "link"): FRESH,
    },
}


@dataclass(frozen=True)
class Site:
    base: str

    def install(self, *, installed: bool) -> None:
        """Switch the middleware on or off, at the same address."""
        body = b"on" if installed else b"off"
        request = urllib.request.Request(self.base + "/middleware", body, method="POST")
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with widget_server() as origin:
        yield origin


@pytest.fixture(scope="module")
def site(origin: str) -> Iterator[Callable[[str], Site]]:
    """Start a site when it is first asked for."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Site] = {}

        def start(name: str) -> Site:
            if name not in running:
                running[name] = stack.enter_context(serving(name, origin))
            return running[name]

        yield start


@contextlib.contextmanager
def serving(name: str, origin: str) -> Iterator[Site]:
    script = str(Path(__file__).with_name("history_sites.py"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        process = subprocess.Popen([sys.executable, script, name, origin, str(fd)], pass_fds=[fd])
        try:
            yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def memory_browser(playwright: Playwright, origin: str) -> Iterator[Browser]:
    """A Chromium that keeps whole pages in memory for Back and Forward, as visitors' do."""
    yield from launched(playwright, origin, keeps_pages=True)


@pytest.fixture(scope="module")
def plain_browser(playwright: Playwright, origin: str) -> Iterator[Browser]:
    """A Chromium with its HTTP cache alone."""
    yield from launched(playwright, origin, keeps_pages=False)


def launched(playwright: Playwright, origin: str, *, keeps_pages: bool) -> Iterator[Browser]:
    browser = launch(playwright, keeps_pages=keeps_pages)
    with opened(browser, origin) as tab:  # a control, without a widget and without us
        for number in "12":
            tab.type(f"/control?{number}")
            assert not tab.sight().from_memory
        tab.back()
        assert tab.sight().from_memory == keeps_pages
    yield browser
    browser.close()


@pytest.fixture(params=["usual", "memory"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest.fixture
def browser(mode: str, request: pytest.FixtureRequest) -> Browser:
    name = "memory_browser" if mode == "memory" else "plain_browser"
    browser: Browser = request.getfixturevalue(name)
    return browser


@contextlib.contextmanager
def opened(browser: Browser, base: str) -> Iterator[Tab]:
    """Open a tab in a fresh profile."""
    with browser.new_context(viewport={"width": 80, "height": 80}) as context:
        context.set_default_timeout(20_000)
        yield Tab(context.new_page(), base, SECRET)


# --- The walk ---------------------------------------------------------------------------------


class Walk:
    """One visitor's walk. `wrong` tells where somebody was to be seen who should not."""

    def __init__(self, tab: Tab, may_be_nobody: dict[tuple[str, str], list[str]]) -> None:
        self.tab = tab
        self.user: str | None = NOBODY
        self.may_be_nobody = may_be_nobody
        self.from_memory = 0
        self.wrong: list[str] = []

    def see(self, way: str, page: str) -> None:
        sight = self.tab.sight()
        assert sight.path == "/" + page
        self.from_memory += sight.from_memory
        right = {self.user}
        if page in self.may_be_nobody.get((str(self.user), way), []):
            right.add(NOBODY)
        if sight.told not in right:
            memory = ", from memory" if sight.from_memory else ""
            self.wrong.append(f"{self.user}, {way}, {page}: {sight.told}{memory}")

    def visit_anonymous(self) -> None:
        """Visit each page at three addresses, so that one way does not spoil another's copies."""
        self.tab.type("/door")
        for way in ("link", "type", "back"):
            for page in PAGES:
                self.tab.follow(f"{page}-{way}")
                self.see("first", page)
        self.tab.follow("door")

    def visit_as(self, user: str | None) -> None:
        """Log in or out where the tab is, and come to every page in every way."""
        self.tab.log_in(user or "")
        self.user = user
        for page in reversed(PAGES):
            self.tab.back()
            self.see("back", page)
            self.tab.reload()
            self.see("reload", page)
        for page in list(PAGES)[1:]:
            self.tab.forward()
            self.see("forward", page)
        self.tab.forward()
        for page in PAGES:
            self.tab.follow(f"{page}-link")
            self.see("link", page)
        for page in PAGES:
            self.tab.type(f"/{page}?type")
            self.see("type", page)
        self.tab.follow("door")


def grouped(*sites: str) -> list[object]:
    return [pytest.param(site, marks=pytest.mark.xdist_group(f"history-{site}")) for site in sites]


@pytest.mark.parametrize("name", grouped(*ADAPTERS))
def test_every_way_shows_the_user_of_the_moment(
    name: str, site: Callable[[str], Site], browser: Browser, mode: str
) -> None:
    """Whoever was there before: alice, bob, and nobody after them see their own pages."""
    with opened(browser, site(name).base) as tab:
        walk = Walk(tab, MAY_BE_NOBODY[mode])
        walk.visit_anonymous()
        for user in (ALICE, BOB, NOBODY):
            walk.visit_as(user)
    assert walk.wrong == []
    assert (walk.from_memory > 0) == (mode == "memory")


# Chromium keeps a `no-store` page in memory as long as no cookie changes: what helps here is that
# the page reloads itself.
@pytest.mark.parametrize("name", grouped("flask-kept-id"))
def test_sessions_that_keep_their_id_show_nobody_elses_page(
    name: str, site: Callable[[str], Site], browser: Browser
) -> None:
    """No cookie tells the browser of the log-in and the log-out, and still nobody is mistaken."""
    with opened(browser, site(name).base) as tab:
        walk = Walk(tab, MAY_BE_NOBODY["kept id"])
        walk.visit_anonymous()
        for user in (ALICE, BOB, NOBODY):
            walk.visit_as(user)
    assert walk.wrong == []


@pytest.mark.parametrize("name", grouped(*ADAPTERS, "django-conditional"))
def test_copies_from_before_the_installation_are_never_somebody_elses(
    name: str, site: Callable[[str], Site], plain_browser: Browser
) -> None:
    """A visitor of yesterday logs in today: copies that are not asked for are of nobody."""
    walk_over_the_installation(site(name), plain_browser)


@pytest.mark.parametrize("name", grouped("wsgi"))
def test_pages_in_memory_from_before_the_installation_are_never_somebody_elses(
    name: str, site: Callable[[str], Site], memory_browser: Browser
) -> None:
    walk_over_the_installation(site(name), memory_browser)


def walk_over_the_installation(site: Site, browser: Browser) -> None:
    with opened(browser, site.base) as tab:
        walk = Walk(tab, MAY_BE_NOBODY["installed later"])
        site.install(installed=False)
        try:
            walk.visit_anonymous()
        finally:
            site.install(installed=True)
        walk.visit_as(ALICE)
    assert walk.wrong == []


@pytest.mark.parametrize("name", grouped("wsgi"))
@pytest.mark.parametrize("page", FRESH)
def test_a_copy_that_was_confirmed_since_the_installation_is_nobodys(
    name: str, page: str, site: Callable[[str], Site], plain_browser: Browser
) -> None:
    """A 304 makes the old copy good for its time once more, and a reload ends it."""
    with opened(plain_browser, site(name).base) as tab:
        site(name).install(installed=False)
        tab.type(f"/{page}?link")
        assert tab.sight().told is NOBODY
        site(name).install(installed=True)
        tab.reload()
        assert tab.sight().told is NOBODY
        tab.follow("door")
        tab.log_in(ALICE)
        tab.follow(f"{page}-link")
        assert tab.sight().told in (ALICE, NOBODY)
        tab.reload()
        assert tab.sight().told == ALICE


# --- Tabs and frames --------------------------------------------------------------------------


@pytest.mark.parametrize("name", grouped("wsgi", "flask", "django-wsgi"))
def test_a_log_out_in_one_tab_reaches_back_in_the_other(
    name: str, site: Callable[[str], Site], memory_browser: Browser
) -> None:
    """The one tab has seen alice everywhere; the other logs her out, and bob in."""
    with opened(memory_browser, site(name).base) as tab:
        tab.type("/door")
        tab.log_in(ALICE)
        walk = Walk(tab, {})
        walk.user = ALICE
        for page in PAGES:
            tab.follow(f"{page}-link")
            walk.see("link", page)
        tab.follow("door")
        other = Tab(tab.page.context.new_page(), tab.base, SECRET)
        other.type("/door")
        other.log_in("")
        walk.user = NOBODY
        for page in reversed(PAGES):
            tab.back()
            walk.see("back", page)
        other.log_in(BOB)
        walk.user = BOB
        walk.may_be_nobody = {(BOB, "forward"): STORED}  # as in "memory" above
        for page in list(PAGES)[1:]:
            tab.forward()
            walk.see("forward", page)
    assert walk.wrong == []


# Chromium looks at `no-store` of the outermost page alone, and that one knows neither widget nor
# user: again the frames reload themselves.
@pytest.mark.parametrize("name", grouped("wsgi"))
def test_frames_show_the_user_of_the_moment(
    name: str, site: Callable[[str], Site], browser: Browser
) -> None:
    """A page without the widget has frames with it."""
    with opened(browser, site(name).base) as tab:
        tab.type("/frames")
        assert [frame.told for frame in tab.frames()] == [NOBODY] * len(PAGES)
        tab.log_in(ALICE)
        tab.reload()
        assert [frame.told for frame in tab.frames()] == [ALICE] * len(PAGES)
        tab.follow("door")
        tab.log_in(BOB)
        tab.back()
        assert {frame.told for frame in tab.frames()} <= {BOB, NOBODY}
        tab.reload()
        assert [frame.told for frame in tab.frames()] == [BOB] * len(PAGES)
        tab.follow("door")
        tab.log_in("")
        tab.back()
        assert [frame.told for frame in tab.frames()] == [NOBODY] * len(PAGES)
