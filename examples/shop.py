"""What the three shops have in common: goods, customers, orders, and settings from the environment.

Nothing here knows a web framework, and nothing here knows the middleware.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

STATIC_DIR = Path(__file__).parent / "static"

DEMO_PASSWORD = "tea-time"


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    origin: str
    text: str
    price: str
    picture: str


@dataclass(frozen=True, slots=True)
class Order:
    number: str
    date: str
    items: str
    total: str
    state: str


@dataclass(frozen=True, slots=True)
class Customer:
    name: str
    email: str
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """One article of the shop's tea notes; each is served with another caching style."""

    style: str
    title: str
    headers: str
    text: str
    personal: bool = False

    @property
    def path(self) -> str:
        return f"/cached/{self.style}"


PRODUCTS = (
    Product(
        "Sencha Morning",
        "Shizuoka, Japan",
        "Grassy and bright, for the first cup of the day.",
        "€9.50",
        "leaf",
    ),
    Product(
        "Second Flush",
        "Darjeeling, India",
        "Muscatel and dried apricot, picked in June.",
        "€14.00",
        "cup",
    ),
    Product(
        "Iron Goddess",
        "Anxi, China",
        "An oolong that opens slowly, over six short brews.",
        "€18.00",
        "flower",
    ),
    Product(
        "Evening Rooibos",
        "Cederberg, South Africa",
        "Honey and warm wood. No caffeine at all.",
        "€7.50",
        "cup",
    ),
    Product(
        "The Round Pot",
        "Stoke-on-Trent, England",
        "Stoneware, 0.9 litres, and it does not drip.",
        "€42.00",
        "pot",
    ),
    Product(
        "Bamboo Whisk", "Takayama, Japan", "One hundred tines, split by hand.", "€24.00", "whisk"
    ),
)

CUSTOMERS = (
    Customer(
        "Alice",
        "alice@example.com",
        (
            Order(
                "T-1042",
                "18 September 2026",
                "Sencha Morning (2), The Round Pot",
                "€61.00",
                "On its way",
            ),
            Order("T-0977", "2 July 2026", "Iron Goddess", "€18.00", "Delivered"),
        ),
    ),
    Customer(
        "Bob",
        "bob@example.com",
        (Order("T-1038", "11 September 2026", "Bamboo Whisk", "€24.00", "Delivered"),),
    ),
)

NOTES_CHANGED = datetime(2026, 9, 1, 8, 30, tzinfo=UTC)
"""When the tea notes were last edited: their Last-Modified."""

NOTES = (
    Note(
        "etag",
        "How hot is hot?",
        "Cache-Control: no-cache and an ETag",
        "Green tea turns bitter above 80 °C, black tea stays flat below 95 °C. Without a "
        "thermometer, open the lid and count: every minute costs the kettle about five degrees.",
    ),
    Note(
        "max-age",
        "How long to steep",
        "Cache-Control: max-age=600 and an ETag",
        "Start the clock when the water touches the leaves. Two minutes for green, three for "
        "oolong, four for black. A second brew wants half a minute more, not more leaves.",
    ),
    Note(
        "last-modified",
        "Keeping tea fresh",
        "Last-Modified alone",
        "Air, light, damp, and the neighbours on the shelf: tea takes up all of them. A tin that "
        "closes well, far from the coffee, keeps a black tea for two years and a green for one.",
    ),
    Note(
        "public",
        "The water itself",
        "Cache-Control: public, s-maxage=600",
        "Hard water dulls the cup and leaves a film on it. If your kettle grows scale, a jug "
        "filter does more for the taste than a dearer tea.",
    ),
    Note(
        "no-store",
        "Your tasting diary",
        "Cache-Control: no-store",
        "Write down the tea, the grams, the degrees and the minutes. After ten cups you will know "
        "what you like, and no shop can tell you better.",
        personal=True,
    ),
    Note(
        "none",
        "Choosing a pot",
        "no caching header at all",
        "Porcelain forgets, clay remembers. For many kinds of tea take porcelain or glass; for "
        "one kind, every day, take clay and never wash it with soap.",
        personal=True,
    ),
)

STEPS = (
    "The kettle is on.",
    "95 °C: the pot is warmed.",
    "Two spoons of Second Flush.",
    "The leaves unfold.",
    "Four minutes: it is ready.",
)
STEP_SECONDS = 0.2
STEPS_PLACE = "<!-- steps -->"
"""Stands in the template of the streamed page where the steps are poured in."""


def orders_of(email: str) -> tuple[Order, ...]:
    return next((customer.orders for customer in CUSTOMERS if customer.email == email), ())


def after_login(next_url: str | None) -> str:
    """The page to show after log-in. An address from the query never leads off this site."""
    return "/orders" if urlsplit(next_url or "").path == "/orders" else "/"


def secret_key() -> str:
    """The key that signs this shop's sessions: a new one for every start unless one is given."""
    return os.environ.get("EXAMPLE_SECRET_KEY") or secrets.token_hex(32)


def widget_origin() -> str:
    return os.environ.get("ENSORAS_EXAMPLE_ORIGIN") or "https://app.ensoras.com"


def widget_src() -> str:
    """The address that the Ensoras dashboard shows for this widget.

    A real site just pastes its widget tag into its layout.
    """
    slug = os.environ.get("ENSORAS_WIDGET_SLUG", "YOUR_SLUG")
    return f"{widget_origin()}/cdn/v1/widget/{slug}.js"


def pour(page: str) -> Iterator[str]:
    """Send a page in pieces: all above the steps, each step when it is done, all below them."""
    above, below = page.split(STEPS_PLACE)
    yield above
    for step in STEPS:
        time.sleep(STEP_SECONDS)
        yield f"<li>{step}</li>\n"
    yield below


async def pour_async(page: str) -> AsyncIterator[str]:
    """Send a page in pieces, as `pour` does, without blocking the event loop."""
    above, below = page.split(STEPS_PLACE)
    yield above
    for step in STEPS:
        await asyncio.sleep(STEP_SECONDS)
        yield f"<li>{step}</li>\n"
    yield below
