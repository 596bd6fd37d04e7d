"""The widget tag of a page."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from ensoras_middleware.check.answer import Answer, is_loopback
from ensoras_middleware.check.finding import Finding, Findings, Status
from ensoras_middleware.check.identify import told_outcome
from ensoras_middleware.explanations import EXPLANATIONS
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.page import Tag
from ensoras_middleware.widget_tag import DEFAULT_ORIGIN, widget_tag

_TITLE = "widget tag"
_IN_GTM = b"googletagmanager.com/gtm.js"


def widget_tags(answer: Answer, slug: str | None) -> Findings:
    """Tell which widget tags a page has; `slug` is the one of the site's settings, if known."""
    page = answer.page
    if not page.tags:
        yield _without_tag(answer, slug or "YOUR_SLUG")
        return
    first = page.tags[0]
    lines = ", ".join(str(_line(page.body, tag)) for tag in page.tags)
    found = f"`{first.slug}`, line {lines}" + (
        f", {len(page.tags)} times" if len(page.tags) > 1 else ""
    )
    status, remedy = _judged(page.tags, answer.url, slug)
    yield Finding(status, _TITLE, found, remedy, answer.visitor)
    if page.doubt is not None:
        yield _ambiguous(answer, page.doubt)
    if any(tag.dangling for tag in page.tags):
        cause, remedy = EXPLANATIONS[Outcome.DANGLING]
        yield Finding(Status.PROBLEM, _TITLE, cause, remedy, answer.visitor)


def absolute_address(tag: Tag, url: str) -> str | None:
    """Return the address of the widget's script; that of its page gives a scheme left out.

    It is `None` where the address is none, as with `https://shop:x/cdn/v1/widget/acme.js`.
    """
    try:
        address = urljoin(url, tag.address)
        _ = urlsplit(address).port
    except ValueError:
        return None
    return address


def _judged(tags: tuple[Tag, ...], url: str, slug: str | None) -> tuple[Status, str]:
    """Return what to say of the tags that there are, the worst first."""
    slugs = sorted({tag.slug for tag in tags})
    if slug is not None and slugs != [slug]:
        return Status.PROBLEM, (
            f"The settings say `{slug}`: pages with another slug stay anonymous. Correct the tag, "
            "or ENSORAS_WIDGET_SLUG."
        )
    if "YOUR_SLUG" in slugs:
        return Status.PROBLEM, "YOUR_SLUG is a placeholder: write the slug of your widget."
    address = urlsplit(absolute_address(tags[0], url) or "")
    origin = f"{address.scheme}://{address.netloc}".lower()
    if not address.netloc:
        return Status.PROBLEM, f"Its address is none: write {DEFAULT_ORIGIN}."
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        return Status.PROBLEM, f"It is loaded without encryption: write {DEFAULT_ORIGIN}."
    if origin != DEFAULT_ORIGIN:
        return Status.NOTE, (
            f"It is loaded from {origin}, a stand-in. On your public site it must be "
            f"{DEFAULT_ORIGIN}."
        )
    if len(slugs) > 1:
        return Status.NOTE, "A page with several widgets: one is usual."
    if len(tags) > 1:
        return Status.NOTE, "The widget is loaded more than once: remove all tags but one."
    return Status.OK, ""


def _without_tag(answer: Answer, slug: str) -> Finding:
    page = answer.page
    if told_outcome(answer) is Outcome.CSP_BLOCKED:
        cause, remedy = EXPLANATIONS[Outcome.CSP_BLOCKED]
        return Finding(Status.PROBLEM, _TITLE, cause, remedy, answer.visitor)
    if page.doubt is not None:
        return _ambiguous(answer, page.doubt)
    if page.mentions:
        cause, remedy = EXPLANATIONS[Outcome.NO_TAG]
        return Finding(Status.PROBLEM, _TITLE, cause, remedy, answer.visitor)
    found = "The page has no widget tag."
    if _IN_GTM in answer.body:
        found += " It has a tag manager; a widget that this loads is seen by nobody but browsers."
    remedy = (
        f"Put {widget_tag(DEFAULT_ORIGIN, slug)} into the page, as your dashboard shows it, "
        "before </body>, and out of a tag manager; or let the middleware write it: "
        "ENSORAS_WIDGET_EMBED."
    )
    return Finding(Status.PROBLEM, _TITLE, found, remedy, answer.visitor)


def _ambiguous(answer: Answer, doubt: str) -> Finding:
    cause, remedy = EXPLANATIONS[Outcome.AMBIGUOUS]
    return Finding(Status.PROBLEM, _TITLE, f"{cause} Here: {doubt}.", remedy, answer.visitor)


def _line(body: bytes, tag: Tag) -> int:
    return body.count(b"\n", 0, tag.start) + 1
