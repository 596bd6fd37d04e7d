"""The Python blocks of `docs/`, run as they stand, and visitors who log in to what they make.

A block imports the site's own code from a package `shop`; here each test says what is in it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
from adapters import ALICE, BOB, PAGE, TAG, identify_script

DOCS = Path(__file__).parent.parent / "docs"
HALF = PAGE.index(TAG) + 10  # inside the widget tag
EMAILS = {"alice": ALICE, "bob": BOB}

_BLOCK_OR_HEADING = re.compile(r"^```python\n(.*?)^```$|^#+ ([^\n]+)$", re.MULTILINE | re.DOTALL)


class Recipes:
    """The blocks of one page, each under its heading."""

    def __init__(self, page: str) -> None:
        self._blocks: dict[tuple[str, int], str] = {}
        heading, number = "", 0
        for block, line in _BLOCK_OR_HEADING.findall((DOCS / page).read_text("utf-8")):
            if line:
                heading, number = line, 0
            else:
                self._blocks[heading, number] = block
                number += 1
        self.page = page
        self.names = set(self._blocks)

    def run(self, heading: str, number: int = 0, **modules: dict[str, Any]) -> SimpleNamespace:
        """Run a block with these modules in the package `shop`; return the names that it makes."""
        names: dict[str, Any] = {"__name__": "shop.main"}
        added = {"shop": ModuleType("shop")}
        for name, content in modules.items():
            added[f"shop.{name}"] = module = ModuleType(f"shop.{name}")
            module.__dict__.update(content)
        assert not set(added) & set(sys.modules)
        sys.modules.update(added)
        try:
            code = compile(self._blocks[heading, number], self.page, "exec", dont_inherit=True)
            exec(code, names)
        finally:
            for name in added:
                del sys.modules[name]
        return SimpleNamespace(**names)


class Visitor:
    """One browser at one ASGI or WSGI application, which keeps its cookies."""

    def __init__(self, app: Any, *, wsgi: bool = False, address: str = "127.0.0.1") -> None:
        self._app = app
        self._wsgi = wsgi
        self._address = address
        self.cookies = httpx.Cookies()

    def get(self, url: str, method: str = "GET", **options: Any) -> httpx.Response:
        """Ask for a path of the site, or for the whole address that a redirect gives."""
        if self._wsgi:
            response = self._by_wsgi(method, url, options)
        else:
            response = asyncio.run(self._by_asgi(method, url, options))
        assert response.status_code < 500
        return response

    def _settings(self) -> dict[str, Any]:
        fields = {"Accept": "text/html", "Accept-Encoding": "identity"}
        return {"base_url": "https://shop.example.com", "cookies": self.cookies, "headers": fields}

    def _by_wsgi(self, method: str, url: str, options: Any) -> httpx.Response:
        transport = httpx.WSGITransport(self._app, remote_addr=self._address)
        with httpx.Client(transport=transport, **self._settings()) as client:
            response = client.request(method, url, **options)
            self.cookies = client.cookies
        return response

    async def _by_asgi(self, method: str, url: str, options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, client=(self._address, 1))
        async with httpx.AsyncClient(transport=transport, **self._settings()) as client:
            response = await client.request(method, url, **options)
            self.cookies = client.cookies
        return response

    def seen(self, path: str = "/", **headers: str) -> str | None:
        """Return as whom a page identifies this visitor; it must be the page in any case."""
        return whose(self.get(path, headers=headers).content)


def whose(body: bytes) -> str | None:
    for user, email in [(None, None), *EMAILS.items()]:
        if body == PAGE.replace(TAG, (identify_script(email) if email else b"") + TAG):
            return user
    raise AssertionError(body)


def log_in(visitor: Visitor, user: str) -> None:
    assert visitor.get(f"/log-in?user={user}").is_success


def assert_log_in_counts(
    app: Any, log_in: Callable[[Visitor, str], object] = log_in, *, wsgi: bool = False
) -> None:
    """Whole and streamed pages are those of who is logged in, from log-in to log-out."""
    alice, bob, nobody = (Visitor(app, wsgi=wsgi) for _ in range(3))
    assert (alice.seen("/"), alice.seen("/stream")) == (None, None)
    log_in(alice, "alice")
    log_in(bob, "bob")
    for _ in range(2):
        assert (alice.seen("/"), alice.seen("/stream")) == ("alice", "alice")
        assert (bob.seen("/stream"), bob.seen("/")) == ("bob", "bob")
        assert (nobody.seen("/"), nobody.seen("/stream")) == (None, None)
    alice.get("/log-out")
    assert (alice.seen("/"), alice.seen("/stream")) == (None, None)
    assert bob.seen("/") == "bob"


def chunks() -> Iterator[bytes]:
    yield PAGE[:HALF]
    yield PAGE[HALF:]
