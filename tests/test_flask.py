"""The Flask extension on whole Flask sites, with the packages such sites really use."""

from __future__ import annotations

import gzip
import io
import logging
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import flask_login
import pytest
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG, identify_script, run_wsgi
from flask import (
    Blueprint,
    Flask,
    Response,
    after_this_request,
    current_app,
    redirect,
    render_template_string,
    request,
    send_file,
    send_from_directory,
    session,
    stream_with_context,
)
from flask.views import MethodView, View
from flask_compress import Compress, DictCache
from flask_ensoras import Ensoras
from flask_login import LoginManager, login_required, login_user, logout_user
from flask_talisman import Talisman

from ensoras_middleware import ConfigurationError
from ensoras_middleware.wsgi import EnsorasMiddleware

NEVER_REUSED = "private, no-store, max-age=0"
PAGE_VIEW = {"Sec-Fetch-Dest": "document"}

CONFIG = {
    "SECRET_KEY": "tests",
    "ENSORAS_WIDGET_SLUG": SLUG,
    "ENSORAS_WIDGET_SECRET": SECRET,
}


class User(flask_login.UserMixin):
    def __init__(self, name: str, **attributes: Any) -> None:
        self.id = name
        self.__dict__.update(attributes)


USERS = {
    "alice": User("alice", email=ALICE),
    "bob": User("bob", email=BOB),
    "no-email": User("no-email"),
}


def site(*before: Callable[[Flask], object], **config: Any) -> Flask:
    """Return a site with users who log in and out; `before` are extensions to set up first."""
    app = Flask("shop")
    app.config |= CONFIG | config
    for extension in before:
        extension(app)
    LoginManager(app).user_loader(USERS.get)

    @app.route("/login/<name>")
    def login(name: str) -> Response:
        assert login_user(USERS[name])
        return redirect("/")

    @app.route("/logout")
    def logout() -> Response:
        logout_user()
        return redirect("/")

    return app


def with_home(app: Flask) -> Flask:
    app.add_url_rule("/", "home", lambda: PAGE)
    return app


def identified(body: bytes = PAGE, email: str = ALICE, nonce: str = "", tag: bytes = TAG) -> bytes:
    assert body.count(tag) == 1
    return body.replace(tag, identify_script(email, nonce=nonce) + tag)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]


# Who is logged in -----------------------------------------------------------------------------


def test_a_customer_logs_in_and_out() -> None:
    """Flask-Login's user is the visitor, from the next page on and until the log-out."""
    app = with_home(site())
    Ensoras(app)
    browser = app.test_client()
    assert browser.get("/").data == PAGE
    assert browser.get("/login/alice", follow_redirects=True).data == identified()
    assert browser.get("/login/bob", follow_redirects=True).data == identified(email=BOB)
    assert browser.get("/logout", follow_redirects=True).data == PAGE


def test_the_user_at_the_end_of_the_request_counts() -> None:
    """A page that logs the visitor in or out shows the state that it leaves behind."""
    app = site()
    Ensoras(app)

    @app.route("/welcome")
    def welcome() -> bytes:
        login_user(USERS["alice"])
        return PAGE

    @app.route("/goodbye")
    def goodbye() -> bytes:
        assert flask_login.current_user.email == ALICE
        logout_user()
        return PAGE

    browser = app.test_client()
    assert browser.get("/welcome").data == identified()
    assert browser.get("/goodbye").data == PAGE


def test_an_inactive_user_is_anonymous() -> None:
    """Whoever was deactivated while logged in is no longer verified, from the next page on."""
    active = True

    class Account(User):
        is_authenticated = True  # as of a user class that is not Flask-Login's

        @property
        def is_active(self) -> bool:
            return active

    app = Flask("shop")
    app.config |= CONFIG
    LoginManager(app).user_loader(lambda name: Account(name, email=ALICE))
    Ensoras(app)

    @app.route("/")
    def home() -> bytes:
        if "login" in request.args:
            login_user(Account("alice", email=ALICE))
        return PAGE

    browser = app.test_client()
    assert browser.get("/?login").data == identified()
    active = False
    assert browser.get("/").data == PAGE


def test_a_user_without_an_email_is_anonymous() -> None:
    """No other attribute takes its place; the id may look like an address."""
    app = with_home(site())
    Ensoras(app)
    browser = app.test_client()
    assert browser.get("/login/no-email", follow_redirects=True).data == PAGE


def test_flask_security_knows_which_addresses_are_confirmed() -> None:
    """Where it confirms addresses, one that is not confirmed yet is not signed."""
    flask_security = pytest.importorskip("flask_security")

    class Account(flask_security.UserMixin):  # type: ignore[misc, name-defined]
        fs_uniquifier = "7"
        active = True
        email = ALICE
        confirmed_at: object = None

    class Accounts(flask_security.UserDatastore):  # type: ignore[misc, name-defined]
        def find_user(self, **fields: object) -> Account:
            return alice

    def answer(confirmable: bool) -> bytes:
        app = Flask("shop")
        app.config |= CONFIG | {"SECURITY_PASSWORD_SALT": "x", "SECURITY_CONFIRMABLE": confirmable}
        flask_security.Security(app, Accounts(Account, flask_security.RoleMixin))
        Ensoras(app)
        with_home(app)
        browser = app.test_client()
        with browser.session_transaction() as stored:
            stored["_user_id"] = Account.fs_uniquifier
        return bytes(browser.get("/").data)

    alice = Account()
    assert answer(confirmable=False) == identified()
    assert answer(confirmable=True) == PAGE
    alice.confirmed_at = "2026-01-01"
    assert answer(confirmable=True) == identified()


