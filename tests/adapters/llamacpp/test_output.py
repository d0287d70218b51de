"""What the engine writes is what the model says, in whatever company."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from forethought.fold import complete
from forethought.wire import Completion, Request
from forethought_adapters.llamacpp import LlamaCpp, open_backend

QUESTION = "How does a tide come in?"
PROMPT = f"<|user|>{QUESTION}<|end|><|assistant|>"
COUNT = 60


@pytest.fixture(scope="module")
def reference(model_file: Path) -> Iterator[Any]:
    """The same file in llama-cpp-python's own class, one sequence, every row of logits kept."""
    with_logits = llama_cpp.Llama(str(model_file), n_ctx=512, logits_all=True, n_threads=1, verbose=False)
    yield with_logits
    with_logits.close()


def greedy(**params: Any) -> Request:
    return Request.of(QUESTION, temperature=0, max_tokens=COUNT, **params)


async def ask_in_company(backend: LlamaCpp, request: Request) -> Completion:
    strangers = [Request.of(f"{index}: " + "x" * 9 * index, seed=index, max_tokens=90) for index in range(7)]
    answers = await asyncio.gather(*(complete(backend, each) for each in (*strangers[:3], request, *strangers[3:])))
    return answers[3]


def expected_tokens(reference: Any) -> list[int]:
    reference.reset()
    tokens = reference.tokenize(PROMPT.encode(), special=True)
    generated = reference.generate(tokens, temp=0.0, repeat_penalty=1.0)
    return [token for token, _ in zip(generated, range(COUNT), strict=False)]


def text_of(reference: Any, tokens: list[int]) -> str:
    return reference.detokenize(tokens).decode("utf-8", "replace")


async def test_greedy_equals_llama_alone(backend: LlamaCpp, reference: Any) -> None:
    """Alone, greedy output is that of `llama_cpp.Llama`, token for token."""
    answer = await complete(backend, greedy())
    assert answer.text == text_of(reference, expected_tokens(reference))


async def test_greedy_equals_llama_in_company(backend: LlamaCpp, reference: Any) -> None:
    """Decoded together with seven strangers, greedy output is still that of `llama_cpp.Llama`."""
    answer = await ask_in_company(backend, greedy())
    assert answer.text == text_of(reference, expected_tokens(reference))


async def test_a_prompt_read_in_chunks_says_the_same(model_file: Path, reference: Any) -> None:
    """A prompt of several batches gives the text of `llama_cpp.Llama`, which reads it in one."""
    async with open_backend(model_file, n_batch=8, n_parallel=4, n_threads=1) as backend:
        answer = await ask_in_company(backend, greedy())
    assert answer.text == text_of(reference, expected_tokens(reference))


async def test_logprobs_agree_with_llama(backend: LlamaCpp, reference: Any) -> None:
    """Logprobs of the written tokens and of the likeliest five agree with Llama's logits within 1e-3."""
    answer = await ask_in_company(backend, greedy(logprobs=True, top_logprobs=5))
    prompt, tokens = reference.tokenize(PROMPT.encode(), special=True), expected_tokens(reference)
    reference.reset()
    reference.eval([*prompt, *tokens])
    rows = reference.scores[len(prompt) - 1 : len(prompt) + COUNT - 1].astype(np.float64)
    logprobs = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    best = np.sort(logprobs, axis=1)[:, :-6:-1]
    written = [each.logprob for each in answer.logprobs]
    likeliest = [[value for _, value in each.top] for each in answer.logprobs]
    np.testing.assert_allclose(written, logprobs[np.arange(COUNT), tokens], rtol=0, atol=1e-3)
    np.testing.assert_allclose(likeliest, best, rtol=0, atol=1e-3)


async def test_one_logprob_a_token(backend: LlamaCpp) -> None:
    """There is exactly one logprob for each completion token, and the tokens spell the text."""
    answer = await complete(backend, greedy(logprobs=True))
    assert len(answer.logprobs) == answer.usage.completion_tokens == COUNT
    assert "".join(each.token for each in answer.logprobs) == answer.text


async def test_no_logprobs_unasked(backend: LlamaCpp) -> None:
    """Logprobs come only where they were asked for."""
    assert (await complete(backend, greedy())).logprobs == ()


async def test_seed_repeats_in_company(backend: LlamaCpp) -> None:
    """A seed gives the same text alone and among strangers."""
    request = Request.of(QUESTION, seed=11, max_tokens=COUNT)
    alone = await complete(backend, request)
    assert (await ask_in_company(backend, request)).text == alone.text


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
