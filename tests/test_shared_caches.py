"""nginx and Varnish in front of real sites never hand one visitor's identity to another.

Both keep pages for everybody, and know of visitors only what the pages say about caching. What
they are told to ignore cannot be made right from inside a site: see the set-ups that are `deaf`.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import pytest
from cached_sites import KINDS, STYLES
from proxies import RUNNERS, SETUPS
from site_servers import SHOPS, SITES, running_sites
from visitors import Visitor, all_at_once, identified, problem_of, submit, visits

from examples import shop

pytestmark = pytest.mark.servers

PATHS = [f"/{style}/{kind}/1" for style in STYLES for kind in KINDS]

Start = Callable[..., tuple[str, int]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start the cache of this name in front of sites, at most once; return its address."""
    with ExitStack() as stack:

        @functools.cache
        def running(names: tuple[str, ...]) -> dict[str, tuple[str, int]]:
            return stack.enter_context(running_sites(names, tmp_path_factory.mktemp("sites")))

        @functools.cache
        def start(name: str, sites: tuple[str, ...] = tuple(SITES)) -> tuple[str, int]:
            run = RUNNERS[name](tmp_path_factory.mktemp(name), running(sites))
            return stack.enter_context(run)

        yield start


def each(*, deaf: bool = False, only: Iterable[str] = ()) -> list[Any]:
    """Return every cache in each of its set-ups; all of a cache run in one worker."""
    return [
        pytest.param(name, setup, id=f"{name}-{setup}", marks=pytest.mark.xdist_group(name))
        for name, setups in SETUPS.items()
        for setup, one in setups.items()
        if one.deaf is deaf and (not only or f"{name}-{setup}" in only)
    ]


# --- Visitors, one after the other -------------------------------------------------------------


def strangers(address: tuple[str, int], host: str, path: str) -> Iterator[str]:
    """Yield what is wrong when alice, bob and then somebody anonymous ask for a page."""
    for user in ("alice", "bob", None):
        with closing(Visitor(address, host)) as visitor:
            if user:
                visitor.log_in(user)
            yield from problem_of(visitor, path, must_be_identified=True)


def without_cookies(address: tuple[str, int], host: str, path: str) -> Iterator[str]:
    """Yield what is wrong when alice and bob, known by HTTP Basic, ask for a page."""
    for user in ("alice", "bob", None):
        with closing(Visitor(address, host, by_password=True, user=user)) as visitor:
            yield from problem_of(visitor, path, must_be_identified=False)


def log_in_and_out(address: tuple[str, int], host: str, path: str) -> Iterator[str]:
    """Yield what is wrong when alice reloads a page after log-in, and after log-out."""
    with closing(Visitor(address, host)) as visitor:
        yield from problem_of(visitor, path, must_be_identified=True)
        visitor.log_in("alice")
        yield from problem_of(visitor, path, must_be_identified=True)
        visitor.log_out()
        yield from problem_of(visitor, path, must_be_identified=True)


# --- The promise -----------------------------------------------------------------------------


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("cache", "setup"), each())
def test_everybody_is_shown_their_own_page(start: Start, cache: str, setup: str, site: str) -> None:
    """All at once, on cold pages and warm ones, through log-in and log-out.

    Nobody is shown somebody else's page, and who is logged in with a cookie of their own is shown
    theirs, wherever the cache lets requests with cookies reach the site.
    """
    address = start(cache)
    host = f"{setup}.{site}"
    crowd: list[tuple[Visitor, list[str]]] = [
        (Visitor(address, host), []),
        (Visitor(address, host, cookies={"_ga": "GA1.2.1.1"}), []),
        (Visitor(address, host), ["alice"]),
        (Visitor(address, host, cookies={"_ga": "GA1.2.2.2", "theme": "dark"}), ["bob"]),
        # One browser, used by both: with a new session for each, and with the same one.
        (Visitor(address, host), ["alice", "bob"]),
        (Visitor(address, host, keeps_session=True), ["alice", "bob"]),
        (Visitor(address, host, by_password=True), ["alice"]),
        (Visitor(address, host, by_password=True), ["bob"]),
    ]
    # In the same order for all of them, so that they meet at pages that nobody has asked for yet.
    chance = random.Random(host)
    paths = chance.sample(PATHS, 20) * 2
    chance.shuffle(paths)
    shows_own = SETUPS[cache][setup].shows_own
    problems = all_at_once(
        [
            partial(
                visits,
                visitor,
                paths,
                users,
                random.Random(f"{host} {number}"),
                must_be_identified=shows_own,
            )
            for number, (visitor, users) in enumerate(crowd)
        ]
    )
    for visitor, _ in crowd:
        visitor.close()
    assert problems == []
    said = sum((visitor.statuses for visitor, _ in crowd), Counter[str]())
    seen = sum((visitor.seen for visitor, _ in crowd), Counter[str | None]())
    assert said.total() >= len(crowd) * len(paths) == 320
    assert said["HIT"] > 0, "nothing was cached, so nothing was tried"
    assert {*seen} == {None, "alice", "bob"}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("cache", "setup"), each(only=["varnish-fixed"]))
