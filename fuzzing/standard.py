"""The documents of html5lib-tests, with the widget tag at every position.

They come with html5lib's source distribution, which is fetched by name; nothing of it is kept here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from fuzzing.fragments import GROUPS, WIDGET, WIDGETS

_SOURCE = "html5lib==1.1"


def archive_in(folder: Path) -> Path:
    """Return where the source distribution is put."""
    return folder / "html5lib-1.1.tar.gz"


def fetched(folder: Path) -> Path | None:
    """Return the source distribution, or `None` where it cannot be had."""
    archive = archive_in(folder)
    if not archive.exists():
        constraint = folder / "constraint.txt"
        constraint.write_text("setuptools<81")  # its `setup.py` needs `pkg_resources`
        command = "-m pip download --quiet --no-binary html5lib --no-deps --dest"
        subprocess.run(
            [sys.executable, *command.split(), str(folder), _SOURCE],
            env=os.environ
            | {"PIP_CONSTRAINT": str(constraint), "PIP_BUILD_CONSTRAINT": str(constraint)},
            check=False,
        )
    return archive if archive.exists() else None


def inputs(archive: Path) -> list[bytes]:
    """Return the documents of the tokenizer's and the tree construction stage's tests."""
    texts: set[str] = set()
    with tarfile.open(archive) as files:
        for member in files:
            file = files.extractfile(member) if "/tests/testdata/" in member.name else None
            if file is None:
                continue
            if member.name.endswith(".dat") and "/tree-construction/" in member.name:
                texts.update(_of_tree_construction(file.read().decode()))
            # Entities matter inside of attributes only, and there are thousands of them.
            elif member.name.endswith(".test") and "ntities" not in member.name:
                texts.update(_of_tokenizer(json.loads(file.read())))
    return sorted(text.encode("utf-8", "surrogatepass") for text in texts if len(text) < 2000)


def _of_tree_construction(text: str) -> Iterator[str]:
    for match in re.finditer(r"^#data\n(.*?)\n#errors$", text, re.DOTALL | re.MULTILINE):
        yield match[1]


def _of_tokenizer(tests: dict[str, list[dict[str, object]]]) -> Iterator[str]:
    for test in tests.get("tests", []):
        text = str(test["input"])
        if test.get("doubleEscaped"):
            text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), text)
        # Where it does not begin in the data state, a start tag leads there.
        name = test.get("lastStartTag")
        yield f"<{name}>{text}" if name else text


def spliced(random: Random, documents: list[bytes]) -> Iterator[bytes]:
    """Yield each document with a widget tag at each position, and then mixtures without end."""
    documents = random.sample(documents, len(documents))
    for document in documents:
        for at in range(len(document) + 1):
            yield document[:at] + WIDGET + document[at:]
    while True:
        pieces = [random.choice(documents), random.choice(documents)]
        pieces += [random.choice(random.choice(GROUPS)), random.choice(WIDGETS)]
        document = b""
        for piece in pieces:
            at = random.randint(0, len(document))
            document = document[:at] + piece + document[at:]
        yield document
