"""What the scheduler adds to a decoded token, over a loop of llama_decode and the same sampling.

With one thread in native code the CPU time of the process is all that is spent, the event loop's part included,
and it is the figure that noise on a shared machine disturbs least.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing

from bare import Bare
from lines import Line

from forethought.fold import complete
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend
from support.random_model import random_model

SEQUENCES, WRITTEN, THREADS, ROUNDS = 8, 128, 1, 3
SAMPLING = {"temperature": 1.0, "top_k": 40}
CELLS = SEQUENCES * (WRITTEN + 8)


async def measure() -> AsyncIterator[Line]:
    """The lowest CPU time of some rounds in which both take turns."""
    rounds = [(await _ours(), await asyncio.to_thread(_bare)) for _ in range(ROUNDS)]
    ours, bare = (min(taken) / (SEQUENCES * WRITTEN) * 1e6 for taken in zip(*rounds, strict=True))
    yield Line(f"a token of one of {SEQUENCES} sequences: bare loop", bare, "us")
    yield Line(f"a token of one of {SEQUENCES} sequences: engine", ours, "us")
    yield Line("what the engine adds to it", 100 * (ours / bare - 1), "%", most=15)


async def _ours() -> float:
    options = {"n_parallel": SEQUENCES, "n_threads": THREADS, "n_ctx": CELLS}
    async with open_backend(random_model(), **options) as backend:
        await complete(backend, Request.of("x", max_tokens=8))
        requests = [Request.of("y", **SAMPLING, seed=seed, max_tokens=WRITTEN) for seed in range(SEQUENCES)]
        began = time.process_time()
        await asyncio.gather(*(complete(backend, request) for request in requests))
        return time.process_time() - began


def _bare() -> float:
    with closing(Bare(random_model(), SEQUENCES, cells=CELLS, threads=THREADS)) as loop:
        loop.run(8, SAMPLING)
        began = time.process_time()
        loop.run(WRITTEN, SAMPLING)
        return time.process_time() - began
