"""Judges each reply: is it, byte for byte, what its own user must get, and is nobody else in it?"""

from __future__ import annotations

from collections import Counter

from soak.client import Ask, Reply
from soak.pages import RAISES, USERS, expected, identity_of, secret_number

# What may be wrong: with an answer, and with what a server has left when all have gone.
CROSSED, WRONG, BROKEN_OFF = "crossed", "wrong", "broken off"
LEFT_OPEN, LOGGED = "left open", "logged"

_CHECKED = (
    "content-type",
    "content-length",
    "content-security-policy",
    "cache-control",
    "etag",
    "vary",
)
_MOST_TOLD = 20


class Judge:
    """Knows what everybody must get, and remembers what was wrong."""

    def __init__(self, *, enabled: bool, loses_ends: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.told: list[str] = []  # the first of the wrongs
        self.secret = 0  # the number of the secret that is in use now
        self._enabled = enabled
        self._loses_ends = loses_ends  # the server, where a host breaks off
        self._error_page: bytes | None = None  # of the framework

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        if len(self.told) < _MOST_TOLD:
            self.told.append(f"{kind}: {what}")

    def judge(self, ask: Ask, reply: Reply, since: int, *, left: bool) -> None:
        """Judge the reply to what was asked when the secret had the number `since`.

        The client may have left before its end.
        """
        self.counts["answers"] += reply.complete
        # What a host sends before it breaks off arrives too; some servers make it a whole answer.
        is_whole = reply.complete or (ask.breaks_off and not left and not self._loses_ends)
        wrong = reply.malformed or self._wrong(ask, reply, since, is_whole=is_whole)
        if wrong:
            self.note(WRONG, f"{ask}: {wrong}")
        # A body that is what only this user may get, as far as it goes, holds nobody else.
        for stranger in self._strangers_in(ask, reply, with_body=bool(wrong)):
            self.note(CROSSED, f"{ask}: user {stranger}")
        if not (reply.complete or left or ask.breaks_off):
            self.note(BROKEN_OFF, f"{ask}: after {len(reply.body)} bytes")

    def _wrong(self, ask: Ask, reply: Reply, since: int, *, is_whole: bool) -> str:
        if not reply.status:
            return ""
        if ask.path == RAISES:
            return self._wrong_error_page(reply)
        secrets = range(since, self.secret + 1)
        wrongs = [self._wrong_by(ask, reply, one, is_whole=is_whole) for one in secrets]
        return wrongs[-1] if all(wrongs) else ""

    def _wrong_error_page(self, reply: Reply) -> str:
        """Return what is wrong with a page of the framework: it is the same for everybody."""
        if reply.complete and self._error_page is None:
            self._error_page = bytes(reply.body)
        same = not reply.complete or reply.body == self._error_page
        return "" if reply.status == 500 and same else f"status {reply.status}, {reply.body!r}"

    def _wrong_by(self, ask: Ask, reply: Reply, secret: int, *, is_whole: bool) -> str:
        must = expected(
            ask.method, ask.path, ask.user, secret_number(secret), enabled=self._enabled
        )
        if reply.status != must.status:
            return f"status {reply.status}"
        for name in _CHECKED:
            got = reply.value(name)
            if got != must.fields.get(name):
                return f"{name}: {got}"
        body = bytes(reply.body)
        is_right = body == must.body if is_whole else must.body.startswith(body)
        return "" if is_right else f"{len(reply.body)} bytes, not those of {len(must.body)}"

    def _strangers_in(self, ask: Ask, reply: Reply, *, with_body: bool) -> list[int]:
        text = repr(reply.fields).encode() + (bytes(reply.body) if with_body else b"")
        return [
            user
            for user in USERS
            if user != ask.user and any(one in text for one in self._marks_of(user))
        ]

    def _marks_of(self, user: int) -> list[bytes]:
        identities = [identity_of(user, secret_number(one)) for one in range(self.secret + 1)]
        return [identities[0].email.encode(), *[one.hash.encode() for one in identities]]
