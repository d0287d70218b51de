"""The `openai` SDK, wrapped: everything it could do before, thought about on the way. Runs on 2.x and on 3.x."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from forethought.budget import Budget
from forethought.clients import NotWrappable, wrap
from forethought.errors import InvalidPolicy, MissingCapability
from forethought.policy import Policy
from forethought.ports import Backend, Capabilities, Stream
from forethought.search.vote import Vote
from forethought.wire import Request
from support.upstream import SILENCE, Upstream, chunk, fails, late, says, streams

httpx = importlib.import_module("httpx" if openai.__version__.startswith("2.") else "httpx2")

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "6*7?"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
VOTE = Policy("vote", layers=(Vote(3, eager=True),))


@dataclass
class Sdk:
    """One kind of client, async or blocking, driven the same way; blocking ones in a thread."""

    blocking: bool
    base_url: str
    exits: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def http(self) -> Any:
        return httpx.Client if self.blocking else httpx.AsyncClient

    def client(self, kind: Any = None, **options: Any) -> Any:
        kind = kind or (openai.OpenAI if self.blocking else openai.AsyncOpenAI)
        made = kind(**{"base_url": self.base_url, "api_key": "key", "max_retries": 0, **options})
        self.exits.push_async_callback(self.call, made.close)
        return made

    def wrapped(self, policy: Any = VOTE, budget: Budget | None = None, **options: Any) -> Any:
        made = wrap(self.client(**options), policy=policy, budget=budget)
        self.exits.push_async_callback(self.call, made.close)
        return made

    async def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await (asyncio.to_thread(function, *args, **options) if self.blocking else function(*args, **options))

    async def create(self, client: Any, **options: Any) -> Any:
        return await self.call(client.chat.completions.create, **{**ASK, **options})

    async def chunks(self, client: Any, **options: Any) -> list[Any]:
        stream = await self.create(client, stream=True, **options)
        return await asyncio.to_thread(list, stream) if self.blocking else [chunk async for chunk in stream]

    async def within(self, manager: Any, use: Callable[[Any], Any]) -> Any:
        """What `use` makes of the object that the SDK's context manager gives."""
        if self.blocking:
            return await asyncio.to_thread(lambda: _within(manager, use))
        async with manager as entered:
            return await use(entered)


def _within(manager: Any, use: Callable[[Any], Any]) -> Any:
    with manager as entered:
        return use(entered)


