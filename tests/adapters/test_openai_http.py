"""The HTTP backend against a real server: what it asks, what it understands, and that it lets go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from forethought.errors import (
    InvalidPolicy,
    InvalidRequest,
    UpstreamError,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from forethought.fold import complete
from forethought.ports import Backend, Continuation
from forethought.wire import Delta, Done, Event, Note, Prefix, Request
from forethought_adapters.openai_http import OpenAIBackend, open_backend
from support.upstream import DONE, SILENCE, SSE, Answer, Upstream, chunk, fails, late, raw, says, streams

ASK = Request.of("6*7?", model="m")
WORD = chunk({"content": "4"})
ENDED = chunk({}, finish="stop")
WHOLE = b'data: {"choices":[{"delta":{"content":"42"},"finish_reason":"stop"}]}\r\n\r\n'


@pytest.fixture
async def backend(upstream: Upstream) -> AsyncIterator[OpenAIBackend]:
    async with open_backend(upstream.base_url, retries=0) as opened:
        yield opened


async def collected(backend: Backend, request: Request = ASK) -> list[Event]:
    async with backend.stream(request) as events:
        return [event async for event in events]


async def test_a_stream_becomes_events(upstream: Upstream, backend: OpenAIBackend) -> None:
    """Thinking, text, and at the end one Done with usage and identity."""
    upstream.script(says("it is 42", reasoning="let me see", cost=None))
    *deltas, done = await collected(backend)
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert "".join(delta.reasoning for delta in deltas) == "let me see"
    assert "".join(delta.text for delta in deltas) == "it is 42"
    assert isinstance(done, Done)
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.reasoning_tokens) == (7, 6, 3)
    assert (done.usage.requests, done.cost, done.meta["id"]) == (1, None, "chatcmpl-1")


async def test_the_request_reaches_the_server(upstream: Upstream) -> None:
    """Key, own headers and the caller's fields are sent; the run's context is not."""
    async with open_backend(upstream.base_url, api_key="k", headers={"X-Title": "t"}) as backend:
        await complete(backend, ASK.with_params(top_k=3).with_context(tenant="secret"))
    request = upstream.requests[0]
    assert request.path == "/v1/chat/completions"
    assert (request.headers["authorization"], request.headers["x-title"]) == ("Bearer k", "t")
    assert request.json["top_k"] == 3
    assert b"secret" not in request.body


async def test_a_sibling_has_its_own_key_and_the_same_connections(upstream: Upstream, backend: OpenAIBackend) -> None:
    """`with_key` changes the key and nothing else."""
    for key in ("a", "b", None):
        await complete(backend.with_key(key), ASK)
    assert [request.headers.get("authorization") for request in upstream.requests] == ["Bearer a", "Bearer b", None]
    assert upstream.connections == 1


async def test_tool_calls_and_logprobs_arrive(upstream: Upstream, backend: OpenAIBackend) -> None:
    """A completion folds to whole tool calls and the log-probabilities of its tokens."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    upstream.script(says("it is", logprobs=True, tool_calls=[call], finish="tool_calls"))
    completion = await complete(backend, ASK)
    assert (completion.tool_calls, completion.finish_reason) == ((call,), "tool_calls")
    assert [entry.token for entry in completion.logprobs] == ["it", " is"]


async def test_a_continued_thought_is_split_here(upstream: Upstream) -> None:
    """What llama.cpp writes on from an open thought is thinking up to the closing tag."""
    upstream.script(says(" seven is 42</think>\n\n42"))
    async with open_backend(upstream.base_url, flavour="llamacpp") as backend:
        completion = await complete(backend, Request(ASK.messages, ASK.params, Prefix("six times")))
    assert (completion.reasoning, completion.text) == (" seven is 42", "42")
    assert upstream.requests[0].json["continue_final_message"] == "reasoning_content"


async def test_raw_thinking_is_a_promise_of_the_caller(upstream: Upstream) -> None:
    """With `raw_thinking` a vLLM server continues an open thought too."""
    async with open_backend(upstream.base_url, flavour="vllm", raw_thinking=True) as backend:
        assert backend.capabilities.continuation is Continuation.REASONING
        await complete(backend, Request(ASK.messages, ASK.params, Prefix("six times")))
    assert upstream.requests[0].json["messages"][-1]["content"] == "<think>\nsix times"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda request: says("42")(replace(request, body=b"{}")), id="plain JSON"),
        pytest.param(streams(b": ping\r\n\r\n", chunk({"content": "42"}), ENDED), id="no [DONE]"),
        pytest.param(streams(chunk({"content": "42"}), ENDED, DONE, headers={}), id="no content type"),
        pytest.param(streams(*(bytes([byte]) for byte in WHOLE)), id="byte by byte"),
        pytest.param(streams(chunk({"content": "42"}), ENDED, DONE, SILENCE), id="silence after [DONE]"),
    ],
)
async def test_odd_answers_are_understood(upstream: Upstream, backend: OpenAIBackend, answer: Answer) -> None:
    """Servers that stream in their own way, or not at all, are understood."""
    upstream.script(answer)
    assert (await complete(backend, ASK)).text == "42"
    assert await upstream.quiet()


