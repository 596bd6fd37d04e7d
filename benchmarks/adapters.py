"""What the adapters cost per response, over the same site without them; and whole pages in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import frameworks, sites
from benchmarks.pages import BODY, Page
from benchmarks.peers import Insert
from benchmarks.report import TIMES, Row, micro
from benchmarks.sites import HTML, JSON
from benchmarks.timing import Figure, Loop, each, side_by_side

# The site around a framework's middleware takes ten times as long and more, and varies by more:
# many short samples find the difference.
FRAMEWORK_ROUNDS = 8

# The same hooks, around nothing: what the framework takes for them is not ours to save.
DO_NOTHING = "hooks that do nothing"

OTHER = b'{"ok": true}'

# Pages of 50 KB and more, give or take what a name rounds off.
FRAMEWORK_PAGES_FROM = 45_000


def rows(rounds: int) -> list[Row]:
    """Return the lines about small answers."""
    return [*_asgi(rounds), _wsgi(rounds), *_frameworks(rounds), *_tiny_pages(rounds)]


def _asgi(rounds: int) -> list[Row]:
    bare = sites.asgi_site(OTHER, JSON)
    run = side_by_side(
        {
            "bare": sites.asgi_loop(bare),
            "ours": sites.asgi_loop(sites.asgi_ours(bare)),
            DO_NOTHING: sites.asgi_loop(sites.asgi_do_nothing(bare)),
            "BaseHTTPMiddleware": sites.asgi_loop(sites.asgi_replacing(bare)),
        },
        rounds=rounds,
    )
    others = (DO_NOTHING, "BaseHTTPMiddleware")
    beside = {name: micro(run.difference(name, "bare")) for name in others}
    ours, base = run.difference("ours", "bare"), run.difference("BaseHTTPMiddleware", "bare")
    share = Figure(*(one / base.median for one in (ours.median, ours.lower, ours.upper)))
    return [
        Row("non-HTML through ASGI, over the bare app", ours.scaled(1e6), "µs", 1, beside=beside),
        Row("  … as a share of a BaseHTTPMiddleware", share, TIMES, 1 / 50),
    ]


def _wsgi(rounds: int) -> Row:
    bare = sites.wsgi_site(OTHER, JSON)
    loops = {
        "bare": sites.wsgi_loop(bare),
        "ours": sites.wsgi_loop(sites.wsgi_ours(bare)),
        DO_NOTHING: sites.wsgi_loop(sites.wsgi_do_nothing(bare)),
    }
    return _over_bare("non-HTML through WSGI, over the bare app", loops, rounds, 0.5)


def _frameworks(rounds: int) -> list[Row]:
    def loops(site: Callable[..., Any], ours: object, do_nothing: object) -> dict[str, Loop]:
        return {
            "bare": sites.wsgi_loop(site(OTHER, JSON)),
            "ours": sites.wsgi_loop(site(OTHER, JSON, ours)),
            DO_NOTHING: sites.wsgi_loop(site(OTHER, JSON, do_nothing)),
        }

    django = loops(
        frameworks.django_handler, frameworks.DJANGO_ENSORAS, frameworks.DJANGO_DO_NOTHING
    )
    flask = loops(frameworks.flask_site, frameworks.flask_ensoras, frameworks.flask_do_nothing)
    rounds *= FRAMEWORK_ROUNDS
    return [
        _over_bare("non-HTML through Django, over none", django, rounds, 2),
        _over_bare("non-HTML through Flask, over none", flask, rounds, 2),
    ]


def _tiny_pages(rounds: int) -> list[Row]:
    asgi, wsgi = sites.asgi_site(sites.TINY, HTML), sites.wsgi_site(sites.TINY, HTML)
    of_asgi = {
        "bare": sites.asgi_loop(asgi),
        "ours": sites.asgi_loop(sites.asgi_ours(asgi)),
    }
    of_wsgi = {
        "bare": sites.wsgi_loop(wsgi),
        "ours": sites.wsgi_loop(sites.wsgi_ours(wsgi)),
    }
    return [
        _over_bare("identified tiny page through ASGI, all in", of_asgi, rounds, 10),
        _over_bare("identified tiny page through WSGI, with werkzeug's request", of_wsgi, rounds),
    ]


def _over_bare(what: str, loops: Mapping[str, Loop], rounds: int, goal: float | None = None) -> Row:
    run = side_by_side(loops, rounds=rounds)
    over = run.difference("ours", "bare").scaled(1e6)
    beside = {"bare": micro(run.seconds("bare"))}
    if DO_NOTHING in loops:
        beside[DO_NOTHING] = micro(run.difference(DO_NOTHING, "bare"))
    return Row(what, over, "µs", goal, beside=beside)


# Whole pages ----------------------------------------------------------------------------------


def rows_of_pages(pages: list[Page], rounds: int) -> list[Row]:
    """Return the lines about peers that are middleware, each beside ours in its framework."""
    pairs: list[tuple[str, Insert, Insert, float | None]] = [
        (
            "django-browser-reload",
            frameworks.django_ours(),
            frameworks.django_browser_reload(),
            1,
        ),
        ("flask-debugtoolbar", frameworks.flask_ours(), frameworks.flask_debugtoolbar(), 1),
        (
            "a BaseHTTPMiddleware that replaces",
            sites.asgi_insert(sites.asgi_ours),
            sites.asgi_insert(sites.asgi_replacing),
            None,
        ),
    ]
    large = [page for page in pages if len(page.text) >= FRAMEWORK_PAGES_FROM]
    return [_faster_than(*pair, large, rounds) for pair in pairs]


def _faster_than(
    name: str, ours: Insert, theirs: Insert, goal: float | None, pages: list[Page], rounds: int
) -> Row:
    ratios: dict[str, Figure] = {}
    beside: dict[str, str] = {}
    for page in pages:
        body = page.with_tag(BODY)
        run = side_by_side({"ours": each(ours, body), "theirs": each(theirs, body)}, rounds=rounds)
        ratios[page.name] = run.ratio("theirs", "ours")
        if not beside:
            names = ("ours", "theirs")
            beside = {f"{page.name}:": "", **{one: micro(run.seconds(one)) for one in names}}
    medians = [one.median for one in ratios.values()]
    return Row(
        f"faster than {name}, on its worst page",
        Figure(min(medians), min(medians), max(medians)),
        TIMES,
        goal,
        at_least=True,
        beside=beside,
        spread="pages",
        details={page: one.as_json() for page, one in ratios.items()},
    )
