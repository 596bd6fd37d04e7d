"""The widget tag: how it is written, and how its address is recognised.

<script src="https://app.ensoras.com/cdn/v1/widget/SLUG.js" async defer></script>
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ensoras_middleware import markup

DEFAULT_ORIGIN = "https://app.ensoras.com"
PATH = "/cdn/v1/widget/"
ADDRESS_PATH = PATH.encode()

SLUG = re.compile(r"[A-Za-z0-9_-]+")
NONCE = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")  # CSP Level 3, section 2.3.1, nonce-source

# The longest start tag that is still taken for a widget tag, and so the most that is held back of
# a stream, in bytes.
TAG_LIMIT = 4096

# CSP Level 3, section 6.7.2.2, "Is element nonceable?"
_DANGLING_MARKUP = re.compile(rb"<(?:script|style)", re.IGNORECASE)
_NUMERIC_REFERENCE = re.compile(r"&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?")
# Without NUL, which the tokenizer has made U+FFFD by then.
_C0_CONTROL_OR_SPACE = "".join(map(chr, range(0x01, 0x21)))
_TAB_OR_NEWLINE = str.maketrans("", "", "\t\n\r")


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


def widget_tag(origin: str, slug: str, nonce: str | None = None) -> str:
    """Return the widget tag as Ensoras' dashboard shows it; all arguments are valid ones."""
    attribute = f' nonce="{nonce}"' if nonce else ""
    return f'<script src="{origin}{PATH}{slug}.js" async defer{attribute}></script>'


def address_pattern(origin: str, slug: str | None) -> re.Pattern[str]:
    """Return what matches the whole address of a widget script; its first group is the slug.

    Scheme and host are read in any case, and the scheme may be left out, as in any URL. Without
    `slug`, every slug matches.
    """
    scheme, host = (re.escape(part) for part in origin.split("//"))
    slugs = re.escape(slug) if slug else SLUG.pattern
    return re.compile(
        rf"(?i:{scheme})?//(?i:{host}){re.escape(PATH)}({slugs})\.js(?:[?#].*)?",
        re.DOTALL | re.ASCII,
    )


def read_widget_tag(tag: re.Match[bytes], address: re.Pattern[str], start: int) -> WidgetTag | None:
    """Return the widget tag that a whole `script` start tag is, or `None`."""
    if tag.end() - tag.start() > TAG_LIMIT:
        return None
    attributes = attributes_of(tag)
    source = address.fullmatch(_url(attributes.get(b"src", b"")))
    if source is None:
        return None
    nonce = attributes.get(b"nonce", b"").decode("latin-1")
    nonceable = NONCE.fullmatch(nonce) and len(attributes) == len(_pairs(tag))  # no duplicates
    return WidgetTag(
        start=start,
        slug=source[1],
        nonce=nonce if nonceable else None,
        dangling=_DANGLING_MARKUP.search(tag[0], 1) is not None,
    )


def attributes_of(tag: re.Match[bytes]) -> dict[bytes, bytes]:
    """Return the attributes of a whole tag by lower-case name; the first of a name wins.

    Source: WHATWG HTML, section 13.2.5.33 (attribute name state).
    """
    return dict(reversed(_pairs(tag)))


def _pairs(tag: re.Match[bytes]) -> list[tuple[bytes, bytes]]:
    text = tag[0][tag.end("name") - tag.start() : -1]
    return [(name.lower(), b"".join(value)) for name, *value in markup.ATTRIBUTE.findall(text)]


def _url(value: bytes) -> str:
    """Return what the URL parser reads of an attribute's value (WHATWG URL, section 4.4)."""
    text = value.decode("latin-1")
    if "&" in text:
        text = _resolved(text)
    return text.strip(_C0_CONTROL_OR_SPACE).translate(_TAB_OR_NEWLINE)


def _resolved(text: str) -> str:
    from html import unescape  # its table of entities costs a millisecond to import

    def resolve_dropped(reference: re.Match[str]) -> str:
        # It drops characters that browsers only complain about (WHATWG HTML, 13.2.5.80).
        if unescape(reference[0]):
            return reference[0]
        return chr(int(reference[1], 16) if reference[1] else int(reference[2]))

    return unescape(_NUMERIC_REFERENCE.sub(resolve_dropped, text))
