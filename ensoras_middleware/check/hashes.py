"""Whether an e-mail is the one that was expected, and its hash that of the widget secret.

A wrong hash is compared with what the usual mistakes make of the same e-mail and secret.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
from collections.abc import Iterator

from ensoras_middleware.check.answer import Answer
from ensoras_middleware.check.finding import Finding, Findings, Status
from ensoras_middleware.identity import Identity, canonical_email, verify_identity
from ensoras_middleware.page import masked

_EMAIL, _HASH = "e-mail", "hash"
_WELL_FORMED = re.compile(r"[0-9a-f]{64}")
_SHOWN = 8  # of 64: enough to tell two hashes apart, far too little to replay one

_RIGHT = "sign HMAC-SHA256(secret, lower-cased e-mail) in hex, or leave it to the middleware"


def identities(answer: Answer, secret: bytes | None, expected: str | None) -> Findings:
    """Tell whether each identity of a page is right; `expected` is a canonical e-mail."""
    for identity in dict.fromkeys(answer.identities):
        if identity.email:
            yield _email(answer, identity, expected)
        if identity.hash:
            yield _hash(answer, identity, secret)


def _email(answer: Answer, identity: Identity, expected: str | None) -> Finding:
    canonical, who = canonical_email(identity.email), masked(identity.email)
    if canonical is None:
        return Finding(
            Status.PROBLEM,
            _EMAIL,
            "It is no address that can be signed safely.",
            "Identify customers by a plain ASCII address of the form local@domain.",
            answer.visitor,
        )
    if expected is not None and canonical != expected:
        return Finding(
            Status.PROBLEM,
            _EMAIL,
            f"The page identifies {who}, not {masked(expected)}.",
            "Give the credentials of that customer. If they are: customers are mixed up, see what "
            "`get_email` returns, and what caches hold; rotate the secret afterwards.",
            answer.visitor,
        )
    if canonical != identity.email:
        return Finding(
            Status.PROBLEM,
            _EMAIL,
            f"{who} is not in the form in which it is signed.",
            "Strip the address and lower-case it, in the page and for the hash.",
            answer.visitor,
        )
    return Finding(Status.OK, _EMAIL, who, page=answer.visitor)


def _hash(answer: Answer, identity: Identity, secret: bytes | None) -> Finding:
    shown = f"{identity.hash[: min(_SHOWN, len(identity.hash) // 4)]}…"
    if secret is None:
        if not _WELL_FORMED.fullmatch(identity.hash):
            found = f"{shown} is no hash: one has 64 lower-case hex characters."
            return Finding(Status.PROBLEM, _HASH, found, f"{_RIGHT}.".capitalize(), answer.visitor)
        return Finding(
            Status.SKIPPED,
            _HASH,
            f"{shown} was not verified, for no secret is given.",
            "Set ENSORAS_WIDGET_SECRET or ENSORAS_WIDGET_SECRET_FILE for this command.",
            answer.visitor,
        )
    if verify_identity(identity.email, identity.hash, secret):
        return Finding(Status.OK, _HASH, f"{shown} is verified.", page=answer.visitor)
    mistake = mistake_of(identity, secret)
    if mistake is not None:
        found = f"{shown} is wrong: {mistake}."
        return Finding(Status.PROBLEM, _HASH, found, f"To mend it, {_RIGHT}.", answer.visitor)
    return Finding(
        Status.PROBLEM,
        _HASH,
        f"{shown} is not signed with this secret.",
        "Compare the secrets: your dashboard, your site and this command must have the same. After "
        "a rotation the site needs the new one, and perhaps a restart.",
        answer.visitor,
    )


def mistake_of(identity: Identity, secret: bytes) -> str | None:
    """Return what was done wrong to come to this hash, if it is one of the usual mistakes."""
    for mistake, digest in _mistakes(identity.email, secret):
        if identity.hash in (digest.hex(), digest.hex().upper()):
            return mistake
    right = _hmac(secret, identity.email.lower().encode())
    if identity.hash != right.hex() == identity.hash.lower():
        return "it is in upper case"
    if identity.hash.rstrip("=") in (
        base64.b64encode(right).decode().rstrip("="),
        base64.urlsafe_b64encode(right).decode().rstrip("="),
    ):
        return "it is in base64, not in hex"
    return None


def _mistakes(written: str, secret: bytes) -> Iterator[tuple[str, bytes]]:
    email = written.lower().encode()
    if written.encode() != email:
        yield "the e-mail was not lower-cased before it was signed", _hmac(secret, written.encode())
    yield "the e-mail was stripped after it was signed", _hmac(secret, email + b"\n")
    if email.strip() != email:
        yield "the e-mail was stripped only where it was signed", _hmac(secret, email.strip())
    for encoding, decode in (("hex", binascii.unhexlify), ("base64", binascii.a2b_base64)):
        with contextlib.suppress(binascii.Error):
            mistake = f"the secret was decoded from {encoding}, but its text is the key"
            yield mistake, _hmac(decode(secret), email)
    for around in (b"%s\n", b"%s\r\n", b"%s ", b" %s", b"\xef\xbb\xbf%s"):
        yield (
            "the secret had white space or a byte order mark around it",
            _hmac(around % secret, email),
        )
    for quoted in (b'"%s"', b"'%s'"):
        yield "the secret had quotes around it", _hmac(quoted % secret, email)
    yield "secret and e-mail were swapped: the secret is the key", _hmac(email, secret)
    for message in (email, secret + email, email + secret, written.encode()):
        yield "it is a plain SHA-256, not an HMAC with the secret", hashlib.sha256(message).digest()
    for algorithm in ("md5", "sha1", "sha512"):
        mistake = f"it is an HMAC with {algorithm.upper()}, not SHA-256"
        yield mistake, hmac.digest(secret, email, algorithm)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
