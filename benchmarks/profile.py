"""Where the time goes: the profile of an identified page, and of one that is nearly nothing.

    python -m benchmarks.profile [--corpus FOLDER]

`make bench-profile` does this. Shares, not times: the profiler slows calls down, and loops inside
of `re` and `hmac` not at all, so what is Python here is less of the real time.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks import pages, sites, subject

ROOT = Path(__file__).parent.parent
SHOWN = 12


def main() -> None:
    """Profile, and print the shares."""
    parser = argparse.ArgumentParser(prog="make bench-profile", description=__doc__)
    parser.add_argument("--corpus", help="a folder of real pages; without it they are made")
    chosen = pages.pages(parser.parse_args().corpus)
    page = min(chosen, key=lambda one: abs(len(one.text) - 50_000))
    body = page.with_tag(pages.BODY)
    loop = sites.asgi_loop(sites.asgi_ours(sites.asgi_site(sites.TINY, sites.HTML)))
    _print(f"{page.name} ({len(body)} bytes), identified before </body>", shares_of(_pages(body)))
    _print("a tiny page, identified through ASGI", shares_of(lambda: loop(5000)))


def _pages(body: bytes) -> Callable[[], None]:
    def run() -> None:
        for _ in range(500):
            subject.answered(subject.injection(), body, subject.EMAIL)

    return run


def shares_of(run: Callable[[], object]) -> dict[str, float]:
    """Return the share of the time that each of our modules, and each builtin, takes itself."""
    run()
    profile = cProfile.Profile()
    profile.runcall(run)
    times: Counter[str] = Counter()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, name), (_, _, own, *_) in stats.items():
        path = Path(file)
        known = path.is_relative_to(ROOT)
        times[str(path.relative_to(ROOT)) if known else name.strip("<>{}")] += own
    total = sum(times.values())
    return {name: own / total for name, own in times.most_common()}


def _print(what: str, shares: dict[str, float]) -> None:
    lines = [f"  {share:5.1%}  {name}" for name, share in list(shares.items())[:SHOWN]]
    sys.stdout.write("\n".join([what, *lines, ""]) + "\n")


if __name__ == "__main__":
    main()
