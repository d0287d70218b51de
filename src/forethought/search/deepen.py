"""Iterative deepening across answers: rounds of samples that grow geometrically, until the judge has decided.

The growing budget of ID-sampling (arXiv 2502.05449), spent on more answers instead of a longer one; a trigger
within one thought is `forethought.steer.deepen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any, ClassVar

from ..errors import InvalidPolicy
from ..judge.majority import Majority
from ..ports import Backend, Bound, Candidate, Rule, Stream
from ..wire import Request
from .fanout import Branches
from .vote import Poll, Vote, polled


@dataclass(frozen=True, slots=True)
class DeepenSamples:
    """`first` answers side by side, then `growth` times as many in all, and so on up to `samples`.

    A round begins when every answer of the one before has come and `judge` is still undecided; once it is
    decided, what is in flight is cancelled. So a hard question waits for logarithmically many rounds, where
    a vote, which asks for no more at a time than could decide it, takes the fewest samples. `temperature` is
    set where the caller gives none; failures are as in a vote. The paper's numbers are not known; ours begin
    where four equal answers decide.
    """

    kind: ClassVar[str] = "deepen_samples"

    first: int = 4
    growth: float = 2.0
    samples: int = 16
    temperature: float | None = None
    judge: Rule = field(default_factory=Majority)

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 256:
            raise InvalidPolicy("deepen_samples.samples", self.samples, "1 to 256 samples are expected")
        if not 1 <= self.first <= self.samples:
            raise InvalidPolicy("deepen_samples.first", self.first, f"1 to {self.samples} samples are expected")
        if not (isfinite(self.growth) and self.growth > 1):
            raise InvalidPolicy("deepen_samples.growth", self.growth, "a factor above 1 is expected")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InvalidPolicy("deepen_samples.temperature", self.temperature, "0 to 2 is expected")

    @property
    def rounds(self) -> tuple[int, ...]:
        """How many samples there are in all after each round."""
        totals = [self.first]
        while totals[-1] < self.samples:
            totals.append(ceil(min(self.samples, max(totals[-1] + 1, totals[-1] * self.growth))))
        return tuple(totals)

    def worst_case(self, inner: Bound, /) -> Bound:
        return inner.times(self.samples + self.judge.asks(self.samples))

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        return polled(inner, self.poll(request))

    def poll(self, request: Request, given: Sequence[Candidate] = (), /) -> Poll:
        if self.temperature is not None and request.params.get("temperature") is None:
            request = request.with_params(temperature=self.temperature)
        judge = self.judge.open(self.samples, request)
        return _Rounds(Vote(self.samples), request, judge, given, totals=list(self.rounds))


@dataclass
class _Rounds(Poll):
    """A poll that starts a whole round at a time."""

    totals: list[int] = field(default_factory=list[int])
    rounds: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.totals = [total for total in self.totals if total > self.started]

    def _start(self, branches: Branches) -> None:
        if branches.running or not self.totals or self._spent or self.judge.decided:
            return
        size = self.totals.pop(0) - self.started
        for _ in range(size):
            branches.start(self.request, of=size, at=self.started)
            self.started += 1
        self.rounds += 1

    def _saved(self, cancelled: int) -> dict[str, Any]:
        return {**super()._saved(cancelled), "rounds": self.rounds}
