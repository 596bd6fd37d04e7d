"""The scanner against hand-made pages. `test_fuzzing` has random ones, `test_linear` their cost.

In the pages of the tables `▲` stands for a widget tag that the scanner reports, `△` for the same
text where it is none, and `▼` for nothing: a widget tag that is written out follows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from ensoras_middleware.scanner import Scanner
from ensoras_middleware.widget_tag import TAG_LIMIT
from fuzzing import differences, oracles
from fuzzing.documents import random_document
from fuzzing.fragments import URL, WIDGET
from fuzzing.scanning import Scan

TEXT = WIDGET.decode()


def whole(document: bytes) -> Scan:
    return Scan([document])


def page(text: str) -> tuple[bytes, list[int]]:
    """Return the document that a table's row stands for, and where its widget tags are."""
    document, expected = b"", []
    for piece in re.split("([▲▼])", text):
        if piece in ("▲", "▼"):
            expected.append(len(document))
        document += piece.replace("▲", TEXT).replace("△", TEXT).replace("▼", "").encode()
    return document, expected


# Pages: what is found -------------------------------------------------------------------------

# WHATWG HTML, sections 13.2.6.5 (start tags that end foreign content) and 13.1.2 (void elements),
# with those that parsers treat like them; and what changes the insertion mode (13.2.6.4).
BREAKOUT = (
    "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li "
    "listing menu meta nobr ol p pre ruby s small span strong strike sub table tt u ul var"
).split()
VOID = (
    "area base basefont bgsound br embed hr img input keygen link meta param source track wbr"
).split()
STRUCTURE = (
    "html head body frameset frame caption col colgroup table tbody tfoot thead tr td th template "
    "select option optgroup plaintext"
).split()

