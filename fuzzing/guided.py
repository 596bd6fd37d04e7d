"""Fuzzing that coverage guides (atheris, libFuzzer); a program of its own, for it never returns.

What an expression matches shows in no branch. Atheris' hooks for expressions know neither
possessive repetitions nor negative lookaheads, and those for strings no bytes. So the judge guides,
too: each kind of place in lexbor's tree at which a document ends, with each verdict, is a branch.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import atheris

from fuzzing.fragments import GROUPS, SIGNS, WIDGET, WIDGETS

_INSTRUMENTED = [
    f"ensoras_middleware.{name}" for name in ("scanner", "hops", "markup", "foreign", "candidate")
]
_BRANCHES = 2048
_LONGEST = 600
_FRAGMENTS = [*WIDGETS, *SIGNS, *(fragment for group in GROUPS for fragment in group)]
_RECIPE = b"\x01"  # what follows is no document, but says which fragments make one


def main(seconds: float, seed: int, output: Path, corpus: Path, totals: Path) -> None:
    """Fuzz for a time, write what came of it to the file `totals`, and end the process."""
    with atheris.instrument_imports(include=_INSTRUMENTED):
        from fuzzing import oracles
        from fuzzing.judging import Judge
    judge = Judge(Random(seed), output)
    branches = [_branch() for _ in range(_BRANCHES)]
    end = time.monotonic() + seconds

    def put(data: bytes) -> None:
        document = _document(data)
        before = judge.counts.copy()
        judge(document)
        verdict = sorted(judge.counts - before)
        context = oracles.context(document)
        branches[zlib.crc32(f"{verdict} {context}".encode()) % _BRANCHES]()
        if time.monotonic() > end or judge.has_enough:
            found = {"documents": judge.documents, "counts": judge.counts}
            totals.write_text(json.dumps(found | {"findings": judge.findings}))
            os._exit(0)

    options = (
        f"-seed={seed % 2**32} -max_len={_LONGEST} -len_control=0 -verbosity=0 -rss_limit_mb=0"
    )
    atheris.Setup([sys.argv[0], *options.split(), str(corpus)], put, custom_mutator=_mutated)
    atheris.Fuzz()


def _branch() -> Callable[[], None]:
    namespace: dict[str, Any] = {}
    exec("def branch(): pass", namespace)  # a code object of its own, so a counter of its own
    branch: Callable[[], None] = atheris.instrument_func(namespace["branch"])
    return branch


def _document(data: bytes) -> bytes:
    document = data
    if data.startswith(_RECIPE):
        provider = atheris.FuzzedDataProvider(data[1:])
        pieces: list[bytes] = []
        while provider.remaining_bytes() and len(pieces) < 40:
            pieces.append(_FRAGMENTS[provider.ConsumeIntInRange(0, len(_FRAGMENTS) - 1)])
        document = b"".join(pieces)
    return document if b"acme.js" in document else document + WIDGET


def _mutated(data: bytes, max_size: int, seed: int) -> bytes:
    random = Random(seed)
    if data.startswith(_RECIPE) or random.random() < 0.3:
        mutated: bytes = atheris.Mutate(data, max_size)
        return mutated
    signs = [at for at, sign in enumerate(data) if sign in b"<>"] or [0]
    at, to = sorted((random.choice(signs), random.choice([*signs, len(data)])))
    piece = random.choice(_FRAGMENTS)
    document = random.choice(
        [
            data[:at] + piece + data[at:],
            data[:at] + piece + data[to:],
            data[:at] + data[to:],
            data[:at] + data[at:to] + data[at:],
            data[at:to] + data[:at] + data[to:],
            data + piece,
        ]
    )
    return document[:max_size]


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
