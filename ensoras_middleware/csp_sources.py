"""Whether a source list of a Content Security Policy lets a script be loaded from some address.

Source: CSP Level 3, sections 2.3.1 (source lists) and 6.7.2.7 to 6.7.2.12 (matching).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urlsplit

_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]*)"
_SCHEME_SOURCE = re.compile(f"{_SCHEME}:")
_HOST_SOURCE = re.compile(
    rf"(?:{_SCHEME}://)?(\*|(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)"
    r"(?::([0-9]{1,5}|\*))?(/[^?#]*)?"
)

# What of http(s) the scheme of a source matches besides itself (section 6.7.2.9).
_UPGRADES = {"http": {"https"}, "ws": {"http", "https"}, "wss": {"https"}}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def allow_address(sources: Iterable[str], address: str) -> bool:
    """Tell whether a host-source or a scheme-source matches an address, which is of http(s).

    The page is of another origin, so `'self'` does not. A source without a scheme means that of
    the page: https, or http, which matches both. Only a developer's widget has an http address, and
    so has the page there.
    """
    url = urlsplit(address)
    return any(_matches(source, url) for source in sources)


def _matches(source: str, url: SplitResult) -> bool:
    if source == "*":
        return True
    if scheme_source := _SCHEME_SOURCE.fullmatch(source):
        return _matches_scheme(scheme_source[1], url.scheme)
    host_source = _HOST_SOURCE.fullmatch(source)
    if host_source is None:
        return False
    scheme, host, port, path = host_source.groups()
    return (
        (scheme is None or _matches_scheme(scheme, url.scheme))
        and _matches_host(host.lower(), url.hostname or "")
        and _matches_port(port, url)
        and (path is None or _matches_path(path, url.path))
    )


def _matches_scheme(scheme: str, actual: str) -> bool:
    scheme = scheme.lower()
    return actual == scheme or actual in _UPGRADES.get(scheme, ())


def _matches_host(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


def _matches_port(port: str | None, url: SplitResult) -> bool:
    default = _DEFAULT_PORTS[url.scheme]
    return port == "*" or int(port or default) == (url.port or default)


def _matches_path(pattern: str, path: str) -> bool:
    pieces, actual = [unquote(piece) for piece in pattern.split("/")], path.split("/")
    if pattern.endswith("/"):
        return len(pieces) <= len(actual) and pieces[:-1] == actual[: len(pieces) - 1]
    return pieces == actual
