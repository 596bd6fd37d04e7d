"""Runs the sandbox and the three shops on 127.0.0.1 until Ctrl-C: `python -m examples.demo`.

With ENSORAS_WIDGET_SLUG and ENSORAS_WIDGET_SECRET (or ENSORAS_WIDGET_SECRET_FILE) set, the shops
show that real widget, and no sandbox runs.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from examples import shop

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
FIRST_PORT = 8400
SLUG = "tea-shop"
START_SECONDS = 30.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.1
LOG_LINES = 20

PYTHON = (sys.executable, "-m")
UVICORN = (*PYTHON, "uvicorn", "--host", HOST, "--port", "{port}", "--timeout-graceful-shutdown=2")
GUNICORN = (*PYTHON, "gunicorn", "--bind", f"{HOST}:{{port}}", "--no-control-socket")
COMMANDS = {
    "sandbox": (
        *(*PYTHON, "ensoras_middleware", "sandbox", "--host", HOST, "--port", "{port}"),
        *("--slug", SLUG, "--secret-file", "{data}/secret"),
    ),
    "flask": (
        *(*GUNICORN, "--worker-class=gthread", "--threads=8", "--graceful-timeout=2"),
        "examples.flask_shop.app:create_app()",
    ),
    "django": (*UVICORN, "examples.django_shop.asgi:application"),
    "starlette": (*UVICORN, "--factory", "examples.starlette_shop.app:create_app"),
}
PREPARE_DJANGO = (*PYTHON, "examples.django_shop.prepare")


class DemoError(Exception):
    """The demo cannot start or go on; the message says why and what to do."""


class Stopped(Exception):
    """The demo was asked to stop before it was up."""


def never() -> bool:
    return False


class Server:
    """One child process that listens on a port and writes its output to a file."""

    def __init__(self, name: str, port: int, env: Mapping[str, str], data: Path) -> None:
        self.name = name
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.log = data / f"{name}.log"
        words = [word.format(port=port, data=data) for word in COMMANDS[name]]
        with self.log.open("wb") as log:
            # In a session of its own: Ctrl-C in the terminal reaches the runner alone, and
            # whatever the server starts can be ended with it.
            self.process = subprocess.Popen(
                words,
                cwd=data,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise `DemoError` if the server has ended."""
        status = self.process.poll()
        if status is not None:
            raise DemoError(f"{self.name}: the server ended (status {status}).{tail(self.log)}")

    def wait(self, stopping: Callable[[], bool]) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            self.check()
            if stopping():
                raise Stopped
            if time.monotonic() > deadline:
                raise DemoError(
                    f"{self.name}: {self.url} does not answer in {START_SECONDS:.0f} s."
                    f"{tail(self.log)}"
                )
            time.sleep(POLL_SECONDS)

    def answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if status >= 400:
            raise DemoError(f"{self.name}: {self.url}/ answers {status}.{tail(self.log)}")
        return True

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo: the addresses, without a slash at the end."""

    flask: str
    django: str
    starlette: str
    sandbox: str | None
    """None where the shops show a real widget."""
    servers: Sequence[Server]

    def check(self) -> None:
        """Raise `DemoError` if one of the servers has ended."""
        for server in self.servers:
            server.check()


@contextlib.contextmanager
def running_demo(
    first_port: int = FIRST_PORT,
    *,
    environ: Mapping[str, str] | None = None,
    stopping: Callable[[], bool] = never,
) -> Iterator[Demo]:
    """Run the sandbox on `first_port` and the shops on the next three; end them on leaving.

    `first_port` 0 takes free ports. `environ` stands in for `os.environ`. `stopping` is asked
    while the servers start: once it is true, `Stopped` is raised.

    Raises `DemoError` where a port is taken, a server does not start, or half of a real widget
    is configured.
    """
    env = dict(os.environ if environ is None else environ)
    real_widget = shows_real_widget(env)
    ports = choose_ports(first_port)
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="ensoras-demo-") as folder:
        data = Path(folder)
        env["EXAMPLE_DATA_DIR"] = folder
        env["EXAMPLE_SECRET_KEY"] = env.get("EXAMPLE_SECRET_KEY") or secrets.token_hex(32)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        env["PYTHONUNBUFFERED"] = "1"

        def start(*names: str) -> list[str]:
            for name in names:
                servers.append(Server(name, ports[name], env, data))
            for server in servers[-len(names) :]:
                server.wait(stopping)
            return [server.url for server in servers[-len(names) :]]

        try:
            sandbox = None
            if not real_widget:
                [sandbox] = start("sandbox")
                env["ENSORAS_WIDGET_SLUG"] = SLUG
                env["ENSORAS_WIDGET_SECRET_FILE"] = f"{folder}/secret"
                env["ENSORAS_EXAMPLE_ORIGIN"] = sandbox
            prepare_django(env, data)
            flask, django, starlette = start("flask", "django", "starlette")
            yield Demo(flask, django, starlette, sandbox, servers)
        finally:
            stop(servers)


def shows_real_widget(env: dict[str, str]) -> bool:
    """Tell whether `env` names a real widget; without one, clear what could disturb the sandbox."""
    slug = env.get("ENSORAS_WIDGET_SLUG")
    secret = env.get("ENSORAS_WIDGET_SECRET") or env.get("ENSORAS_WIDGET_SECRET_FILE")
    if slug and secret:
        return True
    if slug or secret:
        raise DemoError(
            "For your own widget set both ENSORAS_WIDGET_SLUG and ENSORAS_WIDGET_SECRET; "
            "for the sandbox set neither."
        )
    for name in ("ENSORAS_WIDGET_SLUG", "ENSORAS_WIDGET_SECRET", "ENSORAS_WIDGET_SECRET_FILE"):
        env.pop(name, None)
    return False


def choose_ports(first: int) -> dict[str, int]:
    """Return a port for each server, found to be free a moment ago."""
    ports = {}
    with contextlib.ExitStack() as sockets:
        for offset, name in enumerate(COMMANDS):
            probe = sockets.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, first and first + offset))
            except (OSError, OverflowError) as error:
                raise DemoError(
                    f"Port {first + offset} for {name} cannot be used ({error}). Stop what listens "
                    f"there, or choose others: DEMO_PORT=9000 make demo"
                ) from None
            ports[name] = probe.getsockname()[1]
    return ports


def prepare_django(env: Mapping[str, str], data: Path) -> None:
    log = data / "prepare.log"
    with log.open("wb") as output:
        done = subprocess.run(
            PREPARE_DJANGO,
            cwd=data,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if done.returncode:
        raise DemoError(f"django: the database could not be prepared.{tail(log)}")


def stop(servers: Sequence[Server]) -> None:
    """End the servers and whatever they started; those that do not obey in time are killed."""
    for server in servers:
        server.signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for server in servers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(max(0, deadline - time.monotonic()))
        server.signal(signal.SIGKILL)
        server.process.wait()


def tail(log: Path) -> str:
    """Return the end of a log, ready to follow a message."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "".join(f"\n    {line}" for line in lines) or " It has logged nothing."


