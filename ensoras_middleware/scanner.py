"""Finds the widget tag in a page as an HTML parser with scripting on would, chunk by chunk.

The scanner reads what an HTML tokenizer reads, but steps only on what can change how the rest is
read: comments, script data, raw text elements, templates, `select`, and foreign (SVG and
MathML) content. Between those it hops, and proves for each hop that it lands in the data
state. It knows nothing of HTTP, users or secrets.

It is sound rather than complete: where browsers differ, or the tree construction stage would
have to be repeated to know, it gives up with a `doubt`, and the page stays anonymous.

Cutting the page into chunks never changes the answer, and what is kept between two chunks is
bounded: at most `TAG_LIMIT` bytes of a tag, the open foreign elements, the open templates.

Source: WHATWG HTML, sections 13.2.5 (tokenization) and 13.2.6 (tree construction).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ensoras_middleware import markup
from ensoras_middleware.foreign import ForeignElements
from ensoras_middleware.widget_tag import NONCE

# The longest start tag that is still taken for a widget tag, and so the most that is held back.
TAG_LIMIT = 4096
# Chromium stops nesting elements at 512 (`kMaximumHTMLParserDOMTreeDepth`).
DEPTH_LIMIT = 512

_END_OF_TEXT = -1

# CSP Level 3, section 6.7.2.2, "Is element nonceable?"
_DANGLING_MARKUP = re.compile(rb"<(?:script|style)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WidgetTag:
    """One widget tag of a page.

    `start` is the offset of its `<` in the page, in bytes; `slug` is the widget it loads; `nonce`
    is its nonce, where a browser would honour it; `dangling` tells that an attribute of it holds
    `<script` or `<style`, as markup does into which somebody injected.
    """

    start: int
    slug: str
    nonce: str | None
    dangling: bool


class Scanner:
    """Finds widget tags in the chunks of one page.

    `address` matches the whole address of a widget script; its first group is the slug. Without
    it nothing is a widget tag. With `scripting` off, `noscript` is an element like others.
    """

    __slots__ = (
        "_address", "_content", "_fed", "_foreign", "_held", "_in_select", "_kept", "_noscript",
        "_scripting", "_tag", "_templates", "_waiting", "doubt", "ended",
    )  # fmt: skip

    def __init__(self, address: re.Pattern[str] | None, *, scripting: bool = True) -> None:
        self._address = address
        self._scripting = scripting
        self.doubt: str | None = None  # why the scanner gave up
        self.ended = False  # no widget tag can follow
        self._fed = 0
        self._kept = b""  # text to read again with the next chunk
        self._held = 0  # how many of the bytes fed last may belong to a widget tag
        self._waiting = False  # `_kept` is a tag that lacks its `>`
        self._tag: WidgetTag | None = None
        # The open element whose content is text, and how often its script data is escaped.
        self._content: tuple[bytes, int] | None = None
        self._noscript: Scanner | None = (
            None  # reads the open noscript as a script-less frame would
        )
        self._templates: list[bool] = []  # the open templates; true: a declarative shadow root
        self._in_select = False
        self._foreign = ForeignElements()

    @property
    def released(self) -> int:
        """The offset in the page before which nothing can belong to a widget tag any more."""
        return self._fed - self._held

    def feed(self, chunk: bytes) -> WidgetTag | None:
        """Read on, and return the next widget tag, or `None` where the text so far has none.

        After a tag, `feed(b"")` goes on behind it.
        """
        first_byte = self._fed == 0 and chunk[:1]
        self._fed += len(chunk)
        if self.ended:
            return None
        if self._waiting and b">" not in chunk and len(self._kept) + len(chunk) < TAG_LIMIT:
            self._kept += chunk
            self._held = len(self._kept)
            return None
        text = self._kept + chunk if self._kept else chunk
        self._kept, self._held, self._waiting, self._tag = b"", 0, False, None
        if first_byte and first_byte in b"\xfe\xff":
            self._give_up("begins like UTF-16")
            return None
        self._read(text)
        # ESC changes the meaning of the bytes behind it in the ISO-2022 encodings, which a page
        # can choose for itself in a `meta` element.
        read = len(text) if self._tag is None else self._tag.start - self._fed + len(text)
        if not self.ended and text.find(b"\x1b", 0, read) >= 0:
            self._give_up("holds an escape sequence")
        return self._tag

    def _read(self, text: bytes) -> None:
        position = 0
        while position != _END_OF_TEXT:
            if self._content is not None:
                position = self._text_content(text, position)
            elif self._foreign:
                position = self._foreign_content(text, position)
            else:
                position = self._html_content(text, position)

    def _give_up(self, doubt: str) -> int:
        self.doubt = doubt
        return self._end()

    def _end(self) -> int:
        self.ended = True
        self._tag, self._held = None, 0
        return _END_OF_TEXT

    # HTML content ---------------------------------------------------------------------------

    def _html_content(self, text: bytes, position: int) -> int:
        opener, position = _next_opener(text, position)
        if opener is None:
            return self._keep(text, position)
        if opener["name"] is None:
            return self._comment(text, position)
        tag = markup.TAG.match(text, position)
        if tag is None:
            return self._keep(text, position)
        return self._opener_tag(text, opener["name"].lower(), tag)

    def _opener_tag(self, text: bytes, name: bytes, tag: re.Match[bytes]) -> int:
        if self._in_select and name not in (b"script", b"/select"):
            return self._give_up("a select holds elements that parsers disagree about")
        if name == b"script" or name in markup.RAW_TEXT_END:
            return self._text_element(text, name, tag)
        if name in (b"svg", b"math"):
            self._foreign.enter(name, tag)
        elif name == b"template":
            return self._template(tag)
        elif name == b"/template":
            del self._templates[-1:]
        elif name in (b"select", b"/select"):
            self._in_select = name == b"select"
        elif name == b"plaintext":
            return self._end()
        elif name == b"frameset":
            return self._give_up("a frameset may replace the body")
        elif name == b"col" and self._templates:  # the rest of the template may be ignored
            return self._give_up("a template holds table columns")
        return tag.end()

    def _template(self, tag: re.Match[bytes]) -> int:
        if tag.end() - tag.start() > TAG_LIMIT or len(self._templates) == DEPTH_LIMIT:
            return self._give_up("a template's tag is too long, or it is nested too deep")
        mode = _attributes(tag).get(b"shadowrootmode", b"")
        self._templates.append(mode.lower() in (b"open", b"closed"))
        return tag.end()

    # Elements that hold text ----------------------------------------------------------------

    def _text_element(self, text: bytes, name: bytes, tag: re.Match[bytes]) -> int:
        if name == b"noscript":
            if not self._scripting:
                return tag.end()
            self._noscript = Scanner(None, scripting=False)
        self._content = (name, 0)
        if name == b"script" and all(self._templates):
            self._tag = self._widget_tag(text, tag)
            if self._tag is not None:
                self._kept = text[tag.end() :]
                self._held = len(text) - tag.start()
                return _END_OF_TEXT
        return tag.end()

    def _text_content(self, text: bytes, position: int) -> int:
        assert self._content is not None
        name, escapes = self._content
        if name == b"script":
            end, position, escapes = _script_data_end(text, position, escapes)
        else:
            end = markup.RAW_TEXT_END[name].search(text, position)
        # Behind `rest` may stand a part of what ends the content.
        rest = end.start() if end else max(position, len(text) - len(name) - 2)
        if self._noscript is not None:
            self._noscript.feed(text[position:rest])
        if end is None:
            self._content = (name, escapes)
            self._kept = text[rest:]
            return _END_OF_TEXT
        self._content = None
        if self._noscript is not None:
            if not self._noscript._in_data_state():
                return self._give_up("a noscript would swallow markup where scripting is off")
            self._noscript = None
        return rest

    def _in_data_state(self) -> bool:
        return not (self._kept or self.ended or self._content)

    # Comments and CDATA ---------------------------------------------------------------------

    def _comment(self, text: bytes, start: int) -> int:
        end = markup.COMMENT_ENDS_AT_ONCE.match(text, start + 4)
        end = end or markup.COMMENT_END.search(text, start + 4)
        if end is not None:
            return end.end()
        rest = text[start:]
        self._kept = rest if len(rest) <= 8 else b"<!--x" + rest[-3:]
        return _END_OF_TEXT

    def _cdata_section(self, text: bytes, start: int) -> int:
        end = text.find(b"]]>", start + 9)
        if end >= 0:
            return end + 3
        self._kept = b"<![CDATA[" + text[max(start + 9, len(text) - 2) :]
        return _END_OF_TEXT

    # Foreign content ------------------------------------------------------------------------

    def _foreign_content(self, text: bytes, position: int) -> int:
        start = text.find(b"<", position)
        if start < 0:
            return _END_OF_TEXT
        if text.startswith(b"<!--", start):
            return self._comment(text, start)
        if text.startswith(b"<![CDATA[", start) and not self._foreign.in_html_element:
            if self._foreign.at_integration_point:
                return self._give_up("a CDATA section at an integration point")
            return self._cdata_section(text, start)
        tag = markup.TAG.match(text, start)
        if tag is not None:
            return self._foreign_tag(text, tag)
        other = markup.BOGUS_COMMENT.match(text, start)
        if other is not None:
            return other.end()
        if markup.LITERAL_LESS_THAN.match(text, start):
            return start + 1
        return self._keep(text, start)

    def _foreign_tag(self, text: bytes, tag: re.Match[bytes]) -> int:
        name = tag["name"].lower()
        if not self._foreign.read(name, tag) or len(self._foreign) > DEPTH_LIMIT:
            return self._give_up("foreign content that parsers disagree about")
        if tag["end"] or not self._foreign.in_html_element:
            return tag.end()
        if name == b"script" or name in markup.RAW_TEXT_END:
            return self._text_element(text, name, tag)
        return tag.end()

    # Between two chunks ---------------------------------------------------------------------

    def _keep(self, text: bytes, position: int) -> int:
        """Keep what begins at `position`, in the data state, and is not complete."""
        rest = text[position:]
        if not rest:
            return _END_OF_TEXT
        undecided = markup.UNDECIDED.match(rest)
        if undecided or (self._foreign and b"<![CDATA[".startswith(rest)):
            self._kept = rest[: len("</") + markup.NAME_LIMIT + 1]
            self._held = len(rest) if b"<script".startswith(rest.lower()) else 0
        elif markup.BOGUS_COMMENT_START.match(rest):
            self._kept = b"<?"
        else:
            return self._keep_tag(rest)
        return _END_OF_TEXT

    def _keep_tag(self, rest: bytes) -> int:
        start = markup.TAG_START.match(rest)
        name = start[0].lower() if start else b""
        if name in (b"<script", b"<template") and len(rest) < TAG_LIMIT:
            self._kept, self._held, self._waiting = rest, len(rest), True
        elif name == b"<template" and not self._foreign:
            return self._give_up("a template's tag is too long")
        else:
            self._kept = markup.shortened_tag(rest)
        return _END_OF_TEXT

    def _widget_tag(self, text: bytes, tag: re.Match[bytes]) -> WidgetTag | None:
        if self._address is None or tag.end() - tag.start() > TAG_LIMIT:
            return None
        attributes = _attributes(tag)
        source = _resolved(attributes.get(b"src", b"")).strip("\t\n\f\r ")
        address = self._address.fullmatch(source)
        if address is None:
            return None
        return WidgetTag(
            start=self._fed - len(text) + tag.start(),
            slug=address[1],
            nonce=_nonce(attributes),
            dangling=_DANGLING_MARKUP.search(tag[0], 1) is not None,
        )


def _next_opener(text: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
    """Return the next opener in the data state and its place, given that `position` is in it.

    Without one, return the place of what the end of the text breaks off.
    """
    opener = markup.OPENER.search(text, position)
    place = opener.start() if opener else text.rfind(b"<", position)
    if place < 0:
        return None, len(text)
    if _proven_in_data_state(text, position, place):
        if opener is not None:
            return opener, place
        position = place
    walked = markup.ORDINARY.match(text, position)
    assert walked is not None
    return markup.OPENER.match(text, walked.end()), walked.end()


def _proven_in_data_state(text: bytes, data: int, place: int) -> bool:
    """Prove that the `<` at `place` is read in the data state, given that `data` is in it.

    No opener stands between the two, so the other states possible at `place` are those inside
    a tag, and the bogus comment state. Had one been entered there and not been left, then either

    * its `<` is the last one, and stands behind the last `>`; or
    * the last `>` stands inside a quoted attribute value. If that value has ended, its closing
      quote stands behind this `>`; if not, its opening quote is the last one of its kind, and
      follows `=` and white space.
    """
    behind = text.rfind(b">", data, place) + 1 or data
    between = text[behind:place]
    if b"<" in between or b'"' in between or b"'" in between:
        return False
    return not (
        _last_opens_value(b'"', text, data, place) or _last_opens_value(b"'", text, data, place)
    )


def _last_opens_value(quote: bytes, text: bytes, start: int, stop: int) -> bool:
    before = text.rfind(quote, start, stop) - 1
    while before >= start and text[before] in markup.WHITE_SPACE:
        before -= 1
    return before >= start and text[before] == ord("=")


def _script_data_end(
    text: bytes, position: int, escapes: int
) -> tuple[re.Match[bytes] | None, int, int]:
    """Return the end tag of the script, and from where in which state to read on without one."""
    while True:
        expression = markup.SCRIPT_DATA_ESCAPED if escapes else markup.SCRIPT_DATA
        found = expression.search(text, position)
        if found is None:
            return None, position, escapes
        position = found.end()
        if found[0] == b"<!--":
            escapes = 1
            position -= 2  # these dashes may be those of `-->`
        elif found[0] == b"-->":
            escapes = 0
        elif escapes and not found[1]:
            escapes = 2
        elif escapes == 2:
            escapes = 1
        else:
            return found, position, escapes


def _attributes(tag: re.Match[bytes]) -> dict[bytes, bytes]:
    """Return the attributes of a whole tag; the first of a name wins (13.2.5.33)."""
    attributes: dict[bytes, bytes] = {}
    for name, *values in markup.ATTRIBUTE.findall(
        tag[0], tag.end("name") - tag.start(), len(tag[0]) - 1
    ):
        attributes.setdefault(name.lower(), b"".join(values))
    return attributes


def _nonce(attributes: dict[bytes, bytes]) -> str | None:
    nonce = attributes.get(b"nonce", b"").decode("latin-1")
    return nonce if NONCE.fullmatch(nonce) else None


def _resolved(value: bytes) -> str:
    """Resolve the character references of an attribute value."""
    text = value.decode("latin-1")
    if "&" not in text:
        return text
    from html import unescape  # its table of entities costs a millisecond to import

    return unescape(text)
