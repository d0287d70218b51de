"""Budgets as values: what is accepted, how they read, and how they travel as JSON."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.errors import InvalidPolicy

COUNTS = ("total_tokens_limit", "output_tokens_limit", "reasoning_tokens_limit", "request_limit", "answer_tokens")
BAD_COUNTS: list[Any] = [0, -1, True, 1.5, "10", float("nan")]
BAD_AMOUNTS: list[Any] = [0, -0.5, True, float("nan"), float("inf"), "much", "NaN", [1]]


def budgets() -> st.SearchStrategy[Budget]:
    count = st.none() | st.integers(20, 10**9)
    return st.builds(
        Budget,
        total_tokens_limit=count,
        output_tokens_limit=count,
        reasoning_tokens_limit=count,
        request_limit=st.none() | st.integers(1, 10**6),
        cost_limit=st.none() | st.decimals("0.000001", "1000000", allow_nan=False, places=6),
        time_limit_s=st.none() | st.floats(1e-3, 1e9),
        answer_tokens=st.none() | st.integers(1, 19),
    )


@pytest.mark.parametrize("value", BAD_COUNTS)
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_that_is_not_a_positive_integer_is_refused(name: str, value: Any) -> None:
    """Zero, negative, fractional, boolean and textual counts name their field and value."""
    with pytest.raises(InvalidPolicy) as caught:
        Budget(**{name: value})
    assert caught.value.field == f"budget.{name}"
    assert caught.value.value is value
    assert caught.value.hint


@pytest.mark.parametrize("value", BAD_AMOUNTS)
@pytest.mark.parametrize("name", ["cost_limit", "time_limit_s"])
def test_an_amount_that_is_not_above_zero_is_refused(name: str, value: Any) -> None:
    """Money and time must be finite numbers above 0."""
    with pytest.raises(InvalidPolicy, match=f"budget.{name}"):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["total_tokens_limit", "output_tokens_limit"])
@pytest.mark.parametrize("limit", [10, 64])
def test_a_limit_without_room_beside_the_answer_is_refused(name: str, limit: int) -> None:
    """A token limit no larger than the tokens kept for the answer leaves nothing to think with."""
    with pytest.raises(InvalidPolicy, match=f"budget.{name}.*64 answer_tokens"):
        Budget(**{name: limit}, answer_tokens=64)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [Decimal("0.05"), 0.05, "0.05"])
def test_money_is_exact_however_it_is_written(value: Any) -> None:
    """A float is read as it is printed, so 0.05 is five cents."""
    assert Budget(cost_limit=value).cost_limit == Decimal("0.05")


def test_a_budget_shows_only_what_is_set() -> None:
    """The repr names the limits that are set, and evaluates to an equal budget."""
    budget = Budget(output_tokens_limit=100, cost_limit=0.5)
    assert repr(budget) == "Budget(output_tokens_limit=100, cost_limit='0.5')"
    assert eval(repr(budget)) == budget


def test_a_budget_is_frozen() -> None:
    """A limit cannot be changed after the fact."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Budget().request_limit = 3  # type: ignore[misc]


def test_an_unknown_limit_is_refused_with_the_known_ones() -> None:
    """A misspelt key names itself and what it could have been."""
    with pytest.raises(InvalidPolicy, match=r"budget\.max_tokens.*output_tokens_limit"):
        Budget.from_json({"max_tokens": 5})


@given(budgets())
def test_a_budget_survives_its_json(budget: Budget) -> None:
    """What to_json writes, from_json reads back as an equal budget."""
    assert Budget.from_json(budget.to_json()) == budget


@given(budgets(), budgets())
def test_the_tighter_of_two_budgets_is_the_smaller_of_each_limit(one: Budget, other: Budget) -> None:
    """No limit of the result is above either, and what neither limits stays unlimited."""
    tighter = one.tighter(other)
    for field in dataclasses.fields(Budget):
        set_ = [value for each in (one, other) if (value := getattr(each, field.name)) is not None]
        assert getattr(tighter, field.name) == min(set_, default=None)


def test_an_answer_that_no_longer_fits_is_derived_anew() -> None:
    """A tighter limit below the other's answer_tokens is still a usable budget."""
    tighter = Budget(output_tokens_limit=1000, answer_tokens=500).tighter(Budget(output_tokens_limit=100))
    assert tighter == Budget(output_tokens_limit=100)


@pytest.mark.parametrize("name", [*COUNTS[:4], "cost_limit"])
def test_any_limit_on_what_is_reserved_makes_a_budget_limited(name: str) -> None:
    """Tokens, calls and money limit; nothing, and time alone, do not."""
    assert Budget(**{name: 100}).limited  # type: ignore[arg-type]
    assert not Budget().limited
    assert not Budget(time_limit_s=1).limited
