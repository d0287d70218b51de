"""What a control vector does: the same problems with the same seeds at several scales. Needs the extra `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ..evaluate.problems import Exam
from ..evaluate.statistics import Estimate, gap, growth, mean, share
from ..wire import Request
from .source import Source
from .steer_vector_pairs import ask_all, thought_tokens


@dataclass(frozen=True, slots=True)
class Trial:
    """How the problems went at one scale: for each whether it was solved, and the tokens of its thought."""

    scale: float
    right: Sequence[bool]
    tokens: Sequence[int]


async def try_scale(
    source: Source,
    vector: Path,
    scale: float,
    exam: Exam,
    *,
    temperature: float,
    seed: int,
    told: Callable[[int], None],
) -> Trial:
    """Ask each problem once, steered; problem by problem every scale draws from one seed."""
    params = {"temperature": temperature, "seed": seed}
    requests = [Request(tuple(problem.messages), params) for problem in exam.problems]
    right, tokens = [False] * len(requests), [0] * len(requests)
    count = 0
    async with source.steered(vector, scale).opened() as backend:
        async for index, completion in ask_all(backend, requests):
            right[index] = exam.is_right(exam.problems[index], completion.text)
            tokens[index] = thought_tokens(completion)
            told(count := count + 1)
    return Trial(scale, right, tokens)


@dataclass(frozen=True, slots=True)
class Change:
    """What a scale changes against none: the share of solved problems, and the length of thoughts, of 1."""

    scale: float
    accuracy: Estimate
    tokens: Estimate

    @classmethod
    def between(cls, trial: Trial, base: Trial) -> Change:
        return cls(trial.scale, gap(trial.right, base.right), growth(trial.tokens, base.tokens))

    @property
    def helps(self) -> bool:
        """Whether thoughts are shorter for sure, and answers not worse for sure."""
        return self.tokens.high < 0 <= self.accuracy.high


class Outcome:
    """The trials as a table with a sentence on the best of them; one trial is at scale 0."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = sorted(trials, key=lambda trial: trial.scale)
        base = next(trial for trial in trials if trial.scale == 0)
        self.changes = [Change.between(trial, base) for trial in self._trials]

    @property
    def best(self) -> Change | None:
        """The scale that shortens most of those that help."""
        return min(filter(lambda each: each.helps, self.changes), key=lambda each: each.tokens.value, default=None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("scale", "right", "thought tokens", "longer by"):
            table.add_column(name, justify="right", no_wrap=True)
        for trial, change in zip(self._trials, self.changes, strict=True):
            table.add_row(f"{trial.scale:g}", *_cells(trial, change), style="dim" if trial.scale == 0 else "")
        yield table
        yield Text(
            f"{len(self._trials[0].right)} problems, the same seeds at every scale; in brackets 95 % intervals.", "dim"
        )
        yield _finding(self.best)


def _cells(trial: Trial, change: Change) -> Iterator[str]:
    yield _shown(share(trial.right), "{:.1%}")
    yield _shown(mean(trial.tokens), "{:.1f}")
    yield "–" if trial.scale == 0 else _shown(change.tokens, "{:+.0%}")


def _shown(found: Estimate, form: str) -> str:
    value, low, high = (form.format(each) for each in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _finding(best: Change | None) -> Text:
    if best is None:
        return Text("At no scale are thoughts surely shorter and answers not surely worse.", "bold")
    points = Estimate(*(100 * each for each in (best.accuracy.value, best.accuracy.low, best.accuracy.high)))
    return Text.assemble(
        (f"Scale {best.scale:g}", "bold cyan"),
        f" thinks {-best.tokens.value:.0%} less; right answers change by {_shown(points, '{:+.1f}')} points.",
    )
