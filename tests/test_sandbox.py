"""The sandbox keeps Ensoras' promises: over a real socket, and in a real browser."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from chromium import chromium
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ensoras_middleware import ConfigurationError, Identity, secret_from_file
from ensoras_middleware.sandbox import create_app
from ensoras_middleware.sandbox.account import Account
from ensoras_middleware.sandbox.app import BODY_LIMIT
from ensoras_middleware.sandbox.server import run
from ensoras_middleware.snippet import identify_script

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from playwright.sync_api import Route as PlaywrightRoute

SECRET = "the secret of the acme widget"
OTHER_SECRET = "another secret, long enough"
ALICE = "alice@example.com"
IDENTIFY = "/api/v1/widget/acme/identify"
WIDGET = "/cdn/v1/widget/acme.js"
ROTATE = "/dashboard/rotate"
JSON = {"Accept": "application/json"}


def sign(email: str, secret: str = SECRET) -> str:
    """The official Python snippet, on purpose not our own function."""
    return hmac.new(secret.encode(), email.lower().encode(), hashlib.sha256).hexdigest()


class Server:
    """Serves, on a free port, whatever `app` is at the moment."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    @contextmanager
    def running(self) -> Iterator[Server]:
        server = uvicorn.Server(uvicorn.Config(self, lifespan="off", log_level="error", ws="none"))
        # With the protocol named asyncio sets TCP_NODELAY, else every answer takes 40 ms.
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()  # now, since the first request may come before the server
            self.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield self
            finally:
                server.should_exit = server.force_exit = True
                thread.join(10)


@pytest.fixture(scope="module")
def sandbox_server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


@pytest.fixture
def sandbox(sandbox_server: Server) -> Iterator[httpx.Client]:
    """A client of a fresh sandbox."""
    sandbox_server.app = create_app("acme", SECRET)
    # `verify=False` for speed: no TLS here, so no certificates to load for every test.
    with httpx.Client(base_url=sandbox_server.origin, verify=False) as client:
        yield client


def tier(client: httpx.Client, email: str, hash: str) -> Any:
    answer = client.post(IDENTIFY, json={"email": email, "hash": hash})
    assert answer.status_code == 200
    return answer.json()["tier"]


