"""What it costs to ask a thought again and again what it would answer, while it goes on.

Native code has one thread, so that the CPU time of the process is all that is spent: noise on a shared machine
disturbs it least, and waiting for each other costs neither side anything.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from lines import Line

from forethought.fold import complete
from forethought.ports import Continue, Ended, Observed, Probe, Situation, Steering
from forethought.stack import stack
from forethought.steer.drive import Steered
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend
from support.random_model import random_model, words

THOUGHT, PROBES, PROBED = 2000, 200, 8


class Prober(Steered):
    """Probes a thought at equal distances, and goes on whatever it hears."""

    def steer(self, situation: Situation, /) -> Steering:
        del situation
        observed: Observed = yield Continue()
        written = 0
        while not isinstance(observed, Ended):
            written += 1
            if written % (THOUGHT // PROBES) == 0:
                yield Probe(words(1, seed=written), PROBED)
            observed = yield Continue()


async def measure() -> AsyncIterator[Line]:
    """The thought with probes, against as many tokens of the thought without."""
    options = {"n_parallel": 2, "n_threads": 1, "n_ctx": 8192}
    request = Request.of(words(100), temperature=1.0, top_k=40, seed=1, max_tokens=THOUGHT)
    seconds: list[float] = []
    for layers in ((), (Prober(),)):
        async with open_backend(random_model(), **options) as backend:
            await complete(backend, Request.of("x", max_tokens=8))
            began = time.process_time()
            answer = await complete(stack(backend, layers), request)
            seconds.append(time.process_time() - began)
        expected = THOUGHT + (PROBES * PROBED if layers else 0)
        assert answer.usage.completion_tokens == expected, answer.usage
    plain, probed = seconds
    same = plain * (THOUGHT + PROBES * PROBED) / THOUGHT
    yield Line(f"a thought of {THOUGHT} tokens", plain, "s of CPU")
    yield Line(f"{PROBES} probes of {PROBED} tokens in it / as many tokens without", probed / same, most=1.3)
