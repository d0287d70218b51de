"""`forethought serve`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from support.upstream import Upstream, says

from .conftest import COMMAND, Forethought, environment

BODY = {"model": "m", "messages": [{"role": "user", "content": "6*7?"}]}


@asynccontextmanager
async def serving(home: Path, *options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The command at work: its URL, read from what it prints, and its process."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, "serve", "--port", "0", *options, env=environment(home), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            greeting = (await process.stderr.readline()).decode()
        found = re.search(r"http://\S+/v1", greeting)
        assert found, greeting
        yield found[0], process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def post(url: str, body: object, **headers: str) -> dict[str, object]:
    named = {"content-type": "application/json", **headers}
    request = Request(f"{url}/chat/completions", json.dumps(body).encode(), named)

    def send() -> dict[str, object]:
        with urlopen(request, timeout=60) as response:
            answer: dict[str, object] = json.load(response)
            return answer

    return await asyncio.to_thread(send)


async def test_in_front_of_a_server(upstream: Upstream, tmp_path: Path) -> None:
    """A request that names no policy goes on as it is."""
    upstream.script(says("42"))
    async with serving(tmp_path, "--upstream", upstream.base_url) as (url, _):
        answer = await post(url, BODY)
    assert answer["choices"][0]["message"]["content"] == "42"  # type: ignore[index]
    assert upstream.requests[-1].json == BODY


async def test_policy_by_default(upstream: Upstream, tmp_path: Path) -> None:
    """With --policy every request is answered as it says."""
    upstream.script(says("42"))
    async with serving(tmp_path, "--upstream", upstream.base_url, "--policy", "balanced") as (url, _):
        answer = await post(url, BODY)
    assert answer["forethought"]["policy"] == "balanced"  # type: ignore[index]


async def test_the_callers_key(upstream: Upstream, tmp_path: Path) -> None:
    """With --pass-through-key the upstream is asked with the caller's key."""
    upstream.script(says("42"))
    async with serving(tmp_path, "--upstream", upstream.base_url, "--pass-through-key") as (url, _):
        await post(url, BODY, authorization="Bearer sk-caller")
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-caller"


async def test_interrupt(upstream: Upstream, tmp_path: Path) -> None:
    """Ctrl-C lets an answer that has begun come to its end, and then the command ends well."""
    upstream.script(says("forty two", pause=0.2))
    async with serving(tmp_path, "--upstream", upstream.base_url) as (url, process):
        answering = asyncio.create_task(post(url, {**BODY, "stream": False}))
        for _ in range(600):
            if upstream.requests:
                break
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert (await answering)["choices"]
        async with asyncio.timeout(60):
            assert await process.wait() in (0, 130, -signal.SIGINT)


async def test_an_address_that_is_taken(forethought: Forethought) -> None:
    """A port that is in use is one line and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = await forethought("serve", "--upstream", "http://127.0.0.1:1/v1", "--port", str(port))
    assert finished.code == 1
    assert finished.err.startswith(f"forethought: cannot listen on 127.0.0.1:{port}: ")
    assert finished.err.count("\n") == 1


async def test_a_policy_that_is_not_there(forethought: Forethought) -> None:
    """An unknown policy is refused before anything is served."""
    finished = await forethought("serve", "--upstream", "http://127.0.0.1:1/v1", "--policy", "nope")
    assert finished.code == 2
    assert "nope" in finished.err


@pytest.mark.usefixtures("local_engine")
async def test_the_embedded_model(tmp_path: Path) -> None:
    """Without any option the pocket model is served, under every policy."""
    async with serving(tmp_path) as (url, _):
        question = {"messages": [{"role": "user", "content": "a=3 b=a+4 b?"}]}
        answer = await post(url, {**question, "model": "balanced/pocket"})
    assert answer["forethought"]["samples"] >= 1  # type: ignore[index]


@pytest.mark.usefixtures("local_engine")
async def test_a_file_that_is_no_model(forethought: Forethought) -> None:
    """A file that cannot be used is told of before anything is served."""
    finished = await forethought("serve", "--gguf", "/dev/null", "--port", "0")
    assert finished.code == 1
    assert finished.err.startswith("forethought: '/dev/null' is not a usable GGUF file")
