"""Eight branches of one prompt together, against the same work one after another and against servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from bare import Bare
from lines import Line
from llama_cpp import Llama
from servers import Peer, ask_at_once, llama_server, python_server

from forethought.fold import complete
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend
from support.random_model import random_model, words

BRANCHES, PROMPT, WRITTEN, THREADS, ROUNDS = 8, 300, 128, 2, 2
SAMPLING = {"temperature": 1.0, "top_k": 40}
ENGINE: dict[str, Any] = {"n_parallel": BRANCHES, "n_threads": THREADS, "n_ctx": 2048}

PEERS = (
    ("llama-server", 0.9, "`make llama-server` builds it"),
    ("llama_cpp.server", None, "llama-cpp-python[server] is not installed"),
)
"""Servers, the bars of the engine against them, and what is missing where they are."""

Way = Callable[[Path, int], Coroutine[Any, Any, float]]
"""Does the work with a model, on the prompt of that number; returns the seconds it took."""


async def measure() -> AsyncIterator[Line]:
    """Tokens per second of each way as a ratio, the best of some rounds in which they take turns."""
    peers = {"llama-server": llama_server(BRANCHES, THREADS), "llama_cpp.server": python_server(THREADS)}
    for kind in ("F32", "Q8_0"):
        model = random_model(kind)
        ways: dict[str, Way] = {"engine": ours, "its own process": isolated, "one after another": sequential}
        ways |= {"bare loop": bare, **{name: partial(served, peer) for name, peer in peers.items() if peer}}
        rounds = [{name: await way(model, turn) for name, way in ways.items()} for turn in range(ROUNDS)]
        speed = {name: BRANCHES * WRITTEN / min(taken[name] for taken in rounds) for name in ways}
        for name, tokens in speed.items():
            yield Line(f"{BRANCHES} branches of {WRITTEN} tokens, prompt {PROMPT}, {kind}: {name}", tokens, "tokens/s")
        for line in _ratios(kind, speed):
            yield line


def _ratios(kind: str, speed: dict[str, float]) -> Iterator[Line]:
    """Quantised, eight tokens a step cost llama.cpp's kernels more than half of eight steps: a peer feels it too.

    The bare loop says how much of that is llama.cpp's and how much ours.
    """
    ours, alone = speed["engine"], speed["one after another"]
    yield Line(f"engine / llama_cpp.Llama one after another, {kind}", ours / alone, least=4 if kind == "F32" else None)
    yield Line(f"a bare loop of llama_decode / llama_cpp.Llama one after another, {kind}", speed["bare loop"] / alone)
    yield Line(f"engine / a bare loop of llama_decode, {kind}", ours / speed["bare loop"])
    for name, least, why in PEERS:
        there = speed.get(name)
        yield Line(f"engine / {name}, {kind}", ours / there if there else None, least=least, why="" if there else why)
    yield Line(f"engine in its own process / in a thread, {kind}", speed["its own process"] / ours)


async def sharing() -> AsyncIterator[Line]:
    """How often a prompt is evaluated for sixteen branches."""
    count = 16
    async with open_backend(random_model(), **{**ENGINE, "n_parallel": count}) as backend:
        answers = await asyncio.gather(*(complete(backend, _request(0, branch)) for branch in range(count)))
    evaluated = sum(answer.usage.prompt_tokens - answer.usage.cached_tokens for answer in answers)
    # Each branch evaluates the last token of the prompt for itself, to draw its own first token from it.
    yield Line(
        f"prompt evaluated for {count} branches", evaluated / answers[0].usage.prompt_tokens, "prompts", most=1.1
    )


def _request(turn: int, branch: int) -> Request:
    return Request.of(words(PROMPT - 4, seed=turn), **SAMPLING, seed=branch, max_tokens=WRITTEN)


async def ours(model: Path, turn: int, **options: Any) -> float:
    """Eight requests at once to one engine."""
    async with open_backend(model, **ENGINE, **options) as backend:
        await complete(backend, Request.of("x", max_tokens=8))
        began = time.perf_counter()
        answers = await asyncio.gather(*(complete(backend, _request(turn, branch)) for branch in range(BRANCHES)))
        taken = time.perf_counter() - began
    assert all(answer.usage.completion_tokens == WRITTEN for answer in answers)
    return taken


async def isolated(model: Path, turn: int) -> float:
    """The same with the engine in a process of its own."""
    return await ours(model, turn, isolation="process")


async def sequential(model: Path, turn: int) -> float:
    """Eight completions by llama-cpp-python's own class, which keeps the prompt between them."""
    return await asyncio.to_thread(_sequential, model, turn)


def _sequential(model: Path, turn: int) -> float:
    llama = Llama(str(model), n_ctx=512, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)
    prompt = llama.tokenize(words(PROMPT, seed=turn).encode(), add_bos=False, special=True)
    options = {**SAMPLING, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}
    llama.create_completion(llama.tokenize(b"x"), max_tokens=8)
    began = time.perf_counter()
    for branch in range(BRANCHES):
        answer: Any = llama.create_completion(prompt, max_tokens=WRITTEN, seed=branch, **options)
        assert answer["usage"]["completion_tokens"] == WRITTEN
    taken = time.perf_counter() - began
    llama.close()
    return taken


async def bare(model: Path, turn: int) -> float:
    """The same tokens in a loop of llama_decode: what the machine gives at most."""
    del turn
    return await asyncio.to_thread(_bare, model)


def _bare(model: Path) -> float:
    with closing(Bare(model, BRANCHES, cells=ENGINE["n_ctx"], threads=THREADS)) as loop:
        loop.run(8, SAMPLING)
        began = time.perf_counter()
        loop.run(WRITTEN, SAMPLING, prompt=PROMPT)
        return time.perf_counter() - began


async def served(peer: Peer, model: Path, turn: int) -> float:
    """Eight requests at once to a server."""
    bodies = [{**SAMPLING, "top_p": 1.0, "min_p": 0.0, "seed": branch} for branch in range(BRANCHES)]
    return await ask_at_once(peer, model, words(PROMPT, seed=turn), WRITTEN, bodies)
