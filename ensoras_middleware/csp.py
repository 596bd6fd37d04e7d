"""Lets the identify script run under the page's Content Security Policy, and nothing else.

An inline script needs leave. It has it where the policy allows all inline scripts, or where the
widget tag's nonce, which the identify script copies, is in the policy. Elsewhere the script's
hash is appended to the directive in effect; the rest of the policy stays as it is, byte for byte.

A widget tag that we write has to run under the policy as it is: by its nonce, or by its address.

Source: CSP Level 3, sections 2.2 (policies), 2.3.1 (source lists), 6.7.1 and 6.8 (inline checks).
"""

from __future__ import annotations

import re
from collections import Counter

from ensoras_middleware.caching import Fields
from ensoras_middleware.csp_sources import allow_address
from ensoras_middleware.widget_tag import NONCE

_ENFORCED = "content-security-policy"
_REPORT_ONLY = "content-security-policy-report-only"

# The directives that may govern an inline script, the most specific first (section 6.8.3).
_SCRIPT_DIRECTIVES = ("script-src-elem", "script-src", "default-src")

# Beside one of these, browsers ignore 'unsafe-inline' (section 6.7.3.3).
_OVERRIDES_INLINE = re.compile(
    r"'(?:(?:nonce|sha256|sha384|sha512)-[a-z0-9+/_-]+={0,2}|strict-dynamic)'", re.IGNORECASE
)
# Beside another source it means nothing, and browsers complain (section 6.7.2.3). It stays in an
# enforced policy, for there no page is identified; a report-only one lets scripts run.
_NONE = re.compile(r"[\t\n\f\r ]'none'", re.IGNORECASE)
_WHITE_SPACE = re.compile(r"[\t\n\f\r ]+")


def governs(fields: Fields) -> bool:
    """Tell whether there is any policy, report-only too."""
    return any([name.lower() in (_ENFORCED, _REPORT_ONLY) for name, _ in fields])  # noqa: C419


def withholds_origin(fields: Fields) -> bool:
    """Tell whether a policy sandboxes the page into an origin of its own, as hosted uploads are."""
    return any(_sandboxes(policy, without="allow-same-origin") for policy in _policies(fields))


def lets_no_script_run(fields: Fields) -> bool:
    """Tell whether a policy allows no script at all, so not the widget either."""
    for policy in _policies(fields):
        name, tokens = _governing(policy)
        if (name is not None and _is_none(tokens)) or _sandboxes(policy, without="allow-scripts"):
            return True
    return False


def _sandboxes(policy: str, *, without: str) -> bool:
    flags = _directives(policy).get("sandbox")
    return flags is not None and without not in map(str.lower, flags)


def nonce_for_address(fields: Fields, address: str) -> str | None:
    """Return the nonce with which a page's `script` tag loads this address under every policy.

    It is empty where there is none, and the policies let the address be loaded without; `None`
    where some enforced policy blocks it in any case. Of several nonces that one is returned which
    brings the fewest violations of report-only policies.
    """
    enforced, reported = _policies(fields), _policies(fields, _REPORT_ONLY)
    if any(_sandboxes(policy, without="allow-scripts") for policy in enforced):
        return None
    nonces = dict.fromkeys(nonce for policy in enforced + reported for nonce in _nonces(policy))
    needed, wanted = _needing_nonces(enforced, address), _needing_nonces(reported, address)
    admitted = Counter(nonce for policy in needed for nonce in _nonces(policy))
    unreported = Counter(nonce for policy in wanted for nonce in _nonces(policy))
    enough = [nonce for nonce in (*nonces, "") if admitted[nonce] == len(needed)]
    return max(enough, key=lambda nonce: unreported[nonce], default=None)


def _needing_nonces(policies: list[str], address: str) -> list[str]:
    return [policy for policy in policies if not _loads(policy, address, None)]


def _nonces(policy: str) -> dict[str, None]:
    """Return the nonces of a policy, each once, in their order."""
    tokens = _governing(policy)[1]
    return dict.fromkeys(token[7:-1] for token in tokens if _is_nonce_source(token))


