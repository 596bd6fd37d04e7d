"""The identity endpoint: the logged-in user's e-mail and hash as JSON, for single-page apps.

Only a script of the site's own pages gets an answer, and what it gets is kept nowhere. Such a
script is told from everybody else by fields of its request:

* `Sec-Fetch-Site: same-origin` and `Sec-Fetch-Dest: empty`, in the browser's own word (Fetch
  Metadata, sections 2.1 and 2.3), which no CORS policy changes: no navigation, frame, image or
  script element, and no other site.
* `X-Ensoras-Identity: 1` from browsers that send no such fields: those before 2023, and all of them
  over plain http. Another site's `fetch` sends it only after a CORS preflight (Fetch, section 4.8),
  which is never granted here. A middleware of the site may grant it all the same; hence the last.
* No `Origin`. Every request whose answer CORS could open to another site is sent with it, and no
  GET to the page's own origin is (Fetch, section 3.2).
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from ensoras_middleware.caching import NEVER_REUSED, Fields
from ensoras_middleware.eligibility import Request
from ensoras_middleware.injection import OUTCOME_FIELD
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.signing import Signing
from ensoras_middleware.widget import Widget
from ensoras_middleware.widget_tag import SLUG

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # get an answer, and HEAD as GET

_FIELDS = [
    ("Cache-Control", NEVER_REUSED),
    # With `*` a service worker that keeps whatever it sees cannot keep this (Service Workers,
    # `Cache.put`); it heeds no `Cache-Control`, and sees no `Cookie`.
    ("Vary", "Cookie, *"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


class IdentityResponse(Signing):
    """The answer to one request to the identity endpoint.

    Where `outcome` is set by construction, the request is refused, whoever is logged in. Elsewhere
    the adapter tells who the user is with `user_is`, or `user_failed` where that raises, and then
    to `give` the answer. Then `status`, `fields` and `body` go out.

    `request` takes its path from nowhere; `query` is the query string, without the `?`.
    """

    __slots__ = ("_slug", "body", "fields", "status")

    def __init__(self, widget: Widget, request: Request, query: str) -> None:
        super().__init__(widget)
        self.status = 204
        self.fields: Fields = []
        self.body = b""
        self._slug = widget.slug or _slug_in(query)
        if request.method != "GET":
            self._refuse(405)
        elif not _is_own_script(request):
            self._refuse(403)
        elif self._slug is None:
            self._refuse(400)

    def give(self) -> None:
        """Answer for the user."""
        if self._email is not None:
            self._tell_of_user()
        self._finish()

    def _tell_of_user(self) -> None:
        assert self._slug is not None, "else the request was refused"
        identity = self._identity_for(self._slug)
        if identity is not None:
            self._because(Outcome.IDENTIFIED)
            self.status = 200
            self.body = json.dumps({"email": identity.email, "hash": identity.hash}).encode()

    def _refuse(self, status: int) -> None:
        self._because(Outcome.WITHHELD)
        self.status = status
        self._finish()

    def _finish(self) -> None:
        assert self.outcome is not None
        self.fields = [*_FIELDS]
        if self.status == 405:
            self.fields.append(("Allow", "GET"))
        if self.status != 204:  # RFC 9110, section 8.6; PEP 3333 wants a type with any other
            type_ = "application/json" if self.status == 200 else "text/plain"
            self.fields.append(("Content-Type", type_))
            self.fields.append(("Content-Length", str(len(self.body))))
        if self._widget.debug:
            self.fields.append((OUTCOME_FIELD, self.outcome.value))
        self._widget.tell(self.outcome)


def _is_own_script(request: Request) -> bool:
    if request.header("origin") is not None:
        return False
    site = request.header("sec-fetch-site")
    if site is None:
        return request.header("x-ensoras-identity") == "1"
    return site == "same-origin" and request.header("sec-fetch-dest") in (None, "empty")


def _slug_in(query: str) -> str | None:
    slugs = parse_qs(query).get("slug", [])
    return slugs[0] if len(slugs) == 1 and SLUG.fullmatch(slugs[0]) else None
