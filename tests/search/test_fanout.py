"""The helper that every search asks side by side with."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.errors import UpstreamTimeout
from forethought.search.fanout import Failed, Landed, Piece, fan_out
from forethought.search.vote import Vote
from forethought.stack import stack
from forethought.testing import Script, Scripted
from forethought.wire import Request

QUESTION = Request.of("?")


def slow(text: str = "a b c d e f g h") -> Scripted:
    return Scripted(Script(text, delay=0.001))


async def test_all_land() -> None:
    """Every branch that is started lands with its own answer."""
    backend = Scripted("a", "b", "c")
    async with fan_out(backend) as branches:
        for _ in range(3):
            branches.start(QUESTION)
        landed = {h.index: h.completion.text async for h in branches if isinstance(h, Landed)}
    assert landed == {0: "a", 1: "b", 2: "c"}


async def test_failure_is_an_event() -> None:
    """A branch that fails is reported, and the others go on."""
    backend = Scripted("a", Script(error=UpstreamTimeout("silent")))
    async with fan_out(backend) as branches:
        branches.start(QUESTION)
        branches.start(QUESTION)
        seen = [type(h) async for h in branches if not isinstance(h, Piece)]
    assert sorted(kind.__name__ for kind in seen) == [Failed.__name__, Landed.__name__]


async def test_foreign_error_comes_out_bare() -> None:
    """An error that is not ours leaves the block as it was raised, without a group around it."""
    backend = Scripted(Script("a", error=ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError, match="bug"):
        async with fan_out(backend) as branches:
            branches.start(QUESTION)
            async for _ in branches:
                pass


async def test_body_error_comes_out_bare() -> None:
    """What the body raises leaves the block as it was raised, and no branch is left."""
    backend = slow()
    with pytest.raises(KeyError, match="mine"):
        async with fan_out(backend) as branches:
            branches.start(QUESTION)
            async for _ in branches:
                raise KeyError("mine")
    assert backend.live == 0


async def test_cancel_one() -> None:
    """A cancelled branch ends at once and the others land."""
    backend = slow()
    async with fan_out(backend) as branches:
        first, second = branches.start(QUESTION), branches.start(QUESTION)
        assert branches.cancel(first) == 1
        landed = [h.index async for h in branches if isinstance(h, Landed)]
    assert landed == [second]


async def test_timeout_outside() -> None:
    """A time-out around the block ends every branch and is raised as TimeoutError."""
    backend = Scripted(Script("a b", delay=10))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02), fan_out(backend) as branches:
            branches.start(QUESTION)
            async for _ in branches:
                pass
    assert backend.live == 0


async def test_seeds_differ() -> None:
    """Branches of a seeded request have seeds of their own, the same in every run."""
    seeds: list[list[object]] = []
    for _ in range(2):
        backend = Scripted("a")
        async with fan_out(backend) as branches:
            for _ in range(3):
                branches.start(Request.of("?", seed=7))
            async for _ in branches:
                pass
        seeds.append([request.params["seed"] for request in backend.requests])
    assert seeds[0] == seeds[1]
    assert len(set(map(str, seeds[0]))) == 3


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 40), how=st.sampled_from(["leave", "raise", "cancel"]))
def test_votes_in_votes_leave_nothing(stop: int, how: str) -> None:
    """Votes nested in votes: however and whenever they are left, no inner call goes on."""
    backend = slow("a b c")
    nested = stack(backend, [Vote(samples=3, eager=True), Vote(samples=3, eager=True)])

    async def use() -> None:
        async with nested.stream(QUESTION) as events:
            for _ in range(stop):
                if await anext(events, None) is None:
                    return
            if how == "raise":
                raise KeyError("mine")

    async def main() -> None:
        if how == "cancel":
            task = asyncio.ensure_future(use())
            await asyncio.sleep(stop / 4000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            await asyncio.gather(use(), return_exceptions=True)
        assert backend.live == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def test_a_branch_with_a_place_and_a_backend_of_its_own() -> None:
    """It has the seed of its place, asks whom it was given, and shifts the numbers of no other."""
    backend, other = Scripted("1"), Scripted("2")
    async with fan_out(backend) as branches:
        started = [
            branches.start(Request.of("?", seed=7)),
            branches.start(Request.of("?", seed=7), at=9, backend=other),
            branches.start(Request.of("?", seed=7)),
        ]
        landed = {each.index: each.completion.text async for each in branches if isinstance(each, Landed)}
    assert started == [0, 9, 1]
    assert landed == {0: "1", 9: "2", 1: "1"}
    assert len({request.params["seed"] for request in (*backend.requests, *other.requests)}) == 3


async def test_closing_waits_for_what_was_cancelled_before() -> None:
    """A branch that was cancelled alone has ended when the branches are closed."""
    backend = Scripted(Script("a b c", delay=60.0))
    async with fan_out(backend) as branches:
        first = branches.start(QUESTION)
        await asyncio.sleep(0.01)
        branches.cancel(first)
        assert (await branches.close(), backend.live) == (0, 0)