def lets_load(fields: Fields, address: str, nonce: str | None) -> bool:
    """Tell whether every enforced policy lets a `script` tag with this nonce load an address."""
    return all(_loads(policy, address, nonce) for policy in _policies(fields))


def lets_connect(fields: Fields, address: str) -> bool:
    """Tell whether every enforced policy lets scripts connect to an address (section 6.1.2)."""
    for policy in _policies(fields):
        directives = _directives(policy)
        tokens = directives.get("connect-src", directives.get("default-src"))
        if tokens is not None and not allow_address(tokens, address):
            return False
    return True


def lets_inline_run(fields: Fields, *, nonce: str | None, hash_source: str) -> bool:
    """Tell whether every policy, report-only too, lets an inline script run as it is."""
    return admitting(fields, nonce=nonce, hash_source=hash_source) == fields


def _loads(policy: str, address: str, nonce: str | None) -> bool:
    # A script that the parser finds: 'strict-dynamic' is for those that scripts insert (6.7.1.1).
    name, tokens = _governing(policy)
    if name is None or (nonce and any(_is_nonce(token, nonce) for token in tokens)):
        return True
    is_strict = any(token.lower() == "'strict-dynamic'" for token in tokens)
    return not is_strict and allow_address(tokens, address)


def admitting(fields: Fields, *, nonce: str | None, hash_source: str) -> Fields:
    """Let every policy, report-only too, admit the script with this nonce or hash."""
    admitted = []
    for name, value in fields:
        if name.lower() in (_ENFORCED, _REPORT_ONLY):
            value = ",".join(_admitting(policy, nonce, hash_source) for policy in value.split(","))
        admitted.append((name, value))
    return admitted


def _admitting(policy: str, nonce: str | None, hash_source: str) -> str:
    name, tokens = _governing(policy)
    if name is None or _allows_inline(tokens):
        return policy
    if nonce and any(_is_nonce(token, nonce) for token in tokens):
        return policy
    if hash_source in tokens:
        return policy
    if name == "default-src":  # its hash would switch off inline styles
        sources = _NONE.sub("", " ".join(["script-src", *tokens]))
        return f"{policy.rstrip('; ')}; {sources} {hash_source}"
    parts = policy.split(";")
    index = next(i for i, part in enumerate(parts) if _split(part)[:1] == [name])
    part = _NONE.sub("", parts[index]) if _is_none(tokens) else parts[index]
    parts[index] = f"{part.rstrip()} {hash_source}"
    return ";".join(parts)


def _policies(fields: Fields, field: str = _ENFORCED) -> list[str]:
    """Return the policies, by default the enforced ones; a field may hold several (2.2.2)."""
    return [one for name, value in fields if name.lower() == field for one in value.split(",")]


def _directives(policy: str) -> dict[str, list[str]]:
    """Return the directives of a policy; the first of a name counts (section 2.2.1)."""
    directives: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *tokens = _split(part)
        directives.setdefault(name, tokens)
    return directives


def _split(directive: str) -> list[str]:
    name, *tokens = _WHITE_SPACE.split(directive.strip("\t\n\f\r "))
    return [name.lower(), *tokens]


def _governing(policy: str) -> tuple[str | None, list[str]]:
    directives = _directives(policy)
    for name in _SCRIPT_DIRECTIVES:
        if name in directives:
            return name, directives[name]
    return None, []


def _is_none(tokens: list[str]) -> bool:
    # 'report-sample' is no source (section 2.3.1).
    return {token.lower() for token in tokens} <= {"'none'", "'report-sample'"}


def _allows_inline(tokens: list[str]) -> bool:
    return any(token.lower() == "'unsafe-inline'" for token in tokens) and not any(
        _OVERRIDES_INLINE.fullmatch(token) for token in tokens
    )


def _is_nonce(token: str, nonce: str) -> bool:
    return token[:7].lower() == "'nonce-" and token[7:] == f"{nonce}'"


def _is_nonce_source(token: str) -> bool:
    return _is_nonce(token, token[7:-1]) and NONCE.fullmatch(token[7:-1]) is not None
