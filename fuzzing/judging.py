"""Puts documents to the checks, counts how they end, and keeps each disagreement, made short."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from fuzzing import injecting, scanning
from fuzzing.documents import with_body_ends

Check = Callable[[bytes, Random], str]

CHECKS: dict[str, Check] = {
    "scanner": scanning.check,
    "body end": scanning.check_body_end,
    "wsgi": partial(injecting.check, adapters=("wsgi",)),
    "adapters": injecting.check,
}

_MOST_FINDINGS = 5  # of one judge: then something is wrong enough
_MOST_TRIES = 3000  # to make one shorter


class Judge:
    """Judges documents: each by the scanner's check, and some by others.

    `random` decides how each document is cut, and which header fields and visitors it gets.
    """

    def __init__(self, random: Random, output: Path, *, adapters: bool = False) -> None:
        self.documents = 0
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self._random = random
        self._output = output
        self._adapters = adapters

    @property
    def has_enough(self) -> bool:
        """Whether it goes on finding the same."""
        return len(self.findings) >= _MOST_FINDINGS

    def __call__(self, document: bytes) -> None:
        """Judge one document."""
        self.documents += 1
        if self._adapters:
            self.put("adapters", document)
            return
        self.put("scanner", document)
        chance = self._random.random()
        if b"</body" in document.lower():
            self.put("body end", document)
        elif chance < 0.05:
            self.put("body end", with_body_ends(self._random, document))
        if chance > 0.95:
            self.put("wsgi", document)

    def put(self, check: str, document: bytes) -> None:
        """Put a document to one check; a failure of whatever kind is a finding."""
        seed = self._random.getrandbits(32)
        try:
            outcome = CHECKS[check](document, Random(seed))
        except Exception:
            outcome = "DISAGREEMENT"
            if not self.has_enough:
                self._keep(check, document, seed)
        self.counts[f"{check}: {outcome}"] += 1

    def _keep(self, check: str, document: bytes, seed: int) -> None:
        document = shrunk(document, lambda one: failure(check, one, seed) is not None)
        message = failure(check, document, seed)
        finding = {
            "check": check,
            "seed": seed,
            "document": document.decode("latin-1"),
            "failure": message,
        }
        self._output.mkdir(parents=True, exist_ok=True)
        name = f"{check.replace(' ', '-')}-{zlib.crc32(document):08x}.json"
        path = self._output / name
        path.write_text(json.dumps(finding, indent=1))
        if str(path) not in self.findings:
            self.findings.append(str(path))


def failure(check: str, document: bytes, seed: int) -> str | None:
    """Return how a check fails, or `None` if it does not."""
    try:
        CHECKS[check](document, Random(seed))
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:2000]
    return None


def again(path: Path) -> str | None:
    """Put what a file of a finding holds to its check again."""
    finding = json.loads(path.read_text())
    return failure(finding["check"], finding["document"].encode("latin-1"), finding["seed"])


def shrunk(document: bytes, fails: Callable[[bytes], bool], tries: int = _MOST_TRIES) -> bytes:
    """Return a short part of the document that fails, too (delta debugging)."""
    size = len(document)
    while size > 1 and tries > 0:
        size = (size + 1) // 2
        at, before = 0, len(document)
        while at < len(document) and tries > 0:
            shorter = document[:at] + document[at + size :]
            tries -= 1
            if fails(shorter):
                document = shorter
            else:
                at += size
        if size == 1 and len(document) < before:
            size = 2  # once more
    return document
