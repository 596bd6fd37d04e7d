"""The Flask extension in every order: what is lost is told, and where nothing is, nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from adapters import ALICE, PAGE, SECRET, SLUG, TAG, identify_script
from flask import Flask, Response, make_response, render_template_string, request
from flask_caching import Cache
from flask_compress import Compress
from flask_csp.csp import csp_header
from flask_ensoras import Ensoras
from flask_htmlmin import HTMLMIN
from flask_login import LoginManager
from flask_minify import Minify
from flask_talisman import Talisman
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from ensoras_middleware import ConfigurationError

NEVER_REUSED = "private, no-store, max-age=0"
IDENTIFIED = PAGE.replace(TAG, identify_script(ALICE) + TAG)

Step = Callable[[Flask], object]


def site(*steps: Step, **config: Any) -> Flask:
    """Return a site that is set up in these steps; who is logged in stands in the query."""
    app = Flask("shop")
    app.config |= {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET} | config
    app.config |= {"COMPRESS_MIN_SIZE": 1, "COMPRESS_ALGORITHM": "gzip", "MINIFY_HTML": True}
    app.add_url_rule("/", "home", lambda: PAGE)
    app.add_url_rule(
        "/nonced", "nonced", lambda: render_template_string("{{ ensoras_widget(csp_nonce()) }}")
    )
    for step in steps:
        step(app)
    return app


def ask(app: Flask, path: str = "/", email: str = ALICE) -> Any:
    headers = {"Accept-Encoding": "gzip"}
    return app.test_client().get(path, query_string={"as": email or []}, headers=headers)


def body_of(answer: Any) -> bytes:
    encoded = "Content-Encoding" in answer.headers
    return gzip.decompress(answer.data) if encoded else bytes(answer.data)


def script_runs(answer: Any) -> bool:
    """Tell whether the page's policy admits the identify script, as the page carries it."""
    script = re.search(
        rb'<script(?: nonce="([^"]*)")?>([^<]*identify[^<]*)</script>', body_of(answer)
    )
    assert script, "no identify script"
    policy = answer.headers.get("Content-Security-Policy", "'unsafe-inline'")
    digest = base64.b64encode(hashlib.sha256(script[2]).digest()).decode()
    sources = ["'unsafe-inline'", f"'sha256-{digest}'", f"'nonce-{(script[1] or b'-').decode()}'"]
    return any(source in policy for source in sources)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what gives all that was logged so far."""
    return lambda: [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]


# Steps ----------------------------------------------------------------------------------------


def ensoras(app: Flask) -> None:
    Ensoras(app).email_getter(lambda: request.args.get("as"))


def talisman(policy: Any, **options: Any) -> Step:
    def step(app: Flask) -> None:
        Talisman(app, force_https=False, content_security_policy=policy, **options)

    return step


def setting(**fields: str) -> Step:
    """A function of the site's own, that sets header fields of every answer."""

    def step(app: Flask) -> None:
        @app.after_request
        def set_fields(response: Response) -> Response:
            for name, value in fields.items():
                response.headers[name.replace("_", "-")] = value
            return response

    return step


def log_in(app: Flask) -> None:
    LoginManager(app).user_loader(lambda name: None)


def wrapped(wrapper: Callable[[Any], Any]) -> Step:
    def step(app: Flask) -> None:
        app.wsgi_app = wrapper(app.wsgi_app)  # type: ignore[method-assign]

    return step


def cached_view(app: Flask) -> None:
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    app.view_functions["home"] = cache.cached(response_hit_indication=True)(lambda: PAGE)


def csp_decorated_view(app: Flask) -> None:
    policy = {"script-src": "'self' https://app.ensoras.com"}
    app.view_functions["home"] = csp_header(policy)(lambda: make_response(PAGE))


def no_pages_compressed(app: Flask) -> None:
    app.config["COMPRESS_MIMETYPES"] = ["application/json"]


def minify(app: Flask) -> None:
    Minify(app, go=False)


