"""`manage.py check` tells a wrong order of `MIDDLEWARE`, and only where something is lost.

The loss is shown on real requests, and that the hint mends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from adapters import ALICE, BOB, PAGE
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.test import Client
from django.urls import path
from django.utils.module_loading import import_string
from django_sites import (
    ALLAUTH,
    CONDITIONAL_GET,
    ENSORAS,
    GZIP,
    OTP,
    USERS,
    checks,
    customer,
    dotted,
    identified,
    sites,
    tables,
    told,
)

CACHE = "django.middleware.cache.CacheMiddleware"
REMOTE_USER = "django.contrib.auth.middleware.RemoteUserMiddleware"
IMPERSONATE = "impersonate.middleware.ImpersonateMiddleware"
UPDATE_CACHE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH_FROM_CACHE = "django.middleware.cache.FetchFromCacheMiddleware"
DJANGO_CSP = "csp.middleware.CSPMiddleware"
DJANGO_6_CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware"
HIJACK = "hijack.middleware.HijackUserMiddleware"
BROTLI = "django_brotli.middleware.BrotliMiddleware"
COMPRESSION = "compression_middleware.middleware.CompressionMiddleware"
HTTP_COMPRESSION = "django_http_compression.middleware.HttpCompressionMiddleware"


pytest_plugins = ["django_fixtures"]
pytestmark = pytest.mark.usefixtures("rolled_back")


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with tables():
        yield


@pytest.fixture
def site() -> Iterator[Callable[..., None]]:
    """Build a site whose addresses are all right, so that only a test's own subject is told."""
    with sites() as build:
        yield lambda *urls, **changes: build(*urls, **{"ENSORAS_TRUST_EMAILS": True} | changes)


class SmallGZip(GZipMiddleware):
    """A site's own subclass."""


def logged_in(name: str) -> Client:
    visitor = Client()
    visitor.force_login(User.objects.get(username=name))
    return visitor


def outcome_is_identified() -> bool:
    """Look at a customer's page, as a browser asks for it, that others have asked for before."""
    Client().get("/")
    answer = logged_in("alice").get("/", headers={"Accept-Encoding": "gzip, br, zstd"})
    return bool(answer.get("X-Ensoras-Outcome") == "identified")


def revalidates_with_a_cookie() -> bool:
    visitor = Client()
    visitor.cookies["consent"] = "yes"
    headers = {"Sec-Fetch-Dest": "document"}
    headers["If-None-Match"] = visitor.get("/", headers=headers)["ETag"]
    return bool(visitor.get("/", headers=headers).status_code == 304)


def cache_serves_everybody() -> bool:
    made.clear()
    for name in ("alice", "bob", "alice"):
        if logged_in(name).get("/").content != identified(page(), EMAILS[name]):
            return False
    return len(made) == 1


def script_may_run() -> bool:
    """Look into the policies for the hash of the script; Chromium agrees in `test_browser_csp`."""
    answer = logged_in("alice").get("/")
    fields = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")
    return all("'sha256-" in answer[name] for name in fields if name in answer)


EMAILS = {"alice": ALICE, "bob": BOB}
HOSTS = {"DIRECTIVES": {"script-src": ["https://app.ensoras.com"]}}
BY_HOSTS = {"CONTENT_SECURITY_POLICY": HOSTS}
BY_HOSTS_6 = {"SECURE_CSP": HOSTS["DIRECTIVES"]}
REPORTED = {"CONTENT_SECURITY_POLICY_REPORT_ONLY": HOSTS}
REPORTED_6 = {"SECURE_CSP_REPORT_ONLY": HOSTS["DIRECTIVES"]}
made: list[str] = []


def page() -> bytes:
    return PAGE + b"<p>" * 200  # long enough to be compressed


def view(request: Any) -> HttpResponse:
    made.append(request.path)
    return HttpResponse(page())


DJANGO_6 = pytest.mark.skipif(
    django.VERSION < (6, 0), reason="Django 5.2 has no middleware for CSP"
)

