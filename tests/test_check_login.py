"""The command `check` logs in as a browser does: at the example shops, and through odd forms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
from adapters import ALICE, BOB, SECRET, SLUG
from check_command import Command, command, site
from check_sites import SITES, served
from site_servers import SHOPS, running_sites
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from ensoras_middleware.check.finding import CannotCheck
from ensoras_middleware.check.login import log_in
from ensoras_middleware.check.visitor import Network, Visitor
from examples import shop

__all__ = ["command", "site"]

pytestmark = pytest.mark.xdist_group("check-login")

PASSWORD = shop.DEMO_PASSWORD
SETTINGS = {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET}


# The example shops -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, int]]]:
    with running_sites(SHOPS, tmp_path_factory.mktemp("shops")) as addresses:
        yield addresses


@pytest.mark.parametrize("name", SHOPS)
def test_shops(shops: dict[str, tuple[str, int]], command: Command, name: str) -> None:
    """Two customers log in through the form, and all is fine."""
    address = "http://{}:{}".format(*shops[name])
    logins = {"username": ALICE, "password": PASSWORD, "username_2": BOB, "password_2": PASSWORD}
    arguments = [f"{address}/cached/etag", "--login", "/login", "--email", ALICE]
    report = command.json(*arguments, **logins, **SETTINGS)
    assert report.problems == []
    for page in ("customer", "second customer"):
        assert report.statuses("hash", page) == ["ok"]
    assert report.statuses("customers") == ["ok"]
    assert report.statuses("after log-in", "customer") == ["ok"]


@pytest.mark.parametrize("name", SHOPS)
def test_wrong_password(shops: dict[str, tuple[str, int]], command: Command, name: str) -> None:
    """It is noticed whatever the status: Django shows the form again with 200, others with 401."""
    address = "http://{}:{}".format(*shops[name])
    report = command.json(address, "--login", "/login", username=ALICE, password="no-tea-time")
    assert "The log-in did not work" in report.error
    assert "with the form again" in report.error


@pytest.mark.parametrize("name", SHOPS)
def test_expired_session(shops: dict[str, tuple[str, int]], command: Command, name: str) -> None:
    """A cookie that is none any more leads to the log-in page, and that is told."""
    address = "http://{}:{}".format(*shops[name])
    error = command.json(f"{address}/orders", cookie="session=long-forgotten").error
    assert "The credentials are not accepted" in error


# Forms -----------------------------------------------------------------------------------------

FIELDS = "<input name=user><input type=password name=word>"


class Form:
    """A site with a form, and what was submitted."""

    def __init__(self, body: str, content_type: str = "text/html") -> None:
        self.body = body
        self.content_type = content_type
        self.submitted: list[tuple[str, str]] = []
        self.fields: dict[str, str] = {}
        self.path = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "POST":
            self.path, self.fields = request.url.path, dict(request.headers)
            self.submitted = parse_qsl((await request.body()).decode(), keep_blank_values=True)
            answer = RedirectResponse("/form/in", 303)
            answer.set_cookie("session", "abc")
        elif request.url.path == "/form/in":
            assert request.headers.get("sec-fetch-site") == "same-origin"
            assert "origin" not in request.headers
            answer = HTMLResponse("<p>Welcome")
        else:
            answer = HTMLResponse(self.body, headers={"Content-Type": self.content_type})
        await answer(scope, receive, send)


def submit(site: str, monkeypatch: pytest.MonkeyPatch, form: Form, path: str = "form") -> Form:
    monkeypatch.setitem(SITES, "form", form)
    with contextlib.closing(Visitor("customer", Network(20))) as visitor:
        log_in(visitor, f"{site}/{path}", "alice", "tea & sugar")
    return form


def form(inside: str, attributes: str = "method=post") -> str:
    return f"<form {attributes}>{inside}</form>"


USER_AND_WORD = [("user", "alice"), ("word", "tea & sugar")]


@pytest.mark.parametrize(
    ("page", "submitted"),
    [
        (form(FIELDS), USER_AND_WORD),
        (form(f"<input type=hidden name=token value='a&amp;b'>{FIELDS}"),
         [("token", "a&b"), *USER_AND_WORD]),
        # The search form of the layout, and one for new customers
        (form("<input name=q>", "") + form(FIELDS + "<input type=password name=again>",
         "method=post") + form(FIELDS), USER_AND_WORD),
        (form("<input name=company>" + FIELDS), [("company", ""), *USER_AND_WORD]),
        (form("<input name=x autocomplete=username><input name=mail type=email>"
              "<input type=password name=word>"),
         [("x", "alice"), ("mail", ""), ("word", "tea & sugar")]),
        (form(FIELDS + "<input type=checkbox name=stay checked><input type=checkbox name=news>"
              "<input type=radio name=r value=1><input type=radio name=r value=2 checked>"),
         [*USER_AND_WORD, ("stay", "on"), ("r", "2")]),
        (form(FIELDS + "<select name=s><option value=a><option value=b selected></select>"
              "<select name=t><option value=c><option value=d></select><textarea name=u>"),
         [*USER_AND_WORD, ("s", "b"), ("t", "c"), ("u", "")]),
        (form(FIELDS + "<input name=off value=1 disabled><input value=nameless>"
              "<input type=file name=f><button name=go value=1>Log in</button>"
              "<button name=other value=2>Help</button>"),
         [*USER_AND_WORD, ("go", "1")]),
        (form(FIELDS, "method=POST id=f") + "<input form=f type=hidden name=late value=1>",
         [*USER_AND_WORD, ("late", "1")]),
        (form(FIELDS + "<input type=image name=go><button name=other value=2>"), USER_AND_WORD),
        (form(FIELDS) + "<input name=stray><input form=x name=stray>", USER_AND_WORD),
        ("<noscript>" + form(FIELDS, "method=post action=/nowhere") + "</noscript>" + form(FIELDS),
         USER_AND_WORD),
    ],
)  # fmt: skip
def test_form(
    site: str, monkeypatch: pytest.MonkeyPatch, page: str, submitted: list[tuple[str, str]]
) -> None:
    """Submitted is what a browser would, with the user's name and password filled in."""
    assert submit(site, monkeypatch, Form(page)).submitted == submitted


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ("method=post", "/form/page"),
        ("method=post action=''", "/form/page"),
        ("method=post action=target#top", "/form/target"),
        ("method=post action=/form/x", "/form/x"),
    ],
)
def test_action(site: str, monkeypatch: pytest.MonkeyPatch, attributes: str, path: str) -> None:
    """The form goes where it says, with Origin and Referer as sites check them."""
    made = submit(site, monkeypatch, Form(form(FIELDS, attributes)), "form/page?next=/orders")
    assert made.path == path
    assert made.fields["origin"] == site
    assert made.fields["referer"] == f"{site}/form/page?next=/orders"
    assert made.fields["sec-fetch-site"] == "same-origin"