def test_a_site_without_log_in_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Every page is anonymous; one warning names both remedies."""
    app = Flask("shop")
    app.config |= CONFIG
    with_home(app)
    Ensoras(app)
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        assert app.test_client().get("/").data == PAGE
        assert app.test_client().get("/").data == PAGE
    (message,) = warnings_of(caplog)
    assert "LoginManager" in message
    assert "@ensoras.email_getter" in message


def test_an_email_getter_takes_the_place_of_flask_login() -> None:
    """It sees the request and the session; Flask-Login is not asked."""
    app = with_home(site())
    ensoras = Ensoras(app)

    @ensoras.email_getter
    def email() -> str | None:
        return session.get("customer") or request.headers.get("X-Authenticated-Email")

    @app.route("/become/<email>")
    def become(email: str) -> bytes:
        session["customer"] = email
        return PAGE

    browser = app.test_client()
    assert email.__name__ == "email"
    assert browser.get("/login/bob", follow_redirects=True).data == PAGE
    assert browser.get("/", headers={"X-Authenticated-Email": ALICE}).data == identified()
    assert browser.get(f"/become/{ALICE}").data == identified()
    assert browser.get("/").data == identified()


def email_of_the_request() -> str | None:
    return request.args.get("as")


@pytest.mark.parametrize("option", [email_of_the_request, f"{__name__}.email_of_the_request"])
def test_the_setting_names_a_function_without_arguments(option: object) -> None:
    """`ENSORAS_GET_EMAIL`, a function or its dotted path; a decorated getter goes before it."""
    app = with_home(site(ENSORAS_GET_EMAIL=option))
    ensoras = Ensoras(app)
    browser = app.test_client()
    assert browser.get(f"/?as={ALICE}").data == identified()
    assert browser.get("/login/bob", follow_redirects=True).data == PAGE
    ensoras.email_getter(lambda: BOB)
    assert browser.get(f"/?as={ALICE}").data == identified(email=BOB)


def test_an_asynchronous_getter_is_refused_at_start() -> None:
    """Nothing could await it in `after_request`."""

    async def email() -> str:
        return ALICE

    with pytest.raises(ConfigurationError, match="asynchronous"):
        Ensoras(site(ENSORAS_GET_EMAIL=email))
    with pytest.raises(ConfigurationError, match="asynchronous"):
        Ensoras(site()).email_getter(email)


def test_a_page_without_the_widget_does_not_touch_the_session() -> None:
    """It stays cacheable for everybody: the getter is not called, so no `Vary: Cookie`."""
    app = Flask("shop")
    app.config |= CONFIG
    with_home(app)
    app.add_url_rule("/bare", "bare", lambda: "<p>No widget")
    Ensoras(app).email_getter(lambda: session.get("email"))
    browser = app.test_client()
    with browser.session_transaction() as stored:
        stored["email"] = ALICE
    assert "Vary" not in browser.get("/bare").headers
    assert browser.get("/").headers["Vary"] == "Cookie"


# Set-up ---------------------------------------------------------------------------------------


def test_one_extension_serves_two_apps_each_with_its_own_config() -> None:
    """An application factory calls `init_app` as often as it likes."""
    ensoras = Ensoras()
    secret = "another-secret-0123456789"

    def create_app(**config: Any) -> Flask:
        app = with_home(site(**config))
        ensoras.init_app(app)
        app.add_url_rule("/exempt", "exempt", ensoras.exempt(lambda: PAGE))
        return app

    one = create_app()
    other = create_app(ENSORAS_WIDGET_SLUG="other", ENSORAS_WIDGET_SECRET=secret)
    off = create_app(ENSORAS_ENABLED=False)
    other_page = PAGE.replace(b"acme.js", b"other.js")
    other.view_functions["home"] = lambda: other_page
    for app, expected in [
        (one, identified()),
        (other, other_page.replace(b"<script", identify_script(ALICE, secret) + b"<script")),
        (off, PAGE),
    ]:
        browser = app.test_client()
        assert browser.get("/login/alice", follow_redirects=True).data == expected
        assert browser.get("/exempt").data == PAGE


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ENSORAS_WIDGET_SECRET": "short"}, "ENSORAS_WIDGET_SECRET"),
        ({"ENSORAS_WIDGET_SLUG": "a b"}, "ENSORAS_WIDGET_SLUG"),
        ({"ENSORAS_WIDGET_SLUGG": "acme"}, "ENSORAS_WIDGET_SLUGG"),
        ({"ENSORAS_WIDGET_SLUGG": "acme", "ENSORAS_ENABLED": False}, "ENSORAS_WIDGET_SLUGG"),
        ({"ENSORAS_GET_EMAIL": None}, "ENSORAS_GET_EMAIL"),
    ],
)
def test_a_wrong_config_stops_the_start(config: dict[str, Any], message: str) -> None:
    """With an error that names the key."""
    with pytest.raises(ConfigurationError, match=message):
        Ensoras(site(**config))


def test_switched_off_leaves_no_trace() -> None:
    """No function is registered, no secret is needed; templates and decorators still work."""
    app = Flask("shop")
    app.config |= {"ENSORAS_ENABLED": False, "ENSORAS_WIDGET_SLUG": SLUG}
    ensoras = Ensoras(app)
    ensoras.email_getter(lambda: ALICE)
    app.add_url_rule("/", "home", lambda: render_template_string("<p>{{ ensoras_widget() }}"))
    app.add_url_rule("/exempt", "exempt", ensoras.exempt(lambda: PAGE))
    browser = app.test_client()
    answer = browser.get("/")
    assert answer.data == b"<p>" + TAG
    assert set(answer.headers.keys()) == {"Content-Type", "Content-Length"}
    assert browser.get("/exempt").data == PAGE
    assert not app.before_request_funcs
    assert not app.after_request_funcs


# Views that are never touched -----------------------------------------------------------------


@pytest.mark.parametrize(
    "order", list(permutations(["route", "exempt", "login_required"])), ids=" ".join
)
def test_exempt_works_in_every_order_of_decorators(order: tuple[str, ...]) -> None:
    """Outermost, between and innermost, over `route` and under it."""
    app = site()
    ensoras = Ensoras(app)
    decorators: dict[str, Any] = {
        "route": app.route("/exempt"),
        "exempt": ensoras.exempt,
        "login_required": login_required,
    }

    def view() -> bytes:
        return PAGE

    decorated: Any = view
    for name in reversed(order):
        decorated = decorators[name](decorated)
    app.add_url_rule("/other", "other", lambda: PAGE)
    browser = app.test_client()
    browser.get("/login/alice")
    answer = browser.get("/exempt")
    assert answer.data == PAGE
    assert "no-store" not in answer.headers.get("Cache-Control", "")
    assert browser.get("/other").data == identified()


def test_class_based_views_are_exempt_by_view_function_or_decorators_list() -> None:
    """`exempt(X.as_view("x"))`, and `decorators = [exempt]`; other views of the class are not."""
    app = site()
    ensoras = Ensoras(app)

    class Plain(View):
        def dispatch_request(self) -> bytes:
            return PAGE

    class Listed(MethodView):
        decorators = (ensoras.exempt,)

        def get(self) -> bytes:
            return PAGE

    app.add_url_rule("/wrapped", view_func=ensoras.exempt(Plain.as_view("wrapped")))
    app.add_url_rule("/listed", view_func=Listed.as_view("listed"))
    app.add_url_rule("/plain", view_func=Plain.as_view("plain"))
    browser = app.test_client()
    browser.get("/login/alice")
    assert browser.get("/wrapped").data == PAGE
    assert browser.get("/listed").data == PAGE
    assert browser.get("/plain").data == identified()


def test_a_class_is_exempt_as_a_whole() -> None:
    """`@ensoras.exempt` above the class means every view made of it."""
    app = site()
    ensoras = Ensoras(app)

    @ensoras.exempt
    class Feed(MethodView):
        def get(self) -> bytes:
            return PAGE

    app.add_url_rule("/feed", view_func=Feed.as_view("feed"))
    browser = app.test_client()
    browser.get("/login/alice")
    assert browser.get("/feed").data == PAGE


def test_blueprints_are_part_of_the_site() -> None:
    """Their views and error pages are identified, and their exempt views are not."""
    app = site()
    ensoras = Ensoras(app)
    blueprint = Blueprint("orders", __name__, url_prefix="/orders")

    @blueprint.route("/")
    def orders() -> bytes:
        return PAGE

    @blueprint.route("/export")
    @ensoras.exempt
    def export() -> bytes:
        return PAGE

    @blueprint.route("/<int:number>")
    def order(number: int) -> bytes:
        raise LookupError

    @blueprint.errorhandler(LookupError)
    def no_such_order(error: LookupError) -> tuple[bytes, int]:
        return PAGE, 404

    outer = Blueprint("account", __name__, url_prefix="/account")
    outer.register_blueprint(blueprint)
    app.register_blueprint(outer)
    browser = app.test_client()
    browser.get("/login/alice")
    assert browser.get("/account/orders/").data == identified()
    assert browser.get("/account/orders/export").data == PAGE
    missing = browser.get("/account/orders/7")
    assert (missing.status_code, missing.data) == (404, identified())


# Errors ---------------------------------------------------------------------------------------


def test_error_pages_are_identified() -> None:
    """404 and 500 carry the chat too; that is when customers need it."""
    app = site()
    Ensoras(app)
    app.register_error_handler(404, lambda error: (PAGE, 404))
    app.register_error_handler(500, lambda error: (PAGE, 500))
    app.add_url_rule("/broken", "broken", lambda: 1 / 0)
    browser = app.test_client()
    browser.get("/login/alice")
    for path, status in [("/nowhere", 404), ("/broken", 500)]:
        answer = browser.get(path)
        assert (answer.status_code, answer.data) == (status, identified())
        assert answer.headers["Cache-Control"] == NEVER_REUSED
    assert app.test_client().get("/nowhere").data == PAGE


def test_flasks_own_error_pages_read_no_user() -> None:
    """They have no widget, though Flask makes streams of them: no query, no header field."""
    app = Flask("shop")
    app.config |= CONFIG
    asked: list[bool] = []
    Ensoras(app).email_getter(lambda: asked.append(True))
    answer = app.test_client().get("/nowhere")
    assert answer.status_code == 404
    assert "Vary" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert asked == []


def test_exceptions_and_teardown_pass_as_without_us() -> None:
    """The exception reaches the server; teardown functions see it, and the whole request."""
    seen: list[object] = []
    app = site(PROPAGATE_EXCEPTIONS=True)
    Ensoras(app)

    @app.route("/")
    def broken() -> bytes:
        seen.append(request.headers.get("If-None-Match"))
        raise LookupError("no such row")

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        seen.append(type(error))

    environ_after: dict[str, Any] = {}

    def outer(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        finally:
            environ_after.update(environ)

    with pytest.raises(LookupError, match="no such row"):
        run_wsgi(outer, "GET", "/", {"cookie": "a=b", "if-none-match": '"1"'} | PAGE_VIEW)
    assert seen == [None, LookupError]
    assert environ_after["HTTP_IF_NONE_MATCH"] == '"1"'


def test_a_request_answered_by_before_request_is_identified() -> None:
    """Maintenance and consent pages; even one from before the extension sees no validator."""
    app = site()

    @app.before_request
    def maintenance() -> Response | None:
        if "login" in request.path:
            return None
        answer = Response(PAGE)
        answer.set_etag("maintenance")
        return answer.make_conditional(request)

    Ensoras(app)
    browser = app.test_client()
    headers = PAGE_VIEW | {"If-None-Match": '"maintenance"'}
    assert browser.get("/", headers=headers).status_code == 304
    browser.get("/login/alice")
    answer = browser.get("/", headers=headers)
    assert (answer.status_code, answer.data) == (200, identified())


# Files and streams ----------------------------------------------------------------------------


def test_html_files_are_identified_and_stay_streams(tmp_path: Path) -> None:
    """`send_file`, `send_from_directory` and the static folder; anonymous ones keep validators."""
    body = PAGE + b"<p>" * 20_000
    (tmp_path / "page.html").write_bytes(body)
    (tmp_path / "style.css").write_bytes(PAGE)
    app = site()
    app.static_folder = str(tmp_path)
    app.add_url_rule("/static/<path:filename>", "files", app.send_static_file)
    app.add_url_rule("/file", "file", lambda: send_file(tmp_path / "page.html"))
    app.add_url_rule("/dir/<name>", "dir", lambda name: send_from_directory(tmp_path, name))
    Ensoras(app)
    browser = app.test_client()
    for path in ("/file", "/dir/page.html", "/static/page.html"):
        anonymous = browser.get(path)
        assert anonymous.data == body
        assert anonymous.headers["Vary"] == "Cookie"
        assert anonymous.headers["Content-Length"] == str(len(body))
        assert "ETag" in anonymous.headers
        anonymous.close()
    browser.get("/login/alice")
    for path in ("/file", "/dir/page.html", "/static/page.html"):
        with browser.get(path, buffered=False) as answer:
            chunks = list(answer.response)
        assert b"".join(chunks) == identified(body)
        assert len(chunks) > 1
        assert answer.headers["Cache-Control"] == NEVER_REUSED
        assert not {"Content-Length", "ETag", "Last-Modified"} & set(answer.headers.keys())
    with browser.get("/static/style.css") as asset:
        assert asset.data == PAGE
        assert "ETag" in asset.headers


def test_a_part_of_a_file_is_not_touched(tmp_path: Path) -> None:
    """A 206 would not fit the page that it is a part of."""
    (tmp_path / "page.html").write_bytes(PAGE)
    app = site()
    app.add_url_rule("/file", "file", lambda: send_file(tmp_path / "page.html"))
    Ensoras(app)
    browser = app.test_client()
    browser.get("/login/alice")
    with browser.get("/file", headers={"Range": "bytes=0-199"}) as answer:
        assert (answer.status_code, answer.data) == (206, PAGE[:200])


@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_servers_file_wrapper_does_not_go_around_us(
    user: str | None, method: str, debug: bool
) -> None:
    """PEP 3333 lets a server send the file by itself; the file is closed once all the same."""
    closed = []

    class File(io.BytesIO):
        def close(self) -> None:
            closed.append(self)
            super().close()

    app = site(ENSORAS_DEBUG=debug)
    Ensoras(app).email_getter(lambda: ALICE if user else None)
    app.add_url_rule("/", "home", lambda: send_file(File(PAGE), mimetype="text/html"))

    def server(environ: Any, start_response: Any) -> Any:
        return app(environ | {"wsgi.file_wrapper": FileWrapper}, start_response)

    answer = run_wsgi(server, method, "/", {})
    assert answer.body == {"GET": identified() if user else PAGE, "HEAD": b""}[method]
    assert len(closed) == 1


class Rows:
    """An iterable with a `close`, as database cursors and `FileWrapper` are."""

    def __init__(self, *rows: bytes) -> None:
        self.rows = iter(rows)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.rows

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("read", [0, 1, 9])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "config", [{}, {"ENSORAS_DEBUG": True}, {"ENSORAS_EXCLUDE": ["/"], "ENSORAS_DEBUG": True}]
)
@pytest.mark.parametrize("user", ["alice", None])
def test_a_stream_is_closed_once_as_without_us(
    read: int, method: str, config: dict[str, Any], user: str | None
) -> None:
    """Read to the end, broken off, or not begun; and so are `call_on_close` functions."""
    for enabled in (False, True):
        rows = Rows(PAGE[:40], PAGE[40:], b"<p>")
        calls: list[str] = []
        app = Flask("shop")
        app.config |= CONFIG | config | {"ENSORAS_ENABLED": enabled}
        Ensoras(app).email_getter(lambda: ALICE if user else None)

        @app.route("/")
        def home(rows: Rows = rows, calls: list[str] = calls) -> Response:
            response = Response(rows)
            response.call_on_close(lambda: calls.append("view"))

            @after_this_request
            def later(response: Response) -> Response:
                response.call_on_close(lambda: calls.append("after_this_request"))
                return response

            return response

        with app.test_client().open("/", method=method) as answer:
            for _ in zip(range(read), answer.response, strict=False):
                pass
        assert rows.closed == 1
        assert calls == ["view", "after_this_request"]


LENGTH = {"Content-Length": str(len(PAGE))}


@pytest.mark.parametrize(
    ("status", "fields", "is_application", "outcome"),
    [
        (400, LENGTH, True, "identified"),
        (400, {}, True, "streaming"),
        (200, LENGTH, True, "streaming"),
        (400, LENGTH, False, "streaming"),
    ],
    ids=["an error page", "of no known length", "another page", "the site's own stream"],
)
def test_what_a_wsgi_application_within_the_site_answers_is_a_stream_but_for_error_pages(
    status: int, fields: dict[str, str], is_application: bool, outcome: str
) -> None:
    """A view may hand on to one; as such a one Flask calls an exception for its error page."""
    app = site(ENSORAS_DEBUG=True)
    Ensoras(app).email_getter(lambda: ALICE)

    @app.route("/")
    def home() -> Any:
        answer = Response(iter([PAGE[:40], PAGE[40:]]), status, fields)
        return answer.__call__ if is_application else answer

    page = app.test_client().get("/")
    assert page.data == identified()
    assert page.headers["X-Ensoras-Outcome"] == outcome


def test_a_generator_is_closed_where_the_client_leaves() -> None:
    """Its `finally` runs, once, though nobody reads on."""
    steps: list[str] = []
    app = site()
    Ensoras(app).email_getter(lambda: ALICE)

    @app.route("/")
    def home() -> Response:
        def rows() -> Iterator[bytes]:
            try:
                yield PAGE[:40]
                yield PAGE[40:]
            finally:
                steps.append("closed")

        return Response(rows())

    with app.test_client().get("/") as answer:
        assert next(iter(answer.response)) == PAGE[:40]
        assert steps == []
    assert steps == ["closed"]


def test_a_stream_with_the_context_still_has_it() -> None:
    """`stream_with_context` reads the request and the user while the page leaves."""
    app = site()
    Ensoras(app)

    @app.route("/")
    def home() -> Response:
        @stream_with_context
        def rows() -> Iterator[str]:
            yield f"<p>{request.path} {current_app.name} {flask_login.current_user.id}"
            yield TAG.decode()

        return Response(rows())

    browser = app.test_client()
    browser.get("/login/alice")
    answer = browser.get("/")
    assert answer.data == b"<p>/ shop alice" + identify_script(ALICE) + TAG


@pytest.mark.parametrize("before", [b"<p>" + TAG[:30], b"<p>"])
def test_an_error_within_a_stream_comes_after_all_that_came_before_it(before: bytes) -> None:
    """What was held back as a possible tag leaves first; then the host's own exception."""
    app = site()
    Ensoras(app).email_getter(lambda: ALICE)

    @app.route("/")
    def home() -> Response:
        def rows() -> Iterator[bytes]:
            yield before
            raise LookupError("no such row")

        return Response(rows())

    received: list[bytes] = []
    with app.test_client().get("/") as answer, pytest.raises(LookupError, match="no such row"):
        received.extend(answer.response)
    assert b"".join(received) == before


