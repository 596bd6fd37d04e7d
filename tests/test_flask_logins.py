"""Who is logged in to a Flask site with Flask-Login, without a setting of ours."""

from __future__ import annotations

from typing import Any

import pytest
from adapters import ALICE, PAGE, SECRET, SLUG, TAG, identify_script
from flask import Flask, Response, g, redirect, request, session
from flask_ensoras import Ensoras
from flask_login import (
    AnonymousUserMixin,
    LoginManager,
    UserMixin,
    fresh_login_required,
    login_required,
    login_user,
    logout_user,
)

NEVER_REUSED = "private, no-store, max-age=0"
CONFIG = {
    "SECRET_KEY": "tests",
    "ENSORAS_WIDGET_SLUG": SLUG,
    "ENSORAS_WIDGET_SECRET": SECRET,
    "ENSORAS_DEBUG": True,
}


def identified(email: str = ALICE) -> bytes:
    return PAGE.replace(TAG, identify_script(email) + TAG)


def outcome(answer: Any) -> str:
    """Return the outcome of a page, which must be the one that its body shows."""
    outcome = str(answer.headers["X-Ensoras-Outcome"])
    assert answer.data == (identified() if outcome == "identified" else PAGE)
    return outcome


# Flask-Login ----------------------------------------------------------------------------------


def test_a_user_class_without_an_email(caplog: pytest.LogCaptureFixture) -> None:
    """The site is told once, with the class and the remedy."""

    class Account(UserMixin):
        id, mail = "1", ALICE

    app = Flask("site")
    app.config |= CONFIG
    LoginManager(app).request_loader(lambda request: Account())
    Ensoras(app)
    app.add_url_rule("/", view_func=lambda: PAGE)
    for _ in range(2):
        assert outcome(app.test_client().get("/")) == "anonymous"
    (record,) = caplog.records
    assert "Account, has no `email`" in record.getMessage()
    assert "@ensoras.email_getter" in record.getMessage()


class User(UserMixin):
    is_authenticated = True  # as of a user class of the site's own: whether active or not

    def __init__(self, name: str, email: str) -> None:
        self.id, self.email, self.active = name, email, True

    @property
    def is_active(self) -> bool:
        return self.active


class Site:
    """A site with Flask-Login's own log-in, remember-me and log-out; its pages read no user."""

    def __init__(self, **config: Any) -> None:
        self.users = {"alice": User("alice", ALICE)}
        self.loaded: list[str] = []
        self.app = app = Flask("shop")
        app.config |= CONFIG | config
        self.manager = LoginManager(app)
        self.manager.user_loader(self.load)
        Ensoras(app)
        app.add_url_rule("/", "home", lambda: PAGE)
        app.add_url_rule("/bare", "bare", lambda: "<p>No widget")
        app.add_url_rule("/account", "account", login_required(lambda: PAGE))
        app.add_url_rule("/card", "card", fresh_login_required(lambda: PAGE))

        @app.post("/login")
        def login() -> str:
            user = self.users[request.form["name"]]
            return str(login_user(user, "remember" in request.form, force="force" in request.form))

        @app.post("/logout")
        def logout() -> Response:
            logout_user()
            return redirect("/")  # type: ignore[return-value]

    def load(self, name: str) -> User | None:
        self.loaded.append(name)
        return self.users.get(name)

    def browser(self, name: str = "", **form: str) -> Any:
        browser = self.app.test_client()
        if name:
            browser.post("/login", data={"name": name, **form})
        return browser


def test_a_remembered_visitor_is_identified() -> None:
    """The remember-me cookie alone logs in; the session that it starts goes out with the page."""
    site = Site()
    browser = site.browser("alice", remember="1")
    browser.delete_cookie("session")
    answer = browser.get("/")
    assert outcome(answer) == "identified"
    assert answer.headers["Cache-Control"] == NEVER_REUSED
    assert answer.headers.getlist("Vary") == ["Cookie"]
    assert [one.partition("=")[0] for one in answer.headers.getlist("Set-Cookie")] == ["session"]
    browser.delete_cookie("remember_token")
    assert outcome(browser.get("/")) == "identified"
    browser.post("/logout")
    assert outcome(browser.get("/")) == "anonymous"


def test_a_log_out_forgets_who_was_remembered() -> None:
    """With both cookies there, both are gone."""
    browser = Site().browser("alice", remember="1")
    browser.post("/logout")
    assert browser.get_cookie("remember_token") is None
    assert outcome(browser.get("/")) == "anonymous"


def test_a_log_in_that_is_not_fresh_counts() -> None:
    """A remembered visitor must log in again for the card, but is who they are."""
    browser = Site().browser("alice", remember="1")
    assert outcome(browser.get("/card")) == "identified"
    browser.delete_cookie("session")
    assert outcome(browser.get("/")) == "identified"
    assert browser.get("/card").status_code == 401


def test_disabled_log_in_identifies_nobody() -> None:
    """`LOGIN_DISABLED` opens protected pages to everybody, and nobody is logged in."""
    site = Site(LOGIN_DISABLED=True)
    assert outcome(site.browser().get("/account")) == "anonymous"
    assert outcome(site.browser("alice").get("/account")) == "identified"


def test_users_of_a_request_loader() -> None:
    """By an API key in a header field: with each request, and without a session."""
    site = Site()

    @site.manager.request_loader
    def user_of(request: Any) -> User | None:
        return {"alices-key": site.users["alice"]}.get(request.headers.get("X-Api-Key"))

    browser = site.browser()
    for key, expected in [("alices-key", "identified"), ("other", "anonymous"), ("", "anonymous")]:
        answer = browser.get("/", headers={"X-Api-Key": key})
        assert outcome(answer) == expected
        assert "Set-Cookie" not in answer.headers


