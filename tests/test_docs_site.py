"""`make docs`: the site is whole, agrees with the code, and fits every screen, offline."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import adapters  # noqa: F401  # Django's settings
import pytest
from chromium import chromium
from playwright.sync_api import Browser, Page
from selectolax.lexbor import LexborHTMLParser

from ensoras_middleware import Outcome, cli
from ensoras_middleware.options import SETTINGS, Options

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))

pytestmark = pytest.mark.xdist_group("docs-site")  # built once


def build(source: Path, target: Path, *options: str | Path) -> tuple[int, str]:
    """Build a site as `make docs` does; return the exit status, and what was said."""
    (line,) = re.findall(r"sphinx-build (.*) \$\(ARGS\)", (ROOT / "Makefile").read_text("utf-8"))
    command = [sys.executable, "-m", "sphinx", *line.split(), *options, source, target]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return run.returncode, run.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    assert build(DOCS, target) == (0, "")
    return target


@pytest.fixture(scope="module")
def reference(site: Path) -> LexborHTMLParser:
    return LexborHTMLParser((site / "reference.html").read_bytes())


# The build ----------------------------------------------------------------------------------------


def test_what_is_wrong_stops_the_build(tmp_path: Path) -> None:
    """Links to no page, heading or file, a page that nothing leads to, an unknown name."""
    source = tmp_path / "docs"
    source.mkdir()
    (source / "index.md").write_text(
        "# Home\n\n[a](nowhere.md) [b](#here) [c](lost.md#there) [d](../no-file.json)\n\n"
        "```{eval-rst}\n.. autofunction:: ensoras_middleware.no_such_function\n```\n"
    )
    (source / "lost.md").write_text("# Lost\n")
    status, said = build(source, tmp_path / "site", "-c", DOCS)
    assert status == 1
    for fault in ("nowhere.md", "here", "there", "no-file.json", "no_such_function"):
        assert re.search(rf"WARNING: .*'?{re.escape(fault)}", said), fault
    assert "lost.md: WARNING: document isn't included in any toctree" in said


def test_navigation(site: Path) -> None:
    """Every page is one click away from every other, and from the text of the first one."""
    others = {f"{page}.html" for page in PAGES} - {"index.html"}
    for page in PAGES:
        tree = LexborHTMLParser((site / f"{page}.html").read_bytes())
        here = {"#"} if page != "index" else set()
        links = {link.attributes["href"] for link in tree.css(".sidebar-tree a")}
        assert links == others - {f"{page}.html"} | here, page
    tree = LexborHTMLParser((site / "index.html").read_bytes())
    assert others <= {link.attributes["href"] for link in tree.css("article a")}


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    """Scripts, styles and images are files of the site, so that it works offline."""
    assert len(list(site.glob("*.html"))) > len(PAGES)
    for page in site.glob("*.html"):
        tree = LexborHTMLParser(page.read_bytes())
        loaded = tree.css("script[src], link[rel=stylesheet], link[rel=preload], img, iframe")
        for element in loaded:
            address = str(element.attributes.get("src") or element.attributes.get("href"))
            assert (site / address.partition("?")[0]).is_file(), (page.name, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", style.read_text("utf-8")), style


# The reference ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", SETTINGS)
def test_option(reference: LexborHTMLParser, keyword: str) -> None:
    """Each is there with its keyword, its type, and the words below its field."""
    (entry,) = [
        one
        for one in reference.css("dl.confval")
        if one.css_first("dt .descname").text() == SETTINGS[keyword]
    ]
    facts, meaning, *_ = (paragraph.text() for paragraph in entry.css("dd > p"))
    assert facts.startswith(
        f"Keyword {keyword}, type " if keyword in Options.__annotations__ else "Type "
    )
    assert len(meaning.split()) > 4


def test_defaults(reference: LexborHTMLParser) -> None:
    """They are what the code does, not what somebody has written down."""
    facts = {
        entry.css_first("dt .descname").text(): entry.css_first("dd > p").text()
        for entry in reference.css("dl.confval")
    }
    assert facts["ENSORAS_ENABLED"].endswith("default True.")
    assert facts["ENSORAS_DEBUG"].endswith("default False.")
    assert facts["ENSORAS_WIDGET_ORIGIN"].endswith("default 'https://app.ensoras.com'.")
    assert "default" not in facts["ENSORAS_WIDGET_SLUG"] + facts["ENSORAS_GET_EMAIL"]


# Besides those of `__all__`.
PUBLIC = [
    "ensoras_middleware.asgi.EnsorasMiddleware",
    "ensoras_middleware.asgi.identity_endpoint",
    "ensoras_middleware.wsgi.EnsorasMiddleware",
    "flask_ensoras.Ensoras.init_app",
    "flask_ensoras.Ensoras.email_getter",
    "flask_ensoras.Ensoras.exempt",
    "django_ensoras.decorators.ensoras_exempt",
    "django_ensoras.middleware.EnsorasMiddleware",
    "django_ensoras.templatetags.ensoras.ensoras_widget",
    "django_ensoras.views.identity",
]


def public_names() -> Iterator[str]:
    """Yield these, and every name of an `__all__`, wherever there is one."""
    yield from PUBLIC
    for root in (ROOT, *ROOT.glob("integrations/*")):
        for path in sorted(root.glob("*ensoras*/**/*.py")):
            if "\n__all__ = [" in path.read_text("utf-8"):
                folder, name = path.relative_to(root).parent, path.stem
                module = ".".join([*folder.parts, *([] if name == "__init__" else [name])])
                names = importlib.import_module(module).__all__
                yield from (f"{module}.{one}" for one in names)


@pytest.mark.parametrize("name", [*public_names()])
def test_public_name(reference: LexborHTMLParser, name: str) -> None:
    """Each is there, with its docstring."""
    (entry,) = [one for one in reference.css("dl.py dt") if one.attributes.get("id") == name]
    assert entry.next.next.css_first("p").text().strip().endswith((".", ":"))


def test_outcomes(reference: LexborHTMLParser) -> None:
    rows = [[cell.text() for cell in row.css("td")] for row in reference.css("#outcomes tbody tr")]
    assert [row[:2] for row in rows] == [[one.name, one.value] for one in Outcome]
    assert all(cause for _, _, cause in rows)


def test_checks(reference: LexborHTMLParser) -> None:
    """Every id that stands in the code, with a message."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "integrations/django").rglob("*.py"))
    rows = {row.css_first("td").text(): row.text() for row in reference.css("#checks tbody tr")}
    assert rows.keys() == set(re.findall(r'id="(ensoras\.[EW]\d+)"', code)) != set()
    assert "its middleware is not: no page is identified." in rows["ensoras.W001"]


