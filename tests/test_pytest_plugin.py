"""The fixture `ensoras_sandbox`, as pytest finds it where the package is installed."""

from __future__ import annotations

import re
import socket
import sys
import threading
from contextlib import closing
from importlib.metadata import entry_points
from typing import Any

import httpx
import pytest
from adapters import ALICE

from ensoras_middleware import identity_hash
from ensoras_middleware.sandbox.background import Sandbox, running_sandbox

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(
    not entry_points(group="pytest11", name="ensoras"),
    reason="the plugin is not installed here: pip install -e .",
)


FIRST_SECRETS: set[str] = set()  # of the turns of one test


def identify(sandbox: Sandbox, secret: str) -> Any:
    """Do what the widget does."""
    url = f"{sandbox.origin}/api/v1/widget/{sandbox.slug}/identify"
    call = {"email": ALICE, "hash": identity_hash(ALICE, secret)}
    return httpx.post(url, json=call, trust_env=False, verify=False).json()["tier"]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pytest load no other plugins, which takes most of its time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_it_as_new(ensoras_sandbox: Sandbox, turn: int) -> None:
    """What the turn before has done is not there any more."""
    sandbox = ensoras_sandbox
    first = sandbox.secret
    assert sandbox.calls == []
    assert identify(sandbox, first) == "verified"
    assert sandbox.rotate() == sandbox.secret != first
    assert identify(sandbox, first) == "unverified"
    assert [(one.email, one.verified) for one in sandbox.calls] == [(ALICE, False), (ALICE, True)]
    FIRST_SECRETS.add(first)
    assert len(FIRST_SECRETS) == 1


def test_nothing_shown(ensoras_sandbox: Sandbox) -> None:
    """A failing test prints its fixtures."""
    identify(ensoras_sandbox, ensoras_sandbox.secret)
    shown = f"{ensoras_sandbox!r} {ensoras_sandbox.calls!r}"
    assert ensoras_sandbox.secret not in shown
    assert ALICE not in shown


def test_nothing_left() -> None:
    """No thread and no socket, though clients are still connected, or have sent half a request."""
    threads = set(threading.enumerate())
    with running_sandbox() as sandbox:
        address = ("127.0.0.1", int(sandbox.origin.rpartition(":")[2]))
        idle, half_sent = socket.create_connection(address), socket.create_connection(address)
        half_sent.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert identify(sandbox, sandbox.secret) == "verified"
    with closing(idle), closing(half_sent):
        assert (idle.recv(1), half_sent.recv(1)) == (b"", b"")
    assert set(threading.enumerate()) <= threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


COSTS = """
import sys

ENSORAS = {name for name in sys.modules if name.startswith("ensoras_middleware")}
OTHERS = {"starlette", "uvicorn", "jinja2", "flask_ensoras", "django_ensoras"} & {*sys.modules}

def test_costs():
    assert ENSORAS == {"ensoras_middleware", "ensoras_middleware.pytest_plugin"}
    assert OTHERS == set()
"""


def test_it_costs_nothing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small modules, until a test asks for the fixture."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    pytester.makepyfile(COSTS)
    slow = ("faker", "hypothesispytest", "anyio", "xdist", "pytest_cov")
    run = pytester.runpytest_subprocess("-W", "error", *(f"-pno:{name}" for name in slow))
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["plugins: *ensoras*"])


USES = """
import threading
import urllib.request
import pytest

def get(origin):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{origin}/cdn/v1/widget/demo.js", timeout=10) as answer:
        return answer.status

@pytest.mark.parametrize("turn", range(4))
def test_it(ensoras_sandbox, turn, worker_id):
    assert get(ensoras_sandbox.origin) == 200
    print("ORIGIN", worker_id, ensoras_sandbox.origin)

@pytest.mark.anyio
async def test_in_an_event_loop(ensoras_sandbox):
    assert get(ensoras_sandbox.origin) == 200  # which blocks this loop, not the sandbox's

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.usefixtures("alone")
def test_with_other_plugins(pytester: pytest.Pytester) -> None:
    """One sandbox for each pytest-xdist worker; in anyio's event loop; with every warning an error.

    A process of its own measures the plugin's lines too: pytest loads it before pytest-cov starts.
    """
    pytester.makepyfile(USES)
    plugins = ["-p", "ensoras", "-p", "xdist", "-p", "anyio"]
    run = pytester.runpytest_subprocess("-W", "error", *plugins, "-n", "2", "-rP")
    run.assert_outcomes(passed=5)
    origins = re.findall(r"ORIGIN (gw\d http://127\.0\.0\.1:\d+)", run.stdout.str())
    assert (len(origins), len(set(origins))) == (4, 2)


@pytest.mark.usefixtures("alone")
def test_help(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` shows the one fixture, and what it gives."""
    run = pytester.runpytest_inprocess("-p", "ensoras", "--fixtures")
    shown = [line for line in run.outlines if line.startswith(("ensoras_", "_ensoras_"))]
    assert len(shown) == 1
    run.stdout.fnmatch_lines(
        ["ensoras_sandbox -- *", "*stand-in for Ensoras: `origin`, `slug`, `secret`, `calls`, *"]
    )


@pytest.mark.parametrize("package", ["uvicorn", "jinja2"])
@pytest.mark.usefixtures("alone")
def test_without_the_extra(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """It says which one, and shows no traceback."""
    for name in ("ensoras_middleware.sandbox", "starlette.templating"):
        for module in [one for one in sys.modules if one.startswith(name)]:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    pytester.makepyfile("def test_it(ensoras_sandbox): pass")
    run = pytester.runpytest_inprocess("-p", "ensoras")
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(
        [
            "The fixture `ensoras_sandbox` needs the extra `sandbox`: pip install "
            f"'ensoras-middleware[[]sandbox]' (*{package}*)."
        ]
    )
    assert "During handling of the above exception" not in run.stdout.str()
