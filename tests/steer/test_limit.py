"""A reasoning budget with a soft landing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import InvalidPolicy
from forethought.fold import complete
from forethought.policy import Policy
from forethought.ports import Capabilities, Continuation, Continue, Ended, Situation, Stop
from forethought.stack import stack
from forethought.steer.limit import Limit
from forethought.testing import Script, Scripted
from forethought.wire import Completion, Delta, Request

QUESTION = Request.of("What is six times seven?")
LONG = Script("42", reasoning=" ".join(f"step{n}" for n in range(50)))
WORDS = Capabilities("scripted", Continuation.RAW, chars_per_token=1000.0, local=True)
TURNS = Capabilities("turns", Continuation.TURNS, chars_per_token=1000.0, local=True)


def situation(**limits: int) -> Situation:
    return Situation(QUESTION, WORDS, **limits)


async def ask(limit: Limit, backend: Scripted, request: Request = QUESTION) -> Completion:
    return await complete(stack(backend, [limit]), request)


def test_decides_without_io() -> None:
    """As a generator of decisions: it stops at the delta that reaches the limit."""
    steering = Limit(reasoning_tokens=2).steer(situation())
    assert next(steering) == Continue()
    assert steering.send(Delta(reasoning="one")) == Continue()
    assert isinstance(steering.send(Delta(reasoning="two")), Stop)


def test_answer_is_not_counted() -> None:
    """Only thinking counts against the limit."""
    steering = Limit(reasoning_tokens=1).steer(situation())
    next(steering)
    assert [steering.send(Delta("word")) for _ in range(5)] == [Continue()] * 5


def test_thought_that_ran_out_of_tokens() -> None:
    """A thought that the backend cut for length is stopped, so that the answer is still written."""
    steering = Limit().steer(situation())
    next(steering)
    assert isinstance(steering.send(Ended("length", thinking=True)), Stop)


def test_tightest_limit_rules() -> None:
    """Of its own limit and those of the budgets the smallest rules, and the reason says whose it is."""
    steering = Limit(reasoning_tokens=9).steer(situation(reasoning_tokens=5, output_tokens=1))
    next(steering)
    stop = steering.send(Delta(reasoning="one"))
    assert isinstance(stop, Stop)
    assert stop.reason == "budget"


async def test_lands_softly() -> None:
    """The thought is closed with the transition sentence, and the answer is written."""
    answer = await ask(Limit(reasoning_tokens=3, transition=" Enough."), Scripted(LONG, capabilities=WORDS))
    assert answer.reasoning == "step0 step1 step2 Enough."
    assert answer.text == "42"
    assert answer.done.stop_reason == "limit"


async def test_continues_from_the_thought() -> None:
    """The answer is asked for with the thought so far as a closed prefix."""
    backend = Scripted(LONG, capabilities=WORDS)
    await ask(Limit(reasoning_tokens=2, transition="."), backend)
    prefix = backend.requests[1].prefix
    assert prefix is not None
    assert (prefix.reasoning, prefix.closed) == ("step0 step1.", True)


async def test_short_thoughts_pass() -> None:
    """A thought within the limit passes unchanged, with one call."""
    backend = Scripted(Script("42", reasoning="six sevens"), capabilities=WORDS)
    answer = await ask(Limit(reasoning_tokens=10), backend)
    assert (answer.reasoning, answer.text, len(backend.requests)) == ("six sevens", "42", 1)


async def test_zero_does_not_think() -> None:
    """A limit of 0 asks for the answer at once."""
    backend = Scripted(LONG, capabilities=WORDS)
    answer = await ask(Limit(reasoning_tokens=0), backend)
    assert (answer.reasoning, answer.text, len(backend.requests)) == ("", "42", 1)


async def test_fallback_turn() -> None:
    """Where thinking cannot be continued, the model is shown its thought and asked for the answer in a new turn."""
    backend = Scripted(LONG, Script("42"), capabilities=TURNS)
    answer = await ask(Limit(reasoning_tokens=2, transition="."), backend)
    asked = backend.requests[1]
    assert asked.prefix is None
    assert [message["role"] for message in asked.messages] == ["user", "assistant", "user"]
    assert asked.messages[1]["content"] == "step0 step1."
    assert answer.text == "42"


async def test_max_tokens_still_answers() -> None:
    """A caller's max_tokens that the thinking would eat up still ends in an answer, within max_tokens."""
    answer = await ask(Limit(), Scripted(LONG, capabilities=WORDS), QUESTION.with_params(max_tokens=20))
    assert answer.text == "42"
    assert len(answer.reasoning.split()) - len(Limit().transition.split()) <= 15


async def test_budget_still_answers() -> None:
    """Under a budget a long thought is cut and the answer written from what is held back for it."""
    budget = Budget(output_tokens_limit=20, answer_tokens=5)
    engine = Engine(Scripted(LONG, capabilities=WORDS), Policy("p"), budget=budget)
    with Budget() as scope:
        answer = await engine.complete(QUESTION)
    assert answer.text == "42"
    assert answer.done.stop_reason == "budget"
    assert scope.spent.completion_tokens <= 20


async def test_reasoning_budget() -> None:
    """A budget for reasoning tokens holds, and the answer is still written."""
    engine = Engine(Scripted(LONG, capabilities=WORDS), budget=Budget(reasoning_tokens_limit=7))
    answer = await engine.complete(QUESTION)
    assert answer.text == "42"
    assert answer.usage.reasoning_tokens <= 7


async def test_time_still_answers() -> None:
    """A thought that the time limit ends is closed, and the answer still written."""
    slow = Script("42", reasoning=LONG.reasoning, delay=0.02)
    engine = Engine(Scripted(slow, capabilities=WORDS), budget=Budget(time_limit_s=0.5))
    answer = await engine.complete(QUESTION)
    assert answer.text == "42"
    assert answer.done.stop_reason == "budget"


async def test_tool_calls_pass() -> None:
    """A tool call after a short thought comes through whole."""
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    backend = Scripted(Script(reasoning="hm", tool_calls=(call,), finish_reason="tool_calls"), capabilities=WORDS)
    assert (await ask(Limit(reasoning_tokens=5), backend)).tool_calls == (call,)


def test_negative_limit() -> None:
    """A negative limit is refused, naming the field."""
    with pytest.raises(InvalidPolicy, match=r"limit\.reasoning_tokens"):
        Limit(reasoning_tokens=-1)


@given(st.lists(st.text(min_size=1, max_size=8), max_size=30), st.integers(1, 40))
def test_never_beyond_the_limit_by_more_than_a_piece(pieces: list[str], limit: int) -> None:
    """However the thought is cut into pieces, it is stopped by the piece that reaches the limit."""
    steering = Limit(reasoning_tokens=limit).steer(situation())
    next(steering)
    for count, piece in enumerate(pieces[:limit], 1):
        assert isinstance(steering.send(Delta(reasoning=piece)), Stop) == (count == limit)
