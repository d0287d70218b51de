"""Holding calls back: the rate, the number at once, and the order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.fold import complete
from forethought.testing import Script, Scripted
from forethought.throttle import Gate, Throttled
from forethought.wire import Request

ASK = Request.of("6*7?")


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_no_more_run_at_once_than_allowed() -> None:
    """A place is kept until its stream is closed."""
    backend = Scripted(Script("a b c", delay=0.001))
    throttled = Throttled(backend, Gate(concurrency=2))
    most = 0
    asking = [asyncio.ensure_future(complete(throttled, ASK)) for _ in range(9)]
    while not all(task.done() for task in asking):
        most = max(most, backend.live)
        await asyncio.sleep(0)
    assert (most, len(backend.requests)) == (2, 9)


async def test_a_probe_needs_no_place_of_its_own() -> None:
    """A probe is asked beside the stream that waits for it, though that has the only place."""
    throttled = Throttled(Scripted("42"), Gate(concurrency=1))
    async with throttled.stream(ASK):
        answer = await complete(throttled, ASK.with_context(probing=True))
    assert answer.text == "42"


async def test_no_more_start_in_a_period_than_allowed() -> None:
    """The call beyond the rate waits for the next period."""
    gate = Gate(requests=2, period_s=3600)
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with gate.hold():
            entered.append(number)

    tasks = [asyncio.ensure_future(enter(number)) for number in range(4)]
    await settled()
    assert entered == [0, 1]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_first_come_first_served() -> None:
    """Under a rate, calls start in the order in which they came, all of them in the end."""
    gate = Gate(requests=1, concurrency=3, period_s=0.01)
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with gate.hold():
            entered.append(number)

    await asyncio.gather(*(enter(number) for number in range(6)))
    assert entered == list(range(6))


@given(st.lists(st.integers(0, 5), max_size=6, unique=True))
async def test_who_stops_waiting_leaves_his_place_to_the_next(leaving: list[int]) -> None:
    """Cancelled waiters neither block the queue nor take a place."""
    gate = Gate(concurrency=1)
    entered: list[int] = []
    open_ = asyncio.Event()

    async def enter(number: int) -> None:
        async with gate.hold():
            entered.append(number)
            await open_.wait()

    tasks = [asyncio.ensure_future(enter(number)) for number in range(6)]
    await settled()
    for number in leaving:
        tasks[number].cancel()
    await settled()
    open_.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    stayed = [number for number in range(6) if number not in leaving]
    assert [number for number in entered if number not in leaving] == stayed
    assert set(entered) - set(stayed) <= {0}


async def test_without_limits_nothing_waits() -> None:
    """A gate without limits lets everything through."""
    backend = Scripted(Script("a", delay=0.001))
    await asyncio.gather(*(complete(Throttled(backend, Gate()), ASK) for _ in range(20)))
    assert len(backend.requests) == 20


async def test_a_throttled_backend_is_what_it_wraps() -> None:
    """Capabilities are those of the inner backend."""
    backend = Scripted("42")
    assert Throttled(backend, Gate()).capabilities is backend.capabilities


def test_one_gate_serves_several_event_loops() -> None:
    """Each event loop counts for itself."""
    throttled = Throttled(Scripted("42"), Gate(requests=1, concurrency=1))
    assert [asyncio.run(complete(throttled, ASK)).text for _ in range(2)] == ["42", "42"]


@pytest.mark.parametrize("limit", [{"requests": 0}, {"concurrency": -1}])
def test_a_limit_that_lets_nothing_through_is_refused(limit: dict[str, int]) -> None:
    """Zero is no limit but a mistake, named."""
    with pytest.raises(InvalidPolicy, match=next(iter(limit))):
        Gate(**limit)  # type: ignore[arg-type]
