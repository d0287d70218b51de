"""Peers that speak HTTP: llama.cpp's own server, and that of llama-cpp-python."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from socket import create_server
from typing import Any

import aiohttp

BUILT = Path(__file__).parents[2] / "build/llama-server/bin/llama-server"
"""Where `make llama-server` leaves it."""
READY_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: how it is started on a model and a port, what says that it is ready, and how it is asked."""

    command: Callable[[Path, int], list[str]]
    ready: str
    path: str
    length: str
    written: Callable[[Any], int]
    options: dict[str, Any]


def llama_server(branches: int, threads: int) -> Peer | None:
    """That of llama.cpp, where there is one: named by LLAMA_SERVER, on the PATH, or built by `make llama-server`."""
    binary = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server") or (str(BUILT) if BUILT.exists() else None)
    if binary is None:
        return None
    sizes = ["-np", str(branches), "-c", str(branches * 512), "-t", str(threads), "-tb", str(threads)]
    return Peer(
        lambda model, port: [binary, "-m", str(model), "--host", "127.0.0.1", "--port", str(port), *sizes],
        ready="/health",
        path="/completion",
        length="n_predict",
        written=lambda told: told["tokens_predicted"],
        options={"ignore_eos": True, "cache_prompt": True},
    )


def python_server(threads: int) -> Peer | None:
    """That of llama-cpp-python, where what it needs is installed: one `Llama` behind a lock."""
    if not all(find_spec(name) for name in ("fastapi", "sse_starlette", "starlette_context", "pydantic_settings")):
        return None
    sizes = ["--n_ctx", "512", "--n_threads", str(threads), "--n_threads_batch", str(threads), "--logits_all", "false"]
    start = [sys.executable, "-m", "llama_cpp.server", "--interrupt_requests", "false", "--host", "127.0.0.1", *sizes]
    return Peer(
        lambda model, port: [*start, "--port", str(port), "--model", str(model)],
        ready="/v1/models",
        path="/v1/completions",
        length="max_tokens",
        written=lambda told: told["usage"]["completion_tokens"],
        options={"repeat_penalty": 1.0},
    )


async def ask_at_once(peer: Peer, model: Path, prompt: str, count: int, bodies: list[dict[str, Any]]) -> float:
    """Ask for `count` tokens after `prompt` as often as there are bodies, all at once; returns the seconds it took."""
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with _serving(peer.command(model, port)):
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            await _until_ready(client, peer.ready)
            await _ask(client, peer, "x", 8, bodies[0])
            began = time.perf_counter()
            await asyncio.gather(*(_ask(client, peer, prompt, count, body) for body in bodies))
            return time.perf_counter() - began


@contextmanager
def _serving(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


async def _until_ready(client: aiohttp.ClientSession, path: str) -> None:
    for _ in range(10 * READY_WITHIN_S):
        try:
            async with client.get(path) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the server did not become ready within {READY_WITHIN_S} s")


async def _ask(client: aiohttp.ClientSession, peer: Peer, prompt: str, count: int, body: dict[str, Any]) -> None:
    asked = {**body, **peer.options, "prompt": prompt, peer.length: count}
    async with client.post(peer.path, json=asked) as answer:
        told = await answer.json()
    assert peer.written(told) == count, told
