"""The server around the app: its models, its health, and how it stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from forethought.errors import InvalidPolicy, MissingCapability
from forethought.policy import available
from forethought.proxy import create_app, serving
from forethought.proxy.server import Drain
from forethought.testing import Scripted
from forethought_adapters.openai_http import open_backend
from support.eventually import eventually
from support.upstream import Upstream, fails, late, says

ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "6*7?"}]}


async def test_every_model_has_an_alias_for_every_policy(start: Any, sdk: Callable[[str], AsyncOpenAI]) -> None:
    """Beside the upstream's own."""
    listed = [model async for model in sdk(await start()).models.list()]
    assert [model.id for model in listed] == ["fake", *(f"{policy}/fake" for policy in available())]
    assert {model.object for model in listed} == {"model"}


async def test_the_upstreams_list_is_kept_for_a_while(
    start: Any, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    """Asking often costs the upstream nothing."""
    url = await start()
    for _ in range(3):
        async with http.get(f"{url}/v1/models") as answer:
            assert answer.status == 200
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("name", ["fake", "balanced/fake"])
async def test_one_model(name: str, start: Any, sdk: Callable[[str], AsyncOpenAI]) -> None:
    """Can be asked for by its id, slash or not."""
    assert (await sdk(await start()).models.retrieve(name)).id == name


async def test_a_backend_that_cannot_list(start: Any, sdk: Callable[[str], AsyncOpenAI]) -> None:
    """Is listed by its name, or by the ids that the app was given."""
    named = [model.id async for model in sdk(await start(Scripted("42"), policies={})).models.list()]
    given = [m.id async for m in sdk(await start(Scripted("42"), policies={}, model_ids=["tiny"])).models.list()]
    assert (named, given) == (["scripted"], ["tiny"])


async def test_an_upstream_without_a_list(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """Is an error that says so, unless the app was given the ids."""
    await upstream.__aexit__()
    async with http.get(f"{await start()}/v1/models") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (502, "upstream_unreachable")
    async with http.get(f"{await start(model_ids=['m'])}/v1/models") as answer:
        assert answer.status == 200


async def test_it_is_healthy_and_ready(start: Any, http: aiohttp.ClientSession) -> None:
    """As soon as it listens."""
    url = await start()
    for path in ("healthz", "readyz"):
        async with http.get(f"{url}/{path}") as answer:
            assert answer.status == 200


async def test_a_server_that_stops_says_so_and_lets_answers_end(
    upstream: Upstream, http: aiohttp.ClientSession
) -> None:
    """It is alive and no longer ready, and what has begun is answered whole."""
    upstream.script(late(0.5, says("It is 42")))
    app = create_app(open_backend(upstream.base_url))
    drain = Drain(notice_s=0.3, drain_s=10)
    block = serving(app, drain=drain)
    url = await block.__aenter__()
    answering = asyncio.ensure_future(http.post(f"{url}/v1/chat/completions", json=ASK).__aenter__())
    await eventually(lambda: upstream.live == 1)
    stopping = asyncio.ensure_future(block.__aexit__(None, None, None))
    await eventually(lambda: app.state.draining)
    async with http.get(f"{url}/readyz") as ready, http.get(f"{url}/healthz") as healthy:
        assert (ready.status, healthy.status) == (503, 200)
    answer = await answering
    assert (await answer.json())["choices"][0]["message"]["content"] == "It is 42"
    answer.release()
    await stopping


async def test_an_address_in_use_is_an_error(start: Any) -> None:
    """Before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await serving(create_app(Scripted("42")), port=taken.getsockname()[1]).__aenter__()


def test_a_default_policy_must_exist() -> None:
    """The mistake is found when the app is made."""
    with pytest.raises(InvalidPolicy, match="nope"):
        create_app(Scripted("42"), default="nope")


def test_keys_can_only_be_passed_to_a_backend_that_takes_them() -> None:
    """The mistake is found when the app is made."""
    with pytest.raises(MissingCapability, match="key"):
        create_app(Scripted("42"), pass_through_key=True)


async def test_connections_are_kept_after_an_error(start: Any, http: aiohttp.ClientSession, upstream: Upstream) -> None:
    """An error ends a request and not the connection."""
    upstream.script(fails(500), says("42"))
    url = await start()
    statuses: list[int] = []
    for _ in range(2):
        async with http.post(f"{url}/v1/chat/completions", json=ASK) as answer:
            statuses.append(answer.status)
            await answer.read()
    assert (statuses, upstream.connections) == ([500, 200], 1)
