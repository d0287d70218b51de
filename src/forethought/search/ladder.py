"""The ladder: a direct answer, a check of it, a vote and at last a search, each only where the one before is not sure.

A cascade (FrugalGPT, arXiv 2305.05176) of methods over one model, climbed where answers differ (arXiv 2310.03094) or
where the lowest group confidence of an answer is low (DeepConf, arXiv 2508.15260).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import exp
from typing import Any, ClassVar

from ..answers import extract, same
from ..context import Usage
from ..errors import ForethoughtError, InvalidPolicy, UpstreamProtocol
from ..fold import Partial
from ..judge.majority import Majority, beta_confidence
from ..ports import KINDS, Backend, Bound, Bounded, Candidate, Capabilities, Demanding, Layer, Rule, Stream
from ..stack import kind_of, totalled
from ..steer.limit import Limit
from ..tally import prompt_estimate
from ..wire import Completion, Delta, Done, Event, Note, Request, TokenLogprob
from .deepen import DeepenSamples
from .vote import Polling, Vote, polled, whole

AGREED = beta_confidence(2, 0)
"""What two equal answers are worth, by the criterion that also stops a vote: 0.875."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Climbs from rung to rung until an answer is trusted; it is the answer of the highest rung reached.

    `direct` is one answer after at most `direct_tokens` of thinking, trusted where its confidence is `threshold` or
    more: the lowest geometric mean probability of any `window` tokens in a row, of all whose logprobs the backend
    gives. Where it gives none a second direct answer is the `check`: two that agree have a confidence of 0.875, and
    above that threshold nothing is checked. `vote` hears up to `samples` answers, these included, until `judge` has
    decided; its leader is trusted with more than `majority` of the votes (0: always). `search` is any kind of layer;
    one that votes goes on with the candidates there are.

    A rung that fails leaves the best answer so far, as does one that the budget has no room for, which is not begun:
    there has to be room for the fewest calls that could decide a vote, each as long as the longest answer so far.
    `temperature` is that of the vote where the caller gives none. All numbers are ours; what confidence is worth
    differs between models, so that `threshold` and `window` are to be set by evaluation.
    """

    kind: ClassVar[str] = "ladder"

    direct_tokens: int = 0
    threshold: float = 0.8
    window: int = 32
    samples: int = 8
    temperature: float | None = None
    majority: float = 0.3
    judge: Rule = field(default_factory=Majority)
    search: Layer = field(default_factory=DeepenSamples, metadata={KINDS: "forethought.layers"})

    def __post_init__(self) -> None:
        if self.direct_tokens < 0:
            raise InvalidPolicy("ladder.direct_tokens", self.direct_tokens, "0 or more tokens are expected")
        for name in ("threshold", "majority"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidPolicy(f"ladder.{name}", getattr(self, name), "0 to 1 is expected")
        if self.window < 1:
            raise InvalidPolicy("ladder.window", self.window, "1 or more tokens are expected")
        if not 2 <= self.samples <= 256:
            raise InvalidPolicy("ladder.samples", self.samples, "2 to 256 samples are expected")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InvalidPolicy("ladder.temperature", self.temperature, "0 to 2 is expected")

    def missing(self, capabilities: Capabilities, /) -> str | None:
        wanted = self.search.missing(capabilities) if isinstance(self.search, Demanding) else None
        return wanted and f"{wanted} (for its search, {kind_of(self.search)!r})"

    def worst_case(self, inner: Bound, /) -> Bound:
        """Two direct answers that count for nothing, a whole vote and a whole search."""
        direct = self.direct.worst_case(inner).times(2 if self.checks else 1)
        search = self.search.worst_case(inner) if isinstance(self.search, Bounded) else inner
        return _sum(direct, self.vote.worst_case(inner), search)

    @property
    def direct(self) -> Limit:
        return Limit(self.direct_tokens)

    @property
    def vote(self) -> Vote:
        return Vote(self.samples, self.temperature, judge=self.judge)

    @property
    def checks(self) -> bool:
        """Whether a second answer that agrees would be enough."""
        return self.threshold <= AGREED

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with AsyncExitStack() as opened:
            climb = _Climb(self, inner, request, opened)
            async with aclosing(climb.events()) as events:
                yield events


@dataclass(slots=True)
class _Climb:
    """One climb: `best` is the answer so far, `landed` that of the last rung; `told` is what each rung found and took.

    `ended` says why the climb did: `trusted`, `budget`, `failed`, or what the vote or the search ended with.
    """

    layer: Ladder
    inner: Backend
    request: Request
    opened: AsyncExitStack
    best: Completion | None = None
    landed: Completion | None = None
    ended: str = ""
    confidence: float | None = None
    usage: Usage = Usage()
    longest: int = 0
    candidates: Sequence[Candidate] = ()
    errors: list[ForethoughtError] = field(default_factory=list[ForethoughtError])
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def events(self) -> AsyncGenerator[Event, None]:
        for rung in (self._direct, self._check, self._vote, self._search):
            if not self.ended:
                async for note in rung():
                    yield note
        if self.best is None:
            raise self.errors[0]
        yield whole(self.best)
        yield self._done(self.best)

    async def _direct(self) -> AsyncGenerator[Note, None]:
        request = self.request.branch(0)
        if self.inner.capabilities.logprobs:
            request = request.with_params(logprobs=True)
        async for note in self._ask("direct", request, self._directly):
            yield note
        if self.landed is None:
            return
        logprobs, wanted = self.landed.logprobs, self.request.params.get("logprobs")
        self.best = self.landed if wanted else replace(self.landed, logprobs=())
        answer = self._add(self.best).answer
        self.confidence = lowest_confidence(logprobs, self.layer.window) if answer else 0.0
        yield self._weigh("no logprobs" if self.confidence is None else f"confidence {self.confidence:.2f}")

    async def _check(self) -> AsyncGenerator[Note, None]:
        if self.best is None or self.confidence is not None or not self.layer.checks or not self._affords(2):
            return
        async for note in self._ask("check", self.request.branch(1), self._directly):
            yield note
        if self.landed is None:
            return
        agreed = same(self._add(self.landed).answer, self.candidates[0].answer)
        self.confidence = AGREED if agreed else 0.0
        yield self._weigh("agrees" if agreed else "differs")

    async def _vote(self) -> AsyncGenerator[Note, None]:
        poll = self.layer.vote.poll(self.request, self.candidates)
        if not self._affords(poll.judge.needed):
            self.ended = "budget"
            return

        def asked(inner: Backend, request: Request) -> Stream:
            nonlocal poll
            poll = self.layer.vote.poll(request, self.candidates)
            return polled(inner, poll)

        async for note in self._ask("vote", self.request, asked):
            yield note
        if self.landed is None:
            self.ended = "failed"
            return
        self.best, self.candidates = self.landed, poll.candidates
        agreement = float(self.best.done.report.get("agreement", 0.0))
        if agreement > self.layer.majority or not self.layer.majority:
            self.ended = self.best.done.stop_reason
        yield self._tell(f"agreement {agreement:.2f}")

    async def _search(self) -> AsyncGenerator[Note, None]:
        if not self._affords(1):
            self.ended = "budget"
            return
        async for note in self._ask("search", self.request, self._searched):
            yield note
        self.ended = "failed"
        if self.landed is not None:
            self.best = self.landed
            self.ended = self.best.done.stop_reason or self.best.finish_reason
            yield self._tell(self.ended)

    def _directly(self, inner: Backend, request: Request) -> Stream:
        """With little thinking, which takes a second call where it is cut; with one call left, as it comes."""
        return self.layer.direct.stream(inner, request) if self._affords(2) else inner.stream(request)

    def _searched(self, inner: Backend, request: Request) -> Stream:
        """A search that votes goes on with the candidates; any other has a seed of its own."""
        search = self.layer.search
        if isinstance(search, Polling):
            return polled(inner, search.poll(request, self.candidates))
        return search.stream(inner, request.branch(self.layer.samples))

    async def _ask(
        self, rung: str, request: Request, asked: Callable[[Backend, Request], Stream]
    ) -> AsyncGenerator[Note, None]:
        """Ask on one rung; its notes pass. What fails has not `landed`, but is told of and paid for."""
        around = self.request.context.node
        node = None if around is None else around.child(rung)
        stream = asked(self.inner, request.with_context(node=node))
        stream = stream if node is None else totalled(node, stream)
        said, self.landed, failure = Partial(), None, ""
        try:
            async for event in await self.opened.enter_async_context(stream):
                if isinstance(event, Note):
                    yield event
                elif isinstance(event, Delta):
                    said.add(event)
                else:
                    self.landed = said.completion(event)
            if self.landed is None:
                raise UpstreamProtocol("the stream ended without saying why it ended")
        except ForethoughtError as error:
            self.errors.append(error)
            failure = str(error)
        await self.opened.aclose()
        usage = self.landed.usage if self.landed else Usage() if node is None else node.usage
        self.usage += usage
        self.told.append({"rung": rung, "requests": usage.requests, "tokens": usage.total_tokens})
        if failure:
            yield self._tell(f"failed: {failure}")

    def _add(self, answer: Completion) -> Candidate:
        candidate = Candidate(len(self.told) - 1, extract(answer, self.request.question), answer, answer.usage)
        self.candidates = (*self.candidates, candidate)
        self.longest = max(self.longest, answer.usage.completion_tokens)
        return candidate

    def _affords(self, calls: int) -> bool:
        """Whether the budget has room for so many calls, each as long as the longest direct answer."""
        scope, share = self.request.context.scope, self.request.context.share
        if scope is None:
            return True
        left = scope.requests_left
        prompt = calls * prompt_estimate(self.request, self.inner.capabilities.chars_per_token)
        room = scope.headroom(share=share, prompt_tokens=prompt)
        return (left is None or left // share >= calls) and (room is None or room >= calls * max(1, self.longest))

    def _weigh(self, found: str) -> Note:
        """Tell what was found of the direct answer, which is trusted where it is sure enough."""
        if self.confidence is not None and self.confidence >= self.layer.threshold:
            self.ended = "trusted"
        return self._tell(found)

    def _tell(self, found: str) -> Note:
        self.told[-1]["found"] = found
        return Note("rung", f"{self.told[-1]['rung']}: {found}", self.told[-1])

    def _done(self, best: Completion) -> Done:
        confidence = None if self.confidence is None else round(self.confidence, 4)
        told = {"rung": self.told[-1]["rung"], "confidence": confidence, "ended": self.ended, "rungs": self.told}
        report = {**best.done.report, self.layer.kind: told}
        return replace(best.done, usage=self.usage, cost=None, stop_reason=self.ended, report=report)


def lowest_confidence(said: Sequence[TokenLogprob], window: int) -> float | None:
    """The lowest geometric mean probability of `window` tokens in a row, of all where they are fewer; None of none."""
    if not said:
        return None
    totals = [0.0, *accumulate(max(token.logprob, _IMPOSSIBLE) for token in said)]
    width = min(window, len(said))
    lowest = min(after - before for before, after in zip(totals, totals[width:], strict=False))
    return min(1.0, exp(lowest / width))


def _sum(*bounds: Bound) -> Bound:
    tokens = [bound.output_tokens for bound in bounds]
    known = [count for count in tokens if count is not None]
    return Bound(sum(bound.requests for bound in bounds), sum(known) if len(known) == len(tokens) else None)


_IMPOSSIBLE = -1e9
"""Stands for a probability of 0, whose logarithm cannot be added and taken away again."""
