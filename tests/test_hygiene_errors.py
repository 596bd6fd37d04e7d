"""No error of ours shows a secret, an address or a hash: not in its words, nor in its variables.

An error tracker sends the variables of every frame that an error has passed, and a debugger shows
them. Those of the site's own frames are its own to hide.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import logging
import pprint
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest
from adapters import PAGE
from django.test import override_settings
from flask_ensoras import Ensoras
from hygiene import (
    EMAIL,
    HASH,
    SECRET,
    canaries_in,
    leaks_in_frames,
    public_state,
    words_of,
)  # fmt: skip

from ensoras_middleware import (
    ConfigurationError,
    Identity,
    identity_hash,
    secret_from_file,
    snippet,
    verify_identity,
)  # fmt: skip
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.cli import main
from ensoras_middleware.configuration import widget_from_keywords
from ensoras_middleware.eligibility import Request
from ensoras_middleware.endpoint import IdentityResponse
from ensoras_middleware.errors import hiding_variables
from ensoras_middleware.injection import Injection
from ensoras_middleware.options import SETTINGS
from ensoras_middleware.page import read_page
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware


def shown_by(error: BaseException) -> list[str]:
    return [*canaries_in(words_of(error)), *leaks_in_frames(error)]


@pytest.mark.parametrize("kind", [ConfigurationError, TypeError])
def test_what_is_refused_hides_its_variables(kind: type[Exception]) -> None:
    """Those of all that it called too; what is not refused is as ever."""

    def check(secret: str) -> None:
        raise kind

    @hiding_variables
    def function(secret: str, *, email: str | None) -> str:
        if email is None:
            check(secret)
        return f"{email} {secret}"

    assert function(SECRET, email=EMAIL) == f"{EMAIL} {SECRET}"
    with pytest.raises(kind) as raised:
        function(SECRET, email=None)
    assert len(raised.traceback) == 4
    for entry in raised.traceback[1:]:
        assert SECRET not in repr(entry.frame.f_locals)


# A wrong configuration --------------------------------------------------------------------------


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An application that nobody calls."""


def setting(keyword: str) -> str:
    return SETTINGS.get(keyword, f"ENSORAS_{keyword.upper()}")


def asgi(options: dict[str, Any]) -> None:
    AsgiMiddleware(app, **options)


def wsgi(options: dict[str, Any]) -> None:
    WsgiMiddleware(lambda environ, start_response: [], **options)


def flask_app(options: dict[str, Any]) -> None:
    site = flask.Flask("site")
    site.config |= {setting(keyword): value for keyword, value in options.items()}
    Ensoras(site)


def django(options: dict[str, Any]) -> None:
    from django_ensoras.middleware import EnsorasMiddleware

    with override_settings(**{setting(keyword): value for keyword, value in options.items()}):
        EnsorasMiddleware(lambda request: None)


async def later(request: Any) -> str:
    return EMAIL


