"""Hostile documents: a grammar of fragments that mislead whoever does not parse as a browser does.

The same fragments feed two generators: `documents`, a hypothesis strategy that shrinks its
findings, and `random_document`, which is fast and seeded, for long runs.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

URL = b"https://app.ensoras.com/cdn/v1/widget/acme.js"
WIDGET = b'<script src="' + URL + b'" async defer></script>'

WIDGETS = [
    WIDGET,
    b"<script src=" + URL + b"></script>",
    b"<script src='" + URL + b"'></script>",
    b"<SCRIPT async SRC = '" + URL + b"?v=1&copy=2' nonce=abc123></SCRIPT >",
    b"<script/src=//app.ensoras.com/cdn/v1/widget/acme.js></script>",
    b'<script\n\tdefer\fsrc="&#104;ttps:&#x2F;/APP.ensoras.com/cdn/v1/widget&sol;acme.js#x"></script>',
    b'<script data-a="<script>" data-b=\'-->"\' src=" ' + URL + b'\n" src=other.js></script>',
    b'<script a="</script>" ="=\'" src=' + URL + b" ></script/x='>'>",
    b"<script src=" + URL + b"><!--<script></script>",
    b'<script src="' + URL + b'"/>',
    b'<script src="' + URL + b'">',
]
DECOYS = [
    b'<script src="https://app.ensoras.com/cdn/v1/widget/other.js"></script>',
    b'<script src="http://app.ensoras.com/cdn/v1/widget/acme.js"></script>',
    b'<script src="' + URL + b'.map"></script>',
    b'<script src="/cdn/v1/widget/acme.js"></script>',
    b'<script src="a.js" src="' + URL + b'"></script>',
    b'<script src="//app.ensoras.com/cdn/v1/widget/acme&#1;.js"></script>',
    b'<script src="&nbsp;' + URL + b'"></script>',
    b'<script data-src="' + URL + b'"></script>',
    b'<scripts src="' + URL + b'"></scripts>',
    b'<img src="' + URL + b'">',
    b'<script src="' + URL + b'"',
    b"<script src='" + URL + b'">',
    b"</script src=" + URL + b">",
    b"<script>",
    b"<script src=a.js>",
    b"</script>",
    b"<script ",
    b"<script",
    b"<script/",
    b"<script>document.write('<script src=\"" + URL + b"\"><\\/script>')</script>",
]
COMMENTS = (
    b"<!-- --> <!--> <!---> <!-- -- --!> <!----!> <!--!> --> -- --! ---> --!> <!-- <!--<!- <! "
    b"<!> <!-x> <!-- <!--> <? <?x?> <?xml <?> </> </ </1 </1> </!-- </?> <% %> <!--- <!---- "
    b"<!--a--b--> <!----> <!---!> <!---x--> <!--<!--> <!--[if]> <![endif]-->"
).split()
DOCTYPES = [
    b"<!doctype html>",
    b"<!DOCTYPE",
    b"<!doctype html PUBLIC '",
    b'<!doctype html SYSTEM "a>b',
    b"<!doctypex>",
    b'<!doctype "',
]
CDATA = (
    b"<![CDATA[ <![CDATA[x]]> ]]> ]] ] <![cdata[ <![CDATA <![CDATA[]> <![CDATA[]]]> "
    b"<![CDATA[<b>]]> <![CDATA[> ]]></svg>"
).split()
RAW_NAMES = b"style textarea title xmp iframe noembed noframes noscript script".split()
RAW = (
    [b"<%b>" % name for name in RAW_NAMES]
    + [b"</%b>" % name for name in RAW_NAMES]
    + [b"</%b " % name for name in RAW_NAMES]
    + [b"<%b/>" % name for name in RAW_NAMES]
    + [
        b"<plaintext>",
        b"<noscript><img src='//evil?</noscript>",
        b"<noscript><!--</noscript>",
        b"<noscript><p></noscript>",
        b"<noscript><style></noscript>",
        b"<head>",
        b"</head>",
        b"<TextArea a='>'>",
        b"</TEXTAREA x='</textarea>'>",
        b"</textareax>",
        b"</title/>",
        b'<style a=">',
        b"<style></stylex></style\f>",
        b"<listing>",
        b"<pre>\n",
    ]
)
SCRIPT_DATA = [
    b"<script><!--",
    b"<script><!--<script>",
    b"<script><!--<script",
    b"<!--<script></script>",
    b"--></script>",
    b"<script><!--<script></script>",
    b"<script><!--<script></script></script>",
    b"<script><!-->",
    b"<script><!--<script -->",
    b"<script><!--<SCRIPT/</Script >-->",
    b"<script><!--<scripty></script>",
    b"<script>'</scrip' </scripts></script x='</script>'>",
    b"<script><!-<script></script>",
    b"<script><!--<script>--</script>-></script>",
    b"</script/",
    b"<script>a<b",
]
# What is hopped over whole, and what nearly is.
SELF_CONTAINED = [
    b"<script src='x.js' defer></script>",
    b'<script type="a" src="/b/c.js">x < y; "\'"</script >',
    b"<script src='" + URL + b"?'></script>",
    b"<script a=\"<!--\" b='<svg>'></script>",
    b"<script a='>'>/*'*/</script>",
    b'<title a="b">it\'s</title>',
    b"<style>a>b{c:'</'}</style>",
    b"<iframe src='a'></iframe>",
    b"<!-- it's \" > - -->",
    b'<svg a="b"><path d="M0"/><g><use/><title>"</title></g></svg>',
    b"<svg><path d='<'></path><g><g><rect a='b' /></g></g></svg>",
    b"<svg><path></use></svg>",
    b"<svg><g><path></g></svg>",
    b"<svg><title>x</svg>",
    b"</path>",
    b"<g><path>",
    b'<a b="',
    b"<a b='",
    b"it's ",
]
TEMPLATES = [
    b"<template>",
    b"</template>",
    b"<template shadowrootmode=open>",
    b"<div><template shadowrootmode=open>",
    b"<div><template shadowrootmode='CLOSED'>",
    b"<div><template shadowrootmode=x>",
    b"<span><template shadowrootmode=open></template>",
    b"<x-y><template shadowrootmode=closed>",
    b"<ul><template shadowrootmode=open>",
    b"<template><col>",
    b"<template><col><textarea>",
    b"<template><tr>",
    b"<template><td>",
    b"<template><template>",
    b"</template x='</template>'>",
    b"<template/>",
    b"<TEMPLATE a=>",
    b"<table><tr><template><td><tr>",
]
FOREIGN = [
    fragment.replace(b"_", b" ")
    for fragment in (
        b"<svg><desc> <svg><title> <svg><foreignObject> <math><mi> <math><mtext> <form> <button> "
        b"<nobr> <![CDATA[><b> ]]> <svg><desc><p> <h2> </h2> </li> <svg> </svg> <svg/> <math> "
        b"</math> <math/> <svg_x=/> <svg></svg> <SVG> </Svg/> <svg <svg/x> <foreignObject> "
        b"</foreignObject> <desc> </desc> <title> </title> <desc/> <mi> </mi> <mo> <mtext> "
        b"</mtext> <annotation-xml> </annotation-xml> <annotation-xml_encoding=text/html> "
        b"<mglyph> <malignmark> <g> </g> <g/> <path/> <style> </style> <p> </p> <br> </br> <b> "
        b"</b> <div> </div> <font> <font_color=red> </font> <span> <image> <body> <table> "
        b"<script/> </script> <circle></circle> <svg:script> <a> </a> <svg><title/></svg> "
        b"<svg><style></svg> <li> <h1> <svg><script></svg> <svg><![CDATA[ <math><mi><svg> "
        b"<svg><desc><math> <math><svg> <svg><math> <font_FACE> <font/size=/> "
        b"<math><annotation-xml><svg> <svg><textarea> <svg><select> <svg><template>"
    ).split()
]
TREE = (
    b"<select> </select> <option> <optgroup> <select><textarea> <select><style> <select><div> "
    b"<select><svg> <select><plaintext> <select><title> <select><xmp> <select><script> <hr> "
    b"<input> <keygen> <button> <frameset> </frameset> <frame> <noframes> </noframes> <table> "
    b"</table> <tr> <td> </td> <th> <caption> </caption> <colgroup> <col> </colgroup> <tbody> "
    b"</tbody> <html> </html> <head> </head> <body> </body> <form> </form> <object> </object> "
    b"<applet> <marquee> </marquee> <b> </b> <i> <a> </a> <nobr> <ul> <li> <dd> <ruby> <rt> "
    b"<base> <link> <meta> <p> </p> <image> <menuitem> <param> <area> <wbr> <isindex> <dialog> "
    b"<search> <textarea> <br/>"
).split()
ATTRIBUTES = [
    b'<a title="<script>">',
    b'<a title="',
    b"<a title='",
    b'">',
    b"'>",
    b'<a title="' + WIDGET.replace(b'"', b"'") + b'">',
    b"<a title='" + WIDGET + b"'>",
    b"<a title=" + WIDGET + b">",
    b"<a " + WIDGET,
    b"<a",
    b"<a ",
    b"<a/",
    b"<a b",
    b"<a b =",
    b"<a b = ",
    b"<a b =\n'",
    b"<a =",
    b"<a ='>",
    b"<a b=c'>",
    b"<a b=c\">'",
    b"<a b='c'd=\"e\">",
    b"<a b='c''>",
    b'<a "=>',
    b"<a '>'",
    b'<a b=""">',
    b"</a b='>",
    b"</a b='>'>",
    b"</p \"='>",
    b"<a<b>",
    b"<a b=<c>",
    b"<div class=x id='y>' z>",
    b"<a href =",
    b" = '",
    b' "',
]
TEXT = [
    b"a < b",
    b"<",
    b"<<",
    b"<3",
    b"<=",
    b">",
    b"=",
    b'="',
    b"='",
    b'= "',
    b'"',
    b"'",
    b"/",
    b"/>",
    b" ",
    b"\n",
    b"\t\f\r",
    b"it's x = 'y'",
    b'say "hi"',
    b"&lt;script&gt;",
    b"&",
    b"&#0;",
    b"\0",
    b"<\0",
    b"<a\0",
    b"<script\0",
    b"</script\0>",
    b"<!-\0-",
    b"x",
    b"\xe9\xff",
    b"<\xe9>",
    b"</\xe9>",
    b"\xc4\xb0",
    b"!",
    b"-",
    b"?",
]
GROUPS = [
    DECOYS, COMMENTS, DOCTYPES, CDATA, RAW, SCRIPT_DATA, SELF_CONTAINED, TEMPLATES, FOREIGN, TREE,
    ATTRIBUTES, TEXT,
]  # fmt: skip
SIGNS = [bytes([sign]) for sign in b"<>\"'=/-!? \n\0\x1b[]&;sScC"]


