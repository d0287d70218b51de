"""Random plans on the real engine: nothing crashes, nothing crosses over, and nothing is left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from forethought.errors import InvalidRequest
from forethought.fold import Partial, complete
from forethought.ports import Backend, Continue, Decision, Ended, Inject, Observed, Probe, Situation, Steering, Stop
from forethought.stack import stack
from forethought.steer.drive import Steered
from forethought.wire import Completion, Delta, Done, Event, Prefix, Request, TokenLogprob
from forethought_adapters.llamacpp import LlamaCpp, open_backend

A_MINUTE = 60.0
NOISE = 0.02
"""How far the company of a sequence may move a probability: keys and values are kept in half precision."""
LETTERS = "root ::= [a-z ]+"


@dataclass(frozen=True, slots=True)
class Script(Steered):
    """Decides one thing after another, each after so many more pieces of the thought."""

    acts: tuple[tuple[int, Decision], ...]

    def steer(self, situation: Situation, /) -> Steering:
        del situation
        seen: Observed = yield Continue()
        for pieces, decision in self.acts:
            for _ in range(pieces):
                seen = yield Continue()
            if isinstance(seen, Ended):
                return
            seen = yield decision


@dataclass(frozen=True, slots=True)
class Plan:
    """A stream, and its reader: who begins after `start` turns of the event loop, waits `pause` turns at each
    piece, leaves after `leave` pieces, and is cancelled after `cut` turns."""

    request: Request
    script: Script
    start: int
    pause: int
    leave: int | None
    cut: int | None


@dataclass(slots=True)
class Call:
    """What the engine was asked, and all that was heard of it."""

    request: Request
    events: AsyncIterator[Event]
    said: Partial
    done: Done | None = None
    refused: bool = False

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await anext(self.events)
        except InvalidRequest:
            self.refused = True
            raise
        if isinstance(event, Delta):
            self.said.add(event)
        elif isinstance(event, Done):
            self.done = event
        return event

    @property
    def heard(self) -> Completion:
        return self.said.completion(self.done or Done())


class Overheard:
    """An engine that keeps every call: those of probes and those after an injection too."""

    def __init__(self, inner: LlamaCpp) -> None:
        self.inner = inner
        self.capabilities = inner.capabilities
        self.calls: list[Call] = []

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with self.inner.stream(request) as events:
            self.calls.append(Call(request, events, Partial()))
            yield self.calls[-1]


PROMPTS = st.sampled_from(["a", "tide", "tides", "How does a tide come in?", "How does a wave come in?"])
ACTS = st.one_of(
    st.builds(Probe, st.sampled_from(["", "So", "</think>It is "]), st.integers(1, 6)),
    st.builds(Inject, st.sampled_from(["Wait.", " But is it?\n"])),
    st.just(Stop("cut", "Enough.")),
)
SCRIPTS = st.builds(Script, st.lists(st.tuples(st.integers(0, 12), ACTS), max_size=4).map(tuple))
GREEDY: dict[str, Any] = {"temperature": 0}
SAMPLED: dict[str, Any] = {"temperature": 1, "top_k": 2}
DRAWING = st.sampled_from(
    [GREEDY, SAMPLED, SAMPLED, {**GREEDY, "grammar": LETTERS}, {**GREEDY, "stop": ["e", "q"]}],
)


def asked(prompt: str, **params: Any) -> Request:
    return Request.of(prompt, **params, logprobs=True, top_logprobs=2)


@st.composite
def families(draw: st.DrawFn) -> list[Plan]:
    """Branches of one prompt, each with a reader of its own."""
    request = asked(draw(PROMPTS), **draw(DRAWING), max_tokens=draw(st.integers(1, 40)))
    request = replace(request, prefix=draw(st.sampled_from([None, Prefix(), Prefix("Hm. "), Prefix(closed=True)])))
    turns, pieces = st.integers(0, 300), st.none() | st.integers(0, 20)
    return [
        Plan(
            request.with_params(seed=seed),
            draw(SCRIPTS),
            start=draw(turns),
            pause=draw(st.integers(0, 5)),
            leave=draw(pieces),
            cut=draw(st.none() | turns),
        )
        for seed in range(draw(st.integers(1, 4)))
    ]


PLANS = st.lists(families(), min_size=1, max_size=4).map(lambda drawn: [plan for family in drawn for plan in family])
SIZES = st.fixed_dictionaries(
    {
        "n_ctx": st.sampled_from([70, 120, 300]),
        "n_parallel": st.integers(1, 6),
        "n_batch": st.sampled_from([1, 7, 64]),
        "n_parked": st.sampled_from([0, 0, 20, 60]),
    }
)


# A failure is not made smaller: threads meet differently each time, and each try takes its while.
@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
@given(PLANS, SIZES)
def test_any_interleaving_is_what_each_would_be_alone(model_file: Path, plans: list[Plan], sizes: Any) -> None:
    """Every call, probes and branches too, writes what it writes alone, and all cells can be had afterwards."""
    asyncio.run(soak(model_file, plans, sizes))


@pytest.mark.real
@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
@given(PLANS, SIZES)
def test_so_it_is_in_a_process_of_its_own(model_file: Path, plans: list[Plan], sizes: Any) -> None:
    """The same holds where the engine lives in a process of its own."""
    asyncio.run(soak(model_file, plans, {**sizes, "isolation": "process"}))


async def soak(file: Path, plans: list[Plan], sizes: dict[str, Any]) -> None:
    """Carry the plans out together, see that nothing is left, and hold each call against the same one alone."""
    async with asyncio.timeout(A_MINUTE), open_backend(file, n_threads=1, **sizes) as backend:
        engine = Overheard(backend)
        await backend.load()
        await asyncio.gather(*(reader(engine, plan) for plan in plans))
        while backend.live:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert backend.occupancy.cells <= sizes["n_parked"]
        await fill(engine)
    alone = {"n_ctx": sizes["n_ctx"], "n_parallel": 1, "n_parked": 0}
    async with asyncio.timeout(A_MINUTE), open_backend(file, n_threads=1, **alone) as reference:
        for call in engine.calls:
            await check(call, reference)


async def reader(engine: Backend, plan: Plan) -> None:
    """Read one stream as planned."""
    await turns(plan.start)
    reading = asyncio.create_task(read(stack(engine, [plan.script]), plan))
    if plan.cut is not None:
        await turns(plan.cut)
        reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        reading.result()


async def read(backend: Backend, plan: Plan) -> None:
    left = math.inf if plan.leave is None else plan.leave
    try:
        async with backend.stream(plan.request) as events:
            async for event in events:
                left -= isinstance(event, Delta)
                if left < 0:
                    break
                await turns(plan.pause)
    except InvalidRequest:
        pass  # a thought or a probe that has outgrown the context; alone it has too


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def fill(engine: Overheard) -> None:
    """Ask with a prompt that takes every cell there is."""
    facts = await engine.inner.load()
    frame = (await complete(engine, asked("", **GREEDY, max_tokens=1))).usage.prompt_tokens
    whole = await complete(engine, asked("y" * (facts.longest - frame - 1), **GREEDY))
    assert whole.usage.prompt_tokens == facts.cells - 1


async def check(call: Call, reference: Backend) -> None:
    """What was heard of a call is, as far as it was heard, what it says alone."""
    try:
        alone = await complete(reference, call.request)
    except InvalidRequest:
        assert (call.done, call.heard) == (None, Completion())
        return
    assert not call.refused
    heard = call.heard
    for place, (ours, theirs) in enumerate(zip(heard.logprobs, alone.logprobs, strict=False)):
        if ours.token != theirs.token:
            assert is_close(call.request, place, theirs)
            return  # another text from here on
        assert math.exp(ours.logprob) == pytest.approx(math.exp(theirs.logprob), abs=NOISE)
    if call.done:
        assert replace(heard.usage, cached_tokens=0) == replace(alone.usage, cached_tokens=0)
        assert heard.finish_reason == alone.finish_reason
        assert (heard.reasoning, heard.text) == (alone.reasoning, alone.text)
    assert (alone.reasoning.startswith(heard.reasoning), alone.text.startswith(heard.text)) == (True, True)


def is_close(request: Request, place: int, token: TokenLogprob) -> bool:
    """Whether the choice between the two likeliest was one that noise can turn.

    A draw takes the first of the two where its random number is below the share of that one.
    """
    likeliest, other = (math.exp(logprob) for _, logprob in token.top)
    share = likeliest / (likeliest + other)
    greedy = not request.params["temperature"]
    seeded = np.random.Generator(np.random.PCG64(request.params["seed"]))
    drawn = 0.5 if greedy else seeded.random(place + 1)[place]
    return min(abs(drawn - share), abs(drawn - (1 - share))) < NOISE
