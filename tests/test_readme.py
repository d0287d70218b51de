"""What the README says is true: every block of code and every command in it is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SCRIPTS = [code for language, code in BLOCKS if language == "python"]
LINES = [
    line
    for language, code in BLOCKS
    if language in ("sh", "console")
    for line in code.replace("\\\n", " ").splitlines()
    if line.strip()
]
ADVERTISED = "http://127.0.0.1:8000"
COMMAND = Path(sys.executable).with_name("forethought")

pytestmark = pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")


def environment(home: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    path = os.pathsep.join([str(COMMAND.parent), os.environ.get("PATH", "")])
    return {**kept, "PATH": path, "HOME": str(home), "COLUMNS": "100", **changes}


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[str]:
    """`forethought serve` at work: the URL that it prints."""
    command = [str(COMMAND), "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE, text=True, cwd=home) as process:
        assert process.stderr is not None
        guard = threading.Timer(60, process.kill)
        guard.start()
        try:
            greeting = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", greeting)
            assert found, greeting
            yield found[0]
        finally:
            guard.cancel()
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pocket model behind the proxy."""
    with serving(tmp_path_factory.mktemp("home"), "--pocket") as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the policy that the README shows lies under the name that it gives."""
    shown = [code for language, code in BLOCKS if language == "toml" and "[[layers]]" in code]
    for policy in shown:
        name = re.search(r'^name = "(\w+)"', policy, re.MULTILINE)
        assert name
        (tmp_path / f"{name[1]}.toml").write_text(policy, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("code", SCRIPTS, ids=range(len(SCRIPTS)))
def test_python(code: str, server: str, folder: Path) -> None:
    """Every Python block runs as a script, and complains about nothing."""
    asked = environment(folder, OPENAI_BASE_URL=f"{server}/v1", OPENAI_API_KEY="none")
    done = subprocess.run(
        [sys.executable, "-c", code.replace(ADVERTISED, server)],
        env=asked,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.parametrize("line", LINES)
def test_command(line: str, server: str, folder: Path) -> None:
    """Every command line does what it says: `make` names a target, all else is run."""
    words = shlex.split(line)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:2] == ["forethought", "serve"]:
        with serving(folder, *words[2:]) as url:
            assert url
    else:
        assert words[0] in ("forethought", "curl")
        silent = ["--silent", "--show-error", "--fail"] if words[0] == "curl" else []
        asked = [words[0], *silent, *(word.replace(ADVERTISED, server) for word in words[1:])]
        done = subprocess.run(
            asked, env=environment(folder), cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        if words[0] == "curl":
            assert json.loads(done.stdout)["choices"]


def test_own_strategy_is_the_example() -> None:
    """The strategy that is shown is the example, to the letter."""
    assert (ROOT / "examples/own_strategy.py").read_text(encoding="utf-8") in SCRIPTS


def test_links_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_nothing_is_left_open() -> None:
    """No block has a language that nothing checks, and no place is still to be filled."""
    assert {language for language, _ in BLOCKS} <= {"python", "sh", "console", "toml", "text"}
    assert "<!--" not in README
