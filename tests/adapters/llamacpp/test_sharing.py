"""What two requests have in common is evaluated once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from forethought.engine import Engine
from forethought.fold import complete
from forethought.policy import Policy
from forethought.steer.limit import Limit
from forethought.wire import Delta, Prefix, Request
from forethought_adapters.llamacpp import LlamaCpp

LONG = "Consider the sea. " * 12


async def test_branches_evaluate_the_prompt_once(backend: LlamaCpp) -> None:
    """Eight branches of one prompt evaluate it once; seven reuse all but the token whose logits they need."""
    requests = [Request.of(LONG.strip(), seed=seed, max_tokens=5) for seed in range(8)]
    answers = await asyncio.gather(*(complete(backend, request) for request in requests))
    size = answers[0].usage.prompt_tokens
    assert sorted(answer.usage.cached_tokens for answer in answers) == [0] + [size - 1] * 7
    assert backend.occupancy.evaluated <= size + 7 + 8 * 5


async def test_a_later_request_reuses_a_finished_one(backend: LlamaCpp) -> None:
    """A finished sequence stays parked: the next request with the same beginning reuses it."""
    first = await complete(backend, Request.of(LONG + "One?", max_tokens=5))
    second = await complete(backend, Request.of(LONG + "Two?", max_tokens=5))
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens > len(LONG)


async def test_reuse_changes_no_word(backend: LlamaCpp) -> None:
    """Greedy output is the same with a reused prefix as without."""
    request = Request.of(LONG, temperature=0, max_tokens=40)
    fresh = await complete(backend, request)
    again = await complete(backend, request)
    assert again.usage.cached_tokens > 0
    assert again.text == fresh.text


async def test_a_thought_goes_on_where_it_was_cut(backend: LlamaCpp) -> None:
    """A prefix continues the thinking as if it had never been cut, and reuses all of it but a token."""
    whole = Request.of("Think.", temperature=0, max_tokens=60)
    thinking = replace(whole, prefix=Prefix())
    thought = (await complete(backend, thinking)).reasoning
    rest = await complete(backend, replace(whole.with_max_tokens(30), prefix=Prefix(reasoning=thought[:30])))
    assert rest.reasoning == thought[30:]
    assert rest.usage.cached_tokens == rest.usage.prompt_tokens - 1


async def test_a_closed_thought_leads_to_the_answer(backend: LlamaCpp) -> None:
    """After a closed prefix only the answer is written, and the thought is reused."""
    request = Request.of("Think.", temperature=0, max_tokens=20)
    thought = (await complete(backend, replace(request, prefix=Prefix()))).reasoning
    answer = await complete(backend, replace(request, prefix=Prefix(reasoning=thought[:15], closed=True)))
    assert (answer.reasoning, len(answer.text), answer.usage.reasoning_tokens) == ("", 20, 0)
    assert answer.usage.cached_tokens >= answer.usage.prompt_tokens - 2


async def test_an_answer_is_continued(backend: LlamaCpp) -> None:
    """A prefix with an answer continues that answer."""
    request = Request.of("Speak.", temperature=0, max_tokens=40)
    whole = await complete(backend, replace(request, prefix=Prefix(closed=True)))
    rest = await complete(backend, replace(request.with_max_tokens(20), prefix=Prefix(answer=whole.text[:20])))
    assert rest.text == whole.text[20:]


async def test_a_running_thought_can_be_probed(backend: LlamaCpp) -> None:
    """A second request that continues what a live sequence has written so far evaluates only what it adds."""
    request = Request.of("Think.", temperature=0, max_tokens=400, prefix=None)
    request = replace(request, prefix=Prefix())
    async with backend.stream(request) as events:
        thought = ""
        async for event in events:
            thought += event.reasoning if isinstance(event, Delta) else ""
            if len(thought) >= 50:
                break
        probed = replace(request.with_max_tokens(4), prefix=Prefix(thought + "So", closed=True, answer="It is "))
        probe = await complete(backend, probed)
        added = len("So") + 1 + len("It is ")
    assert len(probe.text) == 4
    assert probe.usage.cached_tokens >= probe.usage.prompt_tokens - added


async def test_a_thought_that_is_stopped_costs_what_was_evaluated(backend: LlamaCpp) -> None:
    """A stopped thought, its probe and its answer are charged every token that the engine evaluated, and none twice."""
    limit = Limit(reasoning_tokens=40, transition="")
    engine = Engine(backend, Policy("p", layers=(limit,)))
    answer = await engine.complete(replace(Request.of("Think.", temperature=0, max_tokens=200), prefix=Prefix()))
    usage = answer.usage
    computed = usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens
    never_evaluated = 2  # the last token of each call
    assert usage.requests == 2
    assert computed - never_evaluated <= backend.occupancy.evaluated <= computed + 1
