"""SVG and MathML inside HTML: which elements are open, and by whose rules the next tag is read.

Source: WHATWG HTML, sections 13.2.6 (the tree construction dispatcher) and 13.2.6.5 (the rules
for parsing tokens in foreign content). Names are compared in lower case.
"""

from __future__ import annotations

import re

from ensoras_middleware.markup import NAME_LIMIT

_HTML = b"html"

_INTEGRATION_POINTS = frozenset(
    [(b"svg", name) for name in (b"foreignobject", b"desc", b"title")]
    + [(b"math", name) for name in (b"mi", b"mo", b"mn", b"ms", b"mtext")]
)

# Start tags that end all foreign content around them.
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img "
    b"li listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul "
    b"var".split()
)
# Start tags whose meaning here depends on attributes, or that parsers disagree about.
_UNSURE = frozenset(b"font annotation-xml mglyph malignmark".split())
# HTML elements that change the insertion mode: not followed inside foreign content.
_STRUCTURE = frozenset(
    b"html head body frameset frame caption col colgroup table tbody tfoot thead tr td th template "
    b"select option optgroup plaintext".split()
)
_VOID = frozenset(
    b"area base basefont bgsound br embed hr img input keygen link meta param source track "
    b"wbr".split()
)


class ForeignElements:
    """The open elements from the outermost `svg` or `math` on, as (namespace, name)."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: list[tuple[bytes, bytes]] = []

    def __len__(self) -> int:
        return len(self._open)

    @property
    def in_html_element(self) -> bool:
        """Whether the current node is an HTML element."""
        return not self._open or self._open[-1][0] == _HTML

    @property
    def at_integration_point(self) -> bool:
        """Whether the current node is a foreign element whose content is HTML."""
        return bool(self._open) and self._open[-1] in _INTEGRATION_POINTS

    def enter(self, name: bytes, tag: re.Match[bytes]) -> None:
        """Open an `svg` or `math` element in HTML content."""
        if not tag["solidus"]:
            self._open.append((name, name))

    def read(self, name: bytes, tag: re.Match[bytes]) -> bool:
        """Follow one tag; return whether it is sure how browsers read it."""
        if len(name) > NAME_LIMIT:
            return False
        if tag["end"]:
            return self._end_tag(name)
        if self.in_html_element or self.at_integration_point:
            return self._html_start_tag(name, tag)
        if name in _UNSURE:
            return False
        if name in _BREAKOUT:
            while not (self.in_html_element or self.at_integration_point):
                self._open.pop()
            return not self._open or self._html_start_tag(name, tag)
        if not tag["solidus"]:
            self._open.append((self._open[-1][0], name))
        return True

    def _html_start_tag(self, name: bytes, tag: re.Match[bytes]) -> bool:
        if name in _STRUCTURE or name in _UNSURE:
            return False
        if name in (b"svg", b"math"):
            self.enter(name, tag)
        elif name not in _VOID:
            self._open.append((_HTML, name))
        return True

    def _end_tag(self, name: bytes) -> bool:
        if self._open[-1][1] == name:
            self._open.pop()
            return True
        # Foreign elements that were left open end with the one around them.
        for index in range(len(self._open) - 1, -1, -1):
            namespace, open_name = self._open[index]
            if namespace == _HTML:
                return False
            if open_name == name:
                del self._open[index:]
                return True
        return False
