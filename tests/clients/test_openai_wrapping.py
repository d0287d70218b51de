"""What wrapping an `openai` client does to it, to its copy and to the process. Runs on 2.x and 3.x."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest

from forethought.clients import NotWrappable, wrap
from forethought.errors import InvalidPolicy, MissingCapability
from forethought.policy import Policy
from forethought.ports import Backend, Capabilities, Stream
from forethought.wire import Request
from support.sdk import ASK, VOTE, Sdk
from support.upstream import Upstream


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


@pytest.mark.skipif(importlib.util.find_spec("httpx") is None, reason="httpx is not installed")
async def test_an_older_http_client_sends(sdk: Sdk, upstream: Upstream) -> None:
    """On openai 3 a client may still bring an HTTP client of the first httpx; its copy has one of the same kind."""
    older = importlib.import_module("httpx")
    http = older.Client() if sdk.blocking else older.AsyncClient()
    assert (await sdk.create(sdk.wrapped(http_client=http))).choices[0].message.content == "42"


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
    with openai.OpenAI(base_url=upstream.base_url, api_key="key") as client:
        wrapped = wrap(client, policy=VOTE)
        assert not _serving()
        await asyncio.to_thread(wrapped.chat.completions.create, **ASK)
        assert _serving()
        wrapped.close()
        assert not _serving()


def _serving() -> bool:
    return any(thread.name == "forethought" for thread in threading.enumerate())


async def test_a_forgotten_copy_leaves_no_thread(upstream: Upstream) -> None:
    """The thread of a blocking copy ends when nobody holds the copy any more."""
    with openai.OpenAI(base_url=upstream.base_url, api_key="key") as client:
        wrapped = wrap(client, policy=VOTE)
        await asyncio.to_thread(wrapped.chat.completions.create, **ASK)
        del wrapped
        for _ in range(1000):
            gc.collect()
            if not _serving():
                break
            await asyncio.sleep(0.005)
        assert not _serving()


@pytest.mark.real
def test_wrapping_imports_no_server_and_no_other_sdk() -> None:
    """A wrapped client needs neither the proxy's extra nor an SDK that the application has not imported."""
    script = """
import sys
from forethought.clients import NotWrappable, wrap
try:
    wrap({})
except NotWrappable:
    pass
assert "openai" not in sys.modules
import openai
wrap(openai.OpenAI(api_key="key"))
assert not {"starlette", "uvicorn", "litellm", "llama_cpp"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


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
