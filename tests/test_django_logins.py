"""Who is logged in to a Django site: each package logs its users in by its own views.

Every site here has no setting of ours but slug and secret, where the test does not say so.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from adapters import ALICE, BOB, PAGE
from django.apps import apps
from django.contrib.auth.views import LoginView, LogoutView
from django.core import mail
from django.test import override_settings
from django.urls import include, path
from django_sites import (
    ALLAUTH,
    ALLAUTH_APPS,
    APPS,
    LOGIN,
    MESSAGES,
    OTP,
    OTP_APPS,
    Browser,
    async_home,
    customer,
    home,
    identified,
    log_in,
    tables,
    warnings_of,
)

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
MAILS: dict[str, Any] = (
    {"EMAIL_BACKEND": LOCMEM}
    if django.VERSION < (6, 1)
    else {"MAILERS": {"default": {"BACKEND": LOCMEM}}}
)
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]


pytest_plugins = ["django_fixtures"]
pytestmark = pytest.mark.usefixtures("rolled_back")


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    # Without its middleware, allauth refuses to start.
    with tables(*ALLAUTH_APPS, *OTP_APPS, MIDDLEWARE=[ALLAUTH]):
        yield


# django.contrib.auth --------------------------------------------------------------------------


def _with_password(user: Any) -> Any:
    user.set_password("secret")
    user.save()
    return user


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("User", {"username": "alice", "email": ALICE}, identified()),
        ("User", {"username": ALICE, "email": BOB}, identified(email=BOB)),
        ("User", {"username": "carol@example.com", "email": ""}, PAGE),
        ("Shopper", {"name": "alice", "contact": ALICE}, identified()),
        ("Subscriber", {"email": ALICE}, identified()),
        ("Member", {"name": ALICE}, PAGE),
    ],
)
def test_the_user_models_own_email_field_is_read(
    site: Any, browser: Browser, model: str, fields: dict[str, str], expected: bytes
) -> None:
    """`EMAIL_FIELD` says where the address is; a user name that looks like one is none."""
    site(path("", home), LOGIN, AUTH_USER_MODEL=f"auth.{model}")
    user = _with_password(apps.get_model("auth", model)(**fields))
    visitor = browser()
    assert visitor.get("/").content == PAGE
    log_in(visitor, user.get_username())
    assert visitor.get("/").content == expected


# django-otp -----------------------------------------------------------------------------------


@pytest.fixture
def otp_site(site: Any) -> Callable[..., None]:
    from django_otp.views import LoginView as OtpLoginView

    def build(*urls: Any, below: Any = (OTP,), **changes: Any) -> None:
        # Logs in by password; asks a user who is logged in for a token.
        views = [LOGIN, path("token/", OtpLoginView.as_view(next_page="/"))]
        apps = [*APPS, *OTP_APPS]
        site(*urls, *views, below=below, INSTALLED_APPS=apps, TEMPLATES=TEMPLATES, **changes)

    return build


def device_of(user: Any, **fields: Any) -> Any:
    device = apps.get_model("otp_static", "StaticDevice").objects.create(user=user, **fields)
    device.token_set.create(token="123456")
    return device


@pytest.mark.parametrize("home", [home, async_home])
def test_a_password_alone_is_no_log_in_for_a_user_with_a_device(
    otp_site: Any, browser: Browser, home: Any
) -> None:
    """django-otp: anonymous until the device has been shown, and again after the log-out."""
    otp_site(path("", home), path("logout/", LogoutView.as_view(next_page="/")))
    device = device_of(customer("alice", ALICE))
    visitor = browser()
    log_in(visitor, "alice")
    assert visitor.get("/").content == PAGE
    answer = visitor.post(
        "/token/", {"otp_device": device.persistent_id, "otp_token": "123456", "next": "/"}
    )
    assert answer.status_code == 302
    assert visitor.get("/").content == identified()
    visitor.post("/logout/")
    log_in(visitor, "alice")
    assert visitor.get("/").content == PAGE


def test_a_user_without_a_device_is_as_usual(otp_site: Any, browser: Browser) -> None:
    """As is one who has not confirmed theirs yet, and one next to a user who has."""
    otp_site(path("", home))
    alice = customer("alice", ALICE)
    device_of(customer("bob", BOB))
    visitor = browser()
    log_in(visitor, "alice")
    assert visitor.get("/").content == identified()
    device = device_of(alice, confirmed=False)
    assert visitor.get("/").content == identified()
    device.confirmed = True
    device.save()
    assert visitor.get("/").content == PAGE


def test_without_its_middleware_nobody_has_shown_a_device(otp_site: Any, browser: Browser) -> None:
    """django-otp's views still note the device in the session, but nobody checks whose it is."""
    from django_otp.forms import OTPAuthenticationForm

    form = OTPAuthenticationForm
    both = LoginView.as_view(next_page="/", authentication_form=form)
    otp_site(path("", home), path("both/", both), below=())
    device = device_of(customer("alice", ALICE))
    customer("bob", BOB)
    visitor = browser()
    fields = {"otp_device": device.persistent_id, "otp_token": "123456"}
    answer = visitor.post("/both/", {"username": "alice", "password": "secret", **fields})
    assert answer.status_code == 302
    assert visitor.get("/").content == PAGE
    visitor = browser()
    log_in(visitor, "bob")
    assert visitor.get("/").content == identified(email=BOB)


# django-allauth -------------------------------------------------------------------------------


