"""Majority: the answer that most samples give, and the rule that says when more samples cannot be worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar

from ..errors import InvalidPolicy
from ..ports import Candidate
from ..wire import Request
from .standing import Standing


@dataclass(frozen=True, slots=True)
class Majority:
    """Self-consistency with an early stop.

    Decided once at least `min_votes` samples have voted and the Beta criterion of Adaptive-Consistency
    (Aggarwal et al., arXiv 2305.11860) is at least `confidence`, or no sample still to come can change the
    winner. With a `confidence` of 1 only the latter decides, and the result is that of all samples.
    Raises InvalidPolicy for a confidence outside 0.5 to 1 or fewer than one vote.
    """

    kind: ClassVar[str] = "majority"

    confidence: float = 0.95
    min_votes: int = 1

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence <= 1:
            raise InvalidPolicy("confidence", self.confidence, "a number above 0.5 and up to 1 is expected")
        if self.min_votes < 1:
            raise InvalidPolicy("min_votes", self.min_votes, "an integer of at least 1 is expected")

    def open(self, samples: int, _request: Request | None = None, /) -> Ballot:
        """A judge for a fan-out of `samples` candidates."""
        return Ballot(self, samples)

    def asks(self, _samples: int, /) -> int:
        """A majority asks nothing."""
        return 0


class Ballot:
    """Counts candidates by equivalence of their answers; the larger cluster leads.

    Of equals that of the lowest index leads, so that a tie does not depend on which candidate landed first.

    A candidate without an answer (cut off in mid-thought) has landed, but does not vote. While nobody has
    voted the first to land leads, so that a caller gets what was written.
    """

    def __init__(self, rule: Majority, samples: int) -> None:
        self._rule = rule
        self._standing = Standing(samples)
        self._counts = self._standing.counts

    def add(self, candidate: Candidate, /) -> None:
        self._standing.add(candidate)

    @property
    def leader(self) -> Candidate | None:
        """The candidate of the lowest index in the winning cluster."""
        winner = self._standing.majority
        return self._standing.first if winner is None else self._standing.champions[winner]

    @property
    def decided(self) -> bool:
        return bool(self.decided_by)

    @property
    def decided_by(self) -> str:
        """`all` when every sample has landed, `certain` when none can change the winner, `confidence`, or "" yet."""
        left = self._standing.to_come
        if not left:
            return "all"
        if self._is_certain(0, left):
            return "certain"
        return "confidence" if self._is_confident() else ""

    @property
    def needed(self) -> int:
        """The fewest further candidates that could decide it, all of them agreeing with the leader."""
        left = self._standing.to_come
        if self.decided:
            return 0
        return next(more for more in range(1, left + 1) if self._would_decide(more, left - more))

    @property
    def report(self) -> Mapping[str, Any]:
        return {**self._standing.report(), "decided_by": self.decided_by}

    def _would_decide(self, more: int, to_come: int) -> bool:
        """Whether `more` further votes for the leader would decide it, with `to_come` after them."""
        return to_come == 0 or self._is_certain(more, to_come) or self._is_confident(more)

    def _is_certain(self, more: int, to_come: int) -> bool:
        counts, winner = self._counts, self._standing.majority
        if winner is None:
            return more > to_come
        if sum(counts) + more < self._rule.min_votes:
            return False
        rivals = (count for cluster, count in enumerate(counts) if cluster != winner)
        return max(rivals, default=0) + to_come < counts[winner] + more

    def _is_confident(self, more: int = 0) -> bool:
        counts = self._counts
        if self._rule.confidence >= 1 or sum(counts) + more < self._rule.min_votes:
            return False
        first, second, *_ = (*sorted(counts, reverse=True), 0, 0)
        return beta_confidence(first + more, second) >= self._rule.confidence


def beta_confidence(a: int, b: int) -> float:
    """How sure it is that an answer with `a` votes beats the runner-up with `b`, in the long run.

    `1 - I_0.5(a + 1, b + 1)` with the regularized incomplete beta function, summed in integers and so exact
    to the last bit (arXiv 2305.11860, the Beta criterion). Raises ValueError for negative counts.
    """
    if a < 0 or b < 0:
        raise ValueError(f"votes: got {a} and {b}; counts of at least 0 are expected")
    tosses = a + b + 1
    return sum(comb(tosses, heads) for heads in range(a + 1)) / (1 << tosses)
