"""Every option, through every front door: what works, and what a site is told where it cannot."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import posixpath
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
import flask
import pytest
from adapters import ALICE, PAGE, Host, identify_script, run_asgi, run_wsgi, serve
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import MiddlewareNotUsed
from django.test import override_settings
from django_ensoras.middleware import EnsorasMiddleware as DjangoMiddleware
from flask_ensoras import Ensoras
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route

from ensoras_middleware import ConfigurationError, secret_from_file
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.configuration import (
    options_from_settings,
    widget_from,
    widget_from_keywords,
    widget_tag_from,
)
from ensoras_middleware.widget import Widget
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

SECRET = "a-secret-of-the-tests-0123456789"
OTHER_SECRET = "the-other-secret-of-these-tests!"
GOOD: Any = {"slug": "acme", "secret": SECRET}

SETTINGS = {
    "slug": "ENSORAS_WIDGET_SLUG",
    "secret": "ENSORAS_WIDGET_SECRET",
    "secret_file": "ENSORAS_WIDGET_SECRET_FILE",
    "get_email": "ENSORAS_GET_EMAIL",
    "origin": "ENSORAS_WIDGET_ORIGIN",
    "embed": "ENSORAS_WIDGET_EMBED",
    "exclude": "ENSORAS_EXCLUDE",
    "enabled": "ENSORAS_ENABLED",
    "debug": "ENSORAS_DEBUG",
    "on_outcome": "ENSORAS_ON_OUTCOME",
}
ENVIRONMENT = [SETTINGS["slug"], SETTINGS["secret"], SETTINGS["secret_file"]]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


# The front doors: each takes options by keyword, and raises as a site would see it ----------------


def as_settings(options: dict[str, Any]) -> dict[str, Any]:
    return {SETTINGS.get(name, name): value for name, value in options.items()}


def email_of(request: object = None) -> str:
    return ALICE


async def async_email_of(request: object) -> str:
    return ALICE


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/html")])
    return [PAGE]


asgi_app = HTMLResponse(PAGE)


def open_wsgi(options: dict[str, Any]) -> object:
    return WsgiMiddleware(wsgi_app, **({"get_email": email_of} | options))


def open_asgi(options: dict[str, Any]) -> object:
    return AsgiMiddleware(asgi_app, **options)


def open_flask(options: dict[str, Any]) -> object:
    app = flask.Flask("site")
    app.config.update(as_settings(options))
    return Ensoras(app)


def open_django(get_response: Callable[..., Any], options: dict[str, Any]) -> object:
    with override_settings(**as_settings(options)):
        for name in ENVIRONMENT:
            if name not in as_settings(options) and hasattr(django_settings, name):
                delattr(django_settings, name)
        return DjangoMiddleware(get_response)


KEYWORD_DOORS: dict[str, Callable[[dict[str, Any]], object]] = {
    "keywords": widget_from_keywords,
    "wsgi": open_wsgi,
    "asgi": open_asgi,
}
SETTING_DOORS: dict[str, Callable[[dict[str, Any]], object]] = {
    "settings": lambda options: widget_from(options_from_settings(as_settings(options))),
    "flask": open_flask,
    "django-wsgi": functools.partial(open_django, email_of),
    "django-asgi": functools.partial(open_django, async_email_of),
}
DOORS = KEYWORD_DOORS | SETTING_DOORS
any_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
setting_door = pytest.mark.parametrize("door", SETTING_DOORS.values(), ids=SETTING_DOORS)
keyword_door = pytest.mark.parametrize("door", KEYWORD_DOORS.values(), ids=KEYWORD_DOORS)


def named(value: object) -> str:
    """Return a name for a row of a table: the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:50]


def refused(door: Callable[[dict[str, Any]], object], options: dict[str, Any]) -> str:
    """Return what a site with these options is told; no secret is anywhere in the report."""
    with pytest.raises(ConfigurationError) as caught:
        door(options)
    report = "".join(traceback.format_exception(caught.value))
    for secret in (SECRET, OTHER_SECRET, options.get("secret")):
        if isinstance(secret, str) and len(secret.strip()) > 4:
            assert secret.strip() not in report
    return str(caught.value)


def built(options: dict[str, Any]) -> Widget:
    widget = widget_from_keywords(options)
    assert widget is not None
    return widget


# What cannot work ---------------------------------------------------------------------------------

