"""One problem under experience: what is compared, what is proposed, and which answer is returned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought import Budget, Engine, Policy, Request
from forethought.learn.applied import Applied
from forethought.learn.consolidate import Attempt
from forethought.learn.experience import Experience
from forethought.learn.guide import Guide
from forethought.learn.keeper import Keeper
from forethought.learn.lineup import GUIDE
from forethought.learn.occasion import agreed, pick
from forethought.store.memory import MemoryStore
from forethought.testing import Script, Scripted

QUESTION = "a=3 b=a+4 c=b-2 c?"
VOTE: dict[str, Any] = {"name": "four", "layers": [{"kind": "vote", "samples": 4}]}


def attempt(answer: str, tokens: int = 100, score: float | None = None) -> Attempt:
    return Attempt({"name": "x"}, answer, tokens, None, score)


attempts = st.lists(
    st.builds(attempt, st.sampled_from(["1", "1.0", "2", "3", ""]), st.integers(0, 9), st.none() | st.floats(0, 1)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("some", "chosen"),
    [
        ([attempt("1"), attempt("2"), attempt("2")], 1),
        ([attempt("1"), attempt("2", 5)], 0),
        ([attempt("1", 1, 0.0), attempt("2", 99, 1.0)], 1),
        ([attempt("1"), attempt("2", 50), attempt("2.0", 7)], 2),
        ([attempt(""), attempt("2")], 1),
    ],
    ids=["most agree", "the default's", "by score", "cheapest", "no answer"],
)
def test_pick(some: list[Attempt], chosen: int) -> None:
    """Returned is the answer with the best score, then the one most agree on, then the default's, then the cheapest."""
    assert pick(some, 0) == chosen


@given(attempts)
def test_no_attempt_beats_the_picked_one(some: list[Attempt]) -> None:
    """No attempt has a higher score than the one that is picked."""
    assert max(each.score or 0.0 for each in some) == (some[pick(some, 0)].score or 0.0)


@given(attempts)
def test_agreement_needs_more_than_half(some: list[Attempt]) -> None:
    """Scores are given only where more than half of the attempts, and at least two, answer the same."""
    told = [each.score for each in agreed(some)]
    if told != [each.score for each in some]:
        assert sum(score == 1.0 for score in told) * 2 > len(some) >= 2
        assert set(told) <= {0.0, 1.0}


def proposing(*layers: dict[str, Any]) -> Scripted:
    """A backend that proposes a policy of these layers where it is asked for one, and answers 42 otherwise."""
    said = json.dumps({"policies": [{"layers": list(layers)}]})
    return Scripted(answer=lambda request: said if "Propose" in request.question else "42")


class TestGuide:
    async def test_a_proposal_is_compared(self) -> None:
        """For a new kind of problem a guide proposes a policy, which is compared at once, in quarantine."""
        store = MemoryStore()
        layer = Experience(default=VOTE, proposals=1, memory=store)
        engine = Engine(proposing({"kind": "vote", "samples": 2}), Policy("mine", layers=(layer,)))
        done = await engine.ask(QUESTION)
        assert len(done.done.report["experience"]["compared"]) == 2
        await engine.feedback(done.run, 1)
        (cell,) = (await Keeper(store).memory("")).cells
        assert [(each.origin, each.state) for each in cell.records.values()] == [
            ("default", "active"),
            (GUIDE, "quarantined"),
        ]

    async def test_a_proposal_can_win(self) -> None:
        """A proposed policy that wins is served, and the guide is not asked again for that kind."""
        backend = proposing({"kind": "limit", "reasoning_tokens": 8})
        layer = Experience(default=VOTE, proposals=1, memory=MemoryStore())
        engine = Engine(backend, Policy("mine", layers=(layer,)))
        for number in range(8):
            done = await engine.ask(f"a={number} b=a+{number} c=b-2 c?")
            await engine.feedback(done.run, 1)
        assert done.done.report["experience"]["why"] == "served"
        assert sum("Propose" in each.question for each in backend.requests) == 1

    async def test_a_proposal_that_is_too_dear(self) -> None:
        """A proposal above the costliest policy given is not run, and the default answers."""
        layer = Experience(default=VOTE, proposals=1, memory=MemoryStore())
        backend = proposing({"kind": "vote", "samples": 99})
        done = await Engine(backend, Policy("mine", layers=(layer,))).ask(QUESTION)
        assert done.text == "42"
        assert done.done.report["experience"]["why"] == "default"

    async def test_a_guide_of_ones_own(self) -> None:
        """The guide may be another model."""
        other = proposing({"kind": "vote", "samples": 2})
        layer = Experience(default=VOTE, proposals=1, memory=MemoryStore(), guide=Guide(other))
        backend = Scripted("42")
        done = await Engine(backend, Policy("mine", layers=(layer,))).ask(QUESTION)
        assert len(done.done.report["experience"]["compared"]) == 2
        assert not any("Propose" in each.question for each in backend.requests)


