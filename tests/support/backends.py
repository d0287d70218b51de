"""Every backend there is, each over the real part it speaks to, under one suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from forethought import plugins
from forethought.engine import Engine
from forethought.policy import Policy
from forethought.ports import Backend
from forethought.search.ladder import Ladder
from forethought.search.vote import Vote
from forethought.stack import stack
from forethought.steer.limit import Limit
from forethought.testing import Replay, Script, Scripted
from forethought.wire import Request
from support.upstream import Upstream, says

ANSWER = "forty two and that is my final word on it"
THOUGHT = "six times seven is easy"


@dataclass(frozen=True)
class Case:
    """A backend under test, a request that it can answer, and how many of its calls go on right now."""

    backend: Backend
    request: Request
    live: Callable[[], int]


def _scripted() -> Scripted:
    return Scripted(Script(ANSWER, reasoning=THOUGHT, delay=0.001))


@asynccontextmanager
async def scripted() -> AsyncIterator[Case]:
    backend = _scripted()
    yield Case(backend, Request.of("?"), lambda: backend.live)


@asynccontextmanager
async def replay() -> AsyncIterator[Case]:
    backend = Replay([{"question": "?", "samples": [f"<think>{THOUGHT}</think>{ANSWER}"]}])
    yield Case(backend, Request.of("?"), lambda: 0)


@asynccontextmanager
async def openai_http() -> AsyncIterator[Case]:
    async with (
        Upstream(says(ANSWER, reasoning=THOUGHT, pause=0.001)) as upstream,
        plugins.load("forethought.backends", "openai")(upstream.base_url, api_key="k") as backend,
    ):
        yield Case(backend, Request.of("?", model="fake"), lambda: upstream.live)


@asynccontextmanager
async def litellm() -> AsyncIterator[Case]:
    async with Upstream(says(ANSWER, reasoning=THOUGHT, pause=0.001)) as upstream:
        backend = plugins.open_backend("litellm", base_url=upstream.base_url, api_key="k")
        yield Case(backend, Request.of("?", model="openai/fake"), lambda: upstream.live)
        await plugins.load("forethought.backends", "litellm").__globals__["load"]().close_litellm_async_clients()


@asynccontextmanager
async def pocket() -> AsyncIterator[Case]:
    async with _pocket() as backend:
        yield _posed(backend)


@asynccontextmanager
async def isolated() -> AsyncIterator[Case]:
    yield _posed(_isolated())


def _pocket(**options: Any) -> Any:
    pytest.importorskip("llama_cpp", reason="the local engine needs llama-cpp-python")
    return plugins.load("forethought.backends", "pocket")(**options)


@cache
def _isolated() -> Any:
    """One for all tests: to start a process takes longer than to ask it; it ends with this one."""
    return _pocket(isolation="process")


def _posed(backend: Any) -> Case:
    problem = plugins.load("forethought.problems", "pocket").problems("dev", 1, seed=1)[0]
    request = Request(tuple(problem.messages), {"seed": 1, "temperature": 1.0})
    return Case(backend, request, lambda: backend.live)


@asynccontextmanager
async def layered() -> AsyncIterator[Case]:
    backend = _scripted()
    yield Case(stack(backend, [Vote(samples=3), Limit(reasoning_tokens=3)]), Request.of("?"), lambda: backend.live)


@asynccontextmanager
async def climbing() -> AsyncIterator[Case]:
    backend = _scripted()
    yield Case(stack(backend, [Ladder(direct_tokens=3, threshold=0.9)]), Request.of("?"), lambda: backend.live)


@asynccontextmanager
async def engine() -> AsyncIterator[Case]:
    backend = _scripted()
    yield Case(Engine(backend, Policy("p", layers=(Limit(),))), Request.of("?"), lambda: backend.live)


CASES = {
    made.__name__: made
    for made in (scripted, replay, openai_http, litellm, pocket, isolated, layered, climbing, engine)
}
