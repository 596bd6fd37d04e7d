"""The secret changes while real servers are under load: no error, no restart, no half page."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import re
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from adapters import ALICE, PAGE, TAG, identify_script
from rotation_sites import (
    AT_ONCE,
    POLICY,
    SERVERS,
    WAYS,
    replaced,
    running_rotation,
    secret_number,
)
from servers import PATIENCE, Site

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("servers")]

ROTATIONS = 5
CLIENTS = 4


@pytest.fixture(scope="module", params=SERVERS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with running_rotation(request.param, tmp_path_factory.mktemp("rotation")) as site:
        yield site


# --- The load --------------------------------------------------------------------------------


def signed_with(answer: http.client.HTTPResponse, allowed: range) -> int:
    """Return which one of these secrets has wholly signed an answer.

    Raises `AssertionError` where none has, or where the policy admits another script.
    """
    body = answer.read()
    for number in allowed:
        script = identify_script(ALICE, secret_number(number))
        if body == PAGE.replace(TAG, script + TAG):
            text = script.removeprefix(b"<script>").removesuffix(b"</script>")
            source = base64.b64encode(hashlib.sha256(text).digest()).decode()
            policy = answer.headers["Content-Security-Policy"]
            assert policy == f"{POLICY} 'sha256-{source}'", policy
            return number
    raise AssertionError(f"{answer.status}, and not signed with {allowed}: {body!r}")


class Load:
    """Clients that ask on and on, each over connections of its own."""

    def __init__(self, site: Site, way: str) -> None:
        self.site, self.way = site, way
        self.begun = self.done = 0  # the last change of the secret
        self._read = Counter[str]()  # the last secret that each process was seen to use
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
            first, read = self.done, dict(self._read)
            try:
                connection.request("GET", f"/{self.way}/{kind}")
                answer = connection.getresponse()
                process = answer.headers["X-Process"]
                if self.begun > first and self.way not in AT_ONCE:
                    # While there is nothing to read, a process has what it read before.
                    first = min(first, read.get(process, 0))
                number = signed_with(answer, range(first, self.begun + 1))
                self._read[process] = max(self._read[process], number)
                wrong = None
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
    policy alike. While the file is empty or missing, each process goes on with the last one that
    it has read; a process that was idle may have missed some.
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
    assert len([*site.files.glob("ready-*")]) == SERVERS[site.server][-1]


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
    assert signed_with(connections[1].getresponse(), range(101, 102)) == 101
    go.touch()
    rest = stream.read()
    script = identify_script(ALICE, secret_number(100))
    assert start + rest == PAGE.replace(TAG, script + TAG)
    for connection in connections:
        connection.close()
