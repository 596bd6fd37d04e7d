"""What the account tools of a verified customer show: a few made-up orders."""

from __future__ import annotations

from typing import TypedDict


class Order(TypedDict):
    """One order, as the widget prints it."""

    id: str
    title: str
    total: str
    state: str


_ORDERS: dict[str, list[Order]] = {
    "alice@example.com": [
        {"id": "A-1042", "title": "Walnut desk lamp", "total": "€89.00", "state": "Delivered"},
        {
            "id": "A-1057",
            "title": "Linen notebook, set of 3",
            "total": "€24.50",
            "state": "Shipped",
        },
        {"id": "A-1063", "title": "Coffee beans, monthly", "total": "€14.90", "state": "Active"},
    ],
    "bob@example.com": [
        {"id": "B-2210", "title": "Trail running shoes", "total": "€129.00", "state": "Refunded"},
        {"id": "B-2231", "title": "Merino socks, 2 pairs", "total": "€19.80", "state": "Paid"},
    ],
}


def orders_of(email: str) -> list[Order]:
    """Return the orders of a lower-cased address; the demo users have some, anybody else none."""
    return _ORDERS.get(email, [])
