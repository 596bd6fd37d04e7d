"""Whole Django sites in a test's body: their tables, their settings, and their visitors."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from adapters import ALICE, PAGE, TAG, identify_script
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.core.checks.registry import registry
from django.db import models
from django.http import HttpResponse
from django.test import AsyncClient, override_settings
from django.test.utils import setup_databases, teardown_databases
from django.urls import path

ENSORAS = "django_ensoras.middleware.EnsorasMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL_GET = "django.middleware.http.ConditionalGetMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
USERS = (SESSIONS, AUTHENTICATION)
APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_ensoras",
]

ALLAUTH_APPS = [
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.dummy",
]
ALLAUTH = "allauth.account.middleware.AccountMiddleware"
OTP_APPS = ["django_otp", "django_otp.plugins.otp_static"]
OTP = "django_otp.middleware.OTPMiddleware"
ADMIN_APPS = ["django.contrib.admin", "django.contrib.messages"]
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"

Browser = Callable[..., Any]


class Shopper(AbstractBaseUser):
    """A user model with an e-mail field of another name."""

    name = models.CharField(max_length=100, unique=True)
    contact = models.CharField(max_length=100, unique=True)
    email = "not-this-one@example.com"
    objects = BaseUserManager()
    USERNAME_FIELD = "name"
    EMAIL_FIELD = "contact"

    class Meta:
        app_label = "auth"


class Subscriber(AbstractBaseUser):
    """A user model whose members log in with their address."""

    email = models.EmailField(unique=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "email"

    class Meta:
        app_label = "auth"


class Member(AbstractBaseUser):
    """A user model without any e-mail."""

    name = models.CharField(max_length=100, unique=True)
    objects = BaseUserManager()
    USERNAME_FIELD = "name"

    class Meta:
        app_label = "auth"


@contextmanager
def tables(*packages: str, **changes: Any) -> Iterator[None]:
    """Have a database for our own apps, and for those of packages that a test installs."""
    installed = [*APPS, *packages]
    # The tables alone: what a package's migrations do is not our subject, and takes seconds.
    changes["MIGRATION_MODULES"] = {name.rpartition(".")[2]: None for name in installed}
    with override_settings(**changes), override_settings(INSTALLED_APPS=installed):
        databases = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
    with override_settings(INSTALLED_APPS=APPS):
        yield
        teardown_databases(databases, verbosity=0)


def empty_tables() -> None:
    for model in (apps.get_model("sessions", "Session"), get_user_model()):
        model._default_manager.all().delete()
    cache.clear()


@contextmanager
def sites() -> Iterator[Callable[..., None]]:
    """Build the site of a test: its URLs, and the middleware above and below ours."""
    with ExitStack() as stack:

        def build(*urls: Any, above: Any = (), below: Any = (), **changes: Any) -> None:
            names = {name: changes.pop(name) for name in {"handler404", "handler500"} & {*changes}}
            layers = [*above, ENSORAS, *USERS, *below]
            changes.setdefault("MIDDLEWARE", [dotted(one) for one in layers])
            changes.setdefault(
                "PASSWORD_HASHERS", ["django.contrib.auth.hashers.MD5PasswordHasher"]
            )
            changes["ROOT_URLCONF"] = type("Urls", (), {"urlpatterns": urls, **names})
            installed = {"INSTALLED_APPS": changes.pop("INSTALLED_APPS", APPS)}
            stack.enter_context(override_settings(**changes))
            stack.enter_context(override_settings(**installed))  # apps look at settings, at start

        yield build


def dotted(thing: Any) -> str:
    """Return a dotted path of what stands in a test's body, for a setting."""
    if isinstance(thing, str):
        return thing
    module = sys.modules.setdefault("site_of_a_test", types.ModuleType("site_of_a_test"))
    setattr(module, thing.__name__, thing)
    return f"{module.__name__}.{thing.__name__}"


class AsgiClient(AsyncClient):
    """A client of an ASGI site, for tests that are not asynchronous themselves."""

    def get(self, *arguments: Any, **options: Any) -> Any:
        return async_to_sync(super().get)(*arguments, **options)

    def head(self, *arguments: Any, **options: Any) -> Any:
        return async_to_sync(super().head)(*arguments, **options)

    def post(self, *arguments: Any, **options: Any) -> Any:
        return async_to_sync(super().post)(*arguments, **options)


def customer(name: str, email: str, **fields: Any) -> Any:
    return get_user_model().objects.create_user(name, email, "secret", **fields)


# Where `log_in` goes: Django's own view.
LOGIN = path("login/", LoginView.as_view(next_page="/"))


def log_in(visitor: Any, name: str) -> Any:
    return visitor.post("/login/", {"username": name, "password": "secret"})


def home(request: Any) -> HttpResponse:
    return HttpResponse(PAGE)


async def async_home(request: Any) -> HttpResponse:
    return HttpResponse(PAGE)


HOMES = pytest.mark.parametrize("home", [home, async_home])


def identified(body: bytes = PAGE, email: str = ALICE, nonce: str = "", tag: bytes = TAG) -> bytes:
    assert body.count(tag) == 1
    return body.replace(tag, identify_script(email, nonce=nonce) + tag)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]


def told() -> list[Any]:
    """Return what our own of the registered system checks say."""
    ours = [one for one in registry.get_checks() if one.__module__.startswith("django_ensoras")]
    return [message for check in ours for message in check(app_configs=None)]


def checks() -> list[str]:
    """Return the ids of what they say; each says what to do, too."""
    messages = told()
    assert all(message.hint or message.id == "ensoras.E001" for message in messages)
    return [message.id for message in messages]
