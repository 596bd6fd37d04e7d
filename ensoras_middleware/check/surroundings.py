"""How the pages came: over which transport and redirects, in which encoding, with what leaked."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, urlsplit

from ensoras_middleware.check.answer import Answer, is_loopback, shown_address
from ensoras_middleware.check.finding import Finding, Findings, Status


def transport(url: str, answers: Iterable[Answer]) -> Findings:
    """Tell whether the pages travel encrypted, and which redirects led to them."""
    for address in dict.fromkeys([url, *(answer.url for answer in answers)]):
        parts = urlsplit(address)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield Finding(
                Status.PROBLEM,
                "transport",
                f"{shown_address(address)} is not encrypted: identities and session cookies can "
                "be read on the way.",
                "Serve the site over https alone, and redirect http to it.",
            )
            break
    else:
        scheme = urlsplit(url).scheme
        found = "https" if scheme == "https" else "http, on this machine"
        yield Finding(Status.OK, "transport", found)
    told = {(answer.visitor, answer.hops) for answer in answers if answer.hops}
    for visitor, hops in sorted(told):
        yield Finding(
            Status.NOTE,
            "redirects",
            "Redirected to " + ", then to ".join(map(shown_address, hops)),
            "What is said below is of the last page.",
            visitor,
        )


def compression(answer: Answer) -> Finding:
    """Tell how a page is encoded; whether that is in the way is `identify`'s to say."""
    encoding = answer.value("content-encoding") or "none"
    if encoding != "none" and answer.page.calls:
        encoding += ", outside of the middleware, as it must be"
    return Finding(Status.OK, "compression", encoding, page=answer.visitor)


def secret_unseen(secret: bytes | None, answers: Iterable[Answer]) -> Finding:
    """Tell whether the widget secret stands in what visitors get."""
    if secret is None:
        found = "Whether it stands in the pages was not looked for, for no secret is given."
        return Finding(Status.SKIPPED, "secret", found)
    for answer in answers:
        text = b"\n".join([answer.body, *(value.encode("latin-1", "replace")
                                          for _, value in answer.fields)])  # fmt: skip
        if any(form in text for form in _forms(secret)):
            return Finding(
                Status.PROBLEM,
                "secret",
                "The widget secret stands in the page or its header fields, for everybody to read.",
                "Take it out, and rotate it in the dashboard at once: whoever has it can be any "
                "customer.",
                answer.visitor,
            )
    return Finding(Status.OK, "secret", "It stands in none of the pages.")


def _forms(secret: bytes) -> set[bytes]:
    """Return what a secret looks like where somebody has encoded it."""
    return {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        _html(secret),
    }


def _html(secret: bytes) -> bytes:
    from html import escape

    return escape(secret.decode("latin-1")).encode("latin-1")
