"""The driver that turns any steer into a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from forethought import trace
from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import InvalidRequest, UpstreamProtocol, UpstreamStatus
from forethought.fold import complete
from forethought.policy import Policy
from forethought.ports import (
    Capabilities,
    Continuation,
    Continue,
    Decision,
    Inject,
    Observed,
    Probe,
    Probed,
    Situation,
    Steering,
    Stop,
)
from forethought.stack import stack
from forethought.steer.drive import Steered
from forethought.steer.limit import Limit
from forethought.testing import CapturingSink, Script, Scripted
from forethought.wire import Delta, Note, Prefix, Request

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


FULL = InvalidRequest("messages", "a so", "no room is left in the context")


def crowded(refused: Callable[[Prefix], BaseException | None]) -> Scripted:
    """A backend that thinks `a b` to the answer 42, and refuses the continuations that `refused` has an error for."""

    def answer(request: Request) -> Script:
        error = refused(request.prefix) if request.prefix is not None else None
        return Script("42", reasoning="a b", error=error)

    return Scripted(answer=answer)


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


async def test_a_probe_that_fails_ends_no_thought() -> None:
    """A probe that the backend refuses brings back nothing, is counted, and the thought goes on."""

    steer = told(Continue(), Probe(" so", 1), Continue(), Continue())
    result = await complete(stack(crowded(lambda prefix: FULL), [steer]), QUESTION)
    assert (result.reasoning, result.text, steer.seen[1]) == ("a b", "42", Probed(""))
    assert result.done.report["told"]["probes_failed"] == 1


@pytest.mark.parametrize("error", [FULL, UpstreamStatus(400, b"too long")])
async def test_an_injection_that_does_not_fit(error: BaseException) -> None:
    """An injection that the backend refuses is not shown, and the answer is written from the thought without it."""
    backend = crowded(lambda prefix: error if prefix.thinking else None)
    result = await complete(stack(backend, [told(Continue(), Inject(" so"))]), QUESTION)
    assert (result.reasoning, result.text, result.done.stop_reason) == ("a", "42", "context")
    assert result.done.report["told"] == {"injections_failed": 1, "stopped": "context", "thought_tokens": 1}


async def test_what_is_refused_for_another_reason_is_raised() -> None:
    """A status that does not speak of the request's size is the error that it was."""
    denied = UpstreamStatus(401, b"no key")
    backend = crowded(lambda prefix: denied)
    with pytest.raises(UpstreamStatus):
        await complete(stack(backend, [told(Continue(), Inject(" so"))]), QUESTION)


