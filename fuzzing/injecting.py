"""The whole injection, through every adapter: one document, delivered in many ways.

What goes out must be the host's bytes, but for the one script, in a place that the judge calls
live; header fields must be those that were promised; and neither the adapter nor the way in which
the body is cut may make a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from fuzzing import differences, fields, oracles
from fuzzing.documents import cuttings
from fuzzing.scanning import END_TAG
from tests.adapters import (
    ADAPTERS,
    ALICE,
    BOB,
    SECRET,
    TAG,
    Answer,
    Headers,
    Host,
    Site,
    identify_script,
    serve,
)

SECRETS = {"acme": SECRET, "other": "the-other-secret-of-the-tests-01"}
NEEDLE = b"//app.ensoras.com/cdn/v1/widget/acme.js"
_MARK = b"/* Ensoras identity verification"
_STRANGER = identify_script(BOB)
_BOBS_IDENTITY = re.compile(rb'\{"email":"bob@[^}]*\}')
_DANGLING = re.compile(rb"<script.*?<s(?:cript|tyle)", re.IGNORECASE | re.DOTALL)

# Another site's request, which gets no identity.
_CROSS_SITE = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}


@dataclass(frozen=True)
class Visit:
    """One request: what the host answers to whom."""

    document: bytes
    headers: Headers
    user: str | None
    brands: bool  # there are several widgets, each with its secret
    embed: bool
    request: dict[str, str]

    @property
    def may_be_identified(self) -> bool:
        """Whether there is anybody to identify."""
        return self.user is not None and not self.request

    @property
    def needle(self) -> bytes:
        """Return what names the widget."""
        return NEEDLE[: -len(b"acme.js")] if self.brands else NEEDLE

    @property
    def length(self) -> tuple[str, str]:
        """Return the field that announces the length of the body."""
        return "Content-Length", str(len(self.document))

    @property
    def policies(self) -> list[str]:
        """Return the enforced and the reported policies."""
        return [v for k, v in self.headers if k.lower().startswith("content-security-policy")]


class _Now:
    """What the sites answer now, and to whom."""

    host = Host()
    user: str | None = None


@cache
def site(adapter: str, brands: bool, embed: bool) -> Site:
    """Return the site of an adapter, which answers what `_Now` says."""
    options: dict[str, Any] = {"slug": ..., "secret": SECRETS} if brands else {"embed": embed}
    return serve(adapter, lambda: _Now.host, lambda: _Now.user, debug=True, **options)


def random_visit(random: Random, document: bytes) -> Visit:
    """Return a visit to a page with this document, perhaps with another visitor's script in it."""
    if random.random() < 0.2 and len(document) < 4000:
        stranger = random.choice([_STRANGER, _STRANGER.replace(b"<script>", b"<script defer>")])
        at = random.choice([match.start() for match in re.finditer(rb"<|\Z", document)])
        document = document[:at] + stranger + document[at:]
    brands = random.random() < 0.2
    if brands:
        document = re.sub(rb"acme(?=\.js)", lambda _: random.choice([b"acme", b"other"]), document)
    return Visit(
        document=document,
        headers=fields.random_fields(random),
        user=random.choice([ALICE, ALICE, ALICE, None]),
        brands=brands,
        embed=not brands and random.random() < 0.3,
        request=_CROSS_SITE if random.random() < 0.1 else {},
    )


def check(document: bytes, random: Random, adapters: tuple[str, ...] = ADAPTERS) -> str:
    """Send a page through the adapters, whole and as a stream; return what became of it."""
    visit = random_visit(random, document or b" ")
    whole = _same_answer(visit, _whole_pages(visit, adapters), streamed=False)
    stream = _same_answer(visit, _streams(visit, adapters, random), streamed=True)
    outcome = _check_answer(visit, whole, streamed=False)
    _check_answer(visit, stream, streamed=True)
    plain = not (visit.embed or visit.policies or _MARK in visit.document)
    if plain and visit.needle in visit.document:
        assert stream.body == whole.body, "a stream ends otherwise than a whole page"
    return outcome


Deliveries = Iterator[tuple[str, Host]]


def _whole_pages(visit: Visit, adapters: tuple[str, ...]) -> Deliveries:
    """Yield the ways in which a whole page arrives, each with its adapter."""
    announced = Host(chunks=(visit.document,), headers=[*visit.headers, visit.length])
    for adapter in adapters:
        yield adapter, Host(body=visit.document, headers=visit.headers)
        if adapter in ("wsgi", "asgi"):  # to frameworks this is a stream
            yield adapter, announced


def _streams(visit: Visit, adapters: tuple[str, ...], random: Random) -> Deliveries:
    for chunks in cuttings(random, visit.document):
        headers = visit.headers
        if random.random() < 0.3 and visit.document not in chunks:
            headers = [*headers, visit.length]
        for adapter in adapters:
            yield adapter, Host(chunks=tuple(chunks), headers=headers)


