"""The command line as a person or a script runs it: a real process, its pipes and its terminal."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ensoras_middleware
from ensoras_middleware import identity_hash

SECRET = "the secret of the acme widget"
OTHER_SECRET = "another secret, long enough"
VERIFIED = b"verified\n"
ALICE = "alice@example.com"
COMMAND = [sys.executable, "-m", "ensoras_middleware"]
SETTING = "ENSORAS_WIDGET_SECRET (keyword `secret`)"

Completed = subprocess.CompletedProcess[bytes]


# What a command is given of this process' environment.
PASSED_ON = {
    name: value for name, value in os.environ.items() if name == "PATH" or "COVERAGE" in name
}


def run(
    *arguments: str | bytes,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    command: list[str] = COMMAND,
) -> Completed:
    return subprocess.run(
        [*command, *arguments],
        input=stdin,
        capture_output=True,
        env=PASSED_ON | (env or {}),
        timeout=30,
    )


def hash_line(secret: str | bytes = SECRET, email: str = ALICE) -> bytes:
    return identity_hash(email, secret).encode() + b"\n"


def assert_printed(run: Completed, expected: bytes) -> None:
    """The hash is all that is printed: a script may use it as it is."""
    assert (run.stdout, run.stderr, run.returncode) == (expected, b"", 0)


def assert_refused(run: Completed, *told: str) -> None:
    """Exit status 2, and one line that says what to do; no hash, no secret, no traceback."""
    message = run.stderr.decode()
    assert (run.stdout, run.returncode) == (b"", 2), message
    for words in told:
        assert words in message
    assert "Traceback" not in message
    assert SECRET not in message
    assert OTHER_SECRET not in message


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


class TestEnvironment:
    def test_secret(self) -> None:
        """The variable that the site reads is enough."""
        assert_printed(run("hash", ALICE, env={"ENSORAS_WIDGET_SECRET": SECRET}), hash_line())

    def test_secret_before_standard_input(self) -> None:
        """A script's own input is left alone where the environment has the secret."""
        env = {"ENSORAS_WIDGET_SECRET": SECRET}
        assert_printed(run("hash", ALICE, stdin=OTHER_SECRET.encode(), env=env), hash_line())

    def test_secret_file(self, secret_file: Path) -> None:
        """So is the file that the site reads."""
        env = {"ENSORAS_WIDGET_SECRET_FILE": str(secret_file)}
        assert_printed(run("hash", ALICE, env=env), hash_line())

    def test_bytes_that_are_no_text(self) -> None:
        """The bytes of the variable sign, whatever the locale says about them."""
        secret = os.fsdecode(b"\xe9" * 20)
        for locale in ("C", "C.UTF-8", "POSIX"):
            env = {"ENSORAS_WIDGET_SECRET": secret, "LC_ALL": locale}
            assert_printed(run("hash", ALICE, env=env), hash_line(b"\xe9" * 20))

    @pytest.mark.parametrize(
        ("secret", "cause"),
        [
            ("", "is blank"),
            ("too short", "is shorter than 16 bytes"),
            ("YOUR_SECRET", "is still a placeholder"),
            (f" {SECRET}", "has white space around it"),
            (f'"{SECRET}"', "has quotes around it"),
            (f"'{SECRET}'", "has quotes around it"),
        ],
    )
    def test_wrong_secret(self, secret: str, cause: str) -> None:
        """What would stop the site stops the command; nothing else is tried."""
        env = {"ENSORAS_WIDGET_SECRET": secret}
        assert_refused(
            run("hash", ALICE, stdin=OTHER_SECRET.encode(), env=env),
            f"ensoras-middleware: {SETTING} {cause}",
            "copy the widget secret from the Ensoras dashboard",
        )

    @pytest.mark.parametrize(
        ("path", "cause"),
        [
            ("/no/such/file", "cannot be read (No such file or directory)"),
            ("/", "is no regular file"),
            (os.devnull, "is no regular file"),
            ("", "ENSORAS_WIDGET_SECRET_FILE"),
        ],
    )
    def test_wrong_secret_file(self, path: str, cause: str) -> None:
        """The same for a file."""
        env = {"ENSORAS_WIDGET_SECRET_FILE": path}
        assert_refused(run("hash", ALICE, env=env), "ENSORAS_WIDGET_SECRET_FILE", cause)

    def test_both(self, secret_file: Path) -> None:
        """The site would not start: the command does not guess which of the two it would take."""
        env = {
            "ENSORAS_WIDGET_SECRET": OTHER_SECRET,
            "ENSORAS_WIDGET_SECRET_FILE": str(secret_file),
        }
        assert_refused(
            run("hash", ALICE, env=env),
            "ENSORAS_WIDGET_SECRET and ENSORAS_WIDGET_SECRET_FILE are both set",
        )


