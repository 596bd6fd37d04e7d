"""Whether an e-mail is the one that was expected, and its hash that of the widget secret."""

from __future__ import annotations

from ensoras_middleware.check.answer import Answer
from ensoras_middleware.check.finding import Finding, Findings, Status
from ensoras_middleware.identity import Identity, canonical_email, verify_identity
from ensoras_middleware.mistakes import WELL_FORMED, mistake_of
from ensoras_middleware.page import masked

_EMAIL, _HASH = "e-mail", "hash"
_SHOWN = 8  # of 64: enough to tell two hashes apart, far too little to replay one

_RIGHT = "Sign HMAC-SHA256(secret, lower-cased e-mail) in hex, or leave it to the middleware."


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
        if not WELL_FORMED.fullmatch(identity.hash):
            found = f"{shown} is no hash: one has 64 lower-case hex characters."
            return Finding(Status.PROBLEM, _HASH, found, _RIGHT, answer.visitor)
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
        remedy = f"Give the site the secret as the dashboard shows it. {_RIGHT}"
        return Finding(Status.PROBLEM, _HASH, found, remedy, answer.visitor)
    return Finding(
        Status.PROBLEM,
        _HASH,
        f"{shown} is not signed with this secret.",
        "Compare the secrets: your dashboard, your site and this command must have the same. After "
        "a rotation the site needs the new one, and perhaps a restart.",
        answer.visitor,
    )
