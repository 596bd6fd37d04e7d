"""Under every policy that lets the widget run the identify script runs too, and nothing else more.

Chromium loads each page without the middleware and with it, as a whole page and as a stream. The
page's own scripts, handlers and styles do the same both times, and the same violations are
reported: as events, and to the server that the policy names.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import csp_sites
import pytest
from chromium import (
    ALICE,
    HASH,
    IDENTIFY,
    Document,
    Reported,
    Site,
    Visit,
    Visitor,
    chromium,
)
from playwright.sync_api import Browser
from policies import ALWAYS, METAS, NEVER, NONCE, NONCED, POLICIES, Meta, Policy

from ensoras_middleware import Outcome
from ensoras_middleware.snippet import MARK

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><title>t</title>{meta}
<style>p {{ color: rgb(1, 2, 3) }}</style>
<script>steps.push('inline')</script>
<script nonce={nonce}>
  steps.push('nonced');
  try {{ eval("steps.push('evaluated')") }} catch {{ }}
  try {{ document.head.insertAdjacentHTML('beforeend', '<i>'); steps.push('written') }} catch {{ }}
</script>
<script>{hashed}</script>
<script src=own.js></script>
<p style="margin-top: 7px">text</p><button onclick="{handler}">b</button>
<!-- a stream ends its first chunk here -->
<script src="{origin}/cdn/v1/widget/acme.js"{attribute}></script>
<script>steps.push('late')</script>
"""
HASHED, HANDLER = "steps.push('hashed')", "steps.push('handler')"
WITH_NONCE = f" nonce={NONCE}"

THEN = """() => {
  document.querySelector('button, p').click();
  const style = getComputedStyle(document.querySelector('p'));
  steps.push(style.color, style.marginTop);
}"""


