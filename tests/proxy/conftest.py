"""Starts real proxies over the real upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from forethought.ports import Backend
from forethought.proxy import create_app, serving
from forethought_adapters.openai_http import open_backend
from support.upstream import Upstream

Start = Callable[..., Awaitable[str]]


@pytest.fixture
async def start(upstream: Upstream) -> AsyncIterator[Start]:
    """Starts a proxy over the upstream, or over another backend, and gives its URL."""
    async with AsyncExitStack() as stack:

        async def started(backend: Backend | None = None, **options: Any) -> str:
            timeout_s = options.pop("timeout_s", 10.0)
            if backend is None:
                backend = open_backend(upstream.base_url, api_key="sk-upstream", retries=0, timeout_s=timeout_s)
            return await stack.enter_async_context(serving(create_app(backend, **options)))

        yield started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows an answer as it came."""
    async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(30)) as session:
        yield session


@pytest.fixture
async def sdk() -> AsyncIterator[Callable[[str], AsyncOpenAI]]:
    """The unmodified SDK, pointed at a proxy; it repeats nothing."""
    async with AsyncExitStack() as stack:
        clients: list[AsyncOpenAI] = []

        def client(url: str) -> AsyncOpenAI:
            clients.append(AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-caller", max_retries=0, timeout=30))
            stack.push_async_callback(clients[-1].close)
            return clients[-1]

        yield client
