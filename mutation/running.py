"""Runs the tests that a mutant concerns, in a process that has it in place of the code."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import itertools
import json
import os
import re
import signal
import sys
import tempfile
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

from mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parent.parent
FOLDERS = (
    ROOT / "ensoras_middleware",
    ROOT / "integrations/flask/flask_ensoras",
    ROOT / "integrations/django/django_ensoras",
)
EXPLAINED = Path(__file__).with_name("explained.md")
KNOWN = ROOT / "build/mutation.json"  # which lines each test runs

_BUDGET = 20.0  # seconds of tests for one mutant
_OUTPUT = os.dup(1)  # pytest captures the other one


class Runner:
    """The plugin that takes the place of pytest's loop over the tests."""

    def __init__(self, names: list[str], only: str) -> None:
        self._names = names
        self._only = only
        self._explained = set(re.findall(r"^- `(.+)`", EXPLAINED.read_text("utf-8"), re.MULTILINE))
        self.unexplained = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them once as they are, then some of them for each mutant."""
        if session.testsfailed:
            raise session.Failed("the tests cannot be collected")
        run = _Tests(session)
        for name in self._names:
            self._module(name, run)
        return True

    def _module(self, name: str, run: _Tests) -> None:
        name = name if name.startswith(("flask_", "django_")) else f"ensoras_middleware.{name}"
        package, _, rest = name.partition(".")
        folder = next(one for one in FOLDERS if one.name == package)
        file = folder / f"{rest.replace('.', '/')}.py"
        module = importlib.import_module(name)
        survivors, counts = [], defaultdict[str, int](int)
        for mutant in mutants(file.read_text("utf-8")):
            label = f"{rest if package == 'ensoras_middleware' else name}.{mutant.label}"
            if self._only not in label:
                continue
            verdict = run.verdict(module, file, mutant)
            if verdict in ("survived", "no test") and label in self._explained:
                verdict = "explained"
            counts[verdict] += 1
            if verdict in ("survived", "no test"):
                survivors.append(f"{mutant.line}: {verdict}: {label}")
                _say(survivors[-1])
        self.unexplained += len(survivors)
        _say(f"{name}: {sum(counts.values())} mutants, {dict(counts)}")


def _say(line: str) -> None:
    os.write(_OUTPUT, f"{line}\n".encode())


class _Tests:
    """The collected tests, and which of them runs which lines."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._killers: list[int] = []  # tests that failed for a mutant, the last one first
        started = time.monotonic()
        known = _known()
        new = [number for number, item in enumerate(session.items) if item.nodeid not in known]
        if new:
            with tempfile.NamedTemporaryFile() as file:
                if _in_a_fork(lambda: self._look(new, Path(file.name)), 3600) != 0:
                    raise session.Failed("the tests fail as it is")
                known |= json.loads(Path(file.name).read_text())
            KNOWN.parent.mkdir(exist_ok=True)
            KNOWN.write_text(json.dumps({"code": _digest(), "tests": known}))
        self._seconds: list[float] = []
        self._lines = defaultdict[str, defaultdict[int, list[int]]](lambda: defaultdict(list))
        for number, item in enumerate(session.items):
            seconds, files = known[item.nodeid]
            self._seconds.append(seconds)
            for path, lines in files.items():
                for line in lines:
                    self._lines[path][line].append(number)
        _say(f"{len(new)} tests in {time.monotonic() - started:.0f} s")

    def _look(self, numbers: list[int], file: Path) -> int:
        """Run tests; write down what each costs and which lines it runs."""
        items = self._session.items
        measuring = coverage.Coverage(
            data_file=None, config_file=False, source=[str(folder) for folder in FOLDERS]
        )
        measuring.start()
        found: dict[str, tuple[float, dict[str, list[int]]]] = {}
        for number, following in zip(numbers, [*numbers[1:], None], strict=True):
            nodeid = items[number].nodeid
            measuring.switch_context(nodeid)
            before = time.process_time()
            self._run([number], None if following is None else items[following])
            found[nodeid] = (time.process_time() - before, {})
            if self._session.testsfailed:
                _say(f"fails: {nodeid}")
                return 1
        measuring.stop()
        data = measuring.get_data()
        for path in data.measured_files():
            for line, nodeids in data.contexts_by_lineno(path).items():
                for nodeid in filter(None, nodeids):
                    found[nodeid][1].setdefault(path, []).append(line)
        file.write_text(json.dumps(found))
        return 0

    def _run(self, numbers: Iterable[int], last: pytest.Item | None = None) -> int | None:
        """Return the number of the first test that fails."""
        numbers = list(numbers)
        items = [self._session.items[number] for number in numbers]
        for number, item, following in zip(numbers, items, [*items[1:], last], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._session.testsfailed:
                return number
        return None

    def verdict(self, module: types.ModuleType, file: Path, mutant: Mutant) -> str:
        """Tell what became of one mutant."""
        tests = self._concerned(file, mutant)
        if not tests:
            return "no test"
        limit = 20 + 5 * sum(self._seconds[number] for number in tests)
        reading, writing = os.pipe()

        def run() -> int:
            try:
                exchange(module, mutant)
            except Exception:
                return 3
            killer = self._run(tests)
            if killer is None:
                return 0
            os.write(writing, str(killer).encode())
            return 1

        status = _in_a_fork(run, int(limit))
        os.close(writing)
        if killer := os.read(reading, 10):
            self._killers = [int(killer), *(one for one in self._killers if one != int(killer))]
        os.close(reading)
        return {0: "survived", 1: "killed", 3: "killed"}.get(status, "killed by time")

    def _concerned(self, file: Path, mutant: Mutant) -> list[int]:
        """Return the tests that run the mutant, the likely ones first."""
        places = []
        if mutant.path:
            places = [(str(file), line) for line in range(mutant.line, mutant.last_line + 1)]
        constants = constants_of(mutant)
        for name in {name for constant in constants for name in _bound(constant)}:
            places += users_of_names()[name]
        concerned = {test for path, line in places for test in self._lines[path][line]}
        if constants:  # the module's own tests may use them by themselves
            concerned.update(
                number
                for number, item in enumerate(self._session.items)
                if item.path.stem == f"test_{file.stem}"
            )
        first = [one for one in self._killers if one in concerned][:20]

        def cost(one: int) -> tuple[bool, float]:
            is_own = self._session.items[one].path.stem.startswith(f"test_{file.stem}")
            return not is_own, self._seconds[one]

        rest = sorted(concerned.difference(first), key=cost)
        spent = itertools.accumulate(self._seconds[one] for one in rest)
        return first + [one for one, sum_ in zip(rest, spent, strict=True) if sum_ < _BUDGET]


def _known() -> dict[str, tuple[float, dict[str, list[int]]]]:
    """Return what was found about tests before, with the code as it is."""
    if KNOWN.exists():
        found = json.loads(KNOWN.read_text())
        if found["code"] == _digest():
            return dict(found["tests"])
    return {}


def _digest() -> str:
    files = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _in_a_fork(run: Callable[[], int], seconds: int) -> int:
    """Return the exit status of a process that runs this, or -1 where it takes too long."""
    child = os.fork()
    if child == 0:
        status = 4
        try:
            signal.alarm(seconds)
            os.setpgid(0, 0)
            status = run()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started
    return os.waitstatus_to_exitcode(status)


# What a mutant is of --------------------------------------------------------------------------


def constants_of(mutant: Mutant) -> list[ast.Assign | ast.AnnAssign]:
    """Return the statements that make constants of what is changed, in their order."""
    body = ast.parse(mutant.source).body
    first = body[mutant.top]
    statements, names = [first], _bound(first)
    while added := [one for one in body if one not in statements and names & set(_loaded(one))]:
        statements += added
        names.update(*map(_bound, added))
    return [
        one for one in body if one in statements and isinstance(one, ast.Assign | ast.AnnAssign)
    ]


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _loaded(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr


@functools.cache
def users_of_names() -> defaultdict[str, list[tuple[str, int]]]:
    """Return where in functions each name is used, as file and line."""
    users = defaultdict[str, list[tuple[str, int]]](list)
    for path in [path for folder in FOLDERS for path in folder.rglob("*.py")]:
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Name):
                        users[node.id].append((str(path), node.lineno))
                    elif isinstance(node, ast.Attribute):
                        users[node.attr].append((str(path), node.lineno))
    return users


# Putting it in place --------------------------------------------------------------------------


def exchange(module: types.ModuleType, mutant: Mutant) -> None:
    """Put the mutant's function, and its constants, in place of the module's."""
    if mutant.path:
        new = types.ModuleType(module.__name__)
        new.__file__ = module.__file__
        new.__package__ = module.__package__
        exec(compile(mutant.source, str(module.__file__), "exec"), vars(new))
        _transplant(_at(module, mutant.path), _at(new, mutant.path))
    for constant in constants_of(mutant):
        before = {name: vars(module)[name] for name in _bound(constant)}
        exec(compile(ast.Module([constant], []), str(module.__file__), "exec"), vars(module))
        for name, old in before.items():
            for other in list(sys.modules.values()):
                if vars(other).get(name) is old:
                    setattr(other, name, vars(module)[name])


def _at(module: types.ModuleType, path: tuple[str, ...]) -> Any:
    found: Any = vars(module)[path[0]]
    return vars(found)[path[1]] if isinstance(found, type) and len(path) > 1 else found


def _transplant(old: Any, new: Any) -> None:
    if isinstance(old, property):
        old, new = old.fget, new.fget
    old, new = (getattr(one, "__func__", one) for one in (old, new))
    while hasattr(new, "__wrapped__"):
        old, new = old.__wrapped__, new.__wrapped__
    old.__code__ = new.__code__
    old.__defaults__ = new.__defaults__
    old.__kwdefaults__ = new.__kwdefaults__