def test_inactive_users_are_anonymous() -> None:
    """Not let in, let in by force, or deactivated while logged in."""
    site = Site()
    browser = site.browser("alice")
    site.users["alice"].active = False
    assert outcome(browser.get("/")) == "anonymous"
    assert outcome(site.browser("alice").get("/")) == "anonymous"
    forced = site.browser("alice", force="1")
    assert forced.get("/account").status_code == 200
    assert outcome(forced.get("/")) == "anonymous"
    site.users["alice"].active = True
    assert outcome(forced.get("/")) == "identified"


def test_a_user_who_is_gone_is_anonymous() -> None:
    """Whatever the cookies say."""
    site = Site()
    browser = site.browser("alice", remember="1")
    del site.users["alice"]
    assert outcome(browser.get("/")) == "anonymous"
    browser.delete_cookie("session")
    assert outcome(browser.get("/")) == "anonymous"


@pytest.mark.parametrize("flag", ["is_authenticated", "is_active"])
def test_a_flag_that_is_a_method_is_called(flag: str) -> None:
    """User classes are copied that were written for Flask-Login 0.2: every method is true."""
    site = Site()
    answers = {flag: True}

    class Account(User):
        pass

    setattr(Account, flag, lambda self: answers[flag])
    site.users["alice"] = Account("alice", ALICE)
    browser = site.browser("alice")
    assert outcome(browser.get("/")) == "identified"
    answers[flag] = False
    assert outcome(browser.get("/")) == "anonymous"


def test_an_anonymous_user_with_an_address_is_anonymous() -> None:
    """`anonymous_user` may be a class of the site's own, a guest for example."""

    class Guest(AnonymousUserMixin):
        is_active = True
        email = ALICE

    site = Site()
    site.manager.anonymous_user = Guest
    assert outcome(site.browser().get("/")) == "anonymous"


def test_where_anonymous_visitors_are_no_users_nothing_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`anonymous_user` may give `None`, as views of the site like to test for."""
    site = Site()
    site.manager.anonymous_user = lambda: None  # type: ignore[assignment, return-value]
    assert outcome(site.browser().get("/")) == "anonymous"
    assert caplog.records == []


def test_a_user_who_is_false_is_still_logged_in() -> None:
    """A user class with a length, of the orders for example, may be false."""

    class Customer(User):
        def __len__(self) -> int:
            return 0

    site = Site()
    site.users["alice"] = Customer("alice", ALICE)
    assert outcome(site.browser("alice").get("/")) == "identified"


def test_a_user_who_has_not_given_an_email_is_no_fault_of_the_class(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`None`, as a database has it: nothing is told."""
    site = Site()
    site.users["alice"] = User("alice", None)  # type: ignore[arg-type]
    assert outcome(site.browser("alice").get("/")) == "anonymous"
    assert caplog.records == []


@pytest.mark.parametrize("cookie", ["session", "remember_token"])
def test_cookies_that_the_site_did_not_sign_identify_nobody(cookie: str) -> None:
    """Of another site with the same users, and with another name in it."""
    site = Site()
    for other in (Site(SECRET_KEY="another"), site):
        browser = other.browser("alice", remember="1")
        value = browser.get_cookie(cookie).value
        forged = site.browser()
        changed = value if other is not site else value.replace("alice", "bob")[:-2] + "00"
        forged.set_cookie(cookie, changed)
        assert outcome(forged.get("/")) == "anonymous"


def test_a_session_in_another_browser_is_anonymous_where_the_site_protects_it() -> None:
    """`SESSION_PROTECTION = "strong"`: a stolen cookie ends with the first page."""
    browser = Site(SESSION_PROTECTION="strong").browser("alice")
    assert outcome(browser.get("/")) == "identified"
    assert outcome(browser.get("/", headers={"User-Agent": "another"})) == "anonymous"
    assert outcome(browser.get("/")) == "anonymous"


def test_what_is_set_by_hand_counts_for_nothing() -> None:
    """`g.user`, the session's own keys, forms, queries and cookies: that takes a function."""
    site = Site()

    @site.app.post("/")
    def post() -> bytes:
        g.user = g.current_user = site.users["alice"]
        session["email"] = session["user"] = session["user_email"] = ALICE
        return PAGE

    browser = site.browser()
    browser.set_cookie("email", ALICE)
    form = {"email": ALICE, "user": "alice"}
    assert outcome(browser.post("/", data=form, query_string=form)) == "anonymous"
    assert outcome(browser.get("/", query_string=form)) == "anonymous"


def test_reading_the_user_changes_nothing_for_anonymous_visitors() -> None:
    """No cookie, and no header field that is not there without us."""
    headers = []
    for enabled in (True, False):
        site = Site(ENSORAS_ENABLED=enabled, ENSORAS_DEBUG=False)
        answer = site.browser().get("/")
        headers.append(sorted(answer.headers))
        assert "Set-Cookie" not in answer.headers
    assert headers[0] == headers[1]  # with Flask-Login pages vary on the cookie already


def test_the_user_is_loaded_once_and_for_pages_with_the_widget_alone() -> None:
    """A page without it costs no query, also where a cookie would log in."""
    site = Site()
    browser = site.browser("alice", remember="1")
    site.loaded.clear()
    browser.get("/bare")
    assert site.loaded == []
    browser.get("/account")
    assert site.loaded == ["alice"]
    browser.delete_cookie("session")
    assert "Set-Cookie" not in browser.get("/bare").headers
    assert site.loaded == ["alice"]
