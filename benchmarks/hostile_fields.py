"""Hostile header fields, addresses, secrets: what else of a request or an answer may be long.

Each is repeated up to any size, as the pages of `hostile` are.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import subject
from ensoras_middleware import secret_from_file
from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.caching import Fields
from ensoras_middleware.eligibility import Request, hides_preconditions
from ensoras_middleware.endpoint import IdentityResponse
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.identity import canonical_email
from ensoras_middleware.injection import Injection

Read = Callable[[], object]


class Step(NamedTuple):
    """What reads some input; when it has, so many bytes have been read."""

    size: int
    read: Read


@dataclass(frozen=True, slots=True)
class Input:
    """Makes hostile input of any size: `before`, and `unit` as often as it takes.

    `%d` in it is a number that is another one each time. `given` takes the whole, and returns what
    reads it.
    """

    state: str
    before: str
    unit: str
    given: Callable[[str], Read]

    @property
    def name(self) -> str:
        """Return where the input stands, and what repeats in it."""
        return f"{self.state}: {self.before + self.unit!r}"

    def whole(self, size: int) -> Step:
        """Return what reads so many bytes of it, but for a part of the unit."""
        text = self.before + repeated(self.unit, size - len(self.before))
        return Step(len(text), self.given(text))


def repeated(unit: str, size: int) -> str:
    """Return a text as often as it fits into a size, with a number in place of each `%d`."""
    if "%d" not in unit:
        return unit * max(size // len(unit), 1)
    units = (unit.replace("%d", f"{index:07}") for index in itertools.count())
    return "".join(itertools.islice(units, size // (len(unit) + 5)))


# Answers ----------------------------------------------------------------------------------------

_PAGE = b"<p>" + subject.TAG + b"</body>"
_HTML = ("Content-Type", "text/html")


def _answered(fields: Fields) -> None:
    for widget in (subject.WIDGET, subject.EMBEDDING):
        make = partial(Injection, widget, subject.REQUEST, 200, fields)
        subject.answered(make(), _PAGE, subject.EMAIL)
        subject.answered(make(), b"</body>", subject.EMAIL)
        stream = make()
        stream.user_is(subject.EMAIL)
        stream.start_stream()


def _field(name: str) -> Callable[[str], Read]:
    return lambda value: partial(_answered, [_HTML, (name, value)])


def _fields(text: str) -> Read:
    fields = [(name, value) for name, _, value in (one.partition(":") for one in text.split("\n"))]
    return partial(_answered, [_HTML, *fields])


# Requests ---------------------------------------------------------------------------------------


async def _site(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _PAGE})


async def _send(message: Any) -> None:
    pass


_ASGI: Any = EnsorasMiddleware(_site, **subject.OPTIONS, get_email=lambda connection: subject.EMAIL)
_REQUEST = [(b"accept", b"text/html"), (b"cookie", b"session=1"), (b"if-none-match", b'"a"')]


def _request(text: str) -> Read:
    pairs = (one.encode().partition(b":") for one in text.split("\n"))
    headers = [*_REQUEST, *((name, value) for name, _, value in pairs)]

    def request() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
        with contextlib.suppress(StopIteration):  # nothing here waits
            _ASGI(scope, None, _send).send(None)

    return request


def _path(path: str) -> Read:
    return partial(
        hides_preconditions, subject.WIDGET, Request("GET", path, subject.REQUEST.header)
    )


def _query(query: str) -> Read:
    request = Request("GET", "/", {"sec-fetch-site": "same-origin"}.get)
    return partial(IdentityResponse, subject.OF_ANY_BRAND, request, query)


# What the site itself gives ---------------------------------------------------------------------


def _email(email: str) -> Read:
    return lambda: [canonical_email(one) for one in (email, f"{email}@b.example", f"a@{email}")]


def _secret_file(text: str) -> Read:
    path = Path(tempfile.mkdtemp()) / "secret"

    def read() -> None:
        path.write_text(text)
        with contextlib.suppress(ConfigurationError):
            secret_from_file(path)("acme")

    return read


_POLICY = "Content-Security-Policy"
_POLICIES = [
    ("script-src", " "), ("script-src ", "s%d.example.com "), ("script-src ", "'none' "),
    ("script-src ", "'sha256-%d=' "), ("script-src ", "'nonce-%d' "), ("", "directive%d 'self'; "),
    ("default-src ", "s%d.example.com "), ("", "script-src 'nonce-a',"), ("default-src a", ";"),
    ("", "default-src 'self',"), ("script-src ", "a.b"), ("script-src ", "app.ensoras.com/"),
    ("sandbox ", "allow-scripts "), ("script-src 'self' 'nonce-a", "="),
]  # fmt: skip
_FIELDS = [
    "Set-Cookie:a=b\n", f"{_POLICY}-Report-Only:default-src a\n", "Vary:a\n",
    "Cache-Control:no-transform\n", "Surrogate-Control:content=a\n",
    f"{_POLICY}:script-src 'nonce-%d'\n",
    "Content-Length:1\n", "Content-Type:text/html\n", "X-%d:\n",
]  # fmt: skip
_TYPES = [
    ("text/html; charset=", " "), ("text/html", "; charset"), ("text/html;", " "), ("", " "),
    ("text/html; charset", " "), ("text/html; charset='", " "), ("text/html; charset=", "a"),
]  # fmt: skip
_REQUESTS = ["if-none-match:%d\n", "if-none-match:a\n", "x-%d:a\n", "cookie:a=b\n", "accept:a\n"]
_SECRETS = [
    ("", "a"), ("", " "), ("", "*"), ("", "!"), ("your", "a"), ("your", "-"), ("", "\n"),
    ("<", ">"), ("${", "}"), ("", "put_"), ("!your", "secret"), ("a", "\0"),
]  # fmt: skip

INPUTS = [
    *(Input("policy", before, unit, _field(_POLICY)) for before, unit in _POLICIES),
    Input("policy, reported", "script-src 'none'", " ", _field(f"{_POLICY}-Report-Only")),
    *(Input("header fields", "", unit, _fields) for unit in _FIELDS),
    Input("Vary", "", "field%d, ", _field("Vary")),
    Input("Vary", "", ",", _field("Vary")),
    Input("Cache-Control", "", "a, ", _field("Cache-Control")),
    Input("Surrogate-Control", "", "content=a, ", _field("Surrogate-Control")),
    *(Input("Content-Type", before, unit, _field("Content-Type")) for before, unit in _TYPES),
    *(Input("request", "", unit, _request) for unit in _REQUESTS),
    *(Input("path", "/", unit, _path) for unit in ["a", "/", ".", ".tgz", ":"]),
    *(Input("query", "", unit, _query) for unit in ["slug=a&", "a&", "%41", "slug=", "&", "+"]),
    *(Input("e-mail", "", unit, _email) for unit in ["a", " ", "@", "a@", ".", "K"]),
    *(Input("secret", before, unit, _secret_file) for before, unit in _SECRETS),
]