@pytest.mark.parametrize(
    ("answer", "error", "says_why"),
    [
        (raw(b"<html>Welcome</html>", content_type="text/html"), UpstreamProtocol, "Welcome"),
        (raw(b'{"object": "list"}'), UpstreamProtocol, "not finished"),
        (raw(b'{"id": '), UpstreamProtocol, "not JSON"),
        (raw(b""), UpstreamProtocol, "neither"),
        (streams(b"data: {garbage\n\n"), UpstreamProtocol, "garbage"),
        (streams(b"data: [1]\n\n"), UpstreamProtocol, "not a chunk"),
        (streams(WORD), UpstreamProtocol, "not finished"),
        (streams(WORD, DONE), UpstreamProtocol, "not finished"),
        (streams(WORD, cut=True), UpstreamProtocol, "broke off"),
        (streams(cut=True), UpstreamUnreachable, "127.0.0.1"),
        (streams(WORD, {"error": {"message": "overloaded", "code": 503}}), UpstreamStatus, "overloaded"),
        (raw(b"", 302, location="/elsewhere"), UpstreamStatus, "302"),
    ],
)
async def test_what_is_no_answer_is_an_error(
    upstream: Upstream, backend: OpenAIBackend, answer: Answer, error: type[UpstreamError], says_why: str
) -> None:
    """HTML, nonsense, half an answer and broken connections are errors that quote what came."""
    upstream.script(answer)
    with pytest.raises(error, match=says_why):
        await complete(backend, ASK)
    assert await upstream.quiet()


async def test_an_error_status_keeps_body_and_headers(upstream: Upstream, backend: OpenAIBackend) -> None:
    """An error status is raised with what the server sent, byte for byte."""
    upstream.script(raw(b"<b>slow down</b>", 429, retry_after="7", content_type="text/html"))
    with pytest.raises(UpstreamStatus) as caught:
        await complete(backend, ASK)
    assert (caught.value.status, caught.value.body) == (429, b"<b>slow down</b>")
    assert (caught.value.retry_after, caught.value.headers["content-type"]) == (7.0, "text/html")


@pytest.mark.parametrize("answer", [late(SILENCE, says()), streams(WORD, SILENCE)])
async def test_silence_is_a_timeout(upstream: Upstream, answer: Answer) -> None:
    """A server that says nothing for too long, before its answer or in it, is given up."""
    upstream.script(answer)
    async with open_backend(upstream.base_url, timeout_s=0.1, retries=0) as backend:
        with pytest.raises(UpstreamTimeout, match="silent"):
            await complete(backend, ASK)
        assert await upstream.quiet()


async def test_a_slow_drip_is_no_silence(upstream: Upstream) -> None:
    """The time-out is that between two pieces, not that of the whole answer."""
    upstream.script(says("a b c d e f", pause=0.1))
    async with open_backend(upstream.base_url, timeout_s=0.5, retries=0) as backend:
        assert (await complete(backend, ASK)).text == "a b c d e f"


async def test_nobody_there() -> None:
    """Where nothing listens, the server is unreachable."""
    async with open_backend("http://127.0.0.1:9/v1", retries=0) as backend:
        with pytest.raises(UpstreamUnreachable):
            await complete(backend, ASK)


async def test_a_busy_server_is_asked_again(upstream: Upstream) -> None:
    """A failure before the first event is retried, which a note tells."""
    upstream.script(fails(429, retry_after="0"), fails(500), says("42"))
    async with open_backend(upstream.base_url) as backend:
        events = await collected(backend)
    assert [event.data for event in events if isinstance(event, Note)] == [{"attempt": 1}, {"attempt": 2}]
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "42"


async def test_a_huge_request_and_a_huge_answer_pass(upstream: Upstream, backend: OpenAIBackend) -> None:
    """Ten megabytes of question and of answer, in one event, arrive whole."""
    upstream.script(streams(chunk({"content": "x" * 10_000_000}), ENDED))
    completion = await complete(backend, Request.of("y" * 10_000_000))
    assert len(completion.text) == 10_000_000
    assert len(upstream.requests[0].json["messages"][0]["content"]) == 10_000_000


async def test_what_is_not_json_is_refused(backend: OpenAIBackend) -> None:
    """A request that holds something other than JSON values is refused before it is sent."""
    with pytest.raises(InvalidRequest, match="JSON values"):
        await complete(backend, ASK.with_params(metadata=object()))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"base_url": "localhost:8000"}, "base_url"),
        ({"flavour": "tgi"}, "flavour"),
        ({"retries": -1}, "retries"),
        ({"concurrency": 0}, "concurrency"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], field: str) -> None:
    """An option that cannot work is refused at once, by name."""
    with pytest.raises(InvalidPolicy) as caught:
        open_backend(**{"base_url": "http://127.0.0.1", **options})  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_sixty_four_streams_at_once(upstream: Upstream, backend: OpenAIBackend) -> None:
    """Concurrent streams do not disturb each other, and their connections are used again."""
    upstream.script(says("one two three", pause=0.005))
    for _ in range(2):
        completions = await asyncio.gather(*(complete(backend, ASK) for _ in range(64)))
        assert {completion.text for completion in completions} == {"one two three"}
    assert upstream.connections <= 64
    assert upstream.aborted == 0