PAGES = {
    "empty": "",
    "text": "hello",
    "alone": "▲",
    "start": "▲<p>x",
    "end": "<!doctype html><html><head><title>t</title></head><body><p>x</p>▲",
    "head": "<!doctype html><html><head>▲</head><body>x</body></html>",
    "after head": "<head></head>▲<body>",
    "after body": "<body></body>▲",
    "after html": "<html></html>▲",
    "two": "<p>▲<p>▲</p>",
    "behind another script": "<script>var a = 1</script>▲",
    "behind other tags": "<a href=x title='y' z><img/><br>▲",
    "in a table": "<table>▲<tr>▲<td>▲",
    "in a paragraph, a link, a list": "<p>▲<a href=x>▲</a><ul><li>▲",
    "in a form and a button": "<form><button>▲</button></form>",
    "before the doctype": "▲<!doctype html>",
    "a less-than sign": "a < b <3 <= << <▲",
    "ampersands and quotes": "it's \"x = 'y' & z=\"▲",
    "stray quotes and equals signs": "a='b ▲ c=\" ▲",
    "stray closers": "</script></style></textarea></title>--></svg></template></select>▲",
    # comments (13.2.5.43 to 52)
    "comment": "<!-- △ -->▲",
    "comment of tags": "<!-- <script> -->▲<!-- </script> -->",
    "comment closed at once": "<!-->▲<!-- △ -->",
    "comment closed by a dash": "<!--->▲<!-- △ -->",
    "empty comment": "<!---->▲",
    "comment ends with a bang": "<!-- △ --!>▲",
    "comment with a bang inside": "<!-- --! △ -- > △ --!>▲",
    "comment with dashes": "<!-- △ --- △ --->▲",
    "comment in a comment": "<!-- <!-- △ -->▲ -->",
    "comment start in a comment": "<!-- △ <!-->▲",
    "comment start with a bang in a comment": "<!-- △ <!--!>▲",
    "comment with one dash": "<!- △ >▲".replace("△", "<script>"),
    "comment with one dash less": "<!-- △ ->△",
    "long comment": f"<!-- {'x' * 300} -->▲<!-- {'x' * 300} △ -->",
    "open comment": "<!-- △",
    "open comment with dashes": "<!-- △ --",
    "bogus comment": "<! △ ▲".replace("△", "x>"),
    "bogus comment holds a tag": "<!x <script src=a >▲",
    "bogus comment with quotes": "<!x '>▲ '>",
    "processing instruction": "<?php echo '<script>' ?>▲",
    "processing instruction with a tag": "<?x <script ?>▲",
    "bogus end tag": "</ <script>▲",
    "bogus end tag of a digit": "</1 <script '>▲",
    "empty end tag": "</>▲",
    "conditional comments": "<!--[if IE]>△<![endif]--><![if !IE]>▲<![endif]>",
    # doctypes (13.2.5.53 to 68)
    "doctype": "<!DOCTYPE html PUBLIC '-//W3C//DTD' \"x\">▲",
    "doctype ends in its quotes": "<!doctype html PUBLIC 'a>▲ '>▲",
    "doctype holds a tag": "<!doctype <script>▲",
    # CDATA (13.2.5.69)
    "CDATA in HTML is a bogus comment": "<![CDATA[ x>▲ ]]>",
    "CDATA in HTML hides up to its first >": "<![CDATA[ <script > ▲ ]]>",
    "CDATA in svg": "<svg><![CDATA[ > △ ]] > ]]></svg>▲",
    "CDATA in math": "<math><![CDATA[ △ ]]]></math>▲",
    "CDATA in svg, open": "<svg><![CDATA[ △ ]]",
    "CDATA in other case is a bogus comment": "<svg><![cdata[ x></svg>▲",
    # attribute names (13.2.5.32 to 34)
    "widget tag in a tag that has not ended": "x <a △▲",
    "widget tag behind an attribute": "<p> <a b=c △▲",
    "widget tag behind a quoted attribute": "<p> <a b='c' △▲",
    "widget tag behind an end tag's name": "x </a △▲",
    # attribute values (13.2.5.36 to 38)
    "in a double-quoted value": "<a title=\"<script src='x'>\">▲".replace(
        "<script src='x'>", "△"
    ).replace("△", TEXT.replace('"', "'")),
    "in a single-quoted value": "<a title='△'>▲",
    "in a value behind white space": "<a title = \n\t'△'>▲",
    "in the value of an end tag": "</a title='△'>▲",
    "in an open value": "<a title='△",
    "unquoted value holds a quote": "<a title=x'>▲",
    "quote as an attribute name": "<a '>▲",
    "quotes behind a value": "<a b='c''>▲",
    "equals sign as an attribute name": "<a ='>▲",
    "two equals signs": "<a b=='>▲",
    "solidus before a value": "<a b/='△'>▲".replace("△", "x>y").replace("x>y", "x"),
    "solidus behind an equals sign": "<a b=/'>▲",
    "tag in a tag": "<a <script>▲",
    "script inside an open tag": "<a △".replace("△", "<script src=") + URL.decode() + ">x▲",
    "value, then a name, of odd signs": "<a b='<'=\"'>▲<a b='>'><button>",
    "values without space": "<a b='1'c=\"2\"d>▲",
    "value with a greater-than sign": "<a b='>' c=\">\">▲",
    "tag name with odd signs": "<a'b=\"c>▲",
    "byte in a tag name": "<a\0'>▲",
    # script data (13.2.5.4, 13.2.5.15 to 31)
    "in a script": "<script>△▲",
    "in a string of a script": "<script>x = '<script>'</script>▲",
    "in a script that names closers": "<script></scripts></scrip</script/x='>△'>▲".replace(
        "△", "y"
    ),
    "script closed in any case": "<script></SCRIPT >▲",
    "script closer with attributes": "<script></script x='</script>△'>▲".replace("△", "y"),
    "script escaped": "<script><!-- △</script>▲",
    "script escaped and closed": "<script><!-- --></script>▲",
    "script escaped, closed inside": "<script><!-- </script>▲",
    "script escaped, its name in it": "<script><!-- script </script>▲-->",
    "script escaped, its name with a solidus in it": "<script><!-- /script △</script>▲",
    "script double escaped": "<script><!-- <script> </script> <!-- x --> △▲",
    "script double escaped, closed twice": "<script><!-- <script> </script> </script>▲",
    "script double escaped, then ended": "<script><!-- <script> --> </script>▲",
    "script double escaped behind a comment": "<script><!-- --><!-- > <script> </script> -->△"
    "</script>▲",
    "script double escaped in one comment": "<script><!-- <script </script -->△</script>▲",
    "script ended in one comment": "<script><!-- </script -->▲",
    "script double escaped by a solidus": "<script><!--<script/</script/</script>▲",
    "script with a longer name is no escape": "<script><!--<scripty></script>▲",
    "script escape that ends at once": "<script><!--><script></script>▲",
    "script escape that ends by a dash": "<script><!---><script></script>▲",
    "script escape without its second dash": "<script><!-<script></script>▲",
    "script escapes, one behind another": "<script><!--<script></script><script></script>"
    "△</script>▲",
    "script escape does not end by a bang": "<script><!--<script> --!> </script> </script>▲",
    "widget tag inside a double escape": "<script><!--△</script>▲",
    "widget tag whose script data is escaped": "▲".join(["", ""])
    + "<!--<script></script>△</script>",
    "self-closing script is not closed": "<script/>△▲",
    "open script": "<script> △".replace("</script>", ""),
    # raw text and RCDATA (13.2.5.1 to 3)
    **{
        f"in {name}": f"<{name}>{TEXT}<!--</{name} >▲"
        for name in ("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
    },
    **{
        f"in {name}, open": f"<{name} a='>'>{TEXT}</{name}x></{name[:-1]}>{TEXT}"
        for name in ("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
    },
    "raw text in other case": "<TextArea>△</tEXTaREA/>▲",
    "raw text closer with attributes": "<style></style x='△'>▲",
    "raw text self-closing": "<textarea/>△</textarea>▲",
    "raw text of another name": "<style><textarea></style>▲</textarea>",
    "raw text with a comment": "<title><!--</title>▲-->",
    "tag name begins like a raw one": "<styles>▲<textareas>▲<scripted>▲<title-x>▲",
    "raw text names in attributes": "<a textarea title=style xmp>▲",
    "noscript": "<noscript>△</noscript>▲",
    "noscript in the head": "<head><noscript><link href=x>△</noscript>▲</head>",
    "noscript open": "<noscript>△",
    "noscript with markup": "<noscript><p class='x'><img src=\"y\"></p><!-- --></noscript>▲",
    "plaintext": "▲<plaintext>△</plaintext>△",
    # templates (13.2.6.4.4)
    "template": "<template>△</template>▲",
    "template in a template": "<template><template>△</template>△</template>▲",
    "template open": "<template>△",
    "template in other case": "<TEMPLATE a='>'>△</Template x>▲",
    "template closer alone": "</template>▲",
    "template self-closing": "<template/>△",
    "template closer in a raw element": "<template><style></template></style>△</template>▲",
    "template closer in a comment": "<template><!--</template>-->△</template>▲",
    "longer name": "<templates>▲</templates>",
    "declarative shadow root": "<div><template shadowrootmode=open><p>▲</p></template>▲</div>",
    "declarative shadow root of a host with attributes": "<div id=a class='b'>"
    "<template shadowrootmode=open>▲",
    "declarative shadow root, closed": "<section><template shadowrootmode='CLOSED'>▲",
    "declarative shadow root of a custom element": "<my-app><template shadowrootmode=open>▲",
    "declarative shadow root behind white space": "<x-y>\n\t<template shadowrootmode=open>▲"
    "</template></x-y><span> <template shadowrootmode=open>▲",
    "declarative shadow root behind a text element and odd signs": "<title>t</title>< <div>"
    "<template shadowrootmode=open>▲</template><style></style><p '>'<x-y>"
    "<template shadowrootmode=open>▲",
    "text element named in its own start tag": '<textarea a="<textarea></textarea>">△</textarea>▲',
    "script data escaped up to the end of a script in it": "<script><!-- ><script></script>-->△"
    "</script>▲",
    "address that is not written out, beside its path": "<script data-a='/cdn/v1/widget/' "
    "src='https://app.ensoras.com/cdn/v1/widget&sol;acme.js'></script>▲",
    "declarative shadow root behind a less-than sign": "<<div><template shadowrootmode=open>▲",
    "declarative shadow root of another mode": "<div><template shadowrootmode=x>△</template>▲",
    "declarative shadow root of the old kind": "<div><template shadowroot=open>△</template>▲",
    "template in a shadow root": "<div><template shadowrootmode=open><template>△</template>▲",
    "shadow root in a template": "<template><div><template shadowrootmode=open>△</template>△",
    # foreign content (13.2.6.5)
    "svg script": "<svg>△</svg>▲",
    "math script": "<math>△</math>▲",
    "svg closed": "<svg><g><path/></g></svg>▲",
    "svg self-closing": "<svg/>▲",
    "svg self-closing, then text": "<svg x='y'/>▲<svg />▲",
    "solidus in an unquoted value": "<svg x=/>△</svg>▲",
    "solidus before white space": "<svg / >△</svg>▲",
    "svg open": "<svg>△",
    "svg breaks out": "<svg><p>▲",
    "svg breaks out of depth": "<svg><g><a><div>▲</div>▲",
    "math breaks out": "<math><mrow><span>▲",
    **{f"{name} breaks out of svg": f"<svg><g><{name}>▲" for name in BREAKOUT},
    "svg style is no raw text": "<svg><style></svg>▲</style>",
    "svg style holds a script": "<svg><style>△</style></svg>▲",
    "svg script is no raw text": "<svg><script></svg>▲",
    "svg title self-closing": "<svg><title/></svg>▲",
    "svg title self-closing, then a script": "<svg><title/>△</svg>▲",
    "svg textarea": "<svg><textarea>△</textarea></svg>▲",
    "noscript in a noscript": "<noscript><noscript></noscript>▲",
    "less-than signs in svg": "<svg> a < b <3 </svg>▲",
    "svg comment": "<svg><!-- </svg>△ --></svg>▲",
    "svg attribute": "<svg a='</svg>△'></svg>▲",
    "svg in svg": "<svg><svg></svg>△</svg>▲",
    "foreignObject": "<svg><foreignObject><div>▲</div></foreignObject>△</svg>▲",
    "desc": "<svg><desc>▲</desc></svg>▲",
    **{f"{name} is void": f"<svg><desc><{name}></desc></svg>▲" for name in VOID},
    "void in HTML in svg": "<svg><desc><i><area></i></desc></svg>▲",
    "breaks out as far as desc": "<svg><desc><svg><g><p></p></desc>△</svg>▲",
    "foreign name at the limit": f"<svg><{'a' * 66}></{'a' * 66}></svg>▲",
    "svg title": "<svg><title>▲</title></svg>▲",
    "svg title holds a style": "<svg><title><style></title></style>▲</title></svg>▲",
    "mi": "<math><mi>▲</mi>△</math>▲",
    "mn, mo, ms": "<math><mn>▲</mn><mo>▲</mo><ms>▲</ms>△</math>▲",
    "mtext holds svg": "<math><mtext><svg>△</svg>▲</mtext></math>▲",
    "mi in svg": "<svg><desc><math><mrow><mi>▲</mi>△</mrow></math></desc></svg>▲",
    "svg in math is no svg": "<math><svg><desc>△</desc></svg></math>▲",
    "math in svg is no math": "<svg><math><mi>△</mi></math></svg>▲",
    "svg in other case": "<SVG>△</sVg>▲",
    "svg with a longer name": "<svgs>▲<mathx>▲",
    "svg closer in a foreign element": "<svg><g></svg>▲",
    "svg in a table": "<table><tr><td><svg><path/></svg>▲",
    "icons": '<svg a="b"><g><path d="M0"></path><use/></g><title>x</title></svg>▲',
    "icons, read exactly": "<svg><path></path><g><path/></g></svg>it's<select></select>▲",
    "icon with an opener in an attribute": "<svg a='<script>'><path d='<!--'/></svg>▲",
    "icon in an attribute": "<a b='<svg><path/></svg><title>'>▲",
    "icon that ends an attribute": "<a b='<svg c='><path/></svg><title>△</title>▲",
    "comment in an attribute": "<a b='<!-- x -->'>▲<a b='<!-- '-->▲",
    "script in an attribute": '<a b="<script>x</script>">▲<a b="<script a="></script>▲',
    "tag with a > in a value, and a tag": "<a b='>' △>▲<a b=\">\" △>▲",
    "value behind white space": "<a b= '>△'>▲<a b=\n\t\">△\">▲",
    "openers in attributes, from a to z": "<a x='<script>'><z x='<script>'><A x='<script>'>"
    "<Z x='<script>'> <{ <[ <@ <` ▲",
    "end tags with attributes, from a to z": "</a x='>△'></z x='>△'></A x='>△'></Z x='>△'>▲",
    "attributes in svg, from a to z": "<svg><a x='</svg>△'/><z x='</svg>△'/><A x='</svg>△'/>"
    "<Z x='</svg>△'/></svg>▲",
    "bogus comments in svg": "<svg><?x <svg a='><!x <svg a='></3 <svg a='></svg>▲",
    "address of a frame": f"<iframe src={URL.decode()}></iframe>▲",
    "attribute without a value, then one with": "<p hidden title='> △'>▲"
    '<p hidden\ndir title="> △">▲',
    "attributes with solidi for spaces": "<p/a/b='> △'/c>▲<p a='1'/b/c='> △'>▲<p a=1/ b='> △'>▲",
    "attributes with much white space": "<p  a='1'  b\n = \t'> △' >▲<p a = 1  b='> △'>▲",
    "two CDATA sections": "<svg><![CDATA[ > ]]></svg>▲<svg><![CDATA[ > △ ]]></svg>▲",
    "comments in a template": "<template><!---->△<!--x-->△<!-- △ --!></template>▲<!-- △ -->",
    "comment closed at once in a template": "<template><!--></template>▲<!-- △ -->",
    "comment closed by a dash in a template": "<template><!---></template>▲<!-- △ -->",
    "comment, then an attribute": "<!-- > --><a b='<!-- -->△'>▲",
    "scripts with less-than signs": "<script>a < b; '</p>'; '<i>'</script>▲",
    "script with an address like the widget's": f"<script src='x?{URL.decode()}'></script>▲",
    # what is read step by step in HTML inside of svg
    "comment of nothing in a desc": "<svg><desc><!----></desc></svg>▲",
    "comment that an exclamation mark does not close": "<svg><desc><!--!>△--></desc></svg>▲",
    "comment that a dash and one do not close": "<svg><desc><!---!>△--></desc></svg>▲",
    "less-than sign in a desc": "<svg><desc><<style></style></desc></svg>▲",
    "comment in a value in a desc": "<svg><desc><i a='<!x>'></i></desc></svg>▲",
    "less-than sign in a value in a desc": "<svg><desc><i a='< '></i></desc></svg>▲",
    "less-than sign in a value of the tag": f"▼<script a='<' src={URL.decode()}></script>",
    "CDATA section of nothing": "<svg><![CDATA[]]></svg>▲",
    "style behind a noscript": "<noscript></noscript><style><b</style>▲",
    "link ends a link around svg": "<a><svg><desc><a></a></desc><style></svg>▲</style></svg>▲",
    # select
    "select": "<select><option>x</option></select>▲",
    "script in a select": "<select><option>x▲</option></select>",
    "selects": "<select></select><select><optgroup><option></select>▲",
    "longer names": "<selects><framesets><plaintexts>▲",
    # odd bytes
    "NUL": "a\0b<\0<p\0>▲",
    "NUL in a script name": "<script\0>▲",
    "white space of every kind": "<p\ta\n=\f'b'\r>▲",
    "text that is not ASCII": "é<é>İ</é>▲",
    "no vertical tab": "<script\v>▲",
    "no-break space in a name": "<script\u00a0>▲",
}

# As Chromium and html5lib read it; to lexbor (selectolax 1.0.2) `sup` is no tag that breaks out.
NOT_TO_LEXBOR = {"sup breaks out of svg": "<svg><g><sup>▲"}

# Pages with a widget tag that the scanner may miss, if it says why. It must never take another.
DOUBTS = {
    "noscript swallows into an address": "<noscript><img src='//evil?</noscript>▲",
    "noscript opens a comment": "<noscript><!-- </noscript>▲ -->",
    "noscript opens an svg": "<noscript><svg></noscript>▲",
    "noscript opens a style": "<noscript><style></noscript>▲",
    "noscript opens a plaintext": "<noscript><plaintext></noscript>▲",
    "noscript opens a tag": "<noscript><a b</noscript>▲",
    "noscript opens a textarea": "<noscript><textarea></noscript>▲",
    "raw element in a select": "<select><textarea></select></textarea>▲</select>▲",
    "style in a select": "<select><style></style></select>▲",
    "svg in a select": "<select><svg></svg></select>▲",
    "annotation-xml": "<math><annotation-xml encoding=text/html>▲</annotation-xml></math>▲",
    "annotation-xml of another kind": "<math><annotation-xml>△</annotation-xml></math>▲",
    "svg in annotation-xml": "<math><annotation-xml><svg><desc>▲</desc></svg>",
    "foreign name beyond the limit": "<svg><" + "a" * 67 + ">△</svg>▲",
    "foreign name beyond the limit, closed": f"<svg><{'a' * 70} b></{'a' * 70}></svg>▲",
    "foreign name beyond the limit, in HTML": f"<svg><desc><{'a' * 67}></desc><style></svg>△",
    "font with an attribute": "<svg><font color=red>▲",
    "font without one": "<svg><font>△</font></svg>▲",
    "mglyph": "<math><mi><mglyph>△</mglyph></mi></math>▲",
    "malignmark": "<math><mi><malignmark>△</malignmark></mi></math>▲",
    "end tag around an open HTML element": "<svg><desc><b></desc><style></svg>△</style>",
    "end tag that ends an open HTML element": "<svg><desc><div><b></div></desc>△</svg>▲",
    "icon closed by another name": "<g><svg><path></g><style></svg>△</style>▲",
    "unmatched end tag in svg": "<svg></b>△</svg>▲",
    "paragraph's end tag in svg": "<svg></p>▲",
    "line break's end tag in svg": "<svg></br>▲",
    "template's end tag in svg": "<template><svg></template>▲",
    "CDATA at an integration point": "<svg><desc><![CDATA[ > △ ]]></desc></svg>▲",
    "columns of a template": "<template><col><textarea></template>▲",
    "columns of a shadow root": "<div><template shadowrootmode=open><col>△<textarea></template>▲",
    "frameset": "<frameset><frame></frameset><noframes></noframes>△",
    "frameset in a body": "<p>x<frameset>▲",
    "late frameset": "▲<frameset>",
    "shadow root of a list": "<ul><template shadowrootmode=open>△</template>▲",
    "shadow root by a character reference": "<div><template shadowrootmode=&#111;pen>▲</template>▲",
    "shadow root behind a formatting element that white space brings back": "<p><i><div>\n"
    "<template shadowrootmode=open>△</template>▲",
    "shadow root of nothing": "<template shadowrootmode=open>△</template>▲",
    "shadow root of the document": "<html><template shadowrootmode=open>△</template>▲",
    "shadow root of a tag with odd signs": "<div <<><template shadowrootmode=open>▲</template>▲",
    "shadow root of a tag with another's start": "<a <p><template shadowrootmode=open>△"
    "</template>▲",
    "shadow root of a tag with a tag": "<div a='<p >'><template shadowrootmode=open>▲</template>▲",
    "second shadow root": "<div><template shadowrootmode=open></template>"
    "<template shadowrootmode=open>△</template>▲",
    "shadow root of a link": "<div><a><template shadowrootmode=open>△</template>▲",
    "implied end tag, then CDATA": "<svg><desc><p><p></p><![CDATA[ > △ ]]></desc></svg>▲",
    "link in a link, then CDATA": "<svg><desc><a><a></a><![CDATA[ > △ ]]></desc></svg>▲",
    "heading in a heading, then CDATA": "<svg><desc><h1><h2></h2><![CDATA[ > △ ]]>",
    "paragraph, then CDATA": "<svg><desc><p><![CDATA[ > ▲ ]]></p></desc></svg>▲",
    "image is void, then CDATA": "<svg><desc><image><![CDATA[ > △ ]]></desc></svg>▲",
    "form in a form, then CDATA": "<form><svg><desc><form><![CDATA[ > △ ]]></desc></svg>▲",
    "escape sequence before a tag": "\x1b$B▲",
    "escape sequence behind a tag": "▲\x1b$B▲",
    "escape sequence in a tag": f"▼<script a='\x1b' src={URL.decode()}></script>",
    "escape sequence in another tag": "<script a='\x1b' src=x.js></script>▲",
    "escape sequence, then another doubt": "\x1b<template><col></template>▲",
    "another doubt, then an escape sequence": "<svg></b>\x1b</svg>▲",
    "button in a button, then CDATA": "<svg><desc><button><button></button><![CDATA[ > △ ]]>",
    "table's end tag in svg": "<table><tr><td><svg></table>▲",
}


def rows(table: dict[str, str]) -> list[object]:
    return [pytest.param(*page(text), id=name) for name, text in table.items()]


@pytest.mark.parametrize(("document", "expected"), rows(PAGES | NOT_TO_LEXBOR))
def test_page(document: bytes, expected: list[int]) -> None:
    """Each widget tag that a browser would run is found, where it is, and no other text."""
    scan = whole(document)
    assert (scan.found, scan.scanner.doubt) == (expected, None)


@pytest.mark.parametrize(("document", "expected"), rows(DOUBTS))
def test_doubtful_page(document: bytes, expected: list[int]) -> None:
    """Where the scanner does not follow, it gives up: it reports no wrong place."""
    scan = whole(document)
    assert scan.found == expected[: len(scan.found)]
    assert scan.doubt


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_in_foreign_content(name: str) -> None:
    """What changes the insertion mode is not followed inside svg and math."""
    scan = whole(page(f"<svg><desc><{name}></{name}></desc></svg>▲")[0])
    assert not scan.found
    assert scan.doubt


def test_solidus_of_html_in_foreign_content() -> None:
    """It closes nothing there: `desc` does not end before the `path` in it."""
    scan = whole(page("<svg><desc><path/></desc></svg>▲")[0])
    assert scan.scanner.doubt == "foreign content that parsers disagree about"


@pytest.mark.parametrize(("document", "expected"), rows(PAGES | DOUBTS))
def test_tables_agree_with_lexbor(document: bytes, expected: list[int]) -> None:
    """The tables are right: a browser-grade parser sees the same places."""
    assert oracles.places(document) == expected


@pytest.mark.parametrize(("document", "expected"), rows(PAGES | NOT_TO_LEXBOR | DOUBTS))
def test_tables_agree_with_html5lib(document: bytes, expected: list[int]) -> None:
    """The tables are right, a second parser says, as far as it knows the current standard."""
    for start in expected:
        if differences.first(differences.HTML5LIB, document, start) is None:
            assert oracles.is_live_to_html5lib(document[:start])


@pytest.mark.no_cover
@pytest.mark.parametrize(("document", "expected"), rows(PAGES | DOUBTS))
def test_page_cut_in_two(document: bytes, expected: list[int]) -> None:
    """Every cutting into two chunks gives the same answer as the whole page."""
    answer = whole(document).answer
    for at in range(len(document) + 1):
        assert Scan([document[:at], document[at:]]).answer == answer, document[:at]


@pytest.mark.parametrize(("document", "expected"), rows(PAGES | DOUBTS))
def test_page_byte_by_byte(document: bytes, expected: list[int]) -> None:
    """A page that arrives byte by byte, with empty chunks between, gives the same answer."""
    single = [document[at : at + 1] for at in range(len(document))]
    assert Scan(single).answer == whole(document).answer
    assert Scan([part for byte in single for part in (byte, b"")]).answer == whole(document).answer


@pytest.mark.parametrize("icon", [b"<title>t</title>", b"<g><g><path></path></g></g>"])
@pytest.mark.parametrize("depth", range(507, 514))
def test_icon_nested_to_the_limit(depth: int, icon: bytes) -> None:
    """Tags that are read at once count as those that are read one by one."""
    document = b"<svg>" + b"<a>" * (depth - 1) + icon + b"</svg>" + WIDGET
    scan = whole(document)
    assert scan.answer == Scan([document[at : at + 1] for at in range(len(document))]).answer
    assert scan.found or depth > 509
    assert not scan.found or depth < 512


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_byte_order_mark_of_utf_16(mark: bytes) -> None:
    """A page that begins with it is read otherwise; these bytes further on mean nothing."""
    scan = whole(mark + WIDGET)
    assert (scan.found, scan.scanner.doubt) == ([], "begins like UTF-16")
    assert Scan([b"<p>", mark + WIDGET]).found == [5]


def test_the_mention_is_one_of_the_first_chunk() -> None:
    """Where that one names the widget says nothing of the next one."""
    first = b"<!-- > %s %s -->" % (b"x" * 500, URL)
    scanner = Scanner(oracles.ADDRESS, mention=first.index(URL))
    assert scanner.feed(first) is None
    tag = scanner.feed(b"<p>" + WIDGET + b"<p>" * 500)
    assert tag is not None
    assert tag.start == len(first) + 3


# Tags: which script is a widget tag -----------------------------------------------------------

ADDRESS = URL.decode()
WIDGET_TAGS = {
    "double quotes": f'<script src="{ADDRESS}" async defer>',
    "single quotes": f"<script src='{ADDRESS}'>",
    "no quotes": f"<script src={ADDRESS}>",
    "no quotes, then a solidus": f"<script src={ADDRESS} />",
    "self-closing": f'<script src="{ADDRESS}"/>',
    "other order": f'<script async defer src="{ADDRESS}">',
    "upper case": f'<SCRIPT SRC="{ADDRESS}">',
    "mixed case": f'<sCrIpT aSyNc SrC="{ADDRESS}">',
    "solidi for spaces": f"<script/async/src='{ADDRESS}'/>",
    "tab": f"<script\tsrc={ADDRESS}>",
    "line feed": f"<script\nsrc\n=\n'{ADDRESS}'\n>",
    "carriage return": f"<script\r\nsrc={ADDRESS}\r>",
    "form feed": f"<script\fsrc={ADDRESS}\f>",
    **{
        f"{name} behind an unquoted address": f"<script src={ADDRESS}{char}async>"
        for name, char in {
            "tab": "\t",
            "line feed": "\n",
            "form feed": "\f",
            "return": "\r",
        }.items()
    },
    "spaces around the equals sign": f"<script src \t= \n'{ADDRESS}'>",
    "no space between values": f"<script a='b'src='{ADDRESS}'defer>",
    "white space in the value": f'<script src=" \t\n{ADDRESS}\r\f ">',
    "control characters around the address": f'<script src="\x01\x1f{ADDRESS}\x01">',
    "scheme-relative": '<script src="//app.ensoras.com/cdn/v1/widget/acme.js">',
    "line feed in the scheme": '<script src="ht\ntps://app.ensoras.com/cdn/v1/widget/acme.js">',
    "tabs in the slug": '<script src="https://app.ensoras.com/cdn/v1/widget/a\tc\tme.js">',
    "reference beyond Unicode": f'<script src="{ADDRESS}?&#x110000;">',
    "query string": f"<script src=\"{ADDRESS}?v=2&amp;x='y'\">",
    "query string with >": f'<script src="{ADDRESS}?a>b">',
    "query string with a line": f'<script src="{ADDRESS}?a\nb">',
    "query string in unquoted value": f"<script src={ADDRESS}?a='b\">",
    "empty query string": f'<script src="{ADDRESS}?">',
    "fragment": f'<script src="{ADDRESS}#x/y">',
    "scheme in upper case": '<script src="HTTPS://app.ensoras.com/cdn/v1/widget/acme.js">',
    "host in upper case": '<script src="//APP.Ensoras.COM/cdn/v1/widget/acme.js">',
    "named references": '<script src="&sol;&sol;app&period;ensoras.com/cdn/v1/widget/acme.js">',
    "decimal references": '<script src="&#104;ttps:/&#47app.ensoras.com/cdn/v1/widget/acme.js">',
    "hexadecimal references": '<script src="&#x2F;/app.ensoras.com/cdn/v1/widget/acme&#X2e;js">',
    "reference for white space": f'<script src="&#32;&#9;{ADDRESS}&NewLine;">',
    "reference in the query string": f'<script src="{ADDRESS}?a=1&copy=2&lt">',
    "duplicate src": f'<script src="{ADDRESS}" src="x.js">',
    "duplicate src in other case": f'<script SRC="{ADDRESS}" src="x.js">',
    "other attributes": f'<script type=module data-src="y" src="{ADDRESS}" crossorigin>',
    "attribute holds tags": f"<script a='</script><p>' b=\"-->\" src={ADDRESS}>",
    "attribute of quotes": f"<script a=\"'\" b='\"' src={ADDRESS}>",
    "attribute name of quotes": f"<script ' \" src={ADDRESS}>",
    "attribute name with a less-than sign": f"<script <p src={ADDRESS}>",
    "equals sign before a name": f"<script =src src={ADDRESS}>",
    "solidus before src": f"<script /src={ADDRESS}>",
    "empty values": f"<script a='' b=\"\" src={ADDRESS}>",
    "bytes that are not ASCII": f'<script data-x="é" src="{ADDRESS}?é">',
    "4096 bytes": f'<script src="{ADDRESS}" data-x="'.ljust(4094, "x") + '">',
    "4096 bytes in an unquoted value": f"<script src={ADDRESS} a=".ljust(4095, "x") + ">",
    "4096 bytes of white space": f"<script src={ADDRESS}".ljust(4095) + ">",
}
OTHER_TAGS = {
    "no src": "<script>",
    "empty src": "<script src>",
    "letter before the address": f'<script src="X{ADDRESS}">',
    "mark before the address": f'<script src="!{ADDRESS}">',
    "letter in the address, and a tab": f'<script src="{ADDRESS.replace("h", "hX", 1)}?a\tb">',
    "wrong slug": '<script src="https://app.ensoras.com/cdn/v1/widget/other.js">',
    "slug in other case": '<script src="https://app.ensoras.com/cdn/v1/widget/Acme.js">',
    "longer slug": '<script src="https://app.ensoras.com/cdn/v1/widget/acmeX.js">',
    "slug behind another": '<script src="https://app.ensoras.com/cdn/v1/widget/xacme.js">',
    "longer file name": f'<script src="{ADDRESS}.map">',
    "longer path": f'<script src="{ADDRESS}/x">',
    "path in other case": '<script src="https://app.ensoras.com/CDN/v1/widget/acme.js">',
    "other version": '<script src="https://app.ensoras.com/cdn/v2/widget/acme.js">',
    "path in front": '<script src="https://app.ensoras.com/x/cdn/v1/widget/acme.js">',
    "other origin": '<script src="https://evil.example/cdn/v1/widget/acme.js">',
    "longer host": '<script src="https://app.ensoras.com.evil.example/cdn/v1/widget/acme.js">',
    "host in front": '<script src="https://xapp.ensoras.com/cdn/v1/widget/acme.js">',
    "host with another sign for a dot": '<script src="https://appxensoras.com/cdn/v1/widget/acme.js">',
    "user name": '<script src="https://app.ensoras.com@evil.example/cdn/v1/widget/acme.js">',
    "other port": '<script src="https://app.ensoras.com:8443/cdn/v1/widget/acme.js">',
    "address in a query string": f'<script src="https://evil.example/?{ADDRESS}">',
    "http": '<script src="http://app.ensoras.com/cdn/v1/widget/acme.js">',
    "other scheme": '<script src="data:https://app.ensoras.com/cdn/v1/widget/acme.js">',
    "relative": '<script src="/cdn/v1/widget/acme.js">',
    "relative with the host": '<script src="app.ensoras.com/cdn/v1/widget/acme.js">',
    "second src": f'<script src="x.js" src="{ADDRESS}">',
    "second src in other case": f'<script Src="x.js" src="{ADDRESS}">',
    "second src behind an empty one": f'<script src src="{ADDRESS}">',
    "another attribute": f'<script data-src="{ADDRESS}">',
    "the end of another name": f'<script xsrc="{ADDRESS}" "src="{ADDRESS}">',
    "src in another value": f"<script a=\"src='{ADDRESS}'\">",
    "src behind an equals sign": f"<script a= src={ADDRESS}>",
    "src with a leading equals sign": f"<script =src={ADDRESS}>",
    "a value of quotes": f"<script src=\"'{ADDRESS}'\">",
    "an unquoted value that ends in a solidus": f"<script src={ADDRESS}/>",
    "an unquoted value that ends in a quote": f'<script src={ADDRESS}">',
    "a no-break space": f'<script src="&nbsp;{ADDRESS}">',
    "a byte that Latin-1 takes for a no-break space": f'<script src="\u00a0{ADDRESS}">',
    "a control character": '<script src="https://app.ensoras.com/cdn/v1/widget/acme&#1;.js">',
    "a noncharacter": '<script src="https://app.ensoras.com/cdn/v1/widget/acme&#xFFFF;.js">',
    "a reference to NUL": '<script src="https://app.ensoras.com/cdn/v1/widget/acme&#0;.js">',
    "NUL": '<script src="https://app.ensoras.com/cdn/v1/widget/acme\0.js">',
    "NUL before the address": f'<script src="\0{ADDRESS}">',
    "a reference to nothing": f'<script src="&nothing;{ADDRESS}">',
    "a reference twice": '<script src="https:&amp;sol;/app.ensoras.com/cdn/v1/widget/acme.js">',
    "hexadecimal digits go on": '<script src="https:/&#x2Fapp.ensoras.com/cdn/v1/widget/acme.js">',
    "percent-encoded": '<script src="https://app.ensoras.com/cdn/v1/widget/%61cme.js">',
    "longer tag name": f'<scripts src="{ADDRESS}">',
    "tag name with a colon": f'<script:x src="{ADDRESS}">',
    "tag name with a vertical tab": f'<script\vsrc="{ADDRESS}">',
    "space before the name": f'< script src="{ADDRESS}">',
    "end tag": f'</script src="{ADDRESS}">',
    "another element": f'<img src="{ADDRESS}">',
}


@pytest.mark.parametrize("tag", WIDGET_TAGS.values(), ids=WIDGET_TAGS)
def test_widget_tag(tag: str) -> None:
    """However the tag is written, it is found; the whole page and single bytes agree."""
    document = f"<p>x</p>{tag}</script>y".encode()
    assert oracles.places(document) == [8]
    assert whole(document).found == [8]
    assert Scan([document[at : at + 1] for at in range(len(document))]).found == [8]


@pytest.mark.parametrize("tag", OTHER_TAGS.values(), ids=OTHER_TAGS)
def test_other_tag(tag: str) -> None:
    """A tag that loads something else is passed over, and a widget tag behind it is found."""
    document = f"<p>x</p>{tag}</script>{TEXT}".encode()
    place = [len(document) - len(WIDGET)]
    assert oracles.places(document) == place
    assert whole(document).found == place
    assert Scan([document[at : at + 1] for at in range(len(document))]).found == place


@pytest.mark.parametrize("start", [f"<template a='{'x' * 4096}", "<template>" * 513])
def test_template_over_the_limits(start: str) -> None:
    """Too long a tag, or too deep a nest, is not followed; however it is cut."""
    document = f"{start}'>".encode() + WIDGET
    for at in (0, 4000, len(start), len(start) + 2):
        scan = Scan([document[:at], document[at:]])
        assert not scan.found
        assert scan.doubt


@pytest.mark.parametrize("length", [4097, 4200, 5000, 9000])
@pytest.mark.parametrize(
    ("head", "fill", "tail"),
    [
        (f'<script src="{ADDRESS}" x="', "x", '">'),
        (f"<script src={ADDRESS} x=", "x", ">"),
        (f"<script src={ADDRESS}", " ", ">"),
        (f"<script src={ADDRESS} ", "x ", ">"),
        ('<script x="', "x", f'" src="{ADDRESS}">'),
        ("<script x=", "x", f" src={ADDRESS}>"),
        ("<script", " ", f"src={ADDRESS}>"),
        ("<script ", "/", f"src={ADDRESS}>"),
        ("<script ", "x", f" src={ADDRESS}>"),
        ("<script src='", " ", f"{ADDRESS}'>"),
        ("<script src=", " ", f"{ADDRESS}>"),
        ("<script src", " ", f"={ADDRESS}>"),
        (f'<script src="{ADDRESS}?', "x", '">'),
    ],
)
def test_tag_over_the_limit(head: str, fill: str, tail: str, length: int) -> None:
    """A longer tag is no widget tag, nor is one behind it the first; however it is cut."""
    body = (fill * length)[: length - len(head) - len(tail)]
    tag = (head + body + tail).encode()
    assert len(tag) == length
    document = b"<p>" + tag + b"</script>" + WIDGET
    answer = whole(document).answer
    assert 3 not in answer[0]
    for at in [
        3,
        10,
        30,
        3000,
        4098,
        4099,
        4100,
        4101,
        length - 40,
        length,
        length + 2,
        length + 3,
    ]:
        assert Scan([document[:at], document[at:]]).answer == answer, at
    for size in (1, 1000, 4095, 4096, 4097):
        chunks = [document[at : at + size] for at in range(0, len(document), size)]
        assert Scan(chunks).answer == answer, size


@pytest.mark.parametrize(
    "chunks",
    [
        [b"a" * TAG_LIMIT + b"<template></template>"],
        [b"<script " + b"a" * TAG_LIMIT, b" <", b"b", b"></script>"],
        [b"<svg><template " + b"a" * TAG_LIMIT, b"></template></svg>"],
    ],
)
def test_what_is_longer_than_a_tag_may_be(chunks: list[bytes]) -> None:
    """It is no widget tag; the one behind it is found, and the page is not given up."""
    scan = Scan([*chunks, WIDGET])
    assert (scan.found, scan.doubt) == ([len(b"".join(chunks))], None)


@pytest.mark.parametrize("at", range(1, len(f'<script src="{ADDRESS}" async defer>')))
def test_incomplete_tag(at: int) -> None:
    """A tag that the end of the page breaks off is no tag, and is held back to the end."""
    scan = whole(b"<p>" + WIDGET[:at])
    assert scan.found == []
    assert scan.scanner.released == 3


@pytest.mark.parametrize(
    ("attribute", "nonce"),
    [
        ("", None),
        ("nonce=abc", "abc"),
        ("NONCE='aB3+/_-=='", "aB3+/_-=="),
        ('nonce="abc" id="x"', "abc"),
        ('nonce="x" nonce="y"', None),
        ("nonce", None),
        ("nonce=''", None),
        ("nonce='a b'", None),
        ("nonce=' a'", None),
        ("nonce='a='", "a="),
        ("nonce='a==='", None),
        ("nonce='='", None),
        ("nonce='a\"'", None),
        ("nonce='a;b'", None),
        ("nonce='é'", None),
        ('nonce="a\'b"', None),
        ("nonce='a\nb'", None),
        ("nonce='a\n'", None),
        ("nonce='<script>'", None),
        ("data-nonce=abc", None),
    ],
)
def test_nonce(attribute: str, nonce: str | None) -> None:
    """The tag's nonce is handed on if it is one (CSP Level 3, nonce-source), and nothing else."""
    tag = Scanner(oracles.ADDRESS).feed(f'<script src="{ADDRESS}" {attribute}>'.encode())
    assert tag is not None
    assert tag.nonce == nonce


@pytest.mark.parametrize(
    ("attribute", "dangling"),
    [
        ("a='<script'", True),
        ("a='x <SCRIPTS'", True),
        ("a='<style>'", True),
        ("<StyLe", True),
        ("a='<b> script'", False),
        ("a='< style'", False),
        ("script style", False),
    ],
)
def test_dangling_markup(attribute: str, dangling: bool) -> None:
    """Markup that was injected before the tag, and has swallowed it (CSP Level 3, 6.7.2.2)."""
    tag = Scanner(oracles.ADDRESS).feed(f"<script {attribute} src={ADDRESS}>".encode())
    assert tag is not None
    assert tag.dangling is dangling


def test_goes_on_behind_a_tag_that_is_reported() -> None:
    """A chunk with several tags reports them one by one, and then nothing."""
    scanner = Scanner(oracles.ADDRESS)
    first = scanner.feed(WIDGET + b"<p>" + WIDGET)
    second = scanner.feed(b"")
    assert first is not None
    assert second is not None
    assert (first.start, second.start) == (0, len(WIDGET) + 3)
    assert scanner.feed(b"") is None
    assert scanner.released == 2 * len(WIDGET) + 3


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (b"", 0), (b"x", 0), (b"<p>", 0), (b"<p", 0), (b"<p a='<script ", 0), (b"<!-- <script ", 0),
        (b"<", 1), (b"<s", 2), (b"<SCRIPT", 7), (b"<script ", 8), (b"<script a='>", 12),
        (b"<template ", 0), (b"</bo", 0), (b"<scriptx", 0), (b"<style><script ", 0),
        (b"<script><script src=", 0), (b"x <3", 0),
    ],
)  # fmt: skip
def test_holds_back_only_what_may_be_a_tag(text: bytes, held: int) -> None:
    """What cannot belong to a widget tag leaves at once: a stream stays a stream."""
    scanner = Scanner(oracles.ADDRESS)
    assert scanner.feed(b"abc" + text) is None
    assert scanner.released == 3 + len(text) - held


