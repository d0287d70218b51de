"""When the caller hangs up, at whatever byte, nothing goes on upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from forethought.policy import Policy
from forethought.search.vote import Vote
from forethought.testing import Script, Scripted
from support.eventually import eventually
from support.upstream import SILENCE, Upstream, event, late, says, streams

VOTE = Policy("eight", layers=(Vote(samples=8, eager=True),))
ONE = Policy("one", layers=(Vote(samples=1),))
WORD = event({"choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]})


def request(*, stream: bool = True, n: int = 1) -> bytes:
    asked = {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": stream, "n": n}
    body = json.dumps(asked).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


async def ask(url: str, sent: bytes, until: Callable[[bytes], Awaitable[bool]]) -> None:
    """Send bytes, wait until what came back is enough, and hang up at once."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    writer.write(sent)
    seen = b""
    while not await until(seen):
        seen += await asyncio.wait_for(reader.read(1), 10)
    writer.transport.abort()


@pytest.mark.parametrize("policy", [None, ONE, VOTE], ids=["relay", "one", "vote"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_before_the_upstream_has_answered(
    policy: Policy | None, stream: bool, start: Any, upstream: Upstream
) -> None:
    """Every call that was begun is closed."""
    upstream.script(late(SILENCE, says("42")))
    calls = 8 if policy is VOTE else 1

    async def asked(_: bytes) -> bool:
        await eventually(lambda: upstream.live == calls)
        return True

    await ask(await start(default=policy), request(stream=stream), asked)
    assert await upstream.quiet()
    assert upstream.aborted == calls


@pytest.mark.parametrize("policy", [None, ONE, VOTE], ids=["relay", "one", "vote"])
async def test_in_the_middle_of_an_answer(policy: Policy | None, start: Any, upstream: Upstream) -> None:
    """While the upstream writes, and while it is silent."""
    upstream.script(streams(WORD, 0.01, WORD, SILENCE))
    calls = 8 if policy is VOTE else 1

    async def begun(seen: bytes) -> bool:
        if policy is not VOTE:
            return b"word" in seen
        await eventually(lambda: upstream.live == calls)
        await asyncio.sleep(0.05)
        return True

    await ask(await start(default=policy), request(), begun)
    assert await upstream.quiet()


async def test_within_a_fifth_of_a_second(start: Any, upstream: Upstream) -> None:
    """Of eight calls at once; the best of five tries counts, since the machine has more to do."""
    upstream.script(late(SILENCE, says("42")))
    url = await start(default=VOTE)

    async def all_asked(_: bytes) -> bool:
        await eventually(lambda: upstream.live == 8)
        return True

    for _ in range(5):
        await ask(url, request(), all_asked)
        if await upstream.quiet(within=0.2):
            return
        assert await upstream.quiet()
    pytest.fail("calls went on for longer after each of five hang-ups")


async def test_with_several_choices(start: Any, upstream: Upstream) -> None:
    """All of them are closed."""
    upstream.script(streams(WORD, SILENCE))

    async def all_begun(seen: bytes) -> bool:
        return seen.count(b"word") >= 3 and upstream.live == 3

    await ask(await start(default=ONE), request(n=3), all_begun)
    assert await upstream.quiet()


@pytest.mark.parametrize("policy", [None, ONE], ids=["relay", "one"])
async def test_at_any_byte_of_the_answer(policy: Policy | None, start: Any, upstream: Upstream) -> None:
    """Wherever the connection is cut, the server lives on and the upstream is left alone."""
    upstream.script(streams(WORD, 0.002, WORD, 0.002, WORD, SILENCE))
    url = await start(default=policy)
    for length in range(0, 400, 23):

        async def enough(seen: bytes, length: int = length) -> bool:
            return len(seen) >= length

        await ask(url, request(), enough)
        assert await upstream.quiet()


async def test_at_any_byte_of_the_request(start: Any, upstream: Upstream) -> None:
    """Half a request asks nobody, and the server answers the next whole one."""
    url = await start(default=ONE)
    whole = request()

    async def at_once(_: bytes) -> bool:
        return True

    async def answered(seen: bytes) -> bool:
        return b"[DONE]" in seen

    for length in range(1, len(whole) - 1, 23):
        await ask(url, whole[:length], at_once)
    await ask(url, whole, answered)
    assert await upstream.quiet()
    assert len(upstream.requests) == 1


async def test_while_a_heartbeat_is_due(start: Any, upstream: Upstream) -> None:
    """Heartbeats keep no call alive."""
    upstream.script(late(SILENCE, says("42")))

    async def beaten(seen: bytes) -> bool:
        return seen.count(b": heartbeat") >= 2

    await ask(await start(default=ONE, heartbeat_s=0.02), request(), beaten)
    assert await upstream.quiet()


async def test_a_backend_that_cannot_relay_is_left_too(start: Any) -> None:
    """Its streams are closed like any other."""
    backend = Scripted(Script("one two three", delay=0.05))

    async def begun(seen: bytes) -> bool:
        return b"one" in seen

    await ask(await start(backend), request(), begun)
    await eventually(lambda: backend.live == 0)


async def test_a_caller_that_reads_nothing_holds_the_run_back(start: Any, upstream: Upstream) -> None:
    """It does not fill the memory, and is let go when it hangs up."""
    block = event({"choices": [{"index": 0, "delta": {"content": "x" * 60_000}, "finish_reason": None}]})
    upstream.script(streams(*[block] * 2000))
    url = await start(default=ONE)
    _, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port, limit=1024)
    writer.write(request())
    await eventually(lambda: upstream.live == 1)
    await asyncio.sleep(0.5)
    assert upstream.live == 1
    writer.transport.abort()
    assert await upstream.quiet()
