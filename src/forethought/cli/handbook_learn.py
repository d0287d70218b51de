"""`forethought handbook learn`: draw behaviors from problems, try them on others, serve those that win."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from .. import answers
from ..budget import Budget
from ..context import derive_seed
from ..engine import Engine
from ..errors import BudgetExceeded
from ..evaluate.problems import Exam, Problem, exam
from ..learn.curate import Curator
from ..learn.handbook import Book
from ..learn.trial import Bench, Case, Trial
from ..policy import Policy as PolicyValue
from ..shape.behaviors import Behavior
from ..wire import JSON, Completion, Request
from .handbook import Embeddings, StoreDirectory, Tenant, opened, shown
from .handbook import candidates as read
from .options import Gguf, Money, Pocket, Policy, Seconds, Tokens, Upstream
from .screen import to_people, to_pipe
from .source import Source, choose

_COLOURS = {"won": "green", "lost": "red", "undecided": "yellow"}


def learn(
    problems: Annotated[
        str, typer.Option(metavar="NAME|FILE.jsonl", help="A set of problems, or lines of question and answer.")
    ] = "pocket",
    kind: Annotated[str | None, typer.Option(help="Which kind of problem, where the set has several.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="Problems that behaviors are drawn from.")] = 10,
    tries: Annotated[int, typer.Option(min=1, help="Other problems that behaviors are tried on.")] = 60,
    seed: Annotated[int, typer.Option(help="Which problems, and which thoughts.")] = 0,
    candidates: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="Try the behaviors of a handbook, and draw none.")
    ] = None,
    policy: Policy = None,
    cite: Annotated[bool, typer.Option(help="Ask the model to name what it uses; not for the smallest models.")] = True,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The model, by the name its server knows.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Sampling temperature.")] = None,
    pocket: Pocket = False,
    gguf: Gguf = None,
    upstream: Upstream = None,
    budget_tokens: Tokens = None,
    budget_usd: Money = None,
    budget_seconds: Seconds = None,
    embeddings: Embeddings = None,
    store: StoreDirectory = None,
    tenant: Tenant = "",
) -> None:
    """Draw behaviors from problems and try them on others: winners become active, losers are retired.
    Drawing takes three calls a problem: solve, reflect, extract. Then all that is in quarantine is tried where it
    fits. It wins if it makes more answers right, or right answers cheaper, its own input counted, on so many
    problems that it is no accident. The pocket model cannot reflect in words; give it --candidates.

    [bold]Examples[/bold]

      forethought handbook learn --pocket --kind repeat --candidates pocket --no-cite
      forethought handbook learn --problems questions.jsonl -n 40 --tries 120 -m qwen3 --budget-tokens 900000
    """
    chosen = None if candidates is None else read(candidates)
    drawn = count if chosen is None else 0
    params = {name: value for name, value in (("model", model), ("temperature", temperature)) if value is not None}
    lesson = Lesson(
        choose(pocket=pocket, gguf=gguf, upstream=upstream),
        exam(problems, drawn + tries, split="train", kind=kind, seed=seed),
        drawn,
        policy,
        params,
        seed,
        cite,
    )
    budget = Budget(output_tokens_limit=budget_tokens, cost_limit=budget_usd, time_limit_s=budget_seconds)
    with budget as scope:
        asyncio.run(_learn(lesson, chosen, opened(store, tenant, embeddings)))
    spent = scope.spent
    to_people().print(f"spent {spent.total_tokens:,} tokens in {spent.requests:,} calls", style="dim")


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned from whom: behaviors are drawn from the first `drawn` problems and tried on the others."""

    source: Source
    exam: Exam
    drawn: int
    policy: str | PolicyValue | None
    params: JSON
    seed: int
    cite: bool

    def cases(self) -> list[Case]:
        """The problems that behaviors are tried on."""
        return [self._case(index, each) for index, each in enumerate(self.exam.problems) if index >= self.drawn]

    def _case(self, index: int, problem: Problem) -> Case:
        request = Request(tuple(problem.messages), {**self.params, "seed": derive_seed(self.seed, index)})
        return Case(_id(problem), request, partial(_is_right, self.exam, problem))


