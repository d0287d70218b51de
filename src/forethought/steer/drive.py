"""One driver turns any steer, a generator of decisions that does no I/O, into a layer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..context import Usage
from ..errors import BudgetExceeded, ForethoughtError, InvalidRequest, UpstreamProtocol, UpstreamStatus
from ..fold import Partial, complete
from ..ports import (
    Backend,
    Bound,
    Continuation,
    Continue,
    Decision,
    Ended,
    Inject,
    Observed,
    Probe,
    Probed,
    Situation,
    Steering,
    Stop,
)
from ..stack import kind_of
from ..tally import prompt_estimate
from ..wire import Delta, Done, Event, Note, Prefix, Request

ANSWER_TOKENS = 256
"""Held back for the answer where no budget says otherwise; a quarter of `max_tokens` where that is less."""


class Steered:
    """A layer made of a steer: subclasses give `steer`.

    What it did stands in the run, and under the layer's kind in the report of the answer: why and where it stopped,
    what it injected, its probes with their tokens, and the facts of its decisions. The probes of a layer above pass
    by it. What the backend refuses in mid-thought, because it no longer fits into the context, loses nothing that was
    thought: a probe brings back an empty text, after an injection the answer is written at once, for the reason
    `context`, and where the whole thought leaves no room for an answer the end of it is left out.

    Where the backend cannot continue inside the thinking (below `Continuation.REASONING`), Stop falls back
    to a new turn that shows the model its own thought and asks for the answer, Inject to one that says its `turn`
    (without one it does nothing), and a Probe brings back an empty text.
    """

    __slots__ = ()

    def steer(self, situation: Situation, /) -> Steering:
        raise NotImplementedError

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with AsyncExitStack() as opened:
            if request.context.probing:
                yield await opened.enter_async_context(inner.stream(request))
                return
            situation = situation_of(inner, request)
            drive = _Drive(inner, request, situation, self.steer(situation), opened, kind_of(self))
            async with aclosing(drive.events()) as events:
                yield events

    def worst_case(self, inner: Bound, /) -> Bound:
        """One call to think, and one more to write the answer that a stop left unwritten."""
        return replace(inner, requests=inner.requests * 2)


def situation_of(inner: Backend, request: Request, /) -> Situation:
    """What a steer may count on: the tightest of `max_tokens` and every budget above, less the answer."""
    scope = request.context.scope
    asked = request.max_tokens
    kept = scope.answer_tokens if scope is not None and scope.limited else ANSWER_TOKENS
    kept = kept if asked is None else min(kept, max(1, asked // 4))
    share, prompt = request.context.share, prompt_estimate(request, inner.capabilities.chars_per_token)
    limits = [
        None if asked is None else asked - kept,
        None if scope is None else scope.headroom(share=share, prompt_tokens=prompt),
    ]
    return Situation(
        request,
        inner.capabilities,
        reasoning_tokens=None if scope is None else scope.reasoning_headroom(share=share),
        output_tokens=min((limit for limit in limits if limit is not None), default=None),
        answer_tokens=kept,
    )


@dataclass(slots=True)
class _Drive:
    """One steered answer: carries each decision out on one inner stream after another."""

    inner: Backend
    request: Request
    situation: Situation
    steering: Steering | None
    opened: AsyncExitStack
    kind: str
    said: Partial = field(default_factory=Partial)
    thinking: bool = True
    thought: int = 0
    usage: Usage = Usage()
    report: dict[str, Any] = field(default_factory=dict[str, Any])

    async def events(self) -> AsyncGenerator[Event, None]:
        request = self._resume()
        decision = self._ask(None)
        if isinstance(decision, Stop) and not self._continues:
            decision = Continue()  # nothing has been thought yet that a new turn could show
        while not isinstance(decision, Stop):
            injected = decision if isinstance(decision, Inject) else None
            if injected is not None:
                request = self._go_on_request(injected)
            try:
                async for event in self._open(request):
                    if injected is not None:
                        yield self._note_injected(injected)
                        yield self._hear(Delta(reasoning=injected.text))
                        injected = None
                    if isinstance(event, Note):
                        yield event
                        continue
                    if isinstance(event, Delta):
                        yield self._hear(event)
                    decision = await self._decide(event)
                    if not isinstance(decision, Continue):
                        break
                    if isinstance(event, Done):
                        yield self._done(event)
                        return
                else:
                    raise UpstreamProtocol("the stream ended without saying why it ended")
            except _Full:
                self._count("injections_failed")
                decision = Stop("context")
        async for event in self._finish(decision):
            yield event

    def _note_injected(self, injected: Inject) -> Note:
        self._count("injections")
        return Note("injected", "", {"thought_tokens": self.thought, **(injected.facts or {})})

    def _resume(self) -> Request:
        prefix = self.request.prefix
        if prefix is not None:
            self.thinking = prefix.thinking
            self.said.add(Delta(reasoning=prefix.reasoning))
        return self.request

    def _hear(self, delta: Delta) -> Delta:
        if delta.text or delta.tool_calls:
            self.thinking = False
        elif self.thinking:
            self.said.add(delta)
            self.thought += delta.tokens(self.inner.capabilities.chars_per_token)
        return delta

    async def _decide(self, event: Delta | Done) -> Decision:
        if self.steering is None:
            return Continue()
        seen = Ended(event.finish_reason, self.thinking) if isinstance(event, Done) else event
        decision = self._ask(seen)
        while isinstance(decision, Probe):
            decision = self._ask(await self._probe(decision))
        if isinstance(decision, Inject) and not (self.thinking and (self._continues or decision.turn)):
            return Continue()
        return decision

    def _ask(self, observed: Observed | None) -> Decision:
        if self.steering is None:
            return Continue()
        try:
            decision = next(self.steering) if observed is None else self.steering.send(observed)
        except StopIteration:
            self.steering = None
            return Continue()
        if not isinstance(decision, Probe):
            self.report.update(decision.facts or {})
        return decision

    async def _open(self, request: Request) -> AsyncGenerator[Event, None]:
        """One inner stream; a budget that runs out in mid-thought ends it as `length`, not as an error.

        Raises _Full where what was thought does not fit, with what was added to it.
        """
        await self.opened.aclose()
        begun = False
        try:
            async for event in await self.opened.enter_async_context(self.inner.stream(request)):
                begun = True
                yield event
        except BudgetExceeded as exceeded:
            if not (self.thinking and self.said.reasoning) or request.context.answering:
                raise
            yield Done("length", stop_reason=exceeded.limit)
        except (InvalidRequest, UpstreamStatus) as refused:
            unfit = isinstance(refused, InvalidRequest) or refused.status in _TOO_LONG
            if begun or not self.thought or not unfit:
                raise
            raise _Full from refused

    async def _probe(self, probe: Probe) -> Probed:
        if not (self._continues and self.thinking):
            return Probed("")
        try:
            answer = await complete(self.inner, self._probe_request(probe))
        except ForethoughtError:  # a look that cannot be had, for want of budget or context, ends no thought
            self._count("probes_failed")
            return Probed("")
        self.usage += answer.usage
        self._count("probes")
        self._count("probe_tokens", answer.usage.completion_tokens)
        self._count("probe_prompt_tokens", answer.usage.prompt_tokens - answer.usage.cached_tokens)
        return Probed("\n".join(filter(None, (answer.reasoning, answer.text))), answer.logprobs)

    def _probe_request(self, probe: Probe) -> Request:
        request = replace(self.request, prefix=Prefix(self.said.reasoning + probe.suffix))
        request = request.with_max_tokens(probe.max_tokens).with_context(probing=True)
        if probe.temperature is not None:
            request = request.with_params(temperature=probe.temperature)
        if probe.top_logprobs is not None:
            request = request.with_params(logprobs=True, top_logprobs=probe.top_logprobs or None)
        return request

    async def _finish(self, stop: Stop) -> AsyncGenerator[Event, None]:
        self.report.update(stopped=stop.reason, thought_tokens=self.thought)
        yield Note("stopped", stop.reason, {"thought_tokens": self.thought, **(stop.facts or {})})
        if not self.thinking:
            yield self._done(Done("length", stop_reason=stop.reason))
            return
        thought = self.said.reasoning
        if stop.say:
            yield self._hear(Delta(reasoning=stop.say))
        for shown in (thought, self._shortened(thought)):
            try:
                async for event in self._open(self._answer_request(shown + stop.say)):
                    yield self._done(replace(event, stop_reason=stop.reason)) if isinstance(event, Done) else event
                return
            except _Full:
                continue
        yield self._done(Done("length", stop_reason=stop.reason))

    def _shortened(self, thought: str) -> str:
        """A thought without its end, which leaves room for an answer; at least three quarters of it."""
        room = round(self.situation.answer_tokens * self.inner.capabilities.chars_per_token)
        return thought[: max(len(thought) - room, len(thought) * 3 // 4)]

    def _answer_request(self, thought: str) -> Request:
        left = self._left(least=self.situation.answer_tokens)
        request = self.request.with_context(answering=True).with_max_tokens(left)
        if self._continues:
            return replace(request, prefix=Prefix(thought, closed=True))
        return self._with_turn(request, thought, ANSWER_NOW)

    def _go_on_request(self, inject: Inject) -> Request:
        thought = self.said.reasoning + inject.text
        added = Delta(reasoning=inject.text).tokens(self.inner.capabilities.chars_per_token)
        request = self.request.with_max_tokens(self._left(added, least=1))
        if self._continues:
            return replace(request, prefix=Prefix(thought))
        return self._with_turn(request, thought, inject.turn)

    def _with_turn(self, request: Request, thought: str, say: str) -> Request:
        """The model is shown its own thought, and told something."""
        shown = {"role": "assistant", "content": thought}
        return replace(request, messages=(*request.messages, shown, {"role": "user", "content": say}))

    def _left(self, added: int = 0, *, least: int) -> int | None:
        """What the thought and what is `added` to it leave of the caller's `max_tokens`, and at least so much."""
        return None if self.request.max_tokens is None else max(least, self.request.max_tokens - self.thought - added)

    def _count(self, what: str, count: int = 1) -> None:
        self.report[what] = self.report.get(what, 0) + count

    def _done(self, done: Done) -> Done:
        report = {**done.report, self.kind: self.report} if self.report else done.report
        if self.request.context.node is not None:
            self.request.context.node.annotate(**self.report)
        return replace(done, usage=self.usage + done.usage, report=report)

    @property
    def _continues(self) -> bool:
        return self.inner.capabilities.continuation >= Continuation.REASONING


class _Full(Exception):
    """A thought, or what was added to it, no longer fits."""


_TOO_LONG = (400, 413, 422)
"""With what statuses servers refuse a prompt that their context does not hold; they accepted the rest before."""

ANSWER_NOW = "Stop thinking now. Give only your final answer, from what you have worked out so far."
