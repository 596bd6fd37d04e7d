"""`python -m soak`: soaks each server for minutes, and prints a line for each."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from soak import memory
from soak.judging import BROKEN_OFF, CROSSED, LEFT_OPEN, LOGGED, WRONG
from soak.soaking import SITES, Soak, soak

ROUND_SECONDS = 10
_WRONGS = (CROSSED, WRONG, BROKEN_OFF, LEFT_OPEN, LOGGED)
_SEEN = ("answers", "left", "stalled", "pipelined")
_HEAD = ["server, site", *_SEEN, "per s", *_WRONGS, *memory.MOST_GROWTH, "verdict"]


def main() -> None:
    """Exit with a status other than 0 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for each line (%(default)s)")
    parser.add_argument("--server", default="", help="those alone whose line begins so")
    arguments = parser.parse_args()
    rounds = max(1, round(arguments.seconds / ROUND_SECONDS))
    names = {f"{server}, {app}": (server, app) for server, app in SITES}
    chosen = [name for name in names if name.startswith(arguments.server)]
    if not chosen:
        parser.error(f"--server begins none of: {'; '.join(names)}")
    _say(_line(_HEAD))
    passed = [_soaked(name, *names[name], rounds, arguments.seconds / rounds) for name in chosen]
    sys.exit(not all(passed))


def _soaked(name: str, server: str, app: str, rounds: int, seconds: float) -> bool:
    def once(*, enabled: bool) -> Soak:
        with tempfile.TemporaryDirectory() as files:
            running = soak(
                server, app, Path(files), rounds=rounds, seconds=seconds, enabled=enabled
            )
            return asyncio.run(running)

    soaked = once(enabled=True)
    counts, grown, told = soaked.judge.counts, memory.growth(soaked.samples), soaked.judge.told
    beyond = memory.beyond(grown)
    if beyond:  # does the server grow so by itself?
        without = memory.growth(once(enabled=False).samples)
        told += [f"{kind}: {without[kind]:.0f} B without us" for kind in beyond]
        beyond = memory.beyond({kind: grown[kind] - without[kind] for kind in beyond})
    is_right = not beyond and not any(counts[kind] for kind in _WRONGS)
    figures = [counts[kind] for kind in _SEEN]
    figures += [round(counts["answers"] / soaked.seconds), *(counts[kind] for kind in _WRONGS)]
    growths = [f"{grown[kind]:.0f} B" if kind in grown else "" for kind in memory.MOST_GROWTH]
    _say(_line([name, *map(str, figures), *growths, "ok" if is_right else "WRONG"]))
    for line in told:
        _say(f"    {line}")
    return is_right


def _line(words: list[str]) -> str:
    first, *others = words
    return f"{first:32}" + "".join(f"{word:>12}" for word in others)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
