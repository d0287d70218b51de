"""Whether a behavior earns its place: it is tried against thinking without it, on problems it was not drawn from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import comb
from typing import Literal, TypeAlias

from ..fold import complete
from ..ports import Backend
from ..shape.behaviors import Behavior
from ..shape.handbook import Advised
from ..shape.retrieval import Shelf
from ..stack import stack
from ..wire import Completion, Request

Verdict: TypeAlias = Literal["won", "lost", "undecided"]

LEAST = 20
"""Problems on which a behavior must have been tried before there is a verdict."""

LEVEL = 0.01
"""How likely a behavior that changes nothing may win; many are tried, so it is less than the usual 0.05."""


@dataclass(frozen=True, slots=True)
class Case:
    """A problem with a check: `right` says whether an answer solves it."""

    id: str
    request: Request
    right: Callable[[Completion], bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem, answered with and without a behavior; tokens are input and output together."""

    case: str
    right_with: bool
    right_without: bool
    tokens_with: int
    tokens_without: int

    @property
    def saved(self) -> int:
        return self.tokens_without - self.tokens_with

    @property
    def score(self) -> int:
        """1 where the behavior won, -1 where it lost: by the right answer, and by tokens only where both are right."""
        if self.right_with != self.right_without:
            return 1 if self.right_with else -1
        return (self.saved > 0) - (self.saved < 0) if self.right_with else 0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying `behavior`."""

    behavior: Behavior
    outcomes: tuple[Outcome, ...] = ()

    @property
    def wins(self) -> int:
        return sum(outcome.score > 0 for outcome in self.outcomes)

    @property
    def losses(self) -> int:
        return sum(outcome.score < 0 for outcome in self.outcomes)

    @property
    def right_with(self) -> int:
        return sum(outcome.right_with for outcome in self.outcomes)

    @property
    def right_without(self) -> int:
        return sum(outcome.right_without for outcome in self.outcomes)

    @property
    def tokens_with(self) -> int:
        return sum(outcome.tokens_with for outcome in self.outcomes)

    @property
    def tokens_without(self) -> int:
        return sum(outcome.tokens_without for outcome in self.outcomes)

    def verdict(self, least: int = LEAST) -> Verdict:
        """`won` where the wins pass a sign test at `LEVEL` and no fewer answers are right; else `lost`.

        On fewer than `least` problems nothing is decided. One right answer fewer is enough to lose, since
        saved tokens must never be paid for with answers; a good behavior may then be tried again.
        """
        if len(self.outcomes) < least:
            return "undecided"
        better = sign_test(self.wins, self.wins + self.losses) <= LEVEL
        return "won" if better and self.right_with >= self.right_without else "lost"

    def apart_from(self, sources: Iterable[str]) -> Trial:
        """The same without the problems that the behavior was drawn from, which prove nothing."""
        known = frozenset(sources)
        return replace(self, outcomes=tuple(outcome for outcome in self.outcomes if outcome.case not in known))


def sign_test(wins: int, trials: int) -> float:
    """The chance of at least `wins` heads in `trials` throws of a fair coin."""
    return sum(comb(trials, heads) for heads in range(wins, trials + 1)) / (1 << trials)


@dataclass(slots=True)
class Bench:
    """Tries behaviors on `cases`, `at_once` calls at a time; what is asked without any is asked once.

    `backend` answers both times: an engine with the policy that the behavior is to serve under, or a model.
    A behavior is tried where it would be served: on the cases it fits and was not drawn from, up to `most`.
    """

    backend: Backend
    cases: Sequence[Case]
    cite: bool = True
    most: int = 60
    at_once: int = 4
    _plain: dict[str, Completion] = field(default_factory=dict[str, Completion])

    def fitting(self, behavior: Behavior) -> list[Case]:
        """The cases that `behavior` can be tried on."""
        shelf = Shelf([replace(behavior, state="active")])
        others = (case for case in self.cases if case.id not in behavior.sources)
        return [case for case in others if shelf.fitting(case.request.question, 1)][: self.most]

    async def trial(self, behavior: Behavior, told: Callable[[Outcome], None] = lambda _: None) -> Trial:
        """Try `behavior`; each outcome is `told` as it is known. Raises what the backend raises."""
        shelf = Shelf([replace(behavior, state="active")])
        advised = stack(self.backend, [Advised(shelf, 1, self.cite)])
        gate = asyncio.Semaphore(self.at_once)

        async def compared(case: Case) -> Outcome:
            async with gate:
                outcome = await self._compared(advised, case)
            told(outcome)
            return outcome

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(compared(case)) for case in self.fitting(behavior)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return Trial(behavior, tuple(task.result() for task in tasks))

    async def _compared(self, advised: Backend, case: Case) -> Outcome:
        without = self._plain.get(case.id)
        if without is None:
            without = self._plain[case.id] = await complete(self.backend, case.request)
        helped = await complete(advised, case.request)
        return Outcome(
            case.id, case.right(helped), case.right(without), helped.usage.total_tokens, without.usage.total_tokens
        )
