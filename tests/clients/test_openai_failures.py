"""How a wrapped `openai` client fails: as the unwrapped one does, and nothing is left running. Runs on 2.x and 3.x."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from forethought.budget import Budget
from forethought.clients import wrap
from forethought.policy import Policy
from forethought.ports import Backend
from forethought.wire import Event, Request
from support.sdk import ASK, VOTE, Sdk
from support.upstream import SILENCE, Upstream, chunk, fails, late, says, streams


async def test_an_upstream_error_raises_the_sdks_own(sdk: Sdk, upstream: Upstream) -> None:
    """A 429 of the server raises RateLimitError with the server's words, after the retries of one call."""
    upstream.script(fails(429, "slow down", retry_after_ms="1"))
    with pytest.raises(openai.RateLimitError, match="slow down") as raised:
        await sdk.create(sdk.wrapped(None, max_retries=2))
    assert raised.value.status_code == 429
    assert len(upstream.requests) == 3


async def test_an_error_before_a_stream_keeps_its_status(sdk: Sdk, upstream: Upstream) -> None:
    """A stream that never begins raises what the plain request would."""
    upstream.script(fails(401, "who are you"))
    with pytest.raises(openai.AuthenticationError, match="who are you"):
        await sdk.create(sdk.wrapped(None), stream=True)


async def test_a_transient_failure_is_retried_inside(sdk: Sdk, upstream: Upstream) -> None:
    """A call that fails once is asked again, without another run."""
    upstream.script(fails(503, retry_after_ms="1"), says("42"))
    answer = await sdk.create(sdk.wrapped(None, max_retries=1))
    assert answer.choices[0].message.content == "42"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_server_times_out(sdk: Sdk, upstream: Upstream, stream: bool) -> None:
    """The client's own time-out ends each call, and raises APITimeoutError without another run."""
    upstream.script(late(SILENCE, says()))
    with pytest.raises(openai.APITimeoutError):
        await sdk.create(sdk.wrapped(None, timeout=0.2), stream=stream)
    assert len(upstream.requests) == 1


async def test_a_run_outlasts_the_time_between_two_reads(sdk: Sdk, upstream: Upstream) -> None:
    """The client's read time-out holds for each call's silence, not for a run as a whole."""
    upstream.script(says("a run of six slow words", pause=0.1))
    answer = await sdk.create(sdk.wrapped(timeout=0.4))
    assert answer.choices[0].message.content == "a run of six slow words"


async def test_no_server_is_a_connection_error(sdk: Sdk) -> None:
    """Where nobody listens APIConnectionError is raised, as it is without us."""
    with pytest.raises(openai.APIConnectionError, match="ConnectError"):
        await sdk.create(sdk.wrapped(None, base_url="http://127.0.0.1:9/v1"))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_faulty_layer_is_shown_once(sdk: Sdk, upstream: Upstream, stream: bool) -> None:
    """What a layer raises by mistake is the cause of the error, and the run is not repeated."""
    client = sdk.wrapped(Policy("faulty", layers=(Faulty(),)), max_retries=2)
    with pytest.raises(openai.APIConnectionError, match="ZeroDivisionError") as raised:
        await sdk.create(client, stream=stream)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert len(upstream.requests) == 1


class Faulty:
    """A layer that asks, and then fails as no layer should."""

    kind = "faulty"

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncGenerator[AsyncIterator[Event], None]:
        async with inner.stream(request) as events:
            await anext(events)
            raise ZeroDivisionError("by mistake")
        yield events


async def test_half_a_stream_is_an_error(sdk: Sdk, upstream: Upstream) -> None:
    """An answer that breaks off after it began ends in an error, never in silence."""
    upstream.script(streams(chunk({"content": "4"}), cut=True))
    with pytest.raises(openai.APIError, match="broke off"):
        await sdk.chunks(sdk.wrapped(None))


async def test_html_is_an_error(sdk: Sdk, upstream: Upstream) -> None:
    """A page where an answer should be is an error that is not repeated."""
    upstream.script(streams(b"<html>hello</html>", headers={"content-type": "text/html"}))
    with pytest.raises(openai.InternalServerError):
        await sdk.create(sdk.wrapped(None, max_retries=2))
    assert len(upstream.requests) == 1


async def test_an_exhausted_budget_is_payment_required(sdk: Sdk, upstream: Upstream) -> None:
    """A run that has nothing to show within its budget raises status 402, and is not repeated."""
    client = sdk.wrapped(VOTE, Budget(total_tokens_limit=2, answer_tokens=1), max_retries=2)
    with pytest.raises(openai.APIStatusError, match="total_tokens_limit") as raised:
        await sdk.create(client)
    assert raised.value.status_code == 402
    assert upstream.requests == []


async def test_a_budget_around_the_call_counts(sdk: Sdk, upstream: Upstream) -> None:
    """A `with Budget` block around a wrapped call is charged for all of its calls, and stops it."""
    client = sdk.wrapped()
    with Budget(request_limit=3) as scope:
        await sdk.create(client)
        with pytest.raises(openai.APIStatusError, match="request_limit"):
            await sdk.create(client)
    assert scope.spent.requests == len(upstream.requests) == 3


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"policy": "hasty"}, "forethought.policy"),
        ("fast", "forethought: "),
        ({"budget": 3}, "forethought.budget"),
        ({"budget": {"request_limit": 0}}, "forethought.budget.request_limit"),
        ({"budget": {"tokens": 1}}, "forethought.budget.tokens"),
    ],
)
async def test_a_wrong_field_is_named(sdk: Sdk, upstream: Upstream, told: Any, named: str) -> None:
    """What is wrong in the field `forethought` raises BadRequestError that names it, and asks nobody."""
    with pytest.raises(openai.BadRequestError, match=named):
        await sdk.create(sdk.wrapped(), extra_body={"forethought": told})
    assert upstream.requests == []


async def test_a_closed_stream_ends_every_call(sdk: Sdk, upstream: Upstream) -> None:
    """Closing a stream before its end closes every upstream call."""
    upstream.script(streams(chunk({"content": "4"}), SILENCE))
    client = sdk.wrapped(None)
    stream = await sdk.create(client, stream=True)
    assert upstream.live == 1
    await sdk.call(stream.close)
    assert await upstream.quiet()
    assert upstream.aborted == 1


async def test_a_decided_vote_ends_what_is_left(sdk: Sdk, upstream: Upstream) -> None:
    """Calls that the vote no longer needs are closed, also while they write."""
    upstream.script(says("42"), says("42"), streams(chunk({"content": "4"}), SILENCE))
    answer = await sdk.create(sdk.wrapped())
    assert answer.choices[0].message.content == "42"
    assert await upstream.quiet()


async def test_a_cancelled_call_ends_every_call(upstream: Upstream) -> None:
    """Cancelling the task that waits for an answer closes every upstream call."""
    upstream.script(late(SILENCE, says()))
    async with openai.AsyncOpenAI(base_url=upstream.base_url, api_key="key") as client:
        waiting = asyncio.create_task(wrap(client, policy=VOTE).chat.completions.create(**ASK))
        for _ in range(1000):
            if upstream.live == 3:
                break
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await upstream.quiet()
    assert upstream.aborted == 3
