"""Looks after identified pages that functions of unknown purpose get after us.

Many sites set `Cache-Control` on every answer; then it would depend on the order of registration
alone whether a shared cache keeps one visitor's identity for all.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

from flask import Flask, Response
from werkzeug.datastructures import Headers

from ensoras_middleware import caching, csp, snippet
from ensoras_middleware.caching import Fields
from ensoras_middleware.widget import Widget

BLOCKED = (
    "What runs after Ensoras sets a Content-Security-Policy that blocks the identify script, or "
    "changes the script: create Ensoras(app) before it. It is one of: %s"
)
_STORABLE = (
    "What runs after Ensoras lets caches keep identified pages, which was taken back: create "
    "Ensoras(app) before it. It is one of: %s"
)

# The policies and the body of the identified page that we have just answered with: see `guard`.
_answered: ContextVar[tuple[list[str], Any] | None] = ContextVar("answered", default=None)

POLICY = "Content-Security-Policy"
# With them a cache compares a copy; where it keeps none they do no harm.
_VALIDATORS = ("etag", "last-modified")
_SCRIPT = re.compile(rb'(?:nonce="([^"]*)")?>(' + re.escape(snippet.MARK) + rb"[^<]*)")


def guard(app: Flask, widget: Widget, outside: str) -> None:
    """Let no function that runs after us make an identified page one that caches may keep.

    To be called directly before our own `after_request` is registered; `outside` names what runs
    after us.
    """

    def remember(answer: Response) -> Response:
        _answered.set(None)
        try:
            # By value: `Headers.get` costs several times as much, and this runs for every response.
            if any(value.startswith(caching.NEVER_REUSED) for _, value in answer.headers):
                _answered.set((answer.headers.getlist(POLICY), answer.response))
        except Exception as error:
            widget.warn_of_fault(error)
        return answer

    def restore(response: Response) -> Response:
        remembered = _answered.get()
        if remembered is not None:
            _answered.set(None)
            try:
                if _may_be_kept(response):
                    response.headers = Headers(caching.never_reused(list(response.headers)))
                    widget.warn_once("order-caching", _STORABLE, outside)
                if _script_is_blocked(response, *remembered):
                    widget.warn_once("order-policy", BLOCKED, outside)
            except Exception as error:
                widget.warn_of_fault(error)
        return response

    app.after_request(remember)
    app.after_request_funcs[None].insert(0, restore)


def _may_be_kept(response: Response) -> bool:
    return not response.cache_control.no_store or any(
        caching.keeps_a_copy(name, value) and name.lower() not in _VALIDATORS
        for name, value in response.headers
    )


def _script_is_blocked(response: Response, policies: list[str], body: Any) -> bool:
    """Tell whether the identify script runs no more, as it did under `policies` in `body`."""
    now = response.headers.getlist(POLICY)
    if not now or not isinstance(body, list):  # a stream has not been made yet
        return False
    if now == policies and response.response is body:
        return False
    script = _SCRIPT.search(b"".join(body))
    if script is None:
        return False
    nonce = script[1].decode() if script[1] else None
    changed = (
        response.is_sequence
        and "Content-Encoding" not in response.headers
        and script[2] not in response.get_data()
    )
    source = "'sha256-x'" if changed else snippet.hash_source(script[2])
    return blocks([(POLICY, policy) for policy in now], nonce, source)


def blocks(policies: Fields, nonce: str | None, hash_source: str) -> bool:
    # Where no script may run, there was nothing to lose.
    admitted = csp.admitting(policies, nonce=nonce, hash_source=hash_source) == policies
    return not admitted and not csp.lets_no_script_run(policies)
