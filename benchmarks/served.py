"""The example shops with a page of 50 KB, with this project's layer or, for comparison, without.

`BENCHMARK_WITHOUT` in the environment takes the layer out. Run by the servers of `servers`.
"""

from __future__ import annotations

import os
from typing import Any

from examples import shop

WITHOUT = "BENCHMARK_WITHOUT" in os.environ

# Six products make a page of 4 to 5 KB.
vars(shop)["PRODUCTS"] *= 20


def starlette_app() -> Any:
    """Return the shop in Starlette."""
    from ensoras_middleware.asgi import EnsorasMiddleware
    from examples.starlette_shop.app import create_app

    app = create_app()
    if WITHOUT:
        app.user_middleware = [
            one for one in app.user_middleware if one.cls is not EnsorasMiddleware
        ]
    return app


def flask_app() -> Any:
    """Return the shop in Flask."""
    from examples.flask_shop import app as module

    if WITHOUT:
        vars(module)["Ensoras"] = lambda app: None
    return module.create_app()


def django_app() -> Any:
    """Return the shop in Django, under WSGI."""
    from examples.django_shop import settings

    if WITHOUT:
        settings.MIDDLEWARE.remove("django_ensoras.middleware.EnsorasMiddleware")
    from examples.django_shop.wsgi import application

    return application
