"""The score board of the demo, drawn while it fills and when it is full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .contest import DIRECT, EARLY, SINGLE, VOTE, Contestant, Tally

NUMBERS = ("accuracy", "tokens", "seconds", "samples", "saved")


class Board:
    """Standings of the contest over `total` problems; a contestant's bar shows first progress, then accuracy."""

    def __init__(self, contestants: Sequence[Contestant], total: int) -> None:
        self.total = total
        self.tallies = {each.name: Tally(each) for each in contestants}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True)
        table.add_column("", width=10)
        for name in NUMBERS:
            table.add_column(name, justify="right", no_wrap=True)
        for tally in self.tallies.values():
            table.add_row(_who(tally.contestant), self._bar(tally), *self._numbers(tally))
        yield table

    def findings(self) -> RenderableType:
        """What the standings say, in sentences."""
        lines = Table.grid(padding=(0, 1))
        for line in self._findings():
            lines.add_row(" •", line)
        return lines

    def _bar(self, tally: Tally) -> RenderableType:
        if tally.asked < self.total:
            return ProgressBar(self.total, tally.asked, complete_style="cyan")
        return ProgressBar(self.total, tally.right, finished_style="green", complete_style="green")

    def _numbers(self, tally: Tally) -> Iterator[str]:
        if not tally.asked:
            yield from ("",) * len(NUMBERS)
            return
        yield f"{tally.accuracy:.0%}"
        yield f"{tally.tokens:,}"
        yield f"{tally.seconds:.1f}"
        yield f"{tally.samples}"
        yield self._saved(tally)

    def _saved(self, tally: Tally) -> str:
        fixed = self.tallies[VOTE.name]
        if tally is fixed or min(tally.asked, fixed.asked) < self.total:
            return "–"
        return f"{tally.saved(fixed):.0%}"

    def _findings(self) -> Iterator[str]:
        direct, single, fixed, early = (self.tallies[each.name] for each in (DIRECT, SINGLE, VOTE, EARLY))
        yield f"Thinking first, instead of answering at once: {_points(single, direct)}."
        yield f"Eight thoughts that vote, instead of one: {_points(fixed, single)}."
        yield (
            f"Stopping the vote once it is decided: {_points(early, fixed)}, {early.saved(fixed):.0%} fewer tokens, "
            f"{fixed.samples - early.samples} of {fixed.samples} samples spared."
        )
        yield f"With {self.total} problems each accuracy is good to about ± {_error(self.total):.0f} points."


def _who(contestant: Contestant) -> Text:
    return Text.assemble((contestant.name, "bold cyan"), "\n", (contestant.how, "dim"))


def _points(tally: Tally, other: Tally) -> str:
    return f"{100 * (tally.accuracy - other.accuracy):+.0f} points"


def _error(total: int) -> float:
    """Half of the widest 95 % interval of a share of `total`, in points."""
    return float(196 * (0.25 / total) ** 0.5)
