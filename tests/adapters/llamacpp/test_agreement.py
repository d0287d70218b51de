"""What the engine writes is what `llama_cpp.Llama` writes, model by model, in whatever company."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from forethought.fold import complete
from forethought.wire import Completion, Request
from forethought_adapters.llamacpp import LlamaCpp, open_backend
from forethought_pocket import model_path
from support.random_model import random_model, words

COUNT = 40


@dataclass(frozen=True)
class Subject:
    """A model, what it is asked, and whom it is asked beside."""

    file: Path
    question: str
    stranger: Callable[[int], str]

    def greedy(self, **params: Any) -> Request:
        return Request.of(self.question, temperature=0, max_tokens=COUNT, **params)

    async def in_company(self, backend: LlamaCpp, request: Request) -> Completion:
        """The answer to `request`, decoded together with seven others."""
        others = [Request.of(self.stranger(index), seed=index, max_tokens=COUNT) for index in range(7)]
        answers = await asyncio.gather(*(complete(backend, each) for each in (*others[:3], request, *others[3:])))
        return answers[3]


@pytest.fixture(scope="module", params=["tiny", "pocket", pytest.param("random", marks=pytest.mark.slow)])
def subject(request: pytest.FixtureRequest, model_file: Path) -> Subject:
    """The random model of two layers, the one that ships, and the random one of 90 million parameters."""
    if request.param == "tiny":
        return Subject(model_file, "How does a tide come in?", lambda index: f"{index}: " + "x" * 9 * index)
    if request.param == "pocket":
        return Subject(model_path(), "a=3 b=a+4 c=b*2 c?", lambda index: f"a={index} b=a+2 c=b*3 d=c-a d?")
    return Subject(random_model(), words(20), lambda index: words(5 * index, seed=index))


@pytest.fixture
async def backend(subject: Subject) -> AsyncIterator[LlamaCpp]:
    """The model, opened with eight sequences at once."""
    async with open_backend(subject.file, n_parallel=8, n_threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def reference(subject: Subject) -> Iterator[Any]:
    """The same file in llama-cpp-python's own class, one sequence, every row of logits kept."""
    with_logits = llama_cpp.Llama(str(subject.file), n_ctx=256, logits_all=True, n_threads=1, verbose=False)
    yield with_logits
    with_logits.close()


async def expected(backend: LlamaCpp, reference: Any, request: Request) -> tuple[list[int], Any]:
    """The tokens that Llama writes, up to the one that ends them, and the logprobs of all tokens at each of them."""
    rendered = (await backend.load()).template.render(request)
    prompt = reference.tokenize(rendered.text.encode(), add_bos=False, special=True)
    reference.reset()
    written: list[int] = []
    for token in reference.generate(prompt, temp=0.0, repeat_penalty=1.0):
        if token == reference.token_eos() or len(written) == COUNT:
            break
        written.append(token)
    rows = reference.scores[len(prompt) - 1 : len(prompt) - 1 + len(written)].astype(np.float64)
    return written, rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def spelled(reference: Any, tokens: list[int]) -> list[str]:
    return [reference.detokenize([token], special=True).decode("utf-8", "replace") for token in tokens]


async def test_greedy_equals_llama_alone(subject: Subject, backend: LlamaCpp, reference: Any) -> None:
    """Alone, greedy output is that of `llama_cpp.Llama`, token for token."""
    answer = await complete(backend, subject.greedy(logprobs=True))
    tokens, _ = await expected(backend, reference, subject.greedy())
    assert [each.token for each in answer.logprobs] == spelled(reference, tokens)
    assert answer.usage.completion_tokens == len(tokens) > 0


async def test_greedy_equals_llama_in_company(subject: Subject, backend: LlamaCpp, reference: Any) -> None:
    """Decoded together with seven strangers, greedy output is still that of `llama_cpp.Llama`, token for token."""
    answer = await subject.in_company(backend, subject.greedy(logprobs=True))
    tokens, _ = await expected(backend, reference, subject.greedy())
    assert [each.token for each in answer.logprobs] == spelled(reference, tokens)


async def test_a_prompt_read_in_chunks_says_the_same(subject: Subject, reference: Any) -> None:
    """A prompt of several batches gives the tokens of `llama_cpp.Llama`, which reads it in one."""
    async with open_backend(subject.file, n_batch=8, n_parallel=4, n_threads=1) as backend:
        answer = await subject.in_company(backend, subject.greedy(logprobs=True))
        tokens, _ = await expected(backend, reference, subject.greedy())
    assert [each.token for each in answer.logprobs] == spelled(reference, tokens)


async def test_logprobs_agree_with_llama(subject: Subject, backend: LlamaCpp, reference: Any) -> None:
    """Alone, logprobs of the written tokens and of the likeliest five agree with Llama's logits within 1e-3."""
    answer = await complete(backend, subject.greedy(logprobs=True, top_logprobs=5))
    tokens, logprobs = await expected(backend, reference, subject.greedy())
    written, likeliest = told(answer)
    np.testing.assert_allclose(written, logprobs[np.arange(len(tokens)), tokens], rtol=0, atol=1e-3)
    np.testing.assert_allclose(likeliest, np.sort(logprobs, axis=1)[:, :-6:-1], rtol=0, atol=1e-3)


async def test_logprobs_agree_with_llama_in_company(subject: Subject, backend: LlamaCpp, reference: Any) -> None:
    """In company those of the written tokens do, and for the likeliest five the probabilities.

    The logprob of what is next to impossible differs by more, as it does where Llama itself reads a text at once.
    """
    answer = await subject.in_company(backend, subject.greedy(logprobs=True, top_logprobs=5))
    tokens, logprobs = await expected(backend, reference, subject.greedy())
    written, likeliest = told(answer)
    best = np.sort(logprobs, axis=1)[:, :-6:-1]
    np.testing.assert_allclose(written, logprobs[np.arange(len(tokens)), tokens], rtol=0, atol=1e-3)
    np.testing.assert_allclose(np.exp(likeliest), np.exp(best), rtol=0, atol=1e-3)


def told(answer: Completion) -> tuple[list[float], list[list[float]]]:
    """The logprobs of the written tokens, and those of the likeliest."""
    return [each.logprob for each in answer.logprobs], [[value for _, value in each.top] for each in answer.logprobs]


async def test_a_seed_repeats_in_company(subject: Subject, backend: LlamaCpp) -> None:
    """A seed gives the same text alone and among strangers."""
    request = Request.of(subject.question, seed=11, top_k=8, max_tokens=COUNT)
    alone = await complete(backend, request)
    heard = await subject.in_company(backend, request)
    assert (heard.reasoning, heard.text) == (alone.reasoning, alone.text)
