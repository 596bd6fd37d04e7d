"""Others that could do the job: find the widget's script tag, and put our script before it.

Each is used as its documentation shows, and as fast as it allows. What it does wrong stands with
it; `correctness` counts it. All of them get bytes and return bytes.
"""

from __future__ import annotations

import html.parser
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from benchmarks.subject import ADDRESS, SCRIPT, TAG

Insert = Callable[[bytes], bytes]

_ADDRESS = ADDRESS.decode()
_SCRIPT = SCRIPT.decode()


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to do the job.

    `goal` is how many times faster this project is to be; `finds_tag` is false for those that take
    another place than the widget tag's.
    """

    name: str
    distribution: str | None  # on PyPI; `None` for the standard library
    build: Callable[[], Insert]
    goal: float | None = None
    finds_tag: bool = True
    slow: bool = False


def exact_replace() -> Insert:
    """Take any mention of the exact tag for one: in comments, scripts, attributes, templates."""
    return lambda body: body.replace(TAG, SCRIPT + TAG, 1)


def lol_html() -> Insert:
    """Tokenize in Rust; knows neither templates nor much of foreign content, nor references."""
    import lolhtml

    class BeforeTag:
        def __init__(self) -> None:
            self.done = False

        def element(self, element: lolhtml.Element) -> None:
            if not self.done and _is_address(element.get_attribute("src")):
                self.done = True
                element.before(_SCRIPT, lolhtml.ContentType.HTML)

    def insert(body: bytes) -> bytes:
        parts: list[bytes] = []
        rewriter = lolhtml.HTMLRewriter(parts.append)
        rewriter.on("script[src]", BeforeTag())
        rewriter.write(body)
        rewriter.end()
        return b"".join(parts)

    return insert


def selectolax() -> Insert:
    """Parse right, in C (lexbor), and write the whole page anew, in UTF-8 and its own spelling."""
    from selectolax.lexbor import LexborHTMLParser

    def insert(body: bytes) -> bytes:
        tree = LexborHTMLParser(body, scripting=True)
        for element in tree.css("script[src]"):
            if _is_address(element.attributes["src"]):
                script = LexborHTMLParser(_SCRIPT).css_first("script")
                assert script is not None
                element.insert_before(script)
                return (tree.html or "").encode()
        return body

    return insert


def lxml() -> Insert:
    """Parse as HTML 4 (libxml2): foreign content, templates and noscript are elements like others.

    The whole page is written anew.
    """
    import lxml.html

    def insert(body: bytes) -> bytes:
        if not body.strip():
            return body
        try:
            root = lxml.html.document_fromstring(body)
        except lxml.etree.ParserError:
            return body
        for element in root.iter("script"):
            if _is_address(element.get("src")):
                element.addprevious(lxml.html.fragment_fromstring(_SCRIPT))
                written: bytes = lxml.html.tostring(
                    root.getroottree(), encoding="utf-8", doctype=root.getroottree().docinfo.doctype
                )
                return written
        return body

    return insert


def html_parser() -> Insert:
    """Tokenize in Python and insert by offset; knows no tree, so no templates, no foreign rules."""

    class Finder(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "script" and _is_address(dict(reversed(attrs)).get("src")):
                raise _Found(*self.getpos())

    def insert(body: bytes) -> bytes:
        text = body.decode("latin-1")  # one character for each byte, so that offsets hold
        try:
            finder = Finder()
            finder.feed(text)
            finder.close()
        except _Found as found:
            place = found.offset_in(body)
            return b"".join((body[:place], SCRIPT, body[place:]))
        return body

    return insert


class _Found(Exception):
    def __init__(self, line: int, column: int) -> None:
        self.line, self.column = line, column

    def offset_in(self, body: bytes) -> int:
        lines = body.split(b"\n", self.line)[: self.line - 1]
        *_, start = accumulate((len(line) + 1 for line in lines), initial=0)
        return start + self.column


def beautiful_soup() -> Insert:
    """Build a tree of Python objects over lxml, its fastest parser, with that one's faults."""
    import bs4

    def insert(body: bytes) -> bytes:
        soup = bs4.BeautifulSoup(body, "lxml")
        for element in soup.find_all("script", src=True):
            if _is_address(str(element["src"])):
                script = soup.new_tag("script")
                script.string = _SCRIPT.removeprefix("<script>").removesuffix("</script>")
                element.insert_before(script)
                return soup.encode("utf-8")
        return body

    return insert


def new_relic() -> Insert:
    """Insert behind `<meta charset>` or `<head>`; looks no further than the first `<body`.

    A shorter way to another place: any text that looks like one of these counts.
    """
    from newrelic.api.html_insertion import insert_html_snippet

    def insert(body: bytes) -> bytes:
        return insert_html_snippet(body, lambda: SCRIPT) or body

    return insert


def _is_address(src: str | None) -> bool:
    return src is not None and re.fullmatch(_ADDRESS_PATTERN, src) is not None


_ADDRESS_PATTERN = re.compile(
    r"\s*(?i:https:)?//(?i:app\.ensoras\.com)/cdn/v1/widget/acme\.js(?:[?#].*)?\s*", re.DOTALL
)

PEERS = (
    Peer("bytes.replace of the tag", None, exact_replace),
    Peer("lol-html", "python-lolhtml", lol_html, goal=1),
    Peer("selectolax", "selectolax", selectolax, goal=7),
    Peer("lxml", "lxml", lxml, goal=10),
    Peer("html.parser", None, html_parser, goal=30, slow=True),
    Peer("BeautifulSoup", "beautifulsoup4", beautiful_soup, goal=150, slow=True),
    Peer("New Relic", "newrelic", new_relic, finds_tag=False),
)
_MODULES = {"python-lolhtml": ("lolhtml",), "beautifulsoup4": ("bs4", "lxml")}


def is_installed(peer: Peer) -> bool:
    """Tell whether the peer can be measured here."""
    if peer.distribution is None:
        return True
    modules = _MODULES.get(peer.distribution, (peer.distribution,))
    return all(importlib.util.find_spec(module) is not None for module in modules)