HOSTS = {"default-src": "'self'", "script-src": ["'self'", "https://app.ensoras.com"]}
HOSTS_AS_TEXT = "default-src 'self'; script-src 'self' https://app.ensoras.com"
hosts = talisman(HOSTS)
nonce = talisman(HOSTS, content_security_policy_nonce_in=["script-src"])
nonce_of_text = talisman(HOSTS_AS_TEXT, content_security_policy_nonce_in=["script-src"])
report_only = talisman(
    HOSTS,
    content_security_policy_report_only=True,
    content_security_policy_report_uri="/reports",
)

# Where all is well ----------------------------------------------------------------------------

RIGHT: dict[str, tuple[list[Step], str]] = {
    "as the README has it": ([Compress, ensoras, hosts], "/"),
    "with Talisman's nonce": ([Compress, ensoras, nonce], "/nonced"),
    "Flask-Login before": ([log_in, Compress, ensoras, hosts], "/"),
    "Flask-Login behind": ([Compress, ensoras, hosts, log_in], "/"),
    "Talisman before, the tag has its nonce": ([nonce, ensoras], "/nonced"),
    "the same, with the policy as text": ([nonce_of_text, ensoras], "/nonced"),
    "Talisman before, without a policy": ([talisman(None), ensoras], "/"),
    "Talisman before, that only reports": ([report_only, ensoras], "/"),
    "Talisman before, with 'unsafe-inline'": (
        [talisman("script-src 'unsafe-inline' 'self' https:"), ensoras],
        "/",
    ),
    "Talisman before, with 'unsafe-inline' among others": (
        [talisman({"script-src": "'self' https: 'unsafe-inline'", "img-src": "*"}), ensoras],
        "/",
    ),
    "Compress behind, for data only": ([no_pages_compressed, ensoras, Compress], "/"),
    "Flask-Caching": ([ensoras, cached_view], "/"),
    "Flask-Caching set up before": ([cached_view, ensoras, hosts], "/"),
    "Flask-CSP": ([ensoras, csp_decorated_view], "/"),
    "a minifier behind": ([ensoras, minify, hosts], "/"),
    "a minifier before, without a policy": ([minify, ensoras], "/"),
    "a minifier that keeps scripts, before": ([HTMLMIN, ensoras, hosts], "/"),
    "header fields of the site before": ([setting(X_Request_Id="7"), ensoras, hosts], "/"),
    "the same, compressed": ([Compress, setting(X_Request_Id="7"), ensoras, hosts], "/"),
    "a site that forbids caching before": (
        [setting(Cache_Control="no-cache, no-store, must-revalidate", Expires="0"), ensoras],
        "/",
    ),
    "a CDN that is told to keep nothing": (
        [setting(CDN_Cache_Control="no-store", X_Accel_Expires="0"), ensoras, hosts],
        "/",
    ),
    "validators of the site before": (
        [setting(ETag='"7"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT"), ensoras],
        "/",
    ),
    "header fields of the site behind": (
        [ensoras, setting(Cache_Control="public", Content_Security_Policy=HOSTS_AS_TEXT)],
        "/",
    ),
    "ProxyFix": ([ensoras, wrapped(ProxyFix)], "/"),
    "DispatcherMiddleware": (
        [ensoras, wrapped(lambda app: DispatcherMiddleware(app, {"/api": Response("{}")}))],
        "/",
    ),
}


@pytest.mark.parametrize(("steps", "path"), RIGHT.values(), ids=RIGHT)
def test_nothing_is_told_where_nothing_is_lost(
    steps: list[Step], path: str, told: Callable[[], list[str]]
) -> None:
    """Each visitor's page is right, and the identify script runs."""
    app = site(*steps)
    for _ in range(2):
        assert b"identify" not in body_of(ask(app, path, email=""))
        answer = ask(app, path)
        assert "no-store" in answer.headers["Cache-Control"]
        assert script_runs(answer)
    assert told() == []


def test_the_first_request_is_the_last_that_is_looked_at() -> None:
    """In the recommended order no function of these looks is left to be called."""

    def looks(app: Flask) -> list[Any]:
        functions = app.before_request_funcs[None] + app.after_request_funcs[None]
        modules = ("flask_ensoras.order", "flask_ensoras.guard")
        return [one for one in functions if one.__module__ in modules]

    def security(response: Response) -> Response:
        return response

    security.__module__ = "flask_security.core"
    app = site(Compress, log_in, lambda app: app.after_request(security) and None, ensoras, hosts)
    assert len(looks(app)) == 1
    others = [one for one in app.before_request_funcs[None] if one not in looks(app)]
    ask(app)
    assert looks(app) == []
    assert app.before_request_funcs[None] == others


# Where something is lost ----------------------------------------------------------------------


def test_flask_compress_behind_us_is_told_with_the_first_request(
    told: Callable[[], list[str]],
) -> None:
    """Not a second time when the first page comes compressed."""
    app = site(ensoras, Compress)
    assert app.test_client().get("/nowhere").status_code == 404
    (message,) = told()
    assert "Compress(app) before Ensoras(app)" in message
    assert body_of(ask(app)) == PAGE
    assert told() == [message]


@pytest.mark.parametrize(
    "policy",
    [HOSTS, HOSTS_AS_TEXT, f"{HOSTS_AS_TEXT}; ", {"script-src": "'self' https://app.ensoras.com"}],
)
def test_talisman_before_us_is_told_with_the_first_request(
    policy: Any, told: Callable[[], list[str]]
) -> None:
    """Where its policy holds nothing by which the script could run."""
    app = site(talisman(policy), ensoras)
    assert app.test_client().get("/nowhere").status_code == 404
    (message,) = told()
    assert "create Ensoras(app) before it" in message
    assert "flask_talisman" in message
    assert not script_runs(ask(app))
    assert told() == [message]


BLOCKED: dict[str, tuple[list[Step], str, str]] = {
    "Talisman's nonce, that the tag has not": ([nonce, ensoras], "/", "flask_talisman"),
    "a policy without the nonce of the tag": (
        [setting(Content_Security_Policy=HOSTS_AS_TEXT), ensoras, nonce],
        "/nonced",
        "set_fields",
    ),
    "a policy with another nonce than the tag's": (
        [setting(Content_Security_Policy=f"{HOSTS_AS_TEXT} 'nonce-abc'"), ensoras, nonce],
        "/nonced",
        "set_fields",
    ),
    "a function of the site": (
        [setting(Content_Security_Policy=HOSTS_AS_TEXT), ensoras],
        "/",
        "set_fields",
    ),
    "one of two": (
        [setting(Content_Security_Policy=HOSTS_AS_TEXT), talisman(None), ensoras],
        "/",
        "set_fields, flask_talisman.",
    ),
    "behind Compress too": (
        [Compress, setting(Content_Security_Policy=HOSTS_AS_TEXT), ensoras],
        "/",
        "set_fields",
    ),
    "a minifier, and a policy that knows the script": (
        [minify, ensoras, hosts],
        "/",
        "flask_minify",
    ),
}


@pytest.mark.parametrize(("steps", "path", "culprit"), BLOCKED.values(), ids=BLOCKED)
def test_a_script_that_is_blocked_is_told_with_the_first_identified_page(
    steps: list[Step], path: str, culprit: str, told: Callable[[], list[str]]
) -> None:
    """Only then it is seen. The message names what runs after us."""
    app = site(*steps)
    ask(app, path, email="")
    assert told() == []
    for _ in range(2):
        assert not script_runs(ask(app, path))
        (message,) = told()
        assert "blocks the identify script" in message
        assert culprit in message


def test_a_stream_leaves_whole_under_a_policy_that_is_set_after_us() -> None:
    """Its body is not looked at: it has not been made yet."""
    app = site(setting(Content_Security_Policy=HOSTS_AS_TEXT), ensoras)
    app.view_functions["home"] = lambda: Response(iter([PAGE[:60], PAGE[60:]]))
    for _ in range(2):
        assert body_of(ask(app)) == IDENTIFIED


def test_a_body_that_becomes_a_stream_after_us_stays_one(told: Callable[[], list[str]]) -> None:
    """It is the server that reads it, though a policy was set after us, too."""
    read: list[bytes] = []
    read_before: list[bytes] = []

    def stream(response: Response) -> Response:
        def rows(body: bytes) -> Iterator[bytes]:
            read.append(body)
            yield body

        response.response = rows(response.get_data())
        return response

    def server(wsgi_app: Any) -> Any:
        def app(environ: Any, start_response: Any) -> Any:
            iterable = wsgi_app(environ, start_response)
            read_before.extend(read)
            return iterable

        return app

    policy = setting(Content_Security_Policy=f"{HOSTS_AS_TEXT} 'unsafe-inline'")
    app = site(lambda app: app.after_request(stream), policy, ensoras, wrapped(server))
    assert body_of(ask(app)) == IDENTIFIED
    assert (read_before, read) == ([], [IDENTIFIED])
    assert told() == []


def test_a_page_that_is_withheld_loses_nothing(told: Callable[[], list[str]]) -> None:
    """It has no script, but the header fields of an identified page."""
    app = site(setting(Content_Security_Policy=HOSTS_AS_TEXT), ensoras)
    fields = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    answer = app.test_client().get("/", query_string={"as": ALICE}, headers=fields)
    assert (answer.data, answer.headers["Cache-Control"]) == (PAGE, NEVER_REUSED)
    assert told() == []


def test_a_page_without_scripts_loses_nothing(told: Callable[[], list[str]]) -> None:
    """Where the policy lets none run, the order does not matter."""
    app = site(talisman("script-src 'none'"), ensoras)
    assert body_of(ask(app)) == IDENTIFIED
    assert told() == []


STORED: dict[str, Step] = {
    "Cache-Control": setting(Cache_Control="public, max-age=300"),
    "no Cache-Control": lambda app: app.after_request(without_cache_control) and None,
    "a CDN's own": setting(CDN_Cache_Control="max-age=300"),
    "Surrogate-Control": setting(Surrogate_Control="max-age=300"),
    "nginx": setting(X_Accel_Expires="300"),
}


def without_cache_control(response: Response) -> Response:
    del response.headers["Cache-Control"]
    return response


@pytest.mark.parametrize("step", STORED.values(), ids=STORED)
@pytest.mark.parametrize("streamed", [False, True])
def test_no_function_before_us_lets_caches_keep_an_identified_page(
    step: Step, streamed: bool, told: Callable[[], list[str]]
) -> None:
    """It runs after us: what it says of caching counts for anonymous pages alone."""
    app = site(Compress, step, ensoras)
    plain = site(step)
    if streamed:
        for one in (app, plain):
            one.view_functions["home"] = lambda: Response(iter([PAGE[:60], PAGE[60:]]))
    assert ask(app, email="").headers.get("Cache-Control") == ask(plain).headers.get(
        "Cache-Control"
    )
    assert told() == []
    for _ in range(2):
        answer = ask(app)
        assert answer.headers.getlist("Cache-Control") == [NEVER_REUSED]
        assert "Cookie" in answer.headers["Vary"]
        for name in ("CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"):
            assert name not in answer.headers
        (message,) = told()
        assert "lets caches keep identified pages" in message
        assert "test_flask_order" in message


def test_what_the_site_says_of_transformation_is_no_leave_to_keep_the_page() -> None:
    """An identified page is known as such, also where its `Cache-Control` says more."""
    public = setting(Cache_Control="public, max-age=300")
    app = site(public, ensoras, setting(Cache_Control="no-transform"))
    assert ask(app).headers.getlist("Cache-Control") == [NEVER_REUSED]


def test_nothing_of_a_visitor_is_left_when_the_page_has_gone() -> None:
    """A thread of the server may wait long for its next request."""
    app = site(setting(X_Request_Id="7"), ensoras)
    assert body_of(ask(app)) == IDENTIFIED
    assert ALICE not in str([*copy_context().values()])


def test_a_page_that_fails_after_us_is_not_taken_for_the_next_one() -> None:
    """The next visitor of the same thread gets an anonymous page, which caches may keep."""
    failing = True

    def fail(response: Response) -> Response:
        if failing:
            raise LookupError
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    app = site(lambda app: app.after_request(fail), ensoras)
    assert ask(app).status_code == 500
    failing = False
    assert ask(app, email="").headers["Cache-Control"] == "public, max-age=300"


def test_a_package_is_known_by_its_whole_name(told: Callable[[], list[str]]) -> None:
    """Flask-Login and its like are left alone; another's name may begin with theirs."""

    def cached_by_all(response: Response) -> Response:
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    cached_by_all.__module__ = "flask_login_headers"
    app = site(lambda app: app.after_request(cached_by_all), ensoras)
    assert ask(app).headers["Cache-Control"] == NEVER_REUSED
    (message,) = told()
    assert "flask_login_headers" in message


# Set-up ---------------------------------------------------------------------------------------


def test_a_second_extension_on_one_app_stops_the_start() -> None:
    """It would not know the `email_getter` of the first one."""
    app = site(ensoras)
    with pytest.raises(ConfigurationError, match=r"twice.*keep one"):
        Ensoras(app)
    again = Ensoras()
    again.init_app(site())
    with pytest.raises(ConfigurationError, match="twice"):
        again.init_app(app)


def test_a_config_that_is_filled_too_late_stops_the_start() -> None:
    """The error says so, where there is none of our settings."""
    app = Flask("shop")
    with pytest.raises(ConfigurationError, match=r"SECRET.*Fill app\.config before Ensoras"):
        Ensoras(app)
    app.config["ENSORAS_WIDGET_SLUG"] = SLUG
    with pytest.raises(ConfigurationError, match="SECRET") as error:
        Ensoras(app)
    assert "Fill" not in str(error.value)


def test_settings_that_come_too_late_are_told(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
) -> None:
    """With slug and secret in the environment nothing else would tell; no value is shown."""
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
    app = Flask("shop")
    app.config |= {"ENSORAS_DEBUG": False, "ENSORAS_ENABLED": True}
    ensoras(app)
    app.config |= {"ENSORAS_EXCLUDE": ["/private"], "ENSORAS_WIDGET_SECRET": SECRET + "2"}
    del app.config["ENSORAS_DEBUG"]
    app.add_url_rule("/", "home", lambda: PAGE)
    for _ in range(2):
        assert body_of(ask(app)) == IDENTIFIED
    (message,) = told()
    assert message.endswith(": ENSORAS_DEBUG, ENSORAS_EXCLUDE, ENSORAS_WIDGET_SECRET")


def test_a_site_without_log_in_is_told_with_the_first_request(
    told: Callable[[], list[str]],
) -> None:
    """Whatever it asks for; a function that comes after `Ensoras(app)` is in time."""
    app = site(Ensoras)
    app.test_client().get("/nowhere")
    assert body_of(ask(app)) == PAGE
    (message,) = told()
    assert "LoginManager" in message
    assert "@ensoras.email_getter" in message
    for settled in (site(ensoras), site(Ensoras, log_in)):
        assert body_of(ask(settled, email="")) == PAGE
    assert told() == [message]


def test_a_fault_of_these_looks_leaves_the_site_alone(told: Callable[[], list[str]]) -> None:
    """It is logged without its words; the page is right."""

    class Odd(list[str]):
        def __ne__(self, other: object) -> bool:
            raise LookupError(ALICE)

    app = site(ensoras)
    app.config["ENSORAS_EXCLUDE"] = Odd()
    for _ in range(2):
        assert body_of(ask(app)) == IDENTIFIED
    (message,) = told()
    assert "LookupError" in message
    assert ALICE not in message


class OddPage(Response):
    @property
    def cache_control(self) -> Any:
        raise LookupError(ALICE)


class OddText(str):
    __slots__ = ()

    def startswith(self, *arguments: Any) -> bool:
        raise LookupError(ALICE)


@pytest.mark.parametrize(
    "page", [lambda: OddPage(PAGE), lambda: Response(PAGE, headers={"X-Odd": OddText("7")})]
)
def test_a_page_that_cannot_be_looked_at_goes_out(
    page: Callable[[], Response], told: Callable[[], list[str]]
) -> None:
    """What runs after us may have changed it or not; a fault of this look is logged."""
    app = site(setting(X_Request_Id="7"), ensoras)
    app.view_functions["home"] = page
    for _ in range(2):
        assert body_of(ask(app)) == IDENTIFIED
    (message,) = told()
    assert "LookupError" in message
    assert ALICE not in message
