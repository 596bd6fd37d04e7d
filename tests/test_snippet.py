"""The bytes of the identify script, and how those of others are taken out, asked directly."""

from __future__ import annotations

import pytest

from ensoras_middleware import Identity, snippet

SCRIPT = snippet.identify_script(Identity("alice@example.com", "0" * 64))
ESCAPED = "\"&'<>\\}"


def test_what_is_escaped() -> None:
    """What HTML, JSON or a script could read otherwise, and nothing else: pages stay short."""
    plain = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ESCAPED)
    assert b'{"email":"%b","hash":"0"}' % plain.encode() in snippet.identify_script(
        Identity(plain, "0")
    )
    for one in f"{ESCAPED}\0\x1f\x7f\x80é\u2028\U0001f600\ud800":
        units = one.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
        expected = "".join(f"\\u{unit}" for unit in units)
        text = snippet.identify_script(Identity(one, "0"))
        assert b'"email":"%b"' % expected.encode() in text
        assert snippet.identity_of_script(text) == Identity(one, "0")


@pytest.mark.parametrize("nonce", [None, "azAZ09+/_-==", "!"])
def test_the_element_is_taken_out(nonce: str | None) -> None:
    """Whole, wherever it stands, as often as it is there."""
    element = snippet.script_element(SCRIPT, nonce)
    assert snippet.without_identify_scripts(b"a%bb%bc" % (element, element)) == b"abc"
    emptied = b'<script nonce="">%b</script>' % SCRIPT
    assert snippet.without_identify_scripts(b"a%bb%bc" % (emptied, element)) == b"abc"


@pytest.mark.parametrize(
    "element",
    [
        b"<script data-x>%b</script>",
        b"<script nonce=''>%b</script>",
        b"<script nonce=!>%b</script>",
        b'<script nonce=a"b">%b</script>',
        b"<script>%b </script>",
    ],
)
def test_what_has_been_rewritten_is_blanked(element: bytes) -> None:
    """The element is somebody else's by now; the identity in it is nobody's."""
    before, after = element.split(b"%b")
    cleaned = snippet.without_identify_scripts(b"a" + element.replace(b"%b", SCRIPT) + b"b")
    assert cleaned.startswith(b"a" + before + snippet.MARK)
    assert cleaned.endswith(after + b"b")
    assert len(cleaned) == len(element) + len(SCRIPT)
    assert b"alice" not in cleaned
    assert b"000" not in cleaned


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_stream_is_blanked_however_it_is_cut(size: int) -> None:
    """Each byte stays in its place, and no more than the identities is blanked."""
    text = b"{a}" + SCRIPT + b"{b}" + SCRIPT + b"{c"
    start, stop = SCRIPT.index(b'{"email'), SCRIPT.index(b"}", SCRIPT.index(b'{"email')) + 1
    blank = SCRIPT[:start] + b" " * (stop - start) + SCRIPT[stop:]
    blanker = snippet.IdentityBlanker()
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    fed = [blanker.feed(chunk) for chunk in chunks]
    assert [len(one) for one in fed] == [len(one) for one in chunks]
    assert b"".join(fed) == b"{a}" + blank + b"{b}" + blank + b"{c"
    assert blanker.found


@pytest.mark.parametrize("at", [0, 1, 300, 506, 507, 508, 520])
def test_an_identity_that_two_long_chunks_share_is_blanked(at: int) -> None:
    """A script may begin at the very end of one."""
    blanker = snippet.IdentityBlanker()
    fed = blanker.feed(b"x" * 5000 + SCRIPT[:at]) + blanker.feed(SCRIPT[at:] + b"y" * 5000)
    assert len(fed) == len(SCRIPT) + 10_000
    assert b"alice" not in fed
    assert fed.startswith(b"x" * 5000 + snippet.MARK)
    assert fed.endswith(b"y" * 5000)


def test_a_stream_without_any() -> None:
    blanker = snippet.IdentityBlanker()
    assert blanker.feed(snippet.MARK + b"{x}") == snippet.MARK + b"{x}"
    assert not blanker.found


NEEDLE = b"//app.ensoras.com/"


@pytest.mark.parametrize(
    ("page", "has_one"),
    [
        (NEEDLE, False),
        (SCRIPT + NEEDLE, True),
        (NEEDLE + SCRIPT, False),
        (NEEDLE + SCRIPT + NEEDLE, True),
        (SCRIPT + b"x" * 7000 + NEEDLE, True),
        (SCRIPT + b"x" * 8200 + NEEDLE, False),
        (NEEDLE + b"x" * 20_000 + SCRIPT + NEEDLE, True),
        (NEEDLE + SCRIPT + NEEDLE + b"x" * 20_000 + NEEDLE, True),
    ],
)
def test_a_page_that_has_one(page: bytes, has_one: bool) -> None:
    """It stands before a mention of the widget, and not far from it."""
    assert snippet.has_identify_script(page, NEEDLE, page.find(NEEDLE)) is has_one


@pytest.mark.parametrize(
    "text",
    [
        b"",
        SCRIPT[:-1],
        SCRIPT[:-2] + b"};",
        SCRIPT.replace(b"Ensoras identity", b"another identity"),
        b" " + SCRIPT,
        SCRIPT.replace(b'"email"', b'"e-mail"'),
        SCRIPT.replace(b'{"email', b'[{"email'),
        SCRIPT.replace(b'"hash":', b'"hash";'),
    ],
)
def test_what_is_no_identify_script(text: bytes) -> None:
    assert snippet.identity_of_script(text) is None


def test_the_element_stands_in_the_page() -> None:
    """With the nonce of the widget tag, where that has one."""
    assert snippet.script_element(b"x", "Ab1") == b'<script nonce="Ab1">x</script>'
    assert snippet.script_element(b"x", None) == b"<script>x</script>"
    assert snippet.inserted(b"abcd", 2, b"<x>") == b"ab<x>cd"


def test_the_hash_source() -> None:
    """As browsers make it: the SHA-256 of nothing is well known."""
    assert snippet.hash_source(b"") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
