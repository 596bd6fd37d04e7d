"""Who a visitor is to Ensoras: an e-mail address and its HMAC under the widget secret.

The hash is a bearer credential without expiry, so nothing here ever puts it, the secret or the
address into a `repr`, a log record or an exception.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from ensoras_middleware.errors import hiding_variables
from ensoras_middleware.outcome import Outcome

_MAX_EMAIL_LENGTH = 254  # RFC 5321, section 4.5.3.1.3, without the angle brackets

_ASCII_WHITE_SPACE = "\t\n\f\r "

# Printable ASCII but for `" , ; < > @ \`, on both sides of one `@`. Not ASCII is refused because
# lower-casing differs between the official snippets (PHP: ASCII only) and folds strangers
# together: U+212A KELVIN SIGN lower-cases to `k`.
_CANONICAL_EMAIL = re.compile(r"[!#-+\--:=?A-\[\]-~]+@[!#-+\--:=?A-\[\]-~]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """The e-mail address and the hash of one logged-in user, exactly as a page carries them."""

    email: str = field(repr=False)
    hash: str = field(repr=False)


def identity_hash(email: str, secret: str | bytes) -> str:
    """Return the hash that verifies `email` under `secret`: 64 lower-case hex characters.

    Equal to the official snippets (Ensoras, *Identity verification*): HMAC-SHA256 of the
    lower-cased address in UTF-8, keyed with the secret's UTF-8 bytes as the dashboard shows it.
    The address is signed as it is given, without any check.

    Raises `TypeError` where `email` is not a `str`, or `secret` neither `str` nor `bytes`.
    """
    wrong = None
    if not isinstance(email, str):
        wrong = f"email must be a str, not {type(email).__name__}"
    elif not isinstance(secret, (str, bytes)):
        wrong = f"secret must be a str or bytes, not {type(secret).__name__}"
    if wrong is not None:
        del email, secret  # error trackers show the variables of frames
        raise TypeError(wrong)
    # As Python decodes bytes of the environment that are no UTF-8 (PEP 383).
    key = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
    return hmac.digest(key, email.lower().encode("utf-8", "surrogatepass"), "sha256").hex()


@hiding_variables
def verify_identity(email: str, hash: str, secret: str | bytes) -> bool:
    """Tell, in constant time, whether `hash` is the hash of `email` under `secret`.

    `email` and `hash` may come from anybody: what is not a string is never verified.
    """
    if not isinstance(email, str) or not isinstance(hash, str):
        return False
    expected = identity_hash(email, secret).encode()
    return hmac.compare_digest(expected, hash.encode("utf-8", "surrogatepass"))


class NotSigned(Exception):
    """A logged-in user who is not identified; `outcome` tells why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


def email_of(user: object, field: str = "email", *, trusted: bool) -> object:
    """Return a user's e-mail address, or `None` where there is none.

    Raises `NotSigned` where it is known to be unverified, unless the site trusts its addresses: the
    user has an `email_verified`, as OpenID Connect calls it (Core 1.0, section 5.1), that is
    anything but true.
    """
    if not trusted and getattr(user, "email_verified", True) is not True:
        raise NotSigned(Outcome.UNVERIFIED)
    return getattr(user, field, None)


def canonical_email(email: object) -> str | None:
    """Return the address as it is signed and shown to Ensoras, or `None` where it is refused.

    ASCII white space around it is dropped, then it is lower-cased. Refused is whatever is not a
    string of the form `local@domain` in at most 254 printable ASCII characters, none of them
    a double quote, a backslash, `<`, `>`, a comma or a semicolon.
    """
    if not isinstance(email, str):
        return None
    email = email.strip(_ASCII_WHITE_SPACE)
    if len(email) > _MAX_EMAIL_LENGTH or not _CANONICAL_EMAIL.fullmatch(email):
        return None
    return email.lower()