NOT_SLUGS = ["", " ", "two words", "a/b", "acme.js", "acmé", "acme\n", " acme", 7, b"acme"]
NOT_ORIGINS = [
    "",
    "app.ensoras.com",
    "//app.ensoras.com",
    "https://",
    "https:///",
    "https:app.ensoras.com",
    "https://app.ensoras.com//",
    "https://app.ensoras.com/cdn",
    "https://app.ensoras.com/cdn/v1/widget/acme.js",
    "https://app.ensoras.com?x=1",
    "https://app.ensoras.com/?",
    "https://app.ensoras.com#x",
    "https://user@app.ensoras.com",
    "https://user:password@app.ensoras.com",
    "https://app.ensoras.com:",
    "https://app.ensoras.com:port",
    "https://app.ensoras.com:443:443",
    "https://app.ensoras.com:4:3",
    "https://app.ensoras.com:123456",
    "https://[]",
    "https://app.ensoras.com\n",
    " https://app.ensoras.com",
    "https://app ensoras.com",
    "https://app.ensoras.com\\evil",
    "https://*.ensoras.com",
    "https://app`.ensoras.com",
    "https://{app.ensoras.com",
    "https://[g::1]",
    "https://[`::1]",
    "https://[/::1]",
    'https://app.ensoras.com"',
    "ftp://app.ensoras.com",
    "wss://app.ensoras.com",
    "javascript://app.ensoras.com",
    7,
    b"https://app.ensoras.com",
]
UNSAFE_ORIGINS = [
    "http://app.ensoras.com",
    "HTTP://app.ensoras.com",
    "http://192.168.0.1:8400",
    "http://0.0.0.0:8400",
    "http://localhost.example.com",
    "http://evil-localhost",
    "http://notlocalhost:8400",
    "http://127.0.0.1.example.com",
    "http://127.0.0.",
    "http://example.com.127.0.0.1",
    "http://128.0.0.1",
    "http://[::2]:8400",
    "http://[::]",
]
NOT_PATHS_LIST = ["/admin", b"/admin", 7, True]
NOT_PATHS = [["admin"], ["/admin", ""], [7], [None], [b"/admin"], ["https://example.com/admin"]]
NOT_IMPORTABLE = [
    "",
    "email_of",
    "no_such_package.email_of",
    "os.no_such_module.email_of",
    "os.path.no_such_function",
    "os.path.",
    ".email_of",
    ".shop.email_of",
    "..",
    "os path.basename",
    "os.path:basename",
]

DASHBOARD = "from the Ensoras dashboard"


class AsyncCallable:
    async def __call__(self, request: object) -> str:
        return ALICE


ASYNC = [async_email_of, functools.partial(async_email_of), AsyncCallable(), "asyncio.sleep"]

WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    # options beside the good ones (`...`: left out), setting, cause, remedy
    ({"slug": ...}, "slug", "is missing", "the name in your widget's address"),
    *(
        ({"slug": ..., "embed": True, "secret": many}, "slug", "is missing", "so name it")
        for many in ({"acme": SECRET}, {"acme": SECRET}.get)
    ),
    *(({"slug": slug}, "slug", "is not a slug", "copy the name") for slug in NOT_SLUGS),
    ({"slug": "YOUR_SLUG"}, "slug", "is not a slug", "copy the name"),
    ({"secret": ...}, "secret", "is missing", f"copy the widget secret {DASHBOARD}"),
    ({"secret": ""}, "secret", "is blank", DASHBOARD),
    ({"secret": b" \n"}, "secret", "is blank", DASHBOARD),
    ({"secret": "0123456789abcde"}, "secret", "is shorter than 16 bytes", DASHBOARD),
    ({"secret": "YOUR_SECRET"}, "secret", "is still a placeholder", DASHBOARD),
    ({"secret": f" {SECRET}"}, "secret", "has white space around it", "without it"),
    ({"secret": 1234567890123456}, "secret", "must be text, not int", DASHBOARD),
    ({"secret": [SECRET]}, "secret", "must be text, not list", DASHBOARD),
    ({"secret": {}}, "secret", "is an empty mapping", "name a slug and its secret"),
    ({"secret": {"acme": "short"}}, "secret", "is shorter than 16 bytes", DASHBOARD),
    ({"secret": {"a b": SECRET}}, "secret", "is no slug", "use the slugs of your widgets"),
    ({"secret": {"other": SECRET}}, "slug", "is not in the mapping", "add its secret there"),
    ({"secret": async_email_of}, "secret", "is an asynchronous callable", "give a synchronous one"),
    *(
        ({"origin": origin}, "origin", "is not an origin", "write it like https://app.ensoras.com")
        for origin in NOT_ORIGINS
    ),
    *(({"origin": origin}, "origin", "is not safe", "use https") for origin in UNSAFE_ORIGINS),
    *(
        ({"exclude": paths}, "exclude", "must be a list of paths", '["/admin"]')
        for paths in NOT_PATHS_LIST
    ),
    *(({"exclude": paths}, "exclude", "no path", 'begins with "/"') for paths in NOT_PATHS),
    *(
        ({"exclude": [path]}, "exclude", "has an entry with", "plain paths")
        for path in ("/admin/*", "/shop?page=1", "/shop#top")
    ),
    *(
        ({"get_email": path}, "get_email", "cannot be imported", '"shop.customers.email_of"')
        for path in NOT_IMPORTABLE
    ),
    ({"get_email": "os.sep"}, "get_email", "must be a function", "or the dotted path of one"),
    ({"get_email": 7}, "get_email", "must be a function", "or the dotted path of one"),
    ({"get_email": [email_of]}, "get_email", "must be a function", "or the dotted path of one"),
    ({"on_outcome": "shop.count"}, "on_outcome", "cannot be imported", '"shop.metrics.count"'),
    ({"on_outcome": []}, "on_outcome", "must be a function", "or the dotted path of one"),
    *(
        ({"on_outcome": function}, "on_outcome", "is asynchronous", "give a plain function")
        for function in ASYNC
    ),
    *(
        ({switch: value}, switch, "must be True or False", type(value).__name__)
        for switch in ("enabled", "debug", "embed")
        for value in (0, 1, "", "False", "yes", [])
    ),
    *(
        ({keyword: None}, keyword, "is None", "leave it out for the default")
        for keyword in SETTINGS
        if keyword != "secret_file"
    ),
]


