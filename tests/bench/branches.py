"""Eight branches of one prompt together, against the same work one after another and against llama.cpp's server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import create_server
from typing import Any

import aiohttp
from lines import Line
from llama_cpp import Llama

from forethought.fold import complete
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend
from support.random_model import random_model, words

BRANCHES, PROMPT, WRITTEN, THREADS, ROUNDS = 8, 300, 128, 2, 2
SAMPLING = {"temperature": 1.0, "top_k": 40}
ENGINE = {"n_parallel": BRANCHES, "n_threads": THREADS, "n_ctx": 2048}

Way = Callable[[Path, int], Coroutine[Any, Any, float]]
"""Does the work with a model, on the prompt of that number; returns the seconds it took."""


async def measure() -> AsyncIterator[Line]:
    """Tokens per second of each way as a ratio, the best of some rounds in which they take turns."""
    binary = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    for kind in ("F32", "Q8_0"):
        model = random_model(kind)
        ways: dict[str, Way] = {"engine": ours, "its own process": isolated, "one after another": sequential}
        if binary:
            ways["llama-server"] = partial(server, binary)
        rounds = [{name: await way(model, turn) for name, way in ways.items()} for turn in range(ROUNDS)]
        speed = {name: BRANCHES * WRITTEN / min(taken[name] for taken in rounds) for name in ways}
        for name, tokens in speed.items():
            yield Line(f"{BRANCHES} branches of {WRITTEN} tokens, prompt {PROMPT}, {kind}: {name}", tokens, "tokens/s")
        for line in _ratios(kind, speed):
            yield line


def _ratios(kind: str, speed: dict[str, float]) -> Iterator[Line]:
    """Quantised, eight tokens a step cost llama.cpp's kernels more than half of eight steps: a peer feels it too."""
    gained = speed["engine"] / speed["one after another"]
    yield Line(f"engine / llama_cpp.Llama one after another, {kind}", gained, least=4 if kind == "F32" else None)
    name, why = f"engine / llama-server -np {BRANCHES}, {kind}", "no llama-server on the PATH or in LLAMA_SERVER"
    if "llama-server" in speed:
        yield Line(name, speed["engine"] / speed["llama-server"], least=0.9)
    else:
        yield Line(name, None, least=0.9, why=why)
    yield Line(f"engine in its own process / in a thread, {kind}", speed["its own process"] / speed["engine"])


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


async def server(binary: str, model: Path, turn: int) -> float:
    """Eight requests at once to llama.cpp's server."""
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with _serving(binary, model, port):
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            await _until_ready(client)
            await _ask(client, "x", 0, 8)
            began = time.perf_counter()
            prompt = words(PROMPT, seed=turn)
            await asyncio.gather(*(_ask(client, prompt, branch, WRITTEN) for branch in range(BRANCHES)))
            return time.perf_counter() - began


@contextmanager
def _serving(binary: str, model: Path, port: int) -> Iterator[None]:
    sizes = ["-np", str(BRANCHES), "-c", str(BRANCHES * 512), "-t", str(THREADS), "-tb", str(THREADS)]
    command = [binary, "-m", str(model), "--host", "127.0.0.1", "--port", str(port), *sizes]
    process = subprocess.Popen(command, cwd=Path(binary).parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


async def _until_ready(client: aiohttp.ClientSession) -> None:
    for _ in range(300):
        try:
            async with client.get("/health") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("llama-server did not become ready within 30 s")


async def _ask(client: aiohttp.ClientSession, prompt: str, seed: int, count: int) -> None:
    options = {**SAMPLING, "top_p": 1.0, "min_p": 0.0, "seed": seed, "n_predict": count, "ignore_eos": True}
    async with client.post("/completion", json={"prompt": prompt, **options, "cache_prompt": True}) as answer:
        told = await answer.json()
    assert told["tokens_predicted"] == count, told