def _same_answer(visit: Visit, deliveries: Deliveries, *, streamed: bool) -> Answer:
    """Return the one answer to all deliveries."""
    first = None
    for adapter, host in deliveries:
        _Now.host, _Now.user = host, visit.user
        answer = site(adapter, visit.brands, visit.embed).get(**visit.request)
        first = first or answer
        assert answer.status == 200
        assert answer.body == first.body, f"another body: {adapter}, {host.chunks}"
        ours, theirs = (fields.without_length(one.headers) for one in (first, answer))
        assert ours == theirs, f"other fields: {adapter}, {host.chunks}"
        fields.check_length(answer, streamed=streamed)
    assert first is not None
    return first


def _check_answer(visit: Visit, answer: Answer, *, streamed: bool) -> str:
    outcome = answer["X-Ensoras-Outcome"]
    assert outcome not in (None, "error")
    host = _without_stranger(visit, streamed)
    insertion = _insertion(visit, host, answer.body)
    _check_place(visit, host, insertion, str(outcome), streamed)
    fields.check_policies(visit.headers, answer, insertion.script, insertion.nonce)
    identified = insertion.script is not None
    fields.check(
        visit.headers,
        answer,
        identified=identified or (outcome in ("streaming", "withheld")),
        # That another visitor's script is in a stream is not known when its fields leave.
        changed=bool(insertion.text) or (not streamed and answer.body != visit.document),
        untouched=not streamed and visit.needle not in visit.document and not insertion.text,
        streamed=streamed,
    )
    return f"{outcome}, {'script' if identified else 'no script'}"


def _without_stranger(visit: Visit, streamed: bool) -> bytes:
    """Return the host's page without another visitor's identity.

    It is looked for where it could do harm: before the address of the widget.
    """
    document = visit.document
    at = document.find(_MARK)
    if at < 0 or not (streamed or document.find(visit.needle, at) >= 0):
        return document
    if not streamed:
        document = document.replace(_STRANGER, b"")
    return _BOBS_IDENTITY.sub(lambda match: b" " * len(match[0]), document)


@dataclass(frozen=True)
class Insertion:
    """What the middleware has put into a page, and where."""

    place: int = 0
    text: bytes = b""
    script: bytes | None = None  # the text of the identify script in it
    nonce: str = ""
    slug: str = "acme"


def _insertion(visit: Visit, host: bytes, body: bytes) -> Insertion:
    """Return what stands in the body beside the host's bytes; all that may is known."""
    if body == host:
        return Insertion()
    for match in re.finditer(rb'<script(?: nonce="([^"]*)")?>|<script src=', body):
        start, nonce = match.start(), (match[1] or b"").decode()
        for insertion in _insertions(visit, start, nonce):
            end = start + len(insertion.text)
            if (
                body[start:end] == insertion.text
                and body[:start] + body[end:] == host
                and (NEEDLE not in insertion.text or END_TAG.match(host, start))
            ):
                return insertion
    raise AssertionError("more has changed than an insertion, or another thing was inserted")


def _insertions(visit: Visit, place: int, nonce: str) -> Iterator[Insertion]:
    """Yield what may be put in there; the widget goes before an end tag of the body only."""
    for slug in SECRETS if visit.brands else ["acme"]:
        script = identify_script(ALICE, SECRETS[slug], nonce)
        text = script.partition(b">")[2].removesuffix(b"</script>")
        if visit.may_be_identified:
            yield Insertion(place, script, text, nonce, slug)
    nonces = re.findall(r"'nonce-([^']*)'", " ".join(visit.policies), re.IGNORECASE)
    for one in ["", *nonces] if visit.embed else []:
        widget = TAG.replace(b"></s", f' nonce="{one}"></s'.encode()) if one else TAG
        yield Insertion(place, widget, nonce=one)
        if visit.may_be_identified:
            yield Insertion(place, script + widget, text, one)


def _check_place(
    visit: Visit, host: bytes, insertion: Insertion, outcome: str, streamed: bool
) -> None:
    places = {"acme": oracles.places(host)}
    if visit.brands:
        places["other"] = oracles.places(host, oracles.OTHER_ADDRESS)
    all_places = sorted({place for some in places.values() for place in some})
    if not insertion.text:
        if all_places and visit.may_be_identified and not visit.policies and not visit.embed:
            _check_reason(outcome, visit, host, all_places[0], streamed)
        return
    place = insertion.place
    assert oracles.is_live(host[:place]), "no script would run there"
    assert oracles.changes_nothing_else(host, place), "the rest of the page changes"
    if NEEDLE in insertion.text:
        return
    assert place in places[insertion.slug], f"not before its widget tag; those are {places}"
    passable = [*differences.PASSED, differences.unread(visit.needle)]
    for passed in all_places[: all_places.index(place)]:
        known = differences.first(passable, host, passed)
        assert known or visit.policies, "not before the first widget tag"


def _check_reason(outcome: str, visit: Visit, host: bytes, missed: int, streamed: bool) -> None:
    """Check that the outcome tells why a live tag got no script."""
    if outcome == "ambiguous":
        return  # `scanning` looks at the doubts
    if outcome == "dangling" or (streamed and _DANGLING.match(host, missed)):
        assert _DANGLING.match(host, missed)
        return
    known = [*differences.PASSED, differences.unread(visit.needle)]
    if streamed:  # its outcome is told before it is read
        known += differences.DOUBTS
    assert differences.first(known, host, missed), f"missed {missed}: {outcome}"