@any_door
@pytest.mark.parametrize(("options", "keyword", "cause", "remedy"), WRONG, ids=named)
def test_wrong(
    door: Callable[[dict[str, Any]], object],
    options: dict[str, Any],
    keyword: str,
    cause: str,
    remedy: str,
) -> None:
    """The site does not start, and is told the setting, the cause and the remedy."""
    options = {name: value for name, value in (GOOD | options).items() if value is not ...}
    message = refused(door, options)
    assert message.startswith(f"{SETTINGS[keyword]} (keyword `{keyword}`) ")
    assert cause in message
    assert remedy in message


@pytest.mark.parametrize("path", ["no_such_package.email_of", "os.path.no_such_function"])
def test_wrong_dotted_path_is_shown(path: str) -> None:
    """Where only the message is seen, as in a server's log, it says what was not found."""
    assert path in refused(widget_from_keywords, GOOD | {"get_email": path})


@setting_door
@pytest.mark.parametrize(
    ("value", "cause", "remedy"),
    [
        (None, "is None", "leave it out"),
        ("", "must be the path of a file", ""),
        (7, "must be the path of a file", ""),
        (True, "must be the path of a file", ""),
        (b"/run/secrets/ensoras", "must be the path of a file", ""),
        ("/no/such/file", "cannot be read (No such file or directory)", "name a file that holds"),
        ("/", "is no regular file", "name one that holds"),
        (os.devnull, "is no regular file", "name one that holds"),
    ],
    ids=named,
)
def test_wrong_secret_file(
    door: Callable[[dict[str, Any]], object], value: object, cause: str, remedy: str
) -> None:
    """A file that cannot be used is found out when the site starts."""
    message = refused(door, {"slug": "acme", "secret_file": value})
    assert message.startswith("ENSORAS_WIDGET_SECRET_FILE ")
    assert "keyword" not in message  # it has none
    assert cause in message
    assert remedy in message


@setting_door
def test_secret_and_secret_file(
    door: Callable[[dict[str, Any]], object], secret_file: Path
) -> None:
    """Two sources of one secret: which one signs must not be a guess."""
    message = refused(door, GOOD | {"secret_file": secret_file})
    assert "ENSORAS_WIDGET_SECRET and ENSORAS_WIDGET_SECRET_FILE are both set" in message
    assert "keep one" in message


@any_door
def test_secret_and_secret_file_in_the_environment(
    door: Callable[[dict[str, Any]], object], monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    """The same where both come from the environment."""
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", str(secret_file))
    message = refused(door, {"slug": "acme"})
    assert "ENSORAS_WIDGET_SECRET and ENSORAS_WIDGET_SECRET_FILE are both set" in message


@keyword_door
@pytest.mark.parametrize("name", ["slugs", "secret_key", "secret_file", "ENSORAS_WIDGET_SLUG"])
@pytest.mark.parametrize("enabled", [True, False])
def test_unknown_option(door: Callable[[dict[str, Any]], object], name: str, enabled: bool) -> None:
    """A misspelt option is named, and so are those that exist."""
    message = refused(door, GOOD | {name: SECRET, "enabled": enabled})
    assert f"`{name}` is not an option" in message
    for known in SETTINGS.keys() - {"secret_file"}:
        assert re.search(rf"\b{known}\b", message)


@setting_door
@pytest.mark.parametrize("name", ["ENSORAS_SLUG", "ENSORAS_SECRET", "ENSORAS_", "ENSORAS_WIDGET"])
@pytest.mark.parametrize("enabled", [True, False])
def test_unknown_setting(
    door: Callable[[dict[str, Any]], object], name: str, enabled: bool
) -> None:
    """A misspelt setting is named, and so are those that exist."""
    message = refused(door, GOOD | {name: SECRET, "enabled": enabled})
    assert f"{name} is not a setting" in message
    for known in SETTINGS.values():
        assert re.search(rf"\b{known}\b", message)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ENSORAS_TRUST_EMAIL", "ENSORAS_TRUST_EMAILS"),
        ("ENSORAS_SECRET_FILE", "ENSORAS_WIDGET_SECRET_FILE"),
        ("ENSORAS_QUITE_ANOTHER_THING", None),
    ],
)
def test_the_setting_that_was_meant(name: str, meant: str | None) -> None:
    message = refused(SETTING_DOORS["settings"], GOOD | {name: True})
    hint = f"did you mean {meant}? Else " if meant else ""
    assert f"ensoras-middleware: {hint}remove it, or use one of " in message


