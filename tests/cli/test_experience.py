"""`forethought experience`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forethought import Engine, Policy
from forethought.learn.experience import Experience
from forethought.store.disk import DiskStore
from forethought.testing import Scripted

from .conftest import Forethought

VOTE: dict[str, Any] = {"name": "four", "layers": [{"kind": "vote", "samples": 4}]}
MINE = """
name = "mine"

[[layers]]
kind = "experience"
default = {name = "four", layers = [{kind = "vote", samples = 4}]}
candidates = ["none"]
constraints = [{question = "a=1 b=a+2 c=b-2 c?", least = LEAST}]
"""


@pytest.fixture
async def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory of eight chains in the default place, on which a single answer won."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    async with DiskStore(tmp_path / ".local/share/forethought/experience") as store:
        layer = Experience(default=VOTE, candidates=["none"], memory=store)
        engine = Engine(Scripted("42"), Policy("mine", layers=(layer,)))
        for number in range(8):
            done = await engine.ask(f"a={number} b=a+{number} c=b-2 c?")
            await engine.feedback(done.run, 1)


async def test_empty(forethought: Forethought) -> None:
    """An empty memory says how it is filled, on stderr."""
    finished = await forethought("experience")
    assert (finished.code, finished.out) == (0, "")
    assert "feedback" in finished.err


@pytest.mark.usefixtures("learned")
async def test_show(forethought: Forethought) -> None:
    """Each kind of problem is shown with its policies, how often they were right, and what was noted."""
    shown = await forethought("experience", "show", COLUMNS="160")
    assert shown.code == 0
    for said in ("maths", "four", "none", "active", "100%", "earned its place"):
        assert said in shown.out
    assert "edition 8" in shown.err


@pytest.mark.usefixtures("learned")
async def test_history_and_rollback(forethought: Forethought) -> None:
    """Going back is an edition, and the history tells of it."""
    back = await forethought("experience", "rollback", "3", COLUMNS="160")
    assert "quarantined" in back.out
    history = (await forethought("experience", "history", COLUMNS="160")).out
    assert "compared four, none" in history
    assert "rolled back to 3" in history


@pytest.mark.usefixtures("learned")
async def test_forget(forethought: Forethought) -> None:
    """Without --yes it asks; what was forgotten is in no edition any more."""
    assert (await forethought("experience", "forget", stdin="n\n")).code == 1
    assert "four" in (await forethought("experience")).out
    assert (await forethought("experience", "forget", "--yes")).out == ""
    history = (await forethought("experience", "history")).out
    assert "forgotten" in history
    assert "compared" not in history


@pytest.mark.usefixtures("learned")
async def test_tenants(forethought: Forethought) -> None:
    """A tenant's memory shows nothing of another's."""
    assert (await forethought("experience", "show", "--tenant", "acme")).out == ""


@pytest.mark.usefixtures("learned")
async def test_check(forethought: Forethought, tmp_path: Path) -> None:
    """A memory that keeps to the constraints of a policy is ok."""
    (tmp_path / "mine.toml").write_text(MINE.replace("LEAST", "1.0"))
    finished = await forethought("experience", "check", "mine.toml")
    assert (finished.code, finished.out.startswith("ok edition 8: 1 of 1 constraints hold")) == (0, True)


async def test_check_what_is_violated(forethought: Forethought, tmp_path: Path) -> None:
    """Each violation is a line, and the exit code is 1."""
    async with DiskStore(tmp_path / "kept") as store:
        engine = Engine(Scripted("42"), Policy("mine", layers=(Experience(default=VOTE, memory=store),)))
        for number in range(4):
            done = await engine.ask(f"a={number} b=a+{number} c=b-2 c?")
            await engine.feedback(done.run, number % 2)
    (tmp_path / "mine.toml").write_text(MINE.replace("LEAST", "0.9"))
    finished = await forethought("experience", "check", "mine.toml", "--store", "kept")
    assert finished.code == 1
    assert finished.out.startswith("violated: 'a=1 b=a+2 c=b-2 c?': four would be served")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rollback", "7"), "version: got 7; none are there"),
        (("check", "balanced"), "a policy with the layer 'experience' is expected"),
        (("check", "none.toml"), "none.toml"),
    ],
)
async def test_mistakes(forethought: Forethought, arguments: tuple[str, ...], said: str) -> None:
    """A mistake is one line on stderr, and the exit code is 2."""
    finished = await forethought("experience", *arguments)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert said in finished.err
