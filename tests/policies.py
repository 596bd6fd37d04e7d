"""Content Security Policies, and under which of them Chromium runs the widget.

`{O}` is the widget's origin, `{N}` the nonce-source of the page's nonce, `{H}` the hash-source of
one of the page's own inline scripts, `{A}` that of its inline handler, `{X}` and `{Y}` are hashes
of something else.
"""

from __future__ import annotations

from dataclasses import dataclass

NONCE = "r4nd0m"

# Whether the widget runs: with and without the nonce in its tag, with it alone, or never.
ALWAYS, NONCED, NEVER = "always", "with a nonce", "never"


@dataclass(frozen=True)
class Policy:
    name: str  # why it is here
    widget: str
    enforced: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


def _enforced(name: str, widget: str, *lines: str) -> Policy:
    return Policy(name, widget, enforced=lines)


POLICIES = [
    # No directive for scripts
    _enforced("nothing about scripts", ALWAYS, "img-src 'self'"),
    _enforced("an empty field", ALWAYS, ""),
    _enforced("empty directives", ALWAYS, " ; ,; "),
    _enforced("unknown directives alone", ALWAYS, "foo-src 'none'; bar"),
    _enforced("handlers alone", ALWAYS, "script-src-attr 'none'"),
    # Lists of hosts
    _enforced("hosts", ALWAYS, "script-src 'self' {O}"),
    _enforced("hosts for everything", ALWAYS, "default-src 'self' {O}"),
    _enforced("schemes", ALWAYS, "script-src http:"),
    _enforced("any host", ALWAYS, "script-src *"),
    _enforced("other hosts", NEVER, "script-src 'self'"),
    _enforced("nothing but the widget", ALWAYS, "default-src 'none'; script-src {O}"),
    # Nonces
    _enforced("nonce", NONCED, "script-src {N}"),
    _enforced("nonce for everything", NONCED, "default-src 'self' {N}"),
    _enforced("nonce beside hosts", ALWAYS, "script-src {N} {O}"),
    _enforced("another nonce", ALWAYS, "script-src 'nonce-other' {O}"),
    _enforced("nonce beside styles", NONCED, "default-src 'none'; script-src {N}; style-src *"),
    # Hashes
    _enforced("hash", ALWAYS, "script-src {H} {O}"),
    _enforced("hash for everything", ALWAYS, "default-src {H} {O}"),
    _enforced("hash of a handler", ALWAYS, "script-src {O} 'unsafe-hashes' {A}"),
    _enforced("hash of an address", NEVER, "script-src 'url-{X}'"),
    # 'strict-dynamic'
    _enforced("strict-dynamic", NONCED, "script-src 'strict-dynamic' {N}"),
    _enforced("strict-dynamic beside hosts", NONCED, "script-src 'strict-dynamic' {N} {O}"),
    _enforced("strict-dynamic with a hash", NEVER, "script-src 'strict-dynamic' {H} {O}"),
    _enforced(
        "strict, old browsers too",
        NONCED,
        "object-src 'none'; base-uri 'none'; "
        "script-src {N} 'unsafe-inline' 'strict-dynamic' https: http:",
    ),
    # 'unsafe-inline', in force
    _enforced("inline", ALWAYS, "script-src 'unsafe-inline' {O}"),
    _enforced("inline for everything", ALWAYS, "default-src 'unsafe-inline' {O} 'self'"),
    _enforced("inline in capitals", ALWAYS, "SCRIPT-SRC 'Unsafe-Inline' {O}"),
    _enforced("inline beside no nonce", ALWAYS, "script-src 'unsafe-inline' {O} 'nonce-'"),
    _enforced("inline beside a bad nonce", ALWAYS, "script-src 'unsafe-inline' {O} 'nonce-a!b'"),
    _enforced(
        "inline beside a padded nonce", ALWAYS, "script-src 'unsafe-inline' {O} 'nonce-a==='"
    ),
    _enforced("inline beside a bare nonce", ALWAYS, "script-src 'unsafe-inline' {O} nonce-a"),
    _enforced("inline beside a bad hash", ALWAYS, "script-src 'unsafe-inline' {O} 'sha256-a!b'"),
    _enforced("inline beside a short hash", ALWAYS, "script-src 'unsafe-inline' {O} 'sha256-abc'"),
    _enforced("inline beside another hash", ALWAYS, "script-src 'unsafe-inline' {O} 'md5-abcd'"),
    _enforced(
        "inline beside the hash of an address", NEVER, "script-src 'unsafe-inline' 'url-{X}'"
    ),
    _enforced(
        "inline beside the hash of code", ALWAYS, "script-src 'unsafe-inline' {O} 'eval-{X}'"
    ),
    _enforced(
        "inline beside other keywords",
        ALWAYS,
        "script-src 'unsafe-inline' {O} "
        "'unsafe-hashes' 'unsafe-eval' 'wasm-unsafe-eval' 'report-sample' 'report-sha256'",
    ),
    # 'unsafe-inline', out of force
    _enforced("inline beside a nonce", ALWAYS, "script-src 'unsafe-inline' {N} {O}"),
    _enforced("inline beside a hash", ALWAYS, "script-src 'unsafe-inline' {H} {O}"),
    _enforced("inline beside a hash in capitals", ALWAYS, "script-src 'unsafe-inline' {O} '{Y}'"),
    _enforced(
        "inline beside a nonce in capitals", ALWAYS, "script-src 'unsafe-inline' {O} 'NONCE-other'"
    ),
    _enforced(
        "inline beside strict-dynamic", NEVER, "script-src 'unsafe-inline' 'strict-dynamic' {O}"
    ),
    _enforced(
        "inline for everything beside a nonce", ALWAYS, "default-src 'unsafe-inline' {N} {O}"
    ),
    # By the standard 'strict-dynamic' switches 'unsafe-inline' off for scripts alone, and a hash
    # would for styles too (CSP Level 3, 6.7.3.3). Chromium 156 knows no difference.
    _enforced(
        "inline styles beside strict-dynamic",
        NEVER,
        "default-src 'unsafe-inline' 'strict-dynamic' {O}",
    ),
    # 'none'
    _enforced("no script", NEVER, "script-src 'none'"),
    _enforced("nothing", NEVER, "default-src 'none'"),
    _enforced("no source", NEVER, "script-src"),
    _enforced("'none' beside a host counts for nothing", ALWAYS, "script-src 'none' {O}"),
    # The console complains of the hash beside 'none'
    _enforced("'none' beside a keyword", NEVER, "script-src 'none' 'report-sample'"),
    # The more specific directives
    _enforced("elements", ALWAYS, "script-src-elem {O} 'self'; script-src 'none'"),
    _enforced("elements, inline", ALWAYS, "script-src-elem {O} 'unsafe-inline'; script-src 'self'"),
    _enforced(
        "elements of others", NEVER, "script-src-elem 'self'; script-src {O} 'unsafe-inline'"
    ),
    _enforced("elements, for nothing else", ALWAYS, "default-src 'none'; script-src-elem {O}"),
    _enforced(
        "handlers beside inline", ALWAYS, "script-src {O} 'unsafe-inline'; script-src-attr 'none'"
    ),
    _enforced(
        "handlers inline beside hosts", ALWAYS, "script-src {O}; script-src-attr 'unsafe-inline'"
    ),
    # Several policies
    _enforced(
        "two lines", ALWAYS, "script-src {O} 'self'", "script-src-elem http: 'unsafe-inline'"
    ),
    _enforced("two in a line", ALWAYS, "script-src {O}, default-src {O} 'self' {H}"),
    _enforced("two lines, one of them strict", NONCED, "script-src {O}", "script-src {N}"),
    _enforced("two lines, one of them 'none'", NEVER, "script-src {O}", "default-src 'none'"),
    # Report-only
    Policy("hosts, reported", ALWAYS, reported=("script-src 'self' {O}",)),
    Policy("nonce, reported", ALWAYS, reported=("script-src {N}",)),
    Policy("inline, reported", ALWAYS, reported=("default-src {O} 'unsafe-inline'",)),
    # These run scripts all the same, and ours must not be reported either
    Policy("no script, reported", ALWAYS, reported=("script-src 'none'",)),
    Policy("nothing, reported", ALWAYS, reported=("default-src 'none'",)),
    Policy("no source, reported", ALWAYS, reported=("script-src-elem",)),
    Policy(
        "'none' beside a sample, reported", ALWAYS, reported=("script-src 'none' 'report-sample'",)
    ),
    Policy("two, reported", ALWAYS, reported=("default-src {O}, script-src {N}", "script-src *")),
    Policy(
        "inline, and strict reported",
        ALWAYS,
        ("script-src {O} 'unsafe-inline'",),
        ("script-src {N} 'strict-dynamic'",),
    ),
    Policy("strict, and nothing reported", NONCED, ("script-src {N}",), ("default-src 'none'",)),
    Policy("no script, and hosts reported", NEVER, ("script-src 'none'",), ("script-src {O}",)),
    Policy("a sandbox, reported", ALWAYS, reported=("sandbox; script-src {O}",)),
    # How policies are written
    _enforced("duplicates: the first counts", ALWAYS, "script-src {O}; script-src 'none'"),
    _enforced("duplicates: the first is 'none'", NEVER, "script-src 'none'; script-src {O}"),
    _enforced("capitals", NONCED, "Default-SRC 'NONE'; SCRIPT-src 'STRICT-dynamic' 'Nonce-r4nd0m'"),
    _enforced("unknown directives", ALWAYS, "foo-src 'none'; script-src {O}; x"),
    _enforced("white space", ALWAYS, " \t;;script-src\t{O}  'self'\t; "),
    _enforced("white space behind everything", ALWAYS, "default-src {O}  'self' ; ;"),
    _enforced("samples", ALWAYS, "script-src {O} 'report-sample'"),
    _enforced("samples of everything", ALWAYS, "default-src {O} 'report-sample'"),
    _enforced("report-to", ALWAYS, "script-src {O}; report-to main"),
    _enforced("code from strings", ALWAYS, "default-src {O} {N} 'unsafe-eval'"),
    # Trusted Types
    _enforced("trusted types", ALWAYS, "require-trusted-types-for 'script'"),
    _enforced(
        "trusted types, none of them",
        ALWAYS,
        "require-trusted-types-for 'script'; trusted-types 'none'; script-src {O} {N}",
    ),
    _enforced(
        "trusted types, strict",
        NONCED,
        "require-trusted-types-for 'script'; script-src {N} 'strict-dynamic'",
    ),
    # Sandboxes that keep the origin and the scripts
    _enforced("a sandbox", ALWAYS, "sandbox allow-scripts allow-same-origin; script-src {O}"),
    _enforced("a sandbox in capitals", ALWAYS, "Sandbox ALLOW-SCRIPTS Allow-Same-Origin"),
]


