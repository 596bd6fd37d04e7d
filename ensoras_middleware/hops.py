"""Hops over the ordinary text of HTML content, from one opener to the next.

An opener is what changes how the text behind it is read: the start of a comment, or a tag of one
of the names below. Other tags are not parsed: it is proved that a place stands in the data state,
and read exactly only where the proof fails.

Most openers are not stopped at either. Comments, scripts and raw text elements are *noted*: it is
enough to know that they have ended before the place that is hopped to. Others are hopped over
where they are *harmless*, all that they hold: plain comments, titles, iframes, icons, selects of
options, plain noscripts.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby

from ensoras_middleware import markup
from ensoras_middleware.markup import NAME_END, any_case, plain_attributes, plain_value

# The tags that matter while no foreign element is open (section 13.2.6.4), by first letters, those
# that matter besides while a template or a select is, and the one that ends the body.
_NAMES = (
    "script", "style", "svg", "select", "title", "template", "textarea", "iframe", "noscript",
    "noembed", "noframes", "math", "xmp", "plaintext", "frameset",
)  # fmt: skip
_NESTED_NAMES = (*_NAMES, "/template", "/select", "col")
_NAMES_AND_BODY_END = (*_NAMES, "/body")

# What is noted, and the end tags, by the group of the expression below.
_NOTED = ("!--", "script", *(name for name in markup.RAW_TEXT if name != "noscript"))
_COMMENT, _SCRIPT = 1, 2
_ENDS: dict[int | None, re.Pattern[bytes]] = {
    kind: re.compile(f"</{any_case(name)}".encode() + NAME_END)
    for kind, name in enumerate(_NOTED, 1)
    if kind != _COMMENT
}


def _any_of(names: tuple[str, ...]) -> bytes:
    branches = (
        f"{any_case(first)}(?:{'|'.join(any_case(name[1:]) for name in group)})"
        for first, group in groupby(names, key=lambda name: name[0])
    )
    return f"(?:{'|'.join(branches)})".encode() + NAME_END


def _begins_opener(names: tuple[str, ...]) -> bytes:
    """Return what turns most `<` of a page away by two letters, before all names are tried."""
    columns = zip("!-", *names, strict=False)
    letters = ("".join({*column, *map(str.upper, column)}) for column in columns)
    return "".join(f"[{re.escape(one)}]" for one in letters).encode()


# Harmless openers -------------------------------------------------------------------------------
#
# Where one of these begins in the data state, its end is in the data state, and nothing is left
# open. They hold no openers but those of raw text elements, which are noted too.

# The first `>` ends it, and so the escape that it begins in script data. It may hold openers: they
# are noted, or stopped at.
_PLAIN_COMMENT = rb"!--[^>]{0,200}+>(?<=-->)"

_UNQUOTED = rb"""[^\t\n\f\r "'=<>`]++"""  # a solidus before `>` is of the value
_ATTRIBUTES = plain_attributes(plain_value(unquoted=_UNQUOTED))
_ATTRIBUTES_WITHOUT_LESS_THAN = plain_attributes(plain_value(rb"[^%s<]*+", _UNQUOTED))


def _element(name: str, attributes: bytes, content: bytes) -> bytes:
    start, end = any_case(name).encode() + NAME_END, any_case(f"/{name}").encode()
    return b"%s%s>%s<%s%s*+>" % (start, attributes, content, end, markup.WS)


def _icon(depth: int) -> bytes:
    # Every element is closed, by a name that no HTML element has: none is left open behind it.
    inside = [
        *(
            b"%s%s%s(?:/>|></%s>)" % (name, NAME_END, _ATTRIBUTES, name)
            for name in (b"path", b"use", b"circle", b"rect", b"polygon")
        ),
        _element("title", _ATTRIBUTES, rb"[^<]*+"),
        b"(?:ellipse|line|polyline|stop)%s%s/>" % (NAME_END, _ATTRIBUTES),
    ]
    if depth:
        names = ("g", "symbol") if depth > 1 else ("g",)
        inside += [_element(name, _ATTRIBUTES, _icon(depth - 1)) for name in names]
    return rb"(?:[^<]++|<(?:%s)|(?!))*+" % b"|".join(inside)


def _options() -> bytes:
    names = b"(?:option|optgroup)" + NAME_END
    return rb"(?:[^<]++|</?%s%s>|(?!))*+" % (names, _ATTRIBUTES)


def _text_in_data_state(opener: bytes) -> bytes:
    # A noscript's text ends in the data state, for those who read it as markup, too.
    attributes = _ATTRIBUTES_WITHOUT_LESS_THAN
    inside = [_element(name, attributes, rb"[^<]*+") for name in ("iframe", "style")]
    tag = rb"(?!%s|/[nN][oO][sS])/?%s%s/?>" % (opener, markup.TAG_NAME, attributes)
    return rb"(?:[^<]++|<(?:%s)|(?!))*+" % b"|".join([*inside, tag])


def _harmless(opener: bytes) -> bytes:
    return b"|".join(
        [
            _PLAIN_COMMENT,
            _element("title", b"", rb"[^<]*+"),
            _element("iframe", _ATTRIBUTES, rb"[^<]*+"),
            _element("svg", _ATTRIBUTES, _icon(depth=2)),
            _element("select", _ATTRIBUTES, _options()),
            _element("noscript", _ATTRIBUTES_WITHOUT_LESS_THAN, _text_in_data_state(opener)),
        ]
    )


# Hops -------------------------------------------------------------------------------------------


# Where a hop leads: a place in the data state, that of an opener or where the text begins that its
# end breaks off; the opener; and whether this is proven. If not, the way there is read in steps.
Hop = tuple[int, re.Match[bytes] | None, bool]


class Hops:
    """Hops from opener to opener of some names."""

    __slots__ = ("_opener", "_ordinary", "_stop", "_unnoted")

    def __init__(self, names: tuple[str, ...], *, stopping_at_all: bool = False) -> None:
        opener = b"!--|" + _any_of(names)
        # The group tells what is noted, and the last one that it is not. They are empty, and stand
        # at the end: the engine looks at the first letter of each branch before it enters it.
        noted = b"|".join(
            any_case(name).encode() + (NAME_END if name.isalpha() else b"") + b"()"
            for name in _NOTED
        )
        stop = b"(?:%s)(?P<unnoted>)" % opener
        if not stopping_at_all:
            stop = b"(?!%s)(?:%s|(?:%s)(?P<unnoted>))" % (_harmless(opener), noted, opener)
        # Going on and back costs nearly every `<` less than looking ahead. What is not noted takes
        # all the text behind it, so that it is the last.
        self._stop = re.compile(
            b"<%s(?<=(?=<(?:%s))...)(?(unnoted)(?s:.*))" % (_begins_opener(names), stop)
        )
        self._unnoted = self._stop.groupindex["unnoted"]
        self._opener = re.compile(b"<(%s)" % opener)
        # All that leaves the tokenizer in the data state: text, bogus comments, and whole tags of
        # other names.
        self._ordinary = re.compile(
            rb"(?:[^<]++|<(?![a-zA-Z/!?])(?!\Z)|%s|<(?!%s)/?%s%s/?>|(?!))*+"
            % (markup.BOGUS_COMMENT_TEXT, opener, markup.TAG_NAME, markup.ATTRIBUTES)
        )

    def next(self, text: bytes, position: int, target: int) -> Hop:
        """Hop as far as can be proven, given that `position` is in the data state.

        At the most that is to the first opener from `target` on, the place of a `<` if there is one
        to hop to.
        """
        place = max(position, target)
        last = self._last_stops(text, position, place)
        if self._unnoted in last:  # it may not be hopped over
            place = last.pop(self._unnoted).start()
        if _proven_in_data_state(text, position, place, last):
            return self.step(text, place)
        if last:  # perhaps the last one has not ended
            opened = max(opener.start() for opener in last.values())
            if self._is_proven(text, position, opened):
                return self.step(text, opened)
        return place, None, False

    def step(self, text: bytes, position: int) -> Hop:
        """Read exactly, up to the next opener, of whatever kind."""
        opener = self._opener.match(text, position)
        if opener is None:
            position = self._ordinary_end(text, position)
            opener = self._opener.match(text, position)
        return position, opener, True

    def is_in_data_state(self, text: bytes, data: int, place: int) -> bool:
        """Tell whether the `<` at `place` is read in the data state, given that `data` is in it.

        Where openers stand between, only `True` is sure.
        """
        if self._is_proven(text, data, place):
            return True
        end = self._ordinary_end(text, data, place)
        # A `<` before the one at `place` is text, but does not look whole from there.
        return end == place or text[end:place] == b"<"

    def _is_proven(self, text: bytes, data: int, place: int) -> bool:
        last = self._last_stops(text, data, place)
        return self._unnoted not in last and _proven_in_data_state(text, data, place, last)

    def _last_stops(self, text: bytes, data: int, place: int) -> dict[int | None, re.Match[bytes]]:
        """Return the last of each kind, up to the first that may not be hopped over."""
        return {opener.lastindex: opener for opener in self._stop.finditer(text, data, place)}

    def _ordinary_end(self, text: bytes, *positions: int) -> int:
        ordinary = self._ordinary.match(text, *positions)
        assert ordinary is not None
        return ordinary.end()


# Many shapes inside of an SVG element, at once, and how deep they may be nested in there.
ICON = re.compile(_icon(depth=2))
ICON_DEPTH = 3

HOPS = Hops(_NAMES)
# A template or a select is open: nothing is hopped over, for it may matter there.
NESTED_HOPS = Hops(_NESTED_NAMES, stopping_at_all=True)


@cache
def hops_to_body_end() -> Hops:
    """Return those that stop at the end tag of the body too: not every site needs them."""
    return Hops(_NAMES_AND_BODY_END)


# The proof --------------------------------------------------------------------------------------


def _proven_in_data_state(
    text: bytes, data: int, place: int, last: dict[int | None, re.Match[bytes]]
) -> bool:
    """Prove that the `<` at `place` is read in the data state, given that `data` is in it.

    `last` are the last openers between the two of each kind that is noted; all others there are
    harmless. Any of them may be none, for it may stand in a comment, say: nothing depends on it.

    What is not the data state at `place` is the inside of a tag or a bogus comment; or a comment,
    script data or a raw text, and then its opener is noted, and nothing behind that ends it.
    """
    if not _is_outside_of_tags(text, data, place):
        return False
    for kind, opener in last.items():
        if kind == _COMMENT:
            end = text.find(b"-->", opener.start(), place)
        else:
            end = _end_of_all(text, data, place, opener)
        if end < 0 or (kind == _SCRIPT and _COMMENT in last and _may_be_escaped(text, data, end)):
            return False
    return True


def _is_outside_of_tags(text: bytes, data: int, place: int) -> bool:
    """Prove that `place` is not inside a tag, doctype or bogus comment that begins behind `data`.

    Had one been entered and not been left, then either

    * its `<` is the last one, and stands behind the last `>`; or
    * the last `>` stands inside a quoted attribute value. If that value has ended, its closing
      quote stands behind this `>`; if not, its opening quote is the last one of its kind, and
      follows `=` and white space.
    """
    if _TAG_OR_QUOTE.search(text, text.rfind(b">", data, place) + 1 or data, place):
        return False
    for quote in (b'"', b"'"):
        before = text.rfind(quote, data, place) - 1
        while before >= data and text[before] in markup.WHITE_SPACE:
            before -= 1
        if before >= data and text[before] == _EQUALS:
            return False
    return True


_TAG_OR_QUOTE = re.compile(b"[<\"']")
_EQUALS = ord("=")


def _end_of_all(text: bytes, data: int, place: int, opener: re.Match[bytes]) -> int:
    """Return the place of an end tag that ends whichever element of the opener's kind is open.

    The opener is the last of its kind. No earlier start tag reaches beyond it, for it stands
    outside of tags; its own reaches as far as it is read.
    """
    start = opener.start()
    tag = markup.TAG.match(text, start, place)
    if tag is None or not _is_outside_of_tags(text, data, start):
        return -1
    end = _ENDS[opener.lastindex].search(text, tag.end(), place)
    return -1 if end is None else end.start()


def _may_be_escaped(text: bytes, data: int, place: int) -> bool:
    """Tell whether script data may be escaped at `place`, where an end tag may not end it then."""
    escape = text.rfind(b"<!--", data, place)
    return escape >= 0 and text.find(b"-->", escape, place) < 0


# Shadow hosts -----------------------------------------------------------------------------------

# Elements that can hold a shadow root, without `body`: a second `body` tag makes no element (DOM,
# "valid shadow host name"). Custom elements have a hyphen, and so do these, which are none.
_SHADOW_HOST = re.compile(
    rb"article|aside|blockquote|div|footer|h[1-6]|header|main|nav|p|section|span"
    rb"|(?!(?:annotation-xml|color-profile|font-face.*|missing-glyph)\Z)[a-z0-9._]*-[a-z0-9._-]*"
)


def shadow_host(text: bytes, data: int, end: int) -> tuple[int, bytes]:
    """Return where the start tag that ends at `end` begins, and its name, if it can be a host's."""
    start = text.rfind(b"<", data, end)
    tag = markup.TAG.match(text, start) if start >= 0 else None
    if tag is None or tag.end() != end or tag["end"]:
        return -1, b""
    name = tag["name"].lower()
    return (start, name) if _SHADOW_HOST.fullmatch(name) else (-1, b"")


def stays_around_white_space(host: bytes) -> bool:
    """Tell whether what follows white space in a host is surely its child.

    White space brings back formatting elements that are still to be closed (section 13.2.6.4.7):
    `<p><i><div> ` opens another `i` in the `div`. The start tags of these have done so before.
    """
    return host == b"span" or b"-" in host
