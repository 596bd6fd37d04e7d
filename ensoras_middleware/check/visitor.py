"""One visitor, who asks as a browser does, and keeps cookies and credentials to their origin.

There is one HTTP client for each origin. What one of them knows, cookies and credentials, no other
ever sees; redirects are followed by hand.
"""

from __future__ import annotations

import http.cookiejar
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import httpx

from ensoras_middleware import __version__
from ensoras_middleware.caching import Fields
from ensoras_middleware.check.answer import Answer, is_loopback, shown_address
from ensoras_middleware.check.decoding import ACCEPT_ENCODING, LIMIT, decoded
from ensoras_middleware.check.finding import CannotCheck
from ensoras_middleware.check.network import explained

REDIRECT_LIMIT = 10
_REDIRECTS = frozenset([301, 302, 303, 307, 308])

# As Chromium asks for a page whose address somebody has typed.
_BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/156.0.0.0 Safari/537.36 ensoras-middleware-check/{__version__}",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": ACCEPT_ENCODING,
    "Accept-Language": "en-US,en;q=0.9",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
}


@dataclass(frozen=True)
class Network:
    """How every visitor asks; `seconds` is how long an answer may take."""

    seconds: float

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Whom to trust, read once for all: it takes some hundredths of a second."""
        try:
            return httpx.create_ssl_context()
        except OSError:
            raise CannotCheck(
                "SSL_CERT_FILE or SSL_CERT_DIR does not name certificates that can be read."
            ) from None


class Visitor:
    """A browser with cookies of its own.

    `credentials` are header fields for one `origin`. A visitor who has some, or has logged in, is
    `confined`: led to another origin, they stop.
    """

    def __init__(
        self, name: str, network: Network, *, origin: str = "", credentials: Fields | None = None
    ) -> None:
        self.name = name
        self.confined = credentials is not None
        self._network = network
        self._origin = origin
        self._credentials = credentials or []
        self._clients: dict[str, httpx.Client] = {}

    def close(self) -> None:
        """End all connections."""
        for client in self._clients.values():
            client.close()

    def get(self, url: str, fields: Mapping[str, str] | None = None) -> Answer:
        """Open a page, and follow redirects."""
        return self._follow("GET", url, fields or {}, b"")

    def post(self, url: str, fields: Mapping[str, str], body: bytes) -> Answer:
        """Submit a form, and follow redirects."""
        return self._follow("POST", url, fields, body)

    def has_cookies(self, url: str) -> bool:
        """Tell whether the site has set a cookie at this address' origin."""
        return len(self._client(origin_of(url)).cookies.jar) > 0

    def _follow(self, method: str, url: str, fields: Mapping[str, str], body: bytes) -> Answer:
        hops: list[str] = []
        while True:
            answer = self._ask(method, url, fields, body, tuple(hops))
            location = answer.values("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            if len(hops) == REDIRECT_LIMIT:
                raise CannotCheck(
                    f"{shown_address(url)} redirects more than {REDIRECT_LIMIT} times: follow the "
                    "redirects in a browser, and mend what loops."
                )
            target = _joined(url, location[0])
            if (self.confined or body) and origin_of(target) != origin_of(url):
                raise CannotCheck(
                    f"{shown_address(url)} redirects to another origin, {origin_of(target)}, where "
                    "credentials are never sent: give an address there, if it is yours."
                )
            hops.append(target)
            if answer.status == 303 or (method == "POST" and answer.status in (301, 302)):
                method, body = "GET", b""
                fields = {k: v for k, v in fields.items() if k not in ("Origin", "Content-Type")}
            url = target

    def _ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes, hops: tuple[str, ...]
    ) -> Answer:
        client = self._client(origin_of(url))
        until = time.monotonic() + self._network.seconds
        try:
            request = client.build_request(method, url, headers=dict(fields), content=body or None)
            response = client.send(request, stream=True)
            try:
                raw = _read(response, until)
            finally:
                response.close()
        except httpx.InvalidURL:  # httpx reads the Location though it is not to follow it
            raise _no_address(url) from None
        except httpx.HTTPError as error:
            message = explained(error, self._network.seconds)
            raise CannotCheck(f"{shown_address(url)} {message}") from None
        _mend_cookies(client.cookies.jar, response)
        # As the site has written them; in lower case where the server does so.
        pairs = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers.raw]
        status = response.status_code
        page = b""
        if status not in _REDIRECTS and status != 304:
            page = decoded(raw, response.headers.get("content-encoding", ""))
        return Answer(self.name, url, status, pairs, page, hops)

    def _client(self, origin: str) -> httpx.Client:
        if origin not in self._clients:
            given = self._credentials if origin == self._origin else []
            fields = [*_BROWSER.items(), *(one for one in given if one[0].lower() != "cookie")]
            tls = self._network.tls if origin.startswith("https:") else False
            try:
                client = httpx.Client(headers=fields, timeout=self._network.seconds, verify=tls)
            except (ValueError, ImportError):
                raise CannotCheck(
                    "Your proxy (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used: correct it."
                ) from None
            for name, value in given:
                if name.lower() == "cookie":
                    _put(client.cookies, value)
            self._clients[origin] = client
        return self._clients[origin]


def origin_of(url: str) -> str:
    """Return scheme, host and port, the default one left out."""
    address = httpx.URL(url)
    host = address.netloc.decode("ascii")
    return f"{address.scheme}://{host}"


def cookie_pairs(value: str) -> list[tuple[str, str]]:
    """Return the names and values of a `Cookie` field (RFC 6265, section 4.2.1)."""
    pairs = []
    for part in value.rstrip("; ").split(";"):
        name, _, content = part.strip().partition("=")
        pairs.append((name, content))
    return pairs


def _mend_cookies(jar: http.cookiejar.CookieJar, response: httpx.Response) -> None:
    for value in response.headers.get_list("set-cookie"):
        name = value.partition("=")[0].strip()
        # A given cookie has no domain; a browser would have replaced it, or deleted it.
        if any(cookie.name == name and not cookie.domain for cookie in jar):
            jar.clear("", "/", name)
    if is_loopback(response.url.host):  # where browsers send `Secure` cookies without TLS, too
        for cookie in jar:
            cookie.secure = False


def _put(cookies: httpx.Cookies, value: str) -> None:
    for name, content in cookie_pairs(value):
        cookies.set(name, content)


def _joined(url: str, location: str) -> str:
    target = httpx.URL(url).join(location)
    if target.scheme not in ("http", "https") or not target.host:
        raise _no_address(url)
    return str(target.copy_with(fragment=None))


def _no_address(url: str) -> CannotCheck:
    return CannotCheck(f"{shown_address(url)} redirects to what is no address of http or https.")


def _read(response: httpx.Response, until: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > LIMIT:
            raise CannotCheck(
                f"{shown_address(str(response.url))} is larger than {LIMIT // 2**20} MB."
            )
        if time.monotonic() > until:
            raise httpx.ReadTimeout("the body does not end", request=response.request)
    return bytes(body)