# Responses that the site keeps ----------------------------------------------------------------


@pytest.mark.parametrize("body", [PAGE, [PAGE], (PAGE[:50], PAGE[50:])])
def test_a_module_level_response_is_never_changed(body: Any) -> None:
    """Served to everybody in turn, it holds no header, byte or callback of any visitor."""
    home = Response(body, headers={"ETag": '"1"', "Cache-Control": "max-age=600"})
    headers, content = list(home.headers), home.response
    app = Flask("shop")
    app.config |= CONFIG

    @app.after_request
    def later(response: Response) -> Response:
        response.call_on_close(lambda: None)
        return response

    Ensoras(app).email_getter(lambda: request.args.get("as"))
    app.add_url_rule("/", "home", lambda: home)
    browser = app.test_client()
    for email in (ALICE, None, BOB, ALICE, None):
        answer = browser.get("/", query_string={"as": email} if email else {})
        assert answer.data == (identified(email=email) if email else PAGE)
        assert answer.headers["Vary"] == "Cookie"
        assert answer.headers.get("ETag") == (None if email else '"1"')
        assert list(home.headers) == headers
        assert home.response is content
        assert home._on_close == []
        assert not home.direct_passthrough


def test_a_cache_of_responses_never_holds_an_identity() -> None:
    """A site's own cache, filled by whoever comes first."""
    cache: dict[str, Response] = {}
    app = site()
    Ensoras(app)

    @app.route("/page/<name>")
    def page(name: str) -> Response:
        if name not in cache:
            cache[name] = Response(PAGE, headers={"Cache-Control": "max-age=600"})
        return cache[name]

    alice, bob, anonymous = app.test_client(), app.test_client(), app.test_client()
    alice.get("/login/alice")
    bob.get("/login/bob")
    for first, second, third in permutations(
        [(alice, identified()), (bob, identified(email=BOB)), (anonymous, PAGE)]
    ):
        cache.clear()
        for browser, expected in (first, second, third, first):
            assert browser.get("/page/1").data == expected
    assert cache["1"].data == PAGE
    assert "Vary" not in cache["1"].headers