WAYS = {"asgi": asgi, "wsgi": wsgi, "flask": flask_app, "django": django}
WRONG: dict[str, dict[str, Any]] = {
    "slug": {"slug": "bad slug"},
    "no slug": {"slug": None},
    "unknown option": {"scret": SECRET},
    "origin": {"origin": "ftp://x"},
    "white space": {"secret": f"{SECRET} "},
    "line break": {"secret": f"{SECRET}\n"},
    "quotes": {"secret": f'"{SECRET}"'},
    "control character": {"secret": f"{SECRET}\x01{SECRET}"},
    "no character": {"secret": f"{SECRET}\ud800"},
    "list": {"secret": [SECRET]},
    "secret as key": {"secret": {f"{SECRET} ": SECRET}},
    "secret of a mapping": {"secret": {"acme": f"{SECRET} "}},
    "slug of a mapping": {"secret": {"other": SECRET}},
    "no module": {"get_email": "no.such.module"},
    "no function": {"get_email": 5},
    "no arguments": {"get_email": lambda a, b: EMAIL},
    "asynchronous outcome": {"on_outcome": later},
    "exclude": {"exclude": "/admin"},
    "debug": {"debug": "yes"},
    "embed": {"embed": 1},
    "identity path": {"identity_path": "no path"},
    "enabled": {"enabled": "no"},
    "file, too": {"secret_file": "/nowhere"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration(name: str, way: str) -> None:
    """Whatever is wrong with it, and wherever it comes from."""
    options = {"slug": "acme", "secret": SECRET, "get_email": lambda *request: EMAIL}
    if way == "flask" and name != "no arguments":
        options["get_email"] = lambda: EMAIL
    with pytest.raises(ConfigurationError) as raised:
        WAYS[way](options | WRONG[name])
    assert shown_by(raised.value) == []


def test_wsgi_without_a_user() -> None:
    """What its own constructor refuses."""
    with pytest.raises(ConfigurationError) as raised:
        WsgiMiddleware(lambda environ, start_response: [], slug="acme", secret=SECRET)
    assert shown_by(raised.value) == []


@pytest.mark.parametrize("content", [f" {SECRET}", f'"{SECRET}"', f"{SECRET}\n\n", SECRET[:10]])
def test_a_secret_file(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, from the environment, and when it changes."""
    path = tmp_path / "secret"
    path.write_text(content)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", str(path))
    for make in (lambda: secret_from_file(path), lambda: widget_from_keywords({"slug": "acme"})):
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert shown_by(raised.value) == []
    path.write_text(SECRET)
    secret = secret_from_file(path)
    path.write_text(content)
    assert secret("acme") == SECRET.encode()
    assert "last good secret" in caplog.text
    assert canaries_in(caplog.text) == []


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (identity_hash, (None, SECRET)),
        (identity_hash, (EMAIL.encode(), SECRET)),
        (identity_hash, (EMAIL, [SECRET])),
        (verify_identity, (EMAIL, HASH, None)),
        (secret_from_file, (f"{SECRET}\0",)),
        (secret_from_file, ([SECRET],)),
    ],
)
def test_wrong_types(function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, ConfigurationError)) as raised:
        function(*arguments)
    assert shown_by(raised.value) == []


# Objects ----------------------------------------------------------------------------------------


def objects(path: Path) -> dict[str, Any]:
    path.write_text(SECRET)
    options: Any = {"slug": "acme", "secret": SECRET}
    widget = widget_from_keywords(options)
    assert widget is not None
    request = Request("GET", "/", {"sec-fetch-site": "same-origin"}.get)
    fields = [("Content-Type", "text/html")]
    site = flask.Flask("site")
    site.config |= {setting(keyword): value for keyword, value in options.items()}
    extension = Ensoras(site)
    started, whole = (Injection(widget, request, 200, fields) for _ in range(2))
    started.user_is(EMAIL)
    started.start_stream()
    started.feed(PAGE[:100])
    whole.names_widget(PAGE)
    whole.user_is(EMAIL)
    whole.whole(PAGE)
    endpoint = IdentityResponse(widget, request, "")
    endpoint.user_is(EMAIL)
    endpoint.give()
    page = read_page(snippet.script_element(snippet.identify_script(Identity(EMAIL, HASH)), None))
    return {
        "widget": widget,
        "widget of a mapping": widget_from_keywords({"secret": {"acme": SECRET}}),
        "widget of a file": widget_from_keywords(options | {"secret": secret_from_file(path)}),
        "identity": Identity(EMAIL, HASH),
        "secret file": secret_from_file(path),
        "asgi": AsgiMiddleware(app, **options),
        "wsgi": WsgiMiddleware(lambda e, s: [], **options, get_email=lambda request: EMAIL),
        "extension": extension,
        "globals of templates": site.jinja_env.globals["ensoras_widget"],
        "injection": whole,
        "stream": started,
        "endpoint": endpoint,
        "page": page,
        "call": page.calls[0],
    }  # fmt: skip


def test_objects_show_nothing(tmp_path: Path) -> None:
    """By `repr`, `str`, a format, a pretty printer, as a part of something else, or copied."""
    for name, one in objects(tmp_path / "secret").items():
        seen = [repr(one), str(one), f"{one}", pprint.pformat([one]), repr({"a": (one,)})]
        seen.append(repr(copy.copy(one)))
        if dataclasses.is_dataclass(one) and name.startswith("widget"):
            seen.append(repr(dataclasses.replace(one)))  # type: ignore[type-var]
        assert canaries_in("\n".join(seen)) == [], name


def test_attributes_of_what_a_site_holds_show_nothing(tmp_path: Path) -> None:
    """Those of the objects that live as long as the site, in a dump of them."""
    made = objects(tmp_path / "secret")
    for name in ("widget", "widget of a mapping", "widget of a file", "asgi", "wsgi", "extension"):
        assert canaries_in(public_state(made[name])) == [], name
    closure = made["globals of templates"].__closure__
    assert canaries_in(repr([cell.cell_contents for cell in closure])) == []


# The command line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "secret"),
    [
        (["verify", EMAIL, HASH], SECRET),
        (["verify", EMAIL, "0" * 64], SECRET),
        (["verify", EMAIL, identity_hash(EMAIL, f"{SECRET}\n")], SECRET),
        (["hash", f"{EMAIL},"], SECRET),
        (["hash", EMAIL], f" {SECRET}"),
        (["sandbox", "--port", "1"], f'"{SECRET}"'),
        (["check", "http://127.0.0.1:1/"], f"{SECRET} "),
        (["check", "http://127.0.0.1:1/"], SECRET),
    ],
)
def test_commands_show_nothing(
    arguments: list[str],
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """But for `hash`, which prints one, where it can."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", secret)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    main(arguments)
    assert canaries_in("".join(capfd.readouterr()) + caplog.text) == []