@pytest.fixture
def allauth_site(site: Any) -> Iterator[Callable[..., None]]:
    installed = {"INSTALLED_APPS": [*APPS, *ALLAUTH_APPS]}

    def build(**changes: Any) -> None:
        options: dict[str, Any] = {"TEMPLATES": TEMPLATES, **installed}
        options["AUTHENTICATION_BACKENDS"] = ["allauth.account.auth_backends.AuthenticationBackend"]
        options["ACCOUNT_SIGNUP_FIELDS"] = ["email*", "username*", "password1*", "password2*"]
        options["ACCOUNT_RATE_LIMITS"] = False
        options["SOCIALACCOUNT_LOGIN_ON_GET"] = True
        options["LOGIN_REDIRECT_URL"] = "/"
        options |= MAILS
        accounts = path("accounts/", include("allauth.urls"))
        site(path("", home), accounts, below=[MESSAGES, ALLAUTH], **options | changes)
        mail.outbox = []

    # Its URLs are made of the apps that are installed when they are first imported.
    with override_settings(MIDDLEWARE=[ALLAUTH]), override_settings(**installed):
        yield build


def sign_up(visitor: Any, name: str, email: str) -> None:
    password = "correct horse battery"
    fields = {"username": name, "email": email, "password1": password, "password2": password}
    assert visitor.post("/accounts/signup/", fields).status_code == 302


def log_in_at_allauth(visitor: Any, name: str) -> None:
    answer = visitor.post("/accounts/login/", {"login": name, "password": "secret"})
    assert answer.status_code == 302


def test_an_address_counts_once_it_is_confirmed(allauth_site: Any, browser: Browser) -> None:
    """Signed up, the visitor is anonymous; identified by the link in the mail."""
    allauth_site()
    visitor = browser()
    sign_up(visitor, "alice", "Alice@Example.com")
    assert visitor.get("/").content == PAGE
    (message,) = mail.outbox
    (link,) = re.findall(r"http://testserver(/accounts/confirm-email/\S+)", str(message.body))
    assert visitor.post(link).status_code == 302
    assert visitor.get("/").content == identified()


def test_a_verified_address_of_somebody_else_is_not_ones_own(
    allauth_site: Any, browser: Browser
) -> None:
    """Nor another verified address of the same user."""
    allauth_site()
    addresses = apps.get_model("account", "EmailAddress").objects
    alice, bob = customer("alice", ALICE), customer("bob", BOB)
    own = addresses.create(user=alice, email=ALICE, verified=False)
    addresses.create(user=alice, email="alice@other.example", verified=True)
    others = addresses.create(user=bob, email=ALICE, verified=True)
    visitor = browser()
    log_in_at_allauth(visitor, "alice")
    assert visitor.get("/").content == PAGE
    others.delete()
    own.verified = True
    own.save()
    assert visitor.get("/").content == identified()


@pytest.mark.parametrize(
    ("email", "outcome"),
    [("", "email-refused"), ("jörg@example.com", "email-refused"), ("a@b", "unverified")],
)
def test_allauth_is_asked_of_what_can_be_signed(
    allauth_site: Any, browser: Browser, email: str, outcome: str
) -> None:
    """Nobody is sent to verify an address that would be refused all the same."""
    allauth_site(ENSORAS_DEBUG=True)
    customer("imported", email)
    visitor = browser()
    log_in_at_allauth(visitor, "imported")
    assert visitor.get("/").headers["X-Ensoras-Outcome"] == outcome


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("verification", ["none", "optional"])
def test_addresses_that_allauth_never_verified_can_be_trusted(
    allauth_site: Any,
    browser: Browser,
    caplog: pytest.LogCaptureFixture,
    verification: str,
    trusted: bool,
) -> None:
    """Imported users without an `EmailAddress`, and sites that ask nobody: one warning, no address.

    `ENSORAS_TRUST_EMAILS` signs them.
    """
    changes = {"ENSORAS_TRUST_EMAILS": True} if trusted else {}
    allauth_site(ACCOUNT_EMAIL_VERIFICATION=verification, ENSORAS_DEBUG=True, **changes)
    customer("imported", ALICE)
    imported, newcomer = browser(), browser()
    newcomer.handler = imported.handler  # one site
    log_in_at_allauth(imported, "imported")
    sign_up(newcomer, "bob", BOB)
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        for visitor, email in [(imported, ALICE), (newcomer, BOB)]:
            answer = visitor.get("/")
            assert answer.content == (identified(email=email) if trusted else PAGE)
            outcome = answer.headers["X-Ensoras-Outcome"]
            assert outcome == ("identified" if trusted else "unverified")
    told = [("ENSORAS_TRUST_EMAILS" in one, "@" in one) for one in warnings_of(caplog)]
    assert told == ([] if trusted else [(True, False)])


@pytest.mark.parametrize("verified", [False, True])
def test_a_social_account_counts_as_its_provider_says(
    allauth_site: Any, browser: Browser, verified: bool
) -> None:
    """Whether or not this site verifies addresses itself; the provider is allauth's own dummy."""
    allauth_site(ACCOUNT_EMAIL_VERIFICATION="none")
    visitor = browser()
    to_provider = visitor.get("/accounts/dummy/login/").headers["Location"]
    answer = {"id": "7", "email": ALICE} | ({"email_verified": "on"} if verified else {})
    assert visitor.post(to_provider, answer).status_code == 302
    assert apps.get_model("socialaccount", "SocialAccount").objects.get().user.email == ALICE
    assert visitor.get("/").content == (identified() if verified else PAGE)
