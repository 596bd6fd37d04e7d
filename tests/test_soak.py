"""A short slice of `make soak`: real servers under load, with clients that behave badly.

What needs minutes, that memory does not grow, is left to the whole of it.
"""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest
from soak import memory
from soak.soaking import SITES, soak

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("servers")]

SECONDS = 2
# One site for each server.
SLICE = dict(reversed(SITES))


@pytest.mark.parametrize("server", SLICE)
def test_everybody_gets_their_own_page(server: str, tmp_path: Path) -> None:
    """Whatever other clients do, and while the secret changes: every byte is right.

    Nobody's identity is in another's answer, no answer breaks off, and nothing is left open when
    all have gone.
    """
    if not memory.can_be_seen():
        pytest.skip("this kernel does not tell what a process holds")
    if server == "uvicorn-httptools" and importlib.util.find_spec("httptools") is None:
        pytest.skip("httptools is not installed")
    soaked = asyncio.run(soak(server, SLICE[server], tmp_path, rounds=1, seconds=SECONDS))
    assert soaked.judge.told == []
    assert soaked.judge.counts["answers"] > 0
