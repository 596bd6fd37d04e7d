"""Who is logged in to a Flask site with Flask-Security, without a setting of ours.

Everybody here registers, confirms and logs in through its own views.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from adapters import ALICE, PAGE, SECRET, SLUG, TAG, identify_script
from flask import Flask
from flask_ensoras import Ensoras
from flask_security import MailUtil, Security, SQLAlchemySessionUserDatastore
from flask_security.models import sqla
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool


def outcome(answer: Any) -> str:
    """Return the outcome of a page, which must be the one that its body shows."""
    outcome = str(answer.headers["X-Ensoras-Outcome"])
    identified = PAGE.replace(TAG, identify_script(ALICE) + TAG)
    assert answer.data == (identified if outcome == "identified" else PAGE)
    return outcome


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what gives all that was logged so far."""
    return lambda: [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]


class Base(DeclarativeBase):
    pass


sqla.FsModels.set_db_info(base_model=Base)


class Role(Base, sqla.FsRoleMixin):
    __tablename__ = "role"


class User(Base, sqla.FsUserMixin):
    __tablename__ = "user"


class WebAuthn(Base, sqla.FsWebAuthnMixin):
    __tablename__ = "webauthn"


PASSWORD = {"email": ALICE, "password": "a long password"}
REGISTRATION = PASSWORD | {"password_confirm": PASSWORD["password"]}
TWO_FACTOR = {
    "SECURITY_TWO_FACTOR": True,
    "SECURITY_TWO_FACTOR_REQUIRED": True,
    "SECURITY_TWO_FACTOR_ENABLED_METHODS": ["email"],
    "SECURITY_TOTP_SECRETS": {"1": "TjQ9Qa31VOrfEzuPy4VHQWPCTmRzCnFzMKLxXYiZu9B"},
    "SECURITY_TOTP_ISSUER": "shop",
}