# Conditional requests -------------------------------------------------------------------------


def test_a_reload_after_the_log_in_shows_the_identified_page() -> None:
    """The anonymous page's validator brings no 304 back; assets keep theirs."""
    app = site()
    Ensoras(app)

    def conditional(mimetype: str) -> Response:
        answer = Response(PAGE, mimetype=mimetype)
        answer.add_etag()
        return answer.make_conditional(request)

    app.add_url_rule("/", "home", lambda: conditional("text/html"))
    app.add_url_rule("/style.css", "style", lambda: conditional("text/css"))
    browser = app.test_client()
    tag = browser.get("/").headers["ETag"]
    again = {"If-None-Match": tag}
    assert browser.get("/", headers=PAGE_VIEW | again).status_code == 304
    browser.get("/login/alice")
    for accept in (PAGE_VIEW, {"Accept": "text/html,*/*;q=0.8"}):
        answer = browser.get("/", headers=accept | again)
        assert (answer.status_code, answer.data) == (200, identified())
        assert "ETag" not in answer.headers
    assert browser.get("/style.css", headers={"Sec-Fetch-Dest": "style"} | again).status_code == 304
    browser.get("/logout")
    assert browser.get("/", headers=PAGE_VIEW).data == PAGE


def test_preconditions_are_back_for_whoever_is_outside() -> None:
    """For functions that run after ours, and for a WSGI middleware; cached values are not kept."""
    seen: list[tuple[str, bool, object]] = []

    def look(where: str) -> None:
        seen.append((where, "1" in request.if_none_match, request.if_modified_since is not None))

    app = site()

    @app.url_value_preprocessor
    def first(endpoint: str | None, values: dict[str, Any] | None) -> None:
        look("first")

    @app.before_request
    def before() -> None:
        look("before")

    @app.after_request
    def outside(response: Response) -> Response:
        look("outside")
        return response

    Ensoras(app)

    @app.after_request
    def inside(response: Response) -> Response:
        look("inside")
        return response

    @app.route("/")
    def home() -> bytes:
        look("view")
        return PAGE

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        look("teardown")

    environ_after: dict[str, Any] = {}

    def outer(environ: dict[str, Any], start_response: Any) -> Any:
        environ_after.clear()
        iterable = app(environ, start_response)
        environ_after.update(environ)
        return iterable

    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    headers = {"cookie": "a=b", "if-none-match": '"1"', "if-modified-since": date}
    run_wsgi(outer, "GET", "/", headers | PAGE_VIEW)
    assert seen == [
        ("first", True, True),
        ("before", False, False),
        ("view", False, False),
        ("inside", False, False),
        ("outside", True, True),
        ("teardown", True, True),
    ]
    assert environ_after["HTTP_IF_NONE_MATCH"] == '"1"'
    assert environ_after["HTTP_IF_MODIFIED_SINCE"] == date
    seen.clear()
    run_wsgi(outer, "GET", "/", headers | {"sec-fetch-dest": "image"})
    assert {(one, two) for _, one, two in seen} == {(True, True)}


