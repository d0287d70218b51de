"""`forethought calibrate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Forethought

pytestmark = pytest.mark.usefixtures("local_engine")

POLICY = """
name = "shorter"

[[layers]]
kind = "compress"
calibration = "pocket.json"
lines = 1
"""
ASK = (
    "calibrate",
    "pocket.json",
    "--pocket",
    "--lines",
    "1",
    "--probe",
    "so ",
    "--probe-tokens",
    "1",
    "--suffix",
    "so ",
)


async def test_writes_what_a_policy_reads(forethought: Forethought, tmp_path: Path) -> None:
    """The file holds detector, model and what was measured, and a policy that names it is right."""
    finished = await forethought(*ASK, "-n", "12", "--false-stops", "1")
    assert finished.code == 0
    assert "AUROC" in finished.out
    written = json.loads((tmp_path / "pocket.json").read_text(encoding="utf-8"))
    assert (written["model"], written["detector"]["suffix"]) == ("pocket", "so ")
    assert set(written["measured"]) == {"auroc", "saved", "lost", "gained", "thoughts", "false_stops"}
    (tmp_path / "mine.toml").write_text(POLICY, encoding="utf-8")
    assert (await forethought("policies", "check", "mine.toml")).code == 0


async def test_says_when_it_promises_nothing(forethought: Forethought) -> None:
    """With few problems it says that the detector never stops, and why."""
    finished = await forethought(*ASK, "-n", "4")
    assert finished.code == 0
    assert "ask more problems" in finished.err


async def test_unknown_problems(forethought: Forethought) -> None:
    """A set of problems that is not installed is one line on stderr, and the exit code is 2."""
    finished = await forethought("calibrate", "c.json", "--problems", "nope")
    assert (finished.code, finished.err.count("\n")) == (2, 1)
