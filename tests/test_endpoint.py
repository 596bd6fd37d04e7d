"""The identity endpoint, through every way to set it up: who is answered, and with what."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import flask
import pytest
from adapters import ALICE, BOB, SECRET, SLUG, Answer, run_asgi, run_wsgi
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path, reverse
from django.views.decorators.cache import cache_page
from django_ensoras.views import identity as django_view
from flask_ensoras import Ensoras
from identity_sites import (
    PATH,
    SITES,
    Send,
    as_settings,
    django_settings,
    serve,
)
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ensoras_middleware import ConfigurationError, identity_hash
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.asgi import identity_endpoint
from ensoras_middleware.identity import NotSigned
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

OWN = {"x-ensoras-identity": "1"}  # an older browser, or plain http
FETCH = OWN | {
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
    "accept": "*/*",
}
SECRETS = {"acme": SECRET, "other": "the-other-secret-of-these-tests!"}

every_site = pytest.mark.parametrize("name", SITES)
# Where the layer or the extension sees the request by whatever method.
ANSWERS_ALL_METHODS = ["wsgi", "asgi", "flask", "django-wsgi", "django-asgi"]


def identity_of(email: str, secret: str = SECRET) -> dict[str, str]:
    return {"email": email, "hash": identity_hash(email, secret)}


def get(send: Send, query: str = "", headers: dict[str, str] = FETCH) -> Answer:
    return send("GET", PATH + query, headers)


def fields_of(answer: Answer) -> dict[str, str]:
    assert len({name.lower() for name, _ in answer.headers}) == len(answer.headers)
    return {name.lower(): value for name, value in answer.headers}


NEVER_KEPT = {
    "cache-control": "private, no-store, max-age=0",
    "vary": "Cookie, *",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}

# Who is answered ------------------------------------------------------------------------------


@every_site
@pytest.mark.parametrize(
    "headers",
    [FETCH, OWN, {"sec-fetch-site": "same-origin"}],
    ids=["the client", "older browser", "fetch metadata alone"],
)
def test_the_logged_in_user(name: str, headers: dict[str, str]) -> None:
    """Alice's page is told her address as it is signed, and nothing may keep that."""
    answer = get(serve(name, " Alice@Example.com"), headers=headers)
    assert answer.status == 200
    assert json.loads(answer.body) == identity_of(ALICE)
    assert fields_of(answer) == NEVER_KEPT | {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
    }


@every_site
def test_nobody(name: str) -> None:
    """A visitor who is not logged in is told so, without a log-in page in between."""
    answer = get(serve(name, None))
    assert (answer.status, answer.body) == (204, b"")
    assert fields_of(answer) == NEVER_KEPT


def unverified() -> str:
    raise NotSigned(Outcome.UNVERIFIED)


def broken() -> str:
    raise LookupError(ALICE)


