"""How far an evaluation has come: a bar a policy where people watch, a line a policy where they do not."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..evaluate.outcome import Outcome
from .screen import to_people


class Standings:
    """Progress over `total` problems a policy, on stderr; gone when it ends."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._people = to_people()
        self._bars = Progress(
            TextColumn("{task.description}", style="bold cyan", markup=False),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left[/]"),
            TimeRemainingColumn(),
            console=self._people,
            transient=True,
            disable=not self._people.is_terminal,
        )
        self._ids: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def show(self, name: str, outcomes: Collection[Outcome]) -> None:
        """Policy `name` has these outcomes by now."""
        if name not in self._ids:
            self._ids[name] = self._bars.add_task(name, total=self._total, told="")
        told = _told(outcomes)
        self._bars.update(self._ids[name], completed=len(outcomes), told=told)
        if len(outcomes) == self._total and not self._people.is_terminal:
            self._people.print(f"{name}: {told}", markup=False)


def _told(outcomes: Collection[Outcome]) -> str:
    right = sum(each.right is True for each in outcomes)
    failed = sum(each.right is None for each in outcomes)
    return f"{right} right{f', {failed} failed' if failed else ''}"
