"""Creates the Django shop's database and users: `python -m examples.django_shop.prepare`."""

from __future__ import annotations

import os

import django


def prepare() -> None:
    """Migrate the SQLite file in EXAMPLE_DATA_DIR and add the demo users that are missing."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_shop.settings")
    django.setup()
    # Models can be imported only after setup().
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from examples import shop

    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0, interactive=False)
    users = get_user_model().objects
    for customer in shop.CUSTOMERS:
        if not users.filter(username=customer.email).exists():
            users.create_user(
                username=customer.email,
                email=customer.email,
                password=shop.DEMO_PASSWORD,
                first_name=customer.name,
            )


if __name__ == "__main__":
    prepare()
