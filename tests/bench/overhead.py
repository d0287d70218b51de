"""What the scheduler adds to a decoded token, over a loop of llama_decode and the same sampling.

With one thread in native code the CPU time of the process is all that is spent, the event loop's part included,
and it is the figure that noise on a shared machine disturbs least.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import llama_cpp
import numpy as np
from lines import Line

from forethought.fold import complete
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend
from forethought_adapters.llamacpp.job import Sampling
from forethought_adapters.llamacpp.sampling import Sampler
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
    loop = _Bare()
    try:
        loop.run(8)
        began = time.process_time()
        loop.run(WRITTEN)
        return time.process_time() - began
    finally:
        loop.close()


class _Bare:
    """Decodes one token of each sequence a step, and nothing else; what it writes it forgets."""

    def __init__(self) -> None:
        llama: Any = llama_cpp
        self._llama = llama
        self._model = llama.llama_model_load_from_file(str(random_model()).encode(), llama.llama_model_default_params())
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = CELLS, SEQUENCES, True
        params.n_threads = params.n_threads_batch = THREADS
        params.flash_attn_type = 0
        self._context = llama.llama_init_from_model(self._model, params)
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._batch = llama.llama_batch_init(SEQUENCES, 0, 1)
        self._batch.n_tokens = SEQUENCES

    def run(self, steps: int) -> None:
        llama, batch = self._llama, self._batch
        llama.llama_memory_clear(llama.llama_get_memory(self._context), False)
        samplers = [Sampler(Sampling(**SAMPLING, seed=seed)) for seed in range(SEQUENCES)]
        written = [300 + seed for seed in range(SEQUENCES)]
        for place in range(steps):
            for index, token in enumerate(written):
                batch.token[index], batch.pos[index], batch.logits[index] = token, place, 1
                batch.n_seq_id[index], batch.seq_id[index][0] = 1, index
            assert not llama.llama_decode(self._context, batch)
            start = llama.llama_get_logits(self._context)
            rows = np.ctypeslib.as_array(start, shape=(SEQUENCES, self._vocabulary))
            written = [sampler.pick(row).token for sampler, row in zip(samplers, rows, strict=True)]

    def close(self) -> None:
        self._llama.llama_batch_free(self._batch)
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)
