"""One widget, as a valid configuration describes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ensoras_middleware.log import logger
from ensoras_middleware.secret import SecretSource, checked_secret
from ensoras_middleware.widget_tag import ADDRESS_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """One valid configuration.

    `slug` is `None` where the page's widget tag says which widget it is. `get_email` is `None`
    where the framework's own user is read.
    """

    slug: str | None
    origin: str
    exclude: tuple[str, ...]
    debug: bool
    get_email: Callable[..., Any] | None = field(repr=False)
    address: re.Pattern[str]  # of a widget script, resolved; its first group is the slug
    _secret: SecretSource = field(repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)

    def secret(self, slug: str) -> bytes | None:
        """Return the secret of a widget now, or `None` where there is none.

        Raises `ConfigurationError` for an unusable one, and whatever the site's callable raises.
        """
        secret = self._secret(slug)
        return None if secret is None else checked_secret(secret)

    def find_address(self, body: bytes, start: int = 0) -> int:
        """Return the offset of the next mention of the widget's address in `body`, or -1.

        It has to stand there as plain text from the host on, as it does in every real page; the
        host in any case, as URLs have it.
        """
        host = self.origin.partition("//")[2].encode()
        script = self.slug.encode() + b".js" if self.slug else b""
        found = body.find(ADDRESS_PATH, start)
        while found >= 0:
            named = body[max(found - len(host), 0) : found].lower() == host
            if named and body.startswith(script, found + len(ADDRESS_PATH)):
                return found
            found = body.find(ADDRESS_PATH, found + 1)
        return -1

    def excludes(self, path: str) -> bool:
        """Tell whether a path, without the root path, is never touched."""
        return any(path == one or path.startswith(one + "/") for one in self.exclude)

    def warn_once(self, kind: str, message: str, *arguments: object) -> None:
        """Log a problem the first time that its kind turns up."""
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning(message, *arguments)
