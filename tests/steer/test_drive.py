"""The driver that turns any steer into a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from forethought.errors import UpstreamProtocol
from forethought.fold import complete
from forethought.ports import (
    Capabilities,
    Continuation,
    Continue,
    Decision,
    Inject,
    Observed,
    Probe,
    Situation,
    Steering,
    Stop,
)
from forethought.stack import stack
from forethought.steer.drive import Steered
from forethought.testing import Script, Scripted
from forethought.wire import Delta, Prefix, Request

QUESTION = Request.of("?")
TURNS = Capabilities("turns", Continuation.TURNS, local=True)


@dataclass(frozen=True)
class Told(Steered):
    """Decides as it was told, one decision an observation, and keeps what it observed."""

    decisions: Sequence[Decision]
    seen: list[Observed]

    def steer(self, situation: Situation, /) -> Steering:
        for decision in self.decisions:
            self.seen.append((yield decision))


def told(*decisions: Decision) -> Told:
    return Told(decisions, [])


async def test_a_steer_that_returns_lets_go() -> None:
    """When the steer has nothing more to say, the stream goes on as it is."""
    answer = await complete(stack(Scripted(Script("42", reasoning="a b")), [told(Continue())]), QUESTION)
    assert (answer.reasoning, answer.text) == ("a b", "42")


async def test_inject() -> None:
    """An injected text stands in the thought, and the model goes on from there."""

    def answer(request: Request) -> Script:
        thought = request.prefix.reasoning if request.prefix else ""
        return Script("42", reasoning=thought + (" c" if thought else "a b"))

    steer = told(Continue(), Inject(" wait"), Continue(), Continue())
    backend = Scripted(answer=answer)
    result = await complete(stack(backend, [steer]), QUESTION)
    assert result.reasoning == "a wait c"


async def test_probe_leaves_no_trace() -> None:
    """A probe is answered to the steer and does not enter the thought."""

    def answer(request: Request) -> Script:
        probing = request.prefix is not None
        return Script("", reasoning="a so 7") if probing else Script("42", reasoning="a b")

    steer = told(Continue(), Probe(" so", 1), Continue(), Continue())
    result = await complete(stack(Scripted(answer=answer), [steer]), QUESTION)
    assert result.reasoning == "a b"
    assert getattr(steer.seen[1], "text", None) == " 7"


async def test_probe_asks_for_few_tokens() -> None:
    """A probe goes out with the thought so far, its suffix and its own limit."""
    backend = Scripted(Script("42", reasoning="a b"))
    await complete(stack(backend, [told(Continue(), Probe(" so", 3), Continue())]), QUESTION)
    asked = backend.requests[1]
    assert asked.prefix is not None
    assert (asked.prefix.reasoning, asked.max_tokens) == ("a so", 3)


async def test_stop_in_the_answer() -> None:
    """Stopping once the answer has begun ends it there, as cut for length."""
    steer = told(Continue(), Continue(), Stop("loop"))
    result = await complete(stack(Scripted("a b c d"), [steer]), QUESTION)
    assert (result.text, result.finish_reason, result.done.stop_reason) == ("a b", "length", "loop")


async def test_without_continuation_probe_and_inject_do_nothing() -> None:
    """On a backend of turns a probe brings back nothing and an injection changes nothing."""
    backend = Scripted(Script("42", reasoning="a b"), capabilities=TURNS)
    steer = told(Continue(), Probe(" so", 1), Inject("!"), Continue(), Continue())
    result = await complete(stack(backend, [steer]), QUESTION)
    assert (result.reasoning, len(backend.requests)) == ("a b", 1)


async def test_stopping_closes_the_stream() -> None:
    """The thought that was stopped is no longer open while the answer is written."""
    live: list[int] = []
    backend = Scripted(Script("42", reasoning="a b c"))
    async with stack(backend, [told(Continue(), Stop("enough"))]).stream(QUESTION) as events:
        async for event in events:
            if isinstance(event, Delta) and event.text:
                live.append(backend.live)
    assert live == [1]


async def test_prefix_of_the_caller_is_kept() -> None:
    """A request that continues a thought is steered from that thought on."""
    backend = Scripted(Script("42", reasoning="a b c"))

    request = Request(QUESTION.messages, prefix=Prefix("a"))
    await complete(stack(backend, [told(Continue(), Stop("enough", "."))]), request)
    asked = backend.requests[1].prefix
    assert asked is not None
    assert asked.reasoning == "a b."


async def test_half_a_stream() -> None:
    """A stream that ends without Done fails as an upstream error."""
    with pytest.raises(UpstreamProtocol):
        await complete(stack(Scripted(Script("42", complete=False)), [told(Continue())]), QUESTION)
