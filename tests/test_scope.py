"""What the core is told of a request in an ASGI scope."""

from __future__ import annotations

import pytest

from ensoras_middleware.scope import path_of, request_of


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/a", "", "/a"),
        ("", "", ""),
        ("/root/a", "/root", "/a"),
        ("/root/", "/root", "/"),
        ("/root", "/root", ""),
        ("/rooted/a", "/root", "/rooted/a"),
        ("/a", "/root", "/a"),
        ("/a/root/b", "/root", "/a/root/b"),
    ],
)
def test_a_path_without_its_root(path: str, root: str, expected: str) -> None:
    """By whole segments; a server may leave the root out."""
    assert path_of(path, root) == expected


def test_header_fields() -> None:
    """By lower-case names, as ASGI has them; those of one name make one list."""
    fields = [(b"a", b"1"), (b"b", b"\xe9"), (b"a", b"2"), (b"A", b"3"), (b"ab", b"4"), (b"c", b"")]
    request = request_of("GET", "/x", fields)
    assert (request.method, request.path) == ("GET", "/x")
    values = [request.header(name) for name in ("a", "b", "c", "d")]
    assert values == ["1, 2", "\xe9", "", None]