class TestWidget:
    def test_it_is_a_script_that_no_cache_keeps(self, sandbox: httpx.Client) -> None:
        answer = sandbox.get(WIDGET, headers={"Origin": "http://shop.example"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "EnsorasQueue" in answer.text

    @pytest.mark.parametrize("path", ["/cdn/v1/widget/acme2.js", "/cdn/v1/widget/acme", "/nope"])
    def test_another_slug_is_not_found(self, sandbox: httpx.Client, path: str) -> None:
        assert sandbox.get(path).status_code == 404

    def test_another_slug_cannot_identify(self, sandbox: httpx.Client) -> None:
        call = {"email": ALICE, "hash": sign(ALICE)}
        assert sandbox.post("/api/v1/widget/stranger/identify", json=call).status_code == 404


class TestIdentify:
    def test_a_verified_customer_gets_their_orders(self, sandbox: httpx.Client) -> None:
        answer = sandbox.post(IDENTIFY, json={"email": ALICE, "hash": sign(ALICE)})
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["tier"], body["email"]) == ("verified", ALICE)
        assert [order["id"] for order in body["orders"]] == ["T-1042", "T-0977"]
        assert {frozenset(order) for order in body["orders"]} == {
            frozenset({"id", "title", "total", "state"})
        }

    def test_customers_see_only_their_own_orders(self, sandbox: httpx.Client) -> None:
        def order_ids(email: str) -> set[str]:
            call = {"email": email, "hash": sign(email)}
            return {order["id"] for order in sandbox.post(IDENTIFY, json=call).json()["orders"]}

        assert order_ids(ALICE)
        assert order_ids("bob@example.com")
        assert order_ids(ALICE).isdisjoint(order_ids("bob@example.com"))
        assert order_ids("carol@example.com") == set()

    def test_the_email_is_lower_cased_at_this_end(self, sandbox: httpx.Client) -> None:
        call = {"email": "Alice@EXAMPLE.com", "hash": sign(ALICE)}
        body = sandbox.post(IDENTIFY, json=call).json()
        assert (body["tier"], body["email"], len(body["orders"])) == ("verified", ALICE, 2)

    @pytest.mark.parametrize(
        ("email", "hash"),
        [
            (ALICE, sign("bob@example.com")),
            (ALICE, sign(ALICE, OTHER_SECRET)),
            (ALICE, sign(ALICE)[:-1]),
            (ALICE, sign(ALICE) + "0"),
            (ALICE, ""),
            (ALICE, "ħash"),
            ("", sign(ALICE)),
        ],
    )
    def test_a_forged_hash_learns_nothing(
        self, sandbox: httpx.Client, email: str, hash: str
    ) -> None:
        answer = sandbox.post(IDENTIFY, json={"email": email, "hash": hash})
        assert (answer.status_code, answer.json()) == (200, {"tier": "unverified"})

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "The body is not JSON."),
            (b"{", "The body is not JSON."),
            (b"\xff", "The body is not JSON."),
            (b"[" * BODY_LIMIT, "The body is not JSON."),
            (b"null", 'The body must be {"email": string, "hash": string}.'),
            (b'["email", "hash"]', 'The body must be {"email": string, "hash": string}.'),
            (b'{"email": "a@b.c"}', 'The body must be {"email": string, "hash": string}.'),
            (b'{"hash": "f00"}', 'The body must be {"email": string, "hash": string}.'),
            (b'{"email": 1, "hash": ""}', 'The body must be {"email": string, "hash": string}.'),
            (b'{"email": "", "hash": []}', 'The body must be {"email": string, "hash": string}.'),
            (
                rb'{"email": "\ud800", "hash": ""}',
                "The e-mail or the hash is not valid Unicode.",
            ),
            (
                rb'{"email": "", "hash": "\udfff"}',
                "The e-mail or the hash is not valid Unicode.",
            ),
        ],
    )
    def test_bad_input_is_a_400_with_a_clear_message(
        self, sandbox: httpx.Client, body: bytes, message: str
    ) -> None:
        answer = sandbox.post(IDENTIFY, content=body)
        assert (answer.status_code, answer.text) == (400, message)
        assert "None yet." in sandbox.get("/").text  # it works on, and kept nothing of this

    def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(
        self, sandbox: httpx.Client
    ) -> None:
        body = json.dumps({"email": ALICE, "hash": sign(ALICE)}).encode()
        full = sandbox.post(IDENTIFY, content=body.ljust(BODY_LIMIT))
        assert full.json()["tier"] == "verified"
        answer = sandbox.post(IDENTIFY, content=body.ljust(BODY_LIMIT + 1))
        assert (answer.status_code, answer.text) == (413, "The body is larger than 8192 bytes.")

    def test_an_endless_body_is_cut_without_a_declared_length(self, sandbox: httpx.Client) -> None:
        chunks = (b" " * 1024 for _ in range(9))
        assert sandbox.post(IDENTIFY, content=chunks).status_code == 413

    def test_a_site_on_another_origin_may_call_it_without_credentials(
        self, sandbox: httpx.Client
    ) -> None:
        preflight = sandbox.options(
            IDENTIFY,
            headers={
                "Origin": "http://127.0.0.1:8000",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert preflight.headers["access-control-allow-headers"] == "content-type"
        assert "POST" in preflight.headers["access-control-allow-methods"]

        answer = sandbox.post(
            IDENTIFY, json={"email": "", "hash": ""}, headers={"Origin": "http://127.0.0.1:8000"}
        )
        assert answer.headers["access-control-allow-origin"] == "*"
        for headers in (preflight.headers, answer.headers):
            assert "access-control-allow-credentials" not in headers


class TestRotation:
    def test_all_earlier_hashes_turn_false(self, sandbox: httpx.Client) -> None:
        assert tier(sandbox, ALICE, sign(ALICE)) == "verified"
        answer = sandbox.post(ROTATE, headers=JSON)
        assert answer.headers["cache-control"] == "no-store"
        new = answer.json()["secret"]
        assert re.fullmatch("[0-9a-f]{64}", new)
        assert tier(sandbox, ALICE, sign(ALICE)) == "unverified"
        assert tier(sandbox, ALICE, sign(ALICE, new)) == "verified"

    def test_every_random_secret_is_new(self, sandbox: httpx.Client) -> None:
        new = {sandbox.post(ROTATE, headers=JSON).json()["secret"] for _ in range(3)}
        assert len(new) == 3

    def test_the_dashboard_says_what_a_site_needs(self, sandbox: httpx.Client) -> None:
        """The settings for the host by which it was opened, and what is wrong with a hash."""
        page = sandbox.get("/").text
        assert 'ENSORAS_WIDGET_SLUG = "acme"' in page
        assert f'ENSORAS_WIDGET_ORIGIN = "{str(sandbox.base_url).rstrip("/")}"' in page
        for hash in (sign(ALICE, OTHER_SECRET), sign(ALICE).upper(), sign(ALICE)):
            sandbox.post(IDENTIFY, json={"email": ALICE, "hash": hash})
        assert sandbox.get("/").text.count("it is in upper case") == 1

    def test_the_dashboards_form_may_give_the_secret(self, sandbox: httpx.Client) -> None:
        answer = sandbox.post(ROTATE, data={"secret": OTHER_SECRET})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert tier(sandbox, ALICE, sign(ALICE, OTHER_SECRET)) == "verified"

    @pytest.mark.parametrize(
        ("secret", "message"),
        [
            ("fifteen-letters", "is shorter than 16 bytes"),
            (" " * 20, "is blank"),
            (f" {OTHER_SECRET}", "has white space around it"),
            (f"{OTHER_SECRET}\n", "use printable ones"),
            (f"{OTHER_SECRET}\0", "use printable ones"),
            ("YOUR_WIDGET_SECRET", "is still a placeholder"),
        ],
    )
    def test_a_secret_that_cannot_sign_changes_nothing(
        self, sandbox: httpx.Client, secret: str, message: str
    ) -> None:
        answer = sandbox.post(ROTATE, data={"secret": secret})
        assert answer.status_code == 400
        assert message in answer.text
        assert tier(sandbox, ALICE, sign(ALICE)) == "verified"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},  # another port of this machine
            {"Sec-Fetch-Site": "none"},
            {"Origin": "https://attacker.example"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "null"},
        ],
    )
    def test_other_sites_cannot_rotate(
        self, sandbox: httpx.Client, headers: dict[str, str]
    ) -> None:
        assert sandbox.post(ROTATE, headers=JSON | headers).status_code == 403
        assert tier(sandbox, ALICE, sign(ALICE)) == "verified"

    def test_the_dashboard_itself_can(self, sandbox: httpx.Client) -> None:
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": str(sandbox.base_url)}
        assert sandbox.post(ROTATE, headers=headers).status_code == 303
        assert tier(sandbox, ALICE, sign(ALICE)) == "unverified"

    def test_a_link_cannot(self, sandbox: httpx.Client) -> None:
        assert sandbox.get(ROTATE).status_code == 405