def test_base_and_button(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`base` moves the action, and the first button may say another one."""
    page = "<base href=/form/base/>" + form(FIELDS, "method=post action=target")
    assert submit(site, monkeypatch, Form(page)).path == "/form/base/target"
    button = "<button formaction=/form/button formmethod=post>"
    assert submit(site, monkeypatch, Form(form(FIELDS + button, ""))).path == "/form/button"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<p>Log in with the app", "no form with one password field"),
        (form(FIELDS + "<input type=password name=again>"), "no form with one password field"),
        (form(FIELDS, "method=get"), "not sent by POST"),
        (form(FIELDS, ""), "not sent by POST"),
        (form("<input type=password name=word>"), "no field for a user name"),
        (form(FIELDS, "method=post action=https://elsewhere.example.com/"), "to another origin"),
        (form(FIELDS, "method=post action=//elsewhere.example.com/"), "to another origin"),
        (form(FIELDS, "method=post action=javascript:go()"), "to another origin"),
        (form(FIELDS, "method=post action=//[x"), "to another origin"),
        (form(FIELDS + "<button formaction=https://a.example.com>", "method=post"), "to another"),
        ("<base href=https://a.example.com>" + form(FIELDS, "method=post action=x"), "to another"),
        (form(FIELDS, "method=post enctype=multipart/form-data"), "encoding of its own"),
    ],
)
def test_form_that_is_not_submitted(
    site: str, monkeypatch: pytest.MonkeyPatch, page: str, words: str
) -> None:
    """What would send the password elsewhere, or into an address, is told, with the way out."""
    made = Form(page)
    with pytest.raises(CannotCheck, match=words) as raised:
        submit(site, monkeypatch, made)
    assert "ENSORAS_CHECK_COOKIE" in str(raised.value)
    assert made.submitted == []


def test_password_follows_no_redirect_to_another_origin(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the form's answer nor the log-in page itself may lead away."""
    seen = []

    async def spy(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await Request(scope, receive).body())

    with served(spy) as address:
        away = RedirectResponse(f"{address}/steal", 307)
        monkeypatch.setitem(SITES, "away", away)
        with pytest.raises(CannotCheck, match="redirects to another origin"):
            submit(site, monkeypatch, Form(form(FIELDS, "method=post action=/away")))
        with pytest.raises(CannotCheck, match="redirects to another origin"):
            submit(site, monkeypatch, Form(""), "away")
    assert seen == []


def test_log_in_page_that_fails(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotCheck, match="answers 500"):
        submit(site, monkeypatch, Form(""), "error")


def test_log_in_without_a_cookie(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that remembers nothing has logged nobody in."""
    page = form(FIELDS, "method=post action=/not-installed")
    with pytest.raises(CannotCheck, match="set no cookie"):
        submit(site, monkeypatch, Form(page))


def test_log_in_page_on_another_origin(site: str, command: Command) -> None:
    """An anonymous visitor who is sent there is told so, and nobody is logged in there."""
    login = command("https://shop.example.com/", "--login", "https://accounts.example.com/")
    assert login.status == 2
    assert "on another origin than URL" in login.errors


def test_unknown_charset(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = submit(site, monkeypatch, Form(form(FIELDS), "text/html; charset=klingon"))
    assert made.submitted == USER_AND_WORD


def test_other_charsets(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form is encoded as its page is; what that cannot hold becomes a reference."""
    page = form("<input type=hidden name=t value='\xe9'>" + FIELDS)
    made = Form(page, "text/html; charset=latin-1")
    monkeypatch.setattr(HTMLResponse, "charset", "latin-1")
    monkeypatch.setitem(SITES, "form", made)
    with contextlib.closing(Visitor("customer", Network(20))) as visitor:
        log_in(visitor, f"{site}/form", "\u0142", "x")
    assert [pair[1] for pair in made.submitted] == ["\ufffd", "&#322;", "x"]
