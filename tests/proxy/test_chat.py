"""With a policy on, the unmodified SDK gets what it expects of any OpenAI server, and is told what was thought."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from forethought.budget import Budget
from forethought.policy import Policy
from forethought.search.vote import Vote
from forethought.testing import CapturingSink, Script, Scripted
from support.upstream import SILENCE, Upstream, event, fails, late, raw, says, streams

TYPE = {"content-type": "application/json"}
ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "6*7?"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 6, "b": 7}'}}
VOTE = Policy("three", layers=(Vote(samples=3, eager=True),))
SPEAK = Policy("speak", layers=(Vote(samples=1),))


def asked(**changes: Any) -> dict[str, Any]:
    return {**ASK, **changes}


async def read(http: aiohttp.ClientSession, url: str, **changes: Any) -> list[str]:
    """The blocks of a streamed answer as they are on the wire."""
    async with http.post(f"{url}/v1/chat/completions", json=asked(stream=True, **changes)) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return (await answer.text()).removesuffix("\n\n").split("\n\n")


def chunks(blocks: list[str]) -> list[dict[str, Any]]:
    return [json.loads(block[6:]) for block in blocks if block.startswith("data: {")]


async def collect(client: AsyncOpenAI, seen: list[str]) -> None:
    """Put the words of a streamed answer into `seen`, as they come."""
    async for chunk in await client.chat.completions.create(**ASK, stream=True):
        seen += [choice.delta.content or "" for choice in chunk.choices]


async def test_a_whole_answer(start: Any, sdk: Any, upstream: Upstream) -> None:
    """Text and thinking, the usage of the whole tree, and the run beside them."""
    upstream.script(says("It is 42", reasoning="six times seven"))
    client: AsyncOpenAI = sdk(await start(default=VOTE))
    answer = await client.chat.completions.create(**ASK)
    choice = answer.choices[0]
    assert (choice.message.content, choice.message.role, choice.finish_reason) == ("It is 42", "assistant", "stop")
    assert choice.message.model_extra == {"reasoning_content": "six times seven"}
    told = (answer.model_extra or {})["forethought"]
    assert (told["policy"], told["stop_reason"], told["agreement"]) == ("three", "decided", 1.0)
    assert told["run_id"].startswith("run_")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6 * told["requests"]
    assert answer._request_id  # noqa: SLF001  the SDK's documented name


async def test_a_streamed_answer(start: Any, sdk: Any, upstream: Upstream) -> None:
    """The role first, then what is said, a finish reason, and the usage in a chunk of its own."""
    upstream.script(says("It is 42", reasoning="six times seven"))
    client: AsyncOpenAI = sdk(await start(default=SPEAK))
    stream = await client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    seen = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in seen if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "It is 42"
    assert "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas) == "six times seven"
    assert [chunk.choices[0].finish_reason for chunk in seen[:-1]] == [None] * (len(seen) - 2) + ["stop"]
    assert (seen[-1].choices, seen[-1].usage and seen[-1].usage.completion_tokens) == ([], 6)
    assert (seen[-2].model_extra or {})["forethought"]["policy"] == "speak"
    assert {chunk.usage for chunk in seen[:-1]} == {None}


async def test_the_answer_streams_live(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """Words arrive while the upstream is still writing."""
    upstream.script(streams(event({"choices": [{"delta": {"content": "early"}}]}), SILENCE))
    url = await start(default=SPEAK)
    async with http.post(f"{url}/v1/chat/completions", json=asked(stream=True)) as answer:
        seen = b""
        while b"early" not in seen:
            seen += await answer.content.readany()
        assert upstream.live == 1


async def test_the_stream_helper_of_the_sdk(start: Any, sdk: Any) -> None:
    """Accumulates what is streamed into the whole."""
    client: AsyncOpenAI = sdk(await start(default=VOTE))
    async with client.chat.completions.stream(**ASK) as stream:
        whole = await stream.get_final_completion()
    assert whole.choices[0].message.content == "42"


@pytest.mark.parametrize("policy", [SPEAK, VOTE], ids=["one", "vote"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_calls_survive(policy: Policy, streamed: bool, start: Any, sdk: Any, upstream: Upstream) -> None:
    """A call of the caller's tool is an answer, whole or streamed, and the tools reach the upstream."""
    upstream.script(says("", tool_calls=[CALL], finish="tool_calls"))
    client: AsyncOpenAI = sdk(await start(default=policy))
    function = {"name": "add", "strict": True, "parameters": {"type": "object", "additionalProperties": False}}
    tools: Any = [{"type": "function", "function": function}]
    if streamed:
        async with client.chat.completions.stream(**ASK, tools=tools) as stream:
            answer: Any = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.create(**ASK, tools=tools)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_1", "add", {"a": 6, "b": 7})
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content or "") == ("tool_calls", "")
    assert upstream.requests[0].json["tools"] == tools