def test_command_line(reference: LexborHTMLParser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of every command is there as it is printed."""
    monkeypatch.setenv("COLUMNS", "80")
    texts = [block.text() for block in reference.css("#command-line pre")]
    assert texts[0] == cli._parser().format_help()
    commands = re.findall(r"^    (\w+) ", texts[0], re.MULTILINE)
    assert [re.findall(r"usage: ensoras-middleware (\w+)", text) for text in texts[1:]] == [
        [command] for command in commands
    ]


def test_code_in_docstrings(reference: LexborHTMLParser) -> None:
    """Single backticks and indented lines, as in Markdown, are code."""
    for element in reference.css("article p, article li, article td"):
        assert "`" not in element.text(), element.text()
    assert reference.css("article cite, article blockquote") == []
    assert "Ensoras(app)\n" in [block.text() for block in reference.css("article pre")]


# Screens ------------------------------------------------------------------------------------------

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# What is wider than the screen, or than its place without being scrolled there.
TOO_WIDE = """() => [...document.querySelectorAll("article :is(pre, .table-wrapper)")].filter(
  (one) => one.getBoundingClientRect().right > innerWidth
    || (one.scrollWidth > one.clientWidth && getComputedStyle(one).overflowX !== "auto")
).map((one) => one.innerText.slice(0, 60))"""
WIDE_INSIDE = """() => [...document.querySelectorAll("article pre")].filter(
  (one) => one.scrollWidth > one.clientWidth).length"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """A tab that has no network, and in which pages make no error."""
    errors: list[str] = []
    with browser.new_page(offline=True) as page:
        page.on("console", lambda one: one.type in ("error", "warning") and errors.append(one.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
    assert errors == []


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_screens(tab: Page, site: Path, name: str) -> None:
    """No page scrolls sideways, on a desktop and on a phone; wide code scrolls inside itself."""
    tab.goto((site / f"{name}.html").as_uri())
    for size in (WIDE, NARROW):
        tab.set_viewport_size(size)  # type: ignore[arg-type]
        width = tab.evaluate("document.documentElement.scrollWidth")
        assert width == size["width"], f"{name} is {width} wide at {size['width']}"
        assert tab.evaluate(TOO_WIDE) == []
    assert name != "wsgi" or tab.evaluate(WIDE_INSIDE) > 3  # so there was something to scroll


@pytest.mark.browser
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["desktop", "phone"])
def test_a_visitor_finds_a_page(browser: Browser, site: Path, size: dict[str, int]) -> None:
    """By the navigation, which a button opens on a phone, and by the search."""
    page = browser.new_page(viewport=size, offline=True)  # type: ignore[arg-type]
    page.set_default_timeout(10_000)
    page.goto((site / "index.html").as_uri())
    link = page.locator(".sidebar-tree a", has_text="Caching")
    if size is NARROW:
        place = page.locator(".sidebar-tree").bounding_box()
        assert place is None or place["x"] + place["width"] <= 0, "it covers the page"
        page.locator("label[for=__navigation]:visible").first.click()
    link.click()
    assert page.locator("h1").inner_text().startswith("Caching")
    # From files it shows where it has found something, without excerpts, which it would fetch.
    page.goto((site / "search.html").as_uri() + "?q=ENSORAS_IDENTITY_PATH")
    page.locator("#search-results a", has_text="Reference").first.click()
    assert page.url.startswith((site / "reference.html").as_uri())
    page.close()
