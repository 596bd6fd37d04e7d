"""Secrets: which are refused, where they come from, and how one in a file is rotated."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ensoras_middleware import ConfigurationError, EnsorasError, secret_from_file
from ensoras_middleware.secret import (
    SecretFile,
    checked_secret,
    secret_from_environment,
    secret_source,
)

OLD = b"the old secret of the acme widget"
NEW = b"a new secret of  the acme widget!"
assert len(OLD) == len(NEW)

LONG_AGO = 1_600_000_000
SETTLED_AFTER = 2_000_000_000  # nanoseconds
PATIENCE = 60  # seconds until something that hangs is given up
ROTATIONS = 60

UNUSABLE = {
    "blank": (b"", "is blank"),
    "white space": (b" \r\n\t\n", "is blank"),
    "short": (b"0123456789abcde\n", "is shorter than 16 bytes"),
    "placeholder": (b"YOUR_WIDGET_SECRET\n", "is still a placeholder"),
    "name of the variable": (b"ENSORAS_WIDGET_SECRET", "is still a placeholder"),
    "two trailing newlines": (OLD + b"\n\n", "has white space around it"),
    "space before": (b" " + OLD, "has white space around it"),
    "space before the newline": (OLD + b" \n", "has white space around it"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ensoras-secret"
    path.write_bytes(OLD)
    return path


def settle(path: Path) -> None:
    """Let the file look long unchanged."""
    os.utime(path, (LONG_AGO, LONG_AGO))


MEBIBYTE = b"s" * 2**20

needs_counter = pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="no /proc/self/io to count in"
)


def bytes_read(source: SecretFile, calls: int = 1) -> int:
    """Return how many bytes this process reads for so many calls (proc(5), /proc/pid/io)."""
    counts = []
    for count in (0, calls):
        for _ in range(count):
            assert source("acme") == MEBIBYTE
        counts.append(int(Path("/proc/self/io").read_text().split()[1]))
    return counts[1] - counts[0]


class Clock:
    """A `time` that stands still, but for those who move it."""

    def __init__(self, now: int) -> None:
        self.now = now

    def time_ns(self) -> int:
        return self.now


def replace(path: Path, content: bytes) -> None:
    """Write another file, then rename it: in one step."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


class TestContent:
    @pytest.mark.parametrize(
        "content", [OLD, OLD + b"\n", OLD + b"\r\n", b"0123456789abcdef", b"\xe9" * 16 + b"\n"]
    )
    def test_one_trailing_newline_is_dropped(self, path: Path, content: bytes) -> None:
        """What an editor or `echo` leaves at the end is no part of the secret."""
        path.write_bytes(content)
        assert secret_from_file(path)("acme") == content.rstrip(b"\r\n")

    @pytest.mark.parametrize("form", [str, Path, os.fspath])
    def test_any_path(self, path: Path, form: Callable[[Path], Any]) -> None:
        """A path is a `str` or any `os.PathLike`."""
        assert secret_from_file(form(path))("acme") == OLD

    @pytest.mark.parametrize("slug", ["acme", "other", ""])
    def test_the_same_for_every_slug(self, path: Path, slug: str) -> None:
        """A file holds the secret of one widget; whoever asks says which."""
        assert secret_from_file(path)(slug) == OLD

    @pytest.mark.parametrize("form", [str, Path])
    @pytest.mark.parametrize(("content", "cause"), UNUSABLE.values(), ids=UNUSABLE)
    def test_unusable_at_construction(
        self, path: Path, content: bytes, cause: str, form: Callable[[Path], Any]
    ) -> None:
        """A site does not start with a file that holds no secret."""
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=cause) as caught:
            secret_from_file(form(path))
        assert str(caught.value).startswith("ENSORAS_WIDGET_SECRET_FILE ")
        assert "Ensoras dashboard" in str(caught.value)
        assert OLD.decode() not in str(caught.value)

    @pytest.mark.parametrize("kind", ["missing", "directory", "loop"])
    def test_unreadable_at_construction(self, tmp_path: Path, kind: str) -> None:
        """A site does not start with a path where nothing can be read."""
        path = tmp_path / "missing"
        if kind == "directory":
            path = tmp_path
        elif kind == "loop":
            path.symlink_to(path)
        with pytest.raises(
            ConfigurationError, match=r"^ENSORAS_WIDGET_SECRET_FILE .*may read\.$"
        ) as caught:
            secret_from_file(path)
        assert caught.value.__cause__ is None, "the message has said it"

    def test_never_shown(self, path: Path) -> None:
        """A debugger's list of variables shows no secret."""
        source = secret_from_file(path)
        assert isinstance(source, SecretFile)
        assert "secret of" not in repr(source) + str(source) + f"{[source]}"
        assert not hasattr(source, "__dict__")


