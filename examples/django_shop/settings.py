"""The tea shop with Django, `django.contrib.auth` and SQLite: settings."""

from __future__ import annotations

import os
from pathlib import Path

from examples import shop

HERE = Path(__file__).parent
DATA_DIR = Path(os.environ.get("EXAMPLE_DATA_DIR") or HERE.parent.parent / ".demo")

SECRET_KEY = shop.secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "examples.django_shop.urls"
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_ensoras",  # Ensoras: line 1 of 3
]

MIDDLEWARE = [
    "django_ensoras.middleware.EnsorasMiddleware",  # Ensoras: line 2 of 3
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Ensoras: line 3 of 3 is {% ensoras_widget %} in templates/base.html. Slug and secret come from
# the environment. (Only the demo sets the origin, to show its own stand-in for app.ensoras.com.)
ENSORAS_WIDGET_ORIGIN = shop.widget_origin()

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "examples.django_shop.views.shop_context",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "django_shop.sqlite3",
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "products"
LOGOUT_REDIRECT_URL = "products"
# All three shops live on 127.0.0.1, and cookies know no ports.
SESSION_COOKIE_NAME = "django_shop_session"
CSRF_COOKIE_NAME = "django_shop_csrf"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
