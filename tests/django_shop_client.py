"""The Django shop behind Django's own test client, in a process of its own.

Run as a script it reads a request as JSON from each line, and writes the answer as a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from examples import shop


def serve() -> None:
    from examples.django_shop.prepare import prepare

    prepare()
    from django import test
    from django.test.utils import setup_test_environment

    setup_test_environment()
    shop.STEP_SECONDS = 0.0
    clients: list[Any] = []
    for line in sys.stdin:
        question = json.loads(line)
        answer: Any = len(clients)
        if "new" in question:
            new_client = getattr(test, question["new"])
            clients.append(new_client(enforce_csrf_checks=True, raise_request_exception=False))
        else:
            answer = ask_django(clients[question.pop("client")], **question)
        print(json.dumps(answer), flush=True)  # noqa: T201


def ask_django(
    client: Any, method: str, path: str, form: dict[str, str] | None, headers: dict[str, str]
) -> dict[str, Any]:
    from django.test import AsyncClient

    send = getattr(client, method.lower())

    async def ask_async() -> tuple[Any, list[bytes]]:
        response = await send(path, form, headers=headers)
        if response.streaming:
            return response, [chunk async for chunk in response.streaming_content]
        return response, [response.content]

    if isinstance(client, AsyncClient):
        response, chunks = asyncio.run(ask_async())
    else:
        response = send(path, form, headers=headers)
        chunks = list(response)
    return {
        "status": response.status_code,
        "headers": {name.lower(): value for name, value in response.headers.items()},
        "chunks": [chunk.decode("latin-1") for chunk in chunks if chunk],
    }


if __name__ == "__main__":
    serve()
