"""Estimates and their intervals."""

from __future__ import annotations

from math import isnan, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.evaluate.statistics import differ, gap, growth, mean, share

FLAGS = [True] * 60 + [False] * 40


def test_the_interval_of_a_share_is_that_of_theory() -> None:
    """With sixty of a hundred right the interval is the normal one, within a point and a half."""
    found = share(FLAGS)
    half = 1.96 * sqrt(0.6 * 0.4 / 100)
    assert found.value == 0.6
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.015)


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    """The interval of a mean is 1.96 standard errors to either side."""
    values = [float(value) for value in range(200)]
    half = 1.96 * sqrt((200**2 - 1) / 12 / 200)
    assert (mean(values).low, mean(values).high) == pytest.approx((99.5 - half, 99.5 + half), abs=1)


def test_all_right_is_not_certainty() -> None:
    """Ten of ten right leaves an interval: Wilson's, whose lower end is n / (n + 1.96²)."""
    found = share([True] * 10)
    assert (found.value, found.high) == (1.0, pytest.approx(1.0))
    assert found.low == pytest.approx(10 / (10 + 1.96**2), abs=1e-4)


def test_one_value_has_no_interval() -> None:
    """Of a single value nothing is known but itself; of none, nothing at all."""
    assert mean([3.0]).value == 3.0
    assert isnan(mean([3.0]).low)
    assert isnan(mean([]).value)


def test_pairs_are_told_apart_where_means_are_not() -> None:
    """A small gain on every problem shows, however much problems differ from each other."""
    theirs = [float(value**2) for value in range(50)]
    found = gap([value + 1 + index % 2 for index, value in enumerate(theirs)], theirs)
    assert found.value == pytest.approx(1.5)
    assert found.low > 1.3


def test_half_the_tokens_are_half() -> None:
    """Half of each is a growth of minus a half, with no room for doubt."""
    found = growth([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    assert (found.value, found.low, found.high) == (-0.5, -0.5, -0.5)


def test_growth_over_next_to_nothing_is_uncertain() -> None:
    """Where a resample of the other may be nothing, how far the growth reaches is unknown."""
    found = growth([1.0, 1.0], [1.0, 0.0])
    assert found.value == 1.0
    assert isnan(found.low)
    assert isnan(found.high)


def test_growth_over_nothing_is_unknown() -> None:
    """Nothing cannot grow by a share of itself."""
    assert isnan(growth([1.0, 2.0], [0.0, 0.0]).value)


@pytest.mark.parametrize(("won", "lost", "expected"), [(5, 0, False), (6, 0, True), (9, 2, False), (10, 2, True)])
def test_a_difference_needs_evidence(won: int, lost: int, expected: bool) -> None:
    """McNemar's exact p is .0625 at 5:0, .03125 at 6:0, .0654 at 9:2 and .0386 at 10:2, however many agree."""
    ours = [True] * won + [False] * lost + FLAGS
    theirs = [False] * won + [True] * lost + FLAGS
    assert differ(ours, theirs) is expected


@settings(deadline=None, max_examples=25)
@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_the_value_lies_within_its_interval(flags: list[bool]) -> None:
    """An interval of a share is within 0 to 1 and holds the share."""
    found = share(flags)
    assert -1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1 + 1e-9


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_a_difference_has_no_direction(pairs: list[tuple[bool, bool]]) -> None:
    """Whether two differ does not depend on which is named first; their gaps are opposite."""
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    assert differ(ours, theirs) == differ(theirs, ours)
    if pairs:
        assert gap(ours, theirs).value == pytest.approx(-gap(theirs, ours).value)
