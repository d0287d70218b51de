"""`forethought demo`: an in-process model thinks, samples vote, the vote stops early, a budget holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..budget import Budget
from ..engine import Engine
from ..evaluate.problems import PROBLEMS, Problem, ProblemSet
from ..plugins import load
from ..ports import Backend
from .board import Board
from .contest import CONTESTANTS, EARLY, Answered, answer, compete
from .recorder import Recorder
from .screen import to_people, to_pipe
from .source import POCKET
from .tree import RunTree

LEAST = 64
"""Tokens below which no budget is worth showing."""


def demo(
    problems: Annotated[int, typer.Option(min=1, max=1000, help="How many problems to ask.")] = 40,
    seed: Annotated[int, typer.Option(help="Which problems, and which thoughts.")] = 0,
    report: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON too; - is stdout.")
    ] = None,
) -> None:
    """Watch a tiny model think in this process, in five ways, on problems it has never seen. No key, no network.

    [bold]Examples[/bold]

      forethought demo
      forethought demo --problems 100 --seed 7
      forethought demo --problems 10 --json - | jq .contestants
    """
    to_stdout = report == Path("-")
    results = json.dumps(asyncio.run(_demo(problems, seed, to_people() if to_stdout else to_pipe())), indent=2)
    if to_stdout:
        typer.echo(results)
    elif report is not None:
        report.write_text(results + "\n", encoding="utf-8")


async def _demo(count: int, seed: int, page: Console) -> dict[str, Any]:
    people = to_people()
    source: ProblemSet = load(PROBLEMS, "pocket")
    problems: Sequence[Problem] = source.problems("test", count, seed=seed)
    async with POCKET.opened() as backend:
        _introduce(people, problems[0], count)
        board = await _contest(backend, source, problems, people, seed)
        page.print(board, "", board.findings(), sep="\n")
        votes = board.tallies[EARLY.name].answers
        free = max(votes, key=lambda each: (each.right, each.tokens))
        budget = _half(free)
        held = await _hold_budget(backend, source, free, budget, seed)
        page.print(_on_budget(free, budget, held))
        shown = _telling(votes)
        page.print(_on_tree(shown), "", RunTree(shown.run.root), sep="\n")
    return _as_json(board, budget, held, shown, seed)


def _introduce(people: Console, first: Problem, count: int) -> None:
    people.print(
        f"[bold]The pocket model[/bold], running in this process, on {count} problems it was not trained on:\n"
        f"chains of sums of which only the last digit counts, such as [bold]{first.question}[/bold] → {first.answer}\n"
    )


async def _contest(
    backend: Backend, source: ProblemSet, problems: Sequence[Problem], people: Console, seed: int
) -> Board:
    board = Board(CONTESTANTS, len(problems))
    with Live(board, console=people, transient=True, refresh_per_second=8, auto_refresh=people.is_terminal):
        for contestant in CONTESTANTS:
            tally = board.tallies[contestant.name]
            async for answered in compete(backend, source, problems, contestant, seed=seed):
                tally.answers.append(answered)
            if not people.is_terminal:
                people.print(f"{contestant.name}: {tally.right} of {tally.asked} right")
    return board


async def _hold_budget(backend: Backend, source: ProblemSet, free: Answered, budget: Budget, seed: int) -> Answered:
    """The problem of `free` again, under a budget."""
    recorder = Recorder()
    engine = Engine(backend, EARLY.policy, budget=budget, sinks=[recorder])
    return await answer(engine, recorder, source, free.problem, seed=seed)


def _half(free: Answered) -> Budget:
    """Half of the tokens that an answer has taken."""
    return Budget(output_tokens_limit=max(LEAST, free.tokens // 2))


def _on_budget(free: Answered, budget: Budget, held: Answered) -> Text:
    said = held.completion.text.strip() or "nothing"
    return Text.assemble(
        ("\nA budget that holds. ", "bold"),
        f"The costliest vote took {free.tokens:,} tokens. With {budget.output_tokens_limit:,} for all its samples "
        f"together it wrote {held.tokens:,} and still answered: {said}, which is ",
        "right.\n" if held.right else "wrong.\n",
    )


def _on_tree(shown: Answered) -> Text:
    return Text.assemble(
        ("One vote, as it went. ", "bold"),
        f"{shown.problem.question} → {shown.completion.text.strip()}. A line is one thought, its bar when it ran.",
    )


def _telling(answers: Sequence[Answered]) -> Answered:
    """The vote that has most to show: right against other opinions, and decided before all were heard."""

    def tells(each: Answered) -> tuple[bool, bool, int]:
        report = each.completion.done.report
        return each.right and len(report["votes"]) > 1, report["samples_saved"] > 0, -abs(each.samples - 6)

    return max(answers, key=tells)


def _as_json(board: Board, budget: Budget, held: Answered, shown: Answered, seed: int) -> dict[str, Any]:
    return {
        "problems": board.total,
        "seed": seed,
        "contestants": [tally.to_json() for tally in board.tallies.values()],
        "budget": {
            "limits": budget.to_json(),
            "spent": held.tokens,
            "answer": held.completion.text,
            "right": held.right,
            "stop_reason": held.completion.done.stop_reason,
        },
        "run": shown.run.to_json(),
    }
