"""The owner thread: cancellation, closing, exit, many loops."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from forethought.errors import EngineStopped
from forethought.fold import complete
from forethought.wire import Delta, Done, Event, Request
from forethought_adapters.llamacpp import LlamaCpp, Occupancy, open_backend

TEN_SECONDS = 10.0


def endless(seed: int = 1) -> Request:
    return Request.of(f"Go on, {seed}.", temperature=0, max_tokens=480)


async def until(backend: LlamaCpp, **facts: int) -> Occupancy:
    """Wait for the engine to be in that state; fails after ten seconds."""
    async with asyncio.timeout(TEN_SECONDS):
        while any(getattr(backend.occupancy, name) != value for name, value in facts.items()):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    return backend.occupancy


async def first_delta(events: object) -> Event:
    return await anext(events)  # type: ignore[call-overload,no-any-return]


async def test_leaving_frees_the_sequence(backend: LlamaCpp) -> None:
    """Leaving the block ends the sequence, and nothing more is evaluated for it."""
    async with backend.stream(endless()) as events:
        assert isinstance(await first_delta(events), Delta)
        assert backend.live == 1
    idle = await until(backend, live=0, waiting=0)
    await asyncio.sleep(0.02)
    assert backend.occupancy.evaluated == idle.evaluated < 480


async def test_others_go_on(backend: LlamaCpp) -> None:
    """A cancelled neighbour changes nothing in what another writes."""
    alone = await complete(backend, endless(2))
    async with backend.stream(endless(1)) as events, asyncio.TaskGroup() as group:
        other = group.create_task(complete(backend, endless(2)))
        await first_delta(events)
    assert other.result().text == alone.text


async def test_a_waiting_request_can_be_cancelled(model_file: Path) -> None:
    """A request that still waits for its turn leaves the queue when it is cancelled."""
    async with open_backend(model_file, n_parallel=1, n_threads=1) as backend, backend.stream(endless(1)) as events:
        await first_delta(events)
        task = asyncio.create_task(complete(backend, endless(2)))
        await until(backend, live=1, waiting=1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(backend, waiting=0)


async def test_a_storm_of_cancels_leaves_nothing(backend: LlamaCpp) -> None:
    """Thirty-two concurrent streams, cancelled at random points, leave no sequence behind."""
    rng = random.Random(5)

    async def taste(index: int, pieces: int) -> int:
        seen = 0
        async with backend.stream(Request.of(f"{index}" * rng.randint(1, 60), seed=index, max_tokens=60)) as events:
            async for event in events:
                seen += isinstance(event, Delta)
                if seen >= pieces or isinstance(event, Done):
                    break
        return seen

    async with asyncio.timeout(60):
        tastes = await asyncio.gather(*(taste(index, rng.choice([0, 1, 5, 30, 999])) for index in range(32)))
    assert sum(tastes) > 32
    await until(backend, live=0, waiting=0)


async def test_more_streams_than_sequences_all_end(model_file: Path) -> None:
    """Requests beyond n_parallel wait and are served, also where the cells are scarce."""
    async with open_backend(model_file, n_parallel=3, n_ctx=200, n_batch=16, n_threads=1) as backend:
        requests = [Request.of("y" * 9 * (index % 5), seed=index, max_tokens=100) for index in range(12)]
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(complete(backend, request) for request in requests))
        assert all(answer.done.usage.requests == 1 for answer in answers)
        assert (await until(backend, live=0, waiting=0)).cells <= 200


@pytest.mark.parametrize(("n_parallel", "n_batch", "n_ctx"), [(1, 1, 20), (128, 1, 40), (5, 7, 300)])
async def test_odd_sizes_are_served(model_file: Path, n_parallel: int, n_batch: int, n_ctx: int) -> None:
    """However few cells and tokens a step are given, requests are answered."""
    sizes = {"n_parallel": n_parallel, "n_batch": n_batch, "n_ctx": n_ctx}
    async with open_backend(model_file, n_threads=1, **sizes) as backend:
        answers = await asyncio.gather(*(complete(backend, Request.of("x", max_tokens=3)) for _ in range(9)))
        assert all(answer.usage.completion_tokens <= 3 for answer in answers)


async def test_giving_way_changes_no_word(model_file: Path) -> None:
    """A sequence that had to give way for lack of cells writes what it would have written alone."""
    requests = [Request.of(f"{index}", temperature=0, max_tokens=150) for index in range(4)]
    async with open_backend(model_file, n_parallel=4, n_ctx=256, n_threads=1) as backend:
        alone = [(await complete(backend, request)).text for request in requests]
        together = await asyncio.gather(*(complete(backend, request) for request in requests))
        assert [answer.text for answer in together] == alone


async def test_closing_stops_what_is_in_flight(model_file: Path) -> None:
    """Closing the backend under a stream raises EngineStopped at its reader."""
    backend = open_backend(model_file, n_threads=1)
    async with backend.stream(endless()) as events:
        await first_delta(events)
        await backend.aclose()
        with pytest.raises(EngineStopped, match="closed"):
            [event async for event in events]


async def test_closing_ends_the_thread(model_file: Path) -> None:
    """After aclose no thread of the engine is left; closing again is no error."""
    backend = open_backend(model_file, n_threads=1)
    await backend.load()
    await backend.aclose()
    await backend.aclose()
    assert not [thread for thread in threading.enumerate() if thread.name == "forethought-tiny"]


async def test_a_dropped_backend_ends_its_thread(model_file: Path) -> None:
    """A backend that is forgotten unclosed ends its thread."""
    backend = open_backend(model_file, n_threads=1, name="dropped")
    await backend.load()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "forethought-dropped"]
    del backend
    gc.collect()
    await asyncio.to_thread(thread.join, TEN_SECONDS)
    assert not thread.is_alive()


async def test_concurrent_first_requests_load_once(model_file: Path) -> None:
    """Requests that arrive before the model is loaded share one load, also when one of them gives up."""
    async with open_backend(model_file, n_threads=1, name="once") as backend:
        hasty = asyncio.create_task(backend.load())
        await asyncio.sleep(0)
        hasty.cancel()
        answers = await asyncio.gather(*(complete(backend, Request.of("x", max_tokens=2)) for _ in range(3)))
        assert len(answers) == 3
        assert len([thread for thread in threading.enumerate() if thread.name == "forethought-once"]) == 1


def test_several_loops_share_a_backend(model_file: Path) -> None:
    """One backend serves event loops in several threads, and loops that come after one another."""
    backend = open_backend(model_file, n_threads=1)
    texts: list[str] = []

    def ask() -> None:
        texts.append(asyncio.run(complete(backend, Request.of("x", temperature=0, max_tokens=20))).text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TEN_SECONDS)
    ask()
    asyncio.run(backend.aclose())
    assert len(texts) == 4
    assert len(set(texts)) == 1


LEAVE = """
import asyncio, sys
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend

backend = open_backend(sys.argv[1], n_threads=1)

async def main():
    async with backend.stream(Request.of("x", temperature=0)) as events:
        await anext(events)
        {ending}

asyncio.run(main())
"""


@pytest.mark.real
@pytest.mark.parametrize(("ending", "code"), [("pass", 0), ("raise SystemExit(3)", 3)])
def test_exit_does_not_hang(model_file: Path, ending: str, code: int) -> None:
    """A process that ends with the backend open and a stream running exits at once, with its own code."""
    script = LEAVE.format(ending=ending)
    ended = subprocess.run([sys.executable, "-c", script, model_file], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (code, b"")
