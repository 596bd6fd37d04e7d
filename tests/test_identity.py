"""Signing equals Ensoras' official snippets, and only what is safely an address is signed."""

from __future__ import annotations

import ast
import copy
import dataclasses
import hashlib
import hmac
import inspect
import json
import shutil
import string
import subprocess
import traceback
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensoras_middleware import Identity, Outcome, identity_hash, verify_identity
from ensoras_middleware.identity import NotSigned, canonical_email, email_of
from ensoras_middleware.snippet import IdentityBlanker, identify_script

SECRET = "the secret of the acme widget"
ALICE = "alice@example.com"
ALICES_HASH = "4543b87c8060e0ac30c904a1cffa214758ca1a905f5dd1f64cec2419cbb13db5"

FORBIDDEN = '",;<>@\\'
SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in FORBIDDEN)
WHITE_SPACE = "\t\n\f\r "  # ASCII white space of the Infra Standard, section 4.6

ADDRESSES = [
    ALICE,
    "Alice@Example.COM",
    "ALICE@EXAMPLE.COM",
    "a@b",
    "o'brien+shop@sub.example.co.uk",
    "!#$%&'*+-/=?^_`{|}~@example.com",
    "0123456789@[127.0.0.1]",
    f"{SAFE}@{SAFE}",
    "I@I.I",
]
SECRETS = [
    SECRET,
    "0123456789abcdef",
    "6f70656e7373e5a1" * 4,  # looks like hex, and is not decoded
    "clé-secrète-du-widget-ключ-秘密",
    "s" * 63,
    "s" * 64,
    "s" * 65,  # longer than a block of SHA-256
    "with 'quotes\" and \\backslashes\t$HOME `id`",
]

NODE = """
const crypto = require('crypto');
const pairs = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(pairs.map(([email, secret]) =>
  crypto.createHmac('sha256', secret).update(email.toLowerCase()).digest('hex'))));
"""


def python_snippet(email: str, secret: str) -> str:
    return hmac.new(secret.encode(), email.lower().encode(), hashlib.sha256).hexdigest()


