"""Asking again: when, how often, and when not."""

from __future__ import annotations

import asyncio

import pytest

from forethought.errors import ForethoughtError, InvalidRequest, UpstreamProtocol, UpstreamStatus, UpstreamTimeout
from forethought.ports import Bound
from forethought.retry import Retry
from forethought.testing import Script, Scripted
from forethought.wire import Delta, Done, Event, Note, Request

ASK = Request.of("6*7?")
SOON = Retry(attempts=3, wait_s=0.001)
BUSY = UpstreamStatus(503, b"busy")


async def collected(retry: Retry, backend: Scripted) -> list[Event]:
    async with retry.stream(backend, ASK) as events:
        return [event async for event in events]


async def test_what_succeeds_is_asked_once() -> None:
    """A stream that begins is passed on as it is."""
    backend = Scripted("42")
    delta, done = await collected(SOON, backend)
    assert (delta, isinstance(done, Done), len(backend.requests)) == (Delta("42"), True, 1)


async def test_a_transient_failure_is_asked_again() -> None:
    """Until a call begins to answer; each wait is told in a note before the answer."""
    backend = Scripted(Script(error=BUSY), Script(error=UpstreamTimeout("slow")), "42")
    events = await collected(SOON, backend)
    assert [type(event) for event in events] == [Note, Note, Delta, Done]
    assert backend.live == 0


async def test_the_last_failure_is_raised() -> None:
    """After the last attempt its own error is raised, not one about retrying."""
    backend = Scripted(Script(error=BUSY))
    with pytest.raises(UpstreamStatus) as caught:
        await collected(SOON, backend)
    assert caught.value is BUSY
    assert len(backend.requests) == 3


@pytest.mark.parametrize(
    "error",
    [
        UpstreamStatus(400, b"no"),
        UpstreamStatus(503, b"no", {"x-should-retry": "false"}),
        UpstreamStatus(429, b"later", {"retry-after": "3600"}),
        UpstreamProtocol("html"),
        InvalidRequest("n", 0, "more"),
    ],
)
async def test_some_failures_are_final(error: ForethoughtError) -> None:
    """What asking again cannot mend, or only after too long a wait, is raised at once."""
    backend = Scripted(Script(error=error))
    with pytest.raises(type(error)):
        await collected(SOON, backend)
    assert len(backend.requests) == 1


async def test_after_the_first_event_nothing_is_asked_again() -> None:
    """A stream that breaks in the middle is raised: its beginning has been seen."""
    backend = Scripted(Script("one two", error=BUSY, fail_after=1))
    with pytest.raises(UpstreamStatus):
        await collected(SOON, backend)
    assert len(backend.requests) == 1


async def test_the_upstream_says_how_long_to_wait() -> None:
    """`retry-after` is kept to rather than the own backoff."""
    backend = Scripted(Script(error=UpstreamStatus(429, b"", {"retry-after-ms": "1"})), "42")
    events = await collected(Retry(wait_s=1000.0, longest_wait_s=1000.0), backend)
    assert isinstance(events[0], Note)
    assert "asking again in 0.0 s" in events[0].text


async def test_waiting_can_be_cancelled() -> None:
    """A cancelled wait asks nothing more."""
    backend = Scripted(Script(error=UpstreamStatus(429, b"", {"retry-after": "20"})))
    task = asyncio.ensure_future(collected(SOON, backend))
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(backend.requests), backend.live) == (1, 0)


async def test_concurrent_retries_do_not_mix() -> None:
    """Many streams through one Retry count their attempts each for themselves."""

    backends = [Scripted(Script(error=BUSY), Script(error=BUSY), "42") for _ in range(40)]
    streams = await asyncio.gather(*(collected(SOON, backend) for backend in backends))
    assert [len(backend.requests) for backend in backends] == [3] * 40
    assert {len(events) for events in streams} == {4}


def test_the_worst_case_is_every_attempt() -> None:
    """Each attempt may cost a whole call."""
    assert Retry(attempts=4).worst_case(Bound(2, 100)) == Bound(8, 400)


async def test_what_is_no_stream() -> None:
    """Any other call is tried as often, and its result is what it brought back."""
    tries: list[UpstreamStatus] = []

    async def ask() -> int:
        tries.append(BUSY)
        if len(tries) < 3:
            raise BUSY
        return len(tries)

    assert await SOON.call(ask) == 3
