"""What the command `check` says of caches, policies and transport: tables of pages."""

from __future__ import annotations

import base64
import hashlib

import pytest
from adapters import ALICE, BOB, PAGE, SECRET, TAG, identify_script
from check_pages import IDENTIFIED, KEY, OWN, answer, assert_told, told

from ensoras_middleware.check import caching, customers, policy, surroundings
from ensoras_middleware.check.answer import Answer, is_loopback, shown_address
from ensoras_middleware.check.html import meta_policies


class TestCaching:
    @pytest.mark.parametrize(
        ("field", "signs"),
        [
            (("Age", "0"), []),
            (("Age", "7"), ["Age"]),
            (("X-Cache", "HIT"), ["X-Cache"]),
            (("X-Cache", "Hit from cloudfront"), ["X-Cache"]),
            (("X-Cache", "TCP_HIT from a.example.com"), ["X-Cache"]),
            (("X-Cache", "MISS, HIT"), ["X-Cache"]),
            (("X-Cache", "Miss from cloudfront"), []),
            (("X-Cache", "HIT-FOR-PASS"), []),
            (("X-Cache-Status", "STALE"), ["X-Cache-Status"]),
            (("CF-Cache-Status", "HIT"), ["CF-Cache-Status"]),
            (("CF-Cache-Status", "REVALIDATED"), ["CF-Cache-Status"]),
            (("CF-Cache-Status", "DYNAMIC"), []),
            (("CF-Cache-Status", "BYPASS"), []),
            (("Cache-Status", "ExampleCache; hit; ttl=376"), ["Cache-Status"]),
            (("Cache-Status", "ExampleCache; fwd=uri-miss"), []),
            (("X-Varnish", "32770 32768"), ["X-Varnish"]),
            (("X-Varnish", "32770"), []),
            (("X-Other", "hit"), []),
        ],
    )
    def test_signs_of_a_shared_cache(self, field: tuple[str, str], signs: list[str]) -> None:
        assert caching.shared_cache_signs([field]) == signs

    def test_a_cache_that_may_be_inside(self) -> None:
        """One that counts ages is around the middleware; of another that is not known."""
        page = answer(IDENTIFIED, self.NO_STORE, ("Vary", "Cookie"), ("X-Cache", "hit"))
        (finding,) = [one for one in caching.caching(page) if one.title == "shared cache"]
        assert (finding.status.value, "x-cache" in finding.found.lower()) == ("note", True)

    NO_STORE = ("Cache-Control", "private, no-store, max-age=0")

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ([("Cache-Control", "private")], "may be stored"),
            ([("Cache-Control", "max-age=60")], "may be stored"),
            ([("Cache-Control", "public, no-store")], "may be stored"),
            ([], "may be stored"),
            ([NO_STORE, ("ETag", '"1"')], "has ETag,"),
            ([NO_STORE, ("Last-Modified", "x"), ("ETag", '"1"')], "has ETag, Last-Modified,"),
            ([NO_STORE, ("X-Accel-Expires", "60")], "has X-Accel-Expires,"),
            ([NO_STORE, ("CDN-Cache-Control", "max-age=60")], "has CDN-Cache-Control,"),
            ([NO_STORE, ("Surrogate-Control", "max-age=60")], "has Surrogate-Control,"),
            ([NO_STORE, ("Edge-Control", "max-age=60")], "has Edge-Control,"),
        ],
    )
    def test_identified_page(self, fields: list[tuple[str, str]], words: str) -> None:
        page = answer(IDENTIFIED, *fields)
        problems = [text for status, text in told(caching.caching(page)) if status == "problem"]
        assert len(problems) == 1
        assert words in problems[0]

    @pytest.mark.parametrize(
        "fields",
        [
            [NO_STORE],
            [("Cache-Control", "No-Store"), ("Expires", "0"), ("Accept-Ranges", "bytes")],
            [NO_STORE, ("Surrogate-Control", "no-store, content=ESI/1.0")],
            [NO_STORE, ("CDN-Cache-Control", "no-store")],
        ],
    )
    def test_what_is_safe(self, fields: list[tuple[str, str]]) -> None:
        statuses = {status for status, _ in told(caching.caching(answer(IDENTIFIED, *fields)))}
        assert statuses == {"ok"}

    def test_anonymous_page(self) -> None:
        """It may be cached, and come from a cache, but it varies."""
        fields = [("Cache-Control", "public, max-age=60"), ("ETag", '"1"'), ("Age", "7")]
        assert_told(caching.caching(answer(PAGE, *fields)), ("ok", "varies on `Cookie`"))
        page = Answer("anonymous", "", 200, [("Vary", "Accept-Encoding")], PAGE)
        assert_told(caching.caching(page), ("problem", "does not say `Vary: Cookie`"))
        page = Answer("anonymous", "", 200, [("Vary", "*")], PAGE)
        assert_told(caching.caching(page), ("ok", ""))
        assert_told(caching.caching(answer(b"<p>")))

    @pytest.mark.parametrize(
        ("status", "told_status"), [(None, "ok"), (200, "ok"), (304, "problem")]
    )
    def test_not_modified(self, status: int | None, told_status: str) -> None:
        assert caching.not_modified(status).status == told_status