@pytest.fixture(params=["async", "blocking"])
async def sdk(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[Sdk]:
    made = Sdk(request.param == "blocking", upstream.base_url)
    async with made.exits:
        yield made


async def test_the_copy_has_the_same_type(sdk: Sdk) -> None:
    """Wrapping changes neither the client's type nor what it was made with."""
    client = sdk.client(timeout=3.0, max_retries=5)
    wrapped = wrap(client, policy=VOTE)
    assert type(wrapped) is type(client)
    assert (wrapped.api_key, wrapped.base_url, wrapped.timeout, wrapped.max_retries) == (
        client.api_key,
        client.base_url,
        3.0,
        5,
    )


async def test_the_original_stays_as_it_was(sdk: Sdk, upstream: Upstream) -> None:
    """Beside a wrapped copy the original has its own transport, and asks as it always did."""
    http = sdk.http()
    transport = http._transport  # noqa: SLF001  there is no public name for what must not change
    client = sdk.client(http_client=http)
    wrap(client, policy=VOTE)
    answer = await sdk.create(client)
    assert http._transport is transport  # noqa: SLF001
    assert [request.json for request in upstream.requests] == [ASK]
    assert "forethought" not in answer.model_extra


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


async def test_everything_else_passes(sdk: Sdk, upstream: Upstream) -> None:
    """Other endpoints are asked as before."""
    models = await sdk.call(lambda: sdk.wrapped().models.list())
    assert models.data[0].id == "fake"
    assert [(request.method, request.path) for request in upstream.requests] == [("GET", "/v1/models")]


async def test_the_clients_own_http_client_sends(sdk: Sdk, upstream: Upstream) -> None:
    """Headers, hooks and auth of an HTTP client that the caller brought count for every call."""
    seen: list[str] = []
    hook = _hook(sdk, seen)
    http = sdk.http(headers={"x-own": "1"}, auth=("user", "pass"), event_hooks={"request": [hook]})
    await sdk.create(sdk.wrapped(http_client=http))
    assert seen == ["POST"] * 3
    assert {request.headers["x-own"] for request in upstream.requests} == {"1"}
    assert all(request.headers["authorization"].startswith("Basic ") for request in upstream.requests)


def _hook(sdk: Sdk, seen: list[str]) -> Callable[[Any], Any]:
    def hook(request: Any) -> None:
        seen.append(request.method)

    async def waiting(request: Any) -> None:
        hook(request)

    return hook if sdk.blocking else waiting


async def test_azure_keeps_its_urls(sdk: Sdk, upstream: Upstream) -> None:
    """Azure's client asks its deployment, with its version and its key, for every call."""
    client = sdk.wrapped(
        kind=openai.AzureOpenAI if sdk.blocking else openai.AsyncAzureOpenAI,
        base_url=None,
        azure_endpoint=upstream.base_url.removesuffix("/v1"),
        api_version="2026-01-01",
    )
    await sdk.create(client, model="deployed")
    paths = {request.path for request in upstream.requests}
    assert paths == {"/openai/deployments/deployed/chat/completions?api-version=2026-01-01"}
    assert {request.headers["api-key"] for request in upstream.requests} == {"key"}


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


@pytest.mark.skipif(importlib.util.find_spec("httpx") is None, reason="httpx is not installed")
async def test_an_older_http_client_sends(sdk: Sdk, upstream: Upstream) -> None:
    """On openai 3 a client may still bring an HTTP client of the first httpx; its copy has one of the same kind."""
    older = importlib.import_module("httpx")
    http = older.Client() if sdk.blocking else older.AsyncClient()
    assert (await sdk.create(sdk.wrapped(http_client=http))).choices[0].message.content == "42"


async def test_no_server_is_a_connection_error(sdk: Sdk) -> None:
    """Where nobody listens APIConnectionError is raised, as it is without us."""
    with pytest.raises(openai.APIConnectionError, match="ConnectError"):
        await sdk.create(sdk.wrapped(None, base_url="http://127.0.0.1:9/v1"))


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


async def test_closing_the_copy_leaves_the_original_open(sdk: Sdk) -> None:
    """The copy owns no connection: after it is closed the original goes on to answer."""
    client = sdk.client()
    wrapped = wrap(client, policy=VOTE)
    await sdk.create(wrapped)
    await sdk.call(wrapped.close)
    assert (await sdk.create(client)).choices[0].message.content == "42"


async def test_connections_are_kept(sdk: Sdk, upstream: Upstream) -> None:
    """One call after another goes out over one connection, as it does without us."""
    client = sdk.wrapped(None)
    for _ in range(3):
        await sdk.create(client)
    assert upstream.connections == 1


async def test_a_blocking_copy_leaves_no_thread(upstream: Upstream) -> None:
    """Wrapping starts no thread, the first answer does, and closing the copy ends it."""
    before = threading.active_count()
    with openai.OpenAI(base_url=upstream.base_url, api_key="key") as client:
        wrapped = wrap(client, policy=VOTE)
        assert not _serving()
        await asyncio.to_thread(wrapped.chat.completions.create, **ASK)
        assert _serving()
        wrapped.close()
    assert not _serving()
    assert threading.active_count() <= before + 1


def _serving() -> bool:
    return any(thread.name == "forethought" for thread in threading.enumerate())


def test_what_cannot_be_wrapped_is_named() -> None:
    """Something that is no client raises an error with its type and the clients that can be wrapped."""
    with pytest.raises(NotWrappable, match=r"builtins\.dict.*openai"):
        wrap({})


async def test_a_wrong_policy_is_named_when_wrapping(sdk: Sdk) -> None:
    """A policy that does not exist is an error at once, not when the copy is asked."""
    with pytest.raises(InvalidPolicy, match="'thoroughly'"):
        wrap(sdk.client(), policy="thoroughly")


async def test_a_policy_that_cannot_run_here_is_named_when_wrapping(sdk: Sdk) -> None:
    """A layer that needs what the client's server cannot do is an error at once."""
    with pytest.raises(MissingCapability, match="rewind"):
        wrap(sdk.client(), policy=Policy("rewind", layers=(Rewind(),)))


async def test_a_wrong_flavour_is_named(sdk: Sdk) -> None:
    """The kind of server can be told, and a kind that is not known is an error."""
    assert wrap(sdk.client(), flavour="vllm")
    with pytest.raises(InvalidPolicy, match="flavour"):
        wrap(sdk.client(), flavour="vanilla")


class Rewind:
    """A layer that no server can serve."""

    kind = "rewind"

    def missing(self, capabilities: Capabilities, /) -> str | None:
        return "time running backwards"

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        return inner.stream(request)
