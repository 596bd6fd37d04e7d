"""Under which Content Security Policies the widget is written, and with which nonce.

`tests/test_browser_embed.py` shows a part of this to a browser.
"""

from __future__ import annotations

import base64
import hashlib
import logging

import pytest
from adapters import ADAPTERS, ALICE, TAG, Host, identify_script, serve

from ensoras_middleware.csp import nonce_for_address
from ensoras_middleware.csp_sources import allow_address

ADDRESS = "https://app.ensoras.com/cdn/v1/widget/acme.js"
LOCAL = "http://localhost:8080/cdn/v1/widget/acme.js"
WIDGET = "https://app.ensoras.com"
PAGE = b"<!doctype html><title>Shop</title><body><p>Hello</p></body>"

# Source lists, for an https address, and for an http one of another port.
SOURCES = {
    "*": (True, True),
    "https:": (True, False),
    "HTTPS:": (True, False),
    "http:": (True, True),
    "ws:": (True, True),
    "wss:": (True, False),
    "data: blob:": (False, False),
    "app.ensoras.com": (True, False),
    "APP.Ensoras.com": (True, False),
    "https://app.ensoras.com": (True, False),
    "http://app.ensoras.com": (True, False),
    "wss://app.ensoras.com": (True, False),
    "ftp://app.ensoras.com": (False, False),
    "'self' x.example https://app.ensoras.com": (True, False),
    "*.ensoras.com": (True, False),
    "https://*.com": (True, False),
    "https://*": (True, False),
    "*.app.ensoras.com": (False, False),
    "ensoras.com": (False, False),
    "xapp.ensoras.com": (False, False),
    "app.ensoras.com.evil.example": (False, False),
    "*:*": (True, True),
    "*:8080": (False, True),
    "localhost": (False, False),
    "localhost:*": (False, True),
    "localhost:8080": (False, True),
    "http://localhost:8080": (False, True),
    "https://localhost:8080": (False, False),
    "app.ensoras.com:443": (True, False),
    "app.ensoras.com:*": (True, False),
    "app.ensoras.com:80": (False, False),
    "app.ensoras.com:8443": (False, False),
    "app.ensoras.com/": (True, False),
    "app.ensoras.com/cdn/": (True, False),
    "app.ensoras.com/cdn/v1/widget/acme.js": (True, False),
    "app.ensoras.com/%63dn/v1/widget/acme%2Ejs": (True, False),
    "app.ensoras.com/cdn/v1/widget/": (True, False),
    "app.ensoras.com/cdn": (False, False),
    "app.ensoras.com/CDN/": (False, False),
    "app.ensoras.com/cdn%2Fv1/": (False, False),
    "app.ensoras.com/cdn/v1/widget/acme.js/": (False, False),
    "app.ensoras.com/cdn/v1/widget/other.js": (False, False),
    "'self'": (False, False),
    "'none'": (False, False),
    "'unsafe-inline' 'unsafe-eval'": (False, False),
    "'https://app.ensoras.com'": (False, False),
    "https://": (False, False),
    "": (False, False),
}


@pytest.mark.parametrize(("sources", "allowed"), SOURCES.items(), ids=SOURCES)
def test_source_list(sources: str, allowed: tuple[bool, bool]) -> None:
    """An address matches by scheme, host, port and path (CSP Level 3, section 6.7.2.8)."""
    assert (
        allow_address(sources.split(), ADDRESS),
        allow_address(sources.split(), LOCAL),
    ) == allowed


@pytest.mark.parametrize(
    ("port", "allowed"), [("", True), (":80", True), (":79", False), (":81", False)]
)
def test_the_port_of_http(port: str, allowed: bool) -> None:
    """It is 80 where none is given."""
    assert allow_address([f"http://localhost{port}"], "http://localhost/x.js") is allowed


