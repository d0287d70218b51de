"""Self-consistency with early stopping: ask several times, group equal answers, stop when the vote is decided.

Self-consistency is arXiv 2203.11171; the stopping rule is that of Adaptive-Consistency, arXiv 2305.11860.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from ..answers import extract
from ..context import Usage
from ..errors import BudgetExceeded, ForethoughtError, InvalidPolicy
from ..judge.majority import Majority
from ..ports import Backend, Bound, Candidate, Inquiring, Judge, Rule, Stream
from ..wire import Completion, Delta, Done, Event, Note, Request
from .fanout import Branches, Failed, Landed, Piece, fan_out
from .hearing import Hearing


@dataclass(frozen=True, slots=True)
class Vote:
    """Up to `samples` answers side by side; the one that `judge` prefers is returned.

    Only as many calls are in flight as could decide the vote (all at once when `eager`), and those still in
    flight when it is decided are cancelled. `temperature` is set where the caller gives none. Branches that
    fail do not vote; the vote fails only when all of them do. A vote of one is the stream itself. What a judge
    asks about the candidates is asked beside them, of the backend below or of the judge's own.
    """

    kind: ClassVar[str] = "vote"

    samples: int = 8
    temperature: float | None = None
    eager: bool = False
    judge: Rule = field(default_factory=Majority)

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 256:
            raise InvalidPolicy("vote.samples", self.samples, "1 to 256 samples are expected")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InvalidPolicy("vote.temperature", self.temperature, "0 to 2 is expected")

    def worst_case(self, inner: Bound, /) -> Bound:
        return inner.times(1 if self.samples == 1 else self.samples + self.judge.asks(self.samples))

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        poll = self.poll(request)
        return inner.stream(poll.request) if self.samples == 1 else polled(inner, poll)

    def poll(self, request: Request, given: Sequence[Candidate] = (), /) -> Poll:
        if self.temperature is not None and request.params.get("temperature") is None:
            request = request.with_params(temperature=self.temperature)
        return Poll(self, request, self.judge.open(self.samples, request), given)


@runtime_checkable
class Polling(Protocol):
    """A layer that can take up a vote which others have begun."""

    def poll(self, request: Request, given: Sequence[Candidate] = (), /) -> Poll:
        """The vote on `request` in which the candidates `given` have voted; their cost is not counted again."""
        ...


@asynccontextmanager
async def polled(inner: Backend, poll: Poll) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a poll; leaving them ends every call that it has begun."""
    with nullcontext() if poll.hearing is None else closing(poll.hearing):
        async with fan_out(inner) as branches, aclosing(poll.events(branches)) as events:
            yield events


@dataclass(slots=True)
class Poll:
    """One vote while it is taken; there is a `hearing` where the judge asks about the candidates."""

    vote: Vote
    request: Request
    judge: Judge
    given: Sequence[Candidate] = ()
    started: int = 0
    candidates: list[Candidate] = field(default_factory=list[Candidate])
    errors: list[ForethoughtError] = field(default_factory=list[ForethoughtError])
    hearing: Hearing | None = field(init=False)

    def __post_init__(self) -> None:
        self.hearing = Hearing(self.judge, first=self.vote.samples) if _asks(self.judge) else None
        for candidate in self.given:
            self._add(candidate)
            self.started = max(self.started, candidate.index + 1)

    async def events(self, branches: Branches) -> AsyncGenerator[Event, None]:
        self._go_on(branches)
        async for happening in branches:
            if isinstance(happening, Piece):
                continue
            yield self._hear(happening)
            if self.judge.decided:
                break
            self._go_on(branches)
        cancelled = self._sampling(branches)
        await branches.close()
        for event in self._result(cancelled=cancelled):
            yield event

    def _go_on(self, branches: Branches) -> None:
        if self.hearing is not None and not self._spent:
            self.hearing.ask(branches)
        self._start(branches)

    def _start(self, branches: Branches) -> None:
        """Keep as many in flight as could decide the vote, and no more."""
        width = self.vote.samples if self.vote.eager else self.judge.needed
        while not self._spent and self.started < self.vote.samples and self._sampling(branches) < width:
            branches.start(self.request, of=max(1, width), at=self.started)
            self.started += 1

    @property
    def _spent(self) -> bool:
        return any(isinstance(error, BudgetExceeded) for error in self.errors)

    def _sampling(self, branches: Branches) -> int:
        """How many samples are in flight."""
        return len(branches.running) - (0 if self.hearing is None else self.hearing.running)

    def _hear(self, happening: Landed | Failed) -> Note:
        if isinstance(happening, Failed):
            self.errors.append(happening.error)
        if self.hearing is not None and self.hearing.hears(happening.index):
            return self.hearing.hear(happening)
        if isinstance(happening, Landed):
            return self._count(happening.index, happening.completion)
        if self.hearing is not None and not self._spent:
            self.hearing.judge.missed()
        return Note("failed", str(happening.error), {"branch": happening.index})

    def _count(self, index: int, completion: Completion) -> Note:
        answer = extract(completion, self.request.question)
        self._add(Candidate(index, answer, completion, completion.usage))
        return Note("candidate", answer, {"branch": index, "tokens": completion.usage.completion_tokens})

    def _add(self, candidate: Candidate) -> None:
        self.candidates.append(candidate)
        self.judge.add(candidate)

    def _result(self, *, cancelled: int) -> list[Event]:
        if not self.candidates:
            raise self.errors[0]
        leader = self.judge.leader or self.candidates[0]
        answer = leader.completion
        reason = "decided" if self.judge.decided else "budget" if self._spent else "samples"
        heard = self.hearing.usage if self.hearing else Usage()
        usage = sum((candidate.usage for candidate in self.candidates[len(self.given) :]), heard)
        report = {**answer.done.report, **self.judge.report, **self._saved(cancelled)}
        report.update(self.hearing.report if self.hearing else ())
        return [
            Note("decided", leader.answer, report),
            whole(answer),
            Done(answer.finish_reason, usage, None, reason, answer.done.meta, report),
        ]

    def _saved(self, cancelled: int) -> dict[str, Any]:
        """What stopping early spared: samples never asked for or cancelled, at the mean length of the others."""
        spared = self.vote.samples - self.started + cancelled
        written = sum(candidate.usage.completion_tokens for candidate in self.candidates)
        return {
            "samples": len(self.candidates),
            "samples_saved": spared,
            "tokens_saved": round(spared * written / len(self.candidates)),
        }


def _asks(judge: object) -> TypeGuard[Inquiring]:
    return issubclass(type(judge), Inquiring)  # which, unlike isinstance, remembers its answer


def whole(answer: Completion) -> Delta:
    """A finished answer, said at once."""
    calls = tuple({"index": index, **call} for index, call in enumerate(answer.tool_calls))
    return Delta(answer.text, answer.reasoning, calls, answer.logprobs, answer.extra or None)
