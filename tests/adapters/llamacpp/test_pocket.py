"""The embedded default thinks and answers in this process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forethought.fold import complete
from forethought.wire import Prefix, Request
from forethought_adapters.pocket import open_backend
from forethought_pocket import model_path

pytestmark = pytest.mark.skipif(not model_path().exists(), reason="the pocket model is not trained yet")
QUESTION = "a=3 b=a+4 c=b*2 c?"


async def test_the_pocket_model_thinks_and_answers() -> None:
    """A problem gets reasoning and an answer, apart, without a key or a network."""
    async with open_backend() as backend:
        answer = await complete(backend, Request.of(QUESTION, temperature=0))
    assert backend.capabilities.name == "pocket"
    assert answer.finish_reason == "stop"
    assert answer.reasoning
    assert answer.text
    assert "<" not in answer.text + answer.reasoning


async def test_a_cut_thought_of_the_pocket_model_ends_the_same() -> None:
    """A thought that is cut and continued comes to the same end, on the cells of the first half."""
    request = Request.of(QUESTION, temperature=0)
    async with open_backend() as backend:
        whole = await complete(backend, request)
        half = whole.reasoning[: len(whole.reasoning) // 2]
        rest = await complete(backend, replace(request, prefix=Prefix(half)))
    assert (half + rest.reasoning, rest.text) == (whole.reasoning, whole.text)
    assert rest.usage.cached_tokens == rest.usage.prompt_tokens - 1
