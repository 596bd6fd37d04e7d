"""The example shops behind real servers: right lengths, one connection for all, real streams."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from adapters import ALICE, SECRET, SLUG, identify_script

from examples import shop

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parent.parent

SERVED = {
    "gunicorn-flask": "gunicorn -k gthread --threads 4 -b {address} --no-control-socket "
    "examples.flask_shop.app:create_app()",
    "gunicorn-django": "gunicorn -k gthread --threads 4 -b {address} --no-control-socket "
    "examples.django_shop.wsgi:application",
    "waitress-flask": "waitress --listen {address} --call examples.flask_shop.app:create_app",
    "waitress-django": "waitress --listen {address} examples.django_shop.wsgi:application",
    "uvicorn-django": "uvicorn --port {port} examples.django_shop.asgi:application",
    "uvicorn-starlette": "uvicorn --port {port} --factory examples.starlette_shop.app:create_app",
    "hypercorn-django": "hypercorn -b {address} examples.django_shop.asgi:application",
    "hypercorn-starlette": "hypercorn -b {address} examples.starlette_shop.app:create_app()",
}


@pytest.fixture(scope="module", params=SERVED.values(), ids=SERVED)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client with one connection to a shop of its own."""
    folder = tmp_path_factory.mktemp("shop")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        "PATH": os.environ["PATH"],
        "ENSORAS_WIDGET_SLUG": SLUG,
        "ENSORAS_WIDGET_SECRET": SECRET,
        "EXAMPLE_DATA_DIR": str(folder),
        "EXAMPLE_SECRET_KEY": "k" * 50,
    }
    if "django_shop" in request.param:
        prepare = [sys.executable, "-m", "examples.django_shop.prepare"]
        subprocess.run(prepare, cwd=ROOT, env=environment, check=True, capture_output=True)
    module, *arguments = request.param.format(address=address, port=address[10:]).split()
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    transport = httpx.HTTPTransport(limits=httpx.Limits(max_connections=1))
    try:
        with httpx.Client(transport=transport, base_url=f"http://{address}") as client:
            for _ in range(300):
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    assert process.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def log_in(client: httpx.Client) -> None:
    page = client.get("/login")
    form = {"username": ALICE, "password": shop.DEMO_PASSWORD}
    if token := client.cookies.get("csrftoken") or client.cookies.get("django_shop_csrf"):
        form["csrfmiddlewaretoken"] = page.text.split('name="csrfmiddlewaretoken" value="')[1][:64]
        assert token
    assert client.post("/login", data=form, headers={"Referer": str(page.url)}).is_redirect


PATHS = ["/", "/cached/etag", "/cached/max-age", "/cached/public", "/cached/no-store"]


def test_pages_of_both_kinds_come_over_one_connection(client: httpx.Client) -> None:
    """Each is as long as it says; anonymous pages carry no script, alice's pages hers."""
    script = identify_script(ALICE)
    client.cookies.clear()
    for path in PATHS:
        page = client.get(path)
        assert int(page.headers["content-length"]) == len(page.content)
        assert b"Ensoras identity" not in page.content
        if page.headers["server"] != "waitress":  # it leaves the body of HEAD to the application
            assert client.head(path).content == b""
    log_in(client)
    for path in PATHS:
        page = client.get(path, headers={"If-None-Match": "*", "Accept": "text/html"})
        assert page.status_code == 200
        assert int(page.headers["content-length"]) == len(page.content)
        assert page.content.count(script) == 1
        assert page.headers["cache-control"] == "private, no-store, max-age=0"
    style = client.get("/static/shop.css")
    assert style.headers["content-type"].startswith("text/css")


def test_streams_stay_streams(client: httpx.Client) -> None:
    """In several chunks, without a length, with alice's script in the last one."""
    log_in(client)
    with client.stream("GET", "/stream") as page:
        assert "content-length" not in page.headers
        chunks = list(page.iter_raw())
    assert len(chunks) > 1
    assert b"".join(chunks).count(identify_script(ALICE)) == 1
    assert identify_script(ALICE) not in chunks[0]