# Beside other packages ------------------------------------------------------------------------


def test_cookies_and_vary_of_others_stay() -> None:
    """Flask's session, Flask-Login's remember cookie, the view's own; one merged `Vary`."""
    app = site()
    Ensoras(app)

    @app.route("/")
    def home() -> Response:
        login_user(USERS["alice"], remember=True)
        response = Response(PAGE)
        response.set_cookie("basket", "7")
        response.vary.add("Accept-Language")
        return response

    answer = app.test_client().get("/")
    assert answer.data == identified()
    cookies = {one.partition("=")[0] for one in answer.headers.getlist("Set-Cookie")}
    assert cookies == {"basket", "remember_token", "session"}
    assert answer.headers.getlist("Vary") == ["Accept-Language, Cookie"]


@pytest.mark.parametrize("streamed", [False, True])
def test_flask_compress_before_us_compresses_the_identified_page(streamed: bool) -> None:
    """`Compress(app)`, then `Ensoras(app)`: that is the right order."""
    app = site(Compress, COMPRESS_ALGORITHM_STREAMING=["gzip"], COMPRESS_MIN_SIZE=1)
    Ensoras(app)
    app.add_url_rule(
        "/", "home", lambda: Response(iter([PAGE[:40], PAGE[40:]])) if streamed else PAGE
    )
    browser = app.test_client()
    for path, expected in [("/", PAGE), ("/login/alice", identified()), ("/logout", PAGE)]:
        answer = browser.get(path, follow_redirects=True, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.data) == expected
        assert answer.headers["Vary"] == "Cookie, Accept-Encoding"
        if not streamed:
            assert answer.headers["Content-Length"] == str(len(answer.data))


