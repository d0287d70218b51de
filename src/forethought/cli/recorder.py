"""Keeps the records of the runs it sees."""

from __future__ import annotations

from ..ports import Moment
from ..trace import Run, Started


class Recorder:
    """A sink that keeps each run from its beginning; `runs` are in the order in which they began."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def __call__(self, moment: Moment, /) -> None:
        if isinstance(moment, Started) and moment.node.parent is None:
            self.runs.append(moment.node.run)
