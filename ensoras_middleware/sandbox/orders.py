"""What the account tools of a verified customer show: a few made-up orders."""

from __future__ import annotations

from typing import TypedDict


class Order(TypedDict):
    """One order, as the widget prints it."""

    id: str
    title: str
    total: str
    state: str


# The same that the example shops show on their own pages.
_ORDERS: dict[str, list[Order]] = {
    "alice@example.com": [
        {
            "id": "T-1042",
            "title": "Sencha Morning (2), The Round Pot",
            "total": "€61.00",
            "state": "On its way",
        },
        {"id": "T-0977", "title": "Iron Goddess", "total": "€18.00", "state": "Delivered"},
    ],
    "bob@example.com": [
        {"id": "T-1038", "title": "Bamboo Whisk", "total": "€24.00", "state": "Delivered"},
    ],
}


def orders_of(email: str) -> list[Order]:
    """Return the orders of a lower-cased address; the demo users have some, anybody else none."""
    return _ORDERS.get(email, [])