@dataclass(frozen=True)
class Meta:
    name: str
    text: str  # the element
    widget: bool  # runs
    identified: bool
    attribute: str = ""  # of the widget tag
    enforced: tuple[str, ...] = ()


def _meta(policy: str) -> str:
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


METAS = [
    Meta("hosts", _meta("script-src {O}"), True, False),
    Meta("hosts for everything", _meta("default-src 'self' {O}"), True, False),
    Meta("samples", _meta("script-src {O} 'report-sample'"), True, False),
    Meta("hash", _meta("script-src {O} {H}"), True, False),
    Meta("nonce beside hosts", _meta("script-src {O} {N}"), True, False),
    Meta("no script", _meta("script-src 'none'"), False, False),
    Meta("nonce", _meta("script-src {N}"), True, True, f" nonce={NONCE}"),
    Meta("strict-dynamic", _meta("script-src {N} 'strict-dynamic'"), True, True, f" nonce={NONCE}"),
    Meta("inline", _meta("script-src {O} 'unsafe-inline'"), True, True),
    Meta("nothing about scripts", _meta("img-src *"), True, True),
    Meta("in the body", "<p>" + _meta("script-src 'none'"), True, True),
    Meta("in a comment", f"<!--{_meta('script-src {O}')}-->", True, True),
    Meta("and a field", _meta("script-src {O}"), True, False, enforced=("script-src {O} {N}",)),
    Meta(
        "nonce, and hosts in a field",
        _meta("script-src {N}"),
        True,
        True,
        f" nonce={NONCE}",
        enforced=("script-src {O}",),
    ),
]