class TestRotation:
    def test_by_rename(self, path: Path) -> None:
        """A file that takes the old one's place is seen by the next page."""
        source = secret_from_file(path)
        for content in (NEW, OLD) * 20:
            replace(path, content)
            assert source("acme") == content

    def test_by_symbolic_link(self, path: Path, tmp_path: Path) -> None:
        """Kubernetes swaps a link to a directory."""
        for name, content in (("one", OLD), ("two", NEW)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "secret").write_bytes(content)
            settle(tmp_path / name / "secret")
        data = tmp_path / "data"
        data.symlink_to("one")
        source = secret_from_file(data / "secret")
        for target, content in (("one", OLD), ("two", NEW), ("one", OLD)):
            (tmp_path / "next").symlink_to(target)
            (tmp_path / "next").replace(data)
            assert source("acme") == content

    def test_in_place_with_the_same_size(self, path: Path) -> None:
        """A file written over is seen by the next page, however soon after."""
        source = secret_from_file(path)
        for content in (NEW, OLD) * 200:
            path.write_bytes(content)
            assert source("acme") == content

    def test_in_place_after_a_long_time(self, path: Path) -> None:
        """A file that has not changed for long is looked at all the same."""
        settle(path)
        source = secret_from_file(path)
        assert source("acme") == OLD
        path.write_bytes(NEW)
        assert source("acme") == NEW

    @pytest.mark.parametrize("write", [Path.write_bytes, replace])
    def test_with_an_old_time(self, path: Path, write: Callable[[Path, bytes], object]) -> None:
        """`cp -p` and `rsync -t` keep the times of what they copy; the change is seen."""
        settle(path)
        source = secret_from_file(path)
        for content in (NEW, OLD) * 100:
            write(path, content)
            settle(path)
            assert source("acme") == content

    @needs_counter
    def test_not_read_again_while_unchanged(self, path: Path) -> None:
        """Once a file has been left alone for some seconds, a page costs one look at its times."""
        path.write_bytes(MEBIBYTE)
        source = secret_from_file(path)
        deadline = time.monotonic() + PATIENCE
        while bytes_read(source) >= len(MEBIBYTE):
            assert time.monotonic() < deadline, "read again and again"
            time.sleep(0.05)
        assert bytes_read(source, calls=1000) < len(MEBIBYTE)
        path.write_bytes(MEBIBYTE.upper())
        assert source("acme") == MEBIBYTE.upper(), "a change is seen, and at once"

    @needs_counter
    @pytest.mark.parametrize("stamp", [lambda path: None, settle], ids=["now", "cp -p"])
    @pytest.mark.parametrize(("age", "reads"), [(0, 3), (SETTLED_AFTER, 3), (SETTLED_AFTER + 1, 0)])
    def test_read_every_time_right_after_a_change(
        self,
        path: Path,
        stamp: Callable[[Path], object],
        age: int,
        reads: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A clock of 4 ms, as many file systems have, hides a second change right after a first.

        Its age is told here, in nanoseconds: a busy machine takes seconds for the next line.
        """
        path.write_bytes(MEBIBYTE)
        stamp(path)
        clock = Clock(path.stat().st_ctime_ns + age)
        monkeypatch.setattr("ensoras_middleware.secret.time", clock)
        source = secret_from_file(path)
        assert bytes_read(source, calls=3) // len(MEBIBYTE) == reads

    def test_a_change_within_the_clocks_resolution(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long reading took, a change right behind it is seen, whatever the times say."""
        clock = Clock(path.stat().st_ctime_ns)
        monkeypatch.setattr("ensoras_middleware.secret.time", clock)

        class Slow(type(path)):  # type: ignore[misc]
            def read_bytes(self) -> bytes:
                clock.now += SETTLED_AFTER + 1
                return path.read_bytes()

        source = SecretFile(Slow(path))
        stamp = source._stamp()
        monkeypatch.setattr(SecretFile, "_stamp", lambda self: stamp)
        path.write_bytes(NEW)
        assert source("acme") == NEW

    def test_every_secret_is_whole_and_none_comes_late(self, path: Path) -> None:
        """Many threads during many rotations: each gets a secret that is whole.

        It is none older than the last that was there before they asked, and none that was not yet.
        """
        secrets = [b"1" * 100_000, b"2" * 50_000, b"3" * 50_000]
        begun = done = 0  # rotations
        replace(path, secrets[0])
        source = secret_from_file(path)
        asked, wrong = threading.Event(), list[str]()

        def ask() -> None:
            while begun < ROTATIONS:
                before = done
                got = source("acme")
                allowed = [secrets[one % 3] for one in range(before, begun + 1)]
                if got not in allowed:
                    wrong.append(f"{len(got)} bytes of {got[:1]!r} between {before} and {begun}")
                asked.set()

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for rotation in range(1, ROTATIONS + 1):
            begun = rotation
            replace(path, secrets[rotation % 3])
            done = rotation
            asked.clear()
            assert rotation == ROTATIONS or asked.wait(PATIENCE)
        for thread in threads:
            thread.join()
        assert wrong == []
        assert source("acme") == secrets[ROTATIONS % 3]


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


OUTAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "a directory": become_directory,
    "a broken link": become_broken_link,
    **{
        name: functools.partial(replace, content=content) for name, (content, _) in UNUSABLE.items()
    },
}


