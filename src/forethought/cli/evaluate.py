"""`forethought evaluate`: policies on the same problems; accuracy against tokens, money and seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from .. import answers, policy
from ..budget import Budget
from ..engine import DIRECTLY, Engine
from ..evaluate.outcome import Journal, Outcome
from ..evaluate.problems import Exam, exam
from ..evaluate.runner import Trial, run, trials
from ..policy import Policy
from ..wire import JSON
from .options import Gguf, Money, Pocket, Seconds, Tokens, Upstream
from .screen import to_people, to_pipe
from .source import Source, choose
from .standings import Standings

Policies: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        "-p",
        metavar="NAME|FILE|FOLDER",
        help="A policy, or a folder of them; repeat it for more. The first is the one that others are set against. "
        "`none` asks once, with nothing added. Without this option: none, and all that are installed.",
    ),
]
Problems: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME|FILE.jsonl", help="A set of problems, or lines of question and answer.")
]
Results: TypeAlias = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Append each result as a JSON line; a rerun goes on from there."),
]
Plot: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE.svg", help="Draw accuracy against tokens.", dir_okay=False)
]
Markdown: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE.md", help="Write the tables as Markdown.", dir_okay=False)
]

Found: TypeAlias = dict[str, dict[int, Outcome]]
"""Outcomes by the name of the policy, by the index of the problem."""

INTERRUPTED = 130


def evaluate(
    policies: Policies = None,
    problems: Problems = "pocket",
    split: Annotated[str, typer.Option(help="Which part of the set: train, dev or test.")] = "test",
    kind: Annotated[str | None, typer.Option(help="Which kind of problem, where the set has several.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many problems to ask.")] = 100,
    seed: Annotated[int, typer.Option(help="Which problems, and which thoughts.")] = 0,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The model, by the name its server knows.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Sampling temperature.")] = None,
    pocket: Pocket = False,
    gguf: Gguf = None,
    upstream: Upstream = None,
    budget_tokens: Tokens = None,
    budget_usd: Money = None,
    budget_seconds: Seconds = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Problems in flight.")] = 4,
    by: Annotated[Literal["difficulty"] | None, typer.Option(help="Break accuracy down.")] = None,
    journal: Results = None,
    plot: Plot = None,
    markdown: Markdown = None,
) -> None:
    """Measure what policies are worth, on the same problems with the same seeds. Ctrl-C prints what there is.

    [bold]Examples[/bold]

      forethought evaluate
      forethought evaluate -p direct -p balanced -p mine.toml -n 500 --json results.jsonl --plot results.svg
      forethought evaluate -p none -p balanced --problems questions.jsonl --upstream http://127.0.0.1:11434/v1 -m qwen3
    """
    # The statistics are an extra, and take longer to import than all the rest.
    reports = import_module("forethought.evaluate.report")
    plan = Plan(
        choose(pocket=pocket, gguf=gguf, upstream=upstream),
        exam(problems, count, split=split, kind=kind, seed=seed),
        _chosen(policies),
        Budget(output_tokens_limit=budget_tokens, cost_limit=budget_usd, time_limit_s=budget_seconds),
        {name: value for name, value in (("model", model), ("temperature", temperature)) if value is not None},
        seed,
        concurrency,
    )
    results = {each.name: dict[int, Outcome]() for each in plan.policies}
    with Journal(journal) as kept:
        whole = _to_the_end(plan, kept, results)
    outcomes = {name: list(found.values()) for name, found in results.items()}
    to_pipe().print(reports.report(outcomes, levels=by == "difficulty"))
    if plot is not None:
        reports.picture(outcomes, plot)
    if markdown is not None:
        markdown.write_text(import_module("forethought.evaluate.markdown").markdown(outcomes), encoding="utf-8")
    if not whole:
        raise typer.Exit(INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of whom; `params` are fields of every request's body."""

    source: Source
    exam: Exam
    policies: Sequence[Policy]
    budget: Budget
    params: JSON
    seed: int
    concurrency: int


def _chosen(names: Sequence[str] | None) -> list[Policy]:
    """The policies, in the order they were named; raises BadParameter where two have one name."""
    chosen = [DIRECTLY, *policy.available().values()] if names is None else list(_named(names))
    for index, each in enumerate(chosen):
        if each.name in (other.name for other in chosen[:index]):
            raise typer.BadParameter(f"two policies are named {each.name!r}; results are told apart by name")
    return chosen


def _named(names: Sequence[str]) -> Iterator[Policy]:
    for name in names:
        if Path(name).is_dir():
            yield from map(policy.load, sorted(Path(name).glob("*.toml")))
        else:
            yield DIRECTLY if name == DIRECTLY.name else policy.load(name)


def _to_the_end(plan: Plan, journal: Journal, results: Found) -> bool:
    """Whether every problem was asked; False after Ctrl-C, with what there is in `results`."""
    try:
        asyncio.run(_run(plan, journal, results))
    except KeyboardInterrupt:
        to_people().print("interrupted; this is what there is:", style="yellow")
        return False
    return True


async def _run(plan: Plan, journal: Journal, results: Found) -> None:
    await answers.load()
    async with plan.source.opened() as backend:
        engines = [Engine(backend, each, budget=plan.budget, sinks=()) for each in plan.policies]
        waiting = {engine.policy.name: _trials(plan, engine) for engine in engines}
        for name, asked in waiting.items():
            results[name] |= {each.index: journal.known[each.key] for each in asked if each.key in journal.known}
        with Standings(len(plan.exam.problems)) as standings:
            for engine in engines:
                await _measure(plan, engine, waiting[engine.policy.name], journal, results, standings)


def _trials(plan: Plan, engine: Engine) -> list[Trial]:
    return trials(engine, plan.exam.problems, model=plan.source.label, params=plan.params, seed=plan.seed)


async def _measure(
    plan: Plan, engine: Engine, asked: Sequence[Trial], journal: Journal, results: Found, standings: Standings
) -> None:
    """Ask what has no result yet; what failed is asked again."""
    found = results[engine.policy.name]
    left = [each for each in asked if each.index not in found or found[each.index].error]

    def tell(outcome: Outcome) -> None:
        found[outcome.index] = outcome
        journal.add(outcome)
        standings.show(engine.policy.name, found.values())

    standings.show(engine.policy.name, found.values())
    await run(engine, plan.exam, left, tell, concurrency=plan.concurrency)
