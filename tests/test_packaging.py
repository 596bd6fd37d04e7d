"""What a site installs: the wheel, alone and with each extra, in clean environments."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

import ensoras_middleware

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "ensoras_middleware": ROOT / "ensoras_middleware",
    "flask_ensoras": ROOT / "integrations/flask/flask_ensoras",
    "django_ensoras": ROOT / "integrations/django/django_ensoras",
}
# What is imported with an extra; all else of `ensoras_middleware` is the core.
NEEDS_EXTRA = ("asgi", "scope", "wsgi", "sandbox", "check", "pytest_plugin")

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="not in a checkout of the project"
)


def checked(*command: str | Path, cwd: Path | None = None) -> str:
    run = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it as an installer would."""
    folder = tmp_path_factory.mktemp("dist")
    checked(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    (sdist,) = dist.glob("*.tar.gz")
    return sdist


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def shipped(package: Path) -> Iterator[str]:
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{package.name}/{path.relative_to(package).as_posix()}"


class TestArchives:
    def test_the_wheel_holds_exactly_the_three_packages(self, wheel: Path) -> None:
        """Every file of the packages, nothing of the tests or the examples."""
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        info = {name for name in names if ".dist-info/" in name}
        assert names - info == {name for one in PACKAGES.values() for name in shipped(one)}
        assert {name.split("/", 1)[1] for name in info} == {
            "METADATA",
            "RECORD",
            "WHEEL",
            "entry_points.txt",
            "licenses/LICENSE",
        }
        assert {name.partition("/")[0] for name in names - info} == PACKAGES.keys()

    @pytest.mark.parametrize(
        "name",
        [
            *(f"{package}/__init__.py" for package in PACKAGES),
            *(f"{package}/py.typed" for package in PACKAGES),
            "ensoras_middleware/sandbox/widget.js",
            "ensoras_middleware/sandbox/templates/dashboard.html",
            "ensoras_middleware/sandbox/templates/dashboard.css",
            "django_ensoras/templatetags/ensoras.py",
        ],
    )
    def test_the_wheel_holds(self, wheel: Path, name: str) -> None:
        """What is no Python module, or easily forgotten, is shipped too."""
        with zipfile.ZipFile(wheel) as archive:
            assert name in archive.namelist()

    def test_the_sdist(self, sdist: Path) -> None:
        """It holds what the project is built and tested from; the wheel was built from it."""
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names
        assert "tests/test_packaging.py" in names
        for package in PACKAGES.values():
            folder = package.relative_to(ROOT).parent.as_posix()
            prefix = "" if folder == "." else f"{folder}/"
            assert {prefix + name for name in shipped(package)} <= names
        assert not [name for name in names if name.startswith((".venv", ".git/", ".ci"))]
        assert not [name for name in names if name.endswith((".pyc", ".sqlite3"))]

    def test_metadata(self, metadata: Message) -> None:
        """Python 3.11 on, MIT, nothing needed without an extra, one extra per adapter."""
        assert metadata["Name"] == "ensoras-middleware"
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["License-Expression"] == "MIT"
        requirements = metadata.get_all("Requires-Dist", [])
        assert [one for one in requirements if "extra ==" not in one] == []
        assert {*metadata.get_all("Provides-Extra", [])} == {*EXTRAS, "all"}
        assert str(metadata.get_payload()).strip(), "the README is the project's page"

    def test_the_version_is_the_packages(self, metadata: Message) -> None:
        """`ensoras_middleware.__version__` is what was installed."""
        import ensoras_middleware

        assert metadata["Version"] == ensoras_middleware.__version__

    def test_no_package_takes_a_frameworks_name(self) -> None:
        """With an `__init__.py` there, `import flask` could find our folder."""
        for folder in ("integrations", "integrations/flask", "integrations/django"):
            assert (ROOT / folder).is_dir()
            assert not (ROOT / folder / "__init__.py").exists()


# Imports ------------------------------------------------------------------------------------------


def imported(source: str) -> Iterator[str]:
    """Every module that a source file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


CORE = [
    path
    for path in sorted(PACKAGES["ensoras_middleware"].rglob("*.py"))
    if path.relative_to(PACKAGES["ensoras_middleware"]).parts[0].removesuffix(".py")
    not in NEEDS_EXTRA
]
FRAMEWORKS = {
    "ensoras_middleware/asgi.py": {"starlette"},
    "ensoras_middleware/scope.py": {"starlette"},
    "ensoras_middleware/wsgi.py": {"werkzeug"},
    "ensoras_middleware/sandbox": {"starlette", "uvicorn", "jinja2"},
    "ensoras_middleware/pytest_plugin.py": {"pytest"},
    "ensoras_middleware/check": {"httpx", "rich", "brotli", "zstandard"},
    "integrations/flask/flask_ensoras": {"flask", "flask_login", "werkzeug", "markupsafe"},
    "integrations/django/django_ensoras": {"django", "asgiref", "allauth", "django_otp"},
}


# What a command imports when it runs.
LAZY = {"ensoras_middleware.sandbox.server.run", "ensoras_middleware.check.command.run"}


class TestImports:
    @pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
    def test_the_core_imports_no_framework(self, path: Path) -> None:
        """The core is the standard library and itself: it knows no adapter."""
        for module in imported(path.read_text()):
            root, _, rest = module.partition(".")
            assert root in sys.stdlib_module_names or root == "ensoras_middleware", module
            lazy = path.name == "cli.py" and module in LAZY
            assert lazy or rest.partition(".")[0] not in NEEDS_EXTRA, module

    @pytest.mark.parametrize(("where", "frameworks"), FRAMEWORKS.items(), ids=FRAMEWORKS)
    def test_an_adapter_imports_its_framework_alone(self, where: str, frameworks: set[str]) -> None:
        """No adapter needs another's framework."""
        path = ROOT / where
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        assert files
        for file in files:
            roots = {module.partition(".")[0] for module in imported(file.read_text())}
            roots -= {"_typeshed"}  # for type checkers alone
            assert roots - sys.stdlib_module_names - PACKAGES.keys() <= frameworks, file

    def test_without_any_package(self, wheel: Path) -> None:
        """Every module of the core runs on the standard library alone."""
        modules = [f"ensoras_middleware.{path.stem}" for path in CORE]
        code = f"""
import sys
sys.path.insert(0, {str(wheel)!r})
import ensoras_middleware
for module in {modules}:
    __import__(module.removesuffix(".__init__"))
for name in ensoras_middleware.__all__:
    getattr(ensoras_middleware, name)
roots = {{name.partition(".")[0] for name in sys.modules}}
print(*sorted(roots - set(sys.stdlib_module_names) - {{"__main__"}}))
"""
        output = checked(sys.executable, "-I", "-S", "-W", "error", "-c", code)
        assert output.split() == ["ensoras_middleware"]

    def test_what_is_not_loaded_yet_is_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An interactive shell completes the names of the package."""
        for name in ensoras_middleware.__all__:
            monkeypatch.delitem(vars(ensoras_middleware), name, raising=False)
        assert set(ensoras_middleware.__all__) <= set(dir(ensoras_middleware))
        assert not hasattr(ensoras_middleware, "unknown")


# Clean environments -------------------------------------------------------------------------------


def pip(python: Path) -> list[str | Path]:
    """Our own pip, working on another environment: that one stays empty."""
    return [sys.executable, "-m", "pip", "--python", python]


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Install the wheel with some extras into an environment of its own; return its Python."""

    def install(extras: str) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        checked(sys.executable, "-m", "venv", "--without-pip", folder)
        python = folder / "bin" / "python"
        run = subprocess.run(
            [*pip(python), "install", "--quiet", "--retries", "1", f"{wheel}{extras}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if run.returncode and ("Retrying (" in run.stdout or "connection" in run.stdout.lower()):
            pytest.skip(f"the package index cannot be reached: {run.stdout.strip()[-200:]}")
        assert run.returncode == 0, run.stdout
        return python

    return install


SITE = """
SECRET, ALICE = "a-secret-of-the-tests-0123456789", "alice@example.com"
PAGE = '<title>Shop</title><script src="https://app.ensoras.com/cdn/v1/widget/acme.js"></script>'

from ensoras_middleware import identity_hash

def check(body):
    text = body.decode()
    assert identity_hash(ALICE, SECRET) in text, text
    assert "<script>" in text and text.endswith(PAGE[len("<title>Shop</title>"):]), text
    print("verified")
"""
EXTRAS = {
    "starlette": """
import asyncio
from starlette.responses import HTMLResponse
from ensoras_middleware.asgi import EnsorasMiddleware

app = EnsorasMiddleware(HTMLResponse(PAGE), slug="acme", secret=SECRET, get_email=lambda c: ALICE)
scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
messages = []
async def send(message):
    messages.append(message)
asyncio.run(app(scope, None, send))
check(b"".join(message.get("body", b"") for message in messages))
""",
    "wsgi": """
from werkzeug.test import Client
from werkzeug.wrappers import Response
from ensoras_middleware.wsgi import EnsorasMiddleware

app = Response(PAGE, content_type="text/html")
app = EnsorasMiddleware(app, slug="acme", secret=SECRET, get_email=lambda request: ALICE)
check(Client(app).get("/").data)
""",
    "flask": """
import flask
from flask_ensoras import Ensoras

app = flask.Flask("shop")
app.config.update(ENSORAS_WIDGET_SLUG="acme", ENSORAS_WIDGET_SECRET=SECRET)
ensoras = Ensoras(app)
ensoras.email_getter(lambda: ALICE)
app.add_url_rule("/", view_func=lambda: PAGE)
check(app.test_client().get("/").data)
""",
    "django": """
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", INSTALLED_APPS=["django_ensoras"],
    MIDDLEWARE=["django_ensoras.middleware.EnsorasMiddleware"], ENSORAS_WIDGET_SLUG="acme",
    ENSORAS_WIDGET_SECRET=SECRET, ENSORAS_GET_EMAIL=lambda request: ALICE,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()
urlpatterns = [path("", lambda request: HttpResponse(PAGE))]
from django.core.management import call_command
from django.template import engines
from django.test import Client
call_command("check")
engines["django"].from_string("{% load ensoras %}{% ensoras_widget %}").render()
check(Client().get("/").content)
""",
    "sandbox": """
import asyncio
from ensoras_middleware.sandbox import create_app
import ensoras_middleware.sandbox.server

async def get(app, path):
    messages = []
    async def send(message):
        messages.append(message)
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"",
             "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "root_path": ""}
    await app(scope, None, send)
    assert messages[0]["status"] == 200, messages
    return b"".join(message.get("body", b"") for message in messages)

app = create_app("acme", SECRET)
assert b"EnsorasQueue" in asyncio.run(get(app, "/cdn/v1/widget/acme.js"))
assert b"acme" in asyncio.run(get(app, "/"))
print("verified")
""",
    "check": """
import sys
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server
from ensoras_middleware.cli import main

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("Vary", "Cookie")])
    return [PAGE.encode()]

class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass

with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
    Thread(target=server.serve_forever).start()
    try:
        assert main(["check", f"http://127.0.0.1:{server.server_port}/"]) == 0
    finally:
        server.shutdown()
print("verified")
""",
}


class TestEnvironments:
    def test_without_extras(self, environment: Callable[[str], Path]) -> None:
        """The core works, and nothing but the wheel is installed."""
        python = environment("")
        listed = checked(*pip(python), "list", "--format=freeze")
        assert [line.partition("==")[0] for line in listed.split()] == ["ensoras-middleware"]
        code = """
from ensoras_middleware import identity_hash, verify_identity
hash = identity_hash("alice@example.com", "a-secret-of-the-tests-0123456789")
assert verify_identity("alice@example.com", hash, "a-secret-of-the-tests-0123456789")
for module in ("ensoras_middleware.asgi", "ensoras_middleware.wsgi", "ensoras_middleware.sandbox",
               "ensoras_middleware.check.command", "flask_ensoras", "django_ensoras.middleware"):
    try:
        __import__(module)
    except ImportError as error:
        print(module, error.name)
"""
        lines = checked(python, "-I", "-W", "error", "-c", code).splitlines()
        missing = dict(line.split() for line in lines)
        assert missing.pop("ensoras_middleware.sandbox") in ("jinja2", "starlette")
        assert missing.pop("django_ensoras.middleware") in ("asgiref", "django")
        assert missing == {
            "ensoras_middleware.asgi": "starlette",
            "ensoras_middleware.check.command": "httpx",
            "ensoras_middleware.wsgi": "werkzeug",
            "flask_ensoras": "flask",
        }
        helped = checked(python.with_name("ensoras-middleware"), "hash", "--help")
        assert "EMAIL" in helped

    @pytest.mark.parametrize("extra", EXTRAS)
    def test_with_one_extra(
        self, environment: Callable[[str], Path], extra: str, tmp_path: Path
    ) -> None:
        """With its extra alone, that adapter identifies a page."""
        python = environment(f"[{extra}]")
        site = tmp_path / "site_of_test.py"
        site.write_text(SITE + EXTRAS[extra])
        output = checked(python, "-I", "-W", "error", site, cwd=tmp_path)
        assert output.splitlines()[-1] == "verified"
