"""`forethought demo`, and the contest it shows."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from forethought import Engine
from forethought.cli.board import Board
from forethought.cli.contest import CONTESTANTS, EARLY, SINGLE, VOTE, Answered, Tally, compete
from forethought.testing import Script, Scripted

from .conftest import Forethought


class Sums:
    """A problem set of one kind of question."""

    class Problem:
        question, answer, difficulty = "6*7?", "42", 1
        messages = ({"role": "user", "content": "6*7?"},)

    def problems(self, split: Any, count: int, /, *, seed: int = 0) -> list[Problem]:
        return [self.Problem()] * count

    def is_right(self, problem: Any, text: str, /) -> bool:
        return text == str(problem.answer)


async def held(backend: Scripted, contestant: Any, count: int = 2) -> Tally:
    tally = Tally(contestant)
    problems = Sums().problems("test", count)
    tally.answers += [each async for each in compete(backend, Sums(), problems, contestant, seed=0)]
    return tally


async def test_a_tally_counts() -> None:
    """A tally counts right answers, samples and every token written."""
    tally = await held(Scripted(Script("42", reasoning="well well"), "41"), SINGLE)
    assert (tally.asked, tally.right, tally.accuracy, tally.samples, tally.tokens) == (2, 1, 0.5, 2, 4)


async def test_the_fixed_vote_hears_everyone() -> None:
    """The vote that others are measured against hears all eight samples, however clear it is before."""
    assert (await held(Scripted("42"), VOTE)).samples == 16


async def test_the_early_vote_saves() -> None:
    """The vote that stops early takes fewer samples and fewer tokens, and gives the same answer."""
    fixed, early = await held(Scripted("42"), VOTE), await held(Scripted("42"), EARLY)
    assert early.samples < fixed.samples
    assert early.saved(fixed) > 0
    assert early.right == fixed.right


async def test_contestants_ask_alike() -> None:
    """For one problem every contestant draws from the same seed, so the early vote hears what the fixed one heard."""
    fixed, early = Scripted("42"), Scripted("42")
    await held(fixed, VOTE, 1)
    await held(early, EARLY, 1)
    heard = [request.params["seed"] for request in early.requests]
    assert heard == [request.params["seed"] for request in fixed.requests][: len(heard)]


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_the_board_fits(width: int) -> None:
    """Empty, half full or full, the board fits the terminal."""
    board = Board(CONTESTANTS, 2)
    console = Console(width=width, record=True, file=StringIO())
    console.print(board)
    for contestant in CONTESTANTS:
        board.tallies[contestant.name] = await held(Scripted("42"), contestant)
        console.print(board)
    console.print(board.findings())
    assert max(map(len, console.export_text().splitlines())) <= width


async def test_every_policy_of_the_contest_can_be_written_down() -> None:
    """What a contestant does is data."""
    assert [each.policy.to_json()["name"] for each in CONTESTANTS] == [each.name for each in CONTESTANTS]
    assert Engine(Scripted("42"), EARLY.policy).worst_case().requests == 8
    assert isinstance((await held(Scripted("42"), SINGLE)).answers[0], Answered)


@pytest.mark.usefixtures("local_engine")
async def test_demo(forethought: Forethought, tmp_path: Path) -> None:
    """The demo ends with a table, a budget that held and a tree, and writes the same as JSON."""
    finished = await forethought("demo", "--problems", "4", "--json", "demo.json")
    assert finished.code == 0
    for word in ("accuracy", "saved", "A budget that holds", "└── vote"):
        assert word in finished.out
    told = json.loads((tmp_path / "demo.json").read_text())
    assert [each["name"] for each in told["contestants"]] == [each.name for each in CONTESTANTS]
    assert told["budget"]["spent"] <= told["budget"]["limits"]["output_tokens_limit"]
    assert told["run"]["root"]["children"]


@pytest.mark.usefixtures("local_engine")
async def test_demo_as_json_only(forethought: Forethought) -> None:
    """With --json - stdout is JSON and nothing else."""
    told = json.loads((await forethought("demo", "--problems", "2", "--seed", "3", "--json", "-")).out)
    assert (told["problems"], told["seed"]) == (2, 3)