def test_flask_compress_brings_no_304_of_the_anonymous_page() -> None:
    """It evaluates preconditions itself, outside us: the identified page has no validator."""
    app = site(Compress, COMPRESS_MIN_SIZE=1)
    Ensoras(app)

    @app.route("/")
    def home() -> Response:
        answer = Response(PAGE)
        answer.set_etag("1")
        return answer

    browser = app.test_client()
    headers = PAGE_VIEW | {"Accept-Encoding": "gzip"}
    tag = browser.get("/", headers=headers).headers["ETag"]
    assert browser.get("/", headers=headers | {"If-None-Match": tag}).status_code == 304
    browser.get("/login/alice")
    answer = browser.get("/", headers=headers | {"If-None-Match": tag})
    assert (answer.status_code, gzip.decompress(answer.data)) == (200, identified())


def test_the_cache_of_flask_compress_is_refused() -> None:
    """It keeps compressed bodies by the site's key, outside us, whatever `Cache-Control` says."""

    class Cache(dict[str, bytes]):
        set = dict.__setitem__

    app = site(
        Compress,
        COMPRESS_CACHE_BACKEND=Cache,
        COMPRESS_CACHE_KEY=lambda request: request.path,
    )
    with pytest.raises(ConfigurationError, match=r"COMPRESS_CACHE_BACKEND.*remove it"):
        Ensoras(app)