class TestApplied:
    async def test_its_budget_still_lands(self) -> None:
        """A thought that its policy's budget cuts short still ends in an answer."""
        policy = Policy("short", budget=Budget(output_tokens_limit=20, answer_tokens=5))
        layer = Experience(default=policy.to_json(), memory=MemoryStore())
        backend = Scripted(Script(reasoning="so " * 50, text="42"))
        done = await Engine(backend, Policy("mine", layers=(layer,))).ask(QUESTION)
        assert done.text == "42"
        assert done.usage.completion_tokens <= 20

    async def test_each_has_its_own_budget(self) -> None:
        """What one policy of a comparison spends is not taken from another's budget."""
        small = {"name": "small", "budget": {"request_limit": 1}}
        layer = Experience(default=VOTE, candidates=[small], memory=MemoryStore())
        done = await Engine(Scripted("42"), Policy("mine", layers=(layer,))).ask(QUESTION)
        assert done.done.report["experience"]["compared"] == ["four", "small"]

    async def test_the_budget_around_it_holds(self) -> None:
        """All policies of a comparison together keep to the budget of the run."""
        layer = Experience(default=VOTE, candidates=["none"], memory=MemoryStore())
        engine = Engine(
            Scripted("one two three four five six"),
            Policy("mine", layers=(layer,)),
            budget=Budget(output_tokens_limit=20),
        )
        done = await engine.ask(QUESTION)
        assert done.usage.completion_tokens <= 20

    async def test_it_is_what_it_wraps(self) -> None:
        """A policy over a backend has the capabilities of the backend."""
        backend = Scripted("42")
        assert Applied(Policy("x"), backend).capabilities == backend.capabilities


async def test_a_comparison_streams_one_answer() -> None:
    """Of a comparison exactly one answer is passed on, and exactly one Done, last."""
    layer = Experience(default=VOTE, candidates=["none"], memory=MemoryStore())
    engine = Engine(Scripted("42"), Policy("mine", layers=(layer,)))
    async with engine.stream(Request.of(QUESTION)) as events:
        names = [type(event).__name__ async for event in events]
    assert [name for name in names if name != "Note"] == ["Delta", "Done"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(2, 4), st.integers(0, 6))
@settings(deadline=None, max_examples=30)
async def test_never_above_its_worst_case(samples: list[int], width: int, problems: int) -> None:
    """Whatever is compared, served or learned, no answer takes more calls than the worst case."""
    given = [{"layers": [{"kind": "vote", "samples": count, "eager": True}]} for count in samples]
    layer = Experience(default=given[0], candidates=given[1:], compare=width, memory=MemoryStore())
    engine = Engine(Scripted("42"), Policy("mine", layers=(layer,)), sinks=())
    for number in range(problems):
        done = await engine.ask(f"a={number + 2} b=a+4 b?", seed=number)
        assert done.usage.requests <= engine.worst_case().requests
        await engine.feedback(done.run, 1)