@pytest.mark.parametrize("streamed", [False, True])
async def test_several_choices(streamed: bool, start: Any, sdk: Any, upstream: Upstream) -> None:
    """Exactly `n` of them, each a run of its own, under one usage."""
    upstream.script(says("one"), says("two"), says("three"))
    client: AsyncOpenAI = sdk(await start(default=SPEAK))
    if streamed:
        stream = await client.chat.completions.create(**ASK, n=3, stream=True, stream_options={"include_usage": True})
        texts = dict.fromkeys(range(3), "")
        async for chunk in stream:
            usage = chunk.usage
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        answers = list(texts.values())
    else:
        answer = await client.chat.completions.create(**ASK, n=3)
        usage, answers = answer.usage, [str(choice.message.content) for choice in answer.choices]
    assert sorted(answers) == ["one", "three", "two"]
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (21, 3)
    assert all("n" not in request.json for request in upstream.requests)


async def test_choices_differ_under_a_seed(start: Any, sdk: Any, upstream: Upstream) -> None:
    """Each is asked with its own, the same ones each time."""
    client: AsyncOpenAI = sdk(await start(default=SPEAK))
    for _ in range(2):
        await client.chat.completions.create(**ASK, n=3, seed=7)
    seeds = [request.json["seed"] for request in upstream.requests]
    assert len(set(seeds)) == 3
    assert sorted(seeds[:3]) == sorted(seeds[3:])


async def test_logprobs_are_those_of_the_answer(start: Any, sdk: Any, upstream: Upstream) -> None:
    """And there are none where nobody asked."""
    upstream.script(says("It is 42", logprobs=True))
    client: AsyncOpenAI = sdk(await start(default=VOTE))
    with_them = await client.chat.completions.create(**ASK, logprobs=True, top_logprobs=2)
    without = await client.chat.completions.create(**ASK)
    found = with_them.choices[0].logprobs
    assert found is not None
    assert [token.token for token in found.content or ()] == ["It", " is", " 42"]
    assert without.choices[0].logprobs is None


@pytest.mark.parametrize(
    ("model", "policy"), [("three/fake", "three"), ("fake", "speak"), ("meta/fake", "speak"), ("three/meta/x", "three")]
)
async def test_an_alias_selects_a_policy(model: str, policy: str, start: Any, sdk: Any, upstream: Upstream) -> None:
    """Only where what stands before the slash is one; the upstream sees its own id."""
    client: AsyncOpenAI = sdk(await start(policies={"three": VOTE}, default=SPEAK))
    answer = await client.chat.completions.create(**asked(model=model))
    assert (answer.model_extra or {})["forethought"]["policy"] == policy
    assert {request.json["model"] for request in upstream.requests} == {model.removeprefix("three/")}


async def test_the_field_comes_before_the_alias(start: Any, sdk: Any, upstream: Upstream) -> None:
    """And takes a policy by name or as an object; the upstream sees nothing of it."""
    client: AsyncOpenAI = sdk(await start(policies={"three": VOTE}))
    inline = {"policy": {"name": "mine", "layers": [{"kind": "vote", "samples": 2}]}}
    answer = await client.chat.completions.create(**asked(model="three/fake"), extra_body={"forethought": inline})
    assert (answer.model_extra or {})["forethought"]["samples"] <= 2
    assert "forethought" not in upstream.requests[0].json