def test_a_cache_given_to_flask_compress_later_serves_nobody_elses_identity(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its README assigns the cache after `init_app`: such pages stay anonymous, which is told."""
    compress = Compress()
    app = with_home(site(compress.init_app, COMPRESS_MIN_SIZE=1))
    Ensoras(app)
    compress.cache = DictCache()
    compress.cache_key = lambda request: request.url
    alice, bob, anonymous = app.test_client(), app.test_client(), app.test_client()
    alice.get("/login/alice")
    bob.get("/login/bob")
    for browser, own in [
        (alice, identified()),
        (bob, identified(email=BOB)),
        (anonymous, PAGE),
        (alice, identified()),
    ]:
        answer = browser.get("/", headers={"Accept-Encoding": "gzip"})
        encoded = answer.headers.get("Content-Encoding") == "gzip"
        assert (gzip.decompress(answer.data) if encoded else answer.data) in (own, PAGE)
    (message,) = warnings_of(caplog)
    assert "The cache of Flask-Compress" in message
    assert "remove it" in message


def test_flask_compress_after_us_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """In the wrong order pages stay anonymous and whole; the warning says how to mend it."""
    app = with_home(site(ENSORAS_DEBUG=True, COMPRESS_MIN_SIZE=1))
    Ensoras(app)
    Compress(app)
    browser = app.test_client()
    browser.get("/login/alice")
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        for _ in range(2):
            answer = browser.get("/", headers={"Accept-Encoding": "gzip"})
            assert gzip.decompress(answer.data) == PAGE
            assert answer.headers["X-Ensoras-Outcome"] == "encoded"
    (message,) = warnings_of(caplog)
    assert "outside" in message


POLICY = {"default-src": "'self'", "script-src": ["'self'", "https://app.ensoras.com"]}


def test_talismans_nonce_needs_no_further_setting() -> None:
    """`Ensoras(app)`, then `Talisman(app)`: the script carries the nonce of tag and policy."""
    app = site()
    Ensoras(app)
    Talisman(
        app,
        force_https=False,
        content_security_policy=POLICY,
        content_security_policy_nonce_in=["script-src"],
    )
    template = "<p>{{ ensoras_widget(nonce=csp_nonce()) }}"
    app.add_url_rule("/", "home", lambda: render_template_string(template))
    browser = app.test_client()
    browser.get("/login/alice")
    answer = browser.get("/")
    policy = answer.headers["Content-Security-Policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert len(nonce) > 20
    tag = TAG.replace(b" defer", f' defer nonce="{nonce}"'.encode())
    assert answer.data == b"<p>" + identify_script(ALICE, nonce=nonce) + tag
    assert "sha256-" not in policy


def test_talismans_policy_without_a_nonce_admits_the_script_by_hash() -> None:
    """The anonymous page's policy stays as it was."""
    app = with_home(site())
    Ensoras(app)
    Talisman(app, force_https=False, content_security_policy=POLICY)
    browser = app.test_client()
    plain = browser.get("/").headers["Content-Security-Policy"]
    assert "sha256-" not in plain
    browser.get("/login/alice")
    answer = browser.get("/")
    assert answer.data == identified()
    assert answer.headers["Content-Security-Policy"].startswith(plain + " 'sha256-")


def test_asynchronous_views_are_identified() -> None:
    """Flask runs them to their end before `after_request`."""
    pytest.importorskip("asgiref")
    app = site()
    ensoras = Ensoras(app)

    @app.route("/")
    async def home() -> bytes:
        return PAGE

    @app.route("/exempt")
    @ensoras.exempt
    async def exempt() -> bytes:
        return PAGE

    browser = app.test_client()
    assert browser.get("/login/alice", follow_redirects=True).data == identified()
    assert browser.get("/exempt").data == PAGE


def test_two_layers_write_one_script(caplog: pytest.LogCaptureFixture) -> None:
    """The WSGI middleware around a Flask site with the extension: the outer one answers."""
    app = with_home(site())
    Ensoras(app)
    app.wsgi_app = EnsorasMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, slug=SLUG, secret=SECRET, get_email=lambda request: request.args.get("as")
    )
    browser = app.test_client()
    browser.get("/login/bob")
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        assert browser.get(f"/?as={ALICE}").data == identified()
        assert browser.get("/").data == PAGE
    assert warnings_of(caplog) == []