ORDERS = [
    ("W007", [ENSORAS, *USERS, GZIP], {}, outcome_is_identified),
    ("W007", [ENSORAS, GZIP, ENSORAS, *USERS], {}, outcome_is_identified),
    ("W007", [GZIP, ENSORAS, dotted(SmallGZip), *USERS], {}, outcome_is_identified),
    ("W007", [ENSORAS, COMPRESSION, *USERS], {}, outcome_is_identified),
    ("W007", [ENSORAS, BROTLI, *USERS], {}, outcome_is_identified),
    ("W007", [ENSORAS, HTTP_COMPRESSION, *USERS], {}, outcome_is_identified),
    ("W008", [ENSORAS, CONDITIONAL_GET, *USERS], {}, revalidates_with_a_cookie),
    ("W009", [UPDATE_CACHE, ENSORAS, *USERS, FETCH_FROM_CACHE], {}, cache_serves_everybody),
    ("W009", [UPDATE_CACHE, *USERS, FETCH_FROM_CACHE, ENSORAS], {}, cache_serves_everybody),
    ("W009 W010", [CACHE, ENSORAS, *USERS], {}, cache_serves_everybody),
    ("W010", [FETCH_FROM_CACHE, ENSORAS, UPDATE_CACHE, *USERS], {}, outcome_is_identified),
    ("W010", [ENSORAS, UPDATE_CACHE, FETCH_FROM_CACHE, *USERS], {}, outcome_is_identified),
    ("W010", [ENSORAS, CACHE, *USERS], {}, outcome_is_identified),
    ("W011", [DJANGO_CSP, ENSORAS, *USERS], BY_HOSTS, script_may_run),
    ("W011", [DJANGO_CSP, ENSORAS, *USERS], REPORTED, script_may_run),
    pytest.param(
        "W011", [DJANGO_6_CSP, ENSORAS, *USERS], BY_HOSTS_6, script_may_run, marks=DJANGO_6
    ),
    pytest.param(
        "W011", [DJANGO_6_CSP, ENSORAS, *USERS], REPORTED_6, script_may_run, marks=DJANGO_6
    ),
]


def moved(layers: list[str], hint: str) -> list[str]:
    """Return the layers as somebody has them who does what the hint says."""
    match = re.fullmatch(r'Move "(\S+)" (above|below) "(\S+)" in MIDDLEWARE\.', hint)
    assert match
    thing, where, other = match.groups()
    left = [layer for layer in layers if layer != thing]
    place = left.index(other) + (where == "below")
    return [*left[:place], thing, *left[place:]]


@pytest.mark.parametrize(("ids", "layers", "settings", "works"), ORDERS)
def test_a_wrong_order_is_told_and_the_hint_mends_it(
    site: Any, ids: str, layers: list[str], settings: dict[str, Any], works: Callable[[], bool]
) -> None:
    """What is lost in that order is there in the other."""
    if DJANGO_6_CSP in layers and django.VERSION < (6, 0):
        pytest.skip("Django 5.2 has no middleware for CSP")
    for name, email in EMAILS.items():
        User.objects.create(username=name, email=email)
    seen = []
    for _ in layers:
        site(path("", view), MIDDLEWARE=layers, ENSORAS_DEBUG=True, **settings)
        messages = told()
        if not messages:
            break
        cache.clear()
        assert not works()
        seen.append(messages[0].id)
        layers = moved(layers, str(messages[0].hint))
    else:
        pytest.fail("the hints lead nowhere")
    assert seen == [f"ensoras.{id}" for id in ids.split()]
    cache.clear()
    assert works()


# Right orders: nothing is told ------------------------------------------------------------------


def of_startproject() -> list[str]:
    """Return the `MIDDLEWARE` that `django-admin startproject` writes."""
    template = Path(django.__file__).parent / "conf/project_template/project_name/settings.py-tpl"
    names: dict[str, Any] = {}
    text = template.read_text("utf-8")
    exec(text[text.index("MIDDLEWARE = [") : text.index("ROOT_URLCONF")], names)
    layers: list[str] = names["MIDDLEWARE"]
    return layers


def plain(get_response: Any) -> Any:
    return lambda request: get_response(request)


