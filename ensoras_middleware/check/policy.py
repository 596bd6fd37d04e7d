"""Whether the page's Content-Security-Policy lets the identify script and the widget run."""

from __future__ import annotations

from ensoras_middleware import csp
from ensoras_middleware.caching import Fields
from ensoras_middleware.check.answer import Answer
from ensoras_middleware.check.finding import Finding, Findings, Status
from ensoras_middleware.check.html import meta_policies
from ensoras_middleware.check.tag import absolute_address
from ensoras_middleware.markup import TAG, attribute_list, by_name
from ensoras_middleware.page import IdentifyCall
from ensoras_middleware.snippet import hash_source

_TITLE = "Content-Security-Policy"
_MORE = "See the documentation's page Content Security Policy."
_FIELD = "content-security-policy"


def policy(answer: Answer) -> Findings:
    """Tell what the policies of a page, in its header and in `meta` elements, block of ours."""
    header = [one for one in answer.fields if one[0].lower() == _FIELD]
    trial = [(_FIELD, value) for value in answer.values(f"{_FIELD}-report-only")]
    meta: Fields = [(_FIELD, value) for value in meta_policies(answer.body)]
    if not (header or trial or meta):
        yield Finding(Status.OK, _TITLE, "There is none.", page=answer.visitor)
        return
    problems = [*_blocked(answer, header, "header"), *_blocked(answer, meta, "meta element")]
    if csp.lets_no_script_run(header):
        problems = [("The header lets no script run at all.", "Exclude the page, or allow scripts")]
    for found, remedy in problems:
        yield Finding(
            Status.PROBLEM,
            _TITLE,
            found,
            f"{remedy}. {_MORE}",
            answer.visitor,
        )
    for found, remedy in _blocked(answer, trial, "report-only header"):
        remedy = f"Nothing is blocked yet. Before you enforce it: {remedy[0].lower()}{remedy[1:]}."
        yield Finding(Status.NOTE, _TITLE, found, remedy, answer.visitor)
    if (header or meta) and not problems:
        if answer.page.tags:
            what = "the widget and the identify script" if answer.page.calls else "the widget"
            yield Finding(Status.OK, _TITLE, f"It lets {what} run.", page=answer.visitor)
        yield from _connecting(answer, [*header, *meta])


def _connecting(answer: Answer, fields: Fields) -> Findings:
    for tag in answer.page.tags[:1]:
        address = absolute_address(tag, answer.url)
        if address is not None and not csp.lets_connect(fields, address):
            origin = _origin(address)
            yield Finding(
                Status.NOTE,
                _TITLE,
                f"It lets no script connect to {origin}, so the widget may not reach its server.",
                f"Add {origin} to the sources of connect-src. {_MORE}",
                answer.visitor,
            )


def _origin(address: str) -> str:
    return "/".join(address.split("/", 3)[:3])


def _blocked(answer: Answer, fields: Fields, where: str) -> list[tuple[str, str]]:
    found = []
    page = answer.page
    if any(not _admits(fields, page.body, call) for call in page.calls if call.own):
        if where == "meta element":
            remedy = "Give the widget tag the nonce of the policy, or send the policy as a header"
        else:
            remedy = (
                "Let what sends the policy run inside of the middleware, which then adds the "
                "script's hash; or give the widget tag the policy's nonce"
            )
        found.append((f"The policy in the {where} blocks the identify script.", remedy))
    for tag in page.tags[:1]:
        address = absolute_address(tag, answer.url)
        if address is not None and not csp.lets_load(fields, address, tag.nonce):
            remedy = (
                f"Add {_origin(address)} to the sources of script-src, or a nonce to policy and tag"
            )
            found.append((f"The policy in the {where} blocks the widget.", remedy))
    return found


def _admits(fields: Fields, body: bytes, call: IdentifyCall) -> bool:
    start_tag = TAG.match(body, call.start)
    attributes = by_name(attribute_list(start_tag)) if start_tag else {}
    nonce = attributes.get(b"nonce", b"").decode("latin-1")
    return csp.lets_inline_run(fields, nonce=nonce or None, hash_source=hash_source(call.text))
