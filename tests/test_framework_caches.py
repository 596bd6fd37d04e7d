"""Caches inside a site's own process never hand one visitor's identity to another.

Below us they keep what the host answers, so that we must never change it; around us they keep what
we answer. Each promise is also broken on purpose, so that the tests are known to see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest
from adapters import PAGE, TAG, identify_script
from caches_around import AROUND, DEAF, FETCH_ABOVE, UPDATE_ABOVE
from framework_caches import BELOW, EMAILS, OBJECTS, Site

from ensoras_middleware.log import STRANGER

Build = Callable[[bool, Path], Iterator[Site]]

# What visitors are known by: `Vary: Cookie` says nothing of the other.
BY = ["cookie", "authorization"]
ORDERS = [*permutations(["alice", "bob", None])]


def wrong_pages(site: Site, by: str) -> list[str]:
    """Let alice, bob and somebody anonymous come in every order; return what was wrong."""
    wrong = []
    for order in ORDERS:
        site.clear()
        for user in (*order, *order, None):
            wrong += wrong_page(user, site.ask(user, by))
    return wrong


def wrong_page(user: str | None, body: bytes) -> list[str]:
    """Return what is wrong with the page that this user is shown."""
    own = identify_script(EMAILS[user]) if user else b""
    if body == PAGE.replace(TAG, own + TAG):
        return []
    others = {*EMAILS} - {user}
    shown = [other for other in others if identify_script(EMAILS[other]) in body]
    return [f"{user or 'nobody'} is shown the page of {', '.join(shown) or 'nobody'}"]


def crossed(wrong: list[str]) -> list[str]:
    return [one for one in wrong if not one.endswith("the page of nobody")]


# --- Below us --------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("build", OBJECTS.values(), ids=OBJECTS)
def test_an_answer_that_the_host_gives_again_is_never_changed(
    build: Build, by: str, tmp_path: Path
) -> None:
    """One response object, list or message for all visitors.

    What it holds is looked at too: scripts that come back to us are taken out of a page, so that
    what visitors see would not tell.
    """
    with closing(build(False, tmp_path)) as built:
        site = next(built)
        kept = site.kept()
        assert wrong_pages(site, by) == []
        site.ask("alice", by)
        assert site.kept() == kept
    with closing(build(True, tmp_path)) as built:
        assert "bob is shown the page of alice" in wrong_pages(next(built), by)


@pytest.mark.parametrize("build", OBJECTS.values(), ids=OBJECTS)
def test_many_at_once_share_the_hosts_answer(build: Build, tmp_path: Path) -> None:
    """Threads that answer with the same object at the same time."""
    users = ["alice", "bob", None] * 80
    with closing(build(False, tmp_path)) as built, ThreadPoolExecutor(8) as pool:
        site = next(built)
        bodies = pool.map(lambda user: site.ask(user, again=False), users)
        wrong = [one for pair in zip(users, bodies, strict=True) for one in wrong_page(*pair)]
    assert wrong == []


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("build", BELOW.values(), ids=BELOW)
def test_a_cache_below_us_keeps_one_page_for_all(
    build: Callable[[Path], Iterator[Site]], by: str, tmp_path: Path
) -> None:
    """The host makes it once, and each visitor gets their own script in it."""
    with closing(build(tmp_path)) as built:
        site = next(built)
        assert wrong_pages(site, by) == []
        assert len(site.calls) == len(ORDERS)


# --- Around us -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("build", AROUND.values(), ids=AROUND)
def test_a_cache_around_us_keeps_no_identified_page(build: Build, by: str, tmp_path: Path) -> None:
    """Anonymous pages it does keep; with the host's fields in place of ours, alice's too."""
    with closing(build(False, tmp_path)) as built:
        site = next(built)
        wrong = wrong_pages(site, by)
        assert crossed(wrong) == []
        # Known by another field than cookies, they may be shown the page of nobody.
        assert by == "authorization" or wrong == []
        assert len(site.calls) < len(ORDERS) * 7
    (tmp_path / "spoilt").mkdir()
    with closing(build(True, tmp_path / "spoilt")) as built:
        assert "bob is shown the page of alice" in wrong_pages(next(built), by)


@pytest.mark.parametrize("by", BY)
def test_a_page_that_comes_back_from_a_cache_around_us_loses_its_stranger(
    by: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Django's `UpdateCacheMiddleware` above us, `FetchFromCacheMiddleware` below."""
    with closing(UPDATE_ABOVE(False, tmp_path)) as built:
        assert wrong_pages(next(built), by) == []
    assert STRANGER not in caplog.text
    # It keeps alice's page now: hers is what comes back, and what is taken out of it.
    with closing(UPDATE_ABOVE(True, tmp_path)) as built:
        assert crossed(wrong_pages(next(built), by)) == []
    assert STRANGER in caplog.text


@pytest.mark.parametrize("by", BY)
def test_a_page_that_is_fetched_above_us_is_nobodys(by: str, tmp_path: Path) -> None:
    """The other way round: it never passes us, so it is without any identity, and stays so."""
    with closing(FETCH_ABOVE(False, tmp_path)) as built:
        wrong = wrong_pages(next(built), by)
    assert crossed(wrong) == []
    assert "bob is shown the page of nobody" in wrong


@pytest.mark.parametrize("build", DEAF.values(), ids=DEAF)
def test_what_no_page_can_help(build: Build, tmp_path: Path) -> None:
    """A cache around us that heeds no header field shows alice's page to everybody.

    That cannot be made right from inside. docs/caching.md says to put such a cache below us.
    """
    with closing(build(False, tmp_path)) as built:
        assert "bob is shown the page of alice" in wrong_pages(next(built), "cookie")
