"""Fixtures of tests that build whole Django sites: `pytest_plugins = ["django_fixtures"]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django_sites import AsgiClient, Browser, sites


@pytest.fixture
def rolled_back() -> Iterator[None]:
    """Undo what a test writes into tables, and what Django caches."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    cache.clear()


@pytest.fixture
def site() -> Iterator[Callable[..., None]]:
    """Build the site of a test."""
    with sites() as build:
        yield build


@pytest.fixture(params=[Client, AsgiClient], ids=["wsgi", "asgi"])
def browser(request: pytest.FixtureRequest) -> Browser:
    """Visit the site under WSGI or under ASGI; call it for each visitor."""
    client: Browser = request.param
    return client
