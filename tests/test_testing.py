"""The assertions for a site's own tests: on pages as they are, and what they say of wrong ones."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG, identify_script
from flask import Flask, Response, redirect
from flask_ensoras import Ensoras

from ensoras_middleware import Outcome, identity_hash
from ensoras_middleware.explanations import EXPLANATIONS
from ensoras_middleware.testing import assert_anonymous, assert_identified

SCRIPT = identify_script(ALICE)
IDENTIFIED = PAGE.replace(TAG, SCRIPT + TAG)
OF_ANOTHER_SITE = PAGE.replace(TAG, identify_script(ALICE, SECRET[::-1]) + TAG)
OTHER_TAG = TAG.replace(b"acme", b"bravo")
BY_HAND = (
    f"<script>Ensoras('identify', {{email: '{ALICE}', hash: '{identity_hash(ALICE, SECRET)}'}})"
    "</script>"
).encode()


def explained(outcome: Outcome) -> str:
    cause, remedy = EXPLANATIONS[outcome]
    return f"{cause} {remedy}"


def failure(assertion: Any, *arguments: Any, **options: Any) -> str:
    """Return what an assertion says; and it never shows anybody's address, hash or secret."""
    with pytest.raises(AssertionError) as caught:
        assertion(*arguments, **options)
    message = str(caught.value)
    for email in (ALICE, BOB):
        assert email not in message
        for secret in (SECRET, SECRET[::-1]):
            assert identity_hash(email, secret) not in message
            assert secret not in message
    return message


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENSORAS_WIDGET_SECRET", raising=False)
    monkeypatch.delenv("ENSORAS_WIDGET_SECRET_FILE", raising=False)


# Pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        IDENTIFIED,
        IDENTIFIED.decode(),
        PAGE.replace(TAG, SCRIPT + b"\n  " + TAG),
        PAGE.replace(TAG, SCRIPT + TAG + OTHER_TAG),
        PAGE.replace(TAG, OTHER_TAG + SCRIPT + TAG),
        PAGE.replace(TAG, SCRIPT + TAG + TAG),
        "ä\ud800" + IDENTIFIED.decode(),
    ],
    ids=["bytes", "str", "spaces", "other after", "other before", "tag twice", "surrogate"],
)
def test_identified_pages(page: bytes | str) -> None:
    assert_identified(page, ALICE, secret=SECRET, slug=SLUG)
    assert_identified(page, " Alice@Example.com ", secret=SECRET.encode())
    assert failure(assert_anonymous, page) == (
        "The page should identify nobody. It identifies a…@example.com."
    )


