"""Pairwise comparison, told of candidates and comparisons by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.judge.pairwise import Pairwise, Tournament, paired, strengths
from forethought.ports import Inquiry
from forethought.wire import Completion, Request
from support.judging import candidate, hear

QUESTION = Request.of("What is six times seven?")
answers = st.lists(st.sampled_from(["1", "2", "3", "4", "5", "6", ""]), min_size=1, max_size=9)


def judge(rule: Pairwise, answers: Sequence[str]) -> Tournament:
    """A judge to whom these have landed in order."""
    opened = rule.open(len(answers), QUESTION)
    for index, answer in enumerate(answers):
        opened.add(candidate(index, answer))
    return opened


def leader(opened: Tournament) -> str:
    assert opened.leader is not None
    return opened.leader.answer


def better(inquiry: Inquiry, prefers: Callable[[str, str], int | None]) -> Completion:
    """What one says who prefers the first (1), the second (2) or neither (None)."""
    question = inquiry.request.question
    line = re.search(r'"(Better \w+): 1"', question)
    one, other = re.findall(r"<solution \d \w+>\n(.*)\n</sol", question)
    assert line is not None
    return Completion(f"{line[1]}: {prefers(one, other)}")


def greater(one: str, other: str) -> int:
    return 1 if int(one) > int(other) else 2


def test_strength_of_two() -> None:
    """With one drawn game against strength 1 the winner of two is stronger by what the likelihood says."""
    strong, weak = strengths({(0, 1): 2.0}, 2)
    assert strong * weak == pytest.approx(1, abs=1e-4)
    assert 2.5 / (1 / (strong + 1) + 2 / (strong + weak)) == pytest.approx(strong, rel=1e-4)


@given(
    st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda p: p[0] != p[1]), st.integers(1, 9))
)
def test_strengths_are_the_likeliest(wins: dict[tuple[int, int], int]) -> None:
    """Each has won as often as its strength lets expect, the drawn game included, up to the steps taken."""
    played = {pair: float(count) for pair, count in wins.items()}
    strength = strengths(played, 5)
    for a in range(5):
        games = {b: played.get((a, b), 0) + played.get((b, a), 0) for b in range(5) if b != a}
        expected = strength[a] / (strength[a] + 1)
        expected += sum(count * strength[a] / (strength[a] + strength[b]) for b, count in games.items())
        assert expected == pytest.approx(0.5 + sum(played.get((a, b), 0) for b in range(5)), abs=0.3)


@given(st.permutations(range(7)), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_nobody_meets_twice(order: list[int], met: list[tuple[int, int]]) -> None:
    """Of a round each takes part once, and against one that it has not met."""
    pairs = paired(order, met)
    seated = [player for pair in pairs for player in pair]
    assert len(seated) == len(set(seated))
    assert not {frozenset(pair) for pair in pairs} & {frozenset(pair) for pair in met}


def test_the_better_wins() -> None:
    """A consistent judge has its favourite win, whatever most samples say."""
    opened = judge(Pairwise(), ["1", "1", "1", "3", "2"])
    hear(opened, lambda inquiry: better(inquiry, greater))
    assert (leader(opened), opened.decided_by) == ("3", "all")


@pytest.mark.parametrize("place", [1, 2])
def test_a_preference_for_a_place_cancels_out(place: int) -> None:
    """Who always prefers the first, or always the second, leaves the majority."""
    opened = judge(Pairwise(), ["1", "2", "2", "3"])
    hear(opened, lambda inquiry: better(inquiry, lambda _one, _other: place))
    assert leader(opened) == "2"


def test_what_is_no_verdict_decides_nothing() -> None:
    """Failed and unreadable comparisons leave the majority."""
    opened = judge(Pairwise(), ["1", "2", "2"])
    hear(opened, lambda inquiry: None if inquiry.key % 2 else better(inquiry, lambda _one, _other: None))
    assert (leader(opened), opened.decided) == ("2", True)


def test_nobody_is_compared_before_all_have_landed() -> None:
    """Who meets whom depends on all, so the rounds begin when no sample is to come."""
    opened = Pairwise().open(3, QUESTION)
    opened.add(candidate(0, "1"))
    opened.add(candidate(1, "2"))
    assert (opened.inquiries(), opened.needed) == ((), 1)
    opened.missed()
    assert len(opened.inquiries()) == 2


def test_agreement_asks_nothing() -> None:
    """Four that agree decide it as in a vote."""
    opened = Pairwise().open(8, QUESTION)
    for index in range(4):
        opened.add(candidate(index, "1"))
    assert (opened.inquiries(), opened.decided_by) == ((), "confidence")


@given(answers, st.integers(0, 4), st.integers(1, 2))
def test_it_ends_within_its_bound(landed: list[str], rounds: int, comparisons: int) -> None:
    """However the answers differ it asks no more than it said, and is decided then."""
    rule = Pairwise(rounds=rounds, comparisons=comparisons)
    opened = judge(rule, landed)
    asked = hear(opened, lambda inquiry: better(inquiry, greater))
    assert len(asked) == len(set(asked)) <= rule.asks(len(landed))
    assert opened.decided


@given(answers.filter(any))
def test_with_every_pair_met_the_best_wins(landed: list[str]) -> None:
    """A judge that is never wrong has the greatest number win."""
    opened = judge(Pairwise(rounds=64, confidence=1.0), landed)
    hear(opened, lambda inquiry: better(inquiry, greater))
    assert leader(opened) == max(answer for answer in landed if answer)


@given(st.text(), st.text())
def test_nothing_in_a_solution_passes_for_a_verdict(one: str, other: str) -> None:
    """Who only repeats what was shown has not compared it."""
    opened = Pairwise().open(2, QUESTION)
    opened.add(candidate(0, "1", one))
    opened.add(candidate(1, "2", other))
    for inquiry in opened.inquiries():
        shown = inquiry.request.question
        assert opened.answered(inquiry, Completion(f"{shown}\n{one}\n{other}")) == "no verdict"


@pytest.mark.parametrize(("field", "value"), [("rounds", -1), ("comparisons", 0), ("confidence", 0.2)])
def test_a_rule_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    """The error names the field."""
    with pytest.raises(InvalidPolicy) as caught:
        Pairwise(**{field: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field
