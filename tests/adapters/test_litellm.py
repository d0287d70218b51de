"""litellm as a backend: for real, against a local upstream and its own offline answers."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from forethought.errors import (
    ForethoughtError,
    InvalidRequest,
    MissingCapability,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from forethought.fold import complete
from forethought.wire import Prefix, Request
from forethought_adapters.litellm import LiteLLMBackend, arguments_of, load, open_backend
from forethought_adapters.litellm_errors import KINDS, foreign_errors, translated
from support.upstream import SILENCE, Answer, Upstream, chunk, fails, late, raw, says, streams

# litellm reads deprecated attributes of its own pydantic models; at its import it turns that warning off.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance:DeprecationWarning")

ASK = Request.of("6*7?", model="openai/m")


@pytest.fixture(autouse=True)
async def closed_connections() -> AsyncIterator[None]:
    """litellm keeps its connections for the life of the process, beyond the event loop of a test."""
    yield
    if "litellm" in sys.modules:
        await load().close_litellm_async_clients()


@pytest.fixture
def backend(upstream: Upstream) -> LiteLLMBackend:
    return open_backend(base_url=upstream.base_url, api_key="k", retries=0, timeout_s=20)


async def test_an_answer_comes_through(upstream: Upstream, backend: LiteLLMBackend) -> None:
    """Thinking, text, log-probabilities and usage arrive; the key reaches the server."""
    upstream.script(says("it is 42", reasoning="let me see", logprobs=True))
    completion = await complete(backend, ASK.with_params(logprobs=True))
    assert (completion.text, completion.reasoning) == ("it is 42", "let me see")
    assert [entry.token for entry in completion.logprobs] == ["it", " is", " 42"]
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 6)
    assert completion.usage.reasoning_tokens == 3
    assert upstream.requests[0].headers["authorization"] == "Bearer k"


async def test_tool_calls_come_through(upstream: Upstream, backend: LiteLLMBackend) -> None:
    """Tool calls keep id, name and arguments."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    upstream.script(says("", tool_calls=[call], finish="tool_calls"))
    completion = await complete(backend, ASK)
    assert (completion.tool_calls, completion.finish_reason) == ((call,), "tool_calls")


async def test_an_offline_answer_has_a_price() -> None:
    """litellm's mock answers need no network; the cost it computes is kept."""
    backend = open_backend("gpt-4o", mock_response="hello there", retries=0)
    completion = await complete(backend, Request.of("hi"))
    assert completion.text == "hello there"
    assert completion.done.cost is not None
    assert completion.done.cost > 0


async def test_fields_of_the_body_are_no_options_of_litellm(upstream: Upstream, backend: LiteLLMBackend) -> None:
    """A caller's body cannot redirect the call: what litellm would take for an option is sent as data."""
    await complete(backend, ASK.with_params(api_base="http://127.0.0.1:9", mock_response="no", top_k=3))
    sent = upstream.requests[0].json
    assert (sent["api_base"], sent["mock_response"], sent["top_k"]) == ("http://127.0.0.1:9", "no", 3)


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (fails(429, retry_after="3"), UpstreamStatus, 429),
        (fails(400), UpstreamStatus, 400),
        (fails(401), UpstreamStatus, 401),
        (fails(402), UpstreamStatus, 402),
        (raw(b"<html>", 500, content_type="text/html"), UpstreamStatus, 500),
        (streams(chunk({"content": "4"}), cut=True), UpstreamProtocol, None),
        (streams(chunk({"content": "4"}), b"data: {x\n\n"), UpstreamProtocol, None),
        (late(SILENCE, says()), UpstreamTimeout, None),
        (streams(chunk({"content": "4"}), SILENCE), UpstreamTimeout, None),
    ],
)
async def test_failures_are_ours(
    upstream: Upstream, answer: Answer, error: type[ForethoughtError], status: int | None
) -> None:
    """What goes wrong below is raised in our tree, its cause kept; litellm itself does not ask again."""
    upstream.script(answer)
    backend = open_backend(base_url=upstream.base_url, api_key="k", retries=0, timeout_s=0.3)
    with pytest.raises(error) as caught:
        await complete(backend, ASK)
    assert caught.value.__cause__ is not None
    assert getattr(caught.value, "status", None) == status
    assert len(upstream.requests) == 1
    assert await upstream.quiet()