@every_site
@pytest.mark.parametrize(
    ("email", "outcome", "warning"),
    [
        (None, "anonymous", None),
        (unverified, "unverified", "not known to be verified"),
        (broken, "user-error", "Reading the user failed, so the visitor stays anonymous: Lookup"),
        ("jörg@example.com", "email-refused", "cannot be signed safely"),
        (7, "email-refused", "cannot be signed safely"),
    ],
)
def test_nobody_who_may_be_signed(
    name: str, email: object, outcome: str, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The rules are those of pages; each problem is told once, without an address."""
    caplog.set_level(logging.DEBUG, "ensoras_middleware")
    send = serve(name, email)
    for _ in range(2):
        answer = get(send)
        assert (answer.status, answer.body) == (204, b"")
    assert "alice" not in caplog.text
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len(told) == (warning is not None)
    assert warning is None or warning in told[0]
    assert outcome in [one.getMessage() for one in caplog.records if one.levelname == "DEBUG"]


@every_site
def test_a_log_holds_no_identity(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is told of an answer is its outcome alone."""
    caplog.set_level(logging.DEBUG, "ensoras_middleware")
    assert get(serve(name, ALICE)).status == 200
    assert "identified" in [one.getMessage() for one in caplog.records]
    for secret in (SECRET, ALICE, identity_hash(ALICE, SECRET)):
        assert secret not in caplog.text


# Who is refused -------------------------------------------------------------------------------

REFUSED = {
    "typed, a link, a form, a frame, an image": {},
    "another value": OWN | {"x-ensoras-identity": "0"},
    "a frame of one's own page": FETCH | {"sec-fetch-dest": "iframe"},
    "a script element": FETCH | {"sec-fetch-dest": "script"},
    "opened in a tab": FETCH | {"sec-fetch-dest": "document"},
    "another site": FETCH | {"sec-fetch-site": "cross-site"},
    "another host of the same site": FETCH | {"sec-fetch-site": "same-site"},
    "typed, with the header": FETCH | {"sec-fetch-site": "none"},
    "two words": FETCH | {"sec-fetch-site": "same-origin, cross-site"},
    "no word": FETCH | {"sec-fetch-site": ""},
    "CORS without fetch metadata": OWN | {"origin": "https://evil.example"},
    "a sandboxed page": OWN | {"origin": "null"},
    "CORS to the own origin": FETCH | {"origin": "http://testserver"},
}


@every_site
@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_others_are_refused(name: str, headers: dict[str, str]) -> None:
    """Whoever is logged in, the answer is the same; so nobody is even read."""
    read = []

    def email() -> str:
        read.append(1)
        return ALICE

    send = serve(name, email)
    answer = get(send, headers=headers)
    assert (answer.status, answer.body) == (403, b"")
    assert fields_of(answer) == NEVER_KEPT | {"content-type": "text/plain", "content-length": "0"}
    if name in ("wsgi", "asgi", "starlette", "fastapi"):  # others read it for their own ends
        assert read == []


@every_site
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods(name: str, method: str) -> None:
    """Nothing but GET, and no CORS preflight is granted."""
    preflight = {"access-control-request-method": "GET", "origin": "https://evil.example"}
    answer = serve(name, ALICE)(method, PATH, FETCH | (preflight if method == "OPTIONS" else {}))
    assert answer.status == 405
    assert b"alice" not in answer.body
    assert not any(field.startswith("access-control") for field in fields_of(answer))
    if name in ANSWERS_ALL_METHODS:
        assert answer.body == b""
        assert answer["allow"] == "GET"
        assert answer["cache-control"] == NEVER_KEPT["cache-control"]


# Which widget ---------------------------------------------------------------------------------


@every_site
@pytest.mark.parametrize("slug", SECRETS)
def test_the_client_names_one_of_several_widgets(name: str, slug: str) -> None:
    """Each widget has its own secret."""
    answer = get(serve(name, ALICE, secret=SECRETS), f"?slug={slug}")
    assert json.loads(answer.body) == identity_of(ALICE, SECRETS[slug])


@every_site
@pytest.mark.parametrize(
    "query", ["", "?slug=", "?slug=acme&slug=other", "?slug=a/b", "?slug=acme%0A", "?slug=%C3%A9"]
)
def test_no_slug_where_one_is_needed(name: str, query: str) -> None:
    """The developer is told, and no secret is asked for."""
    answer = get(serve(name, ALICE, secret=lambda slug: pytest.fail("asked")), query)
    assert (answer.status, answer.body) == (400, b"")


@every_site
def test_a_fixed_slug_is_the_one(name: str) -> None:
    """What the client says does not matter then."""
    answer = get(serve(name, ALICE, slug="acme", secret=SECRETS), "?slug=other")
    assert json.loads(answer.body) == identity_of(ALICE)


def failing(slug: str) -> str:
    raise LookupError(SECRET)


@every_site
@pytest.mark.parametrize(
    ("secret", "warning"),
    [
        (SECRETS, "no secret for the slug of a widget tag, `unknown`"),
        (failing, "cannot be had, so its visitors stay anonymous: LookupError at "),
        (lambda slug: "short", "is shorter than 16 bytes"),
    ],
    ids=["unknown", "failing", "unusable"],
)
def test_no_secret(name: str, secret: Any, warning: str, caplog: pytest.LogCaptureFixture) -> None:
    """The visitor stays anonymous, and the log says why, without a secret."""
    send = serve(name, ALICE, secret=secret)
    for _ in range(2):
        assert get(send, "?slug=unknown").status == 204
    (record,) = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert warning in record.getMessage()
    assert SECRET not in caplog.text


# Where it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
@pytest.mark.parametrize("path", ["/", PATH + "/", PATH + "x", PATH + "/x", "/x" + PATH])
def test_other_paths_are_the_hosts(name: str, path: str) -> None:
    """The layer answers at its exact path alone."""
    assert serve(name, ALICE)("GET", path, FETCH).body.startswith(b"the host's")


def test_the_path_is_without_the_root_path() -> None:
    """As servers tell it: ASGI's path begins with the root path, WSGI's does not."""
    statuses = []

    async def ask(path: str) -> None:
        app = AsgiMiddleware(
            PlainTextResponse("the host's"),
            slug=SLUG,
            secret=SECRET,
            identity_path=PATH,
            get_email=lambda connection: ALICE,
        )
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "root_path": "/shop",
            "headers": [(name.encode(), value.encode()) for name, value in FETCH.items()],
        }

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                statuses.append(json.loads(message["body"]))

        await app(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(ask("/shop" + PATH))
    assert statuses == [identity_of(ALICE)]


def test_asgi_connections_of_other_types_pass() -> None:
    """A websocket at the same path is the host's."""
    seen = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    app = AsgiMiddleware(
        host, slug=SLUG, secret=SECRET, identity_path=PATH, get_email=lambda connection: ALICE
    )
    scope = {"type": "websocket", "path": PATH, "headers": []}
    asyncio.run(app(scope, None, None))  # type: ignore[arg-type]
    assert seen == ["websocket"]


def host(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the host's"]


def test_no_endpoint_unless_asked_for() -> None:
    """Nothing answers at the path of the documentation by itself."""
    options: Any = {"slug": SLUG, "secret": SECRET}
    email: Any = {"get_email": lambda request: ALICE}
    wsgi = WsgiMiddleware(host, **options, **email)
    assert run_wsgi(wsgi, "GET", PATH, FETCH).body == b"the host's"
    asgi = AsgiMiddleware(PlainTextResponse("the host's"), **options, **email)
    assert run_asgi(asgi, "GET", PATH, FETCH).body == b"the host's"
    app = flask.Flask("site")
    app.config |= as_settings(options)
    Ensoras(app)
    assert run_wsgi(app, "GET", PATH, FETCH).status == 404


# How it is set up -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["", "/", "ensoras", "/a/", "//a", "/a//b", "/a?b", "/a#b", "/a b", "/<slug>", "/a%20b",
     "/a@b", "/a[b", "/a`b", "/a{b", "/a:b", "/a/../b", "/./b", "/.", "/a/..", "/é",
     "https://a.example/b", b"/a", True, ["/a"]],
)  # fmt: skip
def test_a_path_that_cannot_be_one(path: Any) -> None:
    """The site does not start, and is told which option."""
    with pytest.raises(ConfigurationError, match=r"^ENSORAS_IDENTITY_PATH \(keyword `identity_p"):
        serve("wsgi", ALICE, identity_path=path)
    with pytest.raises(ConfigurationError, match="ENSORAS_IDENTITY_PATH"):
        serve("flask", ALICE, identity_path=path)


