"""What comes back with an answer, and how what is asked shapes it."""

from __future__ import annotations

import asyncio
from typing import Any

from forethought.fold import complete
from forethought.wire import Request
from forethought_adapters.llamacpp import LlamaCpp

QUESTION = "How does a tide come in?"
COUNT = 60


def greedy(**params: Any) -> Request:
    return Request.of(QUESTION, temperature=0, max_tokens=COUNT, **params)


async def test_one_logprob_a_token(backend: LlamaCpp) -> None:
    """There is exactly one logprob for each completion token, and the tokens spell the text."""
    answer = await complete(backend, greedy(logprobs=True))
    assert len(answer.logprobs) == answer.usage.completion_tokens == COUNT
    assert "".join(each.token for each in answer.logprobs) == answer.text


async def test_no_logprobs_unasked(backend: LlamaCpp) -> None:
    """Logprobs come only where they were asked for."""
    assert (await complete(backend, greedy())).logprobs == ()


async def test_seeds_differ(backend: LlamaCpp) -> None:
    """Different seeds give different texts, and no seed draws afresh each time."""
    requests = [Request.of(QUESTION, max_tokens=COUNT, seed=seed) for seed in (1, 2, None, None)]
    answers = await asyncio.gather(*(complete(backend, request) for request in requests))
    assert len({answer.text for answer in answers}) == 4


async def test_top_k_of_one_is_greedy(backend: LlamaCpp) -> None:
    """Sampling from the one likeliest token is greedy at any temperature."""
    sampled = Request.of(QUESTION, temperature=2.0, top_k=1, max_tokens=COUNT)
    assert (await complete(backend, sampled)).text == (await complete(backend, greedy())).text


async def test_length_is_reported(backend: LlamaCpp) -> None:
    """A text that max_tokens ends says so and has exactly that many tokens."""
    answer = await complete(backend, greedy())
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", COUNT)


async def test_local_work_costs_nothing(backend: LlamaCpp) -> None:
    """The cost of a local answer is known: zero."""
    assert (await complete(backend, greedy())).done.cost == 0
