"""The Django app: verifies logged-in customers in the Ensoras live-chat widget.

    INSTALLED_APPS = [..., "django_ensoras"]
    MIDDLEWARE = ["django_ensoras.middleware.EnsorasMiddleware", ...]

Only `GZipMiddleware` and `ConditionalGetMiddleware` go above it.
"""
