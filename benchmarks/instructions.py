"""Counts the machine instructions of a few steps: figures that a busy machine does not change.

    python -m benchmarks.instructions [--write]

`make bench-check` does this. What got worse by more than a tenth of what `budget.json` says ends it
with status 1; `make bench-check ARGS=--write` makes today's counts the budget. The pages are
made ones, so that it is the same everywhere; but other releases of Python count otherwise.

Each step runs in a process of its own under Valgrind, which begins to count when the interpreter
has started, the imports are done, and the step has run once.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import gc
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUDGET = Path(__file__).parent / "budget.json"
TOLERANCE = 0.1

_COUNT = re.compile(r"Collected : (\d+)")


def _scan() -> Callable[[], object]:
    from benchmarks import pages, subject

    page = pages.Page("", pages.made_page(50_000)).with_tag(pages.BODY)
    return lambda: subject.ours(page)


def _anonymous() -> Callable[[], object]:
    from benchmarks import pages, subject

    page = pages.Page("", pages.made_page(50_000)).with_tag(pages.BODY)
    return lambda: subject.answered(subject.injection(), page, None)


def _single_bytes() -> Callable[[], object]:
    from benchmarks import pages, subject
    from ensoras_middleware.scanner import Scanner

    page = pages.made_page(10_000)[4000:5000]

    def feed() -> None:
        scanner = Scanner(subject.WIDGET.address)
        for at in range(len(page)):
            scanner.feed(page[at : at + 1])

    return feed


def _signing() -> Callable[[], object]:
    from benchmarks.subject import EMAIL, SECRET
    from ensoras_middleware import Identity, identity_hash, snippet

    return lambda: snippet.identify_script(Identity(EMAIL, identity_hash(EMAIL, SECRET)))


def _asgi(ours: bool) -> Callable[[], object]:
    from benchmarks import sites

    app = sites.asgi_site(b"{}", sites.JSON)
    loop = sites.asgi_loop(sites.asgi_ours(app) if ours else app)
    return lambda: loop(20)


def _tiny_page(ours: bool) -> Callable[[], object]:
    from benchmarks import sites

    app = sites.asgi_site(sites.TINY, sites.HTML)
    loop = sites.asgi_loop(sites.asgi_ours(app) if ours else app)
    return lambda: loop(20)


def _wsgi(ours: bool) -> Callable[[], object]:
    from benchmarks import sites

    app = sites.wsgi_site(b"{}", sites.JSON)
    loop = sites.wsgi_loop(sites.wsgi_ours(app) if ours else app)
    return lambda: loop(20)


def _flask(ours: bool) -> Callable[[], object]:
    from benchmarks import frameworks, sites

    extensions = [frameworks.flask_ensoras] if ours else []
    loop = sites.wsgi_loop(frameworks.flask_site(b"{}", sites.JSON, *extensions))
    return lambda: loop(20)


def _django(ours: bool) -> Callable[[], object]:
    from benchmarks import frameworks, sites

    middleware = [frameworks.DJANGO_ENSORAS] if ours else []
    loop = sites.wsgi_loop(frameworks.django_handler(b"{}", sites.JSON, *middleware))
    return lambda: loop(20)


# What is counted: how it is made, how often it runs, and how many units one run is. Enough for
# ten million instructions: what is counted besides is some ten thousand.
STEPS: dict[str, tuple[Callable[[], Callable[[], object]], int, int]] = {
    "identified page of 50 KB, per byte": (_scan, 10, 50_000),
    "anonymous page of 50 KB": (_anonymous, 200, 1),
    "1-byte chunk": (_single_bytes, 10, 1000),
    "signing and the script": (_signing, 500, 1),
}
# What is counted over the bare site.
OVER_BARE: dict[str, tuple[Callable[[bool], Callable[[], object]], int, int]] = {
    "identified tiny page through ASGI": (_tiny_page, 10, 20),
    "non-HTML through ASGI": (_asgi, 50, 20),
    "non-HTML through WSGI": (_wsgi, 50, 20),
    "non-HTML through Flask": (_flask, 10, 20),
    "non-HTML through Django": (_django, 10, 20),
}
IMPORT = "import ensoras_middleware"

# A site takes ten times as many instructions as our part of it, and some of them depend on where
# in memory things happen to lie: the median over a few orders of sets and dictionaries counts.
SEEDS = ("0", "1", "2")

Counts = dict[str, float]


def main() -> int:
    """Count, compare, and say what got worse."""
    parser = argparse.ArgumentParser(prog="make bench-check", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make today's counts the budget")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        _run(*arguments.run)
        return 0
    if shutil.which("valgrind") is None:
        _say("Skipped: valgrind is not installed (Debian: apt-get install valgrind).")
        return 0
    budget = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    versions = _versions()
    if not arguments.write and budget.get("python") != versions["python"]:
        _say(
            f"Skipped: the budget is for Python {budget.get('python')}, this is "
            f"{versions['python']}. `make bench-check ARGS=--write` makes one for it."
        )
        return 0
    counts = counted()
    if arguments.write:
        text = json.dumps({**versions, "instructions": counts}, indent=1, ensure_ascii=False)
        BUDGET.write_text(text + "\n")
        _say(f"{text}\nWritten to {BUDGET}")
        return 0
    changed = [
        f"{name} {budget.get(name)} -> {one}"
        for name, one in versions.items()
        if budget.get(name) != one
    ]
    if changed:
        _say(f"Other than when the budget was written: {', '.join(changed)}")
    lines, worse = compared(budget["instructions"], counts)
    _say("\n".join(lines))
    return 1 if worse else 0


def compared(budget: Mapping[str, float], counts: Mapping[str, float]) -> tuple[list[str], bool]:
    """Return one line for each count, and whether any of them is over its budget."""
    lines, any_worse = [], False
    for name, count in counts.items():
        allowed = budget.get(name)
        if allowed is None:
            lines.append(f"{name}: {count:,} instructions, without a budget")
            continue
        change = count / allowed - 1
        worse = change > TOLERANCE
        any_worse |= worse
        remark = "  WORSE" if worse else "  better: renew the budget" if change < -TOLERANCE else ""
        lines.append(f"{name}: {count:,} of {allowed:,} instructions ({change:+.1%}){remark}")
    return lines, any_worse


def counted() -> Counts:
    """Return the instructions of one unit of every step."""
    subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, check=True)  # to have it compiled
    jobs = [(name, "ours", SEEDS[0]) for name in STEPS]
    jobs += [(IMPORT, kind, SEEDS[0]) for kind in ("ours", "bare")]
    jobs += [
        (name, kind, seed) for name in OVER_BARE for kind in ("ours", "bare") for seed in SEEDS
    ]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(_count, jobs), strict=True))
    counts = {}
    for name in (*STEPS, *OVER_BARE, IMPORT):
        of_seeds = [
            found[name, "ours", seed] - found.get((name, "bare", seed), 0)
            for seed in SEEDS
            if (name, "ours", seed) in found
        ]
        counts[name] = statistics.median(of_seeds)
    for name, (_, times, units) in (STEPS | OVER_BARE).items():
        counts[name] /= times * units
    return {name: round(count, 1 if count < 1000 else None) for name, count in counts.items()}


def _count(job: tuple[str, str, str]) -> float:
    name, kind, seed = job
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    if name == IMPORT:
        program = ["-c", IMPORT if kind == "ours" else "pass"]
    else:
        valgrind.append("--instr-atstart=no")
        program = ["-m", "benchmarks.instructions", "--run", name, kind]
    answer = subprocess.run(
        [*valgrind, sys.executable, *program],
        cwd=ROOT,
        # Nothing of the shell's, which would move everything in memory.
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
    )
    found = _COUNT.search(answer.stderr)
    if answer.returncode or found is None:
        raise RuntimeError(f"{name}: {answer.stderr[-2000:]}")
    return float(found[1])


def _run(name: str, kind: str) -> None:
    make, times, _ = STEPS[name] if name in STEPS else (None, *OVER_BARE[name][1:])
    step = make() if make else OVER_BARE[name][0](kind == "ours")
    step()
    gc.disable()
    control = ["callgrind_control", "-i", "on", str(os.getpid())]
    subprocess.run(control, check=True, stdout=subprocess.DEVNULL)
    for _ in range(times):
        step()
    os._exit(0)  # what an interpreter does at its end is not counted


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = {name: version(name) for name in ("starlette", "flask", "django", "werkzeug")}
    return {"python": platform.python_version(), **packages}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
