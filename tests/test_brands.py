"""Several brands in one process: each page is signed with the secret of its own widget tag.

Every answer is compared byte for byte with the page that this visitor of this brand must get.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import itertools
import logging
import re
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from adapters import identify_script
from brand_sites import (
    EMAILS,
    HOSTS,
    NONCE,
    POLICIES,
    SECRETS,
    SITES,
    Site,
    page,
    served_django,
    served_starlette,
)
from django.utils.asyncio import async_unsafe
from flask_ensoras import Ensoras

OUTCOME = "X-Ensoras-Outcome"
ACME, GLOBEX = HOSTS

Build = Callable[..., Site]
STREAMED: list[dict[str, str]] = [{}, {"stream": "1"}]

streamed = pytest.mark.parametrize("stream", STREAMED, ids=["whole", "stream"])


@pytest.fixture(params=SITES)
def site_of(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Build the site of one framework, with these options."""
    built: list[Generator[Site]] = []

    def build(**options: Any) -> Site:
        assert not built
        built.append(SITES[request.param](options))
        return next(built[0])

    yield build
    for one in built:
        one.close()


def of_slug(slug: str) -> str | None:
    return SECRETS.get(slug)


FORMS = {"mapping": SECRETS, "callable": of_slug}


# --- Which brand -----------------------------------------------------------------------------


@streamed
@pytest.mark.parametrize("secret", FORMS.values(), ids=FORMS)
def test_two_brands_by_host_name(site_of: Build, secret: Any, stream: dict[str, str]) -> None:
    """The page says which widget it has; each visitor is signed for that one."""
    site = site_of(secret=secret)
    for (host, slug), user in itertools.product(HOSTS.items(), [None, *EMAILS]):
        assert site.ask(host, user, **stream).content == page(slug, user=user, identified=slug)


