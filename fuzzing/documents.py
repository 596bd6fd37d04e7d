"""Hostile documents: grammars over fragments that mislead whoever does not parse as a browser does.

The same fragments feed two generators: `documents`, a hypothesis strategy, which nests, and
`random_document`, which is fast. `hopped_document` and `extreme_document` make longer ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from hypothesis import strategies as st

from fuzzing.fragments import BODY_ENDS, GROUPS, HOPPED, RAW_NAMES, SIGNS, WIDGET, WIDGETS

TAG_LIMIT = 4096  # the longest tag that is read as a widget tag
DEPTH_LIMIT = 512  # how deep Chromium nests elements


def random_document(random: Random) -> bytes:
    """Return a document of a few fragments from a few groups, some of it cut, doubled or moved."""
    groups = random.sample(GROUPS, random.randint(1, 4))
    pieces = [random.choice(random.choice(groups)) for _ in range(random.randint(0, 10))]
    for _ in range(random.randint(1, 2)):
        widget = WIDGET if random.random() < 0.5 else random.choice(WIDGETS)
        pieces.insert(random.randint(0, len(pieces)), widget)
    document = b"".join(pieces)
    while random.random() < 0.25:
        document = _mutated(random, document)
    if random.random() < 0.3:
        document = b"<!doctype html><title>t</title><body>" + document
    return document


def hopped_document(random: Random) -> bytes:
    """Return a longer document of what is hopped over, and a widget tag behind all of it."""
    pieces = [random.choice(random.choice(HOPPED)) for _ in range(random.randint(4, 30))]
    document = b"".join([*pieces, WIDGET])
    while random.random() < 0.5:
        document = _mutated(random, document)
    return document


def _mutated(random: Random, document: bytes) -> bytes:
    at = random.randint(0, len(document))
    to = min(len(document), at + random.randint(1, 12))
    return random.choice(
        [
            document[:at] + document[to:],
            document[:at] + document[at:to] + document[at:],
            document[:at] + random.choice(SIGNS) + document[at:],
            document[:at] + document[at:to].swapcase() + document[to:],
            document[:at],
        ]
    )


def extreme_document(random: Random) -> bytes:
    """Return a document with a tag near the limit of length, or nested near the limit of depth."""
    document = random_document(random)
    if random.random() < 0.5:
        return _padded(random, document)
    unit = random.choice(
        [
            random.choice(
                b"<svg> <g> <math><mi> <template> <div> <b> <p> <a> <table> <svg><desc> <select> "
                b"<svg><desc><p> <div><template_shadowrootmode=open> <svg/> <table><tr><td> <math> "
                b"</template> </svg> </g> <!-- <i><p> <font> <nobr> <button> <x-y> <noscript> <li>"
                .replace(b"_", b" ").split()
            ),
            random.choice(random.choice(GROUPS)),
        ]
    )  # fmt: skip
    repeated = unit * (DEPTH_LIMIT + random.choice([-3, -2, -1, 0, 1, 2, 3, 100]))
    at = random.choice([0, _place(random, document)])
    return document[:at] + repeated + document[at:]


def _padded(random: Random, document: bytes) -> bytes:
    """Return the document with a filler in it that makes some tag just short or too long."""
    held = [match.start() for match in re.finditer(rb"<(?:script|template)", document)]
    start = random.choice([*held, _place(random, document)])
    end = document.find(b">", start) + 1 or len(document)
    at = random.choice([end - 1, random.randint(start, end)])
    filler = random.choice([b" ", b"x", b"x ", b"/", b"&", b"'", b'"', b"=", b"\n", b"<", b"x='y'"])
    size = max(0, TAG_LIMIT - (end - start) + random.randint(-4, 4))
    return document[:at] + (filler * size)[:size] + document[at:]


def with_body_ends(random: Random, document: bytes) -> bytes:
    """Return the document with some end tags of the body in it."""
    for _ in range(random.randint(1, 3)):
        at = _place(random, document)
        document = document[:at] + random.choice(BODY_ENDS[:4]) + document[at:]
    return document


def _place(random: Random, document: bytes) -> int:
    """Return where something begins: at a `<`, or at the end."""
    places = [at for at, sign in enumerate(document) if sign == ord("<")]
    return random.choice([*places, len(document)])


def cuts(random: Random, document: bytes) -> list[bytes]:
    """Return the document in up to five random chunks, some of them empty."""
    at = [random.randint(0, len(document)) for _ in range(random.randint(1, 4))]
    return _cut(document, at)


def cuttings(random: Random, document: bytes) -> Iterator[list[bytes]]:
    """Yield three random cuttings into chunks; many short documents in single bytes, too."""
    yield cuts(random, document)
    # Around what begins or ends something, and around the limit of what is held back.
    signs = [at for at, sign in enumerate(document) if sign in b"<>\"'=/"] or [0]
    near = [random.choice(signs) + random.randint(-1, 3) for _ in range(random.randint(1, 6))]
    near += [at + TAG_LIMIT for at in near if at + TAG_LIMIT < len(document)]
    yield _cut(document, [min(max(at, 0), len(document)) for at in near])
    single = len(document) <= 100 or (len(document) < 6000 and random.random() < 0.3)
    size = 1 if single else random.randint(8, 5000)
    yield [document[at : at + size] for at in range(0, len(document), size)]


def _cut(document: bytes, at: list[int]) -> list[bytes]:
    at = sorted(at)
    return [document[a:b] for a, b in zip([0, *at], [*at, len(document)], strict=True)]


def documents() -> st.SearchStrategy[bytes]:
    """Return a strategy for hostile documents, nested in attributes and elements too."""
    leaves = st.one_of(
        st.sampled_from(WIDGETS), *map(st.sampled_from, GROUPS), st.sampled_from(SIGNS)
    )
    names = st.sampled_from([*RAW_NAMES, b"svg", b"math", b"template", b"select", b"p", b"table"])

    def nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
        return st.one_of(
            st.builds(b"<%b>%b</%b>".__mod__, st.tuples(names, inner, names)),
            st.builds(b'<%b a="%b">'.__mod__, st.tuples(names, inner)),
            st.builds(b"<%b a='%b'>".__mod__, st.tuples(names, inner)),
            st.builds(b"<!--%b-->".__mod__, st.tuples(inner)),
            st.lists(inner, max_size=4).map(b"".join),
        )

    trees = st.recursive(leaves, nested, max_leaves=6)
    return st.tuples(
        st.lists(trees, max_size=8).map(b"".join),
        st.sampled_from(WIDGETS),
        st.lists(trees, max_size=3).map(b"".join),
    ).map(b"".join)
