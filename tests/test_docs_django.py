"""Every code block of docs/django.md runs as it stands there, and its table of checks is whole."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_ensoras
import httpx
import pytest
from adapters import ALICE, PAGE, SECRET, TAG, identify_script
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.template import engines
from django.test import Client
from django.urls import path
from django_sites import (
    AsgiClient,
    Browser,
    checks,
    home,
    identified,
    tables,
)
from oidc_provider import Provider, oidc_provider

DOCUMENT = (Path(__file__).parent.parent / "docs" / "django.md").read_text("utf-8")
BLOCKS = re.findall(r"```(python|html\+django)\n(.*?)```", DOCUMENT, re.DOTALL)
REMOTE_USER = "django.contrib.auth.middleware.RemoteUserMiddleware"


pytest_plugins = ["django_fixtures"]
pytestmark = pytest.mark.usefixtures("rolled_back")


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with tables():
        yield


def block(words: str) -> str:
    """Return the one block that holds these words."""
    (text,) = [text for _, text in BLOCKS if words in text]
    return str(text)


def run(words: str) -> dict[str, Any]:
    """Run the one Python block that holds these words, and return its names."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(block(words), "django.md", "exec"), names)
    return names


def settings_of(words: str) -> dict[str, Any]:
    return {name: value for name, value in run(words).items() if name.isupper()}


def module(monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> Any:
    """Run a block as the module that a dotted path in a setting names."""
    monkeypatch.setitem(sys.modules, name.partition(".")[0], types.ModuleType("shop"))
    made = types.ModuleType(name)
    vars(made).update(run(words))
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_every_block_is_tried_here() -> None:
    """A block added to the document needs a test."""
    assert len(BLOCKS) == 10


def test_the_settings(site: Any, browser: Browser) -> None:
    """The whole order, with every package in it, identifies; and no check complains of it."""
    policy = {"DIRECTIVES": {"script-src": ["https://app.ensoras.com"]}}
    changes = {"CONTENT_SECURITY_POLICY": policy} | settings_of("INSTALLED_APPS")

    def view(request: Any) -> HttpResponse:
        text = engines["django"].from_string(block("ensoras_widget %}")).render({}, request)
        return HttpResponse(PAGE.replace(TAG, text.strip().encode()))

    site(path("", view), **changes)
    visitors = [browser(), browser()]
    visitors[1].force_login(User.objects.create(username="alice", email=ALICE))
    for _ in range(2):  # the second time from the cache
        assert visitors[0].get("/").content == PAGE
        answer = visitors[1].get("/")
        assert answer.content == identified()
        assert "'sha256-" in answer["Content-Security-Policy"]
    assert checks() == ["ensoras.W002"]


def test_an_exempt_view(site: Any, browser: Browser) -> None:
    """The block's own view answers as it would without us."""
    export = run("ensoras_exempt")["export"]
    site(path("export", export), path("", home))
    visitor = browser()
    visitor.force_login(User.objects.create(username=PAGE.decode(), email=ALICE))
    assert visitor.get("/export").content == PAGE
    assert visitor.get("/").content == identified()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider() as running:
        yield running


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"email": ALICE, "email_verified": True}, identified()),
        ({"email": ALICE, "email_verified": False}, PAGE),
        ({"email": ALICE, "email_verified": "true"}, PAGE),
        ({"email": ALICE}, PAGE),
        ({"email_verified": True}, PAGE),
    ],
    ids=["verified", "not", "as a string", "not said", "no address"],
)
def test_openid_connect(
    site: Any,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    provider: Provider,
    claims: dict[str, Any],
    expected: bytes,
) -> None:
    """Authlib against a provider that runs: identified is whom it calls verified."""
    provider.claims = claims
    clients = {"AUTHLIB_OAUTH_CLIENTS": {"provider": provider.client}}
    site(**clients)  # Authlib reads it when the block runs
    shop = module(monkeypatch, "shop.views", "authlib")
    urls = [path("", home), path("login", shop.login), path("callback", shop.callback)]
    site(*urls, **clients, **settings_of('verified_email"'))
    visitor = browser()
    assert visitor.get("/").content == PAGE
    to_provider = visitor.get("/login").headers["Location"]
    before = visitor.cookies["sessionid"].value
    back = httpx.get(to_provider).headers["Location"].removeprefix("http://testserver")
    assert visitor.get(back).headers["Location"] == "/"
    assert visitor.cookies["sessionid"].value != before
    assert visitor.get("/").content == expected


