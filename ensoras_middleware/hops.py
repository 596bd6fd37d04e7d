"""Hops over the ordinary text of HTML content, from one opener to the next.

An opener is what changes how the text behind it is read: the start of a comment, or a tag of one
of the names below. Other tags are not parsed: it is proved that the next opener stands in the
data state, and read exactly only where the proof fails.

Most openers begin something *self-contained*: a whole comment, a script element that is not the
widget's, a title, an icon. Where such a thing begins in the data state, its end is in the data
state, and nothing has changed: so it is hopped over.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby

from ensoras_middleware import markup
from ensoras_middleware.markup import NAME_END, PLAIN_ATTRIBUTES, any_case, plain_attributes
from ensoras_middleware.widget_tag import ADDRESS_PATH

# The tags that matter while no foreign element is open (section 13.2.6.4), by first letters, those
# that matter besides while a template or a select is, and the one that ends the body.
_NAMES = (
    "script", "style", "svg", "select", "title", "template", "textarea", "iframe", "noscript",
    "noembed", "noframes", "math", "xmp", "plaintext", "frameset",
)  # fmt: skip
_NESTED_NAMES = (*_NAMES, "/template", "/select", "col")
_NAMES_AND_BODY_END = (*_NAMES, "/body")


def _any_of(names: tuple[str, ...]) -> bytes:
    branches = (
        f"{any_case(first)}(?:{'|'.join(any_case(name[1:]) for name in group)})"
        for first, group in groupby(names, key=lambda name: name[0])
    )
    return f"(?:{'|'.join(branches)})".encode() + NAME_END


def _begins_opener(names: tuple[str, ...]) -> bytes:
    """Return what turns most `<` of a page away by two letters, before all names are tried."""
    columns = list(zip("!-", *names, strict=False))[:2]
    letters = ("".join(sorted({*column, *map(str.upper, column)})) for column in columns)
    return "".join(f"[{re.escape(one)}]" for one in letters).encode()


# Self-contained ---------------------------------------------------------------------------------
#
# Nothing inside of these is an opener, but for what is self-contained itself (the title of an
# icon), and for what stands in an attribute's value; and the last `<` inside begins the end tag, or
# is the first. `_proven_in_data_state` builds upon all of this.

# The end of a longer one is found faster by searching for it alone.
_SHORT_TEXT = rb"[^<]{0,2000}+"


def _element(name: str, attributes: bytes, content: bytes) -> bytes:
    start, end = any_case(name).encode() + NAME_END, any_case(f"/{name}").encode()
    return b"%s%s>%s<%s%s*+>" % (start, attributes, content, end, markup.WS)


def _svg_content(depth: int) -> bytes:
    # Every element is closed, by a name that no HTML element has: none is left open behind it.
    shapes = b"(?:rect|circle|ellipse|line|polyline|polygon|stop)" + NAME_END
    inside = [
        shapes + PLAIN_ATTRIBUTES + b"/>",
        *(
            b"%s%s%s(?:/>|></%s>)" % (name, NAME_END, PLAIN_ATTRIBUTES, name)
            for name in (b"path", b"use")
        ),
        _element("title", PLAIN_ATTRIBUTES, _SHORT_TEXT),
    ]
    if depth:
        inside.append(_element("g", PLAIN_ATTRIBUTES, _svg_content(depth - 1)))
    return rb"(?:[^<]++|<(?:%s)|(?!))*+" % b"|".join(inside)


# `&` could begin a reference, and browsers drop tabs and line breaks: such values are looked at.
_OTHER_ADDRESS = rb"(?:[^%%s/&\t\n\r]++|/(?!%s)|(?!))*+" % ADDRESS_PATH[1:]


def _self_contained(names: tuple[str, ...]) -> bytes:
    script_text = rb"(?:%(text)s<(?!/[sS]|%(opener)s)|(?!)){0,20}+%(text)s" % {
        b"text": _SHORT_TEXT,
        b"opener": _begins_opener(names),
    }
    return b"|".join(
        [
            rb"!--(?!-?>)[^<-]*+(?:-(?!-)[^<-]*+|(?!))*+-->",
            _element("script", plain_attributes(_OTHER_ADDRESS), script_text),
            *(
                _element(name, PLAIN_ATTRIBUTES, _SHORT_TEXT)
                for name in ("style", "title", "textarea", "iframe")
            ),
            _element("svg", PLAIN_ATTRIBUTES, _svg_content(depth=2)),
        ]
    )


class Hops:
    """Hops from opener to opener of some names."""

    __slots__ = ("_opener", "_ordinary")

    def __init__(self, names: tuple[str, ...], self_contained: bytes) -> None:
        opener = b"!--|" + _any_of(names)
        self._opener = re.compile(
            b"<(?=%s)(?=(?P<name>%s))(?!%s)" % (_begins_opener(names), opener, self_contained)
        )
        # All that leaves the tokenizer in the data state: text, bogus comments, what is
        # self-contained, and whole tags of other names.
        self._ordinary = re.compile(
            rb"(?:[^<]++|<(?![a-zA-Z/!?])(?!\Z)|%s|<(?:%s|(?!%s)/?%s%s/?>)|(?!))*+"
            % (
                markup.BOGUS_COMMENT_TEXT, self_contained, opener, markup.TAG_NAME,
                markup.ATTRIBUTES,
            )
        )  # fmt: skip

    def next_opener(self, text: bytes, position: int) -> re.Match[bytes] | None:
        """Return the next opener in the data state, given that `position` is in it."""
        opener = self._opener.search(text, position)
        if opener is None or _proven_in_data_state(text, position, opener.start()):
            return opener
        return self._opener.match(text, self._ordinary_end(text, position))

    def broken_off(self, text: bytes, position: int) -> int:
        """Return the place of what the end of the text breaks off, where no opener follows."""
        place = text.rfind(b"<", position)
        if place < 0:
            return len(text)
        proven = _proven_in_data_state(text, position, place)
        return self._ordinary_end(text, place if proven else position)

    def behind_shadow_host(self, text: bytes, data: int, place: int) -> bool | None:
        """Tell whether `place` stands directly behind the start tag of what can be a shadow host.

        `data` and `place` are in the data state, without an opener between them. `None` where there
        is nothing but white space between them.
        """
        end = place
        while end > data and text[end - 1] in markup.WHITE_SPACE:
            end -= 1
        if end == data:
            return None
        start = text.rfind(b"<", data, end)
        tag = markup.TAG.match(text, start) if start >= 0 else None
        return (
            tag is not None
            and tag.end() == end
            and not tag["end"]
            and _SHADOW_HOST.fullmatch(tag["name"].lower()) is not None
            and self._is_in_data_state(text, data, start)
        )

    def _is_in_data_state(self, text: bytes, data: int, place: int) -> bool:
        if _proven_in_data_state(text, data, place):
            return True
        end = self._ordinary_end(text, data, place)
        # A `<` before the one at `place` is text, but does not look whole from there.
        return end == place or text[end:place] == b"<"

    def _ordinary_end(self, text: bytes, *positions: int) -> int:
        ordinary = self._ordinary.match(text, *positions)
        assert ordinary is not None
        return ordinary.end()


HOPS = Hops(_NAMES, _self_contained(_NAMES))
# A template or a select is open: nothing is hopped over, for it may matter there.
NESTED_HOPS = Hops(_NESTED_NAMES, b"(?!)")


@cache
def hops_to_body_end() -> Hops:
    """Return those that stop at the end tag of the body too: not every site needs them."""
    return Hops(_NAMES_AND_BODY_END, _self_contained(_NAMES_AND_BODY_END))


def _proven_in_data_state(text: bytes, data: int, place: int) -> bool:
    """Prove that the `<` at `place` is read in the data state, given that `data` is in it.

    Between the two, every opener begins something self-contained. Where `place` stands inside of
    it, that is in an attribute's value, whose quote follows `=` and is the last of its kind: not
    proven. Else it has ended before `place`, in the data state if it began there, with a `>`; go on
    from the last one that did. Now no opener stands in the data state before `place`, so the other
    states possible there are those inside a tag, and the bogus comment state. Had one been entered
    and not been left, then either

    * its `<` is the last one, and stands behind the last `>`; or
    * the last `>` stands inside a quoted attribute value. If that value has ended, its closing
      quote stands behind this `>`; if not, its opening quote is the last one of its kind, and
      follows `=` and white space.
    """
    behind = text.rfind(b">", data, place) + 1 or data
    if behind != place:
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


# Elements that can hold a shadow root, without `body`: a second `body` tag makes no element (DOM,
# "valid shadow host name"). Custom elements have a hyphen, and so do these, which are none.
_SHADOW_HOST = re.compile(
    rb"article|aside|blockquote|div|footer|h[1-6]|header|main|nav|p|section|span"
    rb"|(?!(?:annotation-xml|color-profile|font-face.*|missing-glyph)\Z)[a-z][a-z0-9._]*-[a-z0-9._-]*"
)
