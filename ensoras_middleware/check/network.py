"""Why a site could not be reached, in one line that holds nothing of what was sent."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx


def explained(error: httpx.HTTPError, seconds: float) -> str:
    """Return what goes behind the address; `seconds` is how long an answer may have taken."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"has a certificate that is not trusted ({cause.verify_message}): mend it, or name "
                "your own authority's certificate in SSL_CERT_FILE."
            )
        if isinstance(cause, ssl.SSLError):
            return "does not speak TLS as it should: check certificate, port and scheme."
        if isinstance(cause, socket.gaierror):
            return "has a host name that cannot be resolved: check the address and your DNS."
        if isinstance(cause, ConnectionRefusedError):
            return "refuses the connection: is the site running, on this port?"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "breaks the connection off: see its log."
    if isinstance(error, httpx.ConnectTimeout):
        return f"cannot be reached within {seconds:g} seconds: check host, port and firewall."
    if isinstance(error, httpx.TimeoutException):
        return f"does not answer within {seconds:g} seconds: see its log, or give --timeout."
    if "Invalid URL in location header" in str(error):
        return "redirects to what is no address of http or https."
    if isinstance(error, httpx.RemoteProtocolError):
        return "breaks the answer off, or does not speak HTTP: check scheme and port."
    if isinstance(error, httpx.ProxyError):
        return "cannot be reached through your proxy (HTTPS_PROXY, ALL_PROXY): check it."
    return f"cannot be reached ({type(error).__name__})."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
