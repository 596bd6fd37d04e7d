"""Every block of code in the documentation is run by some test, or is said here not to be."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ensoras_middleware import cli
from ensoras_middleware.options import SETTINGS

ROOT = Path(__file__).parent.parent
TESTS = Path(__file__).parent
PAGES = [*sorted(ROOT.glob("docs/*.md")), *ROOT.glob("*.md")]
SHELL = ("", "sh", "console")  # what is indented has no language

# What is no code: output, and what Sphinx replaces.
NO_CODE = ("text", "json")


def blocks() -> Iterator[tuple[Path, str, str]]:
    """Yield every block: its page, its language, and its text."""
    for page in PAGES:
        for token in MarkdownIt("commonmark").parse(page.read_text("utf-8")):
            if token.type in ("fence", "code_block"):
                yield page, token.info.strip(), token.content


BLOCKS = [*blocks()]
KINDS = {(page, language) for page, language, _ in BLOCKS if not language.startswith("{")}


@pytest.mark.parametrize(
    ("page", "language"),
    sorted(kind for kind in KINDS if kind[1] not in (*SHELL, *NO_CODE)),
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_some_test_takes_them(page: Path, language: str) -> None:
    """A test names the page, and takes the blocks of this language out of it.

    There each counts the blocks that it tries, so that a new one is not forgotten.
    """
    readers = [path.read_text("utf-8") for path in TESTS.glob("test_*.py")]
    takers = [text for text in readers if page.name in text and language in taken(text)]
    assert takers, f"no test takes the {language} blocks out of {page.name}"


def taken(text: str) -> set[str]:
    """Return the languages of the blocks that a test looks for, by its regular expressions."""
    text = text.replace("\\n", " ").replace("\\", "")
    named = re.findall(r"```\(?(?:\?:)?([\w+|]+)", text)
    named += re.findall(r'language == "(\w+)"', text)
    named += re.findall(r'only_block\("[\w.-]+", "(\w+)"\)', text)
    named += ["python"] if "Recipes(" in text else []
    return {language for names in named for language in names.split("|")}


# The shell ----------------------------------------------------------------------------------------

COMMANDS = [
    line.strip()
    for page, language, text in BLOCKS
    if language in SHELL
    for line in text.replace("\\\n", " ").splitlines()
    if line.strip() and not line.strip().startswith("#")
]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_command(command: str) -> None:
    """The program, its options, the target, the extra and the variable that it names exist."""
    words = shlex.split(command.removeprefix("$ "), comments=True)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        assert_is_known(words.pop(0).partition("=")[0])
    match words:
        case ["export", *variables]:
            for variable in variables:
                assert_is_known(variable.partition("=")[0])
        case ["pip", "install", *requirements]:
            for extra in re.findall(r"[\w-]+(?=[],])", " ".join(requirements)):
                assert extra in EXTRAS
        case ["python", "-m", "ensoras_middleware", *arguments]:
            assert_is_understood(arguments)
        case ["ensoras-middleware", *arguments]:
            assert_is_understood(arguments)
        case ["make", target, *variables]:
            assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), command
        case [program, *_]:
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            assert program in BUILT_IN or shutil.which(program, path=path), command


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
BUILT_IN = ("umask", "cd", "export")


def assert_is_known(variable: str) -> None:
    """Tell whether something here reads this variable of the environment."""
    if variable.startswith("ENSORAS_") and variable not in SETTINGS.values():
        code = "".join(path.read_text("utf-8") for path in ROOT.glob("ensoras_middleware/**/*.py"))
        assert f'"{variable.removesuffix("_2")}' in code, variable


def assert_is_understood(arguments: list[str]) -> None:
    """Let the command line read the arguments, and do nothing."""
    with contextlib.suppress(SystemExit) if "--help" in arguments else contextlib.nullcontext():
        cli._parser().parse_args(arguments)


# Files of other programs --------------------------------------------------------------------------


def only_block(page: str, language: str) -> str:
    (found,) = [text for path, one, text in BLOCKS if path.name == page and one == language]
    return found


def test_nginx(tmp_path: Path) -> None:
    """The program takes the lines of caching.md, where the page says they go."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no `nginx` on the PATH (Debian: apt-get install nginx)")
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = tmp_path / "nginx.conf"
    lines = only_block("caching.md", "nginx")
    file.write_text(f"pid {tmp_path}/pid; events {{}} http {{ {temporary}\n{lines}\n}}")
    command = [program, "-t", "-e", str(tmp_path / "log"), "-c", str(file)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, run.stdout
    assert "warn" not in run.stdout


def test_varnish() -> None:
    """The lines of caching.md are those whose hit rate test_shared_caches measures."""
    lines = only_block("caching.md", "vcl").splitlines()
    setups = (TESTS / "proxies.py").read_text("utf-8")
    assert len(lines) == 3
    assert [line for line in lines if line not in setups] == []


def test_attributes_for_htmx_and_turbo() -> None:
    """Those of single-page-apps.md are on the pages of test_browser_navigation."""
    page = ROOT / "docs/single-page-apps.md"
    text = "".join(text for where, language, text in BLOCKS if (where, language) == (page, "html"))
    pages = (TESTS / "test_browser_navigation.py").read_text("utf-8")
    attributes = re.findall(r' ((?:hx-|data-turbo)[\w:-]*="\w+")', text)
    attributes += re.findall(r"<meta [^>]+>", text)
    assert len(attributes) == 5
    assert [one for one in attributes if one not in pages] == []