def random_document(random: Random) -> bytes:
    """Return a document of a few fragments from a few groups, some of it cut, doubled or moved."""
    groups = random.sample(GROUPS, random.randint(1, 4))
    pieces = [random.choice(random.choice(groups)) for _ in range(random.randint(0, 10))]
    for _ in range(random.randint(1, 2)):
        widget = WIDGET if random.random() < 0.5 else random.choice(WIDGETS)
        pieces.insert(random.randint(0, len(pieces)), widget)
    document = b"".join(pieces)
    while random.random() < 0.25:
        document = _mutated(random, document)
    if random.random() < 0.3:
        document = b"<!doctype html><title>t</title><body>" + document
    return document


def _mutated(random: Random, document: bytes) -> bytes:
    at = random.randint(0, len(document))
    to = min(len(document), at + random.randint(1, 12))
    return random.choice(
        [
            document[:at] + document[to:],
            document[:at] + document[at:to] + document[at:],
            document[:at] + random.choice(SIGNS) + document[at:],
            document[:at] + document[at:to].swapcase() + document[to:],
            document[:at],
        ]
    )


def cuts(random: Random, document: bytes) -> list[bytes]:
    """Return the document in up to five random chunks, some of them empty."""
    at = sorted(random.randint(0, len(document)) for _ in range(random.randint(1, 4)))
    return [document[a:b] for a, b in zip([0, *at], [*at, len(document)], strict=True)]


def documents() -> st.SearchStrategy[bytes]:
    """Return a strategy for hostile documents, nested in attributes and elements too."""
    leaves = st.one_of(
        st.sampled_from(WIDGETS), *map(st.sampled_from, GROUPS), st.sampled_from(SIGNS)
    )
    names = st.sampled_from([*RAW_NAMES, b"svg", b"math", b"template", b"select", b"p", b"table"])

    def nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
        return st.one_of(
            st.builds(b"<%b>%b</%b>".__mod__, st.tuples(names, inner, names)),
            st.builds(b'<%b a="%b">'.__mod__, st.tuples(names, inner)),
            st.builds(b"<%b a='%b'>".__mod__, st.tuples(names, inner)),
            st.builds(b"<!--%b-->".__mod__, st.tuples(inner)),
            st.lists(inner, max_size=4).map(b"".join),
        )

    trees = st.recursive(leaves, nested, max_leaves=6)
    return st.tuples(
        st.lists(trees, max_size=8).map(b"".join),
        st.sampled_from(WIDGETS),
        st.lists(trees, max_size=3).map(b"".join),
    ).map(b"".join)