class TestHash:
    def test_equals_the_node_snippet(self) -> None:
        """Node.js signs every ASCII address under every secret as we do."""
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        random = Random(1)
        pairs = [(email, secret) for email in ADDRESSES for secret in SECRETS]
        for _ in range(2000):
            local, domain, secret = (
                "".join(random.choices(string.printable[:95], k=random.randint(1, 40)))
                for _ in range(3)
            )
            pairs.append((f"{local}@{domain}", secret))
        run = subprocess.run(
            [node, "-e", NODE], input=json.dumps(pairs), capture_output=True, text=True, check=True
        )
        hashes = json.loads(run.stdout)
        assert len(hashes) == len(pairs)
        assert [identity_hash(email, secret) for email, secret in pairs] == hashes

    @pytest.mark.parametrize("secret", SECRETS)
    @pytest.mark.parametrize("email", ADDRESSES[:6])
    def test_equals_openssl(self, email: str, secret: str) -> None:
        """OpenSSL signs what `tr` has lower-cased as we do: Ruby's and PHP's HMAC is the same."""
        for tool in ("sh", "tr", "openssl"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        line = 'printf %s "$0" | LC_ALL=C tr A-Z a-z | openssl dgst -sha256 -hmac "$1"'
        run = subprocess.run(
            ["sh", "-c", line, email, secret], capture_output=True, text=True, check=True
        )
        assert run.stdout.split()[-1] == identity_hash(email, secret)

    @pytest.mark.parametrize(
        ("message", "key", "expected"),
        [
            (  # RFC 4231, section 4.3
                "what do ya want for nothing?",
                "Jefe",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            ("", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
            (ALICE, SECRET, ALICES_HASH),
            ("ALICE@Example.com", SECRET, ALICES_HASH),
        ],
    )
    def test_known_vectors(self, message: str, key: str, expected: str) -> None:
        """The hash is HMAC-SHA256 of the lower-cased address, in lower-case hex."""
        assert identity_hash(message, key) == expected
        assert identity_hash(message, key.encode()) == expected

    def test_bytes_that_are_no_utf_8(self) -> None:
        """A secret of the environment signs as the bytes it was there, which Python escapes."""
        assert identity_hash(ALICE, "\udcff" * 16) == identity_hash(ALICE, b"\xff" * 16)

    @given(st.text(), st.text())
    def test_equals_the_python_snippet_for_any_string(self, email: str, secret: str) -> None:
        """Nothing is stripped, checked or refused: that is the business of `canonical_email`."""
        assert identity_hash(email, secret) == python_snippet(email, secret)
        assert identity_hash(email, secret.encode()) == python_snippet(email, secret)

    @pytest.mark.parametrize(
        ("email", "secret", "named"),
        [
            (None, SECRET, "email .*NoneType"),
            (ALICE.encode(), SECRET, "email .*bytes"),
            (7, SECRET, "email .*int"),
            (ALICE, None, "secret .*NoneType"),
            (ALICE, 7, "secret .*int"),
            (ALICE, bytearray(SECRET.encode()), "secret .*bytearray"),
            (ALICE, [SECRET], "secret .*list"),
        ],
    )
    def test_refuses_other_types(self, email: object, secret: object, named: str) -> None:
        """A `TypeError` says which argument is wrong, and shows neither."""
        with pytest.raises(TypeError, match=f"^{named}") as caught:
            identity_hash(email, secret)  # type: ignore[arg-type]
        assert ALICE not in str(caught.value)
        assert SECRET not in str(caught.value)


class TestVerify:
    @pytest.mark.parametrize(
        ("email", "claimed", "secret"),
        [
            (ALICE, ALICES_HASH, SECRET),
            ("ALICE@example.com", ALICES_HASH, SECRET),
            (ALICE, ALICES_HASH, SECRET.encode()),
        ],
    )
    def test_true(self, email: str, claimed: str, secret: str | bytes) -> None:
        """The hash of this address under this secret is verified."""
        assert verify_identity(email, claimed, secret) is True

    @pytest.mark.parametrize(
        ("email", "claimed"),
        [
            ("bob@example.com", ALICES_HASH),
            (f" {ALICE}", ALICES_HASH),
            ("", ALICES_HASH),
            (None, ALICES_HASH),
            (ALICE.encode(), ALICES_HASH),
            ([ALICE], ALICES_HASH),
            (ALICE, ALICES_HASH.upper()),
            (ALICE, ALICES_HASH[:-1]),
            (ALICE, ALICES_HASH + "0"),
            (ALICE, ALICES_HASH + "\n"),
            (ALICE, f" {ALICES_HASH}"),
            (ALICE, "0" * 64),
            (ALICE, ""),
            (ALICE, None),
            (ALICE, ALICES_HASH.encode()),
            (ALICE, int(ALICES_HASH, 16)),
            (ALICE, True),
            (ALICE, "é" * 64),
            (ALICE, ALICES_HASH.translate({ord(c): ord(c) + 0xFEE0 for c in ALICES_HASH})),
            (ALICE, "\ud800" * 64),
            ("\ud800@example.com", ALICES_HASH),
        ],
    )
    def test_false(self, email: object, claimed: object) -> None:
        """Whatever else a visitor sends is not verified, and nothing is raised."""
        assert verify_identity(email, claimed, SECRET) is False  # type: ignore[arg-type]

    @pytest.mark.parametrize("other", ["another secret, long enough", SECRET + "\n", ""])
    def test_not_under_another_secret(self, other: str) -> None:
        """A rotation ends all hashes at once."""
        assert verify_identity(ALICE, ALICES_HASH, other) is False

    def test_in_constant_time(self) -> None:
        """Nothing but `hmac.compare_digest` compares: its time tells nothing about the hash."""
        nodes = list(ast.walk(ast.parse(inspect.getsource(verify_identity))))
        calls = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
        assert calls.count("hmac.compare_digest") == 1
        assert not [node for node in nodes if isinstance(node, ast.Compare)]
        assert inspect.unwrap(verify_identity).__globals__["hmac"] is hmac


class TestIdentity:
    identity = Identity(ALICE, ALICES_HASH)

    def test_carries_both(self) -> None:
        """E-mail first, then hash; equal where both are."""
        assert (self.identity.email, self.identity.hash) == (ALICE, ALICES_HASH)
        assert self.identity == Identity(email=ALICE, hash=ALICES_HASH)
        assert self.identity != Identity(ALICE, "0" * 64)
        assert copy.deepcopy(self.identity) == self.identity

    def test_is_frozen_and_slotted(self) -> None:
        """No code on the way can turn it into somebody else's."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            self.identity.email = "bob@example.com"  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            del self.identity.hash
        assert not hasattr(self.identity, "__dict__")

    @pytest.mark.parametrize(
        "shown",
        [repr, str, format, "{}".format, "{!r:>20}".format, "%s".__mod__, lambda one: f"{[one]}"],
    )
    def test_never_shown(self, shown: object) -> None:
        """A log line or a debugger's list names the class, and nobody."""
        text = shown(self.identity)  # type: ignore[operator]
        assert "Identity" in text
        assert "alice" not in text
        assert ALICES_HASH[:8] not in text

    def test_not_in_a_traceback_with_locals(self) -> None:
        """Error reporters that print local variables print no hash."""
        held = self.identity
        with pytest.raises(ZeroDivisionError) as caught:
            len([held]) / 0
        report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        text = "".join(report.format())
        assert "held = Identity(" in text
        assert ALICES_HASH not in text
        assert ALICE not in text


def long_email(length: int) -> str:
    return "a" * (length - len("@example.com")) + "@example.com"


ACCEPTED = [
    (ALICE, ALICE),
    ("Alice@Example.COM", ALICE),
    (f"{WHITE_SPACE}{ALICE}{WHITE_SPACE}", ALICE),
    (long_email(254), long_email(254)),
    (f"  {long_email(254)}\r\n", long_email(254)),
    ("a@b", "a@b"),
    ("XX@example.XX", "xx@example.xx"),
    ("A@[127.0.0.1]", "a@[127.0.0.1]"),
    ("o'brien+x&y@example.com", "o'brien+x&y@example.com"),
    (f"{SAFE}@{SAFE}", f"{SAFE}@{SAFE}".lower()),
]
NOT_STRINGS: list[object] = [None, 7, True, ALICE.encode(), [ALICE], (ALICE,), Identity]
NO_ADDRESS = [
    "",
    " ",
    "alice",
    "@",
    "@example.com",
    "alice@",
    " @ ",
    "alice@@example.com",
    "a@b@c",
    "@a@b",
    "a@b@",
    long_email(255),
    "Alice <alice@example.com>",
    "mailto:alice@example.com, bob@example.com",
]
NOT_ASCII = [
    "\u212aevin@example.com",  # KELVIN SIGN lower-cases to k
    "kevin@example.\u212aom",
    "\u0130van@example.com",  # lower-cases to two characters
    "jörg@example.com",
    "alice@exämple.com",
    "alice\uff20example.com",  # FULLWIDTH COMMERCIAL AT
    "al\u200bice@example.com",  # ZERO WIDTH SPACE
    "alice@example.com\u202e",  # RIGHT-TO-LEFT OVERRIDE
    "\ufeffalice@example.com",
    "\ud800@example.com",
    *(f"{space}{ALICE}" for space in "\u00a0\u0085\u2003\u2028\u3000"),
    *(f"{ALICE}{space}" for space in "\u00a0\u0085\u2003\u2028\u3000"),
]
CONTROLS = [*map(chr, range(0x20)), "\x7f"]
NOWHERE = [*FORBIDDEN, *CONTROLS, " "]


class TestCanonicalEmail:
    @pytest.mark.parametrize(("given", "canonical"), ACCEPTED)
    def test_accepted(self, given: str, canonical: str) -> None:
        """ASCII white space around an address is stripped, then it is lower-cased."""
        assert canonical_email(given) == canonical

    @pytest.mark.parametrize("email", NOT_STRINGS + NO_ADDRESS + NOT_ASCII, ids=ascii)
    def test_refused(self, email: object) -> None:
        """What is no plain ASCII address stays anonymous."""
        assert canonical_email(email) is None

    @pytest.mark.parametrize("char", NOWHERE, ids=ascii)
    @pytest.mark.parametrize("form", ["al{}ice@example.com", "alice@exam{}ple.com"])
    def test_refused_inside(self, char: str, form: str) -> None:
        """These characters have no place in an address."""
        assert canonical_email(form.format(char)) is None

    @pytest.mark.parametrize("char", sorted({*NOWHERE} - {*WHITE_SPACE}), ids=ascii)
    @pytest.mark.parametrize("form", ["{}alice@example.com", "alice@example.com{}"])
    def test_refused_around(self, char: str, form: str) -> None:
        """Nothing but ASCII white space is stripped: not U+000B, not U+001C."""
        assert canonical_email(form.format(char)) is None

    @given(st.text(SAFE, min_size=1, max_size=126), st.text(SAFE, min_size=1, max_size=126))
    def test_what_it_returns_is_safe_to_embed(self, local: str, domain: str) -> None:
        """The page carries exactly the string that was signed, and it cannot end the script."""
        email = canonical_email(f" {local}@{domain}\n")
        assert email == f"{local}@{domain}".lower()
        assert canonical_email(email) == email
        identity = Identity(email, identity_hash(email, SECRET))
        script = identify_script(identity)
        call = script[script.index(b"(window,") + len(b"(window,") : -len(b");")]
        assert json.loads(call) == {"email": email, "hash": identity.hash}
        assert not set(call) & set(b"<>&'\r\n")
        assert verify_identity(email, identity.hash, SECRET)

    @given(st.text(SAFE, min_size=1, max_size=30), st.text(SAFE, min_size=1, max_size=30))
    def test_what_it_returns_can_be_blanked(self, local: str, domain: str) -> None:
        """A page that arrives with somebody's identity leaves without any of it."""
        email = canonical_email(f"{local}@{domain}")
        assert email is not None
        identity = Identity(email, identity_hash(email, SECRET))
        blanked = IdentityBlanker().feed(b"<script>" + identify_script(identity) + b"</script>")
        assert identity.hash.encode() not in blanked

    @given(st.text(st.characters(max_codepoint=0x212B, exclude_categories=()), max_size=20))
    def test_is_idempotent(self, text: str) -> None:
        """Of any text, what is accepted is accepted again as it is."""
        for candidate in (text, f"{text}@example.com", f"alice@{text}"):
            email = canonical_email(candidate)
            if email is not None:
                assert canonical_email(email) == email
                assert set(email) <= {*SAFE, "@"} - {*string.ascii_uppercase}
                assert email.count("@") == 1


@pytest.mark.parametrize(
    ("user", "email"),
    [
        (SimpleNamespace(email="a@b.c"), "a@b.c"),
        (SimpleNamespace(email="a@b.c", email_verified=True), "a@b.c"),
        (SimpleNamespace(), None),
    ],
)
def test_an_address_is_read_from_a_user(user: object, email: str | None) -> None:
    assert email_of(user, trusted=False) == email


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_known_to_be_unverified_is_not_read(verified: object) -> None:
    """OpenID Connect's `email_verified`: only true passes, unless the site trusts its addresses."""
    user = SimpleNamespace(email="a@b.c", email_verified=verified)
    with pytest.raises(NotSigned) as reason:
        email_of(user, trusted=False)
    assert reason.value.outcome == Outcome.UNVERIFIED
    assert email_of(user, trusted=True) == "a@b.c"