def _is_right(asked: Exam, problem: Problem, answer: Completion) -> bool:
    return asked.is_right(problem, answer.text)


def _id(problem: Problem) -> str:
    """The same for the same question, wherever it is met."""
    return blake2b(problem.question.encode(), digest_size=6).hexdigest()


async def _learn(lesson: Lesson, chosen: Sequence[Behavior] | None, kept: AbstractAsyncContextManager[Book]) -> None:
    await answers.load()
    people = to_people()
    async with lesson.source.opened() as backend, kept as book:
        engine = Engine(backend, lesson.policy)
        with Progress(console=people, transient=True) as progress:
            proposed = await _drawn(lesson, engine, progress) if chosen is None else chosen
            edition = await book.propose(proposed)
            waiting = [each for each in edition.behaviors if each.state == "quarantined"]
            bench = Bench(engine, lesson.cases(), lesson.cite)
            trials = await _tried(bench, waiting, progress)
        await _told(book, trials)


async def _drawn(lesson: Lesson, engine: Engine, progress: Progress) -> list[Behavior]:
    """Behaviors drawn from the first problems, as far as the budget goes; what is refused is told."""
    curator = Curator(engine, {**lesson.params, "seed": lesson.seed})
    found: list[Behavior] = []
    task = progress.add_task("drawing behaviors", total=lesson.drawn)
    for problem in lesson.exam.problems[: lesson.drawn]:
        try:
            curated = await curator.curate(_id(problem), problem.question, problem.answer)
        except BudgetExceeded as exceeded:
            progress.print(f"[yellow]drawing ended:[/yellow] {escape(str(exceeded))}", soft_wrap=True)
            break
        found += curated.candidates
        for refused in curated.refused:
            progress.print(f"[yellow]refused[/yellow] {escape(refused.text)}: {refused.why}", soft_wrap=True)
        progress.advance(task)
    return found


async def _tried(bench: Bench, waiting: Sequence[Behavior], progress: Progress) -> list[Trial]:
    """One trial after another, as far as the budget goes; what was not tried stays in quarantine."""
    trials: list[Trial] = []
    for behavior in waiting:
        try:
            trials.append(await _trial(bench, behavior, progress))
        except BudgetExceeded as exceeded:
            progress.print(f"[yellow]trying ended:[/yellow] {escape(str(exceeded))}", soft_wrap=True)
            break
    return trials


async def _trial(bench: Bench, behavior: Behavior, progress: Progress) -> Trial:
    task = progress.add_task(f"trying {behavior.name}", total=len(bench.fitting(behavior)))
    return await bench.trial(behavior, lambda _: progress.advance(task))


async def _told(book: Book, trials: Sequence[Trial]) -> None:
    """Write what came of the trials, and say it."""
    if trials:
        to_pipe().print(_table(trials))
        shown(await book.settle(trials))
    else:
        to_people().print("Nothing was tried: no behavior was in quarantine, or no budget left.", style="yellow")


def _table(trials: Sequence[Trial]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("tried", style="bold cyan", no_wrap=True)
    for name in ("on", "right", "tokens", "saved", "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in trials:
        table.add_row(trial.behavior.name, *_numbers(trial))
    return table


def _numbers(trial: Trial) -> list[str]:
    """How a trial went: each from without the behavior to with it."""
    asked, verdict = len(trial.outcomes), f"[{_COLOURS[trial.verdict()]}]{trial.verdict()}"
    if not asked:
        return ["0", "–", "–", "–", verdict]
    right = f"{trial.right_without / asked:.0%} → {trial.right_with / asked:.0%}"
    tokens = f"{trial.tokens_without / asked:.0f} → {trial.tokens_with / asked:.0f}"
    saved = f"{1 - trial.tokens_with / trial.tokens_without:.0%}" if trial.tokens_without else "–"
    return [str(asked), right, tokens, saved, verdict]