@pytest.mark.parametrize(
    "path", ["/a", "/a/b", "/.well-known/ensoras", "/a-b_c~d.json", "/..AZ/az/09"]
)
def test_a_path_that_can(path: str) -> None:
    for name in ("wsgi", "asgi", "flask"):
        assert serve(name, ALICE, identity_path=path)("GET", path, FETCH).status == 200


def test_an_asgi_layer_needs_get_email() -> None:
    """It is around the middleware that reads the user; the remedy is the route."""
    with pytest.raises(ConfigurationError, match="identity_endpoint"):
        AsgiMiddleware(PlainTextResponse(""), slug=SLUG, secret=SECRET, identity_path=PATH)


def test_django_has_urls_instead() -> None:
    """The setting of the others would do nothing, so it is refused."""
    with pytest.raises(ConfigurationError, match=r"include\(\"django_ensoras.urls\"\)"):
        serve("django-wsgi", ALICE, identity_path=PATH)


def test_a_route_without_the_middleware() -> None:
    """A clear error, not an anonymous site."""
    app = Starlette(routes=[Route(PATH, identity_endpoint)])
    with pytest.raises(ConfigurationError, match="no EnsorasMiddleware around it"):
        run_asgi(app, "GET", PATH, FETCH)


def test_a_django_view_without_the_middleware() -> None:
    with pytest.raises(ConfigurationError, match="works by the middleware"):
        django_view(RequestFactory().get(PATH))


