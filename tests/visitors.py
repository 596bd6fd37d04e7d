"""Visitors of a site behind a shared cache, each with cookies and a small cache of their own.

Each looks at every page that comes back: it must be the anonymous page, or the visitor's own.
"""

from __future__ import annotations

import base64
import http.client
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from adapters import identify_script
from cached_sites import EMAILS, page

PATIENCE = 60  # seconds until an answer that does not come is given up


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # lower-case names; of `Set-Cookie` the last
    body: bytes


@dataclass
class Visitor:
    """One browser, over one connection, at one site."""

    address: tuple[str, int]
    host: str
    cookies: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    by_password: bool = False  # HTTP Basic, with no cookie at all
    keeps_session: bool = False  # the host does not renew it at log-in and log-out
    statuses: Counter[str] = field(default_factory=Counter)  # what the cache said of each answer
    seen: Counter[str | None] = field(default_factory=Counter)  # whose pages came
    _connection: http.client.HTTPConnection | None = None
    _stored: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request, with this visitor's cookies, and take those of the answer."""
        fields = {"Host": self.host, "Accept": "text/html", **(headers or {})}
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.by_password and self.user:
            credentials = base64.b64encode(f"{self.user}:tea".encode()).decode()
            fields["Authorization"] = f"Basic {credentials}"
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        self._connection.request(method, path, body, fields)
        response = self._connection.getresponse()
        answer = Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                self._take_cookie(value)
        self.statuses[answer.headers.get("x-cache", "none")] += 1
        return answer

    def _take_cookie(self, value: str) -> None:
        pair, *attributes = (part.strip() for part in value.split(";"))
        name, _, content = pair.partition("=")
        if not content or "max-age=0" in map(str.lower, attributes):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Being somebody -------------------------------------------------------------------------

    def log_in(self, user: str) -> None:
        if not self.by_password:
            keep = "&keep=1" if self.keeps_session else ""
            assert self.ask("POST", f"/log-in?user={user}{keep}").status == 204
        self.user = user

    def log_out(self) -> None:
        if not self.by_password:
            keep = "?keep=1" if self.keeps_session else ""
            assert self.ask("POST", f"/log-out{keep}").status == 204
        self.user = None

    # Looking at pages -----------------------------------------------------------------------

    def view(self, path: str, *, again: bool = True) -> bytes:
        """Return the page that this browser shows: with `again` perhaps the one it has stored."""
        headers = {}
        stored = self._stored.get(path) if again else None
        if stored is not None:
            headers = stored[0]
        answer = self.ask("GET", path, headers=headers)
        if answer.status == 304 and stored is not None:
            return stored[1]
        assert answer.status == 200, answer
        if "no-store" not in answer.headers.get("cache-control", ""):
            validators = [("if-none-match", "etag"), ("if-modified-since", "last-modified")]
            self._stored[path] = (
                {ask: answer.headers[told] for ask, told in validators if told in answer.headers},
                answer.body,
            )
        return answer.body


def problem_of(visitor: Visitor, path: str, *, must_be_identified: bool, **view: bool) -> list[str]:
    """Let the visitor look at a page; return what is wrong with what is shown, if anything."""
    shown = whose(visitor.view(path, **view), path)
    visitor.seen[shown] += 1
    if shown == visitor.user or (shown is None and not must_be_identified):
        return []
    who, of = visitor.user or "nobody", shown or "nobody"
    return [f"{visitor.host}{path}: {who} is shown the page of {of}"]


def whose(body: bytes, path: str) -> str | None:
    """Return whose page it is; `None` for an anonymous one. Another page is "a stranger"."""
    path = "/" + path.split("/", 3)[3] if path.startswith("/without/") else path
    for user, email in [(None, None), *EMAILS.items()]:
        script = identify_script(email) if email else b""
        if body == page(path.partition("?")[0], script):
            return user
    return "a stranger"


# --- At the example shops ---------------------------------------------------------------------


def submit(visitor: Visitor, path: str, *, page: str, **form: str) -> None:
    """Post what the form on `page` would, the hidden CSRF token of Django included."""
    token = re.search(rb'name="(csrfmiddlewaretoken)" value="(\w+)"', visitor.ask("GET", page).body)
    hidden = {token[1].decode(): token[2].decode()} if token else {}
    body = urlencode(hidden | form).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = visitor.ask("POST", path, body=body, headers=kind)
    assert answer.status in (302, 303), answer


def identified(body: bytes) -> list[str]:
    """Return as whom a page identifies its visitor; whatever looks like a hash must be theirs."""
    users = [user for user, email in EMAILS.items() if identify_script(email) in body]
    assert len(re.findall(rb"\b[0-9a-f]{64}\b", body)) == len(users), body
    return users


# --- Many at once ----------------------------------------------------------------------------


def visits(
    visitor: Visitor,
    paths: Iterable[str],
    users: Sequence[str],
    chance: random.Random,
    *,
    must_be_identified: bool,
) -> list[str]:
    """Look at these pages, logging in as one of the users and out again in between.

    Return what was wrong with what the visitor was shown.
    """
    problems: list[str] = []
    must = must_be_identified and not (visitor.by_password or visitor.keeps_session)
    for path in paths:
        if users and chance.random() < 0.15:
            if visitor.user is None:
                visitor.log_in(chance.choice(users))
            else:
                visitor.log_out()
        if chance.random() < 0.15:
            answer = visitor.ask("HEAD", path)
            if answer.status != 200 or answer.body:
                problems.append(f"{visitor.host}{path}: HEAD is answered {answer}")
        else:
            again = chance.random() < 0.5
            problems += problem_of(visitor, path, must_be_identified=must, again=again)
    return problems


def all_at_once(tasks: Sequence[Callable[[], list[str]]]) -> list[str]:
    """Run every task in a thread of its own, from one moment on; return what they return."""
    results: list[str] = []
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], list[str]]) -> None:
        start.wait()
        try:
            results.extend(task())
        except Exception as error:
            results.append(repr(error))

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