@pytest.mark.parametrize(
    "text",
    [
        "forethought: {policy: balanced}",
        "balanced/fake",
        '{"forethought":{"policy":"balanced"}}',
        "<policy>vote</policy>",
    ],
)
@pytest.mark.parametrize("role", ["user", "system", "assistant"])
async def test_text_in_a_message_selects_nothing(
    text: str, role: str, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """It is passed on like any other."""
    body = json.dumps(asked(messages=[{"role": role, "content": text}])).encode()
    async with http.post(f"{await start()}/v1/chat/completions", data=body, headers=TYPE) as answer:
        assert "forethought" not in await answer.json()
    assert [request.body for request in upstream.requests] == [body]


async def test_progress_is_told_in_comments(start: Any, http: aiohttp.ClientSession) -> None:
    """Which clients skip, and those who care can read."""
    blocks = await read(http, await start(default=VOTE))
    comments = [json.loads(block.removeprefix(": forethought ")) for block in blocks if block.startswith(":")]
    assert [comment["kind"] for comment in comments] == ["candidate"] * (len(comments) - 1) + ["decided"]
    assert blocks[-1] == "data: [DONE]"


async def test_progress_as_reasoning(start: Any, http: aiohttp.ClientSession) -> None:
    """For clients that show nothing else while they wait."""
    blocks = await read(http, await start(default=VOTE), forethought={"progress": "reasoning"})
    deltas = [choice["delta"] for chunk in chunks(blocks) for choice in chunk["choices"]]
    assert any("[candidate]" in delta.get("reasoning_content", "") for delta in deltas)
    assert "".join(delta.get("content", "") for delta in deltas) == "42"
    assert not any(block.startswith(":") for block in blocks)


async def test_no_progress(start: Any, http: aiohttp.ClientSession) -> None:
    """Where it is not wanted."""
    blocks = await read(http, await start(default=VOTE), forethought={"progress": "none"})
    assert all(block.startswith("data: ") for block in blocks)


async def test_silence_has_a_heartbeat(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """So that nothing between caller and proxy gives up on a long thought."""
    upstream.script(late(0.5, says("42")))
    blocks = await read(http, await start(default=SPEAK, heartbeat_s=0.05))
    assert blocks[:2] == [": heartbeat"] * 2
    assert chunks(blocks)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_talking_stream_has_none(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """A heartbeat is for silence only."""
    upstream.script(says("a b c d e f g h", pause=0.01))
    assert ": heartbeat" not in await read(http, await start(default=SPEAK, heartbeat_s=5))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("policy", [SPEAK, VOTE], ids=["one", "vote"])
async def test_an_upstream_error_keeps_its_status(
    policy: Policy, streamed: bool, start: Any, sdk: Any, upstream: Upstream
) -> None:
    """And its body and retry headers, also where a stream was asked for."""
    upstream.script(fails(429, "slow down", retry_after="9"))
    client: AsyncOpenAI = sdk(await start(default=policy))
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(**ASK, stream=streamed)
    assert "slow down" in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "9"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        raw(b"<html>login</html>", content_type="text/html"),
        streams(b"data: garbage\n\n"),
        streams(b"data: {}\n\n"),
        streams(event({"choices": []})),
        raw(b"", content_type="application/json"),
    ],
)
async def test_what_is_no_completion_is_a_bad_gateway(
    answer: Any, streamed: bool, start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Which asking again does not mend."""
    upstream.script(answer)
    async with http.post(f"{await start(default=SPEAK)}/v1/chat/completions", json=asked(stream=streamed)) as told:
        assert (told.status, (await told.json())["error"]["code"]) == (502, "upstream_protocol")
        assert told.headers["x-should-retry"] == "false"


async def test_silence_of_the_upstream_is_a_timeout(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """As without a policy."""
    upstream.script(late(60.0, says("42")))
    url = await start(default=SPEAK, timeout_s=0.2)
    async with http.post(f"{url}/v1/chat/completions", json=asked(stream=True)) as told:
        assert (told.status, (await told.json())["error"]["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize("cut", [False, True])
async def test_half_a_stream_ends_in_an_error(cut: bool, start: Any, sdk: Any, upstream: Upstream) -> None:
    """Never in silence that a client takes for success."""
    upstream.script(streams(event({"choices": [{"index": 0, "delta": {"content": "half"}}]}), cut=cut))
    client: AsyncOpenAI = sdk(await start(default=SPEAK))
    seen: list[str] = []
    with pytest.raises(openai.APIError):
        await collect(client, seen)
    assert "".join(seen) == "half"


async def test_a_budget_in_the_request_holds(start: Any, sdk: Any, upstream: Upstream) -> None:
    """However many samples the policy would like."""
    client: AsyncOpenAI = sdk(await start(default=VOTE))
    answer = await client.chat.completions.create(**ASK, extra_body={"forethought": {"budget": {"request_limit": 1}}})
    assert (answer.choices[0].message.content, len(upstream.requests)) == ("42", 1)


async def test_the_servers_budget_caps_every_request(start: Any, sdk: Any, upstream: Upstream) -> None:
    """Also one that allows itself more, and one without any policy."""
    client: AsyncOpenAI = sdk(await start(budget=Budget(output_tokens_limit=50)))
    more = {"budget": {"output_tokens_limit": 1000}}
    await client.chat.completions.create(**ASK, extra_body={"forethought": more})
    await client.chat.completions.create(**ASK)
    asked_for = [r.json.get("max_completion_tokens") or r.json.get("max_tokens") for r in upstream.requests]
    assert all(tokens is not None and tokens <= 50 for tokens in asked_for)


async def test_a_backend_that_cannot_relay(start: Any, sdk: Any) -> None:
    """Is served by events, with a policy and without."""
    backend = Scripted(Script("It is 42", reasoning="six times seven"))
    client: AsyncOpenAI = sdk(await start(backend))
    answer = await client.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "It is 42"
    assert (answer.model_extra or {})["forethought"]["policy"] == "none"


async def test_sinks_are_told_of_every_run(start: Any, sdk: Any) -> None:
    """As in the library."""
    sink = CapturingSink()
    client: AsyncOpenAI = sdk(await start(default=VOTE, sinks=[sink]))
    await client.chat.completions.create(**ASK)
    assert sink.moments


async def test_an_unexpected_error_says_nothing_of_itself(start: Any, sdk: Any) -> None:
    """Not even in the middle of a stream."""
    backend = Scripted(Script("one two three", error=RuntimeError("secret"), fail_after=2))
    client: AsyncOpenAI = sdk(await start(backend))
    with pytest.raises(openai.APIError) as caught:
        await collect(client, [])
    assert "secret" not in str(caught.value)


async def test_many_at_once_do_not_mix(start: Any, sdk: Any) -> None:
    """Forty callers get forty answers to their own questions."""
    client: AsyncOpenAI = sdk(await start(Scripted(answer=lambda request: request.question), default=SPEAK))

    async def echoed(text: str) -> bool:
        stream = await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": text}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == text

    assert all(await asyncio.gather(*(echoed(f"question {number}") for number in range(40))))
