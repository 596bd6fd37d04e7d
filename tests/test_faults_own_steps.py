"""A fault in any step of ours leaves a whole response, nobody's identity lost or let out, one line.

Each scenario runs once to see which functions of ours it calls, and then once for each of them with
a fault there.
"""

from __future__ import annotations

from typing import Any

import pytest
from adapters import ADAPTERS, ALICE, PAGE, SECRET, TAG, Answer, Host, Site, identify_script, serve
from faults import steps_of, with_fault

from ensoras_middleware import Outcome, identity_hash

HASH = identity_hash(ALICE, SECRET)
REQUEST = {"accept": "text/html", "cookie": "a=b", "if_none_match": '"1"'}
POLICY = ("Content-Security-Policy", "default-src 'self' https://app.ensoras.com")
WITHOUT_TAG = PAGE.replace(TAG, b"")


def ignore(outcome: Outcome) -> None:
    """A site's `on_outcome`."""


SCENARIOS: dict[str, tuple[Host, dict[str, Any]]] = {
    "page": (Host(), {}),
    "stream": (Host(chunks=(PAGE[:30], PAGE[30:])), {}),
    "policy": (Host().with_headers(POLICY), {}),
    "stream with policy": (Host(chunks=(PAGE[:99], PAGE[99:])).with_headers(POLICY), {}),
    "stream of several brands": (
        Host(chunks=(PAGE[:99], PAGE[99:])),
        {"slug": ..., "secret": lambda slug: SECRET},
    ),
    "embed": (Host(body=WITHOUT_TAG).with_headers(POLICY), {"embed": True}),
    "embed in a stream": (Host(chunks=(WITHOUT_TAG, b"<p>")), {"embed": True}),
    "stranger": (Host(body=PAGE.replace(TAG, identify_script("bob@example.com") + TAG)), {}),
    "style": (
        Host(headers=[("Content-Type", "text/css")]),
        {"on_outcome": ignore, "debug": True},
    ),
}

# A fault at the entry of these cannot be told from one of the host's. They carry the host's own
# call in a few assignments, or are the doors to what contains its faults.
CARRIERS = {"wsgi", "asgi", "extension", "middleware", "environ", "scope"}
DOORS = {
    *(f"{name}.__init__" for name in ("injection.Injection", "placing.Placing", "signing.Signing")),
    *("injection.Injection.names_widget", "injection.Injection.whole"),
    *("injection.Injection.is_whole", "injection.Injection.is_whole.<locals>.<listcomp>"),
    *("injection.Injection.start_stream", "injection.Injection.stream"),
    *("injection.Injection.feed", "injection.Injection.finish"),
    *("injection.Injection.may_ask_for_secret", "snippet.IdentityBlanker.__init__"),
    *("eligibility.hides_preconditions", "secret.is_async"),
    *("order.FirstCall.__call__", "order.watch_order.<locals>.check", "guard.harmless"),
    "order.watch_order.<locals>.check.<locals>.<listcomp>",
}
# But not these: what they look at is somebody else's.
CONTAINED = {"extension._compress_keeps_pages", "scope._users_email"}


def is_door(step: str) -> bool:
    if step.partition(".<locals>")[0] in CONTAINED:
        return False
    return step in DOORS or step.partition(".")[0] in CARRIERS


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answers(adapter: str, name: str) -> list[Answer]:
    """What may go out: the host's own, or what we make of it for alice, or for nobody."""
    host, options = SCENARIOS[name]
    return [
        serve(adapter, host, ALICE, enabled=False).get(**REQUEST),
        serve(adapter, host, ALICE, **options).get(**REQUEST),
        serve(adapter, host, None, **options).get(**REQUEST),
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_in_each_step(adapter: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The response is one that it could be anyway, and one warning holds nothing of the visitor."""
    host, options = SCENARIOS[name]
    bare, identified, anonymous = answers(adapter, name)
    site = serve(adapter, host, ALICE, **options)
    steps = [one for one in steps_of(lambda: site.get(**REQUEST)) if not is_door(one)]
    # Most of what Django does under ASGI it does in threads; there it is as under WSGI.
    assert len(steps) >= (5 if adapter == "django-asgi" or name == "style" else 25)
    for step in steps:
        caplog.clear()
        answer = fail_in(serve(adapter, host, ALICE, **options), step)
        assert answer.status == 200, step
        assert answer.body in (bare.body, identified.body, anonymous.body), step
        assert HASH.encode() not in answer.body or "no-store" in (answer["Cache-Control"] or "")
        if identified.body not in (bare.body, answer.body):
            assert "WARNING" in [one.levelname for one in caplog.records], step
        for words in (ALICE, SECRET, HASH):
            assert words not in caplog.text


def fail_in(site: Site, step: str) -> Answer:
    error = LookupError(ALICE, SECRET, HASH)
    return with_fault(lambda: site.get(**REQUEST), step, error)