class TestStandardInput:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_secret(self, end: str) -> None:
        """`pass show ensoras | python -m ensoras_middleware hash EMAIL`."""
        assert_printed(run("hash", ALICE, stdin=f"{SECRET}{end}".encode()), hash_line())

    @pytest.mark.parametrize(
        "secret", ["clé-secrète-du-widget".encode(), b"\xe9" * 20], ids=["UTF-8", "no UTF-8"]
    )
    @pytest.mark.parametrize(
        "env",
        [
            {"LC_ALL": "C"},
            {"PYTHONIOENCODING": "utf-8:strict"},
            {"PYTHONIOENCODING": "latin-1"},
        ],
        ids=lambda env: "=".join(*env.items()),
    )
    def test_its_bytes_sign(self, secret: bytes, env: dict[str, str]) -> None:
        """The locale does not change the hash, as it does not with a file."""
        assert_printed(run("hash", ALICE, stdin=secret + b"\n", env=env), hash_line(secret))

    @pytest.mark.parametrize(
        ("stdin", "cause"),
        [
            (b"too short\n", "is shorter than 16 bytes"),
            (b"YOUR_SECRET\n", "is still a placeholder"),
            (SECRET.encode() + b" \n", "has white space around it"),
        ],
    )
    def test_wrong_secret(self, stdin: bytes, cause: str) -> None:
        """An empty pipe is no secret."""
        assert_refused(run("hash", ALICE, stdin=stdin), SETTING, cause)

    @pytest.mark.parametrize("stdin", [b"", b"\n"])
    def test_no_secret(self, stdin: bytes) -> None:
        """Where there is none at all, both ways to give it are told."""
        for command in (["hash", ALICE], ["verify", ALICE, "0" * 64]):
            told = "There is no secret: set ENSORAS_WIDGET_SECRET"
            assert_refused(run(*command, stdin=stdin), told, "standard input")

    def test_closed(self) -> None:
        """A process without standard input, as some service managers start it, is told so."""
        command = ["sh", "-c", 'exec "$0" "$@" <&-', *COMMAND]
        assert_refused(run("hash", ALICE, command=command), "ENSORAS_WIDGET_SECRET")