# The template global --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ ensoras_widget() }}", TAG),
        (
            "{{ ensoras_widget(nonce='a+/-_Z9==') }}",
            TAG.replace(b" defer", b' defer nonce="a+/-_Z9=="'),
        ),
        ("{{ ensoras_widget(slug='other') }}", TAG.replace(b"acme", b"other")),
        ("{{ ensoras_widget(nonce='') }}", TAG),
        ("{{ ensoras_widget(nonce=None) }}", TAG),
        ("{{ ensoras_widget(nonce=csp_nonce) }}", TAG),
        ("{% macro chat() %}{{ ensoras_widget() }}{% endmacro %}{{ chat() }}", TAG),
    ],
)
def test_templates_write_the_widget_tag(template: str, expected: bytes) -> None:
    """Not escaped, and without identity; where there is no nonce, there is no attribute.

    `csp_nonce()` of Flask-Talisman is an empty string where its policy has no nonce, and an
    undefined name in a template is Jinja2's `Undefined`.
    """
    app = site()
    app.add_url_rule("/", "home", lambda: render_template_string(template))
    Ensoras(app)
    browser = app.test_client()
    assert browser.get("/").data == expected
    if expected == TAG:
        browser.get("/login/alice")
        assert browser.get("/").data == identify_script(ALICE) + expected


def test_a_nonce_that_is_none_is_refused() -> None:
    """It would be written into an attribute as it stands."""
    app = site(TESTING=True)
    template = "{{ ensoras_widget(nonce='\"><script>') }}"
    app.add_url_rule("/", "home", lambda: render_template_string(template))
    Ensoras(app)
    with pytest.raises(ConfigurationError, match="nonce"):
        app.test_client().get("/")


def test_templates_reach_no_secret() -> None:
    """Whatever somebody who may write a template asks the function for."""
    app = site()
    template = "{{ ensoras_widget.__closure__ | map(attribute='cell_contents') | list }}"
    app.add_url_rule("/", "home", lambda: render_template_string(template))
    Ensoras(app)
    text = app.test_client().get("/").text
    assert SLUG in text
    assert SECRET not in text


def test_an_exempt_view_keeps_its_304s() -> None:
    """Never touched includes the preconditions of the request."""
    app = site()
    ensoras = Ensoras(app)

    @app.route("/")
    @ensoras.exempt
    def home() -> Response:
        answer = Response(PAGE)
        answer.set_etag("1")
        return answer.make_conditional(request)

    headers = {"Accept": "text/html", "Cookie": "a=b", "If-None-Match": '"1"'}
    assert app.test_client(use_cookies=False).get("/", headers=headers).status_code == 304