DEFAULT = of_startproject()
STACKS = {
    "startproject, ours first": [ENSORAS, *DEFAULT],
    "startproject, ours last": [*DEFAULT, ENSORAS],
    "README": [GZIP, CONDITIONAL_GET, ENSORAS, *DEFAULT],
    "README, the other way round": [CONDITIONAL_GET, GZIP, ENSORAS, *DEFAULT],
    "a second ConditionalGetMiddleware": [CONDITIONAL_GET, ENSORAS, CONDITIONAL_GET, *DEFAULT],
    "django-compression-middleware": [COMPRESSION, ENSORAS, *DEFAULT],
    "django-brotli": [BROTLI, GZIP, ENSORAS, *DEFAULT],
    "django-http-compression": [HTTP_COMPRESSION, ENSORAS, *DEFAULT],
    "Django's cache": [ENSORAS, UPDATE_CACHE, *DEFAULT, FETCH_FROM_CACHE],
    "Django's cache in one": [ENSORAS, *DEFAULT, CACHE],
    "django-csp": [ENSORAS, *DEFAULT, DJANGO_CSP],
    "Django's CSP": [ENSORAS, DEFAULT[0], DJANGO_6_CSP, *DEFAULT[1:]],
    "django-otp": [ENSORAS, *DEFAULT, OTP],
    "django-allauth": [ENSORAS, *DEFAULT, ALLAUTH],
    "django-hijack": [ENSORAS, *DEFAULT, HIJACK],
    "django-impersonate": [ENSORAS, *DEFAULT, IMPERSONATE],
    "RemoteUserMiddleware": [ENSORAS, *DEFAULT, REMOTE_USER],
    "ours twice": [ENSORAS, *DEFAULT, ENSORAS],
    "a function": [ENSORAS, *DEFAULT, dotted(plain)],
    "a path that cannot be imported": [ENSORAS, *DEFAULT, "no.such.Middleware", "nothing"],
}


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_a_right_order_is_told_nothing(site: Any, layers: list[str]) -> None:
    """As each package's own documentation has it, with ours where the README says."""
    site(path("", view), MIDDLEWARE=layers, **BY_HOSTS)
    assert checks() == []


def test_a_cache_above_the_users_is_right_where_nobody_reads_them(site: Any) -> None:
    """Pages from the cache are identified by a function that needs no `request.user`."""
    layers = [ENSORAS, CACHE, *USERS]
    site(path("", view), MIDDLEWARE=layers, ENSORAS_GET_EMAIL=lambda request: request.GET.get("as"))
    made.clear()
    for email in (ALICE, ALICE):
        assert Client().get("/", {"as": email}).content == identified(page(), email)
    assert made == ["/"]
    assert checks() == []


def test_nothing_is_lost_where_ours_stands_twice(site: Any) -> None:
    """The outer one answers; so that is none of the checks' business."""
    site(path("", view), MIDDLEWARE=[ENSORAS, *USERS, ENSORAS])
    customer("alice", ALICE)
    assert logged_in("alice").get("/").content == identified(page())


NONCE = import_string("csp.constants.NONCE")


@pytest.mark.parametrize("kind", ["CONTENT_SECURITY_POLICY", "CONTENT_SECURITY_POLICY_REPORT_ONLY"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"script-src": [NONCE]},
        {"default-src": [NONCE, "'strict-dynamic'"]},
        {"script-src": ["'unsafe-inline'", "https://app.ensoras.com"]},
    ],
    ids=["none", "nonce", "default with nonce", "unsafe-inline"],
)
def test_a_policy_that_blocks_nothing_of_ours_may_be_written_above(
    site: Any, settings: dict[str, Any], kind: str
) -> None:
    """No policy, or the tag's own nonce, or all inline scripts."""
    policy = {kind: {"DIRECTIVES": settings}} if settings else {}
    site(path("", view), MIDDLEWARE=[DJANGO_CSP, ENSORAS, *USERS], **policy)
    assert checks() == []


def test_a_policy_that_lets_no_widget_run_may_be_written_above(site: Any) -> None:
    """There is nothing to lose."""
    policy = {"CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"script-src": ["'none'"]}}}
    site(path("", view), MIDDLEWARE=[DJANGO_CSP, ENSORAS, *USERS], **policy)
    assert checks() == []


def test_with_the_tags_nonce_the_script_runs_under_a_policy_from_above(site: Any) -> None:
    """So that order is not told."""

    def with_nonce(request: Any) -> HttpResponse:
        return HttpResponse(PAGE.replace(b" defer", f' defer nonce="{request.csp_nonce}"'.encode()))

    policy = {"DIRECTIVES": {"script-src": [NONCE]}}
    layers = [DJANGO_CSP, ENSORAS, *USERS]
    site(path("", with_nonce), MIDDLEWARE=layers, CONTENT_SECURITY_POLICY=policy)
    customer("alice", ALICE)
    answer = logged_in("alice").get("/")
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', answer.content.decode()))
    assert answer.content.count(b"nonce=") == 2
    assert f"'nonce-{nonce}'" in answer["Content-Security-Policy"]
