"""Where the scanner and its judges may differ: the whole list, each difference with its reason.

A difference explains that one says nothing where the other sees a widget tag. That is the safe
side: the page stays anonymous. A wrong place is never explained.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fuzzing import oracles
from fuzzing.documents import TAG_LIMIT


@dataclass(frozen=True, slots=True)
class Difference:
    """`shows` tells whether it can be what happened, by the document and the tag's offset."""

    name: str
    reason: str
    shows: Callable[[bytes, int], bool]


def _before(pattern: bytes) -> Callable[[bytes, int], bool]:
    expression = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda document, start: expression.search(document, 0, start) is not None


def _is_too_long(document: bytes, start: int) -> bool:
    return oracles.breaks_off(document[start : start + TAG_LIMIT])


def _is_too_long_or_deep(document: bytes, start: int) -> bool:
    return document[:start].lower().count(b"<template") >= 512 or start >= TAG_LIMIT


_FOREIGN = rb"<(?:svg|math)[\t\n\f\r />]"

# The scanner gives up, and says so by these words.
DOUBTS = [
    Difference(
        "holds an escape sequence",
        "The page may choose an ISO-2022 encoding in a `meta` element: other bytes are tags.",
        lambda document, start: b"\x1b" in document,
    ),
    Difference(
        "begins like UTF-16",
        "A byte order mark outranks the encoding that the header field names.",
        lambda document, start: document.startswith((b"\xfe", b"\xff")),
    ),
    Difference(
        "a select holds elements that parsers disagree about",
        "What a select may hold was changed in 2025, in the standard and browser by browser.",
        _before(rb"<select[\t\n\f\r />]"),
    ),
    Difference(
        "a frameset may replace the body",
        "Whether it does depends on everything before it.",
        _before(rb"<frameset[\t\n\f\r />]"),
    ),
    Difference(
        "a template holds table columns",
        "Behind a `col` the rest of a template is ignored, or not, by its insertion mode.",
        _before(rb"<template.*<col[\t\n\f\r />]"),
    ),
    Difference(
        "a template's tag is too long, or it is nested too deep",
        "What is kept between two chunks is bounded; browsers have a limit of depth, too.",
        _is_too_long_or_deep,
    ),
    Difference(
        "a template's tag is too long",
        "What is kept between two chunks is bounded.",
        lambda document, start: start >= TAG_LIMIT,
    ),
    Difference(
        "a template may or may not be a shadow root",
        "That depends on the element around it, which is followed in the plainest case only.",
        _before(rb"<template[\t\n\f\r /].*shadowrootmode"),
    ),
    Difference(
        "a noscript would swallow markup where scripting is off",
        "In a frame without scripting the script would become a part of something else.",
        _before(rb"<noscript[\t\n\f\r />]"),
    ),
    Difference(
        "a CDATA section inside HTML inside foreign content",
        "It is one or a bogus comment by the current node, which implied end tags may change.",
        _before(_FOREIGN + rb".*<!\[CDATA\["),
    ),
    Difference(
        "foreign content that parsers disagree about",
        "Breaking out of it, and closing what is open around it, needs the whole tree.",
        _before(_FOREIGN),
    ),
]

# The scanner passes a widget tag without a word, or the end of the body.
PASSED = [
    Difference(
        "the tag is longer than 4096 bytes",
        "What is held back of a stream is bounded, and cutting must not change the answer.",
        _is_too_long,
    ),
]
PASSED_BODY_END = [
    Difference(
        "another tag than its end tag closes a select",
        "An `input` does, and what closes an element around it; a script runs in either case.",
        _before(rb"<select[\t\n\f\r />]"),
    ),
]


def unread(needle: bytes) -> Difference:
    """Return the one of a tag whose `src` does not hold what the middleware looks for."""
    return Difference(
        "the address is not written out",
        "One search for its bytes must do; references and capitals in it are for nobody.",
        lambda document, start: not oracles.writes_out(document[start:], needle),
    )


# html5lib's opinion does not count.
HTML5LIB = [
    Difference(
        "html5lib has no template element",
        "It takes a template for an unknown element, whose content is no fragment apart.",
        _before(rb"<template"),
    ),
    Difference(
        "html5lib has the select insertion modes that the standard dropped",
        "It is of 2020.",
        _before(rb"<select"),
    ),
    Difference(
        "html5lib does not break out of foreign content at </p> and </br>",
        "The standard says so since 2020.",
        _before(rb"<(?:svg|math).*</(?:p|br)"),
    ),
    Difference(
        "html5lib closes a link around foreign content at a link inside it",
        "Adoption agency algorithm, step 4.4: an element out of scope is left alone.",
        _before(rb"<(?:svg|math)\b.*<(?:a|nobr)[\t\n\f\r />]"),
    ),
]


def first(differences: list[Difference], document: bytes, start: int) -> Difference | None:
    """Return the first difference that can be what happened."""
    return next((one for one in differences if one.shows(document, start)), None)
