"""One set of problems, answered in several ways: who is right how often, and at what cost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..context import derive_seed
from ..engine import Engine
from ..evaluate.problems import Problem, ProblemSet
from ..judge.majority import Majority
from ..policy import Policy
from ..ports import Backend
from ..search.vote import Vote
from ..steer.limit import Limit
from ..trace import Run
from ..wire import Completion, Request
from .recorder import Recorder

THOUGHT = 64
"""Tokens of thinking that the limited contestant has."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to answer, with `how` it works in a few words."""

    name: str
    how: str
    policy: Policy

    @classmethod
    def of(cls, name: str, how: str, *layers: Any) -> Contestant:
        return cls(name, how, Policy(name, how, layers=layers))


DIRECT = Contestant.of("direct", "answers at once", Limit(reasoning_tokens=0))
SINGLE = Contestant.of("single", "thinks once")
VOTE = Contestant.of("vote of eight", "hears every sample", Vote(8, eager=True, judge=Majority(min_votes=8)))
EARLY = Contestant.of("early stop", "hears until decided", Vote(8))
LIMIT = Contestant.of("limit", f"thinks once, {THOUGHT} tokens", Limit(reasoning_tokens=THOUGHT))
CONTESTANTS = (DIRECT, SINGLE, VOTE, EARLY, LIMIT)


@dataclass(frozen=True, slots=True)
class Answered:
    """One problem, answered; `seconds` is the wall clock that the caller waited."""

    problem: Problem
    completion: Completion
    run: Run
    right: bool
    seconds: float

    @property
    def samples(self) -> int:
        """Answers that were heard; calls that were cancelled are not among them."""
        return int(self.completion.done.report.get("samples", 1))

    @property
    def tokens(self) -> int:
        """Tokens written, those of cancelled calls included."""
        return self.completion.usage.completion_tokens


@dataclass(slots=True)
class Tally:
    """What one contestant has done so far."""

    contestant: Contestant
    answers: list[Answered] = field(default_factory=list[Answered])

    @property
    def asked(self) -> int:
        return len(self.answers)

    @property
    def right(self) -> int:
        return sum(each.right for each in self.answers)

    @property
    def accuracy(self) -> float:
        return self.right / max(1, self.asked)

    @property
    def tokens(self) -> int:
        """Tokens written, those of cancelled calls included."""
        return sum(each.tokens for each in self.answers)

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.answers)

    @property
    def samples(self) -> int:
        return sum(each.samples for each in self.answers)

    def saved(self, other: Tally) -> float:
        """The share of the tokens of `other` that this one did without."""
        return 1 - self.tokens / max(1, other.tokens)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.contestant.name,
            "how": self.contestant.how,
            "asked": self.asked,
            "right": self.right,
            "accuracy": self.accuracy,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "samples": self.samples,
        }


async def compete(
    backend: Backend, source: ProblemSet, problems: Sequence[Problem], contestant: Contestant, *, seed: int
) -> AsyncIterator[Answered]:
    """Each problem in turn, answered by `contestant`; problem by problem every contestant draws from one seed."""
    recorder = Recorder()
    engine = Engine(backend, contestant.policy, sinks=[recorder])
    for index, problem in enumerate(problems):
        yield await answer(engine, recorder, source, problem, seed=derive_seed(seed, index))


async def answer(
    engine: Engine, recorder: Recorder, source: ProblemSet, problem: Problem, *, seed: int | None
) -> Answered:
    """One problem, answered at temperature 1, that of the OpenAI API where nothing else is asked for."""
    request = Request(tuple(problem.messages), {"temperature": 1.0, "seed": seed})
    began = time.perf_counter()
    completion = await engine.complete(request)
    seconds = time.perf_counter() - began
    return Answered(problem, completion, recorder.runs[-1], source.is_right(problem, completion.text), seconds)