@pytest.fixture
def remote_user_site(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "shop.users", "REMOTE_USER")
    backends = ["django.contrib.auth.backends.RemoteUserBackend"]
    changes = settings_of('remote_email"')
    urls = [path("", home), path("user", user_name)]
    site(*urls, below=[REMOTE_USER], AUTHENTICATION_BACKENDS=backends, **changes)


def user_name(request: Any) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def test_remote_user(remote_user_site: None) -> None:
    """What the server says counts, as long as it says so; and only of an active user."""
    visitor = Client()
    assert visitor.get("/").content == PAGE
    assert visitor.get("/", REMOTE_USER=ALICE).content == identified()
    assert visitor.get("/").content == PAGE
    User.objects.update(is_active=False)
    assert visitor.get("/", REMOTE_USER=ALICE).content == PAGE


def test_a_clients_own_header_is_not_read(remote_user_site: None, browser: Browser) -> None:
    """Though under ASGI, Django's middleware believes it."""
    visitor = browser()
    headers = {"Remote-User": ALICE}
    assert visitor.get("/", headers=headers).content == PAGE
    believed = visitor.get("/user", headers=headers).content.decode()
    assert believed == (ALICE if browser is AsgiClient else "")
    assert visitor.get("/", headers=headers).content == PAGE


def test_several_brands(site: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page's own tag says with which secret its visitor is signed."""
    other = SECRET[::-1]
    monkeypatch.setenv("ACME_WIDGET_SECRET", SECRET)
    monkeypatch.setenv("BRAVO_WIDGET_SECRET", other)
    text = engines["django"].from_string(block('slug="bravo"')).render({}).strip().encode()
    bravo = PAGE.replace(TAG, text)
    urls = [path("", home), path("bravo", lambda request: HttpResponse(bravo))]
    site(*urls, **settings_of("ACME_WIDGET_SECRET"))
    del settings.ENSORAS_WIDGET_SLUG
    visitor = browser()
    visitor.force_login(User.objects.create(username="alice", email=ALICE))
    assert visitor.get("/").content == identified()
    script = identify_script(ALICE, other)
    assert visitor.get("/bravo").content == bravo.replace(text, script + text)
    assert checks() == ["ensoras.W002"]


def test_switched_off(site: Any, browser: Browser) -> None:
    """No secret is needed, and nothing is checked."""
    changes = settings_of("ENSORAS_ENABLED")
    site(path("", home), ENSORAS_WIDGET_SECRET="", ENSORAS_WIDGET_SLUG="", **changes)
    visitor = browser()
    visitor.force_login(User.objects.create(username="alice", email=ALICE))
    assert visitor.get("/").content == PAGE
    assert checks() == []


def test_the_table_of_checks_is_complete() -> None:
    """Each id that the code has, once, in order and without a gap."""
    folder = Path(django_ensoras.__file__).parent
    code = "".join(file.read_text("utf-8") for file in folder.glob("*.py"))
    known = sorted(set(re.findall(r'id="(ensoras\.[EW]\d{3})"', code)))
    assert re.findall(r"^\| `(ensoras\.[EW]\d{3})` \|", DOCUMENT, re.MULTILINE) == known
    warnings = [one for one in known if ".W" in one]
    assert warnings == [f"ensoras.W{number:03}" for number in range(1, len(warnings) + 1)]
