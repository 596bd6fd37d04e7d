"""What a Content-Security-Policy allows, asked directly; other tests see it in sites and browsers.

Source: CSP Level 3; the sections stand in `ensoras_middleware.csp`.
"""

from __future__ import annotations

import pytest

from ensoras_middleware import csp

HASH = "'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='"
ENFORCED = "Content-Security-Policy"
REPORT_ONLY = "Content-Security-Policy-Report-Only"
ADDRESS = "https://app.ensoras.com/cdn/v1/widget/acme.js"


def admitting(policy: str, nonce: str | None = None, name: str = ENFORCED) -> str:
    ((_, value),) = csp.admitting([(name, policy)], nonce=nonce, hash_source=HASH)
    return value


@pytest.mark.parametrize(
    "source",
    "'nonce-A' 'NONCE-azAZ09+/_-' 'nonce-a==' 'sha256-azAZ09+/_-=' 'sha384-a' 'SHA512-a==' "
    "'strict-dynamic' 'Strict-Dynamic'".split(),
)
def test_beside_what_unsafe_inline_is_ignored(source: str) -> None:
    """A browser needs the hash then."""
    for policy in (f"script-src 'unsafe-inline' {source}", f"script-src {source} 'Unsafe-Inline'"):
        assert admitting(policy) == f"{policy} {HASH}"


@pytest.mark.parametrize(
    "source",
    "'nonce-' 'nonce-a===' 'nonce-a!' 'nonce-a=b' 'noncea' nonce-a 'nonce-a 'sha1-a' 'sha256-' "
    "'sha256a' 'sha512-@' 'sha512-[' 'sha384-`' 'sha384-{' 'sha256-.' 'sha256-:' 'nonce-,"
    " 'strict-dynamic 'strictdynamic' 'unsafe-eval' a 'xsha256-a' 'sha256-ax "
    "'sha256-a'x 'nonce-a''".split(),
)
def test_beside_what_unsafe_inline_is_in_force(source: str) -> None:
    """A hash would switch off the site's other inline scripts."""
    policy = f"script-src 'unsafe-inline' {source}"
    assert admitting(policy).partition(",")[0] == policy.partition(",")[0]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", ""),
        (";", ";"),
        ("script-src", f"script-src {HASH}"),
        ("script-src 'none'", f"script-src {HASH}"),
        ("script-src \t\n\f\r 'NONE'; x", f"script-src {HASH}; x"),
        *((f"script-src{one}'none'", f"script-src {HASH}") for one in [*"\t\n\f\r ", "  "]),
        ("default-src a'none'", f"default-src a'none'; script-src a'none' {HASH}"),
        ("script-src 'none' 'report-sample'", f"script-src 'report-sample' {HASH}"),
        ("script-src 'report-sample'", f"script-src 'report-sample' {HASH}"),
        # Beside another source it means nothing, and stays.
        ("script-src a 'none'", f"script-src a 'none' {HASH}"),
        ("default-src 'none'", f"default-src 'none'; script-src {HASH}"),
        ("default-src Xx aX", f"default-src Xx aX; script-src Xx aX {HASH}"),
        ("script-src 'UNSAFE-INLINE'", "script-src 'UNSAFE-INLINE'"),
        ("script-src 'nonce-None'", f"script-src 'nonce-None' {HASH}"),
        ("default-src a ;; ", f"default-src a; script-src a {HASH}"),
        ("img-src a; default-src b; c", f"img-src a; default-src b; c; script-src b {HASH}"),
        (f"script-src a {HASH}", f"script-src a {HASH}"),
        ("\tScript-Src\fa ; b", f"\tScript-Src\fa {HASH}; b"),
        ("script-src-attr a; script-src b", f"script-src-attr a; script-src b {HASH}"),
        ("script-src a; script-src-elem b", f"script-src a; script-src-elem b {HASH}"),
        ("script-src-elem a; default-src b", f"script-src-elem a {HASH}; default-src b"),
        ("default-src a; script-src b", f"default-src a; script-src b {HASH}"),
        (
            "script-src a, img-src b,script-src c",
            f"script-src a {HASH}, img-src b,script-src c {HASH}",
        ),
        ("script-src a; script-src b", f"script-src a {HASH}; script-src b"),
        ("x-script-src a", "x-script-src a"),
    ],
)
def test_the_hash_is_appended_to_the_directive_in_effect(policy: str, expected: str) -> None:
    """All else stays as it is, byte for byte; a report-only policy gets the same."""
    assert admitting(policy) == expected
    assert admitting(policy, name=REPORT_ONLY.upper()) == expected
    assert admitting(policy, name="X-Content-Security-Policy") == policy