@pytest.mark.parametrize("page", [PAGE, PAGE.decode(), TAG + OTHER_TAG])
def test_anonymous_pages(page: bytes | str) -> None:
    assert_anonymous(page)
    assert failure(assert_identified, page, ALICE) == (
        "The page should identify a…@example.com. It identifies nobody. Pass the whole response, "
        "not its body alone, to be told why."
    )


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (
            PAGE.replace(TAG, identify_script(BOB) + TAG),
            "It identifies somebody else: b…@example.com.",
        ),
        (
            OF_ANOTHER_SITE,
            "It does, with a hash that is wrong under `secret`: the site signs with another "
            "secret.",
        ),
        (
            PAGE.replace(TAG, BY_HAND + TAG),
            "It identifies a…@example.com (by a call that is not the middleware's). Remove the "
            "call from the template; or look for what rewrites scripts, as minifiers do, if this "
            "is the middleware's.",
        ),
        (
            PAGE.replace(TAG, b"<script>Ensoras('identify', customer)</script>" + TAG),
            "It identifies somebody (by a call that is not the middleware's). Remove the call from "
            "the template; or look for what rewrites scripts, as minifiers do, if this is the "
            "middleware's.",
        ),
        (
            PAGE.replace(TAG, BY_HAND + SCRIPT + TAG),
            "It identifies 2 times: a…@example.com (by a call that is not the middleware's), and "
            "a…@example.com. Remove what a template writes.",
        ),
        (
            PAGE.replace(TAG, SCRIPT + TAG + identify_script(BOB) + TAG),
            "It identifies 2 times: a…@example.com, and b…@example.com. Remove what a template "
            "writes.",
        ),
        (
            IDENTIFIED + b"<!--" + identify_script(BOB) + b"-->",
            "It does, but not once. An identify script stands where no browser runs it, in a "
            "comment or a `template`: somebody's hash all the same. Look for a page or fragment "
            "that was kept when it was identified already.",
        ),
        *(
            (
                PAGE.replace(TAG, tags),
                "It identifies a…@example.com, but not directly before the widget tag. Look for "
                "what moves scripts, and for the tag of another widget.",
            )
            for tags in (
                SCRIPT + b"<p>" + TAG,
                TAG + SCRIPT,
                TAG + SCRIPT + TAG,
                SCRIPT + OTHER_TAG + TAG,
            )
        ),
        (PAGE.replace(TAG, OTHER_TAG), "It has the widget tag of `bravo`, not of `acme`."),
        (
            PAGE.replace(TAG, b"<!--" + TAG + b"-->"),
            explained(Outcome.NO_TAG),
        ),
        (
            b"<select><b>" + PAGE,
            "Browsers may disagree about its tags: a select holds elements that parsers disagree "
            "about.",
        ),
        (
            b"<p>Hello</p>",
            explained(Outcome.NO_WIDGET),
        ),
        (
            b"",
            "The response is empty; a stream that the test has read before it passed it is gone.",
        ),
        (
            gzip.compress(IDENTIFIED),
            "The response is compressed (`gzip`). Let the test send no `Accept-Encoding`.",
        ),
    ],
)  # fmt: skip
def test_not_identified(page: bytes, found: str) -> None:
    """Each wrong page is wrong in its own words."""
    assert failure(assert_identified, page, ALICE, secret=SECRET, slug=SLUG) == (
        f"The page should identify a…@example.com. {found}"
    )


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            b"<!--" + SCRIPT + b"-->" + PAGE,
            "The page should identify nobody. An identify script stands where no browser runs it, "
            "in a comment or a `template`: somebody's hash all the same. Look for a page or "
            "fragment that was kept when it was identified already.",
        ),
        (
            BY_HAND + b"<p>no widget",
            "The page should identify nobody. It identifies a…@example.com (by a call that is not "
            "the middleware's).",
        ),
        (
            b"<noscript>" + TAG + b"</noscript>",
            "Without the widget tag this proves nothing about who is identified. "
            + explained(Outcome.NO_TAG),
        ),
    ],
    ids=["in a comment", "by hand, without a tag", "no tag"],
)
def test_not_anonymous(page: bytes, message: str) -> None:
    assert failure(assert_anonymous, page) == message


def test_an_address_that_is_never_signed() -> None:
    """To expect it is a mistake of the test, whatever the page says."""
    assert failure(assert_identified, IDENTIFIED, "jörg@example.com") == (
        f"Nobody with this address is ever identified. {explained(Outcome.EMAIL_REFUSED)}"
    )


# The secret -----------------------------------------------------------------------------------


def test_without_a_secret_no_hash_is_compared() -> None:
    assert_identified(OF_ANOTHER_SITE, ALICE)


def test_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is what sites read too; one that is given comes first."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    for name, right in [
        ("ENSORAS_WIDGET_SECRET_FILE", str(file)),
        ("ENSORAS_WIDGET_SECRET", SECRET),
    ]:
        monkeypatch.setenv(name, right)
        assert_identified(IDENTIFIED, ALICE)
        assert_identified(OF_ANOTHER_SITE, ALICE, secret=SECRET[::-1])
        assert failure(assert_identified, OF_ANOTHER_SITE, ALICE) == (
            "The page should identify a…@example.com. It does, with a hash that is wrong under "
            "the environment's secret: the site signs with another secret."
        )
        monkeypatch.delenv(name)


