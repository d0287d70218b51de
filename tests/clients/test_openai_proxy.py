"""The unmodified `openai` SDK drives the proxy with a policy on, over a real local upstream. Runs on 2.x and on 3.x."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from forethought.policy import Policy
from forethought.proxy import create_app, serving
from forethought.search.vote import Vote
from forethought_adapters.openai_http import open_backend
from support.upstream import SILENCE, Upstream, chunk, fails, says, streams

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "6*7?"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
POLICIES = {"vote": Policy("vote", layers=(Vote(3, eager=True),)), "once": Policy("once", layers=(Vote(1),))}


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of a proxy whose default policy is a vote of three over the upstream."""
    app = create_app(open_backend(upstream.base_url, api_key="sk"), policies=POLICIES, default=POLICIES["vote"])
    async with serving(app) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="key", max_retries=2) as made:
        yield made


async def test_a_policy_answers(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """A plain request is answered by the vote, with the usage of all its calls."""
    upstream.script(says("41"), says("42"), says("42"))
    answer = await client.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "42"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert (answer.model_extra or {})["forethought"]["policy"] == "vote"


async def test_a_stream_is_answered(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """A streamed request spells the vote's answer; include_usage adds one chunk with the usage of all its calls."""
    upstream.script(says("it is 42"))
    stream = await client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    *chunks, last = [piece async for piece in stream]
    assert "".join(piece.choices[0].delta.content or "" for piece in chunks) == "it is 42"
    assert [piece.choices[0].finish_reason for piece in chunks][-1] == "stop"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 2 * (7 + 3)


async def test_the_alias_selects(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """A model under a policy's alias is asked as that policy says, by its own name."""
    await client.chat.completions.create(**{**ASK, "model": "once/m"})
    assert [request.json["model"] for request in upstream.requests] == ["m"]


@pytest.mark.parametrize("policy", ["vote", "once"])
async def test_tool_calls_survive(client: openai.AsyncOpenAI, upstream: Upstream, policy: str) -> None:
    """A call of the caller's tool arrives whole, streamed or not."""
    upstream.script(says("", tool_calls=[CALL], finish="tool_calls"))
    chosen = {"forethought": {"policy": policy}}
    answer = await client.chat.completions.create(**ASK, tools=TOOLS, extra_body=chosen)
    stream = await client.chat.completions.create(**ASK, tools=TOOLS, stream=True, extra_body=chosen)
    pieces = [piece async for part in stream for piece in part.choices[0].delta.tool_calls or ()]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [call.model_dump() for call in answer.choices[0].message.tool_calls or ()] == [CALL]
    assert [piece.model_dump() for piece in pieces] == [{**CALL, "index": 0}]


async def test_parse_gives_models(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """Structured output is parsed into the caller's model."""

    class Product(BaseModel):
        value: int

    upstream.script(says('{"value": 42}'))
    answer = await client.chat.completions.parse(**ASK, response_format=Product)
    assert answer.choices[0].message.parsed == Product(value=42)


async def test_an_upstream_error_raises_the_sdks_own(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """An upstream's 400 is a BadRequestError with the upstream's words, and is not repeated."""
    upstream.script(fails(400, "no such model"))
    chosen = {"forethought": {"policy": "once"}}
    with pytest.raises(openai.BadRequestError, match="no such model"):
        await client.chat.completions.create(**ASK, extra_body=chosen)
    assert len(upstream.requests) == 1


async def test_a_client_that_leaves_ends_every_call(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    """When the SDK closes its stream, no upstream call goes on."""
    upstream.script(streams(chunk({"content": "4"}), SILENCE))
    chosen = {"forethought": {"policy": "once"}}
    stream = await client.chat.completions.create(**ASK, stream=True, extra_body=chosen)
    assert upstream.live == 1
    await stream.close()
    assert await upstream.quiet()
