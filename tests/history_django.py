"""The Django site of the browser matrix; see `history_sites`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.cache import get_conditional_response
from django.utils.http import parse_http_date
from history_sites import DOOR, KEY, PAGES, SECRET, SLUG

urlpatterns: list[Any] = []


def build(
    page: bytes, origin: str, *, sessions: str, is_async: bool, conditional: bool = False
) -> Callable[[bool], Any]:
    """Return what builds the site, with the middleware or without.

    With `conditional`, Django's own `ConditionalGetMiddleware` is above ours, where the README
    has it: it compares validators that ours has left in the answer.
    """
    apps = ["auth", "contenttypes", "sessions"]
    above = ["django.middleware.http.ConditionalGetMiddleware"] if conditional else []
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "file:history?mode=memory&cache=shared",
                "OPTIONS": {"uri": True},
            }
        },
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "django_ensoras"],
        MIDDLEWARE=[
            *above,
            "django_ensoras.middleware.EnsorasMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        MIGRATION_MODULES=dict.fromkeys(apps),  # the tables alone
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=KEY,
        SESSION_ENGINE=f"django.contrib.sessions.backends.{sessions}",
        USE_TZ=True,
        ENSORAS_WIDGET_SLUG=SLUG,
        ENSORAS_WIDGET_SECRET=SECRET,
        ENSORAS_WIDGET_ORIGIN=origin,
    )
    django.setup(set_prefix=False)
    call_command("migrate", run_syncdb=True, verbosity=0)
    views = views_of(page)
    urlpatterns[:] = [
        path("door", views.door),
        path("user", views.user),
        path("<name>", views.cached_async if is_async else views.cached),
    ]

    def handler(installed: bool) -> Any:
        with override_settings(ENSORAS_ENABLED=installed):
            return ASGIHandler() if is_async else WSGIHandler()

    return handler


def views_of(page: bytes) -> SimpleNamespace:
    from django.contrib.auth import get_user_model, login, logout  # needs the settings

    def door(request: Any) -> HttpResponse:
        return HttpResponse(DOOR)

    def user(request: Any) -> HttpResponse:
        email = request.POST["email"]
        if email:
            known, _ = get_user_model().objects.get_or_create(username=email, email=email)
            login(request, known)
        else:
            logout(request)
        return HttpResponse(status=204)

    def cached(request: Any, name: str) -> Any:
        response = HttpResponse(page, headers=PAGES[name])
        changed = response.get("Last-Modified")
        since = parse_http_date(changed) if changed else None
        return get_conditional_response(request, response.get("ETag"), since, response)

    async def cached_async(request: Any, name: str) -> Any:
        return cached(request, name)

    return SimpleNamespace(door=door, user=user, cached=cached, cached_async=cached_async)