async def test_a_thought_too_long_to_be_answered_is_shortened() -> None:
    """Where the whole thought leaves no room for an answer, it is written from the thought without its end."""
    thought = "one two three four five six seven eight"
    backend = Scripted(
        answer=lambda request: Script(
            "42",
            reasoning=thought,
            error=FULL if request.prefix and request.prefix.reasoning.startswith(thought) else None,
        )
    )
    steer = told(*[Continue()] * 8, Stop("limit", " Stop."))
    result = await complete(stack(backend, [steer]), QUESTION)
    asked = backend.requests[-1].prefix
    assert asked is not None
    assert (result.reasoning, result.text, result.done.stop_reason) == (thought + " Stop.", "42", "limit")
    assert (asked.reasoning, asked.closed) == (thought[: len(thought) * 3 // 4] + " Stop.", True)


async def test_a_thought_that_leaves_no_room_at_all() -> None:
    """Where no answer can be had the thought is kept, and ends as cut for length."""
    backend = crowded(lambda prefix: FULL)
    result = await complete(stack(backend, [told(Continue(), Stop("limit"))]), QUESTION)
    assert (result.reasoning, result.text, result.finish_reason) == ("a", "", "length")
    assert result.done.stop_reason == "limit"


async def test_without_continuation_an_injection_may_be_a_turn() -> None:
    """On a backend of turns an injection with a `turn` shows the model its thought and says that."""
    backend = Scripted(Script("41", reasoning="a b c"), Script("42", reasoning="d"), capabilities=TURNS)
    steer = told(Continue(), Continue(), Inject(" Wait.", turn="Look again."), Continue(), Continue(), Continue())
    result = await complete(stack(backend, [steer]), QUESTION)
    assert backend.requests[1].messages[1:] == (
        {"role": "assistant", "content": "a b Wait."},
        {"role": "user", "content": "Look again."},
    )
    assert (result.reasoning, result.text, backend.live) == ("a b Wait.d", "42", 0)


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


async def test_facts_are_reported() -> None:
    """What the decisions say of themselves stands in the report under the layer's kind, beside where it stopped."""
    steer = told(Continue({"score": 0.1}), Stop("enough", facts={"score": 0.3}))
    answer = await complete(stack(Scripted(Script("42", reasoning="a b")), [steer]), QUESTION)
    assert answer.done.report == {"told": {"score": 0.3, "stopped": "enough", "thought_tokens": 1}}


async def test_facts_are_noted() -> None:
    """The run is told why it stopped together with the facts."""
    backend = stack(Scripted(Script("42", reasoning="a b")), [told(Continue(), Stop("enough", facts={"score": 1}))])
    async with backend.stream(QUESTION) as events:
        notes = [event async for event in events if isinstance(event, Note)]
    assert notes == [Note("stopped", "enough", {"thought_tokens": 1, "score": 1})]


async def test_facts_stand_in_the_run() -> None:
    """The record of the run keeps what a layer did, also where it let the thought end by itself."""
    told_of = CapturingSink()
    policy = Policy("p", layers=(told(Continue(), Continue({"score": 0.1})),))
    await Engine(Scripted(Script("42", reasoning="a b")), policy, sinks=[told_of]).complete(QUESTION)
    ended = [moment.node for moment in told_of.moments if isinstance(moment, trace.Ended)]
    assert [node.attributes for node in ended if node.name == "told"] == [{"score": 0.1}]


async def test_probes_are_reported() -> None:
    """The report counts the probes and what they have written and read."""
    steer = told(Continue(), Probe(" so", 3), Probe(" so", 3), Continue(), Continue())
    answer = await complete(stack(Scripted(Script("42", reasoning="a b so c d e f")), [steer]), QUESTION)
    read = answer.done.report["told"]["probe_prompt_tokens"]
    assert read > 0
    assert answer.done.report["told"] == {"probes": 2, "probe_tokens": 6, "probe_prompt_tokens": read}


async def test_a_probe_is_not_steered() -> None:
    """A layer below lets the probes of the one above pass, so that none is closed by a limit."""
    backend = Scripted(Script("42", reasoning="a b"))
    layers = [told(Continue(), Probe(" so", 8), Continue(), Continue(), Continue()), Limit(reasoning_tokens=2)]
    await complete(stack(backend, layers), QUESTION)
    assert len(backend.requests) == 3  # the thought, the probe, and the answer after the limit


async def test_a_probe_says_thought_and_answer_apart() -> None:
    """Where a probe comes to an answer, that stands on a line of its own."""
    steer = told(Continue(), Probe("", 9), Continue(), Continue())
    await complete(stack(Scripted(Script("42", reasoning="a b")), [steer]), QUESTION)
    assert getattr(steer.seen[1], "text", None) == " b\n42"


async def test_a_probe_asks_for_logprobs() -> None:
    """A probe may set a temperature of its own and ask for logprobs; the request of the caller stays as it is."""
    backend = Scripted(Script("42", reasoning="a b"))
    probe = Probe(" so", 3, temperature=0.0, top_logprobs=5)
    await complete(stack(backend, [told(Continue(), probe, Continue())]), QUESTION)
    assert dict(backend.requests[1].params) == {
        "max_completion_tokens": 3,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 5,
    }
    assert backend.requests[0].params == {}


async def test_a_probe_beyond_the_budget_brings_back_nothing() -> None:
    """A probe that the budget refuses is not made, and the thought goes on."""
    steer = told(Continue(), Probe(" so", 1), Continue(), Continue())
    policy = Policy("p", budget=Budget(request_limit=1), layers=(steer,))
    answer = await Engine(Scripted(Script("42", reasoning="a b")), policy).complete(QUESTION)
    assert (answer.text, getattr(steer.seen[1], "text", None)) == ("42", "")


async def test_an_injection_leaves_the_limit_of_the_caller() -> None:
    """What was thought before an injection counts against `max_tokens` of what comes after it."""
    backend = Scripted(Script("42", reasoning="a b c d"))
    steer = told(Continue(), Continue(), Inject(" so"))
    await complete(stack(backend, [steer]), QUESTION.with_max_tokens(10))
    assert [request.max_tokens for request in backend.requests] == [10, 7]
