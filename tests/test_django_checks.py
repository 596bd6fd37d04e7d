"""What `manage.py check` says of the settings and the users; of the order: `test_django_order`."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from adapters import ALICE, PAGE
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client
from django.urls import path
from django_ensoras.middleware import EnsorasMiddleware
from django_sites import (
    ALLAUTH,
    ALLAUTH_APPS,
    APPS,
    AUTHENTICATION,
    ENSORAS,
    GZIP,
    OTP,
    OTP_APPS,
    SESSIONS,
    USERS,
    Shopper,
    Subscriber,
    checks,
    customer,
    dotted,
    home,
    identified,
    sites,
    tables,
)

from ensoras_middleware import ConfigurationError

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


# Settings -------------------------------------------------------------------------------------

WRONG = [
    ({"ENSORAS_WIDGET_SECRET": "short"}, "ENSORAS_WIDGET_SECRET"),
    ({"ENSORAS_WIDGET_SLUG": "a b"}, "ENSORAS_WIDGET_SLUG"),
    ({"ENSORAS_WIDGET_SLUGG": "acme"}, "ENSORAS_WIDGET_SLUGG"),
    ({"ENSORAS_GET_EMAIL": "nowhere.email"}, "ENSORAS_GET_EMAIL"),
    *(
        ({"ENSORAS_EXCLUDE": paths, "MEDIA_URL": "/media/"}, "ENSORAS_EXCLUDE .* must be a list")
        for paths in ("/admin", b"/admin", 5)
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_setting_stops_the_start_and_fails_the_check(
    site: Any, change: dict[str, Any], message: str
) -> None:
    """With an error that names the setting; `manage.py check` has the id E001."""
    site(path("", home), **change)
    for handler in (WSGIHandler, ASGIHandler):
        with pytest.raises(ConfigurationError, match=message):
            handler()
    assert checks() == ["ensoras.E001"]
    with pytest.raises(SystemCheckError, match=message):
        call_command("check")


def test_a_site_that_is_switched_off_is_told_nothing(site: Any) -> None:
    """Whatever else is wrong: CI and image builds have no secret, and perhaps not all layers."""
    site(path("", home), MIDDLEWARE=[GZIP], ENSORAS_ENABLED=False, ENSORAS_WIDGET_SECRET="")
    assert checks() == []


def test_a_forgotten_middleware_is_a_warning(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """W001: the app alone identifies nobody; a subclass of ours does."""

    class Ours(EnsorasMiddleware):
        pass

    site(path("", home))
    assert checks() == []
    site(path("", home), MIDDLEWARE=USERS)
    assert checks() == ["ensoras.W001"]
    call_command("check")
    assert "ensoras.W001" in capsys.readouterr().err
    site(path("", home), MIDDLEWARE=[dotted(Ours), *USERS])
    assert checks() == []


# Users and their addresses --------------------------------------------------------------------


def test_addresses_that_nobody_verifies_are_a_warning(
    site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """W002, for `contrib.auth` as it comes; not where the site says who its customers are."""
    site(path("", home), ENSORAS_TRUST_EMAILS=False)
    assert checks() == ["ensoras.W002"]
    call_command("check")
    assert "ENSORAS_TRUST_EMAILS = True" in capsys.readouterr().err
    site(path("", home), ENSORAS_TRUST_EMAILS=True)
    assert checks() == []
    changes = {"ENSORAS_TRUST_EMAILS": False, "ENSORAS_GET_EMAIL": lambda request: None}
    site(path("", home), **changes)
    assert checks() == []


def test_a_unique_address_is_not_a_verified_one(site: Any) -> None:
    """Ensoras knows addresses in lower case only; a unique field tells `Alice@` from `alice@`."""
    site(path("", home), AUTH_USER_MODEL="auth.Subscriber", ENSORAS_TRUST_EMAILS=False)
    for email in (ALICE, ALICE.title()):  # two accounts, one of them a stranger's
        user = Subscriber.objects.create(email=email)
        visitor = Client()
        visitor.force_login(user)
        assert visitor.get("/").content == identified()
    assert Subscriber.objects.count() == 2
    assert checks() == ["ensoras.W002"]


def test_a_model_that_knows_what_is_verified_is_no_warning(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only users whose `email_verified` is true are signed."""
    site(path("", home), ENSORAS_TRUST_EMAILS=False)
    monkeypatch.setattr(User, "email_verified", False, raising=False)
    visitor = Client()
    visitor.force_login(customer("alice", ALICE))
    assert visitor.get("/").content == PAGE
    assert checks() == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),  # "optional" is the default
        ({"ACCOUNT_EMAIL_VERIFICATION": "mandatory"}, []),
        ({"ACCOUNT_EMAIL_VERIFICATION": "none"}, ["ensoras.W003"]),
        ({"ACCOUNT_EMAIL_VERIFICATION": "none", "ENSORAS_TRUST_EMAILS": True}, []),
        ({"ACCOUNT_EMAIL_VERIFICATION": "none", "ENSORAS_GET_EMAIL": lambda request: None}, []),
        # These need "none", or verify addresses by another way.
        ({"ACCOUNT_EMAIL_VERIFICATION": "none", "SOCIALACCOUNT_ONLY": True}, []),
        ({"ACCOUNT_EMAIL_VERIFICATION": "none", "ACCOUNT_LOGIN_BY_CODE_ENABLED": True}, []),
    ],
)
def test_allauth_is_told_where_it_verifies_nothing(
    site: Any, settings: dict[str, Any], expected: list[str]
) -> None:
    """W003: what users who signed up are missing; `test_django_logins` shows that they do."""
    changes = {"ENSORAS_TRUST_EMAILS": False, "INSTALLED_APPS": [*APPS, *ALLAUTH_APPS]}
    site(path("", home), below=[ALLAUTH], **changes | settings)
    assert checks() == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [("Member", ["ensoras.W004"]), ("Shopper", []), ("Subscriber", [])],
)
def test_a_user_model_without_an_address_is_a_warning(
    site: Any, model: str, expected: list[str]
) -> None:
    """W004: nobody would ever be identified; not where the site says who its customers are."""
    site(path("", home), AUTH_USER_MODEL=f"auth.{model}")
    assert checks() == expected
    site(path("", home), ENSORAS_GET_EMAIL=lambda request: None)
    assert checks() == []


