"""The three example shops and the demo that runs them.

The fast tests talk to each shop through its framework's own test client. Django's settings are one
per process, so its shop gets a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import django_shop_client
import pytest
from chromium import chromium
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette

from ensoras_middleware import identity_hash
from examples import demo, shop
from examples.flask_shop.app import create_app as create_flask_shop
from examples.starlette_shop.app import create_app as create_starlette_shop

ROOT = Path(__file__).resolve().parent.parent
ALICE, BOB = (customer.email for customer in shop.CUSTOMERS)
SLUG = "tea-shop"
SECRET = "a-secret-for-the-examples"
WIDGET_SRC = b"https://app.ensoras.com/cdn/v1/widget/tea-shop.js"
NOTE_PATHS = [note.path for note in shop.NOTES]
PAGES = ["/", "/login", *NOTE_PATHS, "/stream"]
FRAMEWORKS = ["flask", "django", "starlette"]


# --- The shops behind one interface ----------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Client(Protocol):
    def __call__(
        self, method: str, path: str, *, form: dict[str, str] | None, headers: dict[str, str]
    ) -> Answer: ...


class Visitor:
    """A visitor of one shop, with cookies."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client("GET", path, form=None, headers={"Accept": "text/html", **named})

    def post(self, path: str, **form: str) -> Answer:
        return self.client("POST", path, form=form, headers={"Accept": "text/html"})

    def submit(self, path: str, *, page: str, **form: str) -> Answer:
        """Post what the form on `page` would, the hidden CSRF token of Django included."""
        token = re.search(rb'name="(csrfmiddlewaretoken)" value="(\w+)"', self.get(page).body)
        hidden = {token[1].decode(): token[2].decode()} if token else {}
        return self.post(path, **hidden, **form)

    def log_in(self, email: str = ALICE, password: str = shop.DEMO_PASSWORD) -> Answer:
        return self.submit("/login", page="/login", username=email, password=password)

    def log_out(self) -> Answer:
        return self.submit("/logout", page="/")


def flask_client(app: Flask) -> Client:
    client = app.test_client()

    def request(
        method: str, path: str, *, form: dict[str, str] | None, headers: dict[str, str]
    ) -> Answer:
        with client.open(path, method=method, data=form, headers=headers) as response:
            chunks = [chunk for chunk in response.iter_encoded() if chunk]
            return Answer(response.status_code, lower(response.headers), chunks)

    return request


def starlette_client(app: Starlette) -> Client:
    with warnings.catch_warnings():
        # It asks for httpx2 instead of httpx.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        from starlette.testclient import TestClient

    chunks: list[bytes] = []

    async def recorder(scope: Any, receive: Any, send: Any) -> None:
        # The test client joins the messages of a body.
        async def record(message: Any) -> None:
            chunks.append(message.get("body", b""))
            await send(message)

        await app(scope, receive, record)

    client = TestClient(recorder, follow_redirects=False)

    def request(
        method: str, path: str, *, form: dict[str, str] | None, headers: dict[str, str]
    ) -> Answer:
        chunks.clear()
        response = client.request(method, path, data=form, headers=headers)
        return Answer(response.status_code, lower(response.headers), list(filter(None, chunks)))

    return request


class DjangoProcess:
    """Django's test client in a process of its own, one JSON line for each request and answer."""

    def __init__(self, *, asynchronous: bool, data: Path) -> None:
        self.asynchronous = asynchronous
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", django_shop_client.__file__],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                "EXAMPLE_DATA_DIR": str(data),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def client(self) -> Client:
        number = self._ask({"new": "AsyncClient" if self.asynchronous else "Client"})

        def request(
            method: str, path: str, *, form: dict[str, str] | None, headers: dict[str, str]
        ) -> Answer:
            question = {"method": method, "path": path, "form": form, "headers": headers}
            answer = self._ask({"client": number, **question})
            chunks = [chunk.encode("latin-1") for chunk in answer["chunks"]]
            return Answer(answer["status"], answer["headers"], chunks)

        return request

    def _ask(self, question: dict[str, Any]) -> Any:
        pipe_in, pipe_out = self._pipes()
        print(json.dumps(question), file=pipe_in, flush=True)
        line = pipe_out.readline()
        assert line, "the Django shop's process has ended, see its traceback on stderr"
        return json.loads(line)

    def close(self) -> None:
        pipe_in, pipe_out = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            pipe_in.close()
        self.process.wait(10)
        pipe_out.close()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout


def lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture(scope="module", autouse=True)
def _configured() -> Iterator[None]:
    """The shops take their widget from the environment, as a deployed site does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith(("ENSORAS_", "EXAMPLE_", "DEMO_")):
                patch.delenv(name)
        patch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
        patch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
        patch.setattr(shop, "STEP_SECONDS", 0.0)
        yield


@pytest.fixture(
    scope="module", params=["flask", "django under WSGI", "django under ASGI", "starlette"]
)
def new_client(
    request: pytest.FixtureRequest, _configured: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Client]]:
    if request.param == "flask":
        flask_shop = create_flask_shop()
        yield lambda: flask_client(flask_shop)
    elif request.param == "starlette":
        starlette_shop = create_starlette_shop()
        yield lambda: starlette_client(starlette_shop)
    else:
        process = DjangoProcess(
            asynchronous=request.param.endswith("ASGI"), data=tmp_path_factory.mktemp("django")
        )
        yield process.client
        process.close()


@pytest.fixture
def visitor(new_client: Callable[[], Client]) -> Visitor:
    return Visitor(new_client())


@pytest.fixture(scope="module")
def alice(new_client: Callable[[], Client]) -> Visitor:
    """A visitor who has logged in as Alice; for tests that only read pages."""
    visitor = Visitor(new_client())
    visitor.log_in()
    return visitor


# --- Log-in, log-out, orders -----------------------------------------------------------------


def test_wrong_password_is_refused(visitor: Visitor) -> None:
    answer = visitor.log_in(password="coffee-time")
    assert b"do not match" in answer.body
    assert b"Hello, Alice" not in visitor.get("/").body


def test_unknown_customer_is_refused(visitor: Visitor) -> None:
    assert b"do not match" in visitor.log_in("carol@example.com").body


def test_right_password_logs_in_and_out_again(visitor: Visitor) -> None:
    assert visitor.log_in().status in (302, 303)
    assert b"Hello, Alice" in visitor.get("/").body
    assert visitor.log_out().status in (302, 303)
    assert b"Hello, Alice" not in visitor.get("/").body


def test_orders_need_a_log_in(visitor: Visitor) -> None:
    answer = visitor.get("/orders")
    assert answer.status in (302, 303)
    assert "/login?next=" in answer.headers["location"]


def test_orders_are_the_customers_own(visitor: Visitor) -> None:
    visitor.log_in(BOB)
    body = visitor.get("/orders").body
    assert b"T-1038" in body
    assert b"T-1042" not in body


def test_log_in_leads_to_the_orders_that_asked_for_it(visitor: Visitor) -> None:
    login = visitor.get("/orders").headers["location"]
    answer = visitor.submit(login, page=login, username=ALICE, password=shop.DEMO_PASSWORD)
    assert answer.headers["location"] == "/orders"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example"]
)
def test_log_in_never_leads_to_another_site(visitor: Visitor, elsewhere: str) -> None:
    login = f"/login?next={elsewhere}"
    answer = visitor.submit(login, page="/login", username=ALICE, password=shop.DEMO_PASSWORD)
    assert answer.headers["location"] == "/"


def test_log_out_cannot_be_a_link(alice: Visitor) -> None:
    assert alice.get("/logout").status == 405
    assert b"Hello, Alice" in alice.get("/").body


def test_unknown_page(visitor: Visitor) -> None:
    assert visitor.get("/cached/unknown").status == 404


@pytest.mark.parametrize("file", ["shop.css", "shop.svg", "icon.svg"])
def test_static_files(visitor: Visitor, file: str) -> None:
    assert visitor.get(f"/static/{file}").body == (shop.STATIC_DIR / file).read_bytes()


# --- The widget, and the caching styles ------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_anonymous_pages_carry_the_widget_alone(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status == 200
    assert answer.body.count(WIDGET_SRC) == 1
    assert b"identify" not in answer.body
    assert "cookie" in answer.headers["vary"].lower()


@pytest.mark.parametrize("path", ["/", "/orders", *NOTE_PATHS, "/stream"])
def test_logged_in_pages_are_identified_and_private(alice: Visitor, path: str) -> None:
    answer = alice.get(path)
    assert answer.body.count(WIDGET_SRC) == 1
    assert answer.body.count(identity_hash(ALICE, SECRET).encode()) == 1
    assert answer.body.index(b"identify") < answer.body.index(WIDGET_SRC)
    assert answer.headers["cache-control"] == "private, no-store, max-age=0"
    assert not {"etag", "last-modified", "expires"} & set(answer.headers)


@pytest.mark.parametrize(
    ("style", "cache_control", "validators"),
    [
        ("etag", "no-cache", {"etag"}),
        ("max-age", "max-age=600", {"etag"}),
        ("last-modified", None, {"last-modified"}),
        ("public", "public, s-maxage=600", set()),
        ("no-store", "no-store", set()),
        ("none", None, set()),
    ],
)
def test_caching_styles(
    visitor: Visitor, style: str, cache_control: str | None, validators: set[str]
) -> None:
    headers = visitor.get(f"/cached/{style}").headers
    assert headers.get("cache-control") == cache_control
    assert {"etag", "last-modified", "expires"} & set(headers) == validators


@pytest.mark.parametrize("style", ["etag", "max-age"])
def test_same_etag_is_not_modified(visitor: Visitor, style: str) -> None:
    etag = visitor.get(f"/cached/{style}").headers["etag"]
    answer = visitor.get(f"/cached/{style}", if_none_match=etag)
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert visitor.get(f"/cached/{style}", if_none_match='"another"').status == 200


def test_same_date_is_not_modified(visitor: Visitor) -> None:
    date = visitor.get("/cached/last-modified").headers["last-modified"]
    assert visitor.get("/cached/last-modified", if_modified_since=date).status == 304
    assert visitor.get("/cached/last-modified", if_none_match='"x"').status == 200


def test_anonymous_copy_is_no_good_after_log_in(visitor: Visitor, alice: Visitor) -> None:
    etag = visitor.get("/cached/etag").headers["etag"]
    answer = alice.get("/cached/etag", if_none_match=etag)
    assert answer.status == 200
    assert identity_hash(ALICE, SECRET).encode() in answer.body


@pytest.mark.parametrize("note", shop.NOTES, ids=lambda note: note.style)
def test_only_uncached_pages_greet(alice: Visitor, note: shop.Note) -> None:
    assert (b"Hello, Alice" in alice.get(note.path).body) == note.personal


def test_stream_comes_in_pieces(visitor: Visitor, alice: Visitor) -> None:
    for somebody in (visitor, alice):
        above, *steps = somebody.get("/stream").chunks
        below = steps[len(shop.STEPS) :]
        assert b"<h1>" in above
        for step, chunk in zip(shop.STEPS, steps, strict=False):
            assert chunk.decode() == f"<li>{step}</li>\n"
        assert WIDGET_SRC in b"".join(below)


def test_django_refuses_a_form_without_its_csrf_token(tmp_path: Path) -> None:
    process = DjangoProcess(asynchronous=False, data=tmp_path)
    try:
        visitor = Visitor(process.client())
        assert visitor.post("/login", username=ALICE, password=shop.DEMO_PASSWORD).status == 403
    finally:
        process.close()


# --- The demo --------------------------------------------------------------------------------


def clean_environ(**variables: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ENSORAS_", "EXAMPLE_"))}
    return {**kept, **variables}


def test_demo_names_the_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(demo.DemoError, match=rf"Port {port} for sandbox .* DEMO_PORT="),
            demo.running_demo(port, environ=clean_environ()),
        ):
            pytest.fail("it started all the same")


@pytest.mark.parametrize(
    "half",
    [
        {"ENSORAS_WIDGET_SLUG": "acme"},
        {"ENSORAS_WIDGET_SECRET": SECRET},
        {"ENSORAS_WIDGET_SECRET_FILE": "/run/secrets/widget"},
    ],
)
def test_demo_refuses_half_a_widget(half: dict[str, str]) -> None:
    with (
        pytest.raises(demo.DemoError, match="both ENSORAS_WIDGET_SLUG and ENSORAS_WIDGET_SECRET"),
        demo.running_demo(0, environ=clean_environ(**half)),
    ):
        pytest.fail("it started all the same")


@pytest.mark.servers
def test_demo_shows_a_real_widget() -> None:
    environ = clean_environ(ENSORAS_WIDGET_SLUG="acme", ENSORAS_WIDGET_SECRET=SECRET)
    with demo.running_demo(0, environ=environ) as running:
        assert running.sandbox is None
        for url in (running.flask, running.django, running.starlette):
            with urllib.request.urlopen(url) as response:
                page = response.read()
            assert b'src="https://app.ensoras.com/cdn/v1/widget/acme.js"' in page


@pytest.mark.servers
def test_demo_tells_why_a_shop_does_not_start() -> None:
    environ = clean_environ(ENSORAS_WIDGET_SLUG="acme", ENSORAS_WIDGET_SECRET="too-short")
    with (
        pytest.raises(demo.DemoError, match="ENSORAS_WIDGET_SECRET") as caught,
        demo.running_demo(0, environ=environ),
    ):
        pytest.fail("it started all the same")
    assert "too-short" not in str(caught.value)


@pytest.mark.servers
def test_demo_stops_while_it_starts() -> None:
    with (
        pytest.raises(demo.Stopped),
        demo.running_demo(0, environ=clean_environ(), stopping=lambda: True),
    ):
        pytest.fail("it started all the same")


@pytest.mark.servers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--ports-from", "0"],
        cwd=ROOT,
        env=clean_environ(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert runner.stdout is not None
        shown = ""
        for line in runner.stdout:
            shown += line
            if line.startswith("Ctrl-C"):
                break
        ports = [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)/", shown)]
        assert len(ports) == 4, shown
        assert ALICE in shown
        assert BOB in shown
        assert shop.DEMO_PASSWORD in shown
        runner.send_signal(number)
        rest, _ = runner.communicate(timeout=20)
    finally:
        runner.kill()
        runner.communicate()
    assert (runner.returncode, rest.split()) == (0, ["Stopping", "…"])
    assert list(tmp_path.iterdir()) == []
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()


# --- In a browser ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def running(browser: Browser) -> Iterator[demo.Demo]:
    with demo.running_demo(0, environ=clean_environ()) as running:
        yield running


@pytest.fixture(params=FRAMEWORKS)
def page(request: pytest.FixtureRequest, browser: Browser, running: demo.Demo) -> Iterator[Page]:
    """A page in a fresh browser profile, on the shop that the parameter names."""
    url = {"flask": running.flask, "django": running.django, "starlette": running.starlette}
    context = browser.new_context(base_url=url[request.param])
    context.set_default_timeout(10_000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = context.new_page()
    page.goto("/")
    yield page
    context.close()
    assert errors == []


def log_in(page: Page, email: str = ALICE) -> None:
    page.goto("/login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(shop.DEMO_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def log_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def follow(page: Page, path: str) -> None:
    """Open a page by its link in the menu, as a visitor does: a reload asks caches otherwise."""
    page.locator(f'nav.menu a[href$="{path}"]').click()
    page.wait_for_url(f"**{path}")


def expect_unverified(page: Page) -> None:
    bubble = page.locator("ensoras-chat")
    expect(bubble).to_have_attribute("data-tier", "unverified")
    expect(bubble.get_by_role("status")).to_have_text("Unverified")


def expect_verified(page: Page, email: str = ALICE) -> None:
    bubble = page.locator("ensoras-chat")
    expect(bubble).to_have_attribute("data-tier", "verified")
    expect(bubble.get_by_role("status")).to_have_text(f"Verified: {email}")


def identity_of(page: Page) -> dict[str, str]:
    """Reload the page and return the identity that its widget sends to Ensoras."""
    with page.expect_request("**/identify") as request:
        page.reload()
    identity: dict[str, str] = request.value.post_data_json
    return identity


def identify(page: Page, identity: dict[str, str]) -> None:
    """Call the widget from the page once more, and wait for the answer of Ensoras."""
    with page.expect_response("**/identify"):
        page.evaluate("identity => window.Ensoras('identify', identity)", identity)


def rotate(running: demo.Demo) -> None:
    url = f"{running.sandbox}/dashboard/rotate"
    request = urllib.request.Request(url, b"", {"Accept": "application/json"}, method="POST")
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["secret"]


@pytest.mark.browser
def test_bubble_knows_the_customer_until_log_out(page: Page) -> None:
    expect_unverified(page)
    log_in(page)
    expect_verified(page)
    log_out(page)
    expect_unverified(page)
    log_in(page, BOB)
    expect_verified(page, BOB)


@pytest.mark.browser
def test_no_cache_keeps_a_page_from_before_the_log_in(page: Page) -> None:
    paths = [*NOTE_PATHS, "/stream"]
    for path in paths:
        follow(page, path)
        expect_unverified(page)
    log_in(page)
    for path in paths:
        follow(page, path)
        expect_verified(page)


@pytest.mark.browser
def test_no_cache_keeps_a_page_from_before_the_log_out(page: Page) -> None:
    paths = [*NOTE_PATHS, "/stream"]
    log_in(page)
    for path in paths:
        follow(page, path)
        expect_verified(page)
    page.goto("/")
    log_out(page)
    for path in paths:
        follow(page, path)
        expect_unverified(page)


@pytest.mark.browser
def test_back_button_after_log_out_shows_no_identity(page: Page) -> None:
    log_in(page)
    follow(page, "/cached/max-age")
    expect_verified(page)
    page.goto("/")
    log_out(page)
    for _ in range(2):  # over "/" with its form, to the note
        page.go_back()
        expect_unverified(page)


@pytest.mark.browser
def test_rotation_reaches_old_pages_and_needs_no_restart(page: Page, running: demo.Demo) -> None:
    log_in(page)
    old = identity_of(page)
    expect_verified(page)
    rotate(running)
    identify(page, old)
    expect_unverified(page)
    page.reload()
    expect_verified(page)
    assert identity_of(page)["hash"] != old["hash"]


@pytest.mark.browser
def test_dashboard_rotates_the_secret(page: Page, running: demo.Demo) -> None:
    log_in(page)
    old = identity_of(page)
    dashboard = page.context.new_page()
    dashboard.goto(f"{running.sandbox}/")
    with dashboard.expect_response("**/dashboard/rotate"):
        dashboard.get_by_role("button", name="Rotate secret").click()
    identify(page, old)
    expect_unverified(page)


@pytest.mark.browser
def test_forged_hashes_are_unverified(page: Page) -> None:
    identify(page, {"email": ALICE, "hash": "0" * 64})
    expect_unverified(page)
    log_in(page, BOB)
    bob = identity_of(page)
    expect_verified(page, BOB)
    identify(page, {"email": ALICE, "hash": bob["hash"]})
    expect_unverified(page)