@pytest.mark.parametrize("setting", ["ENSORAS_DEBUG", "ENSORAS_WIDGET_ORIGIN", "ENSORAS_ENABLED"])
def test_a_setting_in_the_environment(
    setting: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only three are read there; of others a site that exports them is told so."""
    monkeypatch.setenv(setting, "1")
    built(GOOD)
    assert [one.getMessage().partition(",")[0] for one in caplog.records] == [
        f"{setting} is set in the environment"
    ]
    caplog.clear()
    keyword = next(keyword for keyword, name in SETTINGS.items() if name == setting)
    given = {"debug": True, "origin": "https://app.ensoras.com", "enabled": True}[keyword]
    built(GOOD | {keyword: given})
    assert not caplog.records


@setting_door
def test_other_settings_are_not_ours(door: Callable[[dict[str, Any]], object]) -> None:
    """Whatever does not begin with `ENSORAS_` belongs to somebody else."""
    door(GOOD | {"SECRET": "", "WIDGET_SLUG": None, "MY_ENSORAS_SLUG": 7})


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("ENSORAS_WIDGET_SLUG", "", "is not a slug"),
        ("ENSORAS_WIDGET_SLUG", "two words", "is not a slug"),
        ("ENSORAS_WIDGET_SECRET", "", "is blank"),
        ("ENSORAS_WIDGET_SECRET", "too short", "is shorter"),
        ("ENSORAS_WIDGET_SECRET_FILE", "", "must be the path"),
        ("ENSORAS_WIDGET_SECRET_FILE", "/no/such/file", "cannot be read"),
    ],
)
@any_door
def test_wrong_environment(
    door: Callable[[dict[str, Any]], object],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    cause: str,
) -> None:
    """A wrong variable stops the site as a wrong setting does, under the same name."""
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", "acme")
    if name == "ENSORAS_WIDGET_SLUG":
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
    monkeypatch.setenv(name, value)
    message = refused(door, {})
    assert message.startswith(name)
    assert cause in message


# What works ---------------------------------------------------------------------------------------


def test_defaults() -> None:
    """Slug and secret are enough."""
    widget = built(GOOD)
    assert widget.slug == "acme"
    assert widget.secret("acme") == SECRET.encode()
    assert widget.origin == "https://app.ensoras.com"
    assert widget.exclude == ()
    assert widget.embed is False
    assert widget.debug is False
    assert widget.trust_emails is False
    assert widget.allow_impersonation is False
    assert widget.get_email is None
    assert widget.on_outcome is None


@pytest.mark.parametrize("switch", ["embed", "debug", "trust_emails", "allow_impersonation"])
def test_switches(switch: str) -> None:
    """Each for itself."""
    assert getattr(built(GOOD | {switch: True}), switch) is True
    assert getattr(built(GOOD | {switch: False}), switch) is False


@any_door
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slug": "A-b_9"},
        {"secret": SECRET.encode()},
        {"secret": {"acme": SECRET, "other": OTHER_SECRET}},
        {"secret": {"acme": SECRET}, "slug": ...},
        {"secret": lambda slug: SECRET},
        {"secret": lambda slug: SECRET, "slug": ...},
        {"get_email": email_of},
        {"get_email": "locale.getlocale"},
        {"on_outcome": print},
        {"on_outcome": "posixpath.basename"},
        {"origin": "http://localhost:8400"},
        {"exclude": ["/admin", "/X/"]},
        {"embed": True},
        {"embed": True, "secret": {"acme": SECRET, "other": OTHER_SECRET}},
        {"embed": False, "secret": {"acme": SECRET}, "slug": ...},
        {"enabled": True},
        {"debug": True},
    ],
    ids=named,
)
def test_right(door: Callable[[dict[str, Any]], object], options: dict[str, Any]) -> None:
    """Every option is taken through every door."""
    door({name: value for name, value in (GOOD | options).items() if value is not ...})


def test_never_shown() -> None:
    """A configuration that is printed shows no secret."""
    look_up = functools.partial({}.get, SECRET)  # whose `repr` shows its arguments
    for secret in (SECRET, SECRET.encode(), {"acme": SECRET}, look_up):
        widget = built(GOOD | {"secret": secret})
        assert SECRET not in repr(widget) + str(widget) + f"{[widget]}"
        assert "acme" in repr(widget)


@pytest.mark.parametrize("adapter", adapters.ADAPTERS)
class TestSecrets:
    """Where the secret comes from, seen in the page."""

    def test_environment(self, adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Slug and secret come from the environment where the host sets nothing."""
        monkeypatch.setenv("ENSORAS_WIDGET_SLUG", "acme")
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET", OTHER_SECRET)
        site = serve(adapter, Host(), ALICE, slug=..., secret=...)
        assert identify_script(ALICE, OTHER_SECRET) in site.get().body

    def test_environments_file(
        self,
        adapter: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        secret_file: Path,
    ) -> None:
        """A file that the environment names is read again when it has changed."""
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", str(secret_file))
        site = serve(adapter, Host(), ALICE, secret=...)
        for secret in (SECRET, OTHER_SECRET, SECRET):
            secret_file.write_text(secret)
            assert identify_script(ALICE, secret) in site.get().body
        assert caplog.records == []

    def test_host_before_environment(self, adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the host sets counts, whichever of the variables there are, right or wrong."""
        monkeypatch.setenv("ENSORAS_WIDGET_SLUG", "other")
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET", OTHER_SECRET)
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", "/no/such/file")
        site = serve(adapter, Host(), ALICE)
        assert identify_script(ALICE, SECRET) in site.get().body

    @pytest.mark.parametrize("form", [dict, lambda secrets: secrets.get])
    def test_several_widgets(self, adapter: str, form: Callable[[Any], Any]) -> None:
        """Without a slug the page's widget tag says which secret signs; a stranger's tag none."""
        secret = form({"acme": SECRET, "other": OTHER_SECRET})
        page = Host()
        site = serve(adapter, lambda: page, ALICE, slug=..., secret=secret)
        assert identify_script(ALICE, SECRET) in site.get().body
        page = Host(PAGE.replace(b"acme.js", b"other.js"))
        assert identify_script(ALICE, OTHER_SECRET) in site.get().body
        page = Host(PAGE.replace(b"acme.js", b"stranger.js"))
        assert site.get().body == page.body

    def test_live_rotation(self, adapter: str) -> None:
        """A callable is asked for every page, so a rotation needs no restart."""
        secret = SECRET
        site = serve(adapter, Host(), ALICE, secret=lambda slug: secret)
        assert identify_script(ALICE, SECRET) in site.get().body
        secret = OTHER_SECRET
        assert identify_script(ALICE, OTHER_SECRET) in site.get().body


@setting_door
def test_host_file_before_the_environments_secret(
    door: Callable[[dict[str, Any]], Any], monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    """A file in the settings and a secret in the environment are not two settings of the host."""
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", OTHER_SECRET)
    for path in (str(secret_file), secret_file):
        widget = door({"slug": "acme", "secret_file": path})
        if isinstance(widget, Widget):
            assert widget.secret("acme") == SECRET.encode()


def test_nothing_else_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three variables are read; a variable of any other name is the site's own business."""
    for name in ("ENABLED", "WIDGET_ORIGIN", "GET_EMAIL", "EXCLUDE", "DEBUG", "UNKNOWN"):
        monkeypatch.setenv(f"ENSORAS_{name}", "nonsense")
    widget = built(GOOD)
    assert (widget.origin, widget.exclude, widget.debug) == ("https://app.ensoras.com", (), False)
    assert widget.get_email is None


class TestSlug:
    @any_door
    @pytest.mark.parametrize("with_file", [False, True])
    def test_required_with_one_secret(
        self,
        door: Callable[[dict[str, Any]], object],
        monkeypatch: pytest.MonkeyPatch,
        secret_file: Path,
        with_file: bool,
    ) -> None:
        """One secret belongs to one widget: a stranger's tag must not be handed our hash."""
        if with_file:
            monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", str(secret_file))
        else:
            monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
        assert refused(door, {}).startswith("ENSORAS_WIDGET_SLUG ")

    @any_door
    def test_required_with_a_secret_from_a_file(
        self, door: Callable[[dict[str, Any]], object], secret_file: Path
    ) -> None:
        """`secret_from_file` returns a callable, yet it holds one secret."""
        message = refused(door, {"secret": secret_from_file(secret_file)})
        assert message.startswith("ENSORAS_WIDGET_SLUG ")
        door({"secret": secret_from_file(secret_file), "slug": "acme"})

    @pytest.mark.parametrize("secret", [{"acme": SECRET}, {"acme": SECRET}.get])
    def test_optional_with_many(self, secret: Any) -> None:
        """A mapping or a callable knows the secret of every slug that it knows."""
        widget = built({"secret": secret})
        assert widget.slug is None
        assert widget.secret("acme") == SECRET.encode()
        assert widget.secret("stranger") is None

    def test_from_the_environment_with_a_mapping(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A slug in the environment chooses among the host's secrets."""
        secrets = {"acme": SECRET, "other": OTHER_SECRET}
        monkeypatch.setenv("ENSORAS_WIDGET_SLUG", "other")
        assert built({"secret": secrets}).slug == "other"
        monkeypatch.setenv("ENSORAS_WIDGET_SLUG", "stranger")
        with pytest.raises(ConfigurationError, match="is not in the mapping"):
            built({"secret": secrets})

    @pytest.mark.parametrize("answer", ["", "short", "YOUR_SECRET", 7, SECRET + "\n"])
    def test_a_callables_answer_is_checked(self, answer: object) -> None:
        """What a callable returns is no more trusted than a setting."""
        widget = built({"secret": lambda slug: answer})
        with pytest.raises(ConfigurationError, match=r"^ENSORAS_WIDGET_SECRET ") as caught:
            widget.secret("acme")
        assert SECRET not in str(caught.value)


class TestOrigin:
    @pytest.mark.parametrize(
        ("origin", "normalised"),
        [
            ("https://app.ensoras.com", "https://app.ensoras.com"),
            ("https://app.ensoras.com/", "https://app.ensoras.com"),
            ("HTTPS://App.Ensoras.COM/", "https://app.ensoras.com"),
            ("https://chat.example.co.uk:8443", "https://chat.example.co.uk:8443"),
            ("https://192.168.0.1", "https://192.168.0.1"),
            ("https://app.ensoras.com:443/", "https://app.ensoras.com"),
            ("http://localhost:80", "http://localhost"),
            ("https://09-az.example.com", "https://09-az.example.com"),
            ("https://[09:af::1]", "https://[09:af::1]"),
            ("https://[::ffff:10.0.0.1]:9", "https://[::ffff:10.0.0.1]:9"),
            ("https://chat.example:64999", "https://chat.example:64999"),
            ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
            ("http://localhost", "http://localhost"),
            ("http://LOCALHOST:8400/", "http://localhost:8400"),
            ("http://shop.localhost:8400", "http://shop.localhost:8400"),
            ("http://a.b.localhost", "http://a.b.localhost"),
            ("http://127.0.0.1:8400", "http://127.0.0.1:8400"),
            ("http://127.1.29.130", "http://127.1.29.130"),
            ("http://[::1]:8400", "http://[::1]:8400"),
            ("http://[::1]", "http://[::1]"),
        ],
    )
    def test_normalised(self, origin: str, normalised: str) -> None:
        """Any https origin, and http on this machine; case and a trailing slash do not matter."""
        widget = built(GOOD | {"origin": origin})
        assert widget.origin == normalised
        assert widget.address.fullmatch(f"{normalised}/cdn/v1/widget/acme.js")
        body = f'<script src="{normalised}/cdn/v1/widget/acme.js">'.encode()
        assert widget.needle in body

    @pytest.mark.parametrize("look_alike", ["l\u0131ve", "L\u0130VE", "live\u017f"])
    def test_a_look_alike_is_another(self, look_alike: str) -> None:
        """Without regard to case is said of ASCII: U+0131 is no i to a browser, either."""
        address = built(GOOD | {"origin": "https://live.example.com"}).address
        path = "example.com/cdn/v1/widget/acme.js"
        assert address.fullmatch(f"https://LIVE.{path}")
        assert not address.fullmatch(f"https://{look_alike}.{path}")
        options = GOOD | {"origin": f"https://{look_alike}.example.com"}
        assert "is not an origin" in refused(widget_from_keywords, options)

    @pytest.mark.parametrize("adapter", adapters.ADAPTERS)
    def test_its_tag_alone_counts(self, adapter: str) -> None:
        """A page with another origin's tag is not identified."""
        origin = "http://localhost:8400"
        page = Host(PAGE.replace(b"https://app.ensoras.com", origin.encode()))
        assert identify_script(ALICE) in serve(adapter, page, ALICE, origin=origin).get().body
        assert serve(adapter, Host(), ALICE, origin=origin).get().body == PAGE


class TestExclude:
    @pytest.mark.parametrize(
        "exclude",
        [
            ["/admin", "/api/v1"],
            ("/admin/", "/api/v1/"),
            {"/admin", "/api/v1"},
            (path for path in ["/admin", "/api/v1"]),
        ],
        ids=lambda paths: type(paths).__name__,
    )
    def test_by_whole_segments(self, exclude: Any) -> None:
        """Any iterable of paths; a slash at the end changes nothing."""
        widget = built(GOOD | {"exclude": exclude})
        for path in ("/admin", "/admin/", "/admin/users/7", "/admin//", "/api/v1", "/api/v1/x"):
            assert widget.excludes(path), path
        for path in (
            "/", "", "/administrators", "/admin-tools", "/admin.html", "/Admin", "/shop/admin",
            "/api", "/api/", "/api/v10", "/api/v2", "//admin",
        ):  # fmt: skip
            assert not widget.excludes(path), path

    def test_nothing(self) -> None:
        """An empty list excludes no page."""
        assert not built(GOOD | {"exclude": []}).excludes("/")

    def test_everything(self) -> None:
        """Every path is below the first slash."""
        assert built(GOOD | {"exclude": ["/"]}).excludes("/shop")

    @pytest.mark.parametrize("adapter", adapters.ADAPTERS)
    def test_is_never_touched(self, adapter: str) -> None:
        """An excluded page goes out with the host's bytes; its neighbour is identified."""
        site = serve(adapter, Host(), ALICE, exclude=["/admin"])
        for path in ("/admin", "/admin/", "/admin/users"):
            answer = site.get(path)
            assert answer.body == PAGE
            assert answer["Vary"] is None
            assert answer["Cache-Control"] is None
        assert identify_script(ALICE) in site.get("/administrators").body


OFF = [
    {},
    {"slug": "acme"},
    {"slug": None, "secret": None},  # os.environ.get(…) where CI has no such variable
    {"slug": "", "secret": ""},
    {"secret": "YOUR_SECRET", "origin": "nonsense", "get_email": "no_such.function"},
]


class TestOff:
    @pytest.mark.parametrize("options", OFF, ids=named)
    @pytest.mark.parametrize("door", [*KEYWORD_DOORS, "settings", "flask"])
    def test_needs_nothing(self, door: str, options: dict[str, Any]) -> None:
        """CI and image builds have no secret, and no other option is looked at."""
        DOORS[door](options | {"enabled": False})

    @pytest.mark.parametrize("options", OFF, ids=named)
    @pytest.mark.parametrize("door", ["django-wsgi", "django-asgi"])
    def test_django_leaves_the_middleware_out(self, door: str, options: dict[str, Any]) -> None:
        """Django drops a middleware that says it is not used, so it costs nothing."""
        with pytest.raises(MiddlewareNotUsed, match="ENSORAS_ENABLED"):
            DOORS[door](options | {"enabled": False})

    def test_the_environment_does_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even a wrong variable."""
        monkeypatch.setenv("ENSORAS_WIDGET_SLUG", "two words")
        monkeypatch.setenv("ENSORAS_WIDGET_SECRET_FILE", "/no/such/file")
        assert widget_from_keywords({"enabled": False}) is None

    @pytest.mark.parametrize("adapter", adapters.ADAPTERS)
    def test_leaves_everything_alone(self, adapter: str) -> None:
        """Bytes, fields and preconditions are as without us."""
        host = Host().with_headers(("ETag", '"1"'), ("Cache-Control", "max-age=60"))
        site = serve(adapter, host, ALICE, enabled=False)
        answer = site.get(Cookie="session=1", If_None_Match='"2"', Sec_Fetch_Dest="document")
        assert answer.body == PAGE
        assert answer["Vary"] is None
        assert answer["ETag"] == '"1"'
        assert answer["Cache-Control"] == "max-age=60"
        assert site.seen[-1]["if-none-match"] == '"2"'

    def test_the_apps_own_objects_pass_through(self) -> None:
        """Under WSGI and ASGI the server gets what the host returns and sends."""
        iterable = [PAGE]
        site = WsgiMiddleware(lambda environ, start_response: iterable, enabled=False)
        assert site({}, lambda *arguments: lambda data: None) is iterable
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            sent.extend([scope, receive, send])

        scope: Any = {"type": "http"}
        arguments: list[Any] = [scope, object(), object()]
        asyncio.run(AsgiMiddleware(app, enabled=False)(*arguments))
        assert [id(one) for one in sent] == [id(one) for one in arguments]
        # What `identity_endpoint` inside must know.
        assert scope == {"type": "http", "ensoras_middleware.off": True}


SYNC_DOORS = ("wsgi", "flask", "django-wsgi")


class TestGetEmail:
    @pytest.mark.parametrize("get_email", ASYNC, ids=["function", "partial", "object", "path"])
    @pytest.mark.parametrize("door", SYNC_DOORS)
    def test_asynchronous_under_wsgi(self, door: str, get_email: Any) -> None:
        """Nothing could await it: refused when the site starts."""
        message = refused(DOORS[door], GOOD | {"get_email": get_email})
        assert message.startswith("ENSORAS_GET_EMAIL (keyword `get_email`) is asynchronous")
        assert "give a plain function" in message

    @pytest.mark.parametrize("get_email", ASYNC, ids=["function", "partial", "object", "path"])
    @pytest.mark.parametrize("door", ["asgi", "django-asgi"])
    def test_asynchronous_under_asgi(self, door: str, get_email: Any) -> None:
        """Under ASGI it is awaited."""
        DOORS[door](GOOD | {"get_email": get_email})

    @pytest.mark.parametrize("adapter", ["asgi", "django-asgi"])
    @pytest.mark.parametrize("get_email", [email_of, async_email_of, AsyncCallable()])
    def test_is_asked_under_asgi(self, adapter: str, get_email: Any) -> None:
        """Plain or not, its answer is the visitor."""
        site = serve(adapter, Host(), None, get_email=get_email)
        assert identify_script(ALICE) in site.get().body

    @pytest.mark.parametrize("door", ["wsgi", "asgi", "django-wsgi", "django-asgi"])
    @pytest.mark.parametrize("get_email", [lambda: ALICE, lambda request, user: ALICE])
    def test_takes_the_request(self, door: str, get_email: Any) -> None:
        """One argument, told when the site starts."""
        message = refused(DOORS[door], GOOD | {"get_email": get_email})
        assert message.startswith("ENSORAS_GET_EMAIL (keyword `get_email`) cannot be called")
        assert "let it take one argument, the request." in message

    def test_takes_nothing_in_flask(self) -> None:
        message = refused(DOORS["flask"], GOOD | {"get_email": lambda request: ALICE})
        assert "let it take no arguments: use flask.request." in message
        with pytest.raises(ConfigurationError, match="let it take no arguments"):
            Ensoras().email_getter(lambda request: ALICE)

    def test_no_signature(self) -> None:
        """What was written in C may have none that Python knows: it is taken as it is."""
        with pytest.raises(ValueError, match="no signature"):
            inspect.signature(min)
        DOORS["wsgi"](GOOD | {"get_email": min})

        def get_email(request: object) -> str:
            return ALICE

        get_email.__signature__ = 5  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            inspect.signature(get_email)
        DOORS["wsgi"](GOOD | {"get_email": get_email})

    @pytest.mark.parametrize("get_email", ASYNC[:3])
    def test_flasks_decorator_refuses_asynchronous(self, get_email: Any) -> None:
        """`@ensoras.email_getter` says so right there."""
        with pytest.raises(ConfigurationError, match=r"^ENSORAS_GET_EMAIL .* is asynchronous"):
            Ensoras().email_getter(get_email)

    def test_required_under_wsgi(self) -> None:
        """WSGI knows no user."""
        message = refused(lambda options: WsgiMiddleware(wsgi_app, **options), GOOD)
        assert message.startswith("ENSORAS_GET_EMAIL (keyword `get_email`) is missing")
        assert "werkzeug Request" in message

    def test_dotted_path(self) -> None:
        """A path names any callable that can be imported."""
        assert built(GOOD | {"get_email": "posixpath.basename"}).get_email is posixpath.basename
        assert built(GOOD | {"get_email": "os.path.basename"}).get_email is os.path.basename
        assert built(GOOD | {"on_outcome": "posixpath.isabs"}).on_outcome is posixpath.isabs
        assert built(GOOD | {"get_email": email_of}).get_email is email_of

    def test_dotted_path_is_asked(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The function that a path names gets the request, and says who the visitor is."""
        (tmp_path / "customers_of_test.py").write_text(
            "def email_of(request):\n    return request.headers['X-Email']\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        site = WsgiMiddleware(wsgi_app, **GOOD, get_email="customers_of_test.email_of")
        assert identify_script(ALICE) in run_wsgi(site, "GET", "/", {"X-Email": ALICE}).body


# When a site is told ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ENSORAS_WIDGET_SECRET": "YOUR_SECRET"}, "ENSORAS_WIDGET_SECRET"),
        ({"ENSORAS_WIDGET_SLUG": "a b"}, "ENSORAS_WIDGET_SLUG"),
        ({"ENSORAS_SLUG": "acme"}, "ENSORAS_SLUG"),
        ({"ENSORAS_WIDGET_SECRET": None}, "ENSORAS_WIDGET_SECRET"),
    ],
)
def test_djangos_system_check(settings: dict[str, Any], named: str) -> None:
    """`manage.py check` reports what the middleware would refuse, as ensoras.E001."""
    with override_settings(**as_settings(GOOD)):
        assert not [one for one in checks.run_checks() if one.id == "ensoras.E001"]
    with override_settings(**(as_settings(GOOD) | settings)):
        (error,) = [one for one in checks.run_checks() if one.id == "ensoras.E001"]
    assert error.level == checks.ERROR
    assert named in error.msg
    assert SECRET not in error.msg


def starlette_site(**options: Any) -> Starlette:
    async def page(request: object) -> HTMLResponse:
        return HTMLResponse(PAGE)

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(AsgiMiddleware, **options)
    return app


SITE = """
from {module} import {name}
from ensoras_middleware.asgi import EnsorasMiddleware

app = {name}()
app.add_middleware(EnsorasMiddleware, {options})
"""


class TestLate:
    """`add_middleware` only notes the options: Starlette builds its stack at the first call."""

    @pytest.mark.servers
    @pytest.mark.parametrize(
        ("module", "name"), [("starlette.applications", "Starlette"), ("fastapi", "FastAPI")]
    )
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (f"slug='acme', secret='{SECRET} '", "ENSORAS_WIDGET_SECRET (keyword `secret`) has"),
            (f"slug='acme', secret='{SECRET}', sluge=1", "`sluge` is not an option"),
        ],
    )
    def test_the_server_does_not_start(
        self, tmp_path: Path, module: str, name: str, options: str, told: str
    ) -> None:
        """Where the server runs a lifespan it stops at once, and its log has the message."""
        site = SITE.format(module=module, name=name, options=options)
        (tmp_path / "site_of_test.py").write_text(site)
        command = f"{sys.executable} -m uvicorn site_of_test:app --port 0 --app-dir".split()
        server = subprocess.run(
            [*command, tmp_path],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert server.returncode != 0
        log = server.stdout + server.stderr
        assert told in log
        assert "Application startup failed" in log
        assert "Traceback" not in log
        assert SECRET not in log

    def test_lifespan(self) -> None:
        """The start-up fails with the message; the host's own lifespan never begins."""
        begun: list[str] = []
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            messages.append(message)

        app = starlette_site(slug="acme", secret="short")
        app.router.lifespan_context = lambda app: begun.append("host")
        asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))
        (message,) = messages
        assert message["type"] == "lifespan.startup.failed"
        assert message["message"].startswith("ENSORAS_WIDGET_SECRET ")
        assert begun == []

    def test_requests_without_lifespan(self) -> None:
        """Without a lifespan every request raises it: no page goes out as if all were well."""
        app = starlette_site(slug="acme", secret="short")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"^ENSORAS_WIDGET_SECRET .* shorter"):
                run_asgi(app, "GET", "/", {})

    def test_requests_leave_nothing_behind(self) -> None:
        """The error that is raised for one request holds no frame, so no cookie, of another."""
        app = starlette_site(slug="acme", secret="short")
        depths = []
        for _ in range(5):
            with pytest.raises(ConfigurationError) as caught:
                run_asgi(app, "GET", "/", {})
            depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
        assert len(set(depths)) == 1, depths

    @pytest.mark.parametrize(
        "build",
        [
            lambda: AsgiMiddleware(asgi_app, slug="acme", secret="short"),
            lambda: Route(
                "/", email_of, middleware=[Middleware(AsgiMiddleware, slug="acme", secret="short")]
            ),
        ],
        ids=["wrapped", "route"],
    )
    def test_elsewhere_at_construction(self, build: Callable[[], object]) -> None:
        """A wrapped app, or a route's own middleware, is built at once, and fails at once."""
        with pytest.raises(ConfigurationError, match="ENSORAS_WIDGET_SECRET"):
            build()

    def test_right_options(self) -> None:
        """The same site with right options answers."""
        answer = run_asgi(starlette_site(**GOOD), "GET", "/", {})
        assert answer.body == PAGE
        assert answer["Vary"] == "Cookie"


def test_a_site_that_is_switched_off_needs_no_slug_for_its_templates() -> None:
    """The widget tag is written where a slug is known, and otherwise left out."""
    assert widget_tag_from({"enabled": False}) == ""
    assert "acme.js" in widget_tag_from({"enabled": False, "slug": "acme"})
    assert "acme.js" in widget_tag_from({"enabled": False}, slug="acme")
    with pytest.raises(ConfigurationError, match="ENSORAS_WIDGET_SLUG"):
        widget_tag_from({})


@pytest.mark.parametrize("nonce", ['a"', "a b", "a=>", "===", " a"])
def test_what_is_no_nonce_is_not_written(nonce: str) -> None:
    """A template may hand over anything; nothing of it gets into the page."""
    with pytest.raises(ConfigurationError, match="nonce"):
        widget_tag_from(GOOD, nonce=nonce)
    assert ' nonce="aZ09+/-_=="' in widget_tag_from(GOOD, nonce="aZ09+/-_==")
