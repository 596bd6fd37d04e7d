"""A candidate for the widget tag: whether a script start tag is one, and what it says."""

from __future__ import annotations

import re
from typing import NamedTuple

from ensoras_middleware.markup import any_case, attribute_list, by_name
from ensoras_middleware.widget_tag import NONCE, TAG_LIMIT

_NUMERIC_REFERENCE = re.compile(r"&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?")
# Without NUL, which the tokenizer has made U+FFFD by then.
_C0_CONTROL_OR_SPACE = "".join(map(chr, range(0x01, 0x21)))
_TAB_OR_NEWLINE = str.maketrans("", "", "\t\n\r")

_DANGLING = re.compile("|".join(map(any_case, ("<script", "<style"))).encode())


class WidgetTag(NamedTuple):
    """One widget tag of a page.

    `start` is the offset of its `<` in the page, in bytes; `slug` is the widget it loads; `nonce`
    is its nonce, where a browser would honour it; `dangling` tells that an attribute of it holds
    `<script` or `<style`, as markup does into which somebody injected (CSP Level 3, section
    6.7.2.2, "Is element nonceable?").
    """

    start: int
    slug: str
    nonce: str | None
    dangling: bool


def read_widget_tag(
    tag: re.Match[bytes], address: re.Pattern[str], needle: bytes, start: int
) -> WidgetTag | None:
    """Return the widget tag that a whole `script` start tag is, or `None`.

    Its `src` holds `needle` as it is.
    """
    text = tag[0]
    if text.find(needle) < 0 or len(text) > TAG_LIMIT:  # `in` drops an exception for bytes: slow
        return None
    pairs = attribute_list(tag)
    attributes = by_name(pairs)
    value = attributes.get(b"src", b"")
    source = address.fullmatch(_url(value))
    if source is None or value.find(needle) < 0:
        return None
    nonce = None
    if b"nonce" in attributes and len(attributes) == len(pairs):
        nonce = NONCE.fullmatch(attributes[b"nonce"].decode("latin-1"))
    dangling = _DANGLING.search(text, 1) is not None
    return WidgetTag(start, source[1], nonce and nonce[0], dangling)


def _url(value: bytes) -> str:
    """Return what the URL parser reads of an attribute's value (WHATWG URL, section 4.4)."""
    text = value.decode("latin-1")
    if "&" in text:
        text = _resolved(text)
    text = text.strip(_C0_CONTROL_OR_SPACE)
    return text if text.isprintable() else text.translate(_TAB_OR_NEWLINE)


def _resolved(text: str) -> str:
    from html import unescape  # its table of entities costs a millisecond to import

    def resolve_dropped(reference: re.Match[str]) -> str:
        # It drops characters that browsers only complain about (WHATWG HTML, 13.2.5.80).
        if unescape(reference[0]):
            return reference[0]
        return chr(int(reference[1], 16) if reference[1] else int(reference[2]))

    return unescape(_NUMERIC_REFERENCE.sub(resolve_dropped, text))
