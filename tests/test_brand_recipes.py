"""The blocks of docs/brands.md run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from adapters import ALICE, TAG, Answer, identify_script, run_asgi, run_wsgi
from brand_sites import HOSTS, SECRETS, page
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpResponse
from django.template import engines
from django.test import override_settings
from django.urls import path
from django_sites import tables

from ensoras_middleware import secret_from_file

DOCUMENT = (Path(__file__).parent.parent / "docs/brands.md").read_text("utf-8")
BLOCKS = re.findall(r"```(?:python|sh)\n(.*?)```", DOCUMENT, re.DOTALL)
OTHER = "another-secret-of-acme-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for slug, secret in SECRETS.items():
        monkeypatch.setenv(f"{slug.upper()}_WIDGET_SECRET", secret)


def block(words: str) -> str:
    """Return the one block that holds these words."""
    (found,) = [block for block in BLOCKS if words in block]
    return found


def run(words: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(block(words), "brands.md", "exec"), names)
    return names


def test_every_block_is_tried_here() -> None:
    """A block added to the document needs a test."""
    assert len(BLOCKS) == DOCUMENT.count("```") / 2 == 8


# --- Django ----------------------------------------------------------------------------------


class Customer:
    is_authenticated = is_active = True
    email = ALICE
    brand = SimpleNamespace(host="acme.example")


def view(request: Any) -> HttpResponse:
    request.user = Customer()
    return HttpResponse(page(request.GET["tag"]))


urlpatterns = [path("", view)]


@pytest.fixture
def django_site() -> Iterator[Callable[..., Callable[[str, str], bytes]]]:
    """Build a Django site from a block of settings; ask it for a page with a tag, at a host."""
    overrides: list[override_settings] = []

    def build(names: dict[str, Any]) -> Callable[[str, str], bytes]:
        given = {name: value for name, value in names.items() if name.startswith("ENSORAS_")}
        given = {"ENSORAS_WIDGET_SECRET": SECRETS, "ENSORAS_WIDGET_SLUG": ""} | given
        overrides.append(override_settings(ROOT_URLCONF=__name__, **given))
        overrides[0].enable()
        del settings.ENSORAS_WIDGET_SLUG
        handler = WSGIHandler()

        def ask(slug: str, host: str = "acme.example") -> bytes:
            def app(environ: Any, start_response: Any) -> Any:
                return handler({**environ, "QUERY_STRING": f"tag={slug}"}, start_response)

            return run_wsgi(app, "GET", "/", {"host": host}).body

        return ask

    yield build
    overrides[0].disable()


def test_django(django_site: Any) -> None:
    """Settings with a mapping, and the template tag that says which widget."""
    ask = django_site(run('ENSORAS_WIDGET_SECRET = {\n    "acme"'))
    for slug in SECRETS:
        assert ask(slug) == signed(slug)
    template = re.search(r"\{% ensoras_widget.*?%\}", DOCUMENT)
    assert template is not None
    source = "{% load ensoras %}" + template[0]
    written = engines["django"].from_string(source).render({"brand": "globex"})
    assert written.encode() == TAG.replace(b"acme", b"globex")


def signed(slug: str, secret: str | None = None) -> bytes:
    script = identify_script(ALICE, secret or SECRETS[slug])
    return page(slug).replace(b"<script", script + b"<script", 1)


def test_customers_of_one_brand(django_site: Any) -> None:
    """At the host of another brand they are nobody, though they are logged in."""
    ask = django_site(run("def email_of"))
    assert ask("acme", "acme.example") == signed("acme")
    assert ask("globex", "globex.example") == page("globex")


def test_secrets_in_a_table(
    django_site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed row is in use at once; a slug without a row is nobody's."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    with tables(), override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "shop"]):
        from shop.models import Brand  # type: ignore[import-not-found]

        with connection.schema_editor() as editor:
            editor.create_model(Brand)
        try:
            ask = django_site(run('get_model("shop", "Brand")'))
            brand = Brand.objects.create(slug="acme", widget_secret=SECRETS["acme"])
            assert ask("acme") == signed("acme")
            assert ask("globex") == page("globex")
            brand.widget_secret = OTHER
            brand.save()
            assert ask("acme") == signed("acme", OTHER)
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(Brand)
            for module in ("shop", "shop.models"):
                sys.modules.pop(module, None)


MODELS = """
from django.db import models