def test_end_is_told() -> None:
    """Behind plaintext nothing can follow, and behind a doubt nothing is looked for."""
    assert not whole(b"<p>").scanner.ended
    plaintext = whole(b"<plaintext>" + WIDGET).scanner
    assert plaintext.ended
    doubtful = whole(b"<frameset>" + WIDGET).scanner
    assert doubtful.ended
    assert doubtful.doubt == "a frameset may replace the body"
    assert whole(b"<template><col>").doubt == "a template holds table columns"
    assert doubtful.released == len(b"<frameset>" + WIDGET)


# Releases of Python ----------------------------------------------------------------------------

OLD_PYTHON = "/usr/bin/python3.11"
PROGRAM = """
import re, sys
from ensoras_middleware.scanner import Scanner
address = re.compile(sys.argv[1], re.S)
for line in sys.stdin.buffer.read().split(b"\\0"):
    for size in (len(line) or 1, 7):
        scanner, found = Scanner(address), None
        for i in range(0, len(line), size):
            found = found or scanner.feed(line[i : i + size])
        print(found and found.start, scanner.doubt)
"""


@pytest.mark.skipif(not Path(OLD_PYTHON).exists(), reason=f"there is no {OLD_PYTHON}")
def test_every_release_of_python_3_11_reads_the_same() -> None:
    """Possessive repetitions had a bug up to 3.11.4 (CPython issue 106052)."""
    random = Random(7)
    pages = [b"<img/><svg><path d='M0'/></svg><p a=b c/><br/>" + WIDGET]
    pages += [random_document(random).replace(b"\0", b"") for _ in range(300)]
    answers = [
        subprocess.run(
            [python, "-c", PROGRAM, oracles.ADDRESS.pattern],
            input=b"\0".join(pages),
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            check=True,
        ).stdout
        for python in (OLD_PYTHON, sys.executable)
    ]
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"46 None\n46 None\n")
