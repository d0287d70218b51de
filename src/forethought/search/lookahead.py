"""Lookahead: try several next steps of a thought, see where each leads, and take the one that leads somewhere.

MAXS, arXiv 2601.09259 (ACL 2026 Findings), whose values are in `foresight`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import ClassVar

from ..context import Usage, derive_seed
from ..errors import BudgetExceeded, ForethoughtError, InvalidPolicy
from ..ports import IN_CODE, Backend, Bound, Capabilities, Continuation
from ..tally import prompt_estimate
from ..wire import JSON, Completion, Delta, Done, Event, Note, Prefix, Request
from .candidates import Look
from .foresight import Valuation, softmax
from .rollout import Reach, Rollout
from .tooling import Tool

LEAST = 8
"""A round is begun only where each rollout can have so many tokens for each of its steps."""
FOR_THE_ANSWER = 2
"""Calls kept back: one to go on alone, and one to write the answer where a budget ends that thought."""


@dataclass(frozen=True, slots=True)
class Lookahead:
    """For each of the first `steps` steps of a thought, `candidates` side by side, each looked `ahead` of.

    A branch writes its candidate and, in the same call, the steps after it, at most `step_tokens` for each; then
    it is cut. A step ends at a blank line or with its line number `lines` (0: only at a blank line). The candidate
    whose rollout is worth most becomes part of the thought, until the thought ends, the values have converged
    or no step is left: from there the model goes on alone. Rollouts take at most half of what a budget has left.
    They are never steered. A tool call ends a rollout and executes nothing, but for those of `tools`, by name, that
    are not destructive; the calls of the answer are always the caller's to execute.

    Not as in the paper, because there the choice is nearly random and the search ends although candidates
    differ: probabilities are normalised by length, the most valuable candidate is taken, `delta` shrinks with the
    square of their number, and candidates that say the same count as one, which no rollout is spent on where
    there is no other. `paper` gives the published rules; how many candidates, how far and the constants are the
    paper's either way. `temperature` is that of the candidates where the caller gives none, or 0: they have to
    differ.

    Needs a backend that continues inside the thinking and gives logprobs; there is no fallback.
    """

    kind: ClassVar[str] = "lookahead"

    candidates: int = 4
    ahead: int = 4
    steps: int = 13
    lines: int = 8
    step_tokens: int = 256
    temperature: float = 1.0
    alpha: float = 0.3
    beta: float = 0.2
    tau: float = 0.6
    delta: float = 0.002
    paper: bool = False
    tools: Mapping[str, Tool] | None = field(default=None, metadata=IN_CODE)

    def __post_init__(self) -> None:
        for name, low, high in (("candidates", 2, 64), ("ahead", 1, 64), ("steps", 1, 1000), ("lines", 0, 1000)):
            if not low <= getattr(self, name) <= high:
                raise InvalidPolicy(f"lookahead.{name}", getattr(self, name), f"{low} to {high} is expected")
        if self.step_tokens < LEAST:
            raise InvalidPolicy("lookahead.step_tokens", self.step_tokens, f"{LEAST} or more tokens are expected")
        if not 0 < self.temperature <= 2:
            raise InvalidPolicy("lookahead.temperature", self.temperature, "above 0 and up to 2 is expected")
        for name in ("alpha", "beta", "delta"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidPolicy(f"lookahead.{name}", getattr(self, name), "0 to 1 is expected")
        if self.alpha + self.beta > 1:
            raise InvalidPolicy("lookahead.beta", self.beta, f"at most {1 - self.alpha:g} is left beside alpha")
        if not 0 < self.tau <= 100:
            raise InvalidPolicy("lookahead.tau", self.tau, "above 0 and up to 100 is expected")

    def missing(self, capabilities: Capabilities, /) -> str | None:
        if capabilities.continuation < Continuation.REASONING:
            return "continuation inside the thinking"
        return None if capabilities.logprobs else "logprobs"

    def worst_case(self, inner: Bound, /) -> Bound:
        """Every candidate of every step, again after each call of a tool, and the thought that goes on alone."""
        turns = 1 + self.ahead if self.tools else 1
        return inner.times(self.steps * self.candidates * turns + 1)

    @property
    def valuation(self) -> Valuation:
        """How rollouts are valued."""
        return Valuation(self.alpha, self.beta, self.tau, self.delta, not self.paper, not self.paper)

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        thinking = request.prefix is None or request.prefix.thinking
        async with AsyncExitStack() as opened:
            if request.context.probing or not thinking:
                yield await opened.enter_async_context(inner.stream(request))
                return
            search = _Search(self, inner, request, opened)
            async with aclosing(search.events()) as events:
                yield events


@dataclass(slots=True)
class _Told:
    """What the caller is told: `rollouts` were weighed against others, `rollout_tokens` written in vain.

    `ended` says why the search did: `answered` in a rollout, `converged`, all `steps` done, `budget` or `failed`.
    """

    steps: int = 0
    candidates: int = 0
    distinct: int = 0
    rollouts: int = 0
    rollout_tokens: int = 0
    ended: str = ""


@dataclass(slots=True)
class _Search:
    """One thought while it is searched: `said` is all of it, `own` counts the tokens that were added to it."""

    layer: Lookahead
    inner: Backend
    request: Request
    opened: AsyncExitStack
    said: str = ""
    own: int = 0
    before: float = 0.0
    floor: int = 0
    usage: Usage = Usage()
    told: _Told = field(default_factory=_Told)
    errors: list[ForethoughtError] = field(default_factory=list[ForethoughtError])

    async def events(self) -> AsyncGenerator[Event, None]:
        self.said = self.request.prefix.reasoning if self.request.prefix else ""
        self.floor = (self._headroom() or 0) // 2
        chosen: Rollout | None = None
        while not self.told.ended:
            rollouts = await self._look(*self._room())
            if not rollouts:
                self.told.ended = self.told.ended or "budget"
                break
            chosen = self._choose(rollouts)
            yield Note("step", self._telling(rollouts, chosen), asdict(self.told))
            if chosen.step:
                yield self._take(chosen)
        async for event in self._answer(chosen) if chosen and chosen.last else self._write(self._going_on()):
            yield event

    def _room(self) -> tuple[int, Reach]:
        """How many candidates the next step may have, 0 where it may have none, and how far they may reach."""
        layer, scope, asked = self.layer, self.request.context.scope, self.request.max_tokens
        width, tokens = layer.candidates, layer.step_tokens * (1 + layer.ahead)
        if asked is not None:
            tokens = min(tokens, asked * 3 // 4 - self.own)
        headroom = self._headroom()
        if headroom is not None:
            tokens = min(tokens, (headroom - self.floor) // width)
        calls = None if scope is None else scope.requests_left
        if calls is not None:
            width = min(width, calls // self.request.context.share - FOR_THE_ANSWER)
        enough = width > 1 and tokens >= LEAST * (1 + layer.ahead)
        return width if enough else 0, Reach(layer.ahead, layer.lines, tokens)

    def _headroom(self) -> int | None:
        """Tokens that the candidates of a step can still have together; None where nothing limits them."""
        scope, share = self.request.context.scope, self.request.context.share
        if scope is None:
            return None
        prompt = self.layer.candidates * prompt_estimate(self._going_on(), self._chars_per_token)
        rooms = scope.headroom(share=share, prompt_tokens=prompt), scope.reasoning_headroom(share=share)
        return min((room for room in rooms if room is not None), default=None)

    async def _look(self, width: int, reach: Reach) -> list[Rollout]:
        """The candidates, at most `width`, that differ and are whole, each with its rollout."""
        request = self._branch_request(reach)
        look = Look(reach, self._chars_per_token, merging=not self.layer.paper)
        await look.take(self.inner, request, width, self.layer.tools)
        self.errors += look.errors
        self._count(request, look.rollouts.values())
        return self._whole(look.rollouts.values())

    def _branch_request(self, reach: Reach) -> Request:
        request = self._going_on().with_max_tokens(reach.tokens)
        temperature = request.params.get("temperature") or self.layer.temperature
        request = request.with_params(logprobs=True, temperature=temperature)
        return request.with_context(probing=True, seed=self._seed())

    def _count(self, request: Request, rollouts: Collection[Rollout]) -> None:
        prompt = prompt_estimate(request, self._chars_per_token)
        for each in rollouts:
            self.usage += each.landed.usage if each.landed else Usage(prompt, each.tokens, each.tokens, 0, 1)
            self.told.rollout_tokens += each.tokens
        self.told.candidates += len(rollouts)

    def _whole(self, rollouts: Collection[Rollout]) -> list[Rollout]:
        """Failed branches leave the search to the others; it ends where none is left, or the budget is spent."""
        whole = [each for each in rollouts if each.votes and each.ready]
        if any(isinstance(error, BudgetExceeded) for error in self.errors):
            self.told.ended = "budget"
        elif self.errors and not whole:
            self.told.ended = "failed"
        if self.errors and not whole and not self.own:
            raise self.errors[0]
        return whole

    def _choose(self, rollouts: list[Rollout]) -> Rollout:
        """The candidate to go on with; notes where it is the last that is searched for."""
        told = self.told
        told.steps += 1
        told.distinct += len(rollouts)
        chosen = rollouts[0] if len(rollouts) == 1 else self._weigh(rollouts)
        if chosen.last:
            told.ended = "answered"
        elif told.steps == self.layer.steps:
            told.ended = told.ended or "steps"
        return chosen

    def _weigh(self, rollouts: list[Rollout]) -> Rollout:
        rule = self.layer.valuation
        values = rule.values([each.ahead for each in rollouts], self.before)
        chosen = rollouts[self._pick(values)]
        self.before = rule.foresight(chosen.ahead)
        self.told.rollouts += len(rollouts)
        if rule.converged(values):
            self.told.ended = self.told.ended or "converged"
        return chosen

    def _pick(self, values: list[float]) -> int:
        if not self.layer.paper:
            return values.index(max(values))
        rng = Random(self._seed())  # noqa: S311 - no secret
        return rng.choices(range(len(values)), softmax(values, self.layer.tau))[0]

    def _telling(self, rollouts: list[Rollout], chosen: Rollout) -> str:
        begun = sum(each.votes for each in rollouts)
        number = rollouts.index(chosen) + 1
        return f"step {self.told.steps}: {begun} candidates, {len(rollouts)} differ, chose {number}"

    def _take(self, chosen: Rollout) -> Delta:
        self.said += chosen.step
        return self._keep(Delta(reasoning=chosen.step, logprobs=chosen.logprobs))

    def _keep(self, delta: Delta) -> Delta:
        """A part of a rollout becomes part of the answer, with logprobs where the caller wants them."""
        tokens = delta.tokens(self._chars_per_token)
        self.own += tokens
        self.told.rollout_tokens -= tokens
        return delta if self.request.params.get("logprobs") else replace(delta, logprobs=())

    async def _answer(self, chosen: Rollout) -> AsyncGenerator[Event, None]:
        """The answer that was seen in the chosen rollout, which is finished where it was cut."""
        if chosen.landed is not None and not chosen.rehearsed:
            yield self._keep(_whole_answer(chosen, chosen.landed))
            yield self._done(replace(chosen.landed.done, usage=Usage()))
            return
        seen = "" if chosen.calls else chosen.answer
        if seen:
            yield self._keep(Delta(text=seen, logprobs=chosen.answer_logprobs))
        request = replace(self.request, prefix=Prefix(self.said, seen, closed=True)).with_context(answering=True)
        async for event in self._write(request):
            yield event

    async def _write(self, request: Request) -> AsyncGenerator[Event, None]:
        """The model alone; a budget with nothing left for it ends the answer, not in an error."""
        left = None if request.max_tokens is None else max(1, request.max_tokens - self.own)
        try:
            async for event in await self.opened.enter_async_context(self.inner.stream(request.with_max_tokens(left))):
                yield self._done(event) if isinstance(event, Done) else event
        except BudgetExceeded:
            if not self.own:
                raise
            yield self._done(Done("length", stop_reason="budget"))

    def _going_on(self) -> Request:
        """The caller's question with the thought so far, still open."""
        return replace(self.request, prefix=Prefix(self.said)) if self.said else self.request

    def _done(self, done: Done) -> Done:
        report: JSON = {**done.report, self.layer.kind: asdict(self.told)}
        reason = done.stop_reason or self.told.ended
        return replace(done, usage=self.usage + done.usage, stop_reason=reason, report=report)

    def _seed(self) -> int | None:
        """Another one for each step."""
        given = self.request.context.seed
        return derive_seed(self.request.params.get("seed") if given is None else given, self.told.steps)

    @property
    def _chars_per_token(self) -> float:
        return self.inner.capabilities.chars_per_token


def _whole_answer(chosen: Rollout, landed: Completion) -> Delta:
    calls = tuple({"index": index, **call} for index, call in enumerate(landed.tool_calls))
    return Delta(landed.text, "", calls, chosen.answer_logprobs, landed.extra or None)