class Brand(models.Model):
    id = models.AutoField(primary_key=True)
    slug = models.SlugField(unique=True)
    widget_secret = models.CharField(max_length=200)
"""


def test_secrets_in_files(
    django_site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each brand has a file, and a new secret in one of them is in use at once."""
    for slug, secret in SECRETS.items():
        (tmp_path / slug).write_text(secret + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    ask = django_site(run("CREDENTIALS_DIRECTORY"))
    for slug in SECRETS:
        assert ask(slug) == signed(slug)
    assert ask("stranger") == page("stranger")
    (tmp_path / "acme").write_text(OTHER)
    assert ask("acme") == signed("acme", OTHER)
    assert ask("globex") == signed("globex")


# --- Flask, Starlette ------------------------------------------------------------------------


def test_flask() -> None:
    """Both brands, by the tags that the template function writes."""
    import flask
    import flask_login

    app = run("flask_ensoras")["app"]
    flask_login.LoginManager(app).request_loader(lambda request: Customer())
    template = re.search(r"\{\{ ensoras_widget.*?\}\}", DOCUMENT)
    assert template is not None

    @app.route("/<brand>")
    def home(brand: str) -> str:
        return flask.render_template_string(template[0], brand=brand)

    for slug, secret in SECRETS.items():
        tag = TAG.replace(b"acme", slug.encode())
        assert run_wsgi(app, "GET", f"/{slug}", {}).body == identify_script(ALICE, secret) + tag


async def starlette_view(scope: Any, receive: Any, send: Any) -> None:
    from starlette.responses import HTMLResponse

    scope["user"] = Customer()
    await HTMLResponse(page(scope["path"][1:]))(scope, receive, send)


def ask_starlette(app: Any, host: str, slug: str) -> bytes:
    """Ask for the page at a host name; `run_asgi` has one of its own."""

    async def at_host(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "headers": [(b"host", host.encode())]}, receive, send)

    answer: Answer = run_asgi(at_host, "GET", f"/{slug}", {})
    return answer.body


def test_starlette_by_host() -> None:
    """Each host signs for its own brand, and for none else, whatever stands on its pages."""
    names = run("import Host")
    for slug in SECRETS:
        names[slug].mount("/", starlette_view)
    for host, own in HOSTS.items():
        for slug in SECRETS:
            expected = signed(slug) if slug == own else page(slug)
            assert ask_starlette(names["app"], host, slug) == expected


def test_secrets_at_hand() -> None:
    """What the site's own code changes is in use at once, new brands too."""
    names = run("secrets.get")
    names["app"].mount("/", starlette_view)
    assert ask_starlette(names["app"], "acme.example", "acme") == signed("acme")
    assert ask_starlette(names["app"], "acme.example", "globex") == page("globex")
    names["secrets"] |= {"acme": OTHER, "globex": SECRETS["globex"]}
    assert ask_starlette(names["app"], "acme.example", "acme") == signed("acme", OTHER)
    assert ask_starlette(names["app"], "acme.example", "globex") == signed("globex")


# --- A new secret ----------------------------------------------------------------------------


def test_replacing_a_file(tmp_path: Path) -> None:
    """In one step, and readable for its owner alone."""
    file = tmp_path / "ensoras-secret"
    file.write_text(SECRETS["acme"])
    inode = file.stat().st_ino
    secret = secret_from_file(file)
    subprocess.run(
        ["sh", "-ec", block("umask")], cwd=tmp_path, env={"NEW_SECRET": OTHER}, check=True
    )
    assert secret("acme") == OTHER.encode()
    assert file.stat().st_ino != inode
    assert file.stat().st_mode & 0o077 == 0
