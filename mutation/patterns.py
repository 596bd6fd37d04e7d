"""The small ways in which a regular expression can be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*) | (?P<many>[*+?][+?]? | \{\d*,?\d*\}[+?]?)
    | (?P<around>\(\?<?[=!]) | (?P<open>\((?:\?(?:P?<\w+>|[a-zA-Z]*:|[a-zA-Z]+\)|>))?)
    | (?P<close>\)) | (?P<or>\|) | (?P<set>\[\^?(?:\]|\[:\w+:\])?(?:\\.|[^\]\\])*\])
    | (?P<atom>\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[a-zA-Z]{2,}(?![*+?{])|.)""",
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(
    r"(\\x[0-9a-fA-F]{2}|\\.|[^\\])(?:-(\\x[0-9a-fA-F]{2}|\\.|[^\]\\]))?", re.DOTALL
)
_OTHER_WAY = {"=": "!", "!": "="}


def wrong_patterns(pattern: str) -> list[str]:
    """Return the pattern with an alternative, an atom, a member or a bound of it gone or moved."""
    return [one for one in dict.fromkeys(_wrong_patterns(pattern)) if one != pattern]


def _wrong_patterns(pattern: str) -> Iterator[str]:
    tokens = list(_TOKEN.finditer(pattern))
    verbose = "\n" in pattern
    for number, token in enumerate(tokens):
        start, end = token.span()
        kind = token.lastgroup
        if kind == "space" and (verbose or token[0][0] == " "):
            continue
        news: list[str] = []
        if kind == "many":
            news += _counts(token[0])
        elif kind == "around":
            news.append(token[0][:-1] + _OTHER_WAY[token[0][-1]])
        elif kind == "set":
            news += _sets(token[0])
        if kind in ("atom", "set", "space"):
            follower = tokens[number + 1] if number + 1 < len(tokens) else None
            if follower is not None and follower.lastgroup == "many":
                end = follower.end()
            yield pattern[:start] + pattern[end:]
            end = token.end()
        for new in news:
            yield pattern[:start] + new + pattern[end:]
    yield from _without_alternatives(pattern, tokens)


def _counts(quantifier: str) -> Iterator[str]:
    if quantifier[0] == "{":
        for number in re.finditer(r"\d+", quantifier):
            for new in (int(number[0]) + 1, int(number[0]) - 1):
                yield f"{quantifier[: number.start()]}{max(new, 0)}{quantifier[number.end() :]}"
    elif quantifier[0] == "?":
        yield ""
    else:
        yield {"*": "+", "+": "*"}[quantifier[0]] + quantifier[1:]
        yield ""


def _sets(text: str) -> Iterator[str]:
    head = "[^" if text.startswith("[^") else "["
    inner = text[len(head) : -1]
    yield ("[" if head == "[^" else "[^") + inner + "]"
    for member in _MEMBER.finditer(inner):
        before, after = inner[: member.start()], inner[member.end() :]
        if before or after:
            yield head + before + after + "]"
        if member[2] is None:
            continue
        low, high = (_code(one) for one in member.groups())
        for one, other in ((low + 1, high), (low, high - 1), (low - 1, high), (low, high + 1)):
            wider = [edge for edge in (one, other) if not low <= edge <= high]
            if not any(edge < 0 or re.match(text, chr(edge)) for edge in wider):
                yield f"{head}{before}\\x{one:02x}-\\x{other:02x}{after}]"


def _code(member: str) -> int:
    if member.startswith("\\x"):
        return int(member[2:], 16)
    return ord({"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\f": "\f"}.get(member, member[-1]))


def _without_alternatives(pattern: str, tokens: list[re.Match[str]]) -> Iterator[str]:
    """Drop each alternative, with one of the bars beside it."""
    open_ones: list[list[int]] = [[0]]  # where the alternatives of each open group start
    for token in [*tokens, None]:
        if token is not None and token.lastgroup in ("open", "around"):
            if not token[0].endswith(")"):
                open_ones.append([token.end()])
        elif token is not None and token.lastgroup == "or":
            open_ones[-1].append(token.end())
        elif (token is None or token.lastgroup == "close") and open_ones:
            starts = open_ones.pop()
            end = len(pattern) if token is None else token.start()
            for number, start in enumerate(starts if len(starts) > 1 else []):
                if number + 1 < len(starts):
                    yield pattern[:start] + pattern[starts[number + 1] :]
                else:
                    yield pattern[: start - 1] + pattern[end:]
