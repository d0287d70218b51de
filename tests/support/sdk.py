"""The `openai` SDK, async and blocking, driven the same way."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import openai

from forethought.budget import Budget
from forethought.clients import wrap
from forethought.policy import Policy
from forethought.search.vote import Vote

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
