"""What the command `check` says of widget tags, identify scripts and hashes: tables of pages."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG
from check_pages import HASH, IDENTIFIED, KEY, OWN, answer, assert_told, told

from ensoras_middleware import Identity, identity_hash
from ensoras_middleware.check import hashes, identify, tag
from ensoras_middleware.check.answer import Answer

EMPTY = b"<script>Ensoras('identify', {email: '', hash: ''})</script>"
UNREADABLE = b"<script>if (user) Ensoras('identify', user)</script>"
LOCAL = TAG.replace(b"https://app.ensoras.com", b"http://127.0.0.1:8400")


class TestWidgetTag:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (PAGE, ("ok", "`acme`, line 1")),
            (b"\n\n" + PAGE, ("ok", "line 3")),
            (PAGE + TAG, ("note", "line 1, 1, 2 times")),
            (PAGE + TAG.replace(b"acme", b"other"), ("problem", "The settings say `acme`")),
            (PAGE.replace(b"acme", b"other"), ("problem", "`other`")),
            (PAGE.replace(b"acme", b"YOUR_SLUG"), ("problem", "The settings say")),
            (PAGE.replace(TAG, LOCAL), ("note", "from http://127.0.0.1:8400, a stand-in")),
            (PAGE.replace(b"https:", b"http:"), ("problem", "without encryption")),
            (PAGE.replace(b"https:", b""), ("ok", "`acme`")),
            (PAGE.replace(b".com/", b".com:x/"), ("problem", "Its address is none")),
            (PAGE.replace(b"app.", b"[app."), ("problem", "Its address is none")),
            (PAGE.replace(TAG, b"<!--" + TAG + b"-->"), ("problem", "in a comment")),
            (PAGE.replace(TAG, b"<a title='" + TAG + b"'>"), ("problem", "in a comment")),
            (b"<svg><font>" + PAGE, ("problem", "browsers read differently")),
            (b"<p>Shop", ("problem", "The page has no widget tag.")),
            (b"<script src=//www.googletagmanager.com/gtm.js>", ("problem", "a tag manager;")),
        ],
    )
    def test_table(self, body: bytes, expected: tuple[str, str]) -> None:
        assert_told(tag.widget_tags(answer(body), SLUG), expected)

    def test_without_settings(self) -> None:
        """A slug is not known to be wrong; a placeholder is."""
        other, placeholder = (PAGE.replace(b"acme", one) for one in (b"other", b"YOUR_SLUG"))
        assert_told(tag.widget_tags(answer(other), None), ("ok", "`other`"))
        assert_told(tag.widget_tags(answer(placeholder), None), ("problem", "a placeholder"))
        assert_told(tag.widget_tags(answer(PAGE + TAG.replace(b"acme", b"x")), None), ("note", ""))

    def test_dangling(self) -> None:
        """It is told besides, for the tag itself is there."""
        body = PAGE.replace(b"async", b"a='<script' async")
        expected = ("ok", "`acme`"), ("problem", "An attribute of the widget tag holds")
        assert_told(tag.widget_tags(answer(body), SLUG), *expected)

    def test_doubt_behind_a_tag(self) -> None:
        """The tag that was found may not be the one that a browser finds."""
        expected = ("note", "2 times"), ("problem", "browsers read differently")
        body = PAGE + TAG + b"<svg><font>" + TAG
        assert_told(tag.widget_tags(answer(body), SLUG), *expected)

    def test_scheme_of_the_page(self) -> None:
        """A tag without a scheme has that of its page."""
        body = PAGE.replace(b"https:", b"")
        page = answer(body, url="http://shop.example.com/")
        assert_told(tag.widget_tags(page, SLUG), ("problem", "without encryption"))


class TestIdentified:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (IDENTIFIED, [("ok", "once, directly before")]),
            (IDENTIFIED.replace(TAG, b" \n" + TAG), [("ok", "once, directly before")]),
            (IDENTIFIED.replace(TAG, b"<i>" + TAG), [("note", "not directly")]),
            (PAGE + OWN, [("problem", "does not stand before")]),
            (OWN + IDENTIFIED, [("problem", "2 times")]),
            (IDENTIFIED + EMPTY, [("ok", "once"), ("problem", "empty hash")]),
            (IDENTIFIED + UNREADABLE, [("ok", "once"), ("problem", "beside the middleware")]),
            (UNREADABLE + PAGE, [("note", "cannot be read")]),
            (EMPTY + PAGE, [("problem", "empty hash")]),
            (PAGE, [("problem", "Is this customer logged in")]),
            (b"<p>", [("problem", "does not hold the address")]),
            (b"<!--" + PAGE, [("problem", "in a comment")]),
            (b"<svg><font>" + PAGE, [("problem", "broken")]),
            (PAGE.replace(b"async", b"a='<script' async"), [("problem", "unclosed quote")]),
        ],
    )
    def test_table(self, body: bytes, expected: list[tuple[str, str]]) -> None:
        assert_told(identify.identified(answer(body)), *expected)

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            (("Content-Disposition", "attachment"), "is a download"),
            (("Content-Type", "text/html; charset=utf-16"), "UTF-8"),
            (("Content-Security-Policy", "sandbox"), "its policy sandboxes it"),
            (("Content-Security-Policy", "script-src 'none'"), "lets no script run"),
            (("X-Ensoras-Outcome", "unverified"), "See its outcome, `unverified`"),
            (("X-Ensoras-Outcome", "identified"), "something behind it takes the script out"),
            (("X-Ensoras-Outcome", "\x1b[31m"), "Is this customer logged in"),
            (("Vary", "Cookie"), "Is this customer logged in"),
        ],
    )
    def test_why_not(self, field: tuple[str, str], words: str) -> None:
        """The header fields tell, where the page does not."""
        assert_told(identify.identified(answer(PAGE, field)), ("problem", words))

    def test_without_a_trace_of_the_middleware(self) -> None:
        page = Answer("customer", "https://shop.example.com/", 200, [], PAGE)
        found = told(identify.identified(page))
        assert "is not `text/html`" in found[0][1]
        page = Answer("customer", page.url, 200, [("Content-Type", "text/html")], PAGE)
        assert_told(identify.identified(page), ("problem", "It does not say `Vary: Cookie`"))

    def test_compression_inside(self) -> None:
        """Identified without compression, and not with it: that is the order."""
        page = answer(PAGE, ("Content-Encoding", "gzip"))
        words = "Move the compressing middleware to the outside"
        assert_told(identify.identified(page, answer(IDENTIFIED)), ("problem", words))
        assert_told(identify.identified(page, answer(PAGE)), ("problem", "Is this customer"))

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (PAGE, ("ok", "nobody")),
            (IDENTIFIED, ("problem", "a…@example.com to everybody")),
            (EMPTY + PAGE, ("problem", "with an empty e-mail or hash")),
            (UNREADABLE + PAGE, ("note", "cannot be read here")),
        ],
    )
    def test_anonymous(self, body: bytes, expected: tuple[str, str]) -> None:
        assert_told(identify.anonymous(answer(body, visitor="anonymous")), expected)

    @pytest.mark.parametrize(
        ("visitor", "outcome", "status"),
        [
            ("customer", "identified", "ok"),
            ("customer", "streaming", "ok"),
            ("customer", "anonymous", "problem"),
            ("customer", "excluded", "problem"),
            ("anonymous", "anonymous", "ok"),
            ("anonymous", "identified", "problem"),
            ("anonymous", "no-widget", "problem"),
        ],
    )
    def test_outcome(self, visitor: str, outcome: str, status: str) -> None:
        page = answer(PAGE, ("x-ensoras-outcome", outcome), visitor=visitor)
        assert_told(identify.outcome(page), (status, f"`{outcome}`: "))

    def test_no_widget_beside_a_tag(self) -> None:
        """The page has a tag: then the settings are those of another."""
        page = answer(PAGE, ("x-ensoras-outcome", "no-widget"))
        (finding,) = identify.outcome(page)
        assert "https://app.ensoras.com/cdn/v1/widget/acme.js" in finding.found
        assert "ENSORAS_WIDGET_ORIGIN" in finding.remedy

    def test_a_blocked_tag_is_no_missing_one(self) -> None:
        """With `embed`: where the policy blocks the widget, it was not written."""
        page = answer(b"<p>", ("x-ensoras-outcome", "csp-blocked"))
        assert_told(tag.widget_tags(page, SLUG), ("problem", "Content-Security-Policy"))

    def test_the_slug_of_the_settings(self) -> None:
        """It stands in the tag that is to be copied."""
        (finding,) = tag.widget_tags(answer(b"<p>"), SLUG)
        assert "/widget/acme.js" in finding.remedy

    def test_no_outcome(self) -> None:
        """It is not there without `debug`; what is no outcome is not repeated."""
        assert_told(identify.outcome(answer()))
        assert_told(identify.outcome(answer(PAGE, ("X-Ensoras-Outcome", "\x1b[31m"))))


def signed(message: bytes | str, key: bytes = KEY, algorithm: str = "sha256") -> bytes:
    message = message.encode() if isinstance(message, str) else message
    return hmac.new(key, message, algorithm).digest()


HEX_SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
UPPER = "Alice@Example.com"


class TestHashes:
    @pytest.mark.parametrize(
        ("email", "hash", "secret", "mistake"),
        [
            (UPPER, signed(UPPER), SECRET, "not lower-cased before"),
            (ALICE, signed(ALICE, bytes.fromhex(HEX_SECRET)), HEX_SECRET, "decoded from hex"),
            (ALICE, signed(ALICE, base64.b64decode(HEX_SECRET)), HEX_SECRET, "from base64"),
            (ALICE, hashlib.sha256(ALICE.encode()).digest(), SECRET, "a plain SHA-256"),
            (ALICE, hashlib.sha256(KEY + ALICE.encode()).digest(), SECRET, "a plain SHA-256"),
            (ALICE, hashlib.sha256(ALICE.encode() + KEY).digest(), SECRET, "a plain SHA-256"),
            (UPPER, hashlib.sha256(UPPER.encode()).digest(), SECRET, "a plain SHA-256"),
            (ALICE, signed(ALICE, KEY + b"\n"), SECRET, "white space"),
            (ALICE, signed(ALICE, KEY + b"\r\n"), SECRET, "white space"),
            (ALICE, signed(ALICE, KEY + b" "), SECRET, "white space"),
            (ALICE, signed(ALICE, b" " + KEY), SECRET, "white space"),
            (ALICE, signed(ALICE, b"\xef\xbb\xbf" + KEY), SECRET, "byte order mark"),
            (ALICE, signed(ALICE, b'"' + KEY + b'"'), SECRET, "quotes"),
            (ALICE, signed(KEY, ALICE.encode()), SECRET, "swapped"),
            (ALICE, signed(ALICE + "\n"), SECRET, "stripped after"),
            (f" {ALICE}", signed(ALICE), SECRET, "stripped only where it was signed"),
            (ALICE, signed(ALICE, algorithm="sha1"), SECRET, "an HMAC with SHA1"),
            (ALICE, signed(ALICE, algorithm="sha512"), SECRET, "an HMAC with SHA512"),
            (ALICE, signed(ALICE, algorithm="md5"), SECRET, "an HMAC with MD5"),
        ],
    )
    def test_mistakes(self, email: str, hash: bytes, secret: str, mistake: str) -> None:
        """Each is named, in lower and in upper case."""
        for written in (hash.hex(), hash.hex().upper()):
            assert mistake in str(hashes.mistake_of(Identity(email, written), secret.encode()))

    @pytest.mark.parametrize(
        ("written", "mistake"),
        [
            (HASH.upper(), "upper case"),
            (base64.b64encode(signed(ALICE)).decode(), "base64"),
            (base64.urlsafe_b64encode(signed(ALICE)).decode().rstrip("="), "base64"),
        ],
    )
    def test_other_writings(self, written: str, mistake: str) -> None:
        assert mistake in str(hashes.mistake_of(Identity(ALICE, written), KEY))

    @pytest.mark.parametrize("written", [HASH, "0" * 64, identity_hash(BOB, SECRET)])
    def test_no_mistake_is_made_up(self, written: str) -> None:
        assert hashes.mistake_of(Identity(ALICE, written), KEY) is None

    @pytest.mark.parametrize(
        ("email", "hash", "expected"),
        [
            (ALICE, HASH, [("ok", "a…@example.com"), ("ok", f"{HASH[:8]}… is verified")]),
            (UPPER, HASH, [("problem", "not in the form"), ("ok", "is verified")]),
            ("alice", HASH, [("problem", "no address"), ("problem", "not signed with this")]),
            (BOB, HASH, [("problem", "identifies b…@example.com, not a…"), ("problem", "")]),
            (ALICE, "0" * 64, [("ok", ""), ("problem", "00000000… is not signed with this")]),
            (ALICE, "abcd", [("ok", ""), ("problem", "a… is wrong: it is no hash")]),
            (ALICE, HASH.upper(), [("ok", ""), ("problem", "is wrong: it is in upper case.")]),
            ("", "", []),
        ],
    )
    def test_identities(self, email: str, hash: str, expected: list[tuple[str, str]]) -> None:
        call = f"<script>Ensoras('identify', {{email: '{email}', hash: '{hash}'}})</script>"
        page = answer(call.encode() + PAGE)
        assert_told(hashes.identities(page, KEY, ALICE), *expected)

    def test_without_the_secret(self) -> None:
        """What is no hash at all is seen; another one cannot be verified."""
        expected = ("ok", ""), ("skipped", "was not verified")
        assert_told(hashes.identities(answer(IDENTIFIED), None, None), *expected)
        body = IDENTIFIED.replace(HASH.encode(), b"${hash}")
        assert_told(
            hashes.identities(answer(body), None, None), ("ok", ""), ("problem", "64 lower")
        )
