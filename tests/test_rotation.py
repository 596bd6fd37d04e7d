"""The secret changes while real servers are under load: no error, no restart, no page in between.

Each server runs in a process of its own and imports its application from this file. Below `/WAY`
it serves a site whose secret is changed in that way.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from adapters import ALICE, PAGE, SLUG, TAG, identify_script

from ensoras_middleware import secret_from_file

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("servers")]

POLICY = "script-src https://app.ensoras.com"
FIELDS = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
CUT = PAGE.index(TAG) + 20  # inside of the widget tag
ROTATIONS = 5
CLIENTS = 4
PATIENCE = 30  # seconds until something that hangs is given up

# Where a site finds its secrets, and is told to go on with a stream.
FILES = Path(os.environ.get("ENSORAS_TEST_FILES", "."))


def secret_number(number: int) -> str:
    return f"secret {number:04} of the widget"


# --- Ways to change a secret -----------------------------------------------------------------

Between = Callable[[], None]


def replaced(file: Path, secret: str, between: Between) -> None:
    file.with_name("new").write_text(secret)
    file.with_name("new").replace(file)


def rewritten(file: Path, secret: str, between: Between) -> None:
    file.write_text(secret)


def truncated_then_filled(file: Path, secret: str, between: Between) -> None:
    with file.open("w") as opened:
        between()
        opened.write(secret)


def created_again(file: Path, secret: str, between: Between) -> None:
    file.unlink()
    between()
    file.write_text(secret)


def swapped_by_kubernetes(file: Path, secret: str, between: Between) -> None:
    """As its `AtomicWriter` does: a new directory, to which the link `..data` goes over."""
    old = file.with_name("..data").resolve()
    new = file.with_name(f"..{secret[7:11]}")
    new.mkdir()
    (new / "secret").write_text(secret)
    file.with_name("..data_tmp").symlink_to(new.name)
    file.with_name("..data_tmp").replace(file.with_name("..data"))
    shutil.rmtree(old)


def in_a_table(file: Path, secret: str, between: Between) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE brand SET secret = ?", [secret])


WAYS = {
    "replaced": replaced,
    "rewritten": rewritten,
    "truncated": truncated_then_filled,
    "created-again": created_again,
    "kubernetes": swapped_by_kubernetes,
    "table": in_a_table,
}
# With these there is nothing in between, so nothing to warn of.
AT_ONCE = {"replaced", "kubernetes", "table"}


def prepare(files: Path) -> None:
    """Lay down the first secret for every way."""
    for way in WAYS:
        (files / way).mkdir()
        (files / way / "secret").write_text(secret_number(0))
    mounted = files / "kubernetes"
    (mounted / "..first").mkdir()
    (mounted / "secret").rename(mounted / "..first" / "secret")
    (mounted / "..data").symlink_to("..first")
    (mounted / "secret").symlink_to("..data/secret")
    (files / "table" / "secret").unlink()
    with contextlib.closing(sqlite3.connect(files / "table" / "secret")) as database, database:
        database.execute("CREATE TABLE brand (slug TEXT PRIMARY KEY, secret TEXT)")
        database.execute("INSERT INTO brand VALUES (?, ?)", [SLUG, secret_number(0)])


# --- The site, for both kinds of server ------------------------------------------------------


def from_table(slug: str) -> str | None:
    with contextlib.closing(sqlite3.connect(FILES / "table" / "secret")) as database:
        query = "SELECT secret FROM brand WHERE slug = ?"
        (secret,) = database.execute(query, [slug]).fetchone() or [None]
        return secret


def options(way: str) -> dict[str, Any]:
    secret: Any = from_table if way == "table" else secret_from_file(FILES / way / "secret")
    return {"slug": SLUG, "secret": secret, "get_email": lambda request: ALICE}


def is_waiting(deadline: float) -> bool:
    return not (FILES / "go").exists() and time.monotonic() < deadline


def wsgi_app() -> Any:
    from ensoras_middleware.wsgi import EnsorasMiddleware

    def chunks(path: str) -> Iterator[bytes]:
        deadline = time.monotonic() + PATIENCE
        yield PAGE[:CUT]
        while path.endswith("/slow") and is_waiting(deadline):
            time.sleep(0.01)
        yield PAGE[CUT:]

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, fields = environ["PATH_INFO"], {**FIELDS, "X-Process": str(os.getpid())}
        start_response("200 OK", list(fields.items()))
        return [PAGE] if path.endswith("/whole") else chunks(path)

    sites = {way: EnsorasMiddleware(host, **options(way)) for way in WAYS}
    return lambda environ, start_response: sites[environ["PATH_INFO"].split("/")[1]](
        environ, start_response
    )


def asgi_app() -> Any:
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse

    from ensoras_middleware.asgi import EnsorasMiddleware

    async def chunks(path: str) -> AsyncIterator[bytes]:
        deadline = time.monotonic() + PATIENCE
        yield PAGE[:CUT]
        while path.endswith("/slow") and is_waiting(deadline):  # noqa: ASYNC110
            # A file is what every server can look at, however its processes are arranged.
            await asyncio.sleep(0.01)
        yield PAGE[CUT:]

    async def host(scope: Any, receive: Any, send: Any) -> None:
        path, fields = Request(scope).url.path, {**FIELDS, "X-Process": str(os.getpid())}
        whole = path.endswith("/whole")
        kind, body = (Response, PAGE) if whole else (StreamingResponse, chunks(path))
        await kind(body, headers=fields)(scope, receive, send)

    sites = {way: EnsorasMiddleware(host, **options(way)) for way in WAYS}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sites[scope["path"].split("/")[1]](scope, receive, send)

    return app


SERVERS = {
    "gunicorn": "-m gunicorn -w 2 -k gthread --threads 4 -b fd://{fd} test_rotation:wsgi_app()",
    "uvicorn": "-m uvicorn --lifespan off --fd {fd} --factory test_rotation:asgi_app",
}
PROCESSES = {"gunicorn": 2, "uvicorn": 1}


@dataclass
class Site:
    """A server that runs, and what it was seen to do."""

    server: str
    address: tuple[str, int]
    files: Path
    processes: set[str] = field(default_factory=set)

    @property
    def log(self) -> str:
        return (self.files / "log").read_text()


@pytest.fixture(scope="module", params=SERVERS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    files = tmp_path_factory.mktemp("rotation")
    prepare(files)
    # The socket listens before the server does, so that nobody has to wait or to guess a port.
    with socket.create_server(("127.0.0.1", 0)) as listening, (files / "log").open("wb") as log:
        command = SERVERS[request.param].format(fd=listening.fileno())
        process = subprocess.Popen(
            [sys.executable, *command.split()],
            cwd=Path(__file__).parent,
            env={**os.environ, "ENSORAS_TEST_FILES": str(files)},
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        address = listening.getsockname()
    try:
        yield Site(request.param, address, files)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- The load --------------------------------------------------------------------------------


def problem(answer: http.client.HTTPResponse, allowed: range) -> str | None:
    """Return what is wrong with an answer, which one of these secrets must have signed wholly."""
    body = answer.read()
    for number in allowed:
        script = identify_script(ALICE, secret_number(number))
        if body == PAGE.replace(TAG, script + TAG):
            text = script.removeprefix(b"<script>").removesuffix(b"</script>")
            source = base64.b64encode(hashlib.sha256(text).digest()).decode()
            if answer.headers["Content-Security-Policy"] == f"{POLICY} 'sha256-{source}'":
                return None
            return "the policy admits another script"
    return f"{answer.status}, and not signed with {allowed}: {body!r}"


class Load:
    """Clients that ask on and on, each over connections of its own."""

    def __init__(self, site: Site, way: str) -> None:
        self.site, self.way = site, way
        self.begun = self.done = 0  # the last change of the secret
        self.problems: list[str] = []
        self._answered = [0] * CLIENTS
        self._change = threading.Condition()
        self._stop = False

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        clients = [threading.Thread(target=self._ask, args=(one,)) for one in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._stop = True
            for client in clients:
                client.join()

    def wait_for_all(self) -> None:
        """Wait until every client has been answered what it asks from now on."""
        with self._change:
            # What is on its way may have been asked before.
            targets = [count + 2 for count in self._answered]
            for client, target in enumerate(targets):
                assert self._change.wait_for(
                    lambda client=client, target=target: (
                        self.problems or self._answered[client] >= target
                    ),
                    PATIENCE,
                ), self.site.log
        assert self.problems == []

    def _ask(self, client: int) -> None:
        connection = http.client.HTTPConnection(*self.site.address, timeout=PATIENCE)
        while not self._stop and not self.problems:
            if self._answered[client] % 4 == 0:
                connection.close()  # perhaps another process takes the next one
            kind = ("whole", "stream")[self._answered[client] % 2]
            first = self.done
            try:
                connection.request("GET", f"/{self.way}/{kind}")
                answer = connection.getresponse()
                wrong = problem(answer, range(first, self.begun + 1))
                self.site.processes.add(answer.headers["X-Process"])
            except Exception as error:
                wrong = repr(error)
            with self._change:
                if wrong:
                    self.problems.append(f"{kind}: {wrong}")
                self._answered[client] += 1
                self._change.notify_all()
        connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_rotation_under_load(site: Site, way: str) -> None:
    """What is asked after a change is signed with the new secret, whichever process answers.

    What is asked while it changes is signed with the old one or with the new one: script and
    policy alike. While the file is empty or missing, the old one stays in use.
    """
    load, file = Load(site, way), site.files / way / "secret"
    WAYS[way](file, secret_number(0), lambda: None)
    log_before = len(site.log)
    with load.running():
        load.wait_for_all()
        for number in range(1, ROTATIONS + 1):
            load.begun = number
            WAYS[way](file, secret_number(number), load.wait_for_all)
            load.done = number
            load.wait_for_all()
    assert load.problems == []
    log = site.log[log_before:]
    warned = "ENSORAS_WIDGET_SECRET_FILE cannot be used now" in log
    assert not warned if way in AT_ONCE else warned or way == "rewritten"
    assert "Traceback" not in log
    assert not re.search(r"secret \d{4}|[0-9a-f]{64}|@example\.com", log)
    assert len(site.processes) <= PROCESSES[site.server]


def test_an_open_stream_keeps_its_secret(site: Site) -> None:
    """Its policy has left with the hash of the script, so the script is that one to the end."""
    file, go = site.files / "replaced" / "secret", site.files / "go"
    replaced(file, secret_number(100), lambda: None)
    connections = [http.client.HTTPConnection(*site.address, timeout=PATIENCE) for _ in "12"]
    connections[0].request("GET", "/replaced/slow")
    stream = connections[0].getresponse()
    start = stream.read(PAGE.index(TAG))
    assert start == PAGE[: len(start)]
    replaced(file, secret_number(101), lambda: None)
    connections[1].request("GET", "/replaced/whole")
    assert problem(connections[1].getresponse(), range(101, 102)) is None
    go.touch()
    rest = stream.read()
    script = identify_script(ALICE, secret_number(100))
    assert start + rest == PAGE.replace(TAG, script + TAG)
    for connection in connections:
        connection.close()