class StopSignals:
    """Remembers that somebody asked us to stop; nothing is interrupted where it stands."""

    def __init__(self) -> None:
        self.received = False
        # SIGHUP: the servers have sessions of their own, a closed terminal would leave them behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def describe(demo: Demo) -> str:
    dashboard = "" if demo.sandbox is None else f"  Ensoras sandbox  {demo.sandbox}/  (dashboard)\n"
    customers = " or ".join(customer.email for customer in shop.CUSTOMERS)
    rotate = (
        "  3. Press “Rotate secret” in the dashboard: open pages lose their verification at the\n"
        "     next chat call, and a reload brings it back. No shop is restarted.\n"
    )
    return (
        "\nOne tea shop, three times:\n\n"
        f"  Flask            {demo.flask}/\n"
        f"  Django           {demo.django}/\n"
        f"  Starlette        {demo.starlette}/\n"
        f"{dashboard}"
        f"\nCustomers: {customers}, password {shop.DEMO_PASSWORD}\n\n"
        "Try it:\n"
        "  1. Open a shop and its chat bubble: you are unverified.\n"
        "  2. Log in: the bubble knows who you are, on each of the tea notes too, whatever their\n"
        "     caching headers. Log out: it forgets.\n"
        f"{rotate if demo.sandbox else ''}"
        "\nCtrl-C stops everything.\n"
    )


def say(text: str, *, to_stderr: bool = False) -> None:
    output = sys.stderr if to_stderr else sys.stdout
    output.write(f"{text}\n")
    output.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="Run the demo.")
    parser.add_argument(
        "--ports-from",
        metavar="N",
        type=int,
        default=os.environ.get("DEMO_PORT") or FIRST_PORT,
        help="the first of four ports; 0: any free ones (default: DEMO_PORT or %(default)s)",
    )
    first_port = parser.parse_args(arguments).ports_from
    signals = StopSignals()
    say("Starting the shops …")
    try:
        with running_demo(first_port, stopping=lambda: signals.received) as demo:
            say(describe(demo))
            while not signals.received:
                demo.check()
                time.sleep(POLL_SECONDS)
            say("\nStopping …")
    except Stopped:
        say("\nStopped.")
    except DemoError as error:
        say(f"demo: {error}", to_stderr=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