OF_BOB = PAGE.replace(TAG, identify_script(BOB) + TAG)


class TestCustomers:
    @pytest.mark.parametrize(
        ("pages", "expected"),
        [
            ([("customer", IDENTIFIED), ("anonymous", PAGE)], ("ok", "the customer and")),
            ([("customer", IDENTIFIED), ("second customer", OF_BOB), ("anonymous", PAGE)],
             ("ok", "each of two customers")),
            ([("customer", IDENTIFIED), ("anonymous", IDENTIFIED)], ("problem", "An anonymous")),
            ([("customer", IDENTIFIED), ("anonymous", PAGE), ("customer", PAGE)],
             ("problem", "The customer does not get the same identity each time.")),
            ([("customer", IDENTIFIED), ("second customer", IDENTIFIED)],
             ("problem", "of one customer")),
            ([("customer", IDENTIFIED), ("second customer", OF_BOB), ("customer", OF_BOB)],
             ("problem", "The customer does not get the same")),
            ([("customer", IDENTIFIED), ("second customer", OF_BOB), ("anonymous", OF_BOB)],
             ("problem", "An anonymous visitor")),
        ],
    )  # fmt: skip
    def test_table(self, pages: list[tuple[str, bytes]], expected: tuple[str, str]) -> None:
        answers = [answer(body, visitor=visitor) for visitor, body in pages]
        assert_told(customers.not_mixed(answers), expected)

    def test_nobody_to_mix(self) -> None:
        """A page that identifies nobody proves nothing, and nothing is said."""
        assert_told(customers.not_mixed([answer(PAGE), answer(PAGE, visitor="anonymous")]))


CSP = "Content-Security-Policy"
HOSTS = "script-src 'self' https://app.ensoras.com"
NONCE_TAG = TAG.replace(b"<script", b'<script nonce="R4nd0m"')
WITH_NONCE = PAGE.replace(TAG, identify_script(ALICE, nonce="R4nd0m") + NONCE_TAG)
SCRIPT = OWN.removeprefix(b"<script>").removesuffix(b"</script>")
OWN_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT).digest()).decode()}'"


def meta(policy: str) -> bytes:
    return f'<meta http-equiv="{CSP}" content="{policy}">'.encode()


class TestConnections:
    @pytest.mark.parametrize(
        ("policy_", "told_"),
        [
            ("script-src 'unsafe-inline' *", []),
            ("script-src 'unsafe-inline' *; connect-src *", []),
            ("script-src 'unsafe-inline' *; connect-src https://app.ensoras.com", []),
            ("script-src 'unsafe-inline' *; connect-src 'self'", ["note"]),
            ("script-src 'unsafe-inline' *; connect-src 'none'", ["note"]),
            ("default-src 'self'; script-src 'unsafe-inline' *", ["note"]),
            ("default-src 'self'; script-src 'unsafe-inline' *; connect-src *", []),
        ],
    )
    def test_the_widget_must_reach_its_server(self, policy_: str, told_: list[str]) -> None:
        """It talks to its origin, and a policy without it leaves the chat unverified."""
        findings = list(policy.policy(answer(IDENTIFIED, (CSP, policy_))))
        notes = [one for one in findings if "connect" in one.found]
        assert [one.status.value for one in notes] == told_
        assert all("https://app.ensoras.com to the sources" in one.remedy for one in notes)

    def test_no_widget_no_word(self) -> None:
        page = answer(b"<p>", (CSP, "script-src 'self'; connect-src 'self'"))
        assert list(policy.policy(page)) == []


