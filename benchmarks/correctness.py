"""How often the script ends up in a wrong place, so that nobody takes a fast guess for an answer.

The documents are the hostile ones of `make fuzz`, from a fixed seed, and pages with one decoy: the
text of the widget tag where it is none. The judge is that of the tests, lexbor. A place is wrong
where a browser would not run the script that was put there; and, for what claims to find the tag,
where no live widget tag follows.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from benchmarks.pages import BODY, Page
from benchmarks.peers import Insert
from benchmarks.subject import SCRIPT, TAG
from fuzzing import oracles
from fuzzing.documents import random_document

SEED = 2024

DECOYS = {
    "comment": b"<!-- %b -->",
    "comment with a dash": b"<!--- > %b -->",
    "string of a script": b"<script>var t = '%b'</script>".replace(b"%b", b"<\\!-- %b"),
    "escaped script": b"<script><!--<script>%b</script>--></script>",
    "style": b"<style>/* %b */</style>",
    "textarea": b"<textarea>%b</textarea>",
    "behind an icon": b"<svg><title>x</title></svg><!-- %b -->",
    "noscript": b"<noscript>%b</noscript>",
    "template": b"<template>%b</template>",
    "iframe": b"<iframe>%b</iframe>",
    "attribute": b"<a title='%b'>x</a>",
    "svg": b"<svg>%b</svg>",
    "CDATA": b"<svg><desc/><![CDATA[ > %b ]]></svg>",
    "body end in a comment": b"<!-- </body> %b -->",
    "body end in a script": b"<script>w('</body>')</script><!-- %b -->",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of the documents."""

    documents: int
    wrong: int
    missed: int  # a live tag, and no script
    failed: int  # an exception

    @property
    def wrong_share(self) -> float:
        """Return the share of wrong places, of all documents."""
        return self.wrong / self.documents


def hostile_documents(count: int) -> list[bytes]:
    """Return the same documents every time."""
    random = Random(SEED)
    return [random_document(random) for _ in range(count)]


def decoy_pages(pages: list[Page], longest: int = 60_000) -> Iterator[bytes]:
    """Yield each page with each decoy, in front of its content, before the tag, and at its end."""
    for page in pages:
        if len(page.text) > longest:
            continue
        for decoy in DECOYS.values():
            text = decoy.replace(b"%b", TAG)
            end = page.place(BODY)
            begin = page.text.find(b">", page.text.find(b"<body")) + 1
            tagged = page.text[:end] + TAG + page.text[end:]
            yield tagged[:begin] + text + tagged[begin:]
            yield tagged[:end] + text + tagged[end:]
            yield tagged + text  # whoever takes the last of anything is misled here


def judged(
    insert: Insert, documents: list[bytes], *, finds_tag: bool = True, mark: bytes = SCRIPT
) -> Judged:
    """Judge one way to insert; `mark` is what it inserts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BeautifulSoup would rather be told that it is XML
        counts = Counter(_judge(insert, document, finds_tag, mark) for document in documents)
    return Judged(len(documents), counts["wrong"], counts["missed"], counts["failed"])


def _judge(insert: Callable[[bytes], bytes], document: bytes, finds_tag: bool, mark: bytes) -> str:
    live = oracles.places(document)
    try:
        answer = insert(document)
    except Exception:
        return "failed"
    place = answer.find(mark)
    if place < 0:
        return "missed" if live else "none"
    if not oracles.is_live(answer[:place]):
        return "wrong"
    if not finds_tag:
        return "right"
    follows = oracles.places(answer[place + len(mark) :])[:1] == [0]
    return "right" if live and follows else "wrong"
