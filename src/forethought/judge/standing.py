"""Where the candidates of one search stand: who has landed, who agrees with whom, who can still win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..answers import Clusters
from ..ports import Candidate

_REPORTED = 200
"""Characters of an answer that a report repeats."""


class Standing:
    """The candidates of a search for up to `samples`, put together by equivalence of their answers.

    A candidate without an answer (cut off in mid-thought) has landed, but belongs to no cluster. Clusters are
    numbered in the order in which they began, and `counts` says how many members each has by now. The champion of
    each is its candidate of the lowest index, which does not depend on who landed first.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.landed: list[Candidate] = []
        self.members: list[list[Candidate]] = []
        self.champions: list[Candidate] = []
        self._clusters = Clusters()
        self.counts: Sequence[int] = self._clusters.counts

    def add(self, candidate: Candidate) -> int | None:
        """The cluster that `candidate` joined or began; None where it has no answer."""
        self.landed.append(candidate)
        cluster = self._clusters.add(candidate.answer)
        if cluster == len(self.members):
            self.members.append([candidate])
            self.champions.append(candidate)
        elif cluster is not None:
            self.members[cluster].append(candidate)
            if candidate.index < self.champions[cluster].index:
                self.champions[cluster] = candidate
        return cluster

    def miss(self) -> None:
        """One of the samples will never land."""
        self.samples -= 1

    @property
    def to_come(self) -> int:
        """Samples that may still land."""
        return max(0, self.samples - len(self.landed))

    @property
    def majority(self) -> int | None:
        """The largest cluster, of equals that of the lowest index; None while nobody has answered."""
        counts, champions = self.counts, self.champions
        return max(range(len(counts)), key=lambda each: (counts[each], -champions[each].index), default=None)

    @property
    def first(self) -> Candidate | None:
        """The first to land, which leads while nobody has answered, so that a caller gets what was written."""
        return self.landed[0] if self.landed else None

    def worst(self, cluster: int, score: float) -> Rank:
        """The rank of a cluster that ends with `score` and without another member."""
        return Rank(score, self.counts[cluster], -self.champions[cluster].index)

    def best(self, cluster: int, score: float) -> Rank:
        """The rank of a cluster that ends with `score` and with every sample still to come."""
        if not self.to_come:
            return self.worst(cluster, score)
        return Rank(score, self.counts[cluster] + self.to_come, 0)

    def newcomer(self, score: float) -> list[Rank]:
        """The best rank of a cluster that has not begun yet; empty when no sample is to come."""
        return [Rank(score, self.to_come, 0)] if self.to_come else []

    def report(self) -> dict[str, Any]:
        """What every judge tells of its candidates, as JSON values."""
        return {
            "candidates": len(self.landed),
            "votes": self._votes(),
            "agreement": max(self.counts) / sum(self.counts) if self.members else 0.0,
            "answers": [brief(candidate.answer) for candidate in self.landed],
        }

    def _votes(self) -> Mapping[str, int]:
        votes: dict[str, int] = {}
        for index in sorted(range(len(self.counts)), key=lambda index: -self.counts[index]):
            name = brief(self._clusters.answers[index])
            votes[name] = votes.get(name, 0) + self.counts[index]
        return votes


class Rank(NamedTuple):
    """What a cluster is chosen by: its score, of equals its size, of equals the lower index of its champion."""

    score: float
    size: int
    place: int


def contenders(worst: Sequence[Rank], best: Sequence[Rank]) -> list[int]:
    """Which can still win, given how each may end at worst and at best: nobody surely ends above them.

    `best` may be longer than `worst`: one more is a cluster that has not begun. The one whose worst end is
    the highest is always among them; where it is the only one it has won, whatever is still to come.
    """
    highest = max(worst, default=None)
    return [index for index, rank in enumerate(best) if highest is None or rank >= highest]


def brief(answer: str) -> str:
    """An answer as it is reported: a program or a page is cut after its beginning."""
    return answer if len(answer) <= _REPORTED else answer[: _REPORTED - 1] + "…"