# Responses ------------------------------------------------------------------------------------


def shop(email: str | None = None, **config: Any) -> Flask:
    """A site with one path for each kind of response."""
    app = Flask("shop")
    app.config |= {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET} | config
    app.config.setdefault("ENSORAS_DEBUG", True)
    Ensoras(app).email_getter(lambda: email)
    hidden = b"<!--" + TAG + b"-->"
    views = {
        "/": lambda: PAGE,
        "/nothing": lambda: "<p>Hello",
        "/hidden": lambda: hidden,
        "/log-in": lambda: redirect(f"https://x.example/in/{ALICE}/a%40b?next={ALICE}#{ALICE}"),
        "/json": lambda: {"email": ALICE},
        "/error": lambda: (PAGE.replace(TAG, b""), 500),
        "/not-modified": lambda: Response(status=304),
        "/not-found": lambda: (PAGE, 404),
        "/deflated": lambda: Response(
            gzip.compress(PAGE), content_type="text/html", headers={"Content-Encoding": "gzip"}
        ),
    }
    for path, view in views.items():
        app.add_url_rule(path, path, view)
    return app


WHY_ANONYMOUS = f"X-Ensoras-Outcome: anonymous. {explained(Outcome.ANONYMOUS)}"
NO_OUTCOME = (
    " To be told why, set `ENSORAS_DEBUG = True` (keyword `debug`); if it is set, the middleware "
    "is not in use: it is missing, or switched off."
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", f"It identifies nobody. {WHY_ANONYMOUS}"),
        ("/nothing", explained(Outcome.NO_WIDGET)),
        ("/hidden", f"{explained(Outcome.NO_TAG)} {WHY_ANONYMOUS}"),
        ("/log-in", "The response is a redirect (302) to `/in/…/…`."),
        ("/json", "The response is `application/json`, no page."),
        ("/error", "The response is an error (500)."),
        ("/missing", "The response is an error (404)."),
        ("/not-modified", "The response is without a body (304)."),
        (
            "/deflated",
            f"The response is compressed (`gzip`). {EXPLANATIONS[Outcome.ENCODED].remedy}",
        ),
    ],
)
def test_what_came_instead(path: str, found: str) -> None:
    response = shop().test_client().get(path)
    assert failure(assert_identified, response, ALICE) == (
        f"The page should identify a…@example.com. {found}"
    )
    if path != "/":
        assert failure(assert_anonymous, response) == (
            f"Without the widget tag this proves nothing about who is identified. {found}"
        )


def test_error_pages_with_the_widget() -> None:
    """They are pages like others."""
    assert_identified(shop(ALICE).test_client().get("/not-found"), ALICE, secret=SECRET)
    assert_anonymous(shop().test_client().get("/not-found"))


@pytest.mark.parametrize("config", [{"ENSORAS_DEBUG": False}, {"ENSORAS_ENABLED": False}])
def test_without_outcome(config: dict[str, bool]) -> None:
    message = failure(assert_identified, shop(**config).test_client().get("/"), ALICE)
    assert message == f"The page should identify a…@example.com. It identifies nobody.{NO_OUTCOME}"


@pytest.mark.parametrize("email", ["jörg@example.com", 7])
def test_outcome_of_the_middleware(email: Any) -> None:
    """The site knows why better than anybody who looks at the page."""
    message = failure(assert_identified, shop(email).test_client().get("/"), ALICE)
    assert message == (
        "The page should identify a…@example.com. It identifies nobody. X-Ensoras-Outcome: "
        f"email-refused. {explained(Outcome.EMAIL_REFUSED)}"
    )