class TestSecretFile:
    def test_it_holds_the_current_secret_from_the_start(
        self, sandbox: httpx.Client, sandbox_server: Server, tmp_path: Path
    ) -> None:
        file = tmp_path / "secret"
        sandbox_server.app = create_app("acme", SECRET, secret_file=file)
        assert file.read_text() == SECRET
        new = sandbox.post(ROTATE, headers=JSON).json()["secret"]
        assert file.read_text() == new
        assert str(file) in sandbox.get("/").text

    def test_a_site_signs_with_the_new_secret_at_once(self, tmp_path: Path) -> None:
        account = Account("acme", SECRET, tmp_path / "secret")
        site_secret = secret_from_file(tmp_path / "secret")
        for _ in range(3):
            assert site_secret("acme") == account.secret.encode()
            account.rotate()

    def test_only_its_owner_can_read_it(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("as open as a stranger left it")
        file.chmod(0o644)
        account = Account("acme", SECRET, file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        account.rotate()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_reader_never_sees_half_a_secret(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        account = Account("acme", SECRET, file)
        with file.open() as reader:
            account.rotate(OTHER_SECRET)
            assert reader.read() == SECRET
        assert file.read_text() == OTHER_SECRET
        assert list(tmp_path.iterdir()) == [file]

    def test_where_it_cannot_be_written_the_old_secret_stays(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        account = Account("acme", SECRET, file)
        file.unlink()
        file.mkdir()
        with pytest.raises(OSError, match="secret"):
            account.rotate()
        assert account.identify(ALICE, sign(ALICE))
        assert list(tmp_path.iterdir()) == [file]

    def test_it_is_not_touched_by_a_secret_that_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        account = Account("acme", SECRET, file)
        with pytest.raises(ConfigurationError):
            account.rotate("short")
        assert file.read_text() == SECRET


class TestDashboard:
    def test_it_shows_the_tag_and_the_current_secret(self, sandbox: httpx.Client) -> None:
        page = sandbox.get("/").text
        tag = f"&lt;script src=&#34;{sandbox.base_url}{WIDGET}&#34; async defer&gt;"
        assert tag in page
        assert SECRET in page
        new = sandbox.post(ROTATE, headers=JSON).json()["secret"]
        page = sandbox.get("/").text
        assert new in page
        assert SECRET not in page

    def test_it_lists_calls_but_no_hash(self, sandbox: httpx.Client) -> None:
        good, forged = sign(ALICE), sign("mallory@example.com", OTHER_SECRET)
        tier(sandbox, "Alice@example.com", good)
        tier(sandbox, "mallory@example.com", forged)
        page = sandbox.get("/").text
        rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)[1:]
        texts = [re.sub(r"\s*<[^>]*>\s*", " ", row).split() for row in rows]
        assert [row[1:] for row in texts] == [
            ["mallory@example.com", f"{forged[:8]}…", "unverified"],
            [ALICE, f"{good[:8]}…", "verified"],
        ]
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d", row[0]) for row in texts)
        assert good[:9] not in page
        assert forged[:9] not in page

    def test_it_shows_even_less_of_what_is_shorter_than_a_hash(self, sandbox: httpx.Client) -> None:
        tier(sandbox, ALICE, "p4ssw0rd")
        page = sandbox.get("/").text
        assert "<code>p4…</code>" in page
        assert "p4s" not in page

    def test_it_keeps_the_last_50_calls(self, sandbox: httpx.Client) -> None:
        for number in range(52):
            tier(sandbox, f"visitor{number}@example.com", "")
        page = sandbox.get("/").text
        assert page.count("@example.com") == 50
        assert "visitor51@" in page
        assert "visitor1@" not in page

    def test_what_visitors_send_is_text_in_it(self, sandbox: httpx.Client) -> None:
        tier(sandbox, "<script>alert(1)</script>", "<b>" * 11)
        page = sandbox.get("/").text
        assert "<script" not in page
        assert "<b><b>" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page

    def test_no_other_site_can_read_or_frame_it(self, sandbox: httpx.Client) -> None:
        headers = sandbox.get("/", headers={"Origin": "https://attacker.example"}).headers
        assert "access-control-allow-origin" not in headers
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        rotated = sandbox.post(ROTATE, headers=JSON).headers
        assert "access-control-allow-origin" not in rotated


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8000"],
    )
    def test_this_machine_is_answered(self, sandbox: httpx.Client, host: str) -> None:
        answer = sandbox.get("/", headers={"Host": host})
        assert answer.status_code == 200
        assert f"http://{host}{WIDGET}" in answer.text

    @pytest.mark.parametrize("path", ["/", WIDGET, IDENTIFY, ROTATE])
    @pytest.mark.parametrize(
        "host",
        [
            "attacker.example",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "attacker.example:127.0.0.1",
            "127.attacker.example",
            "localhost:80@attacker.example",
            "192.168.0.1",
            "0.0.0.0",
            "[::]",
            "",
        ],
    )
    def test_a_rebound_name_is_refused(self, sandbox: httpx.Client, host: str, path: str) -> None:
        answer = sandbox.get(path, headers={"Host": host})
        assert answer.status_code == 400
        assert SECRET not in answer.text


class TestConfiguration:
    @pytest.mark.parametrize(
        ("slug", "secret", "remedy"),
        [
            ("", SECRET, "as in `acme`"),
            ("a/b", SECRET, "as in `acme`"),
            ("{slug}", SECRET, "as in `acme`"),
            ("acme\n", SECRET, "as in `acme`"),
            ("acme", "tiny", "is shorter than 16 bytes"),
            ("acme", f"{SECRET} ", "has white space around it"),
        ],
    )
    def test_what_no_widget_can_have_is_refused(self, slug: str, secret: str, remedy: str) -> None:
        with pytest.raises(ConfigurationError, match=remedy) as error:
            create_app(slug, secret)
        assert secret not in str(error.value)

    def test_no_secret_is_a_random_one(self) -> None:
        assert re.fullmatch("[0-9a-f]{64}", Account("acme", "").secret)

    def test_the_repr_shows_no_secret_and_no_visitor(self) -> None:
        account = Account("acme", SECRET)
        account.identify(ALICE, sign(ALICE))
        assert not any(one in repr(account) for one in (SECRET, ALICE, sign(ALICE)[:8]))


class TestRun:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com", ""])
    def test_it_refuses_what_other_machines_can_reach(self, host: str) -> None:
        with pytest.raises(ConfigurationError, match="give it a loopback host"):
            run(host, 0, "acme", SECRET)

    def test_it_ends_where_the_port_is_taken(self, sandbox_server: Server) -> None:
        port = int(sandbox_server.origin.rpartition(":")[2])
        with pytest.raises(SystemExit):
            run("127.0.0.1", port, "acme", SECRET)

    @pytest.mark.servers
    def test_it_serves_until_interrupted(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        program = (
            "import sys, pathlib; from ensoras_middleware.sandbox.server import run; "
            f"run('127.0.0.1', 0, 'acme', {SECRET!r}, secret_file=pathlib.Path(sys.argv[1]))"
        )
        command = [sys.executable, "-W", "error", "-c", program, str(file)]
        root = Path(__file__).parent.parent
        with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                lines = iter(process.stderr.readline, "")
                address = next(found for line in lines if (found := re.search(r"http://\S+", line)))
                with httpx.Client(base_url=address[0]) as client:
                    assert tier(client, ALICE, sign(ALICE)) == "verified"
                    assert file.read_text() == SECRET
                    port = int(address[0].rpartition(":")[2])
                    with socket.create_connection(("127.0.0.1", port)) as half_sent:
                        head = f"POST {IDENTIFY} HTTP/1.1\r\nHost: localhost\r\n"
                        half_sent.sendall(f"{head}Content-Length: 9\r\n\r\n".encode())
                        time.sleep(0.3)
                        process.send_signal(signal.SIGINT)
                        process.wait(10)
                assert process.returncode in (0, -signal.SIGINT)
            finally:
                process.kill()


# In the browser. The host page is on another origin than the sandbox, under a strict policy.

OFFICIAL_SNIPPET = """
    window.EnsorasQueue = window.EnsorasQueue || [];
    function Ensoras() { EnsorasQueue.push(arguments); }
"""
Visit = Callable[..., None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An uncaught error or a policy violation in this page fails the test."""
    complaints: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        yield page
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@pytest.fixture(scope="module")
def shop_server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


@pytest.fixture
def visit(sandbox: httpx.Client, shop_server: Server, page: Page) -> Visit:
    """Open a page with an inline script directly before the widget tag."""
    widget = f"{sandbox.base_url}{WIDGET}"

    def open_page(script: str, *, attributes: str = "async defer", before: str = "") -> None:
        inline = f"<script nonce=n>{script}</script>"
        html = f"<!doctype html>{before}{inline}<script src='{widget}' {attributes}></script>"
        policy = (
            f"default-src 'none'; script-src 'nonce-n' {widget}; connect-src {sandbox.base_url}; "
            "require-trusted-types-for 'script'"
        )
        shop_server.app = HTMLResponse(html, headers={"Content-Security-Policy": policy})
        page.goto(shop_server.origin)

    return open_page


def identify(email: str, hash: str | None = None) -> str:
    return f"Ensoras('identify', {json.dumps({'email': email, 'hash': hash or sign(email)})});"


def bubble(page: Page) -> tuple[str | None, str | None, list[str]]:
    """What the bubble says once it has settled: tier, status and the ids of the orders."""
    page.wait_for_selector("ensoras-chat:is([data-tier=verified], [data-tier=unverified])")
    chat = page.locator("ensoras-chat")
    orders = chat.locator(".orders .id").all_text_contents()
    return chat.get_attribute("data-tier"), chat.locator(".status").text_content(), orders


def load_widget_again(page: Page) -> None:
    page.evaluate(
        """() => new Promise((resolve) => {
            const [loaded] = performance.getEntriesByType("resource");
            const policy = trustedTypes.createPolicy("test", { createScriptURL: (url) => url });
            const widget = document.createElement("script");
            widget.src = policy.createScriptURL(loaded.name);
            widget.onload = resolve;
            document.head.append(widget);
        })"""
    )


def swap_body(page: Page, left_behind: bool) -> None:
    page.evaluate(
        """(leftBehind) => {
            const body = document.createElement("body");
            if (leftBehind) body.append(document.createElement("ensoras-chat"));
            document.body.replaceWith(body);
        }""",
        left_behind,
    )


ALICE_VERIFIED = ("verified", "Verified: alice@example.com", ["T-1042", "T-0977"])
BOB_VERIFIED = ("verified", "Verified: bob@example.com", ["T-1038"])
UNVERIFIED = ("unverified", "Unverified", [])


@pytest.mark.browser
class TestInTheBrowser:
    @pytest.mark.parametrize("attributes", ["async defer", "async", "defer", "", "nonce=n"])
    @pytest.mark.parametrize("before", ["", "<body>"], ids=["head", "body"])
    def test_a_queued_identify_is_verified(
        self, visit: Visit, page: Page, attributes: str, before: str
    ) -> None:
        visit(OFFICIAL_SNIPPET + identify(ALICE), attributes=attributes, before=before)
        assert bubble(page) == ALICE_VERIFIED

    def test_no_identify_is_unverified_without_a_request(
        self, visit: Visit, page: Page, sandbox: httpx.Client
    ) -> None:
        visit(OFFICIAL_SNIPPET)
        assert bubble(page) == UNVERIFIED
        assert "None yet." in sandbox.get("/").text

    def test_no_queue_is_unverified(self, visit: Visit, page: Page) -> None:
        visit("")
        assert bubble(page) == UNVERIFIED

    def test_a_forged_hash_is_unverified(self, visit: Visit, page: Page) -> None:
        with page.expect_response("**/identify"):
            visit(OFFICIAL_SNIPPET + identify(ALICE, sign(ALICE, OTHER_SECRET)))
        assert bubble(page) == UNVERIFIED

    @pytest.mark.parametrize("details", ["", ", null", ", {email: 'alice@example.com'}", ", 'x'"])
    def test_a_call_that_the_sandbox_refuses_is_unverified(
        self, visit: Visit, page: Page, details: str
    ) -> None:
        with page.expect_response("**/identify") as answer:
            visit(f"{OFFICIAL_SNIPPET} Ensoras('identify'{details});")
        assert answer.value.status == 400
        assert bubble(page) == UNVERIFIED

    def test_an_unreachable_sandbox_is_unverified(self, visit: Visit, page: Page) -> None:
        page.route("**/identify", lambda route: route.abort())
        with page.expect_event("requestfailed"):
            visit(OFFICIAL_SNIPPET + identify(ALICE))
        assert bubble(page) == UNVERIFIED

    def test_a_rotation_makes_the_same_page_unverified(
        self, visit: Visit, page: Page, sandbox: httpx.Client
    ) -> None:
        visit(OFFICIAL_SNIPPET + identify(ALICE))
        assert bubble(page) == ALICE_VERIFIED
        sandbox.post(ROTATE)
        with page.expect_response("**/identify"):
            page.reload()
        assert bubble(page) == UNVERIFIED

    @pytest.mark.parametrize("name", ["Ensoras", "window.Ensoras"])
    def test_a_later_identify_updates_the_bubble(self, visit: Visit, page: Page, name: str) -> None:
        visit(OFFICIAL_SNIPPET + identify(ALICE))
        assert bubble(page) == ALICE_VERIFIED
        later = identify("bob@example.com").replace("Ensoras", name)
        with page.expect_response("**/identify"):
            page.evaluate(later)
        assert bubble(page) == BOB_VERIFIED
        with page.expect_response("**/identify"):
            page.evaluate(identify(ALICE, "forged"))
        assert bubble(page) == UNVERIFIED

    @pytest.mark.parametrize(
        "markup",
        [
            "<a id=EnsorasQueue></a>",
            "<a id=EnsorasQueue></a><a id=EnsorasQueue></a>",
            "<form id=EnsorasQueue><input name=push></form><img name=Ensoras>",
        ],
    )
    def test_markup_that_clobbers_the_queue_is_replaced(
        self, visit: Visit, page: Page, markup: str
    ) -> None:
        visit("", before=markup)
        assert bubble(page) == UNVERIFIED
        with page.expect_response("**/identify"):
            page.evaluate(identify(ALICE))
        assert bubble(page) == ALICE_VERIFIED

    @pytest.mark.parametrize("markup", ["", "<a id=EnsorasQueue></a>"])
    def test_it_understands_the_identify_script_of_this_project(
        self, visit: Visit, page: Page, markup: str
    ) -> None:
        visit(identify_script(Identity(ALICE, sign(ALICE))).decode(), before=markup)
        assert bubble(page) == ALICE_VERIFIED

    def test_calls_it_does_not_know_are_passed_over(self, visit: Visit, page: Page) -> None:
        junk = "EnsorasQueue.push(null, 0, [], ['open'], ['identified', {}]);"
        visit(OFFICIAL_SNIPPET + junk + identify(ALICE) + junk)
        assert bubble(page) == ALICE_VERIFIED

    def test_the_last_call_wins_in_whatever_order_answers_arrive(
        self, visit: Visit, page: Page
    ) -> None:
        late = []

        def hold_alice(route: PlaywrightRoute) -> None:
            if ALICE in (route.request.post_data or ""):
                late.append(route)
            else:
                route.continue_()

        page.route("**/identify", hold_alice)
        visit(OFFICIAL_SNIPPET + identify(ALICE) + identify("bob@example.com"))
        assert bubble(page) == BOB_VERIFIED
        with page.expect_response("**/identify") as answer:
            late[0].continue_()
        assert answer.value.json()["email"] == ALICE
        assert bubble(page) == BOB_VERIFIED

    def test_two_widget_tags_show_one_bubble(self, visit: Visit, page: Page) -> None:
        visit(OFFICIAL_SNIPPET + identify(ALICE))
        assert bubble(page) == ALICE_VERIFIED
        load_widget_again(page)
        assert bubble(page) == ALICE_VERIFIED
        assert page.locator("ensoras-chat").count() == 1

    @pytest.mark.parametrize("left_behind", [False, True])
    def test_a_page_swapped_in_by_script_starts_anew(
        self, visit: Visit, page: Page, left_behind: bool
    ) -> None:
        """As Turbo does it: a new body, perhaps with a dead copy of our element."""
        visit(OFFICIAL_SNIPPET + identify(ALICE), before="<body>")
        assert bubble(page) == ALICE_VERIFIED
        swap_body(page, left_behind)
        page.evaluate(identify("bob@example.com"))
        load_widget_again(page)
        assert bubble(page) == BOB_VERIFIED
        swap_body(page, left_behind)
        load_widget_again(page)
        assert bubble(page) == UNVERIFIED
        assert page.locator("ensoras-chat").count() == 1

    def test_it_folds_into_its_button(self, visit: Visit, page: Page) -> None:
        visit("")
        button = page.get_by_role("button", name="Chat", expanded=True)
        assert page.get_by_role("status").is_visible()
        button.click()
        assert not page.get_by_role("status").is_visible()
        page.get_by_role("button", name="Chat", expanded=False).click()
        assert page.get_by_role("status").is_visible()

    def test_the_dashboard_rotates_at_a_click(self, page: Page, sandbox: httpx.Client) -> None:
        page.goto(str(sandbox.base_url))
        assert page.text_content("#secret") == SECRET
        page.get_by_role("button", name="Rotate secret").click()
        page.wait_for_function("secret.textContent.length === 64")
        assert tier(sandbox, ALICE, sign(ALICE, page.text_content("#secret") or "")) == "verified"
