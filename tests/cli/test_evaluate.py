"""`forethought evaluate`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.eventually import eventually

from .conftest import COMMAND, Forethought, environment

pytestmark = pytest.mark.usefixtures("local_engine")


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


async def test_policies_are_measured(forethought: Forethought, tmp_path: Path) -> None:
    """One command prints accuracy and tokens of each policy, the difference, and draws the picture."""
    finished = await forethought(
        "evaluate",
        "-p",
        "direct",
        "-p",
        "none",
        "-n",
        "8",
        "--by",
        "difficulty",
        "--plot",
        "plot.svg",
        "--markdown",
        "found.md",
    )
    assert finished.code == 0
    assert re.search(r"direct +\d+\.\d % ", finished.out)
    assert "none against direct, on 8 problems" in finished.out
    assert "hardest quarter" in finished.out
    assert "| `none` | `direct` | 8 |" in (tmp_path / "found.md").read_text(encoding="utf-8")
    assert ET.parse(tmp_path / "plot.svg").getroot().tag.endswith("svg")


async def test_a_rerun_goes_on(forethought: Forethought, tmp_path: Path) -> None:
    """Results that are in the file are not asked for again, and the sum is that of one go."""
    whole = await forethought("evaluate", "-p", "direct", "-n", "8")
    file = tmp_path / "results.jsonl"
    asked = []
    for count in ("3", "8", "8"):
        finished = await forethought("evaluate", "-p", "direct", "-n", count, "--json", file.name)
        asked.append(len(lines(file)))
    assert asked == [3, 8, 8]
    assert re.findall(r"\d+\.\d %", finished.out) == re.findall(r"\d+\.\d %", whole.out)
    assert {json.loads(line)["policy"] for line in lines(file)} == {"direct"}


async def test_a_file_of_problems_and_a_folder_of_policies(forethought: Forethought, tmp_path: Path) -> None:
    """Own problems and own policies are measured by naming file and folder."""
    (tmp_path / "mine").mkdir()
    for name in ("b", "a"):
        (tmp_path / "mine" / f"{name}.toml").write_text(f'name = "policy {name}"\n', encoding="utf-8")
    rows = [{"question": f"a={n} b=a+1 b?", "answer": (n + 1) % 10, "difficulty": n} for n in range(3)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    finished = await forethought("evaluate", "-p", "mine", "--problems", "own.jsonl")
    assert "policy b against policy a, on 3 problems" in finished.out


async def test_an_interruption_prints_what_there_is(tmp_path: Path) -> None:
    """Ctrl-C ends it with the table of what was answered, which the file has too."""
    file = tmp_path / "results.jsonl"
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *("evaluate", "-p", "thorough", "-n", "400", "--json", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(tmp_path),
    )
    await eventually(lambda: file.exists() and len(lines(file)) >= 2, within_s=120)
    async with asyncio.timeout(60):
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 130, err.decode()
    assert f"n = {len(lines(file))}" in out.decode()
    assert "interrupted" in err.decode()
    assert "Traceback" not in err.decode()


async def test_two_policies_of_one_name_are_refused(forethought: Forethought) -> None:
    """Results are told apart by the names of policies."""
    finished = await forethought("evaluate", "-p", "direct", "-p", "direct")
    assert (finished.code, finished.out) == (2, "")
    assert "'direct'" in finished.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["-p", "nope"], "nope"), (["--problems", "nope"], "pocket"), (["--problems", "no.jsonl"], "no.jsonl")],
)
async def test_what_is_not_there_is_named(forethought: Forethought, arguments: list[str], named: str) -> None:
    """An unknown policy, set or file ends it with a line that says what would be right."""
    finished = await forethought("evaluate", *arguments)
    assert (finished.code, finished.out) == (2, "")
    assert named in finished.err
    assert "Traceback" not in finished.err


async def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    """Where scipy is not installed the error names the extra that brings it."""
    missing = "import sys; sys.modules['scipy'] = None; from forethought.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", missing, "evaluate", stderr=asyncio.subprocess.PIPE, env=environment(tmp_path)
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 2
    assert "forethought[evaluate]" in err.decode()