# The enforced policies, the report-only ones, and the nonce: "" for none, `None` where blocked.
Row = tuple[list[str], list[str], str | None]
POLICIES: dict[str, Row] = {
    "none": ([], [], ""),
    "nothing about scripts": (["img-src 'self'; script-src-attr 'none'"], [], ""),
    "hosts": ([f"script-src 'self' {WIDGET}"], [], ""),
    "hosts for everything": ([f"default-src {WIDGET}"], [], ""),
    "other hosts": (["script-src 'self'"], [], None),
    "other hosts for everything": (["default-src 'self'"], [], None),
    "elements": ([f"script-src-elem {WIDGET}; script-src 'none'"], [], ""),
    "elements of others": ([f"script-src-elem 'self'; script-src {WIDGET}"], [], None),
    "the first of a name counts": ([f"script-src 'self'; script-src {WIDGET}"], [], None),
    "nothing": (["default-src 'none'"], [], None),
    "'none' beside a host": ([f"script-src 'none' {WIDGET}"], [], ""),
    "nonce": (["script-src 'nonce-abc'"], [], "abc"),
    "nonce in capitals": (["Script-Src 'NONCE-aBc+/-_=='"], [], "aBc+/-_=="),
    "nonce beside hosts": ([f"script-src {WIDGET} 'nonce-abc'"], [], "abc"),
    "the first of two nonces": (["script-src 'nonce-a' 'nonce-b'"], [], "a"),
    "nonce of another directive": (["script-src 'self'; style-src 'nonce-abc'"], [], None),
    "nonce of a directive out of effect": (["script-src 'self'; default-src 'nonce-a'"], [], None),
    "no nonce": (["script-src 'nonce-' 'nonce-a!b' nonce-a 'nonce-\"'"], [], None),
    "strict-dynamic": (["script-src 'strict-dynamic' 'nonce-abc' https:"], [], "abc"),
    "strict-dynamic without a nonce": ([f"script-src 'Strict-Dynamic' {WIDGET}"], [], None),
    "hash": ([f"script-src 'sha256-abc' {WIDGET}"], [], ""),
    "two with a nonce": (["script-src 'nonce-abc'", "default-src 'nonce-abc'"], [], "abc"),
    "two with other nonces": (["script-src 'nonce-a'", "script-src 'nonce-b'"], [], None),
    "nonce with an odd name": (["script-src 'nonce-None'", "script-src 'nonce-b'"], [], None),
    "two with one in common": (["script-src 'nonce-a' 'nonce-b', script-src 'nonce-b'"], [], "b"),
    "nonce, and hosts": (["script-src 'nonce-abc'", f"script-src {WIDGET}"], [], "abc"),
    "nonce, and other hosts": (["script-src 'nonce-abc'", "script-src 'self'"], [], None),
    "reported alone": ([], ["script-src 'none'"], ""),
    "nonce, reported": ([], ["script-src 'nonce-abc'"], "abc"),
    "hosts, and a nonce reported": ([f"script-src {WIDGET}"], ["script-src 'nonce-abc'"], "abc"),
    "nonce, and nothing reported": (["script-src 'nonce-abc'"], ["script-src 'none'"], "abc"),
    "two, one reported": (["script-src 'nonce-a' 'nonce-b'"], ["script-src 'nonce-b'"], "b"),
    "a sandbox": (["sandbox allow-scripts allow-same-origin"], [], ""),
    "a sandbox without scripts": (["sandbox allow-same-origin"], [], None),
    "a sandbox without scripts, reported": ([], ["sandbox"], ""),
}  # fmt: skip


@pytest.mark.parametrize(("enforced", "reported", "nonce"), POLICIES.values(), ids=POLICIES)
def test_nonce(enforced: list[str], reported: list[str], nonce: str | None) -> None:
    """Every enforced policy must load the widget; the nonce avoids reports where it can."""
    fields = [("content-security-policy", line) for line in enforced]
    fields += [("Content-Security-Policy-Report-Only", line) for line in reported]
    assert nonce_for_address(fields, ADDRESS) == nonce


# Through every adapter ------------------------------------------------------------------------

SCRIPT = identify_script(ALICE).removeprefix(b"<script>").removesuffix(b"</script>")
HASH = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT).digest()).decode()}'"


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def page(policy: str, *, streamed: bool = False) -> Host:
    headers = [("Content-Type", "text/html"), ("Content-Security-Policy", policy)]
    return Host(PAGE, (PAGE[:20], PAGE[20:]) if streamed else None, headers=headers)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("user", [None, ALICE])
@pytest.mark.parametrize(
    ("policy", "nonce", "identified_policy"),
    [
        (f"script-src {WIDGET}", "", f"script-src {WIDGET} {HASH}"),
        (f"script-src 'unsafe-inline' {WIDGET}", "", f"script-src 'unsafe-inline' {WIDGET}"),
        ("script-src 'nonce-abc' 'strict-dynamic'", "abc", None),
    ],
)
def test_both_run(
    adapter: str,
    policy: str,
    nonce: str,
    identified_policy: str | None,
    user: str | None,
    streamed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both tags carry the nonce; without one our script's hash is added, and nothing else."""
    answer = serve(adapter, page(policy, streamed=streamed), user, embed=True).get()
    script = identify_script(user, nonce=nonce) if user else b""
    attribute = f' async defer nonce="{nonce}">' if nonce else " async defer>"
    tag = TAG.replace(b" async defer>", attribute.encode())
    assert answer.body == PAGE.replace(b"</body>", script + tag + b"</body>")
    if user is None:
        expected = policy
    elif identified_policy is None:  # a stream's policy leaves before it is known whose tag it is
        expected = f"{policy} {HASH}" if streamed else policy
    else:
        expected = identified_policy
    assert answer["Content-Security-Policy"] == expected
    assert caplog.records == []


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("user", [None, ALICE])
@pytest.mark.parametrize(
    "policy",
    ["script-src 'self'", "default-src 'self' 'strict-dynamic'", "sandbox allow-same-origin"],
)
def test_where_the_widget_cannot_run_it_is_not_written(
    adapter: str,
    policy: str,
    user: str | None,
    streamed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The page stays as it is, and one warning says what to add."""
    site = serve(adapter, page(policy, streamed=streamed), user, embed=True)
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        answers = [site.get(), site.get()]
    assert [answer.body for answer in answers] == [PAGE, PAGE]
    if not streamed:
        bare = serve(adapter, page(policy), enabled=False).get()
        assert sorted(answers[0].headers) == sorted(bare.headers)
    (record,) = caplog.records
    assert WIDGET in record.getMessage()
    assert "script-src" in record.getMessage()


def test_a_tag_of_the_page_is_not_ours_to_judge(
    adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is identified under any policy that runs scripts, as without `embed`."""
    body = PAGE.replace(b"</body>", TAG + b"</body>")
    host = Host(body, headers=page("script-src 'self'").headers)
    answer = serve(adapter, host, ALICE, embed=True).get()
    assert answer.body == body.replace(TAG, identify_script(ALICE) + TAG)
    assert serve(adapter, host, None, embed=True).get().body == body
    assert caplog.records == []
