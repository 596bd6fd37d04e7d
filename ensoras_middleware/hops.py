"""Hops over the ordinary text of HTML content, from one opener to the next.

An opener is what can change how the rest is read: the start of a comment, or a tag of
`markup.OPENER`. Everything between two of them is not parsed; it is proved that the next one
stands in the data state, and read exactly only where the proof fails.
"""

from __future__ import annotations

import re

from ensoras_middleware import markup

# Elements that can hold a shadow root, without `body`: a second `body` tag makes no element (DOM,
# "valid shadow host name"). Custom elements have a hyphen, and so do these, which are none.
_SHADOW_HOST = re.compile(
    rb"article|aside|blockquote|div|footer|h[1-6]|header|main|nav|p|section|span"
    rb"|(?!(?:annotation-xml|color-profile|font-face.*|missing-glyph)\Z)[a-z][a-z0-9._]*-[a-z0-9._-]*"
)


def next_opener(text: bytes, position: int) -> tuple[re.Match[bytes] | None, int]:
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


def behind_shadow_host(text: bytes, data: int, place: int) -> bool | None:
    """Tell whether `place` stands directly behind the start tag of an element that can be a host.

    `data` and `place` are in the data state, without an opener between them. `None` where there is
    nothing but white space between them.
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
        and _is_in_data_state(text, data, start)
    )


def _is_in_data_state(text: bytes, data: int, place: int) -> bool:
    if _proven_in_data_state(text, data, place):
        return True
    walked = markup.ORDINARY.match(text, data, place)
    assert walked is not None
    # A `<` before the one at `place` is text, but does not look whole from there.
    return walked.end() == place or text[walked.end() : place] == b"<"
