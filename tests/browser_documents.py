"""Hostile documents whose verdict Chromium gives: a table written by hand, and random soup.

In the table `{W}` is the widget tag, `{S}` the same with single quotes, `{U}` the widget's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ensoras_middleware import Outcome
from fuzzing.documents import random_document
from fuzzing.fragments import RAW_NAMES, URL, WIDGET

# What the browser does with the widget.
RUNS = "runs"
DEAD = "dead"  # there is no such script
STANDS = "stands"  # the tag is a script element of the page, which does not run


@dataclass(frozen=True)
class Case:
    name: str
    document: bytes
    verdict: str
    outcome: Outcome
    left_scripts: int = 0
    charset: str | None = "utf-8"


IDENTIFIED = {
    "alone": "{W}",
    "after a byte order mark": "\xef\xbb\xbf{W}",
    "after a NUL": "\0{W}",
    "before the doctype": "{W}<!doctype html><p>x",
    "in the head": "<!doctype html><head><title>t</title>{W}</head><body><p>x",
    "between head and body": "<!doctype html><head></head>{W}<body class=b><p>x",
    "behind a late end of the head": "<!doctype html><p>x</head>{W}<p>y",
    "behind the body": "<!doctype html><body><p>x</body>{W}",
    "behind everything": "<!doctype html><html><body><p>x</body></html>{W}",
    "inside a paragraph": "<p>x{W}y</p>",
    "in open formatting": "<p><b><i>x</p>{W}y",
    "in a table": "<table>{W}<tr><td>x</table>",
    "text and the tag in a table": "<table>x{W}y<tr>z{W}</table>",
    "in a row": "<table><tr>{W}<td>x</table>",
    "in a cell": "<table><tr><td>x{W}y</table>",
    "in a column group": "<table><colgroup>{W}<col><tr><td>x</table>",
    "in a caption": "<table><caption>x{W}</caption></table>",
    "in a select": "<select>{W}<option>x</select>",
    "in an option": "<select><option>x{W}y</select>",
    "in a button, a form, an object": "<form><button>{W}</button><object>{W}</object></form>",
    "a late frameset": "<p>{W}<frameset><frame></frameset>",
    "two of them": "{W}<p>{W}",
    "three decoys before": "<!--{W}--><textarea>{W}</textarea><template>{W}</template>{W}",
    # Comments
    "a comment ends at once": "<!-->{W}-->",
    "a comment ends after a dash": "<!--->{W}-->",
    "a comment ends with a bang": "<!--x--!>{W}-->",
    "a comment in a comment": "<!-- <!-- -->{W}-->",
    "dashes inside": "<!-- -- - -- ->--- -->{W}",
    "a bogus comment": "<!x>{W}<?x?>{W}</>{W}</1>{W}",
    "a comment without its second dash": "<!-x-->{W}",
    "CDATA outside of foreign content": "<![CDATA[x>]]>{W}",
    "a conditional comment that shows": "<![if !IE]>{W}<![endif]>",
    "a quoted end in a doctype": "<!doctype html SYSTEM 'a>{W}",
    # Script data
    "an escape that the end tag ends": "<script>steps.push(1)<!--\n</script>{W}",
    "an inner script that dashes end": "<script><!--<script>\n--></script>{W}",
    "an inner end tag is the first": "<script><!--<script></script>\n</script>{W}",
    "not a script inside": "<script><!--<scripty></script>{W}",
    "an end tag with attributes": "<script></script x='</script>' y=\">\">{W}",
    "an end tag in capitals": "<SCRIPT>steps.push(1)</sCrIpT\f>{W}",
    "an end tag with a solidus": "<script></script/>{W}",
    # Raw text
    "a comment in a title": "<title><!--</title>{W}-->",
    "a comment in a style": "<style><!--</style>{W}-->",
    "a tag in a textarea": "<textarea><a b='</textarea>{W}'>",
    "an end tag with an attribute": "<xmp></xmp a='>'>{W}",
    "an iframe that holds a comment": "<iframe><!--</iframe>{W}-->",
    "noembed and noframes": "<noembed><p></noembed><noframes><!--</noframes>{W}",
    "noscript": "<noscript><p>x</p></noscript>{W}",
    "noscript in the head": "<head><noscript><link></noscript>{W}</head>",
    "a listing and a pre": "<listing>\n{W}</listing><pre>\n{W}",
    # Templates and shadow roots
    "behind a template": "<template><p></template>{W}",
    "a stray end of a template": "</template>{W}",
    "behind nested templates": "<template><template></template></template>{W}",
    "a template's attribute": "<template a='</template>'></template>{W}",
    "behind a shadow root": "<div><template shadowrootmode=open></template>{W}</div>",
    # Foreign content
    "behind svg": "<svg><path d='M0'/></svg>{W}",
    "svg that closes itself": "<svg/>{W}",
    "in an svg title": "<svg><title>{W}</title></svg>",
    "in an svg desc": "<svg><desc>{W}</desc></svg>",
    "in a foreignObject": "<svg><foreignObject>{W}</foreignObject></svg>",
    "in MathML text": "<math><mi>{W}</mi></math>",
    "a paragraph breaks out": "<svg><p>{W}",
    "an svg style is no raw text": "<svg><style></svg>{W}",
    "CDATA in svg": "<svg><![CDATA[</svg>]]></svg>{W}",
    "svg leaves its children open": "<svg><g><a></svg>{W}",
    # Attributes
    "an end in an attribute": "<a b='>'>{W}",
    "a quote ends an unquoted value": "<a b=c'>{W}'>",
    "a quote begins a name": '<a "\'=>{W}">',
    "a name begins with an equals sign": '<a =">{W}">',
    "no value at all": "<a b= >{W}",
    "no space between": "<a b=\"c\"d='e'>{W}",
    "a tag in a tag": "<a<b>{W}",
    "an unquoted opener": "<a b=<c>{W}",
    "attributes of an end tag": '</a b=">">{W}',
    "a NUL in a name": "<a b\0='>'>{W}",
    "a lone less-than": "a < b <3 << <= <{W}",
    "a tag in an attribute first": '<a title="{S}">{W}',
    # How the tag itself is written
    "in capitals": "<SCRIPT ASYNC SRC='{U}'></SCRIPT>",
    "unquoted": "<script src={U}></script>",
    "a solidus for a space": "<script/src={U}></script>",
    "spaces around": "<script\n\tdefer\fsrc = '\n {U} \t'></script >",
    "scheme-relative": "<script src=//app.ensoras.com/cdn/v1/widget/acme.js></script>",
    "references in the scheme": "<script src='&#104;ttps://app.ensoras.com/cdn/v1/widget/acme.js'>"
    "</script>",
    "a query and a fragment": "<script src='{U}?a=1&copy=2#x'></script>",
    "the first of two sources": "<script src={U} src=other.js></script>",
    "a module": "<script type=module src={U}></script>",
    "JavaScript by its old name": "<script type=' Text/JavaScript ' src={U}></script>",
    "an escape inside": "<script src={U}><!--<script></script>--></script>",
    "an attribute's end tag": "<script a='</script>' src={U}></script>",
    "a nonce": "<script nonce=abc123 src={U}></script>",
    "blocking": "<script src={U}></script><script>steps.push(recorder.told.length)</script>",
    # The page's own scripts
    "own scripts around": "<script>steps.push(1)</script>{W}<script>steps.push(2)</script>",
    "own scripts count": "{W}<script>steps.push(document.scripts.length)</script>",
    "own scripts look around": "<p>{W}<script>steps.push(document.currentScript"
    ".previousSibling.src, document.querySelector('p').childNodes.length)</script>",
    "own files": "<script src=a.js></script>{W}<script>steps.push(1)</script>"
    "<script defer src=b.js></script>",
    "own names": "{W}<script>const Ensoras = 1, EnsorasQueue = 2; steps.push(Ensoras)</script>",
    "own queue": "<script>EnsorasQueue = [['boot', 1]]</script>{W}",
    "own function": "<script>EnsorasQueue = []; function Ensoras() { EnsorasQueue.push(arguments) }"
    "</script>{W}",
    "a clobbered queue": "<a id=EnsorasQueue></a><img name=EnsorasQueue>{W}",
    "a clobbered function": "<form name=Ensoras></form><a id=Ensoras></a>{W}",
    "own script writes a paragraph": "<script>document.write('<p>x')</script>{W}",
    "own error": "<script>throw Error('own')</script>{W}<script>syntax error</script>",
    "inline handlers and styles": "<body onload=steps.push('load')><p style='color:red'>{W}",
}

UNTOUCHED = {
    "in a comment": "<!--{W}-->",
    "two dashes do not end a comment": "<!--x--{W}-->",
    "dashes and a space do not, either": "<!--x-- >{W}-->",
    "a bang at the start does not": "<!--!>{W}-->",
    "in an open comment": "<!--{W}",
    "in a bogus comment": "<!x {S}",
    "in a processing instruction": "<?x {S}?>",
    "in an end tag without a name": "</ {S}",
    "in a doctype": "<!doctype html {S}>",
    "in CDATA": "<![CDATA[{W}]]>",
    "in a script": "<script>'{W}'</script>",
    "in an escaped script": "<script><!--\n{W}\n--></script>",
    "in a twice escaped script": "<script><!--<script>{W}</script>",
    "behind an inner script": "<script><!--<script></script>{W}</script>",
    "behind another end tag": "<script></scripts>{W}</script>",
    "behind an end tag with a NUL": "<script></script\0>{W}</script>",
    "in the code of a script": "<script>'<\\/script>{S}",
    **{
        f"in {name}": f"<{name}>{{W}}</{name}>"
        for name in map(bytes.decode, RAW_NAMES)
        if name != "script"
    },
    "behind another end tag of a style": "<style></styles></style\0>{W}</style>",
    "a solidus does not close a textarea": "<textarea/>{W}</textarea>",
    "in plaintext": "<plaintext>{W}</plaintext>{W}",
    "in an open title": "<title>{W}",
    "in noscript in the head": "<head><noscript>{W}</noscript></head>",
    "in a template": "<template>{W}</template>",
    "in an open template": "<template><p>{W}",
    "in the outer of two templates": "<template><template></template>{W}</template>",
    "in a table's template": "<table><template><tr><td>{W}</template></table>",
    "in a template with another mode": "<div><template shadowrootmode=x>{W}</template></div>",
    "in a template in a shadow root": "<div><template shadowrootmode=open><template>{W}</template>",
    "in svg": "<svg>{W}</svg>",
    "in MathML": "<math>{W}</math>",
    "in a child of svg": "<svg><g>{W}</g></svg>",
    "svg whose value is a solidus": "<svg x=/>{W}",
    "a foreignObject that closes itself": "<svg><foreignObject/>{W}</svg>",
    "in an svg style": "<svg><style>{W}</style></svg>",
    "in an svg template": "<svg><template>{W}</template></svg>",
    "in svg in MathML text": "<math><mi><svg>{W}</svg></mi></math>",
    "in MathML in an svg desc": "<svg><desc><math>{W}</math></desc></svg>",
    "in CDATA in svg": "<svg><![CDATA[><p>{W}]]></svg>",
    "in a double-quoted value": '<a title="{S}">',
    "in a single-quoted value": "<a title='{W}'>",
    "in an unquoted value": "<a title={W}>",
    "in an open value": '<a title="x>{S}',
    "in a tag": "<a {S}>",
    "in an end tag": '</a b=">{S}">',
    "in a value behind a quoted end": "<a b='>' c=\">{S}\">",
    "in a framed document": '<iframe srcdoc="{S}"></iframe>',
    "the second of two sources": "<script src=a.js src={U}></script>",
    "another attribute": "<script data-src={U}></script><img alt={U}>",
    "another element": "<scripts src={U}></scripts><script\0 src={U}></script>",
    "another file": "<script src={U}.map></script>",
    "another path": "<script src={U}/x></script>",
    "another scheme": "<script src=http://app.ensoras.com/cdn/v1/widget/acme.js></script>",
    "a NUL in the address": "<script src='{U}\0'></script><script src='\0{U}'></script>",
    "a space that is none": "<script src='&nbsp;{U}'></script>",
    "an open tag at the end": "<script src='{U}'",
    "an open value at the end": "<script src='{U}>",
}

# The page names no widget as far as the needle goes.
NOT_NAMED = {
    "another slug": "<script src='https://app.ensoras.com/cdn/v1/widget/other.js'></script>",
    "another case of the path": "<script src='https://app.ensoras.com/cdn/v1/Widget/acme.js'>"
    "</script>",
    "another case of the slug": "<script src='https://app.ensoras.com/cdn/v1/widget/Acme.js'>"
    "</script>",
    "the page's own host": "<script src=/cdn/v1/widget/acme.js></script>",
    "a control character inside": "<script src='//app.ensoras.com/cdn/v1/widget/acme&#1;.js'>"
    "</script>",
    "no widget": "<p>x<script>steps.push(1)</script>",
}

# The widget runs, and the page stays anonymous: by these outcomes alone.
MISSED = {
    Outcome.AMBIGUOUS: {
        "noscript swallows a comment": "<noscript><!--</noscript>{W}",
        "noscript swallows a value": "<noscript><img src='//evil?</noscript>{W}",
        "a shadow root behind text": "<div>x<template shadowrootmode=open>{W}</template></div>",
        "a link colour in svg": "<svg><font color=red>{W}",
        "an end of a paragraph in svg": "<svg></p>{W}",
        "an annotation in MathML": "<math><annotation-xml encoding='text/html'>{W}",
        "a text area in a select": "<select><textarea></textarea>{W}</select>",
        "an escape sequence": "<p>\x1b$B{W}",
    },
    Outcome.DANGLING: {
        "an attribute with a script in it": "<script data-a='<script>' src={U}></script>",
        "an attribute with a style in it": "<script data-a='<style' src={U}></script>",
    },
    # The address does not stand in the page as text.
    Outcome.NO_WIDGET: {
        "the host in capitals": "<script src=//APP.ensoras.com/cdn/v1/widget/acme.js></script>",
        "reverse solidi": "<script src='\\\\app.ensoras.com/cdn/v1/widget/acme.js'></script>",
        "references in the path": "<script src='//app.ensoras.com/cdn/v1/widget&sol;acme.js'>"
        "</script>",
        "a line break in the address": "<script src='//app.ensoras.com/cdn\n/v1/widget/acme.js'>"
        "</script>",
        "a base element": "<base href='https://app.ensoras.com/'>"
        "<script src=/cdn/v1/widget/acme.js></script>",
    },
    # It does, but not in a script's start tag, or as no widget tag is written.
    Outcome.NO_TAG: {
        "a script writes the tag": "<script>document.write('<script src={U}><\\/script>')</script>",
        "a script makes the tag": "<script>s = document.createElement('script'); s.src = '{U}'; "
        "document.head.append(s)</script>",
        "an svg script": "<svg><script href={U}></script></svg>",
    },
}

# In doubt, and rightly so.
DOUBTED = {
    "in a frameset": "<frameset>{W}</frameset>",
    "two shadow roots": "<div><template shadowrootmode=open></template>"
    "<template shadowrootmode=open>{W}</template></div>",
    "no shadow host, for white space brings back the link": "<p><i><div>\n"
    "<template shadowrootmode=open>{W}</template></div>",
    "no shadow host": "<ul><template shadowrootmode=open>{W}</template></ul>",
    "a font in svg": "<svg><font>{W}</font></svg>",
    "a template's columns": "<template><col>{W}</template>",
    "a byte order mark of UTF-16": "\xff\xfe{W}",
}

# Real script elements that Chromium does not run. Consent managers write `text/plain`, and start
# the widget later: then it finds the identity. A missing end tag cannot be foreseen.
STANDING = {
    "held back by a consent manager": "<script type=text/plain src={U}></script>",
    "not for browsers with modules": "<script nomodule src={U}></script>",
    "of another integrity": "<script crossorigin integrity='sha256-"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' src={U}></script>",
    "no end tag": "<script src={U}>",
    "a solidus is no end tag": "<script src='{U}'/><p>",
    "an escape without an end": "<script src={U}><!--<script></script>",
}

# `document.currentScript` is null in a shadow tree, and an image's name can hide it: there the
# identify script cannot find its own element, and stays.
LEFT = {
    "in a shadow root": "<div><template shadowrootmode=open>{W}</template></div>",
    "in a closed shadow root": "<x-y><template shadowrootmode='CLOSED'>{W}</template></x-y>",
    "in nested shadow roots": "<section><template shadowrootmode=open><p>"
    "<template shadowrootmode=open>{W}</template></p></template></section>",
    "currentScript is clobbered": "<img name=currentScript>{W}",
}


def _document(text: str) -> bytes:
    document = text.encode("latin-1")
    document = document.replace(b"{W}", WIDGET).replace(b"{U}", URL)
    return document.replace(b"{S}", WIDGET.replace(b'"', b"'"))


def _cases() -> Iterator[Case]:
    for table, verdict, outcome in (
        (IDENTIFIED, RUNS, Outcome.IDENTIFIED),
        (UNTOUCHED, DEAD, Outcome.NO_TAG),
        (NOT_NAMED, DEAD, Outcome.NO_WIDGET),
        (DOUBTED, DEAD, Outcome.AMBIGUOUS),
        (STANDING, STANDS, Outcome.IDENTIFIED),
        *((table, RUNS, outcome) for outcome, table in MISSED.items()),
    ):
        for name, text in table.items():
            yield Case(name, _document(text), verdict, outcome)
    for name, text in LEFT.items():
        yield Case(name, _document(text), RUNS, Outcome.IDENTIFIED, left_scripts=1)
    yield Case("in windows-1252", b"<p>\xe9" + WIDGET, RUNS, Outcome.IDENTIFIED, charset="latin1")
    yield Case("in Shift_JIS", b"<p a=\x83\x5c>" + WIDGET, RUNS, Outcome.IDENTIFIED, charset="sjis")
    japanese = b"<meta charset=iso-2022-jp><a title='\x1b$B'>" + WIDGET
    yield Case("in ISO-2022-JP by itself", japanese, DEAD, Outcome.AMBIGUOUS, charset=None)


CASES = list(_cases())

# What a page's own scripts see must not change.
_OWN = [
    b"<script>steps.push('own')</script>",
    b"<script>steps.push(document.scripts.length)</script>",
    b"<script>steps.push(document.currentScript.parentNode.childNodes.length)</script>",
    b"<script>steps.push(document.body ? document.body.textContent.length : null)</script>",
    b"<script src=own.js></script>",
    b"<p id=own>text</p>",
]
# It would run a widget without a tag: see `MISSED`.
_WRITES = b"document.write("
_CLOSING = b"\n--></script>"


def hostile_documents(count: int, seed: int) -> Iterator[bytes]:
    """Yield random documents, the same for every run, with scripts of the page's own."""
    random = Random(seed)
    while count:
        document = random_document(random)
        if _WRITES in document:
            continue
        for _ in range(random.randint(0, 3)):
            at = random.choice([0, len(document), document.rfind(b">") + 1])
            document = document[:at] + random.choice(_OWN) + document[at:]
        count -= 1
        # Without an end tag no browser runs the script: see `STANDING`.
        yield document + _CLOSING
