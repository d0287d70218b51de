"""Verdicts on candidates: how they are read, counted and weighed."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import NamedTuple

from ..ports import Candidate
from ..wire import Completion
from .asking import last_line


def read_verdict(completion: Completion, accept: str, reject: str) -> bool | None:
    """True where the last line is `accept`, False where it is `reject`, None otherwise or where it was cut off."""
    if completion.finish_reason != "stop":
        return None
    said = last_line(completion.text).casefold()
    return {last_line(accept).casefold(): True, last_line(reject).casefold(): False}.get(said)


def pessimistic_score(rate: float, verdicts: float, total: float, alpha: float) -> float:
    """The rate of acceptance, less what so few of the `total` verdicts leave open (arXiv 2504.10337)."""
    return rate - penalty(verdicts, total, alpha)


def penalty(verdicts: float, total: float, alpha: float) -> float:
    """`alpha * ln(total) / (verdicts + 1)`.

    `total` are the verdicts planned on all candidates together, so that one which is never asked for, because it
    cannot matter, changes no score.
    """
    return alpha * log(max(1.0, total)) / (verdicts + 1)


def effective(verdicts: int, solutions: int, correlation: float) -> float:
    """As how many independent ones so many verdicts count that are spread evenly over `solutions`.

    Those on one solution are alike: with a `correlation` of 0 each counts, with 1 they count as one.
    """
    each = verdicts / solutions if solutions else 1.0
    return verdicts / (1 + max(0.0, each - 1) * correlation)


def corrected(rate: float, false_accepts: float, false_rejects: float) -> float:
    """The true rate behind one seen through a noisy verifier, within 0 to 1 (arXiv 2510.00915, backward)."""
    return min(1.0, max(0.0, (rate - false_accepts) / (1 - false_accepts - false_rejects)))


class Count(NamedTuple):
    """How many verdicts accept, how many count at all, and how many may yet come."""

    accepted: int = 0
    heard: int = 0
    pending: int = 0


@dataclass(slots=True)
class Checked:
    """The verdicts on one candidate, by number; None is one that could not be read.

    With `any_reject` all of them make one verdict: to reject as soon as one does.
    """

    candidate: Candidate
    planned: int
    any_reject: bool
    verdicts: dict[int, bool | None] = field(default_factory=dict[int, bool | None])

    @property
    def count(self) -> Count:
        told = list(self.verdicts.values())
        left = self.planned - len(told)
        if not self.any_reject:
            return Count(told.count(True), len(told) - told.count(None), left)
        if False in told:
            return Count(0, 1, 0)
        if left:
            return Count(0, 0, 1)
        return Count(1, 1, 0) if True in told else Count()

    @property
    def wanted(self) -> list[int]:
        """The numbers of the verdicts that can still count."""
        if not self.count.pending:
            return []
        return [number for number in range(self.planned) if number not in self.verdicts]


def total(checked: list[Checked]) -> Count:
    """What all of these come to."""
    counts = [each.count for each in checked]
    return Count(*(sum(part) for part in zip(*counts, strict=True))) if counts else Count()
