"""The tree of a run on a screen."""

from __future__ import annotations

from contextlib import suppress
from io import StringIO

import pytest
from rich.console import Console

from forethought import Engine, Policy, UpstreamStatus
from forethought.cli.recorder import Recorder
from forethought.cli.tree import RunTree
from forethought.judge.majority import Majority
from forethought.judge.pessimistic import Pessimistic
from forethought.search.vote import Vote
from forethought.steer.limit import Limit
from forethought.testing import Script, Scripted

TWO = Policy("two", layers=(Vote(2, eager=True, judge=Majority(min_votes=2)),))
FOUR = Policy("four", layers=(Vote(4, eager=True, judge=Majority(confidence=1.0)),))


async def drawn(backend: Scripted, policy: Policy, *, width: int = 100) -> list[str]:
    """The lines of the tree of one answer."""
    recorder = Recorder()
    with suppress(UpstreamStatus):
        await Engine(backend, policy, sinks=[recorder]).ask("6*7?")
    console = Console(file=StringIO(), width=width)
    console.print(RunTree(recorder.runs[0].root))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


async def test_a_line_for_every_node() -> None:
    """The run, its layer and each of its calls have a line."""
    lines = await drawn(Scripted("42"), TWO)
    assert [line.split()[0] for line in lines[:1]] == ["two"]
    assert "vote" in lines[1]
    assert len(lines) == 4


async def test_answers_of_the_branches() -> None:
    """Each branch shows its own answer, and those that won are marked."""
    lines = await drawn(Scripted("42", "41", "42", "42"), FOUR)
    assert sum("42 ✔" in line for line in lines) >= 2
    assert any("41" in line and "✔" not in line for line in lines[2:])


async def test_the_vote_is_counted() -> None:
    """A vote's own line says who got how many votes."""
    assert "42×2" in (await drawn(Scripted("42"), TWO))[1]


async def test_what_a_judge_asks_stands_apart() -> None:
    """Its questions have a line of their own, and those of later samples keep their answers."""
    backend = Scripted("41", "42", "42", "42", "I cannot tell.")
    policy = Policy("p", layers=(Vote(8, judge=Pessimistic(verifications=1)),))
    lines = await drawn(backend, policy)
    assert sum(line.split()[1] == "judge" for line in lines[2:]) == 1
    assert sum(line.split()[1] in ("41", "42", "I") for line in lines[2:]) == 8


async def test_cancelled_branches_say_so() -> None:
    """A branch that was no longer needed ends as cancelled."""
    slow = Script(reasoning="well " * 50, text="42", delay=0.02)
    lines = await drawn(Scripted("42", "42", "42", slow), FOUR)
    assert "cancelled" in lines[-1]


async def test_failures_are_named() -> None:
    """A call that failed shows the status of its error."""
    lines = await drawn(Scripted(Script(error=UpstreamStatus(503, b"no"))), Policy("one"))
    assert lines[-1].endswith("503")


async def test_a_layer_that_only_asked_is_its_call() -> None:
    """A layer with a single call and nothing to tell takes no line of its own."""
    assert len(await drawn(Scripted("42"), Policy("one", layers=(Limit(50),)))) == 2


async def test_both_calls_of_a_landing() -> None:
    """A thought that was cut short and the answer after it are two lines under their layer."""
    lines = await drawn(Scripted(Script(reasoning="on and on and on", text="42")), Policy("one", layers=(Limit(2),)))
    assert "limit" in lines[1]
    assert len(lines) == 4


@pytest.mark.parametrize("answer", ["two\nlines", "[bold]markup[/bold]", "x" * 500], ids=["lines", "markup", "long"])
async def test_an_answer_is_no_layout(answer: str) -> None:
    """Whatever a model writes, its branch stays one line of plain text that fits."""
    lines = await drawn(Scripted(answer), TWO)
    assert len(lines) == 4
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("width", [20, 60, 80, 200])
async def test_any_width(width: int) -> None:
    """The tree fits the terminal, with one line for each node."""
    lines = await drawn(Scripted("42"), FOUR, width=width)
    assert max(map(len, lines)) <= width