class Host:
    """Loads one page under a policy, without and with the middleware."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.site = site
        self._bare = Visitor(browser, site, bare=True)
        self._ours = Visitor(browser, site, bare=False)
        self._numbers = itertools.count()

    def load(
        self,
        fields: list[tuple[str, str]],
        *,
        ours: bool,
        stream: bool,
        attribute: str,
        meta: str = "",
    ) -> tuple[Visit, set[Reported]]:
        body = PAGE.format(
            meta=meta,
            nonce=NONCE,
            hashed=HASHED,
            handler=HANDLER,
            origin=self.site.widget_origin,
            attribute=attribute,
        ).encode()
        cut = body.index(b"-->") if stream else len(body)
        document = Document([chunk for chunk in (body[:cut], body[cut:]) if chunk], fields)
        path = f"/page-{next(self._numbers)}"  # so that no late report is taken for another's
        self.site.pages[path] = document
        visit = (self._ours if ours else self._bare).visit(path, THEN)
        expected = {_reported(one) for one in visit.violations if "report-uri" in one["policy"]}
        return visit, self.site.reports(path, expected)

    def fields(self, policy: Policy) -> list[tuple[str, str]]:
        name = "Content-Security-Policy"
        return [(name, self._reporting(line)) for line in policy.enforced] + [
            (f"{name}-Report-Only", self._reporting(line)) for line in policy.reported
        ]

    def _reporting(self, line: str) -> str:
        """Name our own server for reports in each policy of a line that has directives."""
        return ",".join(
            f"report-uri /reports; {one}" if one.strip("; ") and "report-to" not in one else one
            for one in self.policy(line).split(",")
        )

    def policy(self, text: str) -> str:
        for placeholder, source in (
            ("{O}", self.site.widget_origin),
            ("{N}", f"'nonce-{NONCE}'"),
            ("{H}", hash_of(HASHED)),
            ("{A}", hash_of(HANDLER)),
            ("{X}", hash_of("other").strip("'")),
            ("{Y}", "SHA384-" + "A" * 64),
        ):
            text = text.replace(placeholder, source)
        return text


def hash_of(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _reported(violation: dict[str, Any]) -> Reported:
    keys = ("directive", "blocked", "disposition", "sample", "line")
    return tuple(str(violation[key]) for key in keys)


def same_page(host: Visit, ours: Visit, *, scripted: bool = True) -> None:
    """The page shows, does and asks for the same.

    Without scripts Chromium may still fetch one ahead of time, or not, as it happens.
    """
    assert ours.steps == host.steps
    assert ours.tree == host.tree
    assert (ours.text, ours.title) == (host.text, host.title)
    if scripted:
        assert fetched(ours) == fetched(host)
    assert plain(ours.errors) == plain(host.errors)
    shown = repr((ours.tree, ours.text, ours.steps, ours.errors, ours.violations))
    assert ALICE not in shown
    assert HASH not in shown


def fetched(visit: Visit) -> list[str]:
    names = (url.rpartition("/")[2] for _, url in visit.requests)
    return sorted(name for name in names if "page-" not in name)


def fallbacks(visit: Visit) -> list[str]:
    """Return what governs all that has no directive of its own, styles too."""
    lines = [value for name, value in visit.fields.items() if "security-policy" in name]
    directives = re.split(r"[;,\n]", "\n".join(lines))
    return [one.strip() for one in directives if one.strip().lower().startswith("default-src")]


def plain(errors: list[str]) -> list[str]:
    """Leave out what the console says of violations: it quotes the policy. Events tell as much."""
    others = [
        one for one in errors if "ontent Security Policy" not in one and "fallback" not in one
    ]
    return [re.sub(r"/page-\d+", "/page", one) for one in others]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def host(browser: Browser) -> Iterator[Host]:
    with Site(tells=False).running() as site:
        yield Host(browser, site)


@pytest.mark.parametrize("attribute", ["", WITH_NONCE], ids=["no nonce", "nonce"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_policy(host: Host, policy: Policy, attribute: str) -> None:
    """Where the widget runs it is told who is there, and the page is as it was without us."""
    fields = host.fields(policy)
    without, reports = host.load(fields, ours=False, stream=False, attribute=attribute)
    runs = {ALWAYS: True, NONCED: attribute != "", NEVER: False}[policy.widget]
    assert without.runs == ([[]] if runs else [])

    for stream in (False, True):
        ours, our_reports = host.load(fields, ours=True, stream=stream, attribute=attribute)
        assert ours.runs == ([[IDENTIFY]] if runs else [])
        assert ours.left_scripts == 0
        assert sorted(map(_reported, ours.violations)) == sorted(map(_reported, without.violations))
        assert our_reports == reports
        assert fallbacks(ours) == fallbacks(without)
        same_page(without, ours)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("policy", "runs"),
    [
        ("sandbox allow-scripts", True),
        ("sandbox allow-scripts; script-src {O}", True),
        ("img-src *, SANDBOX Allow-Scripts allow-forms", True),
        ("sandbox allow-scripts; sandbox allow-scripts allow-same-origin", True),
        ("sandbox", False),
        ("sandbox allow-forms", False),
    ],
)
def test_sandbox_of_another_origin(host: Host, policy: str, runs: bool, stream: bool) -> None:
    """A page that its policy puts into an origin of its own, as hosted uploads are, gets nothing.

    The widget runs there where scripts may, for nobody.
    """
    fields = [("Content-Security-Policy", host.policy(policy))]
    without, _ = host.load(fields, ours=False, stream=stream, attribute="")
    ours, _ = host.load(fields, ours=True, stream=stream, attribute="")
    assert without.runs == ours.runs == ([[]] if runs else [])
    assert ours.outcome == Outcome.WITHHELD
    assert MARK not in ours.body
    assert ours.fields["content-security-policy"] == fields[0][1]
    same_page(without, ours, scripted=runs)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "policy", ["sandbox allow-same-origin", "Sandbox Allow-Same-Origin allow-forms; script-src *"]
)
def test_sandbox_without_scripts(host: Host, policy: str, stream: bool) -> None:
    """Where no script may run, no identity lies about in the page."""
    fields = [("Content-Security-Policy", policy)]
    without, _ = host.load(fields, ours=False, stream=stream, attribute="")
    ours, _ = host.load(fields, ours=True, stream=stream, attribute="")
    assert without.runs == ours.runs == []
    assert ours.outcome == Outcome.CSP_BLOCKED
    assert MARK not in ours.body
    same_page(without, ours, scripted=False)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("meta", METAS, ids=lambda meta: meta.name)
def test_policy_in_the_page(host: Host, meta: Meta, stream: bool) -> None:
    """A `meta` policy cannot be widened from outside.

    The identify script runs where the policy admits it as it stands. Elsewhere the widget runs for
    nobody, one more script is blocked, and all else is as it was.
    """
    fields = [("Content-Security-Policy", host.policy(line)) for line in meta.enforced]
    text = host.policy(meta.text)
    loads = [
        host.load(fields, ours=ours, stream=stream, attribute=meta.attribute, meta=text)[0]
        for ours in (False, True)
    ]
    without, ours = loads
    assert without.runs == ([[]] if meta.widget else [])
    call = [IDENTIFY] if meta.identified else []
    assert ours.runs == ([call] if meta.widget else [])
    assert (ours.queue or []) == call
    blocked = list(map(_reported, ours.violations))
    for one in map(_reported, without.violations):
        blocked.remove(one)
    assert len(blocked) == ours.left_scripts == (0 if meta.identified else 1)
    for directive, uri, disposition, sample, _ in blocked:
        assert (directive, uri, disposition) == ("script-src-elem", "inline", "enforce")
        assert sample == (MARK[:40].decode() if "report-sample" in text else "")
    same_page(without, ours)


# --- The packages that send policies ---------------------------------------------------------


@pytest.fixture(scope="module")
def packages_site(host: Host) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, csp_sites.__file__, host.site.widget_origin],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process:
        port = process.stdout.readline().strip()
        assert port, "the sites did not start: run tests/csp_sites.py by hand"
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="module")
def visitors(browser: Browser, host: Host, packages_site: str) -> list[Visitor]:
    return [Visitor(browser, host.site, bare=bare, origin=packages_site) for bare in (True, False)]


# Inside of the package we do not see its policy. A nonce in the widget tag is all that we need
# there; without one our script is blocked, and the violation is a new one.
@pytest.mark.parametrize("policy", csp_sites.POLICIES)
@pytest.mark.parametrize("order", csp_sites.ORDERS)
@pytest.mark.parametrize("package", csp_sites.packages())
def test_package(visitors: list[Visitor], package: str, order: str, policy: str) -> None:
    """In the recommended order each policy just works; in the wrong one nothing is broken."""
    reason = csp_sites.packages()[package]
    if reason is not None:
        pytest.skip(reason)
    without, ours = (one.visit(f"/{package}/{order}/{policy}/", THEN) for one in visitors)
    assert "content-security-policy" in ours.fields
    assert without.runs == [[]]
    assert "late" in without.steps or policy == "hosts"
    assert "inline" not in without.steps

    blocked = (order, policy) == ("wrong", "hosts")
    assert ours.runs == [[] if blocked else [IDENTIFY]]
    assert ours.left_scripts == blocked
    assert len(ours.violations) == len(without.violations) + blocked
    same_page(without, ours)
