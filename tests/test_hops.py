"""What of a page is hopped over at once, and what is not: it is read as well, but costs more."""

from __future__ import annotations

import pytest

from ensoras_middleware.hops import HOPS, NESTED_HOPS, hops_to_body_end, shadow_host

OVER = {
    "text and tags": "<p class=x>1 < 2</p><br><a href='/x?a=b'>",
    "names that begin like others": "<titles><scripty><style-x><textareas>",
    "doctype": "<!DOCTYPE html>",
    "plain comment": "<!-- x -->",
    "plain comment of a tag": "<!-- <b -->",
    "plain comment, closed at once": "<!-->",
    "plain comment of 200 bytes": f"<!--{'x' * 198}-->",
    "long comment of a tag": f"<!--<b> {'x' * 200} -->",
    "plain comment that ends a script": "<script><!-- </script -->",
    "script": "<script src='x.js'></script>",
    "script with markup": "<SCRIPT>'<b>'</SCRIPT >",
    "script escaped": "<script><!-- > -- > --></script>",
    "style": "<style media=print>a > b { content: '<!--' } /* --> */</style>",
    "textarea": "<textarea><b></textarea>",
    "title": "1 < 2 <title>Tea &amp; leaf</title>",
    "iframe": "1 < 2 <iframe src='/x' title=y>z</iframe>",
    "iframe with markup": "<iframe><b></iframe>",
    "xmp": "<xmp><b></xmp>",
    "noembed": "<noembed><b></noembed>",
    "noframes": "<noframes><b></noframes>",
    "icon": "<svg viewBox='0 0 8 8' hidden><path d='M0 0'/></svg>",
    "icon, its elements closed": "<svg><path d='M0 0'></path><use href='#x'></use></svg>",
    "icon of all shapes": "<svg><circle r='1'/><ellipse rx='1'/><line/><polygon></polygon>"
    "<polyline/><rect/><stop/><use href='#x' /></svg >",
    "icon with a title": "<svg><title id='x'>Tea</title><path/></svg>",
    "icon of groups": "<SVG>\n<g fill='none'><path/><g> <path/></g></g>\n</SVG>",
    "sprite": "<svg><symbol id='x'><g><path/></g><title>Tea</title></symbol></svg>",
    "select": "<select name='x'><optgroup label='y'><option value=1 selected>z</option>"
    "<option>z</optgroup></select>",
    "noscript": "<noscript><img src='x.gif' alt=''><p>Scripts are off.</p></noscript>",
    "noscript with an iframe": "<noscript><iframe src='x'></iframe></noscript>",
    "noscript with a style": "<noscript><style>p { color: red }</style></noscript>",
    "all of them": "<!-- x --><style></style><script></script><svg></svg><textarea></textarea>",
}

NOT_OVER = {
    "open tag": "<p a='x",
    "open comment": "<!-- x",
    "open comment behind others": "<!-- x --><!-- y",
    "comment with one dash": "<!-- x ->",
    "open script": "<script>x",
    "open script behind another": "<script></script><script>x",
    "script with a longer name": "<script></scripts>",
    "open style": "<style>x</script>",
    "script that may be escaped": "<script><!-- <script> </script>",
    "template": "<template></template>",
    "frameset": "<frameset></frameset>",
    "math": "<math></math>",
    "plaintext": "<plaintext>",
    "open title": "<title>x",
    "title that a longer name does not end": "<title>x</titles>",
    "open iframe": "<iframe>x",
    "open icon": "<svg><path/>",
    "icon with an open shape": "<svg><path></svg>",
    "icon with an open ellipse": "<svg><ellipse></svg>",
    "icon with an open group": "<svg><g></svg>",
    "icon of HTML": "<svg><p></svg>",
    "icon of a longer name": "<svg><paths/></svg>",
    "icon with a group of a longer name": "<svg><gs></g></svg>",
    "icon of groups, three deep": "<svg><g><g><g></g></g></g></svg>",
    "sprite in a group": "<svg><g><symbol></symbol></g></svg>",
    "open select": "<select><option>",
    "select of others": "<select><input></select>",
    "select of a longer name": "<select><options></select>",
    "open noscript": "<noscript><p>",
    "noscript with a comment": "<noscript><!-- </noscript> -->",
    "noscript with an open tag": "<noscript><p a='</noscript>'>",
    "noscript with an open style": "<noscript><style></noscript></style>",
    "noscript with an icon": "<noscript><svg></svg></noscript>",
}


@pytest.mark.parametrize("piece", OVER.values(), ids=OVER)
def test_one_hop_over(piece: str) -> None:
    """What most pages hold costs no more than a look at each `<`."""
    text = f"<p>{piece}\n<script>".encode()
    place, opener, proven = HOPS.next(text, 0, text.rindex(b"<"))
    assert (place, proven) == (text.rindex(b"<"), True)
    assert opener is not None
    assert opener[0] == b"<script"


@pytest.mark.parametrize("piece", NOT_OVER.values(), ids=NOT_OVER)
def test_no_hop_over(piece: str) -> None:
    """What may change how the rest is read is stopped at, or nothing is proven."""
    text = f"<p>{piece}\n<script>".encode()
    place, _, proven = HOPS.next(text, 0, text.rindex(b"<"))
    assert place < text.rindex(b"<") or not proven


def test_a_hop_to_what_has_not_ended() -> None:
    """It is the last opener, most likely; the rest of the way is read in steps."""
    text = b"<style></style><!-- <b> --><script> <p>"
    place, opener, proven = HOPS.next(text, 0, text.rindex(b"<"))
    assert (place, proven) == (text.rindex(b"<script"), True)
    assert opener is not None


@pytest.mark.parametrize("piece", ["<!-- x -->", "<svg></svg>", "<title>x</title>", "</select>"])
def test_nothing_is_hopped_over_in_a_template(piece: str) -> None:
    """There it may matter, for a template may not be what it seems."""
    text = f"<p>{piece}<script>".encode()
    assert NESTED_HOPS.next(text, 0, text.rindex(b"<"))[0] == 3


def test_the_end_of_the_body_is_stopped_at_where_it_matters() -> None:
    """Only sites that have the widget written for them look for it."""
    text = b"<p></body><script>"
    assert hops_to_body_end().next(text, 0, 10)[0] == 3
    assert HOPS.next(text, 0, 10)[0] == 10


# DOM, "valid shadow host name"; HTML, "valid custom element name".
HOSTS = (
    "article aside blockquote div footer h1 h2 h3 h4 h5 h6 header main nav p section span "
    "a-z z-a x- n0.9_-x0.9_- font-icon missing-glyphs"
).split()
NO_HOSTS = (
    "a body button form h h0 h7 i img li table ul xy x_y X 1-2 x`-y x{-y x:-y x-` x-{ x-: "
    "annotation-xml color-profile font-face font-face-format font-face-name font-face-src "
    "font-face-uri missing-glyph"
).split()


@pytest.mark.parametrize("name", HOSTS)
def test_elements_that_can_hold_a_shadow_root(name: str) -> None:
    """By a template in them: its content is live then."""
    text = f"<p><{name.upper()} class='x'>".encode()
    assert shadow_host(text, 0, len(text)) == (3, name.encode())


@pytest.mark.parametrize("tag", [*(f"<{name}>" for name in NO_HOSTS), "</div>", "<div", "div>"])
def test_elements_that_cannot(tag: str) -> None:
    """The content of a template in them is dead."""
    text = f"<p>{tag}".encode()
    assert shadow_host(text, 0, len(text)) == (-1, b"")
