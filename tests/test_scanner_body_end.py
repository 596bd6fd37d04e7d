"""The end of the body, where the scanner is told to find it: tables of pages.

In the pages of the tables `▼` stands for nothing: the end tag behind it is the one that is found.
"""

from __future__ import annotations

import pytest

from ensoras_middleware.scanner import Scanner
from fuzzing import oracles
from fuzzing.fragments import WIDGET
from fuzzing.scanning import Scan

TEXT = WIDGET.decode()


def scan(*chunks: bytes) -> Scan:
    return Scan(chunks, body_end=True)


def single_bytes(document: bytes) -> list[bytes]:
    return [document[at : at + 1] for at in range(len(document))]


PAGES = {
    "a page": "<!doctype html><html><head></head><body><p>x</p>\n▼</body>\n</html>\n",
    "alone": "▼</body>",
    "before everything": "▼</body><!doctype html><p>x",
    "capitals": "<p>x▼</BODY>",
    "mixed": "<p>x▼</bOdY>",
    "white space": "<p>x▼</body\n\t>",
    "attributes": "<p>x▼</body class='a>b' b>",
    "a solidus": "<p>x▼</body/>",
    "the first of two": "<p>x▼</body><p>y</body>",
    "behind the end of the page": "<p>x</html>▼</body>",
    "in the head": "<head><title>x</title>▼</body>",
    "in open elements": "<div><p><b><a href=x>text▼</body>",
    "in a table, where it is ignored": "<table><tr><td>▼</body>",
    "behind stray quotes": "it's a=\"b ▼</body>",
    "behind a less-than sign": "a < b <▼</body>",
    "a tag that breaks off": "<p>x▼</body ",
    "before an escape sequence": "▼</body>\x1b$B",
    # the tokenizer is elsewhere
    "another name": "<p></bodyx></bod></body-x></ body><body>x",
    "a start tag": "<p><body></p>",
    "no end of its name": "<p>x</body",
    "in a comment": "<!-- </body> --><p>▼</body>",
    "in an open comment": "<!-- </body>",
    "in a bogus comment": "<!x </body ▼></body>".replace("▼>", ">▼"),
    "in a doctype": "<!doctype html '</body'>▼</body>",
    "in a script": "<script>document.write('</body>')</script>▼</body>",
    "in a script without quotes": "<p>x</p><script>a //</body></script>▼</body>",
    "in a script, read exactly": "<script>/*it's*/ '<!--</body>'</script>▼</body>",
    "in an escaped script": "<script><!-- <script> </body></script> --></script>▼</body>",
    **{
        f"in {name}": f"<{name}></body></{name}>▼</body>"
        for name in ("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
    },
    "in a noscript": "<noscript></body></noscript>▼</body>",
    "in plaintext": "<plaintext></body>",
    "in a double-quoted value": '<a title="</body>">▼</body>',
    "in a single-quoted value": "<a title = '</body>'>▼</body>",
    "in an unquoted value": "<a title=</body>x▼</body>",
    "in an open value": "<a title='</body>",
    "in a tag": "<a </body>x▼</body>",
    "in the value of an end tag": "</a b='</body>'>▼</body>",
    "in CDATA in HTML, a bogus comment": "<![CDATA[ </body>x]]>▼</body>",
    # a parser ignores it
    "in a template": "<template></body></template>▼</body>",
    "in an open template": "<template><p></body>",
    "in a shadow root": "<div><template shadowrootmode=open></body></template></div>▼</body>",
    "in a select": "<select><option></body></select>▼</body>",
    "in an open select": "<select><option></body>",
    # foreign content
    "behind an icon": "<svg><path d='M0'/></svg>▼</body>",
    "in CDATA": "<svg><![CDATA[</body>]]></svg>▼</body>",
    "in an svg comment": "<svg><!--</body>--></svg>▼</body>",
    "in an svg attribute": "<svg a='</body>'><g></g></svg>▼</body>",
    "behind what breaks out": "<svg><p>▼</body>",
}
DOUBTS = {
    "in svg": "<svg></body></svg></body>",
    "in a child of svg": "<svg><g></body></body>",
    "in MathML": "<math></body></body>",
    "in HTML in svg": "<svg><desc><p></body></body>",
    "in a frameset": "<frameset></frameset></body>",
    "behind an escape sequence": "\x1b$B</body>",
    "behind a byte order mark of UTF-16": "\xff\xfe</body>",
    "a noscript swallows it": "<noscript><img src='//evil?</noscript></body>",
}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_place(text: str) -> None:
    """It is found where a parser reads it, in whole pages and in single bytes."""
    before, mark, after = text.partition("▼")
    document = (before + after).encode()
    expected = [len(before.encode())] if mark else []
    assert scan(document).body_ends == expected
    assert scan(*single_bytes(document)).body_ends == expected
    for start in expected:
        assert oracles.is_live(document[:start])
        assert oracles.changes_nothing_else(document, start)


@pytest.mark.parametrize("text", DOUBTS.values(), ids=DOUBTS)
def test_doubt(text: str) -> None:
    """In doubt nothing is found, and the scanner says so."""
    document = text.encode("latin-1")
    for one in (scan(document), scan(*single_bytes(document))):
        assert one.body_ends == []
        assert one.doubt


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"<p>{TEXT}</body>", ["WidgetTag"]),
        (f"<p>{TEXT}{TEXT}</body></body>", ["WidgetTag", "WidgetTag"]),
        (f"<p></body>{TEXT}</body>{TEXT}", ["BodyEnd", "WidgetTag", "WidgetTag"]),
        (f"<p><!--{TEXT}--></body>", ["BodyEnd"]),
        (f"<p></body a='{TEXT}'>", ["BodyEnd"]),
        (f"<p></body><div><template shadowrootmode=open>{TEXT}", ["BodyEnd", "WidgetTag"]),
        (f"<div></body><template shadowrootmode=open>{TEXT}", ["BodyEnd"]),
    ],
)
def test_beside_widget_tags(text: str, kinds: list[str]) -> None:
    """It is told once, and not where a widget tag stands before it; tags are told all."""
    document = text.encode()
    for chunks in ([document], single_bytes(document)):
        one = scan(*chunks)
        places = [(start, "WidgetTag") for start in one.found]
        places += [(start, "BodyEnd") for start in one.body_ends]
        assert [kind for _, kind in sorted(places)] == kinds


def test_nothing_is_told_unasked() -> None:
    """Without `body_end` a widget tag is all that counts."""
    assert Scanner(oracles.ADDRESS).feed(b"<p></body>") is None


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (b"<", 1), (b"</", 2), (b"</b", 3), (b"</BODY", 6), (b"</bo", 4), (b"</body-", 0),
        (b"</div></bod", 5), (b"<!-- </body", 0), (b"<a b='</body", 0), (b"<b", 0), (b"</p", 0),
        (b"<style></body", 0),
    ],
)  # fmt: skip
def test_holds_back_only_what_may_be_an_end(text: bytes, held: int) -> None:
    """What can be neither a widget tag nor the end of the body leaves at once."""
    scanner = Scanner(oracles.ADDRESS, body_end=True)
    assert scanner.feed(b"abc" + text) is None
    assert scanner.released == 3 + len(text) - held
