"""Self-consistency with early stopping."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import BudgetExceeded, InvalidPolicy, UpstreamTimeout
from forethought.fold import complete
from forethought.judge.majority import Majority
from forethought.policy import Policy
from forethought.ports import Bound
from forethought.search.vote import Vote
from forethought.stack import stack
from forethought.testing import Script, Scripted
from forethought.wire import Completion, Request

QUESTION = Request.of("What is six times seven?")


async def ask(backend: Scripted, vote: Vote, request: Request = QUESTION) -> Completion:
    return await complete(stack(backend, [vote]), request)


async def test_majority_wins() -> None:
    """The answer that most samples give is returned."""
    answer = await ask(Scripted("41", "42", "42", "43", "42"), Vote(samples=5, judge=Majority(confidence=1.0)))
    assert answer.text == "42"


async def test_equal_answers_count_together() -> None:
    """Answers that are the same in other words vote together."""
    answer = await ask(Scripted("0.5", "7", "1/2", "7", r"\boxed{\frac{1}{2}}"), Vote(samples=5))
    assert answer.text == "0.5"


async def test_stops_when_decided() -> None:
    """Four equal answers decide a vote of eight, and no fifth is asked for."""
    backend = Scripted("42")
    answer = await ask(backend, Vote(samples=8))
    assert len(backend.requests) == 4
    assert answer.done.report["samples_saved"] == 4


async def test_eager_cancels_in_flight() -> None:
    """An eager vote starts all at once and cancels those in flight when it is decided."""
    backend = Scripted(*["42"] * 4, *[Script("42", delay=10)] * 4)
    answer = await ask(backend, Vote(samples=8, eager=True))
    assert len(backend.requests) == 8
    assert backend.live == 0
    assert answer.done.report["samples_saved"] == 4


async def test_branches_may_fail() -> None:
    """A sample that fails does not vote, and the others decide."""
    backend = Scripted(Script(error=UpstreamTimeout("silent")), "42", "42")
    assert (await ask(backend, Vote(samples=3))).text == "42"


async def test_all_fail() -> None:
    """Only when every sample fails does the vote fail, with the first error."""
    with pytest.raises(UpstreamTimeout):
        await ask(Scripted(Script(error=UpstreamTimeout("silent"))), Vote(samples=3))


async def test_one_is_the_stream_itself() -> None:
    """A vote of one passes the stream on as it is written."""
    backend = Scripted("a b c")
    async with stack(backend, [Vote(samples=1)]).stream(QUESTION) as events:
        seen = [event async for event in events]
    assert len(seen) == 4


async def test_tool_calls_vote() -> None:
    """Tool calls vote by their arguments, whatever the order of their keys, and the winner is a tool call."""

    def call(arguments: str) -> Script:
        function = {"name": "add", "arguments": arguments}
        return Script(tool_calls=({"id": "1", "type": "function", "function": function},), finish_reason="tool_calls")

    backend = Scripted(call('{"a":1,"b":2}'), call('{"a":9}'), call('{"b": 2, "a": 1}'))
    answer = await ask(backend, Vote(samples=3, judge=Majority(confidence=1.0)))
    assert answer.finish_reason == "tool_calls"
    assert answer.tool_calls[0]["function"]["arguments"] == '{"a":1,"b":2}'


async def test_temperature_is_a_default() -> None:
    """The vote's temperature is set only where the caller gives none."""
    backend = Scripted("42")
    await ask(backend, Vote(samples=2, temperature=0.9))
    await ask(backend, Vote(samples=2, temperature=0.9), QUESTION.with_params(temperature=0.1))
    assert [request.params["temperature"] for request in backend.requests] == [0.9, 0.9, 0.1, 0.1]


async def test_budget_ends_in_the_best_so_far() -> None:
    """A vote that runs out of budget answers with what it has, and says so."""
    policy = Policy("test", budget=Budget(request_limit=2), layers=(Vote(samples=8),))
    answer = await Engine(Scripted("42"), policy).complete(QUESTION)
    assert answer.text == "42"
    assert answer.done.stop_reason == "budget"
    assert answer.usage.requests == 2


async def test_budget_with_nothing_to_show() -> None:
    """A vote that could not ask once raises BudgetExceeded."""
    policy = Policy("test", layers=(Vote(samples=8),))
    with Budget(request_limit=1) as scope:
        await Engine(Scripted("42")).complete(QUESTION)
        with pytest.raises(BudgetExceeded, match="request_limit"):
            await Engine(Scripted("42"), policy).complete(QUESTION)
    assert scope.spent.requests == 1


def test_worst_case() -> None:
    """A vote can take its samples times what is below."""
    assert Vote(samples=5).worst_case(Bound(2, 10)) == Bound(10, 50)


@pytest.mark.parametrize("samples", [0, -1, 257])
def test_samples_out_of_range(samples: int) -> None:
    """Samples outside 1 to 256 are refused, naming the field."""
    with pytest.raises(InvalidPolicy, match=r"vote\.samples"):
        Vote(samples=samples)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.booleans())
async def test_stopped_vote_has_a_majority(answers: list[str], eager: bool) -> None:
    """Whatever the samples say, the answer returned is one that most of the counted samples gave."""
    answer = await ask(Scripted(*answers), Vote(samples=len(answers), eager=eager))
    counted = answers[: answer.done.report.get("samples", 1)]
    assert counted.count(answer.text) == max(counted.count(each) for each in counted)
