"""A worker in a process of its own: what native code does to itself there, it does to nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from forethought.errors import InvalidRequest
from forethought.wire import Done

from .job import Job
from .options import Options
from .pipe import Child
from .state import Facts, Occupancy, Piece

Order: TypeAlias = tuple[int, Job | None]
"""A job to take on under a key, or None to drop what that key stands for."""

Result: TypeAlias = tuple[int, Piece | Done | InvalidRequest]


@dataclass(frozen=True, slots=True)
class Report:
    """What a step brought, in order, by key, and how the worker stands after it."""

    results: Sequence[Result]
    occupancy: Occupancy


class Isolated:
    """Stands in the owner thread for the worker of a child process; constructing it waits for the model.

    Orders are collected and cross with the next step, and what that step brought comes back: one message each
    way, so nothing can pile up. Raises EngineStopped where the child dies under a request; one that has died
    idle is replaced by the next step.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._orders: list[Order] = []
        self._live = set[int]()
        self._idle = True
        self.occupancy = Occupancy()
        self.facts = self._begin()

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._orders or self._live)

    def submit(self, key: int, job: Job) -> None:
        """Have the next step begin a job; it brings InvalidRequest where that cannot be served."""
        self._live.add(key)
        self._orders.append((key, job))

    def cancel(self, key: int) -> None:
        """Have the next step drop a job; one that has ended, or was never there, is no error."""
        if key in self._live:
            self._live.remove(key)
            self._orders.append((key, None))

    def step(self) -> list[Result]:
        """Let the child take its orders and evaluate one batch; blocks until it has."""
        if self._idle and self._child.dead:
            self.close()
            self._begin()
        orders, self._orders = self._orders, []
        report: Report = self._child.ask(orders)
        self.occupancy = report.occupancy
        results = [(key, result) for key, result in report.results if key in self._live]
        self._live.difference_update(key for key, result in results if not isinstance(result, Piece))
        self._idle = not self._live
        return results

    def close(self) -> None:
        """End the child, which has nothing to save."""
        self._child.end()

    def _begin(self) -> Facts:
        self._child = Child(f"{__package__}.child")
        try:
            facts: Facts = self._child.ask(self._options)
        except BaseException:
            self.close()
            raise
        return facts
