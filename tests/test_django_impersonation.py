"""Staff acting as a customer, on Django sites: by the views of each package that offers it.

Such a visitor is not that customer, nor themselves until they have gone back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from adapters import ALICE, BOB, PAGE
from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django_sites import (
    ADMIN_APPS,
    APPS,
    LOGIN,
    MESSAGES,
    AsgiClient,
    Browser,
    async_home,
    customer,
    home,
    identified,
    log_in,
    tables,
)

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


pytest_plugins = ["django_fixtures"]
pytestmark = pytest.mark.usefixtures("rolled_back")


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with tables(*ADMIN_APPS, "hijack", "impersonate", "loginas"):
        yield


@dataclass
class Impersonation:
    """One package: how a site has it, and how its staff begin and end."""

    urls: str
    begin: Callable[[Any, Any], Any]
    end: Callable[[Any], Any]
    apps: list[str]
    middleware: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


HIJACK = Impersonation(
    "hijack.urls",
    lambda staff, user: staff.post("/staff/acquire/", {"user_pk": user.pk, "next": "/"}),
    lambda staff: staff.post("/staff/release/", {"next": "/"}),
    ["hijack"],
    ["hijack.middleware.HijackUserMiddleware"],
    {"HIJACK_INSERT_BEFORE": None},  # its bar is not our subject
)
IMPERSONATE = Impersonation(
    "impersonate.urls",
    lambda staff, user: staff.get(f"/staff/{user.pk}/"),
    lambda staff: staff.get("/staff/stop/"),
    ["impersonate"],
    ["impersonate.middleware.ImpersonateMiddleware"],
    {"LOGIN_REDIRECT_URL": "/"},
)
LOGINAS = Impersonation(
    "loginas.urls",
    lambda staff, user: staff.post(f"/staff/login/user/{user.pk}/"),
    lambda staff: staff.get("/staff/logout/"),
    [*ADMIN_APPS, "loginas"],
    [MESSAGES],
)
SU = Impersonation(
    "django_su.urls",
    lambda staff, user: staff.post(f"/staff/{user.pk}/"),
    lambda staff: staff.get("/staff/"),
    ["django_su"],
    [],
    {"AUTHENTICATION_BACKENDS": [MODEL_BACKEND, "django_su.backends.SuBackend"]},
)
PACKAGES = pytest.mark.parametrize(
    "package", [HIJACK, IMPERSONATE, LOGINAS, SU], ids=["hijack", "impersonate", "loginas", "su"]
)


def user_of(request: Any) -> HttpResponse:
    return HttpResponse(request.user.email)


@pytest.fixture
def staffed_site(site: Any) -> Callable[..., None]:
    def build(package: Impersonation, *urls: Any, **changes: Any) -> None:
        options = {"INSTALLED_APPS": [*APPS, *package.apps], "below": package.middleware}
        views = [LOGIN, path("user", user_of), path("staff/", include(package.urls))]
        site(*urls, *views, **options | package.settings | changes)
        customer("bob", BOB, is_staff=True, is_superuser=True)

    return build


@PACKAGES
@pytest.mark.parametrize("home", [home, async_home])
@pytest.mark.parametrize("allowed", [False, True])
def test_staff_acting_as_a_customer_are_not_that_customer(
    staffed_site: Any, browser: Browser, package: Impersonation, home: Any, allowed: bool
) -> None:
    """Nor themselves, until they have gone back; `ENSORAS_ALLOW_IMPERSONATION` allows it."""
    changes = {"ENSORAS_ALLOW_IMPERSONATION": True} if allowed else {}
    staffed_site(package, path("", home), ENSORAS_DEBUG=True, **changes)
    alice = customer("alice", ALICE)
    staff = browser()
    log_in(staff, "bob")
    assert staff.get("/").content == identified(email=BOB)
    for _ in range(2):
        assert package.begin(staff, alice).status_code == 302
        assert staff.get("/user").content.decode() == ALICE
        answer = staff.get("/")
        assert answer.content == (identified() if allowed else PAGE)
        outcome = answer.headers["X-Ensoras-Outcome"]
        assert outcome == ("identified" if allowed else "impersonated")
        assert package.end(staff).status_code == 302
        assert staff.get("/user").content.decode() == BOB
        assert staff.get("/").content == identified(email=BOB)
    log_in(customers := browser(), "alice")
    assert customers.get("/").content == identified()


def email_of_user(request: Any) -> Any:
    return request.user.email if request.user.is_authenticated else None


async def email_of_user_async(request: Any) -> Any:
    return await sync_to_async(email_of_user)(request)


@PACKAGES
@pytest.mark.parametrize(
    ("browser", "get_email"),
    [(Client, email_of_user), (AsgiClient, email_of_user), (AsgiClient, email_of_user_async)],
    ids=["wsgi", "asgi", "asgi-async"],
)
def test_a_function_of_the_site_signs_no_impersonated_customer(
    staffed_site: Any, browser: Browser, package: Impersonation, get_email: Any
) -> None:
    """`ENSORAS_GET_EMAIL` may read `request.user`, which is the customer then."""
    staffed_site(package, path("", home), ENSORAS_GET_EMAIL=get_email)
    alice = customer("alice", ALICE)
    staff = browser()
    assert staff.get("/").content == PAGE
    log_in(staff, "bob")
    assert staff.get("/").content == identified(email=BOB)
    package.begin(staff, alice)
    assert staff.get("/").content == PAGE
    package.end(staff)
    assert staff.get("/").content == identified(email=BOB)


async def nobody(request: Any) -> None:
    """A function that knows no customer."""


@pytest.mark.parametrize(
    ("browser", "get_email"),
    [(Client, lambda request: None), (AsgiClient, nobody)],
    ids=["wsgi", "asgi-async"],
)
def test_where_nobody_would_be_signed_nobody_is_impersonated(
    staffed_site: Any, browser: Browser, get_email: Any
) -> None:
    """The outcome is that of any page without a customer."""
    staffed_site(SU, path("", home), ENSORAS_GET_EMAIL=get_email, ENSORAS_DEBUG=True)
    alice = customer("alice", ALICE)
    staff = browser()
    log_in(staff, "bob")
    SU.begin(staff, alice)
    assert staff.get("/").headers["X-Ensoras-Outcome"] == "anonymous"


def test_an_asynchronous_function_need_not_have_read_the_session(staffed_site: Any) -> None:
    """We do so in a thread, as Django wants it."""

    async def email_in_query(request: Any) -> Any:
        return request.GET.get("as")

    staffed_site(SU, path("", async_home), ENSORAS_GET_EMAIL=email_in_query)
    alice = customer("alice", ALICE)
    staff = AsgiClient()
    log_in(staff, "bob")
    assert staff.get("/", {"as": ALICE}).content == identified()
    SU.begin(staff, alice)
    assert staff.get("/", {"as": ALICE}).content == PAGE


def test_auser_knows_nothing_of_django_impersonate(staffed_site: Any) -> None:
    """So we read `request.user` under ASGI, too: `auser()` is still the staff member."""

    async def both(request: Any) -> HttpResponse:
        user, auser = await sync_to_async(email_of_user)(request), await request.auser()
        return HttpResponse(f"{user} {auser.email}")

    staffed_site(IMPERSONATE, path("both", both))
    alice = customer("alice", ALICE)
    staff = AsgiClient()
    log_in(staff, "bob")
    IMPERSONATE.begin(staff, alice)
    assert staff.get("/both").content.decode() == f"{ALICE} {BOB}"


def test_the_page_that_ends_an_impersonation_is_anonymous(
    staffed_site: Any, browser: Browser
) -> None:
    """django-impersonate forgets the customer in the session, not in this request."""
    from impersonate.views import stop_impersonate

    def stop(request: Any) -> HttpResponse:
        stop_impersonate(request)
        return HttpResponse(PAGE)

    staffed_site(IMPERSONATE, path("", home), path("stop", stop))
    alice = customer("alice", ALICE)
    staff = browser()
    log_in(staff, "bob")
    IMPERSONATE.begin(staff, alice)
    assert staff.get("/stop").content == PAGE
    assert staff.get("/").content == identified(email=BOB)


@pytest.mark.parametrize("key", [0, 7])
def test_where_django_impersonate_lets_staff_be_themselves_they_are_nobody(
    staffed_site: Any, browser: Browser, key: int
) -> None:
    """Below `/admin/`, by its default; whatever it keeps of the customer in the session counts."""
    staffed_site(IMPERSONATE, path("", home), path("admin/", home), path("admin/user", user_of))
    alice = customer("alice", ALICE, pk=key)
    staff = browser()
    log_in(staff, "bob")
    IMPERSONATE.begin(staff, alice)
    assert staff.get("/admin/user").content.decode() == BOB
    assert staff.get("/admin/").content == staff.get("/").content == PAGE
    IMPERSONATE.end(staff)
    assert staff.get("/admin/").content == identified(email=BOB)


def test_django_loginas_may_call_its_session_key_otherwise(
    staffed_site: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own setting, which it reads once."""
    from loginas import settings as loginas_settings

    staffed_site(LOGINAS, path("", home), LOGINAS_FROM_USER_SESSION_FLAG="helper")
    monkeypatch.setattr(loginas_settings, "USER_SESSION_FLAG", "helper")
    alice = customer("alice", ALICE)
    staff = browser()
    log_in(staff, "bob")
    LOGINAS.begin(staff, alice)
    assert "loginas_from_user" not in staff.session
    assert staff.get("/user").content.decode() == ALICE
    assert staff.get("/").content == PAGE
