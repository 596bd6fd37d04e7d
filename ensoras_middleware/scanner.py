"""Finds the widget tag in a page as an HTML parser with scripting on would, chunk by chunk.

Where it is told to, it finds the end of the body too: the first end tag of `body` that the
tokenizer reads in HTML content, outside of templates and of `select`, where a parser ignores it.

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

from ensoras_middleware import markup
from ensoras_middleware.candidate import WidgetTag, read_widget_tag
from ensoras_middleware.foreign import ForeignElements
from ensoras_middleware.hops import (
    HOPS,
    ICON,
    ICON_DEPTH,
    NESTED_HOPS,
    Hop,
    hops_to_body_end,
    shadow_host,
    stays_around_white_space,
)
from ensoras_middleware.widget_tag import ADDRESS_PATH, TAG_LIMIT, BodyEnd

# Chromium stops nesting elements at 512 (`kMaximumHTMLParserDOMTreeDepth`).
DEPTH_LIMIT = 512

_END_OF_TEXT = -1

# What the content of an open template is: dead, the live content of a shadow root, or unsure.
_INERT, _SHADOW_ROOT, _UNSURE = "inert", "shadow root", "unsure"


class Scanner:
    """Finds widget tags in the chunks of one page.

    `address` matches the whole address of a widget script; its first group is the slug. Without
    it nothing is a widget tag. The tag's `src` holds `needle` as it is; `mention` is where the
    first chunk does, if that is known. With `scripting` off, `noscript` is an element like others.
    With `body_end`, the first end of the body is reported too, unless a widget tag stands before.
    """

    __slots__ = (
        "_address", "_awaited", "_content", "_fed", "_foreign", "_held", "_hops", "_host",
        "_in_select", "_kept", "_mention", "_needle", "_noscript", "_oversized", "_resume",
        "_scripting", "_step_until", "_tag", "_target", "_templates", "doubt", "ended",
    )  # fmt: skip

    def __init__(
        self,
        address: re.Pattern[str] | None,
        needle: bytes = ADDRESS_PATH,
        *,
        mention: int = -1,
        scripting: bool = True,
        body_end: bool = False,
    ) -> None:
        self._address = address
        self._needle = needle
        self._scripting = scripting
        self._hops = hops_to_body_end() if body_end else HOPS
        self.doubt: str | None = None  # why the scanner gave up
        self.ended = False  # no widget tag can follow
        self._fed = 0
        self._kept = b""  # text to read again with the next chunk
        self._resume = 0  # how many bytes of it have been read: those up to what was reported
        self._held = 0  # how many of the bytes fed last may belong to a widget tag
        self._awaited = b"<"  # nothing has to be read again before this has come
        self._oversized = False  # `_kept` is a `script` start tag beyond the limit
        self._tag: WidgetTag | BodyEnd | None = None
        # The open element whose content is text, and how often its script data is escaped.
        self._content: tuple[bytes, int] | None = None
        # Reads the open noscript as a frame without scripting would.
        self._noscript: Scanner | None = None
        self._templates: list[str] = []
        self._host = b""  # the shadow host with whose start tag the text ends, but for white space
        self._in_select = False
        self._foreign = ForeignElements()
        # Of the text that is read now: where it names the widget, if that is known, how far to
        # hop, and how far to go step by step since no hop could be proven.
        self._mention, self._target, self._step_until = mention, -1, 0

    @property
    def released(self) -> int:
        """The offset in the page before which nothing can belong to a widget tag any more."""
        return self._fed - self._held

    def feed(self, chunk: bytes) -> WidgetTag | BodyEnd | None:
        """Read on, and return the next widget tag, or `None` where the text so far has none.

        After a tag, or the end of the body, `feed(b"")` goes on behind it.
        """
        self._fed += len(chunk)
        if self.ended:
            return None
        if chunk.find(self._awaited) >= 0 or len(self._kept) + len(chunk) >= TAG_LIMIT:
            self._read_on(chunk)
            return self._tag
        self._kept += chunk
        if self._held:
            self._held += len(chunk)
        return None

    def _read_on(self, chunk: bytes) -> None:
        text = self._kept + chunk if self._kept else chunk
        start = position = self._resume
        self._resume = 0
        self._kept, self._held, self._awaited, self._tag = b"", 0, b"<", None
        self._target, self._step_until = -1, 0
        while position != _END_OF_TEXT:
            if self._content is not None:
                position = self._text_content(text, position)
            elif self._foreign:
                position = self._foreign_content(text, position)
            else:
                position = self._html_content(text, position)
        self._mention = -1
        # ESC changes the meaning of the bytes behind it in the ISO-2022 encodings, which a page
        # can choose for itself in a `meta` element.
        if text.find(b"\x1b", start, self._resume if self._tag else len(text)) >= 0:
            self._give_up("holds an escape sequence")
        elif len(text) == self._fed and text.startswith((b"\xfe", b"\xff")):
            self._give_up("begins like UTF-16")

    def _give_up(self, doubt: str) -> int:
        self.doubt = doubt
        return self._end()

    def _end(self) -> int:
        self.ended = True
        self._tag, self._held = None, 0
        return _END_OF_TEXT

    # HTML content ---------------------------------------------------------------------------

    def _html_content(self, text: bytes, position: int) -> int:
        place, opener, _ = self._hop(text, position)
        if place > 0:
            self._oversized = False  # that was the tag with which the text begins
        name = opener[1].lower() if opener is not None else b""
        if name in (b"", b"template") and not self._see_shadow_host(text, position, place):
            self._step_until = place
            return position
        if opener is None:
            return self._keep(text, place)
        if name == b"!--":
            return self._comment(text, place)
        if name == b"/body":
            return self._report(BodyEnd(self._fed - len(text) + place), text, place, place)
        tag = markup.TAG.match(text, place)
        if tag is None:
            return self._keep(text, place)
        return self._opener_tag(text, name, tag)

    def _hop(self, text: bytes, position: int) -> Hop:
        hops = NESTED_HOPS if self._templates or self._in_select else self._hops
        if self._target < position:
            self._target = self._last_tag_before_mention(text, position)
        if position >= self._step_until:
            hop = place, _, proven = hops.next(text, position, self._target)
            if proven:
                return hop
            self._step_until = place
        return hops.step(text, position)

    def _last_tag_before_mention(self, text: bytes, position: int) -> int:
        """Return how far to hop: only what the tag there begins can name the widget next."""
        mention = self._mention
        if mention < position:
            mention = text.find(self._needle, position)
        return text.rfind(b"<", position, mention if mention >= 0 else len(text))

    def _see_shadow_host(self, text: bytes, position: int, place: int) -> bool:
        """Note the one whose start tag stands directly before; return `False` to read in steps."""
        end = place
        while end > position and text[end - 1] in markup.WHITE_SPACE:
            end -= 1
        if end > position:
            start, host = shadow_host(text, position, end)
            proven = not host or HOPS.is_in_data_state(text, position, start)
            self._host = host if proven else b""
            if not proven and position >= self._step_until:
                return False
        elif position > 0:  # else it is as the text before this one left it
            self._host = b""
        if end < place and not stays_around_white_space(self._host):
            self._host = b""
        return True

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
        else:  # `col`, looked for in templates alone: the rest of the template may be ignored
            return self._give_up("a template holds table columns")
        return tag.end()

    def _template(self, tag: re.Match[bytes]) -> int:
        if tag.end() - tag.start() > TAG_LIMIT or len(self._templates) == DEPTH_LIMIT:
            return self._give_up("a template's tag is too long, or it is nested too deep")
        kind = _INERT
        attributes = markup.by_name(markup.attribute_list(tag))
        mode = attributes.get(b"shadowrootmode", b"").lower()
        if mode in (b"open", b"closed"):
            kind = _SHADOW_ROOT if self._host else _UNSURE
        elif b"&" in mode:  # a character reference
            kind = _UNSURE
        self._templates.append(kind)
        return tag.end()

    def _report(self, found: WidgetTag | BodyEnd, text: bytes, place: int, resume: int) -> int:
        self._tag, self._hops = found, HOPS
        self._kept, self._resume, self._awaited = text, resume, b""
        self._held = len(text) - place
        return _END_OF_TEXT

    # Elements that hold text ----------------------------------------------------------------

    def _text_element(self, text: bytes, name: bytes, tag: re.Match[bytes]) -> int:
        if name == b"noscript":
            if not self._scripting:
                return tag.end()
            self._noscript = Scanner(None, scripting=False)
        self._content = (name, 0)
        oversized, self._oversized = self._oversized, False
        found = None
        if name == b"script" and not oversized and _INERT not in self._templates:
            place = self._fed - len(text) + tag.start()
            found = (
                read_widget_tag(tag, self._address, self._needle, place) if self._address else None
            )
        if found is None:
            return tag.end()
        if _UNSURE in self._templates:
            return self._give_up("a template may or may not be a shadow root")
        return self._report(found, text, tag.start(), tag.end())

    def _text_content(self, text: bytes, position: int) -> int:
        assert self._content is not None
        name, escapes = self._content
        if name == b"script":
            end, position, escapes = markup.script_data_end(text, position, escapes)
        else:
            end = markup.RAW_TEXT_END[name].search(text, position)
        # Behind `rest` may stand a part of what ends the content.
        rest = end.start() if end else max(position, len(text) - len(name) - 2)
        if self._noscript is not None:
            self._noscript._read_on(text[position:rest])
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
        return not (self._kept or self.ended or self._content or self._foreign)

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
        is_foreign = not (self._foreign.in_html_element or self._foreign.at_integration_point)
        if is_foreign and len(self._foreign) + ICON_DEPTH <= DEPTH_LIMIT:
            icon = ICON.match(text, position)
            position = icon.end() if icon else position
        start = text.find(b"<", position)
        if start < 0:
            return _END_OF_TEXT
        if text.startswith(b"<!--", start):
            return self._comment(text, start)
        if text.startswith(b"<![CDATA[", start):
            if not is_foreign:
                return self._give_up("a CDATA section inside HTML inside foreign content")
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
            if b"<script".startswith(rest.lower()) or self._may_end_body(rest):
                self._held, self._awaited = len(rest), b""
        elif start := markup.TAG_START.match(rest):
            return self._keep_tag(rest, start[0].lower())
        else:  # a bogus comment
            self._kept = b"<?"
        return _END_OF_TEXT

    def _may_end_body(self, rest: bytes) -> bool:
        return self._hops is not HOPS and b"</body".startswith(rest.lower())

    def _keep_tag(self, rest: bytes, name: bytes) -> int:
        if name in (b"<script", b"<template") and len(rest) < TAG_LIMIT and not self._oversized:
            self._kept, self._awaited = rest, b">"
            self._held = len(rest) if name == b"<script" else 0
        elif name == b"<template" and not self._foreign:
            return self._give_up("a template's tag is too long")
        else:
            self._kept, self._oversized = markup.shortened_tag(rest), name == b"<script"
        return _END_OF_TEXT