class Shop:
    """A site with Flask-Security's own views, and what it has sent by mail."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        self.session = scoped_session(sessionmaker(bind=self.engine))
        Base.metadata.create_all(self.engine)

    def app(self, **config: Any) -> Flask:
        class Mail(MailUtil):
            def send_mail(_, template: str, subject: str, *rest: Any, **details: Any) -> None:
                self.mails.append(details["body"] if "body" in details else rest[2])

        app = Flask("shop")
        app.config |= {
            "SECRET_KEY": "tests",
            "ENSORAS_WIDGET_SLUG": SLUG,
            "ENSORAS_WIDGET_SECRET": SECRET,
            "ENSORAS_DEBUG": True,
            "WTF_CSRF_ENABLED": False,
            "SECURITY_PASSWORD_SALT": "tests",
            "SECURITY_PASSWORD_HASH": "plaintext",
            "SECURITY_PASSWORD_SCHEMES": ["plaintext"],
            "SECURITY_DEPRECATED_PASSWORD_SCHEMES": [],
            "SECURITY_HASHING_SCHEMES": ["hex_md5"],
            "SECURITY_DEPRECATED_HASHING_SCHEMES": [],
            "SECURITY_EMAIL_VALIDATOR_ARGS": {"check_deliverability": False},
            "SECURITY_EMAIL_SENDER": "shop@example.com",
        }
        app.config |= config
        accounts = SQLAlchemySessionUserDatastore(self.session, User, Role)
        Security(app, accounts, mail_util_cls=Mail)
        app.teardown_appcontext(lambda error: self.session.remove())
        Ensoras(app)
        app.add_url_rule("/", "home", lambda: PAGE)
        return app

    def mailed(self, pattern: str) -> str:
        found = re.search(pattern, self.mails.pop())
        assert found
        return found[1]

    def change(self, **values: object) -> None:
        account = self.session.query(User).one()
        for name, value in values.items():
            setattr(account, name, value)
        self.session.commit()
        self.session.remove()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.session.remove()
    shop.engine.dispose()


CONFIRM = {"SECURITY_REGISTERABLE": True, "SECURITY_CONFIRMABLE": True}


def test_flask_security_customers_confirm_their_address(
    shop: Shop, told: Callable[[], list[str]]
) -> None:
    """Registered and logged in, but not confirmed: not signed. The link in the mail changes it."""
    browser = shop.app(**CONFIRM, SECURITY_LOGIN_WITHOUT_CONFIRMATION=True).test_client()
    assert outcome(browser.get("/")) == "anonymous"
    assert told() == []
    browser.post("/register", data=REGISTRATION)
    for _ in range(2):
        assert outcome(browser.get("/")) == "unverified"
    (message,) = told()
    assert "ENSORAS_TRUST_EMAILS" in message
    assert browser.get(shop.mailed(r"http://localhost(/confirm/\S+)")).status_code == 302
    assert outcome(browser.get("/")) == "identified"
    browser.post("/logout")
    assert outcome(browser.get("/")) == "anonymous"
    browser.post("/login", data=PASSWORD | {"password": "another password"})
    assert outcome(browser.get("/")) == "anonymous"
    browser.post("/login", data=PASSWORD)
    assert outcome(browser.get("/")) == "identified"
    assert told() == [message]


def test_flask_security_lets_nobody_in_who_is_not_confirmed(shop: Shop) -> None:
    """That is its default: registered is not logged in."""
    browser = shop.app(**CONFIRM).test_client()
    browser.post("/register", data=REGISTRATION)
    browser.post("/login", data=PASSWORD)
    assert outcome(browser.get("/")) == "anonymous"


def test_a_site_that_trusts_its_addresses(shop: Shop, told: Callable[[], list[str]]) -> None:
    """`ENSORAS_TRUST_EMAILS`: what Flask-Security knows of them does not matter."""
    trusting = {"SECURITY_LOGIN_WITHOUT_CONFIRMATION": True, "ENSORAS_TRUST_EMAILS": True}
    browser = shop.app(**CONFIRM, **trusting).test_client()
    browser.post("/register", data=REGISTRATION)
    assert outcome(browser.get("/")) == "identified"
    assert told() == []


@pytest.mark.parametrize(
    ("config", "is_told"),
    [
        ({"SECURITY_REGISTERABLE": True}, True),
        ({"SECURITY_REGISTERABLE": True, "ENSORAS_TRUST_EMAILS": True}, False),
        ({"SECURITY_REGISTERABLE": True, "ENSORAS_GET_EMAIL": lambda: None}, False),
        (CONFIRM, False),
        ({}, False),
    ],
)
def test_addresses_that_nobody_confirms_are_told(
    config: dict[str, Any], is_told: bool, shop: Shop, told: Callable[[], list[str]]
) -> None:
    """Whoever registers with an address chats as its owner: said with the first request."""
    app = shop.app(**config)
    for _ in range(2):
        app.test_client().get("/")
    messages = told()
    assert len(messages) == is_told
    assert all("SECURITY_CONFIRMABLE" in message for message in messages)


def test_flask_security_without_confirmation(shop: Shop) -> None:
    """Then all that is known of an address is that its account is active."""
    browser = shop.app(SECURITY_REGISTERABLE=True).test_client()
    browser.post("/register", data=REGISTRATION)
    assert outcome(browser.get("/")) == "identified"
    shop.change(active=False)
    assert outcome(browser.get("/")) == "anonymous"


def test_between_password_and_second_factor_a_visitor_is_anonymous(shop: Shop) -> None:
    """At the first log-in, at each later one, and with a wrong code."""
    registered = shop.app(SECURITY_REGISTERABLE=True).test_client()
    registered.post("/register", data=REGISTRATION)
    browser = shop.app(**TWO_FACTOR).test_client()
    browser.post("/login", data=PASSWORD)
    assert outcome(browser.get("/")) == "anonymous"
    browser.post("/tf-setup", data={"setup": "email"})
    assert outcome(browser.get("/")) == "anonymous"
    browser.post("/tf-validate", data={"code": shop.mailed(r"\b(\d{6})\b")})
    assert outcome(browser.get("/")) == "identified"
    browser.post("/logout")
    browser.post("/login", data=PASSWORD)
    assert outcome(browser.get("/")) == "anonymous"
    code = shop.mailed(r"\b(\d{6})\b")
    browser.post("/tf-validate", data={"code": f"{(int(code) + 1) % 1_000_000:06}"})
    assert outcome(browser.get("/")) == "anonymous"
    browser.post("/tf-validate", data={"code": code})
    assert outcome(browser.get("/")) == "identified"


def test_flask_security_authentication_tokens(shop: Shop) -> None:
    """Given out by its API, and sent in a header field; of a user who is deactivated, nothing."""
    app = shop.app(SECURITY_REGISTERABLE=True)
    app.test_client().post("/register", data=REGISTRATION)
    answer = app.test_client().post("/login?include_auth_token", json=PASSWORD)
    token = answer.json["response"]["user"]["authentication_token"]  # type: ignore[index]

    def ask(token: str) -> str:
        fields = {"Authentication-Token": token}
        return outcome(app.test_client().get("/", headers=fields))

    assert ask(token) == "identified"
    assert ask(token[:-1]) == "anonymous"
    shop.change(active=False)
    assert ask(token) == "anonymous"
