"""Chromium runs the widget that we write, once and told who is there; all else is as without us.

Each page is loaded without the middleware, with it, and with it in one more way: as a stream, or by
a visitor who is not logged in. `tests/test_embed_csp.py` has more policies, without a browser.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import ALICE, IDENTIFY, Document, Site, Visit, Visitor, chromium

pytestmark = pytest.mark.browser

OWN = "<script>steps.push(document.querySelectorAll('p').length)</script>"
DOCUMENTS = {
    "a page": "<!doctype html><head><title>t</title></head>\n<body><p>x</p>\n</body>\n</html>\n",
    "text on both sides": "<!doctype html><p>one</body>two",
    "own scripts": f"<!doctype html><p>x{OWN}<p>y</body>{OWN}",
    "own names": "<body><script>var Ensoras = 1</script><p>x</body>",
    "a decoy in a script": "<script>steps.push('</body>')</script><p>x</body>",
    "a decoy in a comment": "<!-- </body> --><p>x</body>",
    "a decoy in a value": "<p title='</body>'>x</p></body>",
    "in the head": "<!doctype html><title>t</title></body>",
    "in a table": "<!doctype html><table><tr><td>x</body>y</table>",
    "in links and bold text": "<p><b><a href=x>one</body>two",
    "two of them": "<p>x</body><p>y</body>",
    "behind icons": "<svg viewBox='0 0 1 1'><path d='M0 0'/></svg><p>x</body>",
    "in quirks mode, handlers": "<body onload=\"steps.push('load')\"><p style='color:red'>x</BODY>",
}
UNTOUCHED = {
    "a fragment": "<p>x",
    "a decoy alone": "<p>x<script>steps.push('</body>')</script>",
    "in a template": "<p>x<template></body></template>",
    "in svg": "<p>x<svg></body></svg>",
}
NONCED = "<!doctype html><p>x<script nonce=abc>steps.push('nonced')</script></body>"
# The enforced policies, those that report only, and whether the widget may run.
POLICIES: dict[str, tuple[list[str], list[str], bool]] = {
    "hosts": (["script-src 'self' {O}"], [], True),
    "hosts for everything": (["default-src 'self' {O}"], [], True),
    "schemes": (["script-src http:"], [], True),
    "any port": (["script-src localhost:*"], [], True),
    "a path": (["script-src {O}/cdn/v1/"], [], True),
    "nonce": (["script-src 'nonce-abc'"], [], True),
    "strict": (["script-src 'nonce-abc' 'strict-dynamic'"], [], True),
    "types": (["require-trusted-types-for 'script'; script-src 'nonce-abc'"], [], True),
    "nonce, and hosts": (["script-src 'nonce-abc'", "script-src {O} 'unsafe-inline'"], [], True),
    "inline": (["script-src 'unsafe-inline' {O}"], [], True),
    "nonce, reported": (["img-src *"], ["script-src 'nonce-abc'"], True),
    "other hosts": (["script-src 'self'"], [], False),
    "another path": (["script-src {O}/cdn"], [], False),
    "another port": (["script-src localhost"], [], False),
    "strict without a nonce": (["script-src 'strict-dynamic' {O}"], [], False),
    "nonce, and other hosts": (["script-src 'nonce-abc'", "script-src 'self'"], [], False),
    "a sandbox": (["sandbox allow-same-origin"], [], False),
}  # fmt: skip


class Host:
    """Loads one page without the middleware, and in two ways with it."""

    def __init__(self, site: Site, bare: Visitor, ours: Visitor) -> None:
        self.site, self._bare, self._ours = site, bare, ours
        self._numbers = itertools.count()

    def load(self, body: bytes, *fields: tuple[str, str], stream: bool = False) -> list[Visit]:
        """Load it without us, logged in, and as a stream or anonymously."""
        number = next(self._numbers)
        cut = body.find(b"</body") + 3 if stream else len(body)  # in an end tag, if there is one
        chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
        paths = [f"/{number}", f"/{number}/stream" if stream else f"/anonymous/{number}"]
        for path, document in zip(paths, ([body], chunks), strict=True):
            self.site.pages[path] = Document(document, list(fields))
        return [self._bare.visit(paths[0]), *(self._ours.visit(path) for path in paths)]

    def tree(self, visit: Visit) -> Any:
        return without_widget(visit.tree, f"{self.site.widget_origin}/")


def without_widget(tree: Any, origin: str) -> Any:
    """Return the tree without the widget's script, which has parted the text around it."""
    *own, branches = tree
    kept: list[Any] = []
    for key, child in branches:
        if child[0] == "SCRIPT" and any(one.startswith(origin) for one in child[2] or ()):
            continue
        child = without_widget(child, origin)
        if kept and child[0] == kept[-1][1][0] == "#text":
            before = kept.pop()[1]
            child = (child[0], before[1] + child[1], *child[2:])
        kept.append((key, child))
    return (*own, kept)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    def get_email(connection: Any) -> str | None:
        return None if connection.url.path.startswith("/anonymous") else ALICE

    site = Site(tells=False, embed=True, get_email=get_email)
    with chromium() as browser, site.running():
        bare, ours = (Visitor(browser, site, bare=bare) for bare in (True, False))
        yield Host(site, bare, ours)


def check(host: Host, visits: list[Visit], *, runs: bool) -> None:
    """Compare the visits with the one without us."""
    bare, *ours = visits
    assert bare.runs == []
    for visit in ours:
        told = [] if "/anonymous/" in visit.url else [IDENTIFY]
        assert visit.runs == ([told] if runs else [])
        assert visit.left_scripts == 0
        assert visit.steps == bare.steps
        assert visit.violations == bare.violations == []
        assert visit.errors == bare.errors
        assert (visit.text, visit.title, visit.mode) == (bare.text, bare.title, bare.mode)
        assert host.tree(visit) == host.tree(bare)


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_document(host: Host, text: str) -> None:
    """The widget runs once, and finds the identity in its queue."""
    check(host, host.load(text.encode(), stream=True), runs=True)


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED)
def test_untouched(host: Host, text: str) -> None:
    """Without an end of the body the page leaves as it is."""
    visits = host.load(text.encode(), stream=True)
    check(host, visits, runs=False)
    assert {visit.body for visit in visits} == {text.encode()}


@pytest.mark.parametrize(("enforced", "reported", "runs"), POLICIES.values(), ids=POLICIES)
def test_policy(host: Host, enforced: list[str], reported: list[str], runs: bool) -> None:
    """It is written where it runs, and nowhere else; nothing of ours is reported."""
    body = NONCED if "'nonce-abc'" in enforced[0] + "".join(reported) else "<p>x</body>"
    name = "Content-Security-Policy"
    lines = [(name, line) for line in enforced]
    lines += [(f"{name}-Report-Only", line) for line in reported]
    lines = [(name, line.replace("{O}", host.site.widget_origin)) for name, line in lines]
    visits = host.load(body.encode(), *lines)
    if "self" in "".join(enforced) and body is NONCED:  # the page's own script is blocked already
        for visit in visits:
            assert len(visit.violations) == 1
            visit.violations.clear()
            visit.errors.clear()
    check(host, visits, runs=runs)
    assert runs or {visit.body for visit in visits} == {body.encode()}
