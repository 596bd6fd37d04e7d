"""What a site has answered to one visitor."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from urllib.parse import urlsplit

from ensoras_middleware.caching import Fields
from ensoras_middleware.identity import Identity
from ensoras_middleware.page import Page, read_page

ANONYMOUS = "anonymous"
CUSTOMER = "customer"
SECOND_CUSTOMER = "second customer"


@dataclass(frozen=True)
class Answer:
    """One answer, decoded; `hops` are the addresses of the redirects that led to it."""

    visitor: str
    url: str = field(repr=False)
    status: int
    fields: Fields = field(repr=False)
    body: bytes = field(repr=False)
    hops: tuple[str, ...] = field(default=(), repr=False)

    def values(self, name: str) -> list[str]:
        """Return the values of a header field, by its lower-case name."""
        return [value for one, value in self.fields if one.lower() == name]

    def value(self, name: str) -> str:
        """Return the field's values as one list (RFC 9110, section 5.3)."""
        return ", ".join(self.values(name))

    @cached_property
    def page(self) -> Page:
        """What the page says."""
        return read_page(self.body)

    @property
    def identities(self) -> list[Identity]:
        """Whom the page identifies, as far as it says so in plain strings."""
        return [call.identity for call in self.page.calls if call.identity is not None]


def shown_address(url: str) -> str:
    """Return an address without what may be secret in it: its query, and a user's name."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine, as browsers see it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
