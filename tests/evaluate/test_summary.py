"""What outcomes come to."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.context import Usage
from forethought.evaluate.outcome import Outcome
from forethought.evaluate.summary import by_difficulty, contrast, hardest_quarter, summarize

from .outcomes import OUTCOMES, outcome


def test_a_failure_is_neither_right_nor_wrong() -> None:
    """Accuracy and tokens are those of answered problems; failures are counted beside them."""
    found = summarize("p", [outcome(0), outcome(1, right=False), outcome(2, right=None, tokens=99, error="E: no")])
    assert (found.accuracy.value, found.tokens.value) == (0.5, 15)
    assert (found.answered, found.failed, found.first_error) == (2, 1, "E: no")


def test_what_a_failure_cost_is_paid() -> None:
    """The cost is that of all problems, failed ones too."""
    spent = [outcome(0, cost=Decimal("0.5")), outcome(1, right=None, cost=Decimal("0.25"), error="E")]
    assert summarize("p", spent).cost == Decimal("0.75")


def test_an_unknown_cost_is_not_free() -> None:
    """One unknown cost makes the sum unknown."""
    assert summarize("p", [outcome(0, cost=Decimal(1)), outcome(1, cost=None)]).cost is None


def test_cached_tokens_are_read_but_not_afresh() -> None:
    """Tokens from the cache are told apart from those read afresh, and both count."""
    usage = Usage(prompt_tokens=30, completion_tokens=4, cached_tokens=20, requests=2)
    found = summarize("p", [outcome(0, usage=usage)])
    assert (found.fresh, found.cached, found.calls) == (10, 20, 2)
    assert (found.written.value, found.computed.value, found.tokens.value) == (4, 14, 34)


def test_only_problems_that_both_answered_are_compared() -> None:
    """A problem that failed on one side says nothing about the other."""
    ours = [outcome(0), outcome(1), outcome(2, right=None)]
    theirs = [outcome(0, right=False), outcome(1), outcome(2), outcome(3)]
    found = contrast("ours", ours, "theirs", theirs)
    assert (found.problems, found.accuracy.value, found.tokens.value) == (2, 0.5, 0)


def test_what_is_cached_need_not_be_computed() -> None:
    """Reading again what is cached adds tokens and no computation; what is written is told apart."""
    again = Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=90)
    found = contrast(
        "a", [outcome(0, usage=again)], "b", [outcome(0, usage=Usage(prompt_tokens=10, completion_tokens=10))]
    )
    assert (found.tokens.value, found.computed.value, found.written.value) == (4.5, 0, 0)


def test_a_clear_gain_is_significant() -> None:
    """Ten problems more of ten right, and none less, is no accident."""
    found = contrast("a", [outcome(i) for i in range(10)], "b", [outcome(i, right=False) for i in range(10)])
    assert found.significant


def test_a_lucky_problem_is_not_significant() -> None:
    """Three of three gained may be chance, although every resample shows the gain."""
    found = contrast("a", [outcome(i) for i in range(3)], "b", [outcome(i, right=False) for i in range(3)])
    assert found.accuracy.excludes_zero
    assert not found.significant


def test_difficulties_stand_apart() -> None:
    """Accuracy is told for each difficulty, the easiest first."""
    mixed = [outcome(0, difficulty=3), outcome(1, right=False, difficulty=2), outcome(2, right=None, difficulty=9)]
    assert [(level, found.value) for level, found in by_difficulty(mixed).items()] == [(2, 0.0), (3, 1.0)]


@given(st.lists(st.integers(0, 9), min_size=1))
def test_the_hardest_quarter_is_as_near_as_can_be(difficulties: list[int]) -> None:
    """No other difficulty divides the problems nearer to a quarter."""

    def off(level: int) -> float:
        return abs(sum(each >= level for each in difficulties) / len(difficulties) - 0.25)

    assert off(hardest_quarter(difficulties)) == min(map(off, difficulties))


@settings(deadline=None, max_examples=20)
@given(OUTCOMES, st.randoms(use_true_random=False))
def test_order_does_not_matter(outcomes: list[Outcome], rng: Random) -> None:
    """Outcomes come to the same in whatever order they came, intervals included."""
    mixed = rng.sample(outcomes, len(outcomes))
    assert repr(summarize("p", mixed)) == repr(summarize("p", outcomes))
    assert repr(contrast("a", mixed, "b", outcomes)) == repr(contrast("a", outcomes, "b", mixed))


def test_nothing_comes_to_nothing() -> None:
    """Without an answer there is no accuracy, and no error either."""
    assert summarize("p", []).answered == 0
    assert contrast("a", [], "b", []).problems == 0
