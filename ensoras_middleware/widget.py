"""One widget, as a valid configuration describes it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ensoras_middleware.log import ON_OUTCOME_FAILED, PROBLEMS, is_debugging, kind_and_place, say
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.secret import CheckedSource, drop_coroutine

# Of one process: kinds may name the slug of a page, and a page may hold what its visitors wrote.
_MOST_WARNINGS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """One valid configuration.

    `slug` is `None` where the page's widget tag says which widget it is. `get_email` is `None`
    where the framework's own user is read, `identity_path` where there is no identity endpoint,
    `on_outcome` where nobody counts.
    """

    slug: str | None
    origin: str
    embed: bool
    exclude: tuple[str, ...]
    identity_path: str | None
    debug: bool
    on_outcome: Callable[[Outcome], object] | None = field(repr=False)
    wants_every_outcome: bool  # those of answers that are no pages, too
    get_email: Callable[..., Any] | None = field(repr=False)
    trust_emails: bool
    allow_impersonation: bool
    needle: bytes  # what every page that carries the widget holds, as plain text
    address: re.Pattern[str]  # of a widget script, resolved; its first group is the slug
    _secret: CheckedSource = field(repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)

    def secret(self, slug: str) -> bytes | None:
        """Return the secret of a widget now, or `None` where there is none.

        Raises `ConfigurationError` for an unusable one, and whatever the site's callable raises.
        """
        return self._secret(slug)

    def excludes(self, path: str) -> bool:
        """Tell whether a path, without the root path, is never touched."""
        return any(path == one or path.startswith(one + "/") for one in self.exclude)

    def tell(self, outcome: Outcome) -> None:
        """Tell the outcome of a response, once for each, to the log and to `on_outcome`."""
        if is_debugging():  # `value` and a call that logs nothing take as long as a short find
            say(logging.DEBUG, "%s", outcome.value)
        if self.on_outcome is not None:
            try:
                drop_coroutine(self.on_outcome(outcome))
            except Exception as error:
                where = kind_and_place(error)
                self.warn_once(where, ON_OUTCOME_FAILED, where)

    def warn_of_fault(self, error: Exception) -> None:
        """Log a fault of this middleware, once for each place."""
        where = kind_and_place(error)
        self.warn_once(where, PROBLEMS[Outcome.ERROR], where)

    def warn_once(self, kind: str, message: str, *arguments: object) -> None:
        """Log a problem the first time that its kind turns up."""
        if kind not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(kind)
            say(logging.WARNING, message, *arguments)

    def never_warn(self, kind: str) -> None:
        """Log no problem of this kind, for it turned out to be none."""
        self._warned.add(kind)
