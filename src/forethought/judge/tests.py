"""Programs judged by tests that may themselves be wrong: the ones that agree with the likeliest tests win.

B4 (Chen et al., ASE 2024) scores each set of solutions that pass the same tests by how likely both are right;
CodeT (arXiv 2207.10397) by how many tests and solutions there are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from math import lgamma, sqrt
from typing import Any, ClassVar, Literal, Protocol

from ..errors import InvalidPolicy
from ..ports import IN_CODE, Candidate, Capabilities, Inquiry
from ..wire import Completion, Delta, Done, Event, Request
from .contest import Contest, checked_confidence
from .standing import brief

Row = tuple[bool, ...]


class Runner(Protocol):
    """Runs one program against every test and tells which it passes, in the same order for every program.

    What it runs is written by a model: how it is kept from doing harm, and for how long it may run, is the
    runner's. It is cancelled when the answer no longer matters. What it raises ends the search: a program that
    crashes has failed its tests, and is no error of the runner.
    """

    async def __call__(self, program: str, /) -> Sequence[bool]: ...


async def no_runner(_program: str, /) -> Sequence[bool]:
    """Stands for a runner where none was given, and is refused."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ByTests:
    """Chooses among programs by the tests that they pass, which `runner` finds out.

    As soon as two candidates differ each different program is run once. When all have run, the set of solutions
    with the same passes that scores best by `method` wins, in it the program that most samples wrote. A program
    that could not be run has no say; where none could the majority leads. While all write the same it is decided
    at the `confidence` of the majority judge. `alpha` and `beta` are the priors of B4, as its authors' example has
    them. A runner is given in code: no policy file can name one, and nothing of what a model writes is run here.
    """

    kind: ClassVar[str] = "tests"

    method: Literal["b4", "codet"] = "b4"
    alpha: float = 1e3
    beta: float = 1e4
    confidence: float = 0.95
    runner: Runner = field(default=no_runner, metadata=IN_CODE)

    def __post_init__(self) -> None:
        if self.runner is no_runner:
            raise InvalidPolicy("runner", "none", "a runner is given in code, as in Vote(judge=ByTests(runner=run))")
        for name in ("alpha", "beta"):
            if not 0 < getattr(self, name) < 1e12:
                raise InvalidPolicy(name, getattr(self, name), "a number above 0 and below 1e12 is expected")
        checked_confidence(self.confidence)

    def open(self, samples: int, request: Request, /) -> Trial:
        """A judge for a fan-out of `samples` candidates."""
        return Trial(self, samples, request)

    def asks(self, _samples: int, /) -> int:
        """No model is asked."""
        return 0


def b4_scores(matrix: Sequence[Row], alpha: float = 1e3, beta: float = 1e4) -> dict[Row, float]:
    """The log score of each different row of a pass matrix: a row for each solution, a column for each test.

    With x the solutions of that row and y the tests it passes:
    lnB(|x|+alpha, n-|x|+1) + lnB(|y|+alpha, m-|y|+1) + lnB(n11+1, n10+1) + lnB(n01+1, n00+beta), where n11 and n10
    count passes and failures of the other solutions in the tests of y, n01 and n00 those in the other tests.
    """
    return {row: _b4(row, matrix, alpha, beta) for row in dict.fromkeys(matrix)}


def _b4(row: Row, matrix: Sequence[Row], alpha: float, beta: float) -> float:
    others = [other for other in matrix if other != row]
    counts = {(wanted, passed): 0 for wanted in (True, False) for passed in (True, False)}
    for other in others:
        for wanted, passed in zip(row, other, strict=True):
            counts[wanted, passed] += 1
    alike, passes = len(matrix) - len(others), sum(row)
    return (
        _log_beta(alike + alpha, len(others) + 1)
        + _log_beta(passes + alpha, len(row) - passes + 1)
        + _log_beta(counts[True, True] + 1, counts[True, False] + 1)
        + _log_beta(counts[False, True] + 1, counts[False, False] + beta)
    )


def codet_scores(matrix: Sequence[Row]) -> dict[Row, float]:
    """The tests that each different row passes, times the root of how many solutions have it."""
    return {row: sum(row) * sqrt(matrix.count(row)) for row in dict.fromkeys(matrix)}


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


class Trial(Contest):
    """Has each different program run, and chooses by what all of them pass."""

    def __init__(self, rule: ByTests, samples: int, request: Request) -> None:
        super().__init__(samples, rule.confidence)
        self._rule = rule
        self._request = request
        self._rows: dict[int, Row | None] = {}
        self._asked: dict[int, int] = {}

    def add(self, candidate: Candidate, /) -> None:
        self._standing.add(candidate)

    def inquiries(self) -> Sequence[Inquiry]:
        """A run of each different program that has not been run."""
        if self.decided or not self._contested:
            return ()
        return [self._inquiry(each) for each in range(len(self._standing.members)) if each not in self._rows]

    def answered(self, inquiry: Inquiry, completion: Completion | None, /) -> str:
        row = None if completion is None else tuple(passed == "1" for passed in completion.text)
        self._rows[self._asked[inquiry.key]] = row
        return "not run" if row is None else f"passes {sum(row)} of {len(row)}"

    @property
    def report(self) -> Mapping[str, Any]:
        scores = self._scores()
        return {
            **self._standing.report(),
            "decided_by": self.decided_by,
            "passes": [
                {
                    "answer": brief(champion.answer),
                    "passed": [] if row is None else [int(passed) for passed in row],
                    "score": round(scores[cluster], 4) if cluster in scores else None,
                }
                for cluster, champion in enumerate(self._standing.champions)
                for row in [self._rows.get(cluster)]
            ],
        }

    @property
    def _winner(self) -> int | None:
        scores = self._scores()
        ranked = {cluster: self._standing.worst(cluster, score) for cluster, score in scores.items()}
        return max(ranked, key=ranked.__getitem__) if ranked else self._standing.majority

    @property
    def _pending(self) -> bool:
        return len(self._rows) < len(self._standing.members)

    def _scores(self) -> dict[int, float]:
        """The score of each program that was run; one that was told of fewer tests has failed the others."""
        rows = {cluster: row for cluster, row in self._rows.items() if row is not None}
        width = max(map(len, rows.values()), default=0)
        full = {cluster: row + (False,) * (width - len(row)) for cluster, row in rows.items()}
        matrix = [row for cluster, row in full.items() for _ in self._standing.members[cluster]]
        rule = self._rule
        scores = codet_scores(matrix) if rule.method == "codet" else b4_scores(matrix, rule.alpha, rule.beta)
        return {cluster: scores[row] for cluster, row in full.items()}

    def _inquiry(self, cluster: int) -> Inquiry:
        first = self._standing.members[cluster][0]
        self._asked[first.index] = cluster
        program = Request.of(first.answer).messages
        return Inquiry(first.index, Request(program, context=self._request.context), _Running(self._rule.runner))


@dataclass(frozen=True, slots=True)
class _Running:
    """A runner as a backend: it is asked with a program and says 1 or 0 for each test."""

    runner: Runner

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="tests", local=True, metered=True)

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with aclosing(self._run(request.question)) as events:
            yield events

    async def _run(self, program: str) -> AsyncGenerator[Event, None]:
        passed = await self.runner(program)
        yield Delta(text="".join("1" if each else "0" for each in passed))
        yield Done()
