"""Real nginx and Varnish in front of sites, set up as hurried administrators set them up.

One nginx and one Varnish serve every set-up and every site: a request with the header field
`Host: SETUP.SITE` goes to that site by that set-up, whose stored pages are its own. Both answer
with `X-Cache`: how the cache came to its answer.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from site_servers import stop

PATIENCE = 60  # seconds until a program that does not start is given up

Sites = Mapping[str, tuple[str, int]]  # name -> address


@dataclass(frozen=True)
class Setup:
    """What an administrator wrote, and what follows from it for the pages."""

    directives: str = ""
    of_pages: str = ""  # Varnish has two places, one for requests and one for pages
    # Whether a logged-in visitor's request is never answered with a page that is stored for others.
    shows_own: bool = True
    # Whether it keeps pages for everybody whatever they say: then nothing inside the site helps.
    deaf: bool = False


# --- nginx -----------------------------------------------------------------------------------

# What the guides for nginx have in common. The key is the default: no cookie in it.
_NGINX_COMMON = """
        proxy_cache_valid 200 10m;
        proxy_cache_revalidate on;
        proxy_cache_background_update on;
        proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
"""

NGINX = {
    # One request fetches a page for all who wait for it. By default they look every 500 ms.
    "plain": Setup("proxy_cache_lock on; proxy_cache_lock_timeout 50ms;"),
    # With HEAD as a request of its own, which needs the method in the key.
    "head": Setup(
        "proxy_cache_convert_head off;"
        "proxy_cache_key $request_method$scheme$proxy_host$request_uri;"
    ),
    # For sites with analytics: those without a session share one copy, the others pass.
    "analytics": Setup(
        "proxy_ignore_headers Vary;"
        "proxy_cache_bypass $with_session $http_authorization;"
        "proxy_no_cache $with_session $http_authorization;"
    ),
    # Sets the time for all pages, whatever they say, as some guides have it: with Set-Cookie among
    # them it hands over sessions too.
    "deaf": Setup(
        "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;", shows_own=False, deaf=True
    ),
}

_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server_names_hash_bucket_size 128;
    map $http_cookie $with_session {{ default 0; ~(?:session|session_id)= 1; }}
{servers}
}}
"""

_NGINX_SERVER = """
    proxy_cache_path {folder}/{setup}.{site} keys_zone={setup}.{site}:1m;
    server {{
        listen 127.0.0.1:{port};
        server_name {setup}.{site};
        proxy_cache {setup}.{site};
        add_header X-Cache $upstream_cache_status always;
        {directives}
        location / {{ proxy_pass http://{address}:{site_port}; }}
    }}
"""


@contextlib.contextmanager
def nginx(folder: Path, sites: Sites) -> Iterator[tuple[str, int]]:
    """Run nginx in front of these sites; yield its address."""
    program = _program("nginx")
    port = _free_port()
    servers = [
        _NGINX_SERVER.format(
            folder=folder,
            setup=setup,
            site=site,
            port=port,
            directives=_NGINX_COMMON + one.directives,
            address=address,
            site_port=site_port,
        )
        for setup, one in NGINX.items()
        for site, (address, site_port) in sites.items()
    ]
    file = folder / "nginx.conf"
    # As root its worker would become `nobody`, who may not read the folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    file.write_text(_NGINX.format(user=user, folder=folder, servers="".join(servers)))
    with _running([program, "-e", str(folder / "error.log"), "-c", str(file)], folder, port):
        yield "127.0.0.1", port


# --- Varnish ---------------------------------------------------------------------------------

# Widely copied: without it, no visitor of a site with analytics is ever served from the cache.
_STRIP_ANALYTICS = r"""
        set req.http.Cookie = regsuball(req.http.Cookie, "(^|;\s*)_g(a|id|at)[_A-Z0-9]*=[^;]*", "");
        set req.http.Cookie = regsub(req.http.Cookie, "^;\s*", "");
        if (req.http.Cookie == "") { unset req.http.Cookie; }
"""
_HASH_WITH_COOKIES = """
        if (req.method == "GET" || req.method == "HEAD") { return (hash); }
        return (pass);
"""
_TEN_MINUTES = "set beresp.ttl = 10m;"