@pytest.mark.parametrize("settled", [True, False], ids=["old", "fresh"])
@pytest.mark.parametrize("break_", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_keeps_the_last_good_secret(
    path: Path, break_: Callable[[Path], object], settled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """While the file is of no use the site goes on signing, with one warning each time."""
    if settled:
        settle(path)
    source = secret_from_file(path)
    for outage, (before, after) in enumerate([(OLD, NEW), (NEW, OLD)], 1):
        assert source("acme") == before
        break_(path)
        assert [source("acme") for _ in range(3)] == [before] * 3
        assert len(caplog.records) == outage
        if path.is_dir():
            path.rmdir()
        replace(path, after)
        assert [source("acme") for _ in range(3)] == [after] * 3
        assert len(caplog.records) == outage, "recovery is no warning"
    for record in caplog.records:
        assert (record.name, record.levelno) == ("ensoras_middleware", logging.WARNING)
        message = record.getMessage()
        assert message.startswith("ENSORAS_WIDGET_SECRET_FILE ")
        assert "the last good secret stays in use" in message
        assert "(None)" not in message
        assert str(path) not in message
        assert "secret of" not in message
        assert record.exc_info is None


def test_the_old_file_may_come_back(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file moved away and back again ends the outage, too."""
    settle(path)
    source = secret_from_file(path)
    for outage in (1, 2):
        path.rename(path.with_name("away"))
        assert source("acme") == OLD
        path.with_name("away").rename(path)
        assert source("acme") == OLD
        assert len(caplog.records) == outage


REFUSED = [
    ("", "is blank"),
    (b"", "is blank"),
    (" \t\r\n ", "is blank"),
    (f" {OLD.decode()}", "has white space around it"),
    (f"{OLD.decode()}\n", "has white space around it"),
    (OLD + b"\r\n", "has white space around it"),
    ("0123456789abcde", "is shorter than 16 bytes"),
    (b"0123456789abcde", "is shorter than 16 bytes"),
    ("é" * 7, "is shorter than 16 bytes"),
    ('"0123456789abcdef"', "has quotes around it"),
    ("'0123456789abcdef'", "has quotes around it"),
    ('""', "has quotes around it"),
    ('"', "is shorter than 16 bytes"),
    ("YOUR_SECRET", "is still a placeholder"),
    ("your-widget-secret", "is still a placeholder"),
    ("<your widget secret>", "is still a placeholder"),
    ("[YOUR SECRET HERE]", "is still a placeholder"),
    ("Change me, please!", "is still a placeholder"),
    ("changeme-changeme", "is still a placeholder"),
    ("change_me_change_me", "is still a placeholder"),
    ("replace-with-the-secret", "is still a placeholder"),
    ("REPLACE_ME_REPLACE_ME", "is still a placeholder"),
    ("insert secret here", "is still a placeholder"),
    ("paste_secret_here", "is still a placeholder"),
    (b"TODO: the widget's secret", "is still a placeholder"),
    ("${ENSORAS_WIDGET_SECRET}", "is still a placeholder"),
    ("$ENSORAS_SECRET_OF_MINE", "is still a placeholder"),
    ("%ENSORAS_SECRET_OF_MINE%", "is still a placeholder"),
    ("PUT_YOUR_SECRET_HERE", "is still a placeholder"),
    ("enter your widget secret", "is still a placeholder"),
    ("\ud800" * 20, "holds what is no character"),
    ("{{ ensoras_widget_secret }}", "is still a placeholder"),
    ("YourWidgetSecret", "is still a placeholder"),
    ("[YourWidgetSecret]", "is still a placeholder"),
    ("YOURSECRET", "is still a placeholder"),
    ("changeme", "is still a placeholder"),
    ("<the secret of acme>", "is still a placeholder"),
    ("<>", "is still a placeholder"),
    ("{}", "is still a placeholder"),
    ("$", "is shorter than 16 bytes"),
    ("*" * 32, "is still a placeholder"),
    (b"\xef\xbb\xbf0123456789abcdef", "holds a byte order mark"),
    ("0123456789abcdef".encode("utf-16"), "holds a byte order mark"),
    ("0123456789abcdef\n0123456789abcdef", "holds a byte order mark, a line break"),
    ("0123456789abcdef".encode("utf-16-be"), "holds a byte order mark"),
    *((f"0123456789abcdef{one}0", "another control character") for one in "\0\x1f\x7f"),
    (None, "must be text, not NoneType"),
    (1234567890123456, "must be text, not int"),
    (bytearray(OLD), "must be text, not bytearray"),
    ([OLD], "must be text, not list"),
]


HALF_OPEN = ["{}0123456789abcdef", "*0123456789abcdef"]
HALF_OPEN += [f"{one}0123456789abcdef" for one in "{<\"'"]
HALF_OPEN += [f"0123456789abcdef{one}" for one in "}>\"'0"]


class TestChecked:
    @pytest.mark.parametrize(("value", "cause"), REFUSED, ids=ascii)
    def test_refused(self, value: object, cause: str) -> None:
        """What no dashboard shows is refused: setting, cause, remedy, and never the value."""
        with pytest.raises(ConfigurationError) as caught:
            checked_secret(value)
        message = str(caught.value)
        assert message.startswith("ENSORAS_WIDGET_SECRET (keyword `secret`) ")
        assert cause in message
        assert "copy the widget secret from the Ensoras dashboard" in message
        if value and str(value).strip():
            assert str(value).strip() not in message

    @pytest.mark.parametrize(
        ("value", "signing"),
        [
            (OLD.decode(), OLD),
            (OLD, OLD),
            ("0123456789abcdef", b"0123456789abcdef"),
            ("é" * 8, "é".encode() * 8),
            ("\udce9" * 16, b"\xe9" * 16),  # as `os.environ` has bytes that are no UTF-8
            ("yourself-0123456789", b"yourself-0123456789"),
            ("insertion-0123456789", b"insertion-0123456789"),
            ("changes0123456789abcdef", b"changes0123456789abcdef"),
            ("6f70656e7373e5a1" * 4, b"6f70656e7373e5a1" * 4),
            ("\ufec0" * 6, b"\xef\xbb\x80" * 6),  # begins as a byte order mark does
            ("\u1eff" * 6, b"\xe1\xbb\xbf" * 6),  # and ends as one does
            ("topsecrettopsecret", b"topsecrettopsecret"),
            ("yourselfyourselfyour", b"yourselfyourselfyour"),
            *((one, one.encode()) for one in HALF_OPEN),
        ],
    )
    def test_accepted(self, value: str | bytes, signing: bytes) -> None:
        """The secret signs as its UTF-8 bytes, just as the dashboard shows it."""
        assert checked_secret(value) == signing

    def test_the_error_is_ours_and_a_value_error(self) -> None:
        """A site may catch it as either."""
        with pytest.raises(EnsorasError):
            checked_secret("")
        with pytest.raises(ValueError, match="ENSORAS_WIDGET_SECRET"):
            checked_secret("")


class TestEnvironment:
    @pytest.mark.parametrize(
        ("secret", "file", "expected"),
        [(None, None, None), (OLD, None, OLD), (None, NEW + b"\n", NEW)],
    )
    def test_it_gives_one_or_none(
        self,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
        secret: bytes | None,
        file: bytes | None,
        expected: bytes | None,
    ) -> None:
        """The secret itself, or the file that holds it."""
        if secret is not None:
            monkeypatch.setenv("ENSORAS_WIDGET_SECRET", secret.decode())
        if file is not None:
            path.write_bytes(file)
            monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", str(path))
        assert secret_from_environment() == expected

    def test_both(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would not be known which one is meant."""
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET", OLD.decode())
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", str(path))
        with pytest.raises(ConfigurationError, match="are both set"):
            secret_from_environment()


async def asynchronous(slug: str) -> bytes:
    return OLD


class Asynchronous:
    async def __call__(self, slug: str) -> bytes:
        return OLD


class TestSource:
    @pytest.mark.parametrize("form", [dict, OrderedDict, MappingProxyType])
    def test_mapping(self, form: Callable[[dict[str, Any]], Any]) -> None:
        """Several widgets: each slug its own secret, an unknown one none."""
        source = secret_source(form({"acme": OLD.decode(), "Other_2-x": NEW}))
        assert source("acme") == OLD
        assert source("Other_2-x") == NEW
        assert source("other_2-x") is None
        assert source("") is None

    @pytest.mark.parametrize(
        ("mapping", "cause"),
        [
            ({}, "is an empty mapping"),
            ({"acme": "short"}, "shorter than 16 bytes"),
            ({"acme": OLD, "other": None}, "must be text, not NoneType"),
            ({"acme": OLD, "two words": NEW}, "a key that is no slug"),
            ({"acme\n": OLD}, "a key that is no slug"),
            ({"": OLD}, "a key that is no slug"),
            ({7: OLD}, "a key that is no slug"),
            ({None: OLD}, "a key that is no slug"),
        ],
    )
    def test_wrong_mapping(self, mapping: dict[Any, Any], cause: str) -> None:
        """Every secret of a mapping is checked when the site starts."""
        with pytest.raises(ConfigurationError, match=cause) as caught:
            secret_source(mapping)
        assert "ENSORAS_WIDGET_SECRET" in str(caught.value)
        assert "secret of" not in str(caught.value)

    @pytest.mark.parametrize("slug", ["acme", "other"])
    def test_a_wrong_secret_in_a_mapping_is_named(self, slug: str) -> None:
        """With several widgets the message says whose secret it is."""
        secrets = {"acme": OLD, "other": NEW, slug: b"short"}
        with pytest.raises(ConfigurationError, match=rf"\b{slug}\b"):
            secret_source(secrets)

    def test_callable(self) -> None:
        """A callable is asked every time, with the slug; it is not called before."""
        asked = []

        def secret(slug: str) -> str | None:
            asked.append(slug)
            return OLD.decode() if slug == "acme" else None

        source = secret_source(secret)
        assert asked == []
        assert [source("acme"), source("other"), source("acme")] == [OLD, None, OLD]
        assert asked == ["acme", "other", "acme"]

    def test_a_file_is_not_looked_at_twice(self, path: Path) -> None:
        """What a file holds is checked when it is read, not for every page."""
        source = secret_from_file(path)
        assert secret_source(source) is source

    def test_a_callable_that_did_not_look_asynchronous(self) -> None:
        """Its coroutine is closed, so that Python does not warn of it."""
        with pytest.raises(ConfigurationError, match="must be text, not coroutine"):
            secret_source(lambda slug: asynchronous(slug))("acme")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "secret",
        [
            asynchronous,
            functools.partial(asynchronous, "acme"),
            Asynchronous(),
            Asynchronous().__call__,
        ],
    )
    def test_asynchronous_callable(self, secret: Any) -> None:
        """Nothing could await it under WSGI: refused when the site starts."""
        with pytest.raises(ConfigurationError, match=r"^ENSORAS_WIDGET_SECRET .* synchronous one"):
            secret_source(secret)

    def test_one_secret(self) -> None:
        """A plain secret is that of every slug that is asked for."""
        assert secret_source(OLD.decode())("acme") == OLD

    @pytest.mark.parametrize("secret", [7, [OLD], {OLD}, object()], ids=type)
    def test_nothing_else(self, secret: object) -> None:
        """Anything else is refused."""
        with pytest.raises(ConfigurationError, match="must be text"):
            secret_source(secret)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """Reading it would let every page wait."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="is no regular file"):
        secret_from_file(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["a\0b", b"/run/secret", 7], ids=ascii)
def test_what_is_no_path_is_refused(path: Any) -> None:
    """With the setting's name, and not with what Python says of it."""
    with pytest.raises(ConfigurationError, match="ENSORAS_WIDGET_SECRET_FILE must be the path"):
        secret_from_file(path)
