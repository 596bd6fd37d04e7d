"""The header fields of a page: what hosts send, and what must have become of it."""

from __future__ import annotations

import base64
import hashlib
import re
from random import Random

from tests.adapters import Answer, Headers
from tests.policies import NONCE, POLICIES

HTML = ("Content-Type", "text/html; charset=utf-8")

_SOURCES = {
    "{O}": "https://app.ensoras.com",
    "{N}": f"'nonce-{NONCE}'",
    "{H}": "'sha256-RFWPLDbv2BY+rCkDzsE+0fr8ylGr2R2faWMhq4lfEQc='",
    "{A}": "'sha256-PvVCqAUk7oRjCsj8mMD1fCkPQTzCGJ5oZxqgJuQbVYw='",
    "{X}": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "{Y}": "SHA256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
}

_CACHING: list[Headers] = [
    [],
    [("Cache-Control", "max-age=600")],
    [("Cache-Control", "public, no-transform")],
    [("Cache-Control", "no-store"), ("Expires", "0")],
    [("CDN-Cache-Control", "max-age=600"), ("X-Accel-Expires", "600")],
    [("Surrogate-Control", 'max-age=600, content="ESI/1.0"')],
    [("Edge-Control", "max-age=600"), ("Expires", "Thu, 01 Dec 2044 16:00:00 GMT")],
]
_VALIDATORS: list[Headers] = [
    [],
    [("ETag", '"1"')],
    [("ETag", 'W/"1"'), ("Last-Modified", "Thu, 01 Dec 1994 16:00:00 GMT")],
    [("Accept-Ranges", "bytes"), ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ==")],
    [("Digest", "x"), ("Repr-Digest", "x"), ("Content-Digest", "x")],
]
_VARY: list[Headers] = [[], [("Vary", "Accept")], [("Vary", "*")], [("vary", "accept, COOKIE")]]

_OF_THE_BYTES = {"accept-ranges", "content-md5", "digest", "repr-digest", "content-digest"}
_FORBIDDEN = _OF_THE_BYTES | {"expires", "x-accel-expires", "edge-control", "etag", "last-modified"}


def random_fields(random: Random) -> Headers:
    """Return the fields of a page."""
    headers = [HTML, ("X-Other", "1")]
    headers += random.choice(_CACHING) + random.choice(_VALIDATORS) + random.choice(_VARY)
    if random.random() < 0.5:
        policy = random.choice(POLICIES)
        for name, lines in (
            ("Content-Security-Policy", policy.enforced),
            ("Content-Security-Policy-Report-Only", policy.reported),
        ):
            if lines:  # Django has one line of a name
                headers.append((name, _filled_in(", ".join(lines))))
    return headers


def _filled_in(policy: str) -> str:
    for placeholder, source in _SOURCES.items():
        policy = policy.replace(placeholder, source)
    return policy.replace("\t", " ").strip()  # wsgiref's validator accepts no tab


def normal(headers: Headers) -> Headers:
    """Return the fields without what does not matter: the case of names, and their order."""
    return sorted((name.lower(), value) for name, value in headers)


def without_length(headers: Headers) -> Headers:
    """Return the fields that do not depend on whether the host announces a length."""
    return [one for one in normal(headers) if one[0] != "content-length"]


def check_length(answer: Answer, *, streamed: bool) -> None:
    """Check that there is one length, the right one, or none where it could not be known."""
    length = answer["Content-Length"]
    assert length == str(len(answer.body)) or (length is None and streamed), "Content-Length"


def check(
    host: Headers,
    answer: Answer,
    *,
    identified: bool,  # or a page that might be
    changed: bool,  # not the host's bytes
    untouched: bool,  # by the middleware
    streamed: bool,
) -> None:
    """Check every field that goes out."""
    headers = normal(answer.headers)
    names = {name for name, _ in headers}
    check_length(answer, streamed=streamed)
    if untouched:
        assert "vary" in names or not any(name.lower() == "vary" for name, _ in host)
    else:
        varied = re.split(r"\s*,\s*", (answer["Vary"] or "").lower())
        assert {"*", "cookie"} & set(varied), "no Vary: Cookie"
    if identified:
        transform = ", no-transform" if ("Cache-Control", "public, no-transform") in host else ""
        assert answer["Cache-Control"] == f"private, no-store, max-age=0{transform}"
        assert not names & _FORBIDDEN, "a validator, or something that keeps a copy"
        assert not any(name.endswith("-cache-control") for name in names)
        assert "max-age" not in (answer["Surrogate-Control"] or "")
    elif changed:
        assert not names & _OF_THE_BYTES
        assert (answer["ETag"] or "W/").startswith("W/")
    may_change = {
        "content-length", "vary", "cache-control", "surrogate-control", "cdn-cache-control",
        "x-ensoras-outcome", "content-security-policy", "content-security-policy-report-only",
        *_FORBIDDEN,
    }  # fmt: skip
    assert [one for one in headers if one[0] not in may_change] == [
        one for one in normal(host) if one[0] not in may_change
    ]
    if not identified and not changed and not streamed:
        ours = {"x-ensoras-outcome", "vary", "content-length"}
        assert [one for one in headers if one[0] not in ours] == [
            one for one in normal(host) if one[0] not in ours
        ], "the fields of a page that is as it was"


def check_policies(host: Headers, answer: Answer, script: bytes | None, nonce: str) -> None:
    """Check that every policy lets the script run that was put in, and says all else as before.

    `script` is its text, if there is one.
    """
    before, after = _policies(host), _policies(answer.headers)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        others = [
            {name: tokens for name, tokens in one.items() if name not in _SCRIPT_DIRECTIVES}
            for one in (old, new)
        ]
        assert others[0] == others[1], "something else of a policy has changed"
        if script is not None:
            assert _lets_run(new, script, nonce), "the policy forbids the script"


_SCRIPT_DIRECTIVES = ("script-src-elem", "script-src", "default-src")
_STRICT = re.compile(
    r"'(?:nonce-[\w+/-]+={0,2}|sha(?:256|384|512)-[\w+/-]+={0,2}|strict-dynamic)'",
    re.IGNORECASE | re.ASCII,
)


def _policies(headers: Headers) -> list[dict[str, list[str]]]:
    """Return the directives of each policy, enforced or reported (CSP Level 3, section 2.2)."""
    policies = []
    for name, value in normal(headers):
        if name.startswith("content-security-policy"):
            for policy in value.split(","):
                directives: dict[str, list[str]] = {}
                for part in policy.split(";"):
                    if tokens := part.split():
                        directives.setdefault(tokens[0].lower(), tokens[1:])
                policies.append(directives)
    return policies


def _lets_run(policy: dict[str, list[str]], script: bytes, nonce: str) -> bool:
    """Tell whether an inline script may run (section 6.7.3)."""
    sources = next((policy[name] for name in _SCRIPT_DIRECTIVES if name in policy), None)
    if sources is None:
        return True
    source = f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
    if source in sources:
        return True
    if nonce and any(one[:7].lower() + one[7:] == f"'nonce-{nonce}'" for one in sources):
        return True
    inline = any(one.lower() == "'unsafe-inline'" for one in sources)
    return inline and not any(_STRICT.fullmatch(one) for one in sources)
