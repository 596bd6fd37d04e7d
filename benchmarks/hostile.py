"""Input made to be slow: for every state of the scanner, what repeats in it for ever.

A scanner that looks back, or looks ahead again, needs a long page to show: then its time grows by
more than the page. Every page ends in a widget tag, so that nothing is passed over. `linear` counts
what they take, `growth` puts a clock to it, and the tests look at what is kept of them meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks import subject
from benchmarks.hostile_fields import INPUTS, Input, Step, repeated
from ensoras_middleware import snippet
from ensoras_middleware.injection import Injection
from ensoras_middleware.page import Page as SeenPage
from ensoras_middleware.page import read_page
from ensoras_middleware.widget import Widget

_WIDGETS = b"//app.ensoras.com/cdn/v1/widget/"
_IDENTIFY = snippet.script_element(snippet.identify_script(subject.IDENTITY), None)


def _almost_too_long(begin: bytes, filling: bytes, end: bytes) -> bytes:
    """Return a start tag of nearly as many bytes as may be held back."""
    return begin + filling * ((4090 - len(begin + end)) // len(filling)) + end


# The state, as the HTML standard names it; what enters it; what repeats there. `%d` is a number
# that is another one each time.
_STATES: dict[str, tuple[bytes, list[bytes]]] = {
    "data": (b"", [
        b"<", b"</", b"<!", b"<?", b">", b"a", b" ", b"<3", b"<p>", b"<a b='c' d=e>", b"\0", b"=\"",
        b"='", b"='>", b"<a>x=\"", b"<b ='>", b"<div\n", b"<s", b"<style", b"<scripts>", b"</x>",
        b"&", b"&amp;", b"&#60;", b"<a ", b"<a '", b'<a b="', b"<script", b"<template",
        b"</a x='>'>", b"<p> ", b"</p a='", b"x='", b"\x80<", b"<s\0",
    ]),
    "escape sequence": (b"", [b"\x1b", b"\x1b$B", b"<p>\x1b"]),
    "tag name": (b"<a", [b"a", b"<", b"\0"]),
    "before attribute name": (b"<a ", [b" ", b"/", b"=", b"a ", b"a=b ", b"<script "]),
    "attribute name": (b"<a b", [b"b", b"'", b"<script"]),
    "after attribute name": (b"<a b ", [b" ", b"\n\t", b"b "]),
    "before attribute value": (b"<a b=", [b" ", b"\n"]),
    "attribute value, double-quoted": (
        b'<a b="', [b"a", b"'>", b"<script>", b"=' ", b"&", b"<svg "],
    ),
    "attribute value, single-quoted": (b"<a b='", [b"a", b'">', b"<!--", b'=" ', b"&lt;"]),
    "attribute value, unquoted": (b"<a b=", [b"a", b"'", b"=\"", b"<style", b"/"]),
    "after attribute value": (b"<a ", [b"b='c'", b'b=""', b"b='c'/", b"a%d='' "]),
    "self-closing start tag": (b"<a /", [b"/", b" /", b"/a"]),
    "end tag": (b"</a ", [b"b='>' ", b"<", b"/"]),
    "bogus comment": (b"<?", [b"a", b"'", b"<script ", b"-", b"?"]),
    "doctype": (b"<!doctype ", [b"'", b"a ", b"<!--", b"public \"\" "]),
    "comment": (b"<!--", [b"-", b"--!", b"--", b"<!--", b"- ", b"<!-", b"->", b"a"]),
    "comments": (b"", [
        b"<!---->", b"<!-->", b"<!-- -->", b"<!--a--!>", b"<!--'-->", b"<!--->", b"<!--<!---->",
    ]),
    "script data": (b"<script>", [
        b"<", b"</", b"</script", b"</scrip", b"<!-", b"a", b"<!--", b"-->", b"<a", b"</a>",
    ]),
    "script data, escaped": (
        b"<script><!--", [b"-", b"--", b"<", b"</script", b"<scrip", b"--><!--", b"<!--", b"->"],
    ),
    "script data, double escaped": (
        b"<script><!--<script>",
        [b"-", b"</scrip", b"</script ", b"<script ", b"</script><script>"],
    ),
    "scripts": (b"", [
        b"<script></script>", b"<script src=x></script>", b"<script><!--</script>-->",
        b"<script a='", b"<script ", b"<script><!--<script></script></script>",
        b"<script>%b</script>" % (b"a<" * 25), b"<script>%b</script x='</script>'>" % (b"a" * 2100),
    ]),
    "script start tag": (b"<script ", [b"a", b">", b"a ", b"a='' ", b"<", b"'", b"a%d=b "]),
    "raw text": (b"<style>", [b"<", b"</", b"</style", b"</styl", b"<!--"]),
    "RCDATA": (b"<textarea>", [b"<", b"</textarea", b"</", b"&"]),
    "raw text elements": (b"", [
        b"<style></style>", b"<title></title x>", b"<xmp></xmp/>", b"<iframe></iframe>",
        b"<noembed><noframes></noembed></noframes>", b"<style>%b</style>" % (b"a" * 2100),
    ]),
    "noscript": (b"<noscript>", [b"<", b"<!--", b"<a b='", b"</noscrip", b"<p>", b"</noscript "]),
    "noscript, a tag inside": (b"<noscript><a ", [b"a", b"'", b"a=b ", b"</noscrip"]),
    "noscript, a script tag inside": (b"<noscript><script ", [b"a", b">'", b"a='' "]),
    "noscript, elements inside": (b"<noscript>", [
        b"<script></script>", b"<style></style>", b"<svg><g></g></svg>", b"<template></template>",
        b"<!---->", b"<script><!--<script>", b"<noscript>", b"<select>", b"<svg>",
    ]),
    "noscripts": (b"", [
        b"<noscript></noscript>", b"<noscript><!----></noscript>",
        b"<noscript><img src='x'></noscript>",
        b"<noscript>%b</script></noscript>" % _almost_too_long(b"<script a='", b">", b"'>"),
    ]),
    "template": (b"<template>", [b"<p>", b"<script></script>", b"<div>", b"<", b"<template a='"]),
    "template start tag": (b"<template ", [b"a", b">", b"<", b"a='' "]),
    "templates": (b"", [
        b"<template></template>", b"</template>", b"<div><template shadowrootmode=open></template>",
        b"<template>" * 512 + b"</template>" * 512,
        _almost_too_long(b"<template a='", b">", b"'>") + b"</template>",
    ]),
    "templates, 512 deep": (b"<template>" * 511, [
        b"<template></template>", b"<p>", b"<script></script>", b"<", b"</template><template>",
    ]),
    "shadow root": (b"", [
        b"<div>" + b" " * 999, b"<p> <template shadowrootmode=closed></template>", b"<a-b> ",
        b"<div a='<template>'><template></template>",
    ]),
    "select": (b"<select>", [b"<option>", b"<script></script>", b"<", b"<script ", b"<option a='"]),
    "selects": (b"", [b"<select></select>", b"<select><option></select>", b"</select>"]),
    "foreign content": (b"<svg>", [
        b"<g/>", b"<", b"<g></g>", b"<path d='M0'/>", b"<g>", b"<!---->", b"<![CDATA[]]>", b"</x>",
        b"<desc></desc>", b"a", b"<g", b"<g ", b"<!", b"</", b"<?>", b"<![CDATA", b"<title/>",
        b"<script></script>", b"<style><a></a></style>",
    ]),
    "foreign elements": (b"", [
        b"<svg></svg>", b"<svg/>", b"<math></math>", b"<svg><p>", b"<math><mi><b></b></mi></math>",
        b"<svg><g><title>a</title><path d=''/></g></svg>", b"<svg>%b</svg>" % (b"<g>" * 400),
        b"<svg><path d=''/><rect></svg>", b"<svg><g><g><g></g></g></g></svg>",
    ]),
    "foreign content, 512 deep": (b"<svg>" + b"<g>" * 510, [
        b"<a></a>", b"<a/>", b"</g><g>", b"<", b"<desc></desc>", b"<title><b></b></title>",
    ]),
    "foreign content, much left open": (b"<svg>", [b"<g>%b</g>" % (b"<a>" * 400)]),
    "integration point": (b"<svg><desc>", [
        b"<p></p>", b"<b>", b"<", b"<svg></svg>", b"<script></script>", b"<!--", b"<title></title>",
    ]),
    "integration points, 510 deep": (b"<svg><desc>" * 255, [b"<p></p>", b"<br>", b"</desc><desc>"]),
    "CDATA section": (b"<svg><![CDATA[", [b"]", b"]]", b"] ", b">", b"<", b"]]>", b"]]><![CDATA["]),
    "plaintext": (b"<plaintext>", [b"<", b"<script></script>"]),
    "widget tags of others": (b"", [
        b"<script src=//app.ensoras.com/cdn/v1/widget/other.js></script>",
        b"<!--//app.ensoras.com/cdn/v1/widget/acme.js-->",
        b"/cdn/v1/widget/", b"//app.ensoras.com/cdn/v1/widget/acme.js", b"/* Ensoras identity ",
        _almost_too_long(b"<script src='" + _WIDGETS + b"acme.js&", b"amp;", b"x'>") + b"</script>",
        _almost_too_long(b"<script a='", b">", b"'>") + b"</script>",
        _almost_too_long(b"<script ", b"a ", b">") + b"</script>",
    ]),
    "addresses": (b"", [
        _almost_too_long(b"<script src='", filling, b"'>") + b"</script>" for filling in (
            b"&#x2f;", b"&#128;", b"&sol", b"&notit;", b"&", b"&#", b"&#x", b"&ampx", b"&#0", b"9",
            b"\t", b" ", b"\n&Tab;",
        )
    ] + [_almost_too_long(b"<script src='&#", b"9", b"'>") + b"</script>"]),
    "identify scripts": (b"", [
        _IDENTIFY, _IDENTIFY[:-20], snippet.MARK, _IDENTIFY[8 : _IDENTIFY.index(b"email")],
        _IDENTIFY + _WIDGETS, snippet.MARK + _WIDGETS + b"acme.js",
    ]),
}  # fmt: skip

# Much between what matters: where each of these is searched from the beginning, or to the end, that
# goes fast, and so shows only in long pages. These cost little, and get long. With this length
# chunks are soon cut at every place of them; with others ever more unluckily, up to a megabyte.
_MUCH = b"a" * 3236
_FAR_APART = [
    b"<p>", b"<", b"<a ", b"<a b='c'>", b"='", b"<!---->", b"<!--", b"<!", b"<script></script>",
    b"<script ", b"<style></style>", b"<template></template>", b"<select></select>", b"<svg></svg>",
    b"<svg><g>", b"<noscript></noscript>", b"</body>", snippet.MARK, _WIDGETS, b"<s", b"</",
]  # fmt: skip

# What repeats in every state besides, for a short while.
_ANYWHERE = [
    b"<", b"<!--", b"<!--->", b"<!-->", b"<!---->", b"<script", b"<script ", b"<script>",
    b"<script></script>", b"<script src=x></script>", b'"', b"'", b"=", b'="', b"=' ", b"<a ",
    b"<a '", b'<a b="', b"<a b='\">", b"<a b=''>", b"</", b"</a", b"</a>", b"<!", b"<?", b"<!x>",
    b" ", b">", b"-", b"--!", b"--", b"/", b"a", b"a=", b"a ", b"&", b"]", b"]]", b"<svg>",
    b"</svg>", b"<g>", b"<g></g>", b"<svg></svg>", b"<svg><", b"<svg/>", b"<template>", b"\x1b",
    b"</template>", b"\0", b"<template></template>", b"<style></style>", b"</style", b"</script ",
    b"<textarea><", b"<s", b"<noscript></noscript>", b"<p>", subject.TAG,
]  # fmt: skip

# Where the widget may be written too, and where a page may be of any brand.
_END_OF_BODY = [
    b"</body>", b"</bod", b"</body ", b"</BODY x='", b"<p></p></body><!---->", b"<!--</body>-->",
    b"<select></body></select>", b"<svg></body></svg>", b"<template></body></template>",
]  # fmt: skip
_BRANDS = [
    b"<script src=" + _WIDGETS + slug + b".js></script>" for slug in (b"unknown", b"unknown%d")
]


@dataclass(frozen=True, slots=True)
class Page:
    """Makes a hostile page of any size, and what reads it."""

    state: str
    before: bytes
    unit: bytes
    widget: Widget = subject.WIDGET

    @property
    def name(self) -> str:
        """Return the state and what repeats in it."""
        unit = self.unit if len(self.unit) < 80 else self.unit[:60] + b"..." + self.unit[-10:]
        return f"{self.state}: {unit.decode('latin-1')!r}"

    def text(self, size: int) -> bytes:
        """Return the beginning of an endless page, as many whole units as fit into this size."""
        room = size - len(self.before)
        return self.before + repeated(self.unit.decode("latin-1"), room).encode("latin-1")

    def whole(self, size: int) -> Step:
        """Return what sends a whole page through everything, for a user who is logged in."""
        page, injection = self.text(size) + subject.TAG, subject.injection(self.widget)
        return Step(len(page), lambda: subject.answered(injection, page, subject.EMAIL))

    def read(self, size: int) -> Step:
        """Return what reads a page as the command `check` does: whole, and broken off."""
        text = self.text(size)
        pages = text + subject.TAG, subject.TAG + text
        return Step(len(pages[0]), lambda: _looked_at(*map(read_page, pages)))

    def stream(self, chunk: int, sizes: Iterable[int]) -> Iterator[Step]:
        """Yield what goes on with one stream up to each size, in chunks of so many bytes."""
        injection, start = subject.injection(self.widget), 0
        injection.user_is(subject.EMAIL)
        injection.start_stream()
        for size in sizes:
            text = self.text(size + len(self.unit))[start:size]
            yield Step(size, partial(_fed, injection, text, chunk))
            start = size


def _looked_at(*pages: SeenPage) -> None:
    for page in pages:
        for tag in page.tags:
            page.call_before(tag)


def _fed(injection: Injection, text: bytes, chunk: int) -> None:
    for at in range(0, len(text), chunk):
        injection.feed(text[at : at + chunk])


PAGES = [
    *(Page(state, before, unit) for state, (before, units) in _STATES.items() for unit in units),
    *(Page("end of the body", b"", unit, subject.EMBEDDING) for unit in _END_OF_BODY),
    *(Page("widget tags of other brands", b"", unit, subject.OF_ANY_BRAND) for unit in _BRANDS),
    *(Page("far apart", b"", unit + _MUCH, subject.EMBEDDING) for unit in _FAR_APART),
    *(Page("brands far apart", b"", unit + _MUCH, subject.OF_ANY_BRAND) for unit in _BRANDS),
]
CROSSED = [
    Page(f"{before.decode()!r}, and in it", before, unit)
    for before in sorted({one.before for one in PAGES if len(one.before) < 40})
    for unit in _ANYWHERE
]
GENERATORS: list[Page | Input] = [*PAGES, *INPUTS, *CROSSED]


def some_of_each_state(count: int) -> list[Page]:
    """Return the first few generators of each state."""
    seen: Counter[str] = Counter()
    return [one for one in PAGES if seen.update([one.state]) or seen[one.state] <= count]
