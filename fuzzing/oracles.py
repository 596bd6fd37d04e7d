"""Where browser-grade parsers see the widget tags of a document.

The judge is lexbor, through selectolax; html5lib gives a second opinion. Neither tells the offset
of an element, so the question is turned round. For each text that could be a widget tag:

- the text in front of it is parsed with a *probe* script behind it. The place is real if the tree
  then has the probe as a script element of the HTML namespace, outside inert templates. Nothing of
  what follows is parsed, as in a browser, which runs the script before it reads on: a late
  ``<frameset>`` or ``</b>`` cannot delete or move the probe.
- the text from there on is parsed as a document of its own. In the data state the tokenizer has no
  memory, so its first script element tells what the tag is.

What was found out about the judges:

- lexbor through selectolax parses with scripting off unless told otherwise; with ``scripting=True``
  a noscript is raw text, in the head too. Template contents are fragments apart from the tree.
  No namespaces are shown, so the probe holds ``<i>``: text in an HTML script, and an element that
  breaks out of a foreign one. It has the current select rules (no insertion mode of its own).
- Declarative shadow roots stay templates in lexbor; whether one is attached is decided here by the
  standard's rules ("in head" insertion mode, start tag "template").
- html5lib has faults of its own: see `differences`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import html5lib
from html5lib import treebuilders
from selectolax.lexbor import LexborHTMLParser, LexborNode


def _address(slug: str) -> re.Pattern[str]:
    host = r"(?i:https:)?//(?i:app\.ensoras\.com)"
    return re.compile(rf"{host}/cdn/v1/widget/({slug})\.js(?:[?#].*)?", re.DOTALL)


ADDRESS = _address("acme")
OTHER_ADDRESS = _address("other")  # that of another widget
CANDIDATE = re.compile(rb"<script(?=[\t\n\f\r />])", re.I)

PROBE_ID = "ensoras-probe"
PROBE = f'<script id="{PROBE_ID}"><i></script>'

# https://dom.spec.whatwg.org/#valid-shadow-host-name
SHADOW_HOSTS = frozenset(
    "article aside blockquote body div footer h1 h2 h3 h4 h5 h6 header main nav p section "
    "span".split()
)
RESERVED_NAMES = frozenset(
    "annotation-xml color-profile font-face font-face-src font-face-uri font-face-format "
    "font-face-name missing-glyph".split()
)

_HTML5LIB_TREE = treebuilders.getTreeBuilder("etree")
_HTML_SCRIPT = "{http://www.w3.org/1999/xhtml}script"


def places(document: bytes, address: re.Pattern[str] = ADDRESS) -> list[int]:
    """Return the offset of every live widget tag, in order, as lexbor sees the document."""
    return [start for start in _widget_texts(document, address) if is_live(document[:start])]


def is_live(before: bytes) -> bool:
    """Whether a script start tag behind this text would be an element that a browser runs."""
    return any(live for live in _probes(_lexbor(_text(before) + PROBE)))


def is_live_to_html5lib(before: bytes) -> bool:
    """Whether html5lib sees an HTML script element behind this text, in a template or not."""
    parser = html5lib.HTMLParser(tree=_HTML5LIB_TREE)
    root = parser.parse(_text(before) + PROBE, scripting=True)
    return any(
        element.attrib == {"id": PROBE_ID} and element.text == "<i>"
        for element in root.iter(_HTML_SCRIPT)
    )


def changes_nothing_else(document: bytes, start: int) -> bool:
    """Whether a script put at this place leaves the rest of lexbor's tree as it was.

    A `selectedcontent` holds a copy of what the chosen option holds, and so of the probe.
    """
    text = _text(document)
    probed = _lexbor(text[:start] + PROBE + text[start:])
    return (probed.html or "").replace(PROBE, "") == (_lexbor(text).html or "")


def ends_body(before: bytes) -> bool:
    """Whether ``</body>`` behind this text ends the body for lexbor.

    From there on a comment is the last child of the root, behind the body (the "after body"
    insertion mode).
    """
    comment = f"<!--{PROBE_ID}-->"
    root = _lexbor(f"{_text(before)}</body>{comment}").root
    last = root.last_child if root is not None else None
    return last is not None and last.html == comment and last.prev is not None


def is_element_without_scripting(before: bytes) -> bool:
    """Whether the script stays an element, live or not, where scripting is off.

    Else ``<noscript><img src='//evil?</noscript>`` would swallow it into an address.
    """
    return bool(list(_probes(_lexbor(_text(before) + PROBE, scripting=False))))


def writes_out(text: bytes, address: bytes) -> bool:
    """Whether the `src` of the start tag that a text begins with holds these bytes as they are.

    If so, others there make another `src`.
    """
    other = text.replace(address, address.replace(b"widget", b"gadget"))
    sources = []
    for one in (text, other):
        script = _lexbor(_text(one)).css_first("script")
        sources.append(script and script.attributes.get("src"))
    return sources[0] != sources[1]


def nonce(text: bytes) -> str | None:
    """Return the nonce of the script start tag that a text begins with."""
    script = _lexbor(_text(text)).css_first("script")
    assert script is not None, "it is one"
    return script.attributes.get("nonce")


def context(before: bytes) -> str:
    """Return which elements are around the end of this text, the innermost first, if it is in one.

    It tells documents apart, and nothing more.
    """
    node = _lexbor(_text(before) + PROBE).css_first(f"#{PROBE_ID}")
    names: list[str] = []
    while node is not None and len(names) < 4:
        names.append(node.tag or "")
        node = node.parent
    return " ".join(names)


def breaks_off(text: bytes) -> bool:
    """Whether the script start tag that a text begins with does not end in it."""
    return _lexbor(_text(text)).css_first("script") is None


def _widget_texts(document: bytes, address: re.Pattern[str]) -> Iterator[int]:
    """Yield where the text, if it is in the data state, is a widget tag."""
    text = _text(document)
    for match in CANDIDATE.finditer(document):
        script = _lexbor(text[match.start() :]).css_first("script")
        if script is None:  # an incomplete tag is no tag
            continue
        # The URL parser strips C0 controls and spaces, and drops tabs and newlines.
        if not _names_widget(script.attributes.get("src"), text[match.start() :]):
            continue
        source = (script.attributes.get("src") or "").strip("".join(map(chr, range(0x21))))
        source = re.sub(r"[\t\n\r]", "", source)
        if address.fullmatch(source):
            yield match.start()


def _names_widget(source: str | None, text: str) -> bool:
    """Whether the address's path stands in the tag as it is, not in references or on two lines.

    If so, another path there makes another address.
    """
    changed = _lexbor(text.replace("/cdn/v1/widget/", "/cdn/v1/gadget/")).css_first("script")
    return changed is not None and changed.attributes.get("src") != source


def _text(document: bytes) -> str:
    """Give each byte a character: any ASCII-compatible encoding has the same tags."""
    return document.decode("latin-1")


def _lexbor(text: str, *, scripting: bool = True) -> LexborHTMLParser:
    return LexborHTMLParser(text, scripting=scripting)


def _probes(root: LexborHTMLParser | LexborNode) -> Iterator[bool]:
    """Yield whether the probe is live, if it is an HTML element at all.

    An attribute or a raw text may have eaten it. A foreign template has no fragment: it is an
    element like others.
    """
    trees: list[tuple[LexborHTMLParser | LexborNode, bool]] = [(root, True)]
    while trees:
        tree, live = trees.pop()
        if any(_is_whole_probe(node) for node in tree.css(f"#{PROBE_ID}")):
            yield live
        for fragment in tree.template_fragments():
            template = fragment.parent
            assert template is not None
            trees.append((fragment, live and _attaches_shadow_root(template)))


def _is_whole_probe(node: LexborNode) -> bool:
    child = node.first_child
    return (
        node.tag == "script"
        # Other attributes: the probe's text was an attribute name of an open script tag.
        and node.attributes == {"id": PROBE_ID}
        and child is not None
        and child.is_text_node
        and child.text_content == "<i>"
    )


def _attaches_shadow_root(template: LexborNode) -> bool:
    host = template.parent
    if host is None or not _asks_for_shadow_root(template) or not _can_be_host(host.tag or ""):
        return False
    first = next(child for child in host.iter() if _asks_for_shadow_root(child))
    return first.mem_id == template.mem_id


def _asks_for_shadow_root(node: LexborNode) -> bool:
    mode = (node.attributes.get("shadowrootmode") or "").lower()
    return node.tag == "template" and mode in ("open", "closed")


def _can_be_host(name: str) -> bool:
    return name in SHADOW_HOSTS or ("-" in name and name not in RESERVED_NAMES)
