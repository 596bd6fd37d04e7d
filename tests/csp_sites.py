"""Sites under the packages that send Content Security Policies, each in its own order.

As a program it serves them all: `python csp_sites.py ORIGIN_OF_THE_WIDGET` prints its port. A path
`/PACKAGE/ORDER/POLICY/` names the site; the cookie `bare` switches the middleware off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

SLUG, SECRET, ALICE = "acme", "the secret of the acme widget", "alice@example.com"

# `recommended` is what the README says; `wrong` has our middleware inside of the package's.
ORDERS = ["recommended", "wrong"]
POLICIES = ["strict", "nonce", "hosts"]

PAGE = """<!doctype html><title>t</title><style nonce="NONCE">p { color: rgb(1, 2, 3) }</style>
<script nonce="NONCE">steps.push('nonced')</script><script>steps.push('inline')</script>
<p onclick="steps.push('handler')">x</p>WIDGET<script nonce="NONCE">steps.push('late')</script>"""

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


def packages() -> dict[str, str | None]:
    """Return the packages, each with the reason for which it cannot be had here."""
    import django

    old = None if django.VERSION >= (6,) else "Django 6 needs Python 3.12: make PYTHON=python3.12"
    missing = None if importlib.util.find_spec("csp") else "pip install django-csp"
    return {"flask-talisman": None, "django": old, "django-csp": missing}


# --- Flask -----------------------------------------------------------------------------------


def talisman_site(origin: str, order: str, policy: str, enabled: bool) -> App:
    from flask import Flask, render_template_string
    from flask_ensoras import Ensoras
    from flask_talisman import Talisman

    app = Flask(__name__)
    app.config.update(
        ENSORAS_WIDGET_SLUG=SLUG,
        ENSORAS_WIDGET_SECRET=SECRET,
        ENSORAS_WIDGET_ORIGIN=origin,
        ENSORAS_ENABLED=enabled,
    )
    ensoras = Ensoras()
    ensoras.email_getter(lambda: ALICE)

    def install_talisman() -> None:
        policies = {
            "strict": {"script-src": "'strict-dynamic'", "object-src": "'none'"},
            "nonce": {"default-src": "'self'"},
            "hosts": {"default-src": f"'self' {origin}"},
        }
        Talisman(
            app,
            force_https=False,
            content_security_policy=policies[policy],
            content_security_policy_nonce_in=[
                {"strict": "script-src", "nonce": "default-src"}.get(policy, "img-src")
            ],
        )

    steps = [lambda: ensoras.init_app(app), install_talisman]
    for install in steps if order == "recommended" else reversed(steps):
        install()
    nonce = "None" if policy == "hosts" else "csp_nonce()"
    page = PAGE.replace("NONCE", "{{ csp_nonce() }}")
    page = page.replace("WIDGET", "{{ ensoras_widget(nonce=" + nonce + ") }}")

    @app.get("/")
    def home() -> str:
        return render_template_string(page)

    return app.wsgi_app


# --- Django ----------------------------------------------------------------------------------

OURS = "django_ensoras.middleware.EnsorasMiddleware"
MIDDLEWARE = {
    "django": "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django-csp": "csp.middleware.CSPMiddleware",
}
_one_at_a_time = threading.Lock()  # the settings are those of the whole process


def configure_django(origin: str) -> None:
    import django
    from django.conf import settings

    processors = ["django.template.context_processors.request"]
    if packages()["django"] is None:
        processors.append("django.template.context_processors.csp")
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django_ensoras"],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"context_processors": processors},
            }
        ],
        ENSORAS_WIDGET_SLUG=SLUG,
        ENSORAS_WIDGET_SECRET=SECRET,
        ENSORAS_WIDGET_ORIGIN=origin,
        ENSORAS_GET_EMAIL=lambda request: ALICE,
    )
    django.setup()


def django_site(origin: str, package: str, order: str, policy: str, enabled: bool) -> App:
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    directives: dict[str, Any] = {
        "strict": {
            "script-src": ["'strict-dynamic'", _nonce_of(package)],
            "object-src": ["'none'"],
        },
        "nonce": {"default-src": ["'self'", _nonce_of(package)]},
        "hosts": {"default-src": ["'self'", origin]},
    }[policy]
    middleware = [OURS, MIDDLEWARE[package]]
    settings = override_settings(
        MIDDLEWARE=middleware if order == "recommended" else middleware[::-1],
        SECURE_CSP=directives,
        CONTENT_SECURITY_POLICY={"DIRECTIVES": directives},
        ENSORAS_ENABLED=enabled,
    )
    with settings:
        handler = WSGIHandler()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with _one_at_a_time, settings:
            environ |= {"csp.package": package, "csp.policy": policy}
            response = handler(environ, start_response)
            body = b"".join(response)
            response.close()  # type: ignore[attr-defined]
            return [body]

    return app


def _nonce_of(package: str) -> Any:
    if package == "django":
        from django.utils.csp import CSP

        return CSP.NONCE
    from csp.constants import NONCE

    return NONCE


def django_home(request: Any) -> Any:
    from django.http import HttpResponse
    from django.template import RequestContext, Template

    # Each package's own way, as its documentation has it.
    nonce = {"django": "csp_nonce", "django-csp": "request.csp_nonce"}[request.META["csp.package"]]
    hosts = request.META["csp.policy"] == "hosts"
    page = PAGE.replace(' nonce="NONCE"', "") if hosts else PAGE
    page = page.replace("NONCE", "{{ " + nonce + " }}")
    tag = "{% ensoras_widget " + ("" if hosts else f"nonce={nonce} ") + "%}"
    template = Template("{% load ensoras %}" + page.replace("WIDGET", tag))
    return HttpResponse(template.render(RequestContext(request)))


def __getattr__(name: str) -> Any:
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.urls import path

    return [path("", django_home)]


# --- All of them -----------------------------------------------------------------------------


def sites(origin: str, *, enabled: bool) -> Iterator[tuple[str, App]]:
    for package, reason in packages().items():
        for order in ORDERS if reason is None else []:
            for policy in POLICIES:
                if package == "flask-talisman":
                    site = talisman_site(origin, order, policy, enabled)
                else:
                    site = django_site(origin, package, order, policy, enabled)
                yield f"/{package}/{order}/{policy}", site


def main(origin: str) -> None:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import make_server
    from werkzeug.wrappers import Request, Response

    configure_django(origin)
    nothing = Response(status=204)
    ours = DispatcherMiddleware(nothing, dict(sites(origin, enabled=True)))
    bare = DispatcherMiddleware(nothing, dict(sites(origin, enabled=False)))

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return (bare if "bare" in Request(environ).cookies else ours)(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
