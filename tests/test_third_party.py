"""A package that is not ours adds a strategy, a backend and a policy by entry point alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "plugin"
USE = """
import asyncio, json
from forethought import Engine, open_backend, Policy
from forethought.policy import available

async def main():
    engine = Engine(open_backend("echo"), "loud")
    answer = await engine.ask("hear me")
    print(json.dumps([answer.text, engine.policy.to_json(), "loud" in available()]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """What a process says in which the package is installed."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(PACKAGE)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", USE], env=environment, check=True, capture_output=True, text=True)
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_strategy_and_backend(told: list[object]) -> None:
    """Its strategy runs over its backend."""
    assert told[0] == "HEAR ME!!!"


def test_policy(told: list[object]) -> None:
    """Its policy is found by name, options and all."""
    assert told[1] == {"name": "loud", "when": "Nobody listens.", "layers": [{"kind": "shout", "marks": 3}]}
    assert told[2] is True
