"""Many streams for a long time, with random lengths and random ends: what is left of them afterwards."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psutil
from lines import Line
from rich.progress import Progress
from scipy.stats import linregress

from forethought.fold import complete
from forethought.wire import Delta, Done, Request
from forethought_adapters.llamacpp import LlamaCpp
from forethought_adapters.pocket import open_backend

STREAMS = 64
WARM_UP = 0.5
"""The share of the time after which memory is watched: caches have filled by then."""


@dataclass(slots=True)
class Seen:
    """What the streams have told."""

    until: float
    ended: int = 0
    cancelled: int = 0
    tokens: int = 0
    waits: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


async def measure(seconds: float) -> AsyncIterator[Line]:
    """Sixty-four readers that ask again at once, a third of whose streams are left at some point."""
    began = time.monotonic()
    seen = Seen(until=began + seconds)
    backend = open_backend(n_parallel=16, n_ctx=4096, n_parked=1024)
    tasks_before = len(asyncio.all_tasks())
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(seen, began))
        for index in range(STREAMS):
            group.create_task(_reader(backend, seen, random.Random(index)))
    for _ in range(400):
        left = backend.live + len(asyncio.all_tasks()) - tasks_before
        if not left:
            break
        await asyncio.sleep(0.005)
    yield Line(f"{STREAMS} streams for {seconds:g} s: ended", seen.ended, "streams")
    yield Line(f"{STREAMS} streams for {seconds:g} s: left early", seen.cancelled, "streams")
    yield Line(f"{STREAMS} streams for {seconds:g} s: speed", seen.tokens / seconds, "tokens/s")
    yield Line("sequences and tasks that are left", left, "", most=0)
    yield Line(
        "prompts that fill the cache, read together afterwards",
        max([await _fill(backend) for _ in range(5)]),
        "of 4",
        least=4,
    )
    yield _growth(seen.memory, WARM_UP * seconds)
    waits = sorted(seen.waits)
    yield Line("wait for the first token, longest / median", waits[-1] / waits[len(waits) // 2], most=5)
    await backend.aclose()


async def _reader(backend: LlamaCpp, seen: Seen, dice: random.Random) -> None:
    while time.monotonic() < seen.until:
        length = dice.choice((4, 16, 64, 256))
        leave_after = dice.randrange(length) if dice.random() < 1 / 3 else length
        began, tokens = time.monotonic(), 0
        request = Request.of("a = 3. " * dice.randint(1, 40), temperature=1.0, max_tokens=length)
        async with backend.stream(request) as events:
            async for event in events:
                if isinstance(event, Done):
                    seen.ended += 1
                    break
                if isinstance(event, Delta):
                    if not tokens:
                        seen.waits.append(time.monotonic() - began)
                    tokens += 1
                    if tokens > leave_after:
                        seen.cancelled += 1
                        break
        seen.tokens += tokens


async def _watch(seen: Seen, began: float) -> None:
    process = psutil.Process()
    with Progress(transient=True) as progress:
        shown = progress.add_task("", total=seen.until - began)
        while (now := time.monotonic()) < seen.until:
            seen.memory.append((now - began, process.memory_info().rss / 2**20))
            told = f"soak: {seen.ended:,} streams ended, {seen.cancelled:,} left early"
            progress.update(shown, completed=now - began, description=told)
            await asyncio.sleep(0.25)


def _growth(memory: list[tuple[float, float]], after: float) -> Line:
    """The slope of memory over time, once the caches have filled."""
    times, sizes = zip(*((at, size) for at, size in memory if at >= after), strict=True)
    slope = float(linregress(times, sizes).slope) * 600
    return Line("memory grows by", slope, "MiB in 10 minutes", most=20, why=f"{sizes[-1]:.0f} MiB at the end")


async def _fill(backend: LlamaCpp) -> int:
    """How many prompts are read side by side that together take every cell: all, unless cells were lost.

    Fewer also where the first has ended before the last was asked, so one try proves no loss.
    """
    facts = await backend.load()
    frame = (await complete(backend, Request.of("x", max_tokens=1))).usage.prompt_tokens - 1
    prompts = [f"{index}" * (facts.longest - frame - 1) for index in range(facts.cells // facts.longest)]
    asked = [asyncio.create_task(complete(backend, Request.of(prompt, max_tokens=1))) for prompt in prompts]
    most = 0
    while not all(task.done() for task in asked):
        most = max(most, backend.occupancy.live)
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    return most