@pytest.mark.parametrize(
    ("source", "is_in_it"),
    [
        ("'nonce-Ab1'", True),
        ("'NONCE-Ab1'", True),
        ("'nonce-ab1'", False),
        ("'nonce-Ab12'", False),
        ("'nonce-Ab1", False),
        ("nonce-Ab1'", False),
        ("'sha256-Ab1'", False),
    ],
)
def test_the_tags_nonce(source: str, is_in_it: bool) -> None:
    """It counts in its own case, and whole."""
    policy = f"script-src {source}"
    fields = [(ENFORCED, policy)]
    assert csp.lets_inline_run(fields, nonce="Ab1", hash_source=HASH) is is_in_it
    assert admitting(policy, nonce="Ab1") == (policy if is_in_it else f"{policy} {HASH}")
    assert admitting(policy) == f"{policy} {HASH}"


@pytest.mark.parametrize(
    ("policy", "origin_of_its_own", "scripts"),
    [
        ("sandbox", True, False),
        ("SandBox allow-scripts", True, True),
        ("sandbox allow-same-origin", False, False),
        ("sandbox Allow-Same-Origin ALLOW-SCRIPTS", False, True),
        ("sandbox allow-scripts; sandbox allow-same-origin", True, True),
        ("script-src a; sandbox", True, False),
        ("script-src a, sandbox", True, False),
        ("script-src 'none'", False, False),
        ("script-src 'None' 'Report-Sample'", False, False),
        ("script-src", False, False),
        ("default-src 'none'", False, False),
        ("default-src 'none'; script-src a", False, True),
        ("script-src-elem 'none'; script-src a", False, False),
        ("script-src 'none' a", False, True),
        ("img-src 'none'", False, True),
        ("", False, True),
    ],
)
def test_what_no_page_with_an_identity_has(
    policy: str, origin_of_its_own: bool, scripts: bool
) -> None:
    """An origin of its own, or no script at all; a report-only policy blocks nothing."""
    fields = [("x", "y"), (ENFORCED.upper(), policy)]
    assert csp.withholds_origin(fields) is origin_of_its_own
    assert csp.lets_no_script_run(fields) is (not scripts)
    reported = [(REPORT_ONLY, policy)]
    assert not csp.withholds_origin(reported)
    assert not csp.lets_no_script_run(reported)


@pytest.mark.parametrize(
    ("policy", "connects"),
    [
        ("", True),
        ("script-src 'none'", True),
        ("connect-src https://app.ensoras.com", True),
        ("connect-src a", False),
        ("connect-src", False),
        ("default-src a", False),
        ("default-src *", True),
        ("default-src *; connect-src a", False),
        ("default-src a; Connect-Src *", True),
        ("connect-src *, connect-src a", False),
    ],
)
def test_what_scripts_connect_to(policy: str, connects: bool) -> None:
    """`connect-src`, else `default-src`, of every enforced policy."""
    assert csp.lets_connect([(ENFORCED, policy)], ADDRESS) is connects
    assert csp.lets_connect([(REPORT_ONLY, policy)], ADDRESS)


@pytest.mark.parametrize(
    ("name", "governs"),
    [(ENFORCED, True), (REPORT_ONLY, True), (ENFORCED.lower(), True), ("X-Policy", False)],
)
def test_whether_there_is_any_policy(name: str, governs: bool) -> None:
    assert csp.governs([("Content-Type", "text/html"), (name, "")]) is governs


@pytest.mark.parametrize(
    ("policy", "nonce", "loads"),
    [
        ("", None, True),
        ("script-src https:", None, True),
        ("script-src a", None, False),
        ("script-src 'nonce-Ab1'", None, False),
        ("script-src 'nonce-Ab1'", "Ab1", True),
        ("script-src 'nonce-Ab1'", "ab1", False),
        ("script-src https: 'strict-dynamic'", None, False),
        ("script-src https: 'Strict-Dynamic' 'nonce-Ab1'", "Ab1", True),
        ("script-src https:, script-src a", None, False),
    ],
)
def test_what_a_tag_loads(policy: str, nonce: str | None, loads: bool) -> None:
    """By its nonce or by its address, under every enforced policy."""
    assert csp.lets_load([(ENFORCED, policy)], ADDRESS, nonce) is loads
    assert csp.lets_load([(REPORT_ONLY, policy)], ADDRESS, nonce)
