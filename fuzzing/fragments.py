"""The fragments of hostile documents: what misleads whoever does not parse as a browser does."""

from __future__ import annotations

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
    b'<script nonce="r4nd0m" src="' + URL + b'"></script>',
    b"<script src='" + URL + b"' data-a='<style>'></script>",
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
    b"<svg a=b><circle r=1></circle><line/><polygon points='1 2'/></svg>",
    b"<svg a=b/><circle r=1/>",
    b"<svg><rect a=b/></svg>",
    b"<select a=b><option>x</option><option selected>y</select>",
    b"<select><option a='<script>'></select>",
    b"<noscript><p a=b></p><iframe src='x'></iframe></noscript>",
    b"<noscript><style>a{b:c}</style></noscript>",
    b"<noscript><p a='<style>'></noscript>",
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
# What encodings, newlines and forgotten controls may do to a tokenizer.
ODD_BYTES = [
    b"\r",
    b"\r\n",
    b"\f",
    b"\v",
    b"\x1a",
    b"\x80",
    b"\x85",
    b"\xa0",
    b"\x83\x5c",  # Shift_JIS
    b"\x81\x30\x81\x3c",  # GB 18030
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\xfe\xff",
    b"\xff\xfe",
    b"\x1b(B",
    b"\x1b$B",
    b"<\fp>",
    b"<p\f>",
    b"<p\v>",
    b"<script\f",
    b"<script\v>",
    b"<style\r>",
    b"</style\r\n>",
    b"<\r!-- ",
    b"<!\r-->",
    b"<!--\r-->",
    b"--\r>",
    b"<!--\0-->",
    b"--\0>",
    b"<textarea\0>",
    b"<svg\0>",
    b"<svg>\0<![CDATA[\0]]>",
    b"<a b=\r'>'>",
    b"<a b=\0'>",
    b"<a\0b='>",
    b"<a b\r='>'>",
]
# Attributes where quotes, solidi and equals signs stand in odd places.
ODD_ATTRIBUTES = [
    fragment.replace(b"_", b" ")
    for fragment in (
        b"<a_b=x\"y> <a_b=x'y_z='w> <a_b='x'\"c> <a/b='>'> <a_b=> <a_b=_> <a_b=/> <a_b='/'/> "
        b"<a_\"b='>'\"> <a_b'='> <a_b<='>'> <a_b=`> <a_b=a='> <a_=b='> <a_b==\"> <a_b_/='> <a/=/'> "
        b"<a_/_b=\"'\"> <p/_'='\"'> </p_'> </p/'/> </p_b=c'> <a_b=&quot;> <a_b='&#39;> <a_b=\"&gt> "
        b"<br/'> <x-y_z=\"=\"> <x:y_z='='\"> <a_b='=\"'> <a_b=\"='\"> <p_b=\"'\"'> <p_b='\"'\">"
    ).split()
]
# The select that may hold anything, whose parsing browsers changed in 2025.
SELECTS = (
    b"<select><button> <selectedcontent> </selectedcontent> <select><button><selectedcontent> "
    b"<select><p> <select><a> <select><table> <select><tr> <select><input> <select><select> "
    b"<select><!-- <select><template> <select><noscript> <select><iframe> <select><b><option> "
    b"<select/> <SELECT> </select/> </SELECT> <select><option></p> <select></div> <select></table> "
    b"<table><select> <table><tr><select> <select><tr><td> <p><select></p> <select><hr> "
    b"<select><body> <select></body> <option><select> <select><optgroup><option><option> "
    b"<svg><desc><select> <template><select> <select><math> <button><select></button>"
).split()
# Formatting elements that are cloned, tables that foster, heads and bodies that end early.
SCOPES = (
    b"<a><table><a> <a><div><a> <b><p></b> <b><i></b></i> <i><table></i> <b><b><b><b><p>x "
    b"<table><b><tr> <table>x<td> <table><svg> <table><svg><desc> <table><math> <table><script> "
    b"<table><style> <table><!-- <table><form> <table><input> <table><template> <table><noscript> "
    b"<table><textarea> <table><plaintext> <table><caption><table> <table><td><table> <p><table> "
    b"<nobr><nobr> <button><button> <h1><h2> <form><form> <dd><dt> <ruby><rtc> <applet><b> "
    b"<object><p></object> <head><noscript> <head><noscript><style> <head><noscript></head> "
    b"<head><noscript><p> <head><noscript><!-- <head><template></head> <head><svg> <head><style> "
    b"<body><body> </body></html> </body><!-- </html><!-- </body><p> </html><p> </html><svg> "
    b"<noframes><frameset> <html><frameset> </head><frameset> <head></head></head> <plaintext/> "
    b"</plaintext> <noembed><!-- <xmp><script> <title><script> <iframe><!-- <textarea><script> "
    b"<caption><select> <colgroup><template> <colgroup><script> <table><colgroup></table>"
).split()
FOREIGN_SCOPES = [
    fragment.replace(b"_", b" ")
    for fragment in (
        b"<math><annotation-xml_encoding=application/xhtml+xml> <math><annotation-xml_encoding='"
        b"TEXT/HTML'><div> <math><annotation-xml></math> <svg><foreignObject><math><mi> "
        b"<math><mtext><mglyph> <math><mtext><mglyph/> <math><mi></p> <math><mi><table> "
        b"<math><mi/></math> <svg><foreignObject><table> <svg><foreignObject></svg> "
        b"<svg><foreignObject/> <svg><desc><svg> <svg><desc><p></desc> <svg><desc><b></svg> "
        b"<svg><desc><style> <svg><desc><script></desc> <svg><title><!-- <svg><title><svg> "
        b"<svg><title><table> <svg><noscript> <svg><iframe> <svg><plaintext> <svg><frameset> "
        b"<svg><noembed> <svg><xmp> <svg><body> <svg></body> <svg><head> <svg></head> "
        b"<svg></template> <svg><script/> <svg><script_href='>'/> <svg><style/> <svg_/ <svg/_> "
        b"<svg_a='/'> <svg_a=/_/> <svg_xmlns=x> <svg><a_b='>'> <svg></svg_x='</svg>'> <svg></g> "
        b"<svg><g></g/> <svg><font_size> <svg><font_COLOR/> <svg><center> <svg><var/> <svg><p/> "
        b"<p><svg></p> <b><svg></b> <a><svg></a> <a><svg><a> <table><svg></table> <svg><image> "
        b"<math><image> <svg><foreignobject> <svg><FOREIGNOBJECT> <svg><foreignObject><body> "
        b"<svg><foreignObject><frameset> <svg><foreignObject><template> <svg><desc><col> "
        b"<![CDATA[</svg>]]> <![CDATA[]]]]> <![CDATA[]>]]> <svg><![CDATA[<!--]]> <svg><!--]]>"
    ).split()
]
_ROOT = b"<template shadowrootmode=open"
SHADOW_ROOTS = [
    *(
        b"<%b>" % host + _ROOT + b">"
        for host in b"p body h3 x-y font-face a-b.c x-y/ html a".split()
    ),
    b"<div>" + _ROOT + b" shadowrootdelegatesfocus>",
    b"<div>" + _ROOT + b" shadowrootmode=x>",
    b"<div><template shadowrootmode=x shadowrootmode=open>",
    b"<div><template shadowrootmode=&#111;pen>",
    b"<div><template shadowrootmode=' open'>",
    b"<div><template shadowrootmode>",
    b"<div><TEMPLATE SHADOWROOTMODE=OPEN >",
    b"<div> \n" + _ROOT + b">",
    b"<div>x" + _ROOT + b">",
    b"<div><!---->" + _ROOT + b">",
    b"<div a='>'>" + _ROOT + b">",
    b"<div></div>" + _ROOT + b">",
    b"<div/>" + _ROOT + b">",
    b"<table><div>" + _ROOT + b">",
    b"<svg><div>" + _ROOT + b">",
    b"<svg><desc><div>" + _ROOT + b">",
    b"<select><div>" + _ROOT + b">",
    b"<p><p>" + _ROOT + b">",
    b"<p><div>" + _ROOT + b">",
    b"<b><p></b>" + _ROOT + b">",
    b"<header>" + _ROOT + b"></template></header>",
    b"<div>" + _ROOT + b"><div>" + _ROOT + b">",
    b"<template><div>" + _ROOT + b">",
]
BODY_ENDS = [b"</body>", b"</BODY\n>", b"</body x='>'>", b"</body/>", b"</body", b"</bodyx>"]
GROUPS = [
    DECOYS, COMMENTS, DOCTYPES, CDATA, RAW, SCRIPT_DATA, SELF_CONTAINED, TEMPLATES, FOREIGN, TREE,
    ATTRIBUTES, TEXT, ODD_BYTES, ODD_ATTRIBUTES, SELECTS, SCOPES, FOREIGN_SCOPES, SHADOW_ROOTS,
    BODY_ENDS,
]  # fmt: skip
# What the scanner hops over, and what breaks a hop off.
HOPPED = [
    *[SELF_CONTAINED] * 12, COMMENTS, RAW, SCRIPT_DATA, ATTRIBUTES, ODD_ATTRIBUTES, TEXT, DECOYS,
]  # fmt: skip
SIGNS = [bytes([sign]) for sign in b"<>\"'=/-!? \n\0\x1b[]&;sScC"]