async def test_no_more_than_concurrency_at_once(upstream: Upstream) -> None:
    """`concurrency` bounds the open streams of all siblings together."""
    upstream.script(says("a b c", pause=0.01))
    most = 0
    async with open_backend(upstream.base_url, concurrency=3) as backend:
        asking = [asyncio.ensure_future(complete(backend.with_key(str(key)), ASK)) for key in range(12)]
        while not all(task.done() for task in asking):
            most = max(most, upstream.live)
            await asyncio.sleep(0.002)
        await asyncio.gather(*asking)
    assert most == 3


async def leave_at_once(backend: Backend) -> None:
    async with backend.stream(ASK):
        pass


async def break_off(backend: Backend) -> None:
    async with backend.stream(ASK) as events:
        async for _ in events:
            break


async def raise_inside(backend: Backend) -> None:
    with suppress(ZeroDivisionError):
        async with backend.stream(ASK) as events:
            async for _ in events:
                raise ZeroDivisionError


async def time_out(backend: Backend) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await complete(backend, ASK)


async def cancel_task(backend: Backend) -> None:
    task = asyncio.ensure_future(complete(backend, ASK))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("leave", [leave_at_once, break_off, raise_inside, time_out, cancel_task])
async def test_leaving_ends_the_upstream_request(
    upstream: Upstream, backend: OpenAIBackend, leave: Callable[[Backend], Awaitable[None]]
) -> None:
    """However a stream is left, nothing goes on at the server."""
    upstream.script(streams(WORD, SILENCE))
    await asyncio.gather(*(leave(backend) for _ in range(8)))
    assert await upstream.quiet()
    assert upstream.aborted == 8


@pytest.mark.parametrize("answer", [late(SILENCE, says()), streams(SILENCE), streams(WORD, SILENCE), fails(500)])
@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_cancelling_at_any_step_leaves_nothing(upstream: Upstream, answer: Answer, steps: int) -> None:
    """Cancelled after any number of turns of the loop, no request stays live."""
    upstream.script(answer)
    async with open_backend(upstream.base_url) as backend:
        task = asyncio.ensure_future(complete(backend, ASK))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await upstream.quiet()


async def test_models_are_listed(upstream: Upstream, backend: OpenAIBackend) -> None:
    """`get` brings a body as it is."""
    assert json.loads(await backend.get("/models"))["data"][0]["id"] == "fake"


async def test_a_relay_changes_no_byte(upstream: Upstream, backend: OpenAIBackend) -> None:
    """Bytes go up and come down as they are; only headers of the hop and credentials are exchanged."""
    body, reply = b'{ "a":1.0e400,  "\\u00e9": null}\r\n', b'{"error" :  "x"}\n'
    upstream.script(raw(reply, 418, content_type="application/json", x_odd="1", keep_alive="timeout=5"))
    headers = [(b"X-Own", b"1"), (b"Authorization", b"Bearer caller"), (b"Connection", b"close"), (b"cookie", b"s=1")]
    async with backend.with_key("ours").relay("/responses?x=1", body, headers) as answer:
        assert (answer.status, await answer.read(1000)) == (418, reply)
        assert dict(answer.headers) == {
            b"content-type": b"application/json",
            b"x-odd": b"1",
            b"content-length": str(len(reply)).encode(),
        }
    request = upstream.requests[0]
    assert (request.path, request.body) == ("/v1/responses?x=1", body)
    assert request.headers["authorization"] == "Bearer ours"
    assert set(request.headers) == {"host", "x-own", "authorization", "content-length"}


async def test_a_relayed_stream_arrives_as_it_is_sent(upstream: Upstream, backend: OpenAIBackend) -> None:
    """A relay does not wait for the end, and leaving it ends the upstream request."""
    upstream.script(streams(b"data: 1\n\n", SILENCE))
    async with backend.relay("/chat/completions", b"{}") as answer:
        assert answer.header("content-type") == SSE["content-type"]
        assert await anext(answer.chunks) == b"data: 1\n\n"
        assert upstream.live == 1
    assert await upstream.quiet()


async def test_cookies_are_not_kept(upstream: Upstream, backend: OpenAIBackend) -> None:
    """What the server sets as a cookie for one caller is not sent for the next."""
    upstream.script(raw(b"{}", set_cookie="s=1"))
    for _ in range(2):
        async with backend.relay("/x", b"{}"):
            pass
    assert "cookie" not in upstream.requests[1].headers


async def test_one_backend_serves_several_event_loops(upstream: Upstream, backend: OpenAIBackend) -> None:
    """A backend works in each event loop that uses it, and `aclose` reaches the connections of all."""

    async def ask() -> str:
        async with backend:
            return (await complete(backend, ASK)).text

    here = await complete(backend, ASK)
    there = [await asyncio.to_thread(asyncio.run, ask()) for _ in range(2)]
    assert [here.text, *there, (await complete(backend, ASK)).text] == ["42"] * 4
