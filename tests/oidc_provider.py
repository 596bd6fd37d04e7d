"""An OpenID provider for tests: it logs everybody in at once, with the claims that it is given."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.serving import make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

CLIENT_ID = "shop"


@dataclass
class Provider:
    """A running provider, and what it says of its only user."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)  # Authlib's settings of this provider
    _key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "1"}))
    _nonces: dict[str, str] = field(default_factory=dict)  # by code

    @Request.application
    def __call__(self, request: Request) -> Any:
        answers = {
            "/.well-known/openid-configuration": self._metadata,
            "/authorize": self._authorize,
            "/token": self._token,
            "/keys": lambda request: {"keys": [self._key.as_dict(private=False)]},
        }
        answer: Any = answers[request.path](request)
        if isinstance(answer, Response):
            return answer
        return Response(json.dumps(answer), content_type="application/json")

    def _metadata(self, request: Request) -> Any:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def _authorize(self, request: Request) -> Any:
        code = f"code-{len(self._nonces)}"
        self._nonces[code] = request.args["nonce"]
        answer = urlencode({"code": code, "state": request.args["state"]})
        return redirect(f"{request.args['redirect_uri']}?{answer}")

    def _token(self, request: Request) -> Any:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "7", "iat": now, "exp": now + 60}
        claims["nonce"] = self._nonces.pop(request.form["code"])
        header = {"alg": "ES256", "kid": "1"}
        id_token = jwt.encode(header, claims | self.claims, self._key, algorithms=["ES256"])
        return {"access_token": "of the tests", "token_type": "Bearer", "id_token": id_token}


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    provider = Provider()
    server = make_server("127.0.0.1", 0, provider, threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    provider.client = {
        "client_id": CLIENT_ID,
        "client_secret": "of the tests",
        "server_metadata_url": f"{provider.issuer}/.well-known/openid-configuration",
        "client_kwargs": {"scope": "openid email"},
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