def test_a_time_that_is_set_for_all_pages_is_not_for_identified_ones(
    start: Start, cache: str, setup: str, site: str
) -> None:
    """Whatever the site itself says of caching, and whatever visitors are known by."""
    address, host = start(cache), f"{setup}.{site}"
    problems = [
        one
        for path in PATHS
        for come in (strangers, without_cookies)
        for one in come(address, host, f"{path}/{come.__name__}")
        if not one.endswith("the page of nobody")
    ]
    assert problems == []


# --- Without us ------------------------------------------------------------------------------


# Which of our header fields is taken back; who comes; what somebody is then shown.
TAKEN_BACK = {
    "everything": (strangers, "is shown the page of alice"),
    "cache-control": (without_cookies, "is shown the page of alice"),
    "vary": (log_in_and_out, "alice is shown the page of nobody"),
    # Not behind nginx: it takes the preconditions out of a request that it might store.
    "validators": (log_in_and_out, "alice is shown the page of nobody"),
}
# Where requests with cookies pass the cache by, none of our fields is needed.
NEEDED = [
    pytest.param(*param.values, what, id=f"{param.id}-{what}", marks=param.marks)
    for param in each(only=["nginx-plain", "varnish-cookies"])
    for what in TAKEN_BACK
    if (param.values[0], what) != ("nginx", "validators")
]
STORED = [
    f"/{style}/{kind}"
    for style in ("public-etag", "shared-both", "brief", "expires-modified", "surrogate-esi")
    for kind in KINDS
]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("cache", "setup", "what"), NEEDED)
def test_each_of_our_fields_is_needed(
    start: Start, cache: str, setup: str, site: str, what: str
) -> None:
    """The same visitors at the same pages: nothing is wrong with us, and much without the field."""
    address, host = start(cache), f"{setup}.{site}"
    come, problem = TAKEN_BACK[what]
    paths = [f"{path}/{what}" for path in STORED]
    with_us = [one for path in paths for one in come(address, host, path)]
    without = [one for path in paths for one in come(address, host, f"/without/{what}{path}")]
    assert with_us == []
    assert [one for one in without if problem in one]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("cache", "setup"), each(deaf=True))
def test_what_no_page_can_help(start: Start, cache: str, setup: str, site: str) -> None:
    """A cache that is told to heed no field of ours shows alice's page to everybody.

    That cannot be made right from inside a site. docs/caching.md says which lines do it.
    """
    address, host = start(cache), f"{setup}.{site}"
    problems = [one for kind in KINDS for one in strangers(address, host, f"/nothing/{kind}/deaf")]
    assert problems == [
        f"{host}/nothing/{kind}/deaf: {who} is shown the page of alice"
        for kind in KINDS
        for who in ("bob", "nobody")
    ]


# --- The example shops -----------------------------------------------------------------------

SHOP_PAGES = ["/", *(note.path for note in shop.NOTES), "/stream"]


def shopping(visitor: Visitor, users: list[str | None]) -> list[str]:
    """Look at every page of a shop as each of the users; return what was wrong with it."""
    problems = []
    for user in users:
        if user is not None:
            form = {"username": f"{user}@example.com", "password": shop.DEMO_PASSWORD}
            submit(visitor, "/login", page="/login", **form)
        for path in SHOP_PAGES:
            whom = identified(visitor.view(path))
            if whom != ([user] if user else []):
                problems.append(f"{visitor.host}{path}: {user} is shown as {whom}")
        if user is not None:
            submit(visitor, "/logout", page="/")
    return problems


@pytest.mark.parametrize("site", SHOPS)
@pytest.mark.parametrize(("cache", "setup"), each(only=["nginx-plain", "varnish-cookies"]))
def test_customers_of_the_example_shops_are_shown_as_themselves(
    start: Start, cache: str, setup: str, site: str
) -> None:
    """Through the log-in forms of the shops, with the session cookies of each framework."""
    address, host = start(cache, tuple(SHOPS)), f"{setup}.{site}"
    browsers: list[tuple[Visitor, list[str | None]]] = [
        (Visitor(address, host), [None, None]),
        (Visitor(address, host, cookies={"_ga": "GA1.2.1.1"}), [None, "alice", None]),
        (Visitor(address, host), ["alice", "bob"]),
        (Visitor(address, host), ["bob", None]),
    ]
    problems = all_at_once([partial(shopping, *browser) for browser in browsers])
    for visitor, _ in browsers:
        visitor.close()
    assert problems == []
    assert sum(visitor.statuses["HIT"] for visitor, _ in browsers) > 0