async def test_the_wish_to_wait_survives(upstream: Upstream, backend: LiteLLMBackend) -> None:
    """Body and retry headers of an error are kept."""
    upstream.script(fails(429, "slow down", retry_after="3"))
    with pytest.raises(UpstreamStatus) as caught:
        await complete(backend, ASK)
    assert caught.value.retry_after == 3
    assert b"slow down" in caught.value.body


async def test_nobody_there() -> None:
    """Where nothing listens, the server is unreachable."""
    with pytest.raises(UpstreamUnreachable):
        await complete(open_backend(base_url="http://127.0.0.1:9/v1", api_key="k", retries=0), ASK)


@pytest.mark.parametrize("answer", [late(SILENCE, says()), streams(chunk({"content": "4"}), SILENCE)])
async def test_cancelling_ends_the_upstream_request(
    upstream: Upstream, backend: LiteLLMBackend, answer: Answer
) -> None:
    """A cancelled call leaves nothing at the server, before its first byte and after."""
    upstream.script(answer)
    tasks = [asyncio.ensure_future(complete(backend, ASK)) for _ in range(4)]
    for _ in range(2000):
        if upstream.live == 4:
            break
        await asyncio.sleep(0.005)
    assert upstream.live == 4
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await upstream.quiet()


async def test_breaking_off_ends_the_upstream_request(upstream: Upstream, backend: LiteLLMBackend) -> None:
    """Leaving the stream after its first event closes it."""
    upstream.script(streams(chunk({"content": "4"}), SILENCE))
    async with backend.stream(ASK) as events:
        await anext(events)
    assert await upstream.quiet()


def test_every_exception_of_litellm_is_mapped() -> None:
    """A class that litellm adds must be given a meaning here."""
    litellm = load()
    theirs = {
        name for name, cls in inspect.getmembers(litellm.exceptions, inspect.isclass) if issubclass(cls, Exception)
    }
    assert theirs - set(KINDS) == set()
    assert {cls.__name__ for cls in foreign_errors(litellm)} >= theirs


def test_a_kindred_exception_is_translated_like_its_kin() -> None:
    """A subclass that is not known by name is what its nearest known class is."""

    class Odd(load().exceptions.Timeout):  # type: ignore[misc]
        pass

    assert isinstance(translated(Odd("slow", "m", "p")), UpstreamTimeout)


def test_arguments_are_what_litellm_takes() -> None:
    """Standard fields go by name, all others as data, and litellm's own retries are off."""
    backend = open_backend("openai/m", api_key="k", api_version="1")
    arguments = arguments_of(backend, Request.of("hi", temperature=0.5, top_k=3, n=2))
    assert arguments == {
        "model": "openai/m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "extra_body": {"top_k": 3},
        "stream": True,
        "stream_options": {"include_usage": True},
        "api_key": "k",
        "api_version": "1",
        "timeout": 600.0,
        "num_retries": 0,
        "max_retries": 0,
    }


def test_a_key_can_be_exchanged() -> None:
    """`with_key` changes the key and nothing else."""
    backend = open_backend("openai/m", api_key="k")
    assert backend.with_key("other").options == {**backend.options, "api_key": "other"}
    assert "k'" not in repr(backend)


def test_a_prefix_needs_the_promise_of_prefill() -> None:
    """Only with `prefill` is an answer continued."""
    begun = Request(ASK.messages, ASK.params, Prefix(answer="It is"))
    last = arguments_of(open_backend(prefill=True), begun)["messages"][-1]
    assert last == {"role": "assistant", "content": "It is", "prefix": True}
    with pytest.raises(MissingCapability):
        arguments_of(open_backend(), begun)


def test_a_model_must_be_named() -> None:
    """Neither request nor backend naming a model is the caller's mistake."""
    with pytest.raises(InvalidRequest, match="model"):
        arguments_of(open_backend(), Request.of("hi"))


LEAVES_ALONE = """
import os, sys
from forethought_adapters.litellm import load, open_backend
assert "litellm" not in sys.modules
open_backend("openai/m")
assert "litellm" not in sys.modules
before = dict(os.environ)
load()
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
"""


@pytest.mark.real
@pytest.mark.parametrize("own", [{}, {"TIKTOKEN_CACHE_DIR": "/nowhere", "LITELLM_MODE": "DEV"}])
def test_importing_litellm_leaves_the_environment_alone(own: dict[str, Any]) -> None:
    """litellm is imported by `load` only, and what the user has set, or has not, stays so."""
    environment = {**os.environ, **own}
    done = subprocess.run([sys.executable, "-c", LEAVES_ALONE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
