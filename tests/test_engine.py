"""The engine: a policy over a backend, inside a budget and a run record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import pytest

from forethought.budget import Budget
from forethought.context import Price, Usage
from forethought.engine import Engine
from forethought.errors import BudgetExceeded, InvalidPolicy, InvalidRequest, UpstreamTimeout
from forethought.policy import Policy
from forethought.ports import Capabilities
from forethought.pricing import Prices
from forethought.search.vote import Vote
from forethought.testing import CapturingSink, Script, Scripted
from forethought.trace import Ended, RunNode
from forethought.wire import Delta, Done, Event, Request

QUESTION = Request.of("What is six times seven?")
REMOTE = Capabilities(name="remote")


def root_of(sink: CapturingSink) -> RunNode:
    last = sink.moments[-1]
    assert isinstance(last, Ended)
    return last.node


async def test_asks_once_without_a_policy() -> None:
    """Without a policy the model is asked once."""
    backend = Scripted("42")
    assert (await Engine(backend).ask("?")).text == "42"
    assert len(backend.requests) == 1


async def test_is_a_backend() -> None:
    """An engine over an engine is a backend like any other."""
    inner = Engine(Scripted("42", "41", "42"), Policy("vote", layers=(Vote(samples=3),)))
    assert (await Engine(inner).ask("?")).text == "42"


async def test_engine_in_an_engine_is_charged_once() -> None:
    """What an engine inside an engine asks is charged once, and stands in one record."""
    sink = CapturingSink()
    inner = Engine(Scripted("42"), Policy("inner"))
    with Budget(request_limit=9) as scope:
        answer = await Engine(inner, Policy("outer"), sinks=[sink]).complete(QUESTION)
    assert (scope.spent.requests, answer.usage.requests) == (1, 1)
    operations = [node.operation for node in root_of(sink).below()]
    assert (operations.count("chat"), operations.count("invoke_workflow")) == (1, 1)


async def test_usage_is_that_of_the_whole_tree() -> None:
    """Done carries the usage of every call, cancelled ones included."""
    backend = Scripted(*["42"] * 4, *[Script("42 and much more to say", delay=0.01)] * 4)
    answer = await Engine(backend, Policy("p", layers=(Vote(samples=8, eager=True),))).complete(QUESTION)
    assert answer.usage.requests == 8


async def test_report() -> None:
    """Done reports the run, the policy and why it stopped."""
    done = (await Engine(Scripted("42"), "balanced").complete(QUESTION)).done
    assert done.report["run"].startswith("run_")
    assert (done.report["policy"], done.report["stop_reason"]) == ("balanced", "decided")


async def test_record() -> None:
    """The run is recorded as a tree: workflow, layers, calls."""
    sink = CapturingSink()
    await Engine(Scripted("42"), Policy("p", layers=(Vote(samples=3),)), sinks=[sink]).complete(QUESTION)
    root = root_of(sink)
    vote = root.children[0]
    assert (root.operation, vote.name) == ("invoke_workflow", "vote")
    assert {call.operation for call in vote.children} == {"chat"}


async def test_record_of_a_failure() -> None:
    """A run that fails ends in its error, and every node is closed."""
    sink = CapturingSink()
    with pytest.raises(UpstreamTimeout):
        await Engine(Scripted(Script(error=UpstreamTimeout("silent"))), sinks=[sink]).complete(QUESTION)
    root = root_of(sink)
    assert root.error_type == "UpstreamTimeout"
    assert all(node.ended is not None for node in root.below())


async def test_price() -> None:
    """A call costs what its tokens cost."""
    prices = Prices(overrides={"m": Price(Decimal("0.01"), Decimal("0.1"))})
    backend = Scripted("one two", capabilities=REMOTE)
    answer = await Engine(backend, prices=prices).complete(QUESTION.with_params(model="m"))
    assert answer.done.cost == Decimal("0.01") * answer.usage.prompt_tokens + Decimal("0.2")


async def test_unknown_price() -> None:
    """A model without a known price costs None, never 0."""
    answer = await Engine(Scripted("42", capabilities=REMOTE)).complete(QUESTION.with_params(model="no-such-model"))
    assert answer.done.cost is None


async def test_local_costs_nothing() -> None:
    """A model in this process costs no money."""
    assert (await Engine(Scripted("42")).complete(QUESTION)).done.cost == 0


async def test_money_fails_closed() -> None:
    """Under a cost limit a model without a known price is not asked."""
    backend = Scripted("42", capabilities=REMOTE)
    engine = Engine(backend, budget=Budget(cost_limit="1"))
    with pytest.raises(BudgetExceeded, match="price"):
        await engine.complete(QUESTION.with_params(model="no-such-model"))
    assert backend.requests == []


async def test_ambient_budget() -> None:
    """A budget opened around the call holds for it."""
    backend = Scripted("42")
    with Budget(request_limit=2) as scope:
        for _ in range(2):
            await Engine(backend).complete(QUESTION)
        with pytest.raises(BudgetExceeded):
            await Engine(backend).complete(QUESTION)
    assert (scope.spent.requests, len(backend.requests)) == (2, 2)


async def test_cancelled_calls_are_paid_for() -> None:
    """A stream left early is charged what was seen of it, and nothing stays reserved."""
    with Budget(output_tokens_limit=1000) as scope:
        async with Engine(Scripted("a b c d e")).stream(QUESTION) as events:
            await anext(events)
            await anext(events)
    assert scope.spent.completion_tokens == 2
    assert scope.spent.requests == 1
    assert scope.reserved.total_tokens == 0


@dataclass(frozen=True)
class Counted:
    """A backend that counts its calls as they go on: it has written five words by the time that one is read."""

    capabilities = Scripted("").capabilities

    @asynccontextmanager
    async def stream(self, _: Request, /) -> AsyncIterator[Ahead]:
        yield Ahead()


class Ahead:
    usage: Usage | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self.usage = Usage(prompt_tokens=40, completion_tokens=5, cached_tokens=39, requests=1)
        return Delta("one ")


@pytest.mark.parametrize("budget", [Budget(output_tokens_limit=1000), Budget(time_limit_s=600)])
async def test_a_call_that_is_counted_is_charged_that(budget: Budget) -> None:
    """A stream left early of a backend that counts is charged its count: what was cached, and what was not read."""
    with budget as scope:
        async with Engine(Counted()).stream(QUESTION) as events:
            await anext(events)
    assert scope.spent == Usage(prompt_tokens=40, completion_tokens=5, cached_tokens=39, requests=1)


async def test_a_request_that_is_refused_is_not_paid_for() -> None:
    """A request that the backend refuses as invalid is no call, and nothing stays reserved."""
    refused = InvalidRequest("messages", "…", "a prompt of 1 to 511 tokens fits")
    with Budget(output_tokens_limit=1000) as scope, pytest.raises(InvalidRequest):
        await Engine(Scripted(Script(error=refused))).complete(QUESTION)
    assert (scope.spent, scope.reserved) == (Usage(), Usage())


async def test_max_tokens_is_clamped() -> None:
    """A call asks for no more tokens than its budget has left."""
    backend = Scripted("42")
    await Engine(backend, budget=Budget(output_tokens_limit=50, answer_tokens=10)).complete(QUESTION)
    assert backend.requests[0].max_tokens == 40


async def test_time_limit() -> None:
    """A call with nothing to show when the time is up raises BudgetExceeded naming the limit."""
    engine = Engine(Scripted(Script("42", delay=30)), budget=Budget(time_limit_s=0.1))
    with pytest.raises(BudgetExceeded, match="time_limit_s"):
        await engine.complete(QUESTION)


async def test_one_done() -> None:
    """The engine's stream ends with exactly one Done."""
    async with Engine(Scripted("a b"), "thorough").stream(QUESTION) as events:
        seen = [event async for event in events]
    assert [type(event) for event in seen].count(Done) == 1
    assert isinstance(seen[-1], Done)


def test_unknown_policy() -> None:
    """An unknown policy is refused when the engine is made."""
    with pytest.raises(InvalidPolicy, match="policies are"):
        Engine(Scripted("42"), "no-such-policy")
