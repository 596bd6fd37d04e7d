"""Every Python with every framework that is supported: `nox` runs all, `nox --tags corners` three.

A session holds one Django, one Flask, and with them either the oldest or the newest of all that
we support: patch releases, Starlette, FastAPI, Werkzeug and uvicorn. A Python that is not there is
skipped. Environments stay, and are filled again only when what belongs into them has changed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False  # on CI, too
nox.options.download_python = "never"

ROOT = Path(__file__).parent
# Before pyenv's shims, which run nothing but the versions that are activated.
PYENV = (Path.home() / ".pyenv/versions").glob("*/bin")
os.environ["PATH"] = os.pathsep.join([*map(str, PYENV), os.environ["PATH"]])

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PINS = (ROOT / "requirements-dev.txt").read_text()

# What the extras admit, and what the project is developed with.
OLDEST = dict(re.findall(r"([\w-]+)>=([\d.]+)", str(EXTRAS)))
NEWEST = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==([\w.]+)", PINS, re.MULTILINE))

# By its minor version, the newest release of each.
DJANGO = {"5.2": "5.2.19", "6.0": "6.0.10", "6.1": "6.1.3"}
FLASK = {"3.0": "3.0.3", "3.1": "3.1.3"}
# The one that admits the oldest Starlette.
OLDEST_FASTAPI = "0.115.2"

TOOLS = [
    *("django-allauth", "flask-compress", "flask-login", "flask-talisman", "gunicorn", "httpx"),
    *("pytest", "pytest-xdist"),
]
# What runs code of a framework; not browsers, caches, servers, nor what no framework is part of.
TESTS = (
    "scenarios configuration asgi wsgi flask django brands brand_recipes readme "
    "faults_callbacks faults_own_steps hygiene hygiene_errors"
).split()

CORNERS = {
    ("3.11", "5.2", "3.0", "oldest"),
    ("3.12", "6.0", "3.0", "newest"),
    ("3.13", "6.1", "3.1", "newest"),
}


def cells() -> Iterator[object]:
    """Yield every combination; Django 6 needs Python 3.12."""
    for python in ("3.11", "3.12", "3.13"):
        for django in DJANGO:
            if python == "3.11" and django != "5.2":
                continue
            for flask in FLASK:
                for age in ("oldest", "newest"):
                    cell = (python, django, flask, age)
                    yield nox.param(
                        *cell,
                        id=f"python{python}-django{django}-flask{flask}-{age}",
                        tags=["corners"] if cell in CORNERS else [],
                    )


def frameworks(django: str, flask: str, age: str) -> dict[str, str]:
    """Return the version of each framework."""
    if age == "newest":
        names = ("starlette", "fastapi", "werkzeug", "uvicorn")
        versions = {name: NEWEST[name] for name in names}
        if flask == "3.1":  # it needs that Flask
            versions["flask-security-too"] = NEWEST["flask-security-too"]
        return versions | {"django": DJANGO[django], "flask": FLASK[flask]}
    return {
        "starlette": OLDEST["starlette"],
        "fastapi": OLDEST_FASTAPI,
        "uvicorn": OLDEST["uvicorn"],
        "django": django,
        "flask": flask,
        "werkzeug": max(OLDEST["werkzeug"], flask),  # Flask 3.1 needs Werkzeug 3.1
    }


def install(session: nox.Session, wanted: dict[str, str]) -> None:
    """Fill the environment, unless it holds these already."""
    requirements = [f"{name}=={version}" for name, version in wanted.items()]
    note = Path(session.virtualenv.location, "requirements.txt")
    if not note.exists() or note.read_text().split() != requirements:
        session.install(*requirements)
        note.write_text("\n".join(requirements))


@nox.session
@nox.parametrize("python,django,flask,age", cells())
def tests(session: nox.Session, django: str, flask: str, age: str) -> None:
    """The tests that run code of a framework."""
    install(session, {name: NEWEST[name] for name in TOOLS} | frameworks(django, flask, age))
    packages = (ROOT, ROOT / "integrations/flask", ROOT / "integrations/django")
    session.run(
        *("python", "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup"),
        *(f"tests/test_{name}.py" for name in TESTS),
        *session.posargs,
        env={"PYTHONPATH": os.pathsep.join(map(str, packages))},
    )
