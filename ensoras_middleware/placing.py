"""Where in a page something is put, for whom, and what: the identify script, or the widget too.

A page has a place before its first widget tag that can be identified; with `embed`, where it has no
such tag, before the end of its body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from ensoras_middleware import csp, embedding, snippet
from ensoras_middleware.caching import Fields
from ensoras_middleware.eligibility import Request, withholds_identity
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.signing import Signing
from ensoras_middleware.widget import Widget
from ensoras_middleware.widget_tag import BodyEnd

if TYPE_CHECKING:
    from ensoras_middleware.candidate import WidgetTag
    from ensoras_middleware.scanner import Scanner


# A page has one brand, or a few; whoever names more only wants each to be looked up and remembered.
_MOST_BRANDS = 16


@dataclass(slots=True)
class Place:
    """Where something is put into a page, and what.

    `start` is an offset in bytes, `elements` what goes there; `script` is the text of the identify
    script among them, if any, and `nonce` its nonce.
    """

    start: int
    elements: bytes = field(repr=False)  # see `Signing`
    script: bytes | None = field(repr=False)
    nonce: str | None


@cache
def _scanner_class() -> type[Scanner]:
    # When the first page is identified: it compiles expressions for some hundredths of a second.
    from ensoras_middleware.scanner import Scanner

    return Scanner


class Placing(Signing):
    """Looks for the place in one page; `outcome` is set where no identify script may follow."""

    __slots__ = (
        "_governed", "_host_fields", "_mention", "_nonce", "_refused", "_request", "_scanner",
        "_script", "fields",
    )  # fmt: skip

    def __init__(self, widget: Widget, request: Request, fields: Fields) -> None:
        super().__init__(widget)
        self._request = request
        self._host_fields = self.fields = fields  # the host's, and those that go out
        self._mention = -1  # where a whole body first names the widget
        self._governed = False  # by a Content-Security-Policy
        self._nonce: str | None = None  # of a widget tag of ours, perhaps empty, if one may run
        self._scanner: Scanner | None = None  # while a place is looked for
        self._refused: set[str] = set()  # the slugs of widget tags that get no script
        self._script: bytes | None = None  # of a stream, where its text is known beforehand

    def _look_for_tag(self) -> None:
        """Begin to look for the widget tag, or set why no script may follow."""
        if self._email is None:
            return
        self._governed = csp.governs(self._host_fields)
        if withholds_identity(self._request) or (
            self._governed and csp.withholds_origin(self._host_fields)
        ):
            self._because(Outcome.WITHHELD)
            self._email = None
        elif self._governed and csp.lets_no_script_run(self._host_fields):
            self._because(Outcome.CSP_BLOCKED)
            self._email = None
        else:
            self._scanner = self._new_scanner()

    def _look_for_body_end(self) -> None:
        """Begin to look for the end of the body too, where the widget can run."""
        self._nonce = embedding.nonce_of_widget(self._widget, self._host_fields)
        if self._nonce is not None:
            self._scanner = self._new_scanner(body_end=True)

    def _new_scanner(self, *, body_end: bool = False) -> Scanner:
        widget = self._widget
        return _scanner_class()(
            widget.address, widget.needle, mention=self._mention, body_end=body_end
        )

    def _next_place(self, scanner: Scanner, chunk: bytes) -> Place | None:
        """Return the place of the next script, or of the widget where a page has none."""
        body_end = None
        found = scanner.feed(chunk)
        while found is not None:
            if isinstance(found, BodyEnd):
                body_end = found
                if self._mention < 0:
                    break
                # In a whole page the widget tag may stand behind it.
            else:
                body_end = None
                place = self._place_before(found)
                if place is not None or self._scanner is None:
                    return place
            found = scanner.feed(b"")
        if scanner.doubt is not None:
            self._because(Outcome.AMBIGUOUS)
            return None
        return None if body_end is None else self._place_of_widget(body_end)

    def _place_before(self, tag: WidgetTag) -> Place | None:
        """Return the place of the identify script, or stop looking for one where none can be."""
        if self._email is None:
            self._scanner = None
        elif tag.dangling:
            self._because(Outcome.DANGLING)
            self._scanner = None
        else:
            script = self._script
            if script is None and tag.slug not in self._refused:
                script = self._script_for(tag.slug)
            if script is not None and self._may_run(script, tag):
                element = snippet.script_element(script, tag.nonce)
                return Place(tag.start, element, script, tag.nonce)
            self._refused.add(tag.slug)
            if len(self._refused) > _MOST_BRANDS:
                self._scanner = None
        return None

    def _place_of_widget(self, body_end: BodyEnd) -> Place:
        script, slug, nonce = self._script, self._widget.slug, self._nonce
        if script is None and self._email is not None and slug is not None:
            script = self._script_for(slug)
        elements = b"" if script is None else snippet.script_element(script, nonce)
        elements += embedding.written_tag(self._widget, nonce)
        return Place(body_end.start, elements, script, nonce)

    def _may_run(self, script: bytes, tag: WidgetTag) -> bool:
        """Tell whether the policy admits the script, where its header field has left already."""
        if self.outcome is not Outcome.STREAMING:
            return True
        return self._admitting(self.fields, script, tag.nonce) == self.fields

    def _admitting(self, fields: Fields, script: bytes, nonce: str | None) -> Fields:
        if not self._governed:
            return fields
        return csp.admitting(fields, nonce=nonce, hash_source=snippet.hash_source(script))

    def _script_for(self, slug: str) -> bytes | None:
        identity = self._identity_for(slug)
        return None if identity is None else snippet.identify_script(identity)
