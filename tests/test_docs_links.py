"""What the Markdown files say of each other, of the repository, and of versions is so."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@cache
def parsed(path: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the anchors of a Markdown file as a code host makes them, and its links."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8"))
    anchors, links = set(), []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            text = "".join(one.content for one in following.children or () if one.content)
            anchors.add(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
        links += [str(one.attrs["href"]) for one in token.children or () if one.type == "link_open"]
    return frozenset(anchors), tuple(links)


DOCUMENTS = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    """On a code host, too, each leads to a file of the repository, and to a heading in it."""
    for link in parsed(path)[1]:
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_file(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in parsed(target)[0], link


def test_there_are_links_to_look_at() -> None:
    assert {"README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"} <= {
        path.name for path in DOCUMENTS
    }
    assert len(parsed(ROOT / "README.md")[1]) > 10
    assert len(parsed(DOCS / "index.md")[1]) > 20


def test_supported_versions() -> None:
    """upgrading.md names those that `make matrix` tests, and that the extras admit."""
    text = (DOCS / "upgrading.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\w+)[^|]* \| ([^|;]+?)(?:;[^|]*)? \|$", text, re.MULTILINE))
    matrix = (ROOT / "noxfile.py").read_text("utf-8")
    for name in ("Django", "Flask"):
        (versions,) = re.findall(rf"^{name.upper()} = {{(.*)}}", matrix, re.MULTILINE)
        assert rows[name].split(", ") == re.findall(r'"([\d.]+)":', versions)
    (pythons,) = re.findall(r"for python in \((.*)\):", matrix)
    assert rows["Python"].split(", ") == re.findall(r'"([\d.]+)"', pythons)
    for name in ("Starlette", "Werkzeug"):
        oldest = rows[name].removesuffix("; FastAPI with it").removesuffix(" and newer")
        assert f'"{name.lower()}>={oldest}"' in (ROOT / "pyproject.toml").read_text("utf-8")
