"""Iterative deepening across answers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.engine import Engine
from forethought.errors import InvalidPolicy
from forethought.fold import complete
from forethought.judge.majority import Majority
from forethought.policy import Policy
from forethought.ports import Bound
from forethought.search.deepen import DeepenSamples
from forethought.stack import stack
from forethought.testing import Script, Scripted
from forethought.wire import Completion, Request

QUESTION = Request.of("What is six times seven?")
POLICY = """
name = "deeper"

[[layers]]
kind = "deepen_samples"
first = 2
growth = 3.0
samples = 9
judge = {kind = "majority", confidence = 0.9}
"""


async def ask(backend: Scripted, layer: DeepenSamples) -> Completion:
    return await complete(stack(backend, [layer]), QUESTION)


def test_rounds_grow_geometrically() -> None:
    """In all there are `first`, `first · growth`, … samples, and never more than `samples`."""
    assert DeepenSamples(first=3, growth=2, samples=20).rounds == (3, 6, 12, 20)


async def test_an_easy_question_takes_one_round() -> None:
    """Where the first round agrees, there is no second."""
    backend = Scripted("42")
    answer = await ask(backend, DeepenSamples())
    assert (answer.text, len(backend.requests)) == ("42", 4)
    assert (answer.done.report["rounds"], answer.done.report["samples_saved"]) == (1, 12)


async def test_a_hard_question_goes_on() -> None:
    """Where answers disagree, rounds follow until the judge has decided."""
    backend = Scripted("41", "42", "43", "42", "42", "42", "42", "42", "42")
    answer = await ask(backend, DeepenSamples(samples=64))
    assert (answer.text, answer.done.report["rounds"], answer.done.stop_reason) == ("42", 2, "decided")


async def test_a_round_is_asked_side_by_side() -> None:
    """A round starts all of its samples, and cancels those in flight once it is decided."""
    backend = Scripted(*["42"] * 4, *[Script("42", delay=10)] * 4)
    answer = await ask(backend, DeepenSamples(first=8))
    assert (len(backend.requests), backend.live) == (8, 0)
    assert answer.done.report["samples"] == 4


async def test_undecided_to_the_end() -> None:
    """When no round decides, the judge's leader of all samples is returned."""
    backend = Scripted("1", "2", "3", "4", "2")
    answer = await ask(backend, DeepenSamples(first=1, samples=5, judge=Majority(confidence=1.0)))
    assert answer.text == "2"


async def test_budget_ends_in_the_best_so_far() -> None:
    """Rounds that run out of budget answer with what is there, and say so."""
    policy = Policy("test", budget=Budget(request_limit=5), layers=(DeepenSamples(),))
    answer = await Engine(Scripted("1", "2", "3", "2", "4"), policy).complete(QUESTION)
    assert (answer.text, answer.done.stop_reason, answer.usage.requests) == ("2", "budget", 5)


def test_policy_round_trip() -> None:
    """A policy file names it `deepen_samples` and reads back as it was written."""
    policy = Policy.from_toml(POLICY)
    assert policy.layers == (DeepenSamples(2, 3.0, 9, judge=Majority(confidence=0.9)),)
    assert Policy.from_toml(policy.to_toml()) == policy


def test_worst_case() -> None:
    """It can take all its samples times what is below."""
    assert DeepenSamples(samples=9).worst_case(Bound(2, 10)) == Bound(18, 90)


@pytest.mark.parametrize(
    ("field", "value"), [("samples", 0), ("first", 0), ("first", 17), ("growth", 1.0), ("temperature", 3.0)]
)
def test_wrong_options(field: str, value: float) -> None:
    """An option that cannot be is refused by name."""
    with pytest.raises(InvalidPolicy, match=rf"deepen_samples\.{field}"):
        DeepenSamples(**{field: value})  # type: ignore[arg-type]


@given(st.integers(1, 256), st.integers(1, 256), st.floats(1, 1e300, exclude_min=True))
def test_rounds_end_at_the_samples(first: int, samples: int, growth: float) -> None:
    """Whatever the growth, totals rise strictly, and the last is the number of samples."""
    first = min(first, samples)
    rounds = DeepenSamples(first=first, samples=samples, growth=growth).rounds
    assert (rounds[0], rounds[-1]) == (first, samples)
    assert all(later > earlier for earlier, later in pairwise(rounds))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(1, 12), st.floats(1.1, 4))
async def test_returns_a_majority(answers: list[str], first: int, growth: float) -> None:
    """Whatever the samples say, the answer returned is one that most of the counted samples gave."""
    layer = DeepenSamples(first=min(first, len(answers)), growth=growth, samples=len(answers))
    answer = await ask(Scripted(*answers), layer)
    counted = answers[: answer.done.report["samples"]]
    assert counted.count(answer.text) == max(counted.count(each) for each in counted)