OUTER = "The middleware forbids that: look for a layer around it that changes the headers."


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("Cache-Control", "public, max-age=60", "`Cache-Control` is `public, max-age=60`."),
        ("Cache-Control", "", "there is no `Cache-Control`."),
        ("X-Accel-Expires", "60", "`x-accel-expires` is `60`."),
        ("CDN-Cache-Control", "max-age=60", "`cdn-cache-control` is `max-age=60`."),
        ("Surrogate-Control", "max-age=60", "`surrogate-control` is `max-age=60`."),
        ("X-Accel-Expires", "0", None),
        ("CDN-Cache-Control", "No-Store", None),
        ("Cache-Control", "max-age=0,NO-STORE", None),
    ],
)
def test_caches(name: str, value: str, found: str | None) -> None:
    """A layer outside of the middleware cannot undo `no-store` unseen."""
    app = shop(ALICE)

    def outermost(environ: Any, start_response: Any) -> Any:
        def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [field for field in fields if field[0] != name]
            return start_response(status, [*kept, (name, value)] if value else kept)

        return wsgi_app(environ, start)

    wsgi_app, app.wsgi_app = app.wsgi_app, outermost  # type: ignore[method-assign]
    response = app.test_client().get("/")
    if found is None:
        assert_identified(response, ALICE)
    else:
        assert failure(assert_identified, response, ALICE) == (
            f"The page should identify a…@example.com. It does, but caches may keep it: {found} "
            f"{OUTER}"
        )


def test_two_fields_say_what_they_say_together() -> None:
    """As caches read them (RFC 9110, section 5.3)."""
    app = shop(ALICE)

    def outermost(environ: Any, start_response: Any) -> Any:
        def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [*fields, ("Cache-Control", "max-age=60")])

        return wsgi_app(environ, start)

    wsgi_app, app.wsgi_app = app.wsgi_app, outermost  # type: ignore[method-assign]
    assert_identified(app.test_client().get("/"), ALICE)


# Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None, ALICE), {}, "NoneType is no response with a body that can be read here"),
        ((Path("page.html"), ALICE), {}, "PosixPath is no response"),
        ((IDENTIFIED, None), {}, "email must be a str, not NoneType"),
        ((PAGE, ALICE), {"secret": {}}, "secret must be a str or bytes, not dict"),
    ],
)
def test_wrong_arguments(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        assert_identified(*arguments, **options)


# Nothing is shown -----------------------------------------------------------------------------

# Its tests have no variables and no literals that a runner could show.
FAILING = """
import os, pathlib, unittest
from ensoras_middleware.testing import assert_anonymous, assert_identified

def test_anonymous():
    assert_anonymous(pathlib.Path("page.html").read_bytes())

def test_other():
    assert_identified(pathlib.Path("page.html").read_bytes(), os.environ["OTHER_EMAIL"])

def test_hash():
    page = pathlib.Path("page.html").read_bytes
    assert_identified(page(), os.environ["EMAIL"], secret=os.environ["OTHER_SECRET"])

def load_tests(loader, tests, pattern):
    cases = test_anonymous, test_other, test_hash
    return unittest.TestSuite(map(unittest.FunctionTestCase, cases))
"""
RUNNERS = {
    "pytest": "pytest -p no:cacheprovider",
    "pytest, all": "pytest -p no:cacheprovider --full-trace --showlocals -vv",
    "unittest, all": "unittest --locals",
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_nothing_shown(runner: str, tmp_path: Path) -> None:
    """No runner prints an address, a hash or a secret, even if it prints all variables."""
    (tmp_path / "test_failing.py").write_text(FAILING)
    (tmp_path / "page.html").write_bytes(IDENTIFIED)
    other_secret = SECRET[::-1]
    values = {"EMAIL": ALICE, "OTHER_EMAIL": BOB, "OTHER_SECRET": other_secret}
    run = subprocess.run(
        [sys.executable, "-m", *RUNNERS[runner].split(), "test_failing.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | values,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 1
    assert run.stdout.count("The page should identify") >= 3
    for secret in (ALICE, BOB, other_secret, identity_hash(ALICE, SECRET)):
        assert secret not in run.stdout
    if runner != "pytest, all":
        assert "testing.py" not in run.stdout, "the traceback ends in the test"
