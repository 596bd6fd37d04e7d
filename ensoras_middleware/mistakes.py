"""What the usual mistakes make of an e-mail and a secret, to tell what is wrong with a hash."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
from collections.abc import Iterator

from ensoras_middleware.identity import Identity

WELL_FORMED = re.compile(r"[0-9a-f]{64}")


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
    if not WELL_FORMED.fullmatch(identity.hash):
        return "it is no hash: one has 64 lower-case hex characters"
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
