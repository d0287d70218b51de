"""What a wrapped `openai` client answers: everything it could before, thought about on the way. Runs on 2.x and 3.x."""

from __future__ import annotations

import json

from pydantic import BaseModel

from support.sdk import ASK, CALL, TOOLS, Sdk
from support.upstream import Upstream, says


async def test_a_policy_answers(sdk: Sdk, upstream: Upstream) -> None:
    """The copy asks as often as the policy says, and gives back the answer that most samples agree on."""
    upstream.script(says("41"), says("42"), says("42"))
    answer = await sdk.create(sdk.wrapped())
    assert answer.choices[0].message.content == "42"
    assert len(upstream.requests) == 3


async def test_a_completion_tells_of_its_run(sdk: Sdk) -> None:
    """Usage is that of the whole run, and the extra object names its policy and why it ended."""
    answer = await sdk.create(sdk.wrapped())
    told = answer.model_extra["forethought"]
    assert answer.usage.completion_tokens >= 2
    assert (told["policy"], told["stop_reason"]) == ("vote", "decided")


async def test_thinking_arrives(sdk: Sdk, upstream: Upstream) -> None:
    """What the model thought comes along in `reasoning_content`, as it does from servers that show it."""
    upstream.script(says("42", reasoning="six times seven"))
    answer = await sdk.create(sdk.wrapped(None))
    assert answer.choices[0].message.model_extra["reasoning_content"] == "six times seven"


async def test_streams_spell_the_answer(sdk: Sdk, upstream: Upstream) -> None:
    """A streamed answer opens with its role, spells the text and closes with a reason and the report of the run."""
    upstream.script(says("it is 42"))
    chunks = await sdk.chunks(sdk.wrapped(None))
    choices = [chunk.choices[0] for chunk in chunks]
    assert choices[0].delta.role == "assistant"
    assert [choice.delta.content for choice in choices if choice.delta.content] == ["it", " is", " 42"]
    assert choices[-1].finish_reason == "stop"
    assert chunks[-1].model_extra["forethought"]["run_id"].startswith("run_")


async def test_include_usage_adds_one_chunk(sdk: Sdk) -> None:
    """With include_usage the last chunk has no choices and the usage of the whole run; the others have none."""
    *early, last = await sdk.chunks(sdk.wrapped(), stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.total_tokens > 0
    assert not any(chunk.usage for chunk in early)


async def test_parse_gives_models(sdk: Sdk, upstream: Upstream) -> None:
    """Structured output is parsed into the caller's model, and the schema reaches every call."""

    class Product(BaseModel):
        value: int

    upstream.script(says('{"value": 42}'))
    answer = await sdk.call(sdk.wrapped().chat.completions.parse, **ASK, response_format=Product)
    assert answer.choices[0].message.parsed == Product(value=42)
    assert upstream.requests[-1].json["response_format"]["type"] == "json_schema"


async def test_the_stream_helper_works(sdk: Sdk, upstream: Upstream) -> None:
    """The SDK's own accumulating stream ends with the whole completion."""
    upstream.script(says("it is 42"))
    manager = sdk.wrapped(None).chat.completions.stream(**ASK)
    answer = await sdk.within(manager, lambda stream: stream.get_final_completion())
    assert answer.choices[0].message.content == "it is 42"


async def test_raw_responses_work(sdk: Sdk) -> None:
    """A raw response has status and headers, and parses into the completion."""
    raw = await sdk.call(sdk.wrapped().chat.completions.with_raw_response.create, **ASK)
    assert (raw.status_code, raw.headers["content-type"]) == (200, "application/json")
    assert raw.parse().choices[0].message.content == "42"


async def test_streaming_responses_work(sdk: Sdk) -> None:
    """A streaming response hands out the bytes of the answer."""
    manager = sdk.wrapped().chat.completions.with_streaming_response.create(**ASK)
    body = await sdk.within(manager, lambda response: response.read())
    assert json.loads(body)["choices"][0]["message"]["content"] == "42"


async def test_tool_calls_survive(sdk: Sdk, upstream: Upstream) -> None:
    """A call of the client's tool is a final answer, in its usual shape."""
    upstream.script(says("", tool_calls=[CALL], finish="tool_calls"))
    answer = await sdk.create(sdk.wrapped(), tools=TOOLS)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.model_dump() for call in choice.message.tool_calls] == [CALL]
    assert upstream.requests[0].json["tools"] == TOOLS


async def test_streamed_tool_calls_survive(sdk: Sdk, upstream: Upstream) -> None:
    """A streamed call of a tool names it once, with its index."""
    upstream.script(says("", tool_calls=[CALL], finish="tool_calls"))
    chunks = await sdk.chunks(sdk.wrapped(), tools=TOOLS)
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    assert [piece.model_dump() for piece in pieces] == [{**CALL, "index": 0}]


async def test_n_answers_are_n_choices(sdk: Sdk, upstream: Upstream) -> None:
    """`n` answers come back as that many choices under one usage, streamed or not."""
    upstream.script(says("41"), says("42"))
    client = sdk.wrapped(None)
    answer = await sdk.create(client, n=2)
    chunks = await sdk.chunks(client, n=2)
    assert sorted(choice.message.content for choice in answer.choices) == ["41", "42"]
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage.completion_tokens == 2
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}


async def test_unknown_fields_reach_the_server(sdk: Sdk, upstream: Upstream) -> None:
    """Fields and headers that the caller adds are part of every call."""
    await sdk.create(sdk.wrapped(None), extra_body={"top_k": 5}, extra_headers={"x-own": "1"})
    assert upstream.requests[0].json["top_k"] == 5
    assert upstream.requests[0].headers["x-own"] == "1"


async def test_calls_do_not_share_an_idempotency_key(sdk: Sdk, upstream: Upstream) -> None:
    """A key that says two requests are the same one is not sent with the different calls of a run."""
    await sdk.create(sdk.wrapped(), extra_headers={"Idempotency-Key": "once"})
    assert not any("idempotency-key" in request.headers for request in upstream.requests)


async def test_the_body_chooses_a_policy(sdk: Sdk, upstream: Upstream) -> None:
    """The field `forethought` of a request chooses another policy for it: by name, as an object, or none."""
    client = sdk.wrapped()
    two = {"layers": [{"kind": "vote", "samples": 2, "eager": True}]}
    told = [
        (await sdk.create(client, extra_body={"forethought": {"policy": policy}})).model_extra["forethought"]["policy"]
        for policy in (two, "none")
    ]
    assert told == ["inline", "none"]
    assert len(upstream.requests) == 2 + 1


async def test_the_body_sets_a_budget(sdk: Sdk, upstream: Upstream) -> None:
    """The field `forethought` of a request tightens its budget, and is not sent to the server."""
    await sdk.create(sdk.wrapped(), extra_body={"forethought": {"budget": {"request_limit": 1}}})
    assert len(upstream.requests) == 1
    assert "forethought" not in upstream.requests[0].json