@every_site
def test_switched_off(name: str) -> None:
    """As if there were none: a page's script takes that for nobody."""
    answer = get(serve(name, ALICE, enabled=False))
    if name in ("wsgi", "asgi"):
        assert answer.body.startswith(b"the host's")
    else:
        assert answer.status == 404


def test_the_route_is_of_the_layer_that_is_responsible() -> None:
    """Two layers, as where an app is mounted in another: the outer one's widget it is."""
    inner = Starlette(
        routes=[Route(PATH, identity_endpoint)],
        middleware=[Middleware(AsgiMiddleware, slug="inner", secret=SECRETS["other"])],
    )
    outer = AsgiMiddleware(inner, slug=SLUG, secret=SECRET, get_email=lambda connection: ALICE)
    assert json.loads(run_asgi(outer, "GET", PATH, FETCH).body) == identity_of(ALICE)


async def asynchronous(request: Any) -> str:
    await asyncio.sleep(0)
    return BOB


@pytest.mark.parametrize("name", ["asgi", "starlette", "fastapi", "django-asgi"])
def test_an_asynchronous_get_email(name: str) -> None:
    answer = get(serve(name, ALICE, get_email=asynchronous))
    assert json.loads(answer.body) == identity_of(BOB)


@pytest.mark.parametrize("name", SITES)
def test_get_email_says_who(name: str) -> None:
    """It takes the place of the framework's user."""
    get_email = (lambda: BOB) if name == "flask" else lambda request: BOB
    assert json.loads(get(serve(name, ALICE, get_email=get_email)).body) == identity_of(BOB)


def test_flasks_email_getter_says_who() -> None:
    app = flask.Flask("site")
    app.config |= as_settings({"slug": SLUG, "secret": SECRET, "identity_path": PATH})
    ensoras = Ensoras(app)

    @ensoras.email_getter
    def email() -> str:
        return str(flask.request.args["who"])

    body = run_wsgi(app, "GET", PATH + "?who=bob@example.com", FETCH).body
    assert json.loads(body) == identity_of(BOB)


# Beside Django's caches -----------------------------------------------------------------------


def test_djangos_url_has_a_name() -> None:
    """For a template that tells a script where to ask."""

    class Urls:
        urlpatterns = (path("ensoras/", include("django_ensoras.urls")),)

    with override_settings(ROOT_URLCONF=Urls):
        assert reverse("ensoras:identity") == "/ensoras/identity"


@pytest.mark.parametrize("site_wide", [False, True])
def test_djangos_caches_keep_no_answer(site_wide: bool) -> None:
    """A site that is cached as a whole, and a cached neighbour."""
    pages = []

    class SomeUrls:
        urlpatterns = (
            path("ensoras/", include("django_ensoras.urls")),
            path("page", cache_page(60)(lambda request: HttpResponse(str(pages.append(1))))),
        )

    update, fetch = (
        f"django.middleware.cache.{name}CacheMiddleware" for name in ("Update", "FetchFrom")
    )
    users = "identity_sites.DjangoAuthentication"
    set_ups = django_settings(
        {"slug": SLUG, "secret": SECRET},
        middleware=[update, users, fetch] if site_wide else [users],
    )
    set_ups |= {
        "ROOT_URLCONF": SomeUrls,
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                "LOCATION": f"identity-{site_wide}",
            }
        },
    }
    with override_settings(**set_ups):
        from identity_sites import DjangoAuthentication

        handler = WSGIHandler()
        DjangoAuthentication.email = lambda: ALICE
        for _ in range(2):
            assert run_wsgi(handler, "GET", "/page", {}).status == 200
        assert len(pages) == 1  # the cache is at work
        for email in (ALICE, BOB, None):
            DjangoAuthentication.email = lambda email=email: email
            answer = run_wsgi(handler, "GET", PATH, FETCH)
            assert answer.status == (200 if email else 204)
            assert json.loads(answer.body or "null") == (identity_of(email) if email else None)
