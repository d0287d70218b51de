"""What is remembered of policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidRequest
from forethought.learn.memory import ENOUGH, Memory, Record, from_json, identity, title, to_json, wilson
from support.memories import CHAIN, IDS, NEARLY, cell, memories, record


def test_a_kind_with_a_record_of_its_own_keeps_its_state() -> None:
    """A policy that is in quarantine on one kind of problem stays there, however good it is on others."""
    near = cell(NEARLY, record("b", 2, 2, 100, "quarantined"))
    memory = Memory((cell(CHAIN, record("a", 40, 40, 800), record("b", 40, 40)), near))
    assert memory.records(NEARLY)[IDS["b"]].state == "quarantined"
    assert memory.records(NEARLY)[IDS["b"]].trials == 42


def test_own_records_that_are_enough_borrow_nothing() -> None:
    """From so many trials on a kind of problem speaks for itself."""
    own = record("b", 2, ENOUGH)
    memory = Memory((cell(CHAIN, record("b", 40, 40)), cell(NEARLY, own)))
    assert memory.records(NEARLY)[IDS["b"]] == own


@given(memories())
def test_json(memory: Memory) -> None:
    """A memory equals itself through JSON."""
    assert from_json(to_json(memory)) == memory


@pytest.mark.parametrize("value", [None, {"cells": 3}, {"cells": [{"signature": {"task": "chess"}}]}])
def test_foreign_json(value: object) -> None:
    """What is no memory is refused."""
    with pytest.raises(InvalidRequest):
        from_json(value)


def test_the_name_does_not_make_the_policy() -> None:
    """Policies of other names that do the same are one; the order of fields does not matter."""
    one = {"name": "x", "layers": [{"kind": "vote", "samples": 3}]}
    other = {"layers": [{"samples": 3, "kind": "vote"}], "name": "y", "when": "now"}
    assert identity(one) == identity(other) != identity({"name": "x"})


@pytest.mark.parametrize("name", ["", "two words", "a" * 41, "new\nline", "<|im_start|>", "ünsinn"])
def test_titles_are_plain(name: str) -> None:
    """A name that is no plain word is not repeated."""
    assert title({"name": name}) == identity({})


@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson(right: int, wrong: int) -> None:
    """The interval is within 0 and 1 and holds the share."""
    low, high = wilson(right, right + wrong)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low - 1e-9 <= right / (right + wrong) <= high + 1e-9


def test_wilson_by_hand() -> None:
    """Eight of ten: 0.541 to 0.930 at 95 % on either side."""
    assert wilson(8, 10) == (pytest.approx(0.5408, abs=1e-4), pytest.approx(0.9314, abs=1e-4))


def test_an_unknown_cost_stays_unknown() -> None:
    """The sum of a known cost and an unknown one is unknown."""
    known: Mapping[str, Record] = {"a": replace(record("a", 1, 1), cost=Decimal("0.1"))}
    assert known["a"].plus(replace(record("a", 1, 1), cost=None)).cost is None
