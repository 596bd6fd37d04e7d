"""How the widget tag is written, and by what a page is known to hold one."""

from __future__ import annotations

import pytest

from ensoras_middleware.widget_tag import NONCE, SLUG, address_pattern, needle, widget_tag

ORIGIN = "https://app.ensoras.com"
PATH = "app.ensoras.com/cdn/v1/widget/"


def test_the_tag() -> None:
    """As Ensoras' dashboard shows it."""
    start = f'<script src="https://{PATH}acme.js" async defer'
    assert widget_tag(ORIGIN, "acme") == f"{start}></script>"
    assert widget_tag(ORIGIN, "acme", "Ab1") == f'{start} nonce="Ab1"></script>'


@pytest.mark.parametrize(
    ("origin", "slug", "expected"),
    [
        (ORIGIN, "acme", f"//{PATH}acme.js"),
        (ORIGIN, None, f"//{PATH}"),
        ("http://localhost:8000", "a", "//localhost:8000/cdn/v1/widget/a.js"),
    ],
)
def test_the_needle(origin: str, slug: str | None, expected: str) -> None:
    """All of the address but what a page may leave out or write in another way."""
    assert needle(origin, slug) == expected.encode()


@pytest.mark.parametrize(
    ("address", "slug"),
    [
        (f"https://{PATH}acme.js", "acme"),
        (f"//{PATH}acme.js", "acme"),
        (f"HTTPS://APP.Ensoras.COM{PATH[15:]}acme.js", "acme"),
        (f"https://{PATH}acme.js?", "acme"),
        (f"https://{PATH}acme.js?v=1#x", "acme"),
        (f"https://{PATH}acme.js#\nx", "acme"),
        (f"https://{PATH}a-Z_9.js", "a-Z_9"),
        (f"http://{PATH}acme.js", None),
        (f"https:{PATH}acme.js", None),
        (PATH + "acme.js", None),
        (f"x//{PATH}acme.js", None),
        (f"https://app-ensoras.com{PATH[15:]}acme.js", None),
        (f"https://x.{PATH}acme.js", None),
        (f"https://{PATH.upper()}acme.js", None),
        (f"https://{PATH}acmexjs", None),
        (f"https://{PATH}acme.jsx", None),
        (f"https://{PATH}acme.js/x", None),
        (f"https://{PATH}.js", None),
        (f"https://{PATH}a.b.js", None),
        (f"https://{PATH}a/b.js", None),
        (f"https://{PATH}é.js", None),
        (f"https://{PATH}acme.j\u017f", None),
        (f"http\u017f://{PATH}acme.js", None),
    ],
)
def test_the_address(address: str, slug: str | None) -> None:
    """Scheme and host in any case, the rest as it is; of a named slug, that one alone."""
    any_slug = address_pattern(ORIGIN, None).fullmatch(address)
    assert (any_slug and any_slug[1]) == slug
    named = address_pattern(ORIGIN, "acme").fullmatch(address)
    assert (named and named[1]) == (slug if slug == "acme" else None)


def test_a_slug_stands_for_itself() -> None:
    """Not for what an expression makes of it, and in its own case."""
    assert not address_pattern(ORIGIN, "a-c").fullmatch(f"https://{PATH}abc.js")
    assert not address_pattern(ORIGIN, "acme").fullmatch(f"https://{PATH}Acme.js")


@pytest.mark.parametrize("one", ["a", "z", "A", "Z", "0", "9", "_", "-", "a-Z_9" * 9])
def test_what_is_a_slug(one: str) -> None:
    assert SLUG.fullmatch(one)


@pytest.mark.parametrize("one", [*"@[`{/:. \n,^", "", "é"])
def test_what_is_no_slug(one: str) -> None:
    assert not SLUG.fullmatch(f"a{one}" if one else one)


@pytest.mark.parametrize("one", ["a", "z=", "A==", "Z", "0", "9", "+", "/", "_", "-", "a+/_-9=="])
def test_what_is_a_nonce(one: str) -> None:
    """CSP Level 3, section 2.3.1."""
    assert NONCE.fullmatch(one)


@pytest.mark.parametrize("one", [*"@[`{:. \n,*", "", "=", "a===", "=a"])
def test_what_is_no_nonce(one: str) -> None:
    assert not NONCE.fullmatch(f"a{one}" if len(one) == 1 and one != "=" else one)