# A session leader that opens a terminal gets it as its own: as in a terminal window. What runs in
# the background of a shell script ignores Ctrl-C, and so would all that it starts.
IN_TERMINAL = (
    "import os, signal, sys; os.open(os.ttyname(0), os.O_RDWR);"
    "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """The command in a terminal window."""

    def __init__(self, *arguments: str) -> None:
        self.screen = b""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=PASSED_ON,
            start_new_session=True,
        )
        os.close(slave)

    def read_until(self, pattern: bytes) -> None:
        while not re.search(pattern, self.screen):
            self.screen += self._read(60)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def interrupt(self, key: bytes) -> None:
        """Press a key until the process ends: a signal directly before a read is seen after it."""
        for _ in range(12):
            self.type(key)
            if self._is_over(5):
                return

    def end(self) -> int:
        """Return the exit status; from here on `screen` is all that was to be seen."""
        assert self._is_over(60), self.screen
        os.close(self._master)
        return self.process.wait(10)

    def _is_over(self, seconds: float) -> bool:
        try:
            while data := self._read(seconds):
                self.screen += data
        except TimeoutError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            pass
        return True

    def _read(self, seconds: float) -> bytes:
        if not select.select([self._master], [], [], seconds)[0]:
            raise TimeoutError(f"nothing came after {self.screen!r}")
        return os.read(self._master, 1024)


class TestTerminal:
    def test_prompt(self) -> None:
        """A person is asked, and what they type is not shown."""
        terminal = Terminal("hash", ALICE)
        terminal.read_until(b"Widget secret: $")
        terminal.type(SECRET.encode() + b"\n")
        assert terminal.end() == 0
        assert terminal.screen.split() == [b"Widget", b"secret:", hash_line().strip()]
        assert SECRET.encode() not in terminal.screen

    def test_wrong_secret(self) -> None:
        """Return alone is no secret."""
        terminal = Terminal("hash", ALICE)
        terminal.read_until(b"Widget secret: $")
        terminal.type(b"\n")
        assert terminal.end() == 2
        assert b"is blank" in terminal.screen

    @pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
    def test_second_thoughts(self, key: bytes) -> None:
        """Whoever gives up at the prompt gets no traceback, and no hash."""
        terminal = Terminal("hash", ALICE)
        terminal.read_until(b"Widget secret: $")
        terminal.interrupt(key)
        assert terminal.end() in (2, 130, -signal.SIGINT)
        assert b"Traceback" not in terminal.screen
        assert not re.search(rb"[0-9a-f]{64}", terminal.screen)


class TestEmail:
    """What is printed is what a page carries for this customer."""

    env = {"ENSORAS_WIDGET_SECRET": SECRET}  # noqa: RUF012

    @pytest.mark.parametrize(
        "email", [ALICE, "Alice@Example.COM", f" {ALICE}", f"{ALICE}\n", f"\t{ALICE.upper()} \r\n"]
    )
    def test_in_another_form(self, email: str) -> None:
        """A page signs it lower-cased and without the white space around it."""
        assert_printed(run("hash", email, env=self.env), hash_line())

    @pytest.mark.parametrize(
        "email",
        [
            "",  # of an unset variable
            " ",
            "alice",
            "alice@example.com,bob@example.com",
            "Alice <alice@example.com>",
            "jörg@example.com",
            "\u212aevin@example.com",
            b"\xff@example.com",
            "a" * 243 + "@example.com",
        ],
        ids=lambda email: ascii(email)[:40],
    )
    def test_no_address(self, email: str | bytes) -> None:
        """No page is ever signed for that, so there is no hash to compare it with."""
        assert_refused(run("hash", email, env=self.env), "ensoras-middleware: EMAIL ")


class TestVerify:
    """What Ensoras would say of an address and a hash."""

    env = {"ENSORAS_WIDGET_SECRET": SECRET}  # noqa: RUF012

    @pytest.mark.parametrize("email", [ALICE, "Alice@Example.COM"])
    def test_verified(self, email: str) -> None:
        assert_printed(run("verify", email, identity_hash(ALICE, SECRET), env=self.env), VERIFIED)

    def test_secret_from_standard_input(self) -> None:
        """As for `hash`."""
        hash = identity_hash(ALICE, SECRET)
        assert_printed(run("verify", ALICE, hash, stdin=SECRET.encode()), VERIFIED)

    @pytest.mark.parametrize(
        ("hash", "mistake"),
        [
            (identity_hash("bob@example.com", SECRET), "that of another e-mail, or of another sec"),
            (identity_hash(ALICE, OTHER_SECRET), "it is that of another e-mail, or of another se"),
            (identity_hash(ALICE, SECRET).upper(), "it is in upper case"),
            (identity_hash(ALICE, SECRET + "\n"), "the secret had white space"),
            (hashlib.sha256(ALICE.encode()).hexdigest(), "it is a plain SHA-256"),
            ("", "it is no hash"),
            ("ü", "it is no hash"),
        ],
        ids=lambda value: ascii(value)[:20],
    )
    def test_not_verified(self, hash: str, mistake: str) -> None:
        """Exit status 1, and the mistake in words; a right hash is never printed."""
        refused = run("verify", ALICE, hash, env=self.env)
        message = refused.stdout.decode()
        assert (refused.returncode, refused.stderr) == (1, b"")
        assert message.startswith("not verified: ")
        assert mistake in message
        assert identity_hash(ALICE, SECRET) not in message


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("hash", ALICE, SECRET),
            ("hash", ALICE, "--secret", SECRET),
            ("hash", ALICE, f"--secret={SECRET}"),
            ("hash", ALICE, "--secret-file", SECRET),
            ("hash", "--secret", SECRET, ALICE),
            ("verify", ALICE, "0" * 64, "--secret", SECRET),
            ("sandbox", "--secret", SECRET, "--host", "192.0.2.1"),
            ("sandbox", f"--secret={SECRET}", "--host", "192.0.2.1"),
        ],
    )
    def test_no_secret_in_an_argument(self, arguments: tuple[str, ...], tmp_path: Path) -> None:
        """Other users of the machine could read it; nothing takes it, nor a file of that name."""
        refused = subprocess.run(
            [*COMMAND, *arguments],
            env={"PATH": os.environ["PATH"], "ENSORAS_WIDGET_SECRET": OTHER_SECRET},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (refused.stdout, refused.returncode) == ("", 2)
        assert "unrecognized arguments" in refused.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("command", ["hash", "verify", "sandbox", "check"])
    def test_no_option_takes_a_secret(self, command: str) -> None:
        """The help of no command offers one; `--secret-file` takes a path."""
        options = re.findall(r"--[a-z-]+", run(command, "--help").stdout.decode())
        assert [one for one in {*options} if "secret" in one or "key" in one] in (
            [],
            ["--secret-file"],
        )

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--help"], ["hash", "sandbox", "COMMAND"]),
            (
                ["hash", "--help"],
                [
                    "EMAIL",
                    "ENSORAS_WIDGET_SECRET",
                    "ENSORAS_WIDGET_SECRET_FILE",
                    "standard input",
                ],
            ),
            (["sandbox", "--help"], ["--host", "--port", "--slug", "--secret-file"]),
            (["--version"], [f"ensoras-middleware {ensoras_middleware.__version__}"]),
        ],
    )
    def test_help(self, arguments: list[str], told: list[str]) -> None:
        """`--help` says where the secret comes from."""
        helped = run(*arguments)
        assert (helped.stderr, helped.returncode) == (b"", 0)
        for words in told:
            assert words in " ".join(helped.stdout.decode().split())

    @pytest.mark.parametrize(
        "arguments", [(), ("hash",), ("unknown",), ("hash", "--unknown", ALICE), ("sandbox", "x")]
    )
    def test_wrong_arguments(self, arguments: tuple[str, ...]) -> None:
        """A usage line and exit status 2."""
        assert_refused(run(*arguments), "usage: ensoras-middleware")

    def test_installed_command(self) -> None:
        """`ensoras-middleware` is the same command."""
        script = Path(sys.executable).with_name("ensoras-middleware")
        if not script.exists():
            pytest.skip("the project is not installed in this environment")
        env = {"ENSORAS_WIDGET_SECRET": SECRET}
        assert_printed(run("hash", ALICE, env=env, command=[str(script)]), hash_line())


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [(["sandbox"], "uvicorn", "sandbox"), (["check", "https://x"], "httpx", "check")],
)
def test_without_the_extra(arguments: list[str], package: str, extra: str) -> None:
    """Where a package of an extra is missing, the command says how to install it."""
    code = f"import sys; sys.modules[{package!r}] = None; "
    code += "from ensoras_middleware.cli import main; sys.exit(main())"
    told = f"The {extra} needs {package}: pip install 'ensoras-middleware[{extra}]'"
    assert_refused(run(*arguments, command=[sys.executable, "-c", code]), told)


class TestSandbox:
    def test_port_in_use(self) -> None:
        """Another program has it: the remedy is told."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            assert_refused(
                run("sandbox", "--port", port), f"port {port}: give another one by --port"
            )

    def test_slug_of_the_environment(self) -> None:
        """It is that of the site."""
        helped = run("sandbox", "--slug", "no slug", env={"ENSORAS_WIDGET_SLUG": "acme"})
        assert_refused(helped, "is not a slug")
        assert_refused(run("sandbox", env={"ENSORAS_WIDGET_SLUG": "no slug"}), "is not a slug")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--host", "0.0.0.0"], "loopback"),
            (["--slug", "two words"], "slug"),
            (["--secret-file", "/no/such/directory/secret"], "/no/such/directory"),
            (["--port", "x"], "a port is a number from 0 to 65535"),
            (["--port", "99999"], "port"),
            (["--port", "-1"], "port"),
        ],
    )
    def test_what_cannot_work(self, arguments: list[str], told: str) -> None:
        """The sandbox says what is wrong and does not start."""
        try:
            refused = run("sandbox", "--port", "0", *arguments)
        except subprocess.TimeoutExpired:
            pytest.fail("it serves")
        assert_refused(refused, told)

    def test_wrong_secret(self) -> None:
        """The secret of the environment is checked as a site's is."""
        env = {"ENSORAS_WIDGET_SECRET": "too short"}
        assert_refused(run("sandbox", "--port", "0", env=env), "ENSORAS_WIDGET_SECRET", "shorter")

    def test_ctrl_c(self) -> None:
        """It serves on the address that it prints until Ctrl-C, and stops without a traceback."""
        terminal = Terminal("sandbox", "--port", "0")
        terminal.read_until(rb"http://127\.0\.0\.1:\d+")
        time.sleep(0.1)
        terminal.type(b"\x03")
        assert terminal.end() in (0, 130, -signal.SIGINT)
        assert b"Traceback" not in terminal.screen
