"""The policies that are measured besides those that are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from forethought import Engine
from forethought.policy import Policy, load
from forethought.testing import Scripted

FILES = sorted(Path(__file__).parents[1].joinpath("bench/policies").glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
async def test_a_measured_policy_runs(file: Path) -> None:
    """It loads, is named after its file, says what it is, is itself through TOML, and answers."""
    policy = load(file)
    assert policy.name == file.stem
    assert policy.when
    assert Policy.from_toml(policy.to_toml()) == policy
    assert (await Engine(Scripted("7"), policy).ask("a=3 b=a+4 b?")).text == "7"