def test_the_address_is_looked_for_where_it_is_read(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `EMAIL_FIELD`; as `email` in a model that is not derived from Django's, and has none."""
    monkeypatch.delattr(Shopper, "email")
    site(path("", home), AUTH_USER_MODEL="auth.Shopper")
    assert checks() == []
    monkeypatch.delattr(AbstractBaseUser, "get_email_field_name")
    assert checks() == ["ensoras.W004"]
    site(path("", home), AUTH_USER_MODEL="auth.Subscriber")
    assert checks() == []
    visitor = Client()
    visitor.force_login(Subscriber.objects.create(email=ALICE))
    assert visitor.get("/").content == identified()


@pytest.mark.parametrize("layers", [[ENSORAS], [ENSORAS, SESSIONS]])
def test_a_site_that_knows_no_users_is_a_warning(site: Any, layers: list[str]) -> None:
    """W005: every visitor stays anonymous; not where the site says who its customers are."""
    site(path("", home), MIDDLEWARE=layers, ENSORAS_DEBUG=True)
    visitor = Client()
    visitor.force_login(customer("alice", ALICE))
    answer = visitor.get("/")
    assert (answer.content, answer["X-Ensoras-Outcome"]) == (PAGE, "anonymous")
    assert checks() == ["ensoras.W005"]
    site(path("", home), MIDDLEWARE=layers, ENSORAS_GET_EMAIL=lambda request: ALICE)
    assert Client().get("/").content == identified()
    assert checks() == []


def test_a_site_without_djangos_users_is_told_that_alone(site: Any) -> None:
    """There is no user model to look at."""
    site(path("", home), MIDDLEWARE=[ENSORAS], INSTALLED_APPS=["django_ensoras"])
    assert checks() == ["ensoras.W005"]


@pytest.mark.parametrize("layers", [[AUTHENTICATION], [AUTHENTICATION, SESSIONS]])
def test_missing_sessions_are_djangos_own_to_tell(site: Any, layers: list[str]) -> None:
    """No page is answered at all, and the error says what to do."""
    site(path("", home), MIDDLEWARE=[ENSORAS, *layers])
    with pytest.raises(ImproperlyConfigured, match=r"insert .*SessionMiddleware' before"):
        Client().get("/")
    assert checks() == []


def test_django_otp_without_its_middleware_is_a_warning(site: Any) -> None:
    """W006: users with a device are never identified, as `test_django_logins` shows."""
    installed = [*APPS, *OTP_APPS]
    site(path("", home), INSTALLED_APPS=installed)
    assert checks() == ["ensoras.W006"]
    site(path("", home), INSTALLED_APPS=installed, below=[OTP])
    assert checks() == []
    site(path("", home), INSTALLED_APPS=installed, ENSORAS_GET_EMAIL=lambda request: None)
    assert checks() == []


@pytest.mark.parametrize("middleware", [None, lambda get_response: get_response])
def test_a_layer_is_there_whatever_stands_behind_its_name(
    site: Any, middleware: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that cannot be imported, which is Django's to tell, or a function of that name."""
    module = types.ModuleType("django_otp.middleware")
    module.OTPMiddleware = middleware  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module if middleware else None)  # type: ignore[arg-type]
    site(path("", home), INSTALLED_APPS=[*APPS, *OTP_APPS], below=[OTP])
    assert checks() == []
