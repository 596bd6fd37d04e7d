"""The pages that are measured: real ones from a folder, else made ones; and where the tag stands.

The made pages are the same on every machine. What they hold was counted in real pages of shops and
magazines: a tag every 45 to 100 bytes, an inline script every few KB, comments, icons in SVG.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.subject import NEEDLE, TAG

SIZES = {"10k": 10_000, "50k": 50_000, "200k": 200_000, "1m": 1_000_000}

# Where the widget tag stands in a page.
ABSENT, HEAD, BODY = "absent", "head", "body"


@dataclass(frozen=True, slots=True)
class Page:
    """A page without the widget tag."""

    name: str
    text: bytes

    def with_tag(self, where: str) -> bytes:
        """Return the page with the widget tag before `</head>` or `</body>`, or without it."""
        if where == ABSENT:
            return self.text
        place = self.place(where)
        return self.text[:place] + TAG + self.text[place:]

    def place(self, where: str) -> int:
        """Return where the tag is put."""
        if where == HEAD:
            return self.text.find(b"</head>")
        return self.text.rfind(b"</body>")


def pages(corpus: str | None) -> list[Page]:
    """Return the pages of a folder, smallest first; made pages where there is no such folder."""
    folder = Path(corpus) if corpus else None
    if folder is None or not folder.is_dir():
        return made_pages()
    real = [Page(path.stem, path.read_bytes()) for path in folder.glob("*.html")]
    usable = [page for page in real if _is_usable(page)]
    return sorted(usable, key=lambda page: len(page.text)) or made_pages()


def _is_usable(page: Page) -> bool:
    return page.place(HEAD) >= 0 and page.place(BODY) >= 0 and NEEDLE not in page.text


def made_pages() -> list[Page]:
    """Return one made page of each size."""
    return [Page(f"made-{name}", made_page(size)) for name, size in SIZES.items()]


def made_page(size: int) -> bytes:
    """Return a page of about so many bytes: of a shop, with everything that real pages carry."""
    random = Random(size)
    head = _head(min(size // 5, 40_000), random)
    parts, length = [head], len(head)
    for part in _body(random):
        parts.append(part)
        length += len(part)
        if length >= size - len(_END):
            break
    return "".join([*parts, _END]).encode()


_WORDS = (
    "tea leaf kettle water morning harvest spring autumn dark green first second flush garden "
    "stone pot whisk cup brew steep minute degree taste note honey apricot malt wood smoke it's "
    "don't for with from and the of a in every small old best-loved 100&nbsp;g &amp; “rare” café"
).split()


def _words(random: Random, count: int) -> str:
    return " ".join(random.choices(_WORDS, k=count))


def _head(size: int, random: Random) -> str:
    rules = "".join(
        f".card-{n} > .about::after{{content:'\\201C';background:url(\"/i/{n}.png\")}}"
        f"@media (min-width:{300 + n}px){{.card-{n}{{display:grid;gap:1rem}}}}\n"
        for n in range(max(2, size // 400))
    )
    data = ",".join(
        f'{{"@type":"Product","sku":"T-{n}","name":"{_words(random, 3)}","price":{n}.5}}'
        for n in range(max(2, size // 250))
    )
    return (
        '<!DOCTYPE html>\n<!--[if lt IE 9]><html class="old"><![endif]-->\n'
        '<html lang="en" class="no-js">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_words(random, 6)} | Leaf &amp; Kettle</title>\n"
        f'<meta name="description" content="{_words(random, 20)}">\n'
        + "".join(
            f'<meta property="og:{name}" content="https://shop.example.com/{name}?a=1&amp;b=2">\n'
            for name in ("url", "image", "title", "type", "locale")
        )
        + '<link rel="preload" href="/fonts/a.woff2" as="font" type="font/woff2" crossorigin>\n'
        '<link rel="stylesheet" href="/static/shop.css?v=12">\n'
        f"<style>\n{rules}</style>\n"
        "<script>document.documentElement.className = 'js'; window.dataLayer = [];"
        "for (var i = 0; i < 3 && i <= dataLayer.length; i++) dataLayer.push({'n': i});</script>\n"
        "<!-- Tag manager -->\n<script>(function(w,d,s){var j=d.createElement(s);j.async=true;"
        "j.src='https://tags.example.com/t.js';d.head.appendChild(j)})(window,document,'script')"
        "</script>\n<!-- End tag manager -->\n"
        f'<script type="application/ld+json">[{data}]</script>\n'
        '<noscript><link rel="stylesheet" href="/static/plain.css"></noscript>\n</head>\n'
        '<body class="home page-1" data-user="">\n'
        '<noscript><iframe src="https://tags.example.com/ns.html" height="0"></iframe></noscript>\n'
        "<header class=\"top\"><a class='brand' href=/><img src=/logo.png alt='Leaf &amp; Kettle'>"
        "</a>\n<nav><ul>"
        + "".join(f'<li><a href="/c/{n}">{_words(random, 2)}</a></li>' for n in range(12))
        + '</ul></nav></header>\n<main id="main">\n'
    )


def _body(random: Random) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield _card(number, random)
        if number % 5 == 0:
            yield f"<!-- row {number // 5} -->\n"
        if number % 7 == 0:
            yield (
                f'<p class="text">{_words(random, 60)} <a href="/n/{number}" title="say &quot;hi'
                f'&quot;">{_words(random, 3)}</a>, <em>{_words(random, 2)}</em>.</p>\n'
            )
        if number % 8 == 0:
            yield (
                f'<script>if (window.shop && {number} < shop.length) shop.push({{"id": {number}, '
                f"'html': '<b>{_words(random, 2)}<\\/b>'}});\n"
                + f"var t{number} = {list(range(60))};</script>\n"
            )
        if number % 20 == 3:
            yield (
                f'<form action="/s" method=post><select name="size{number}"><option value=1>100 g'
                '<option value=2 selected>250 g</select><textarea name="note" rows=2></textarea>'
                '<button type="submit" disabled>Send</button></form>\n'
            )


def _card(number: int, random: Random) -> str:
    icon = (
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2l3 7h7l-5.5 4.5 2 7'
        f'L12 16l-6.5 4.5 2-7L2 9h7z" fill="#{number:06x}"/></svg>'
    )
    return (
        f'<div class="card card-{number}" data-sku="T-{number}" data-price=\'{{"eur": {number}}}\''
        f' aria-label="{_words(random, 2)}">\n  <div class="picture">'
        f'<picture><source srcset="/p/{number}.avif 1x, /p/{number}@2x.avif 2x" type="image/avif">'
        f'<img src="/p/{number}.jpg" alt="{_words(random, 4)}" width=300 height=200 loading="lazy">'
        f'</picture></div>\n  <div class="about"><h2><a href="/t/{number}?a=b&amp;i={number}">'
        f"{_words(random, 3)}</a></h2>\n    <p>{_words(random, random.randint(8, 40))}</p>\n"
        f'    <span class="price" style="color: #333">€{number}.50</span>'
        f"{icon if number % 6 == 2 else ''}\n  </div>\n</div>\n"
    )


_END = (
    "</main>\n<footer><ul><li><a href='/imprint'>Imprint</a></li></ul></footer>\n"
    '<script src="/static/shop.js" defer></script>\n'
    "<script>shop && shop.init({lazy: true, 'debug': 1 < 0});</script>\n</body>\n</html>\n"
)