@streamed
@pytest.mark.parametrize("secret", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("slugs", [*itertools.permutations(SECRETS)], ids=",".join)
def test_two_widget_tags_on_one_page(
    site_of: Build, secret: Any, slugs: tuple[str, ...], stream: dict[str, str]
) -> None:
    """The first one is identified, with its own secret; the other one stays anonymous."""
    site = site_of(secret=secret)
    answer = site.ask(ACME, "alice", tags=list(slugs), **stream)
    assert answer.content == page(*slugs, user="alice", identified=slugs[0])


@streamed
@pytest.mark.parametrize("secret", FORMS.values(), ids=FORMS)
def test_an_unknown_slug(
    site_of: Build, secret: Any, stream: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is identified there, with one warning; a known tag behind it is identified."""
    site = site_of(secret=secret, debug=True)
    for _ in range(2):
        answer = site.ask(ACME, "alice", tags="stranger", **stream)
        assert answer.content == page("stranger")
        assert answer.headers[OUTCOME] == ("streaming" if stream else "no-secret")
    assert warnings(caplog) == ["There is no secret for the slug of a widget tag, `stranger`."]

    slugs = ["stranger", "globex", "acme"]
    answer = site.ask(ACME, "alice", tags=slugs, **stream)
    assert answer.content == page(*slugs, user="alice", identified="globex")
    assert answer.headers[OUTCOME] == ("streaming" if stream else "identified")


def test_each_unknown_slug_is_told(site_of: Build, caplog: pytest.LogCaptureFixture) -> None:
    """The second brand without a secret is told of too."""
    site = site_of(secret=SECRETS)
    for slug in ("one", "two", "one"):
        site.ask(ACME, "alice", tags=slug)
    assert [re.findall(r"`(.*)`", one) for one in warnings(caplog)] == [["one"], ["two"]]


def test_slugs_are_told_apart_as_they_are_written(site_of: Build) -> None:
    """In upper case it is another widget, and so is a slug that only begins like another."""
    site = site_of(secret={**SECRETS, "acme-2": "the-secret-of-acme-2-0123456789"})
    for slug in ("ACME", "acme-", "acm", "acme-22", "acme_2"):
        assert site.ask(ACME, "alice", tags=slug).content == page(slug)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what our logger has said; never a secret, a hash or an address."""
    records = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert not any(secret in caplog.text for secret in [*SECRETS.values(), *EMAILS.values()])
    assert not re.search("[0-9a-f]{64}", caplog.text)
    return [one.getMessage() for one in records if one.levelno >= logging.WARNING]


# --- A callable that fails for one brand -----------------------------------------------------


async def coroutine() -> str:
    return SECRETS["globex"]


def failing() -> str:
    raise LookupError(SECRETS["globex"])


FAILURES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "raises": (failing, "secret-error", r"LookupError at .*test_brands\.py:\d+$"),
    "returns None": (lambda: None, "no-secret", "There is no secret"),
    "too short": (lambda: "tiny", "secret-error", "is shorter than 16 bytes"),
    "placeholder": (lambda: "YOUR_SECRET", "secret-error", "is still a placeholder"),
    "a number": (lambda: 42, "secret-error", "must be text, not int"),
    "a coroutine": (coroutine, "secret-error", "must be text, not coroutine"),
}


@streamed
@pytest.mark.parametrize(("fail", "outcome", "told"), FAILURES.values(), ids=FAILURES)
def test_a_callable_that_fails_for_one_brand(
    site_of: Build,
    fail: Callable[[], Any],
    outcome: str,
    told: str,
    stream: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That brand is anonymous for as long as it does, with one warning; the other is as ever."""
    works = False
    site = site_of(
        secret=lambda slug: SECRETS[slug] if slug == "acme" or works else fail(), debug=True
    )
    for _ in range(2):
        answer = site.ask(GLOBEX, "alice", **stream)
        assert answer.content == page("globex")
        assert answer.headers[OUTCOME] == ("streaming" if stream else outcome)
        # Its header fields are those of a page that nobody may keep for another visitor.
        assert answer.headers["Vary"] == "Cookie"
        answer = site.ask(ACME, "alice", **stream)
        assert answer.content == page("acme", user="alice", identified="acme")
    works = True
    answer = site.ask(GLOBEX, "alice", **stream)
    assert answer.content == page("globex", user="alice", identified="globex")
    (warning,) = warnings(caplog)
    assert "`globex`" in warning
    assert re.search(told, warning)
    assert "tiny" not in warning


@streamed
@pytest.mark.parametrize("framework", ["django-wsgi", "django-asgi"])
def test_a_callable_may_query_in_django(framework: str, stream: dict[str, str]) -> None:
    """Under ASGI too it is asked where Django lets it, though the event loop sends the stream."""
    with contextlib.closing(SITES[framework]({"secret": async_unsafe(of_slug)})) as built:
        site = next(built)
        for host, slug in HOSTS.items():
            answer = site.ask(host, "alice", **stream)
            assert answer.content == page(slug, user="alice", identified=slug)


@pytest.mark.parametrize("path", ["/whole", "/stream"])
def test_a_callable_has_the_context_of_flask(path: str) -> None:
    """While a stream is sent too, when the request's own is gone: Flask-SQLAlchemy needs it."""
    app = flask.Flask(__name__)
    app.config["SECRETS"] = SECRETS
    app.config["ENSORAS_WIDGET_SECRET"] = lambda slug: flask.current_app.config["SECRETS"][slug]
    Ensoras(app).email_getter(lambda: EMAILS["alice"])
    body = page("globex")
    answered = body if path == "/whole" else iter([body[:80], body[80:]])
    app.add_url_rule(path, view_func=lambda: flask.Response(answered), endpoint="view")
    answer = app.test_client().get(path)
    assert answer.data == page("globex", user="alice", identified="globex")


def test_a_callable_has_what_the_request_has_put_into_flasks_g() -> None:
    """While the request is there, its own context is the one that counts."""
    app = flask.Flask(__name__)
    app.before_request(lambda: setattr(flask.g, "secrets", SECRETS))
    app.config["ENSORAS_WIDGET_SECRET"] = lambda slug: flask.g.secrets[slug]
    Ensoras(app).email_getter(lambda: EMAILS["alice"])
    app.add_url_rule("/", view_func=lambda: page("globex"), endpoint="view")
    answer = app.test_client().get("/")
    assert answer.data == page("globex", user="alice", identified="globex")


# --- A policy, where the slug is not known beforehand ----------------------------------------


@streamed
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("slug", SECRETS)
def test_the_policy_of_a_page_whose_slug_is_not_known_beforehand(
    site_of: Build, slug: str, policy: str, stream: dict[str, str]
) -> None:
    """A stream's field has left when the tag is seen: it is identified where nothing is added.

    That is, with the tag's nonce, or where all inline scripts may run. With hosts alone the stream
    is anonymous, and its policy as it was: a script that is blocked would be reported.
    """
    site = site_of(secret=SECRETS)
    answer = site.ask(ACME, "bob", tags=slug, policy=policy, **stream)
    nonce = NONCE if policy == "nonce" else ""
    script = identify_script(EMAILS["bob"], SECRETS[slug], nonce)
    added = ""
    if policy == "hosts" and not stream:
        text = script.removeprefix(b"<script>").removesuffix(b"</script>")
        added = f" 'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
    user = None if policy == "hosts" and stream else "bob"
    assert answer.content == page(slug, user=user, identified=slug, nonce=nonce)
    assert answer.headers["Content-Security-Policy"] == POLICIES[policy] + added


# --- Many at once ----------------------------------------------------------------------------

VISITS = [
    (host, user, stream)
    for host, user, stream in itertools.product(HOSTS, [None, *EMAILS], STREAMED)
]


def expected(host: str, user: str | None) -> bytes:
    return page(HOSTS[host], user=user, identified=HOSTS[host])


@pytest.fixture
def _switching_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_switching_often")
def test_threads_never_mix_brands(site_of: Build) -> None:
    """Many visitors of both brands, each in a thread."""
    site = site_of(secret=of_slug)
    visits = VISITS * 8
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda visit: site.ask(visit[0], visit[1], **visit[2]), visits)
        for (host, user, _), answer in zip(visits, answers, strict=True):
            assert answer.content == expected(host, user)


def test_tasks_never_mix_brands(site_of: Build) -> None:
    """Many visitors of both brands, each in a task of one event loop; whose streams interleave."""
    site = site_of(secret=of_slug)
    visits = VISITS * 8

    async def all_at_once() -> list[bytes]:
        tasks = [site.ask_async(host, user, **stream) for host, user, stream in visits]
        return [answer.content for answer in await asyncio.gather(*tasks)]

    for (host, user, _), content in zip(visits, asyncio.run(all_at_once()), strict=True):
        assert content == expected(host, user)


@pytest.mark.servers
@pytest.mark.parametrize("served", [served_starlette, served_django])
def test_a_real_server_never_mixes_brands(served: Any) -> None:
    """Clients that go from brand to brand, each over one connection where the server keeps it."""

    def visit(start: int) -> None:
        connection = http.client.HTTPConnection(*address, timeout=15)
        for host, user, stream in (VISITS[start:] + VISITS[:start]) * 3:
            headers = {"Host": host, "Cookie": f"user={user}" if user else "other=1"}
            connection.request("GET", "/?stream=1" if stream else "/", headers=headers)
            assert connection.getresponse().read() == expected(host, user)
        connection.close()

    with served(secret=of_slug) as address, ThreadPoolExecutor(4) as pool:
        list(pool.map(visit, range(0, len(VISITS), 3)))
