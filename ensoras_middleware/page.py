"""What a finished page says: which widget tags it has, and whom it identifies.

For those who look at a site from outside: a host's own tests, and the command `check`. Unlike the
middleware they know no configuration, so a widget may come from any origin, and an identify call
may be written by hand, as Ensoras' official snippets write it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from ensoras_middleware.candidate import WidgetTag
from ensoras_middleware.identity import Identity
from ensoras_middleware.markup import NAME_END, RAW_TEXT
from ensoras_middleware.scanner import Scanner
from ensoras_middleware.snippet import identity_of_script
from ensoras_middleware.widget_tag import ADDRESS_PATH, PATH, SLUG

_ADDRESS = re.compile(
    rf"((?:(?i:https?):)?//[^/?#]+{re.escape(PATH)}{SLUG.pattern}\.js)(?:[?#].*)?", re.ASCII
)

# Script elements, and what they do not run in. As in browsers, what nothing ends goes on to the end
# of the page, and a script without `end` does not run: so nothing is searched twice.
_SCRIPT = re.compile(
    rb"<!--(?:-?>|.*?(?:--!?>|\Z))"
    rb"|<(?P<inert>%(inert)s)%(end)s.*?(?:</(?P=inert)%(end)s|\Z)"
    rb"|<script%(end)s[^>]*+(?:>(?P<text>.*?)(?:</script%(end)s[^>]*+(?P<end>>)?|\Z))?"
    % {b"inert": "|".join([*RAW_TEXT, "template"]).encode(), b"end": NAME_END},
    re.DOTALL | re.IGNORECASE,
)

_CALL = re.compile(r"\bEnsoras\s*\(\s*(?P<quote>['\"`])identify(?P=quote)")
_STRING = r"""\s*+['"]?+\s*+:\s*+(?P<value>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')"""
_KEY = r"""(?:[{,]|\A)\s*+['"]?+"""
_EMAIL, _HASH = (re.compile(_KEY + name + _STRING) for name in ("email", "hash"))
# What JavaScript writes in another way than JSON; other escapes are matched to be stepped over.
_ESCAPE = re.compile(r'\\.|"')
_IN_JSON = {r"\x": r"\u00", r"\'": "'", '"': r"\""}


class Tag(NamedTuple):
    """One widget tag that a browser would run.

    `start` is the offset of its `<` in bytes, `address` that of the widget's script, without its
    query; `nonce` and `dangling` are those of `candidate.WidgetTag`.
    """

    start: int
    address: str
    slug: str
    nonce: str | None
    dangling: bool


@dataclass(frozen=True, slots=True)
class IdentifyCall:
    """One `script` element that calls `Ensoras('identify', …)`.

    It stands in the page from `start` to `end`, in bytes; `text` is the script. `identity` is what
    it says as plain strings, perhaps empty ones, or `None` where it says it in another way; `own`
    tells that it is the identify script of this middleware.
    """

    start: int
    end: int
    text: bytes = field(repr=False)  # like the identity's, its hash is nobody's to see
    identity: Identity | None
    own: bool


@dataclass(frozen=True, slots=True)
class Page:
    """The widget tags and identify calls of one page, in their order.

    `mentions` is how often a widget's address occurs, in whatever place; `doubt` tells why browsers
    may disagree about the tags, if they may.
    """

    body: bytes = field(repr=False)
    tags: tuple[Tag, ...]
    calls: tuple[IdentifyCall, ...]
    mentions: int
    doubt: str | None

    def call_before(self, tag: Tag) -> IdentifyCall | None:
        """Return the identify call directly before a widget tag, but for white space."""
        end = tag.start
        while self.body[end - 1 : end].isspace():
            end -= 1
        index = bisect_left(self.calls, end, key=attrgetter("end"))
        return next((call for call in self.calls[index : index + 1] if call.end == end), None)


def read_page(body: bytes) -> Page:
    """Return what a page says; nothing in it is too odd to be read."""
    scanner = Scanner(_ADDRESS)
    tags = []
    found = scanner.feed(body)
    while isinstance(found, WidgetTag):
        address = found.slug
        slug = address.rpartition("/")[2].removesuffix(".js")
        tags.append(Tag(found.start, address, slug, found.nonce, found.dangling))
        found = scanner.feed(b"")
    calls = tuple(call for script in _SCRIPT.finditer(body) if (call := _call(script)) is not None)
    return Page(body, tuple(tags), calls, body.count(ADDRESS_PATH), scanner.doubt)


def masked(email: str) -> str:
    """Return as much of an e-mail address as may be shown: enough to know one's own."""
    local, at, domain = email.partition("@")
    first = local[0] if len(local) > 1 else ""
    return f"{first}…{at}{domain}" if email.isprintable() else "…"


def _call(script: re.Match[bytes]) -> IdentifyCall | None:
    if script["end"] is None:
        return None
    identity = identity_of_script(script["text"])
    if identity is not None:
        return IdentifyCall(script.start(), script.end(), script["text"], identity, own=True)
    text = script["text"].decode("utf-8", "replace")
    call = _CALL.search(text)
    if call is None:
        return None
    identity = _identity(text[call.end() :])
    return IdentifyCall(script.start(), script.end(), script["text"], identity, own=False)


def _identity(arguments: str) -> Identity | None:
    """Return what a call written by hand says, where both are strings."""
    email, hash = _EMAIL.search(arguments), _HASH.search(arguments)
    if email is None or hash is None:
        return None
    try:
        return Identity(_string(email["value"]), _string(hash["value"]))
    except ValueError:
        return None


def _string(literal: str) -> str:
    """Return the value of a JavaScript string literal, where JSON knows its escapes."""
    text = _ESCAPE.sub(lambda escape: _IN_JSON.get(escape[0], escape[0]), literal[1:-1])
    value = json.loads(f'"{text}"')
    assert isinstance(value, str)
    return value