VARNISH = {
    # What Varnish does by itself: a request with any cookie passes.
    "plain": Setup(),
    "analytics": Setup(_STRIP_ANALYTICS),
    # Looks pages up although there is a cookie, or `Authorization`: the page alone protects.
    "cookies": Setup(_STRIP_ANALYTICS + _HASH_WITH_COOKIES),
    # And keeps each page for ten minutes, except where the rules built in refuse it.
    "fixed": Setup(_HASH_WITH_COOKIES, _TEN_MINUTES),
    # And those rules are not asked.
    "deaf": Setup(
        _HASH_WITH_COOKIES,
        _TEN_MINUTES + "unset beresp.http.Vary; return (deliver);",
        shows_own=False,
        deaf=True,
    ),
}

_VCL = """vcl 4.1;
{backends}
sub vcl_recv {{
{of_requests}
}}
sub vcl_backend_fetch {{
{choice}
    set bereq.http.X-Host = bereq.http.Host;
    set bereq.http.Host = "127.0.0.1";
}}
sub vcl_backend_response {{
{of_pages}
}}
sub vcl_deliver {{
    if (obj.uncacheable) {{ set resp.http.X-Cache = "PASS"; }}
    elsif (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }}
    else {{ set resp.http.X-Cache = "MISS"; }}
}}
"""
_VCL_BACKEND = 'backend {name} {{ .host = "{address}"; .port = "{port}"; }}'
_VCL_CHOICE = '    if (bereq.http.Host ~ "[.]{site}$") {{ set bereq.backend = {name}; }}'
_VCL_IF = '    if ({field} ~ "^{setup}[.]") {{ {directives} }}'


@contextlib.contextmanager
def varnish(folder: Path, sites: Sites) -> Iterator[tuple[str, int]]:
    """Run Varnish in front of these sites; yield its address."""
    program = _program("varnishd", "varnish")
    _program("gcc")  # it compiles what it is told: one file, since that takes a while
    names = {site: site.replace("-", "_") for site in sites}
    text = _VCL.format(
        backends="\n".join(
            _VCL_BACKEND.format(name=names[site], address=address, port=port)
            for site, (address, port) in sites.items()
        ),
        of_requests="\n".join(
            _VCL_IF.format(field="req.http.Host", setup=setup, directives=one.directives)
            for setup, one in VARNISH.items()
        ),
        choice="\n".join(_VCL_CHOICE.format(site=site, name=name) for site, name in names.items()),
        of_pages="\n".join(
            _VCL_IF.format(field="bereq.http.X-Host", setup=setup, directives=one.of_pages)
            for setup, one in VARNISH.items()
        ),
    )
    file = folder / "default.vcl"
    file.write_text(text)
    port = _free_port()
    words = f"-F -n {folder}/work -a 127.0.0.1:{port} -f {file} -s malloc,32m"
    # The defaults are for a big machine: 200 threads at the start, and locked memory.
    words += " -j none -p thread_pools=1 -p thread_pool_min=20 -p vsl_space=4M"
    with _running([program, *words.split()], folder, port):
        yield "127.0.0.1", port


# --- Programs --------------------------------------------------------------------------------

RUNNERS = {"nginx": nginx, "varnish": varnish}
SETUPS = {"nginx": NGINX, "varnish": VARNISH}


@functools.cache
def _program(name: str, package: str = "") -> str:
    # Debian has them where only root looks.
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is missing: install the package {package or name}")
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def _running(words: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(port, process, folder)
        yield
    finally:
        stop(process)


def wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when the process listens on the port."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        said = "".join(file.read_text() for file in folder.glob("*log"))
        assert process.poll() is None, f"{process.args} has ended: {said}"
        assert time.monotonic() < deadline, f"{process.args} does not listen: {said}"
        time.sleep(0.02)