class TestPolicy:
    @pytest.mark.parametrize(
        ("body", "field", "expected"),
        [
            (IDENTIFIED, ("X", "y"), [("ok", "There is none")]),
            (IDENTIFIED, (CSP, f"{HOSTS} {OWN_HASH}"), [("ok", "lets the widget and the")]),
            (IDENTIFIED, (CSP, f"{HOSTS} 'unsafe-inline'"), [("ok", "")]),
            (WITH_NONCE, (CSP, "script-src 'nonce-R4nd0m'"), [("ok", "")]),
            (IDENTIFIED, (CSP, HOSTS), [("problem", "blocks the identify script")]),
            (WITH_NONCE, (CSP, f"{HOSTS} 'nonce-other'"), [("problem", "the identify script")]),
            (IDENTIFIED, (CSP, f"script-src {OWN_HASH}"), [("problem", "blocks the widget")]),
            (IDENTIFIED, (CSP, "default-src 'self'"), [("problem", "script"), ("problem", "wid")]),
            (IDENTIFIED, (CSP, "script-src 'none'"), [("problem", "no script run at all")]),
            (PAGE, (CSP, HOSTS), [("ok", "lets the widget run")]),
            (PAGE.replace(b".com/", b".com:x/"), (CSP, HOSTS), [("ok", "")]),
            (IDENTIFIED, (f"{CSP}-Report-Only", HOSTS), [("note", "Before you enforce it: let")]),
            (meta(HOSTS) + IDENTIFIED, ("X", "y"), [("problem", "in the meta element blocks")]),
            (meta(f"{HOSTS} {OWN_HASH}") + IDENTIFIED, ("X", "y"), [("ok", "")]),
            (meta(HOSTS) + WITH_NONCE, (CSP, "img-src *"), [("problem", "in the meta element")]),
        ],
    )
    def test_table(
        self, body: bytes, field: tuple[str, str], expected: list[tuple[str, str]]
    ) -> None:
        assert_told(policy.policy(answer(body, field)), *expected)

    @pytest.mark.parametrize(
        ("body", "policies"),
        [
            (b"<head>%s</head>", ["P"]),
            (b"<title>x</title>%s<link>%s", ["P", "P"]),
            (b"<head></head>%s", []),
            (b"<body>%s", []),
            (b"<title>%s</title>", []),
            (b"<noscript>%s</noscript>", []),
            (b"<template>%s</template>", []),
            (b"<!-- %s --><script>'%s'</script>", []),
            (b"<![x %s", []),
        ],
    )
    def test_meta_elements(self, body: bytes, policies: list[str]) -> None:
        """Those count that browsers heed: in the head, and not in what is no markup."""
        page = body.replace(b"%s", b"<META Http-Equiv=content-security-policy CONTENT=P>")
        assert meta_policies(page) == policies

    def test_other_meta_elements(self) -> None:
        assert meta_policies(b"<meta charset=utf-8><meta http-equiv=refresh content=1>") == []


class TestSurroundings:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://shop.example.com/", ("ok", "https")),
            ("http://127.0.0.1:8000/", ("ok", "on this machine")),
            ("http://shop.localhost/", ("ok", "on this machine")),
            ("http://[::1]/", ("ok", "on this machine")),
            ("http://shop.example.com/?k=v", ("problem", "http://shop.example.com/?… is not enc")),
        ],
    )
    def test_transport(self, url: str, expected: tuple[str, str]) -> None:
        assert_told(surroundings.transport(url, [answer(url=url)]), expected)

    def test_redirect_to_no_encryption(self) -> None:
        page = answer(url="http://shop.example.com/")
        found = surroundings.transport("https://shop.example.com/", [page])
        assert_told(found, ("problem", "http://shop.example.com/ is not encrypted"))

    def test_compression(self) -> None:
        assert surroundings.compression(answer()).found == "none"
        page = answer(IDENTIFIED, ("Content-Encoding", "br"))
        assert (
            surroundings.compression(page).found == "br, outside of the middleware, as it must be"
        )

    @pytest.mark.parametrize(
        "leaked",
        [
            "%s",
            "data-x='%s'",
            KEY.hex(),
            KEY.hex().upper(),
            base64.b64encode(KEY).decode(),
            base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        ],
    )
    def test_secret(self, leaked: str) -> None:
        """In the page or in a header field, written in one of the usual ways."""
        leaked = leaked.replace("%s", SECRET)
        for page in (answer(leaked.encode()), answer(PAGE, ("X-Config", leaked))):
            assert surroundings.secret_unseen(KEY, [answer(), page]).status == "problem"

    @pytest.mark.parametrize(
        ("secret", "leaked"),
        [
            (b"a secret/with+signs&so", b"a%20secret%2Fwith%2Bsigns%26so"),
            (b"a secret/with+signs&so", b"a+secret%2Fwith%2Bsigns%26so"),
            (b"a secret/with+signs&so", b"a secret/with+signs&amp;so"),
        ],
    )
    def test_secret_with_signs(self, secret: bytes, leaked: bytes) -> None:
        assert surroundings.secret_unseen(secret, [answer(b"<p>" + leaked)]).status == "problem"

    def test_no_secret(self) -> None:
        assert surroundings.secret_unseen(KEY, [answer(IDENTIFIED)]).status == "ok"
        assert surroundings.secret_unseen(None, [answer(KEY)]).status == "skipped"

    @pytest.mark.parametrize(
        ("host", "loopback"),
        [
            ("localhost", True),
            ("a.localhost", True),
            ("127.8.8.8", True),
            ("::1", True),
            ("10.0.0.1", False),
            ("localhost.example.com", False),
            ("127.0.0.1.example.com", False),
        ],
    )
    def test_loopback(self, host: str, loopback: bool) -> None:
        assert is_loopback(host) is loopback

    def test_shown_address(self) -> None:
        url = "https://user:word@shop.example.com:8443/a?token=x#y"
        assert shown_address(url) == "https://shop.example.com:8443/a?…"
