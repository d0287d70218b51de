"""What must hold of a memory, whatever it has learned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought import Policy, Request
from forethought.errors import InvalidPolicy
from forethought.learn.constraints import Constraint, Suite, mended, read, violations, wrong_with
from forethought.learn.memory import Cell, Memory, Record, State, identity
from forethought.learn.signature import Signature
from forethought.ports import Bound

QUESTION = "a=3 b=a+4 c=b-2 c?"
A: dict[str, Any] = {"name": "a", "layers": [{"kind": "vote", "samples": 4}]}
B: dict[str, Any] = {"name": "b", "layers": [{"kind": "vote", "samples": 2}]}


def memory(*records: Record) -> Memory:
    cell = Cell(Signature.of(Request.of(QUESTION)), (), {identity(each.policy): each for each in records})
    return Memory((cell,))


def record(policy: dict[str, Any], right: int, trials: int, state: State = "active", tokens: int = 100) -> Record:
    return Record(policy, state, "test", trials, right, trials, tokens * trials)


def suite(least: float = 0.9, **options: Any) -> Suite:
    return Suite(identity(A), [Constraint(QUESTION, least)], **options)


def test_an_empty_memory_violates_nothing() -> None:
    """Where nothing was scored nothing is known to be violated."""
    assert violations(Memory(), suite(1.0)) == ()


def test_what_serves_must_reach_the_least() -> None:
    """The policy that would be served must have been right on at least so many."""
    known = memory(record(A, 17, 20))
    assert (violations(known, suite(0.85)), len(violations(known, suite(0.86)))) == ((), 1)


def test_what_is_not_served_may_be_bad() -> None:
    """A policy that would not be served on such problems violates nothing."""
    assert violations(memory(record(A, 20, 20), record(B, 0, 20, "retired")), suite()) == ()


@pytest.mark.parametrize("policy", [{"name": "x", "layers": [{"kind": "veto"}]}, {"name": "x", "code": "import os"}])
def test_an_active_policy_is_valid(policy: dict[str, Any]) -> None:
    """An active policy that is none is a violation, without any constraint; one in quarantine is not served."""
    plain = Suite(identity(A))
    assert len(violations(memory(record(policy, 5, 5)), plain)) == 1
    assert violations(memory(record(policy, 5, 5, "quarantined")), plain) == ()


def test_an_active_policy_is_bounded() -> None:
    """An active policy that may take more calls than is allowed is a violation."""
    known = memory(record(A, 5, 5))
    assert violations(known, suite(most=Bound(4))) == ()
    assert "4 calls at worst, 3 are allowed" in violations(known, suite(most=Bound(3)))[0].why


def test_tokens_are_bounded_too() -> None:
    """Where tokens are limited a policy without a limit is too much."""
    assert "any number of tokens" in wrong_with(A, Bound(4, 100))
    assert wrong_with({**A, "budget": {"output_tokens_limit": 100}}, Bound(4, 100)) == ""


def test_reading() -> None:
    """A policy is read as it was written."""
    assert read(A) == Policy.from_json(A)


@pytest.mark.parametrize("value", [None, {}, {"question": "x", "least": True}, {"question": "x", "least": 1, "y": 1}])
def test_what_is_no_constraint(value: object) -> None:
    """What is no constraint is refused."""
    with pytest.raises(InvalidPolicy, match="constraints"):
        Constraint.of(value)


def test_what_violates_is_retired() -> None:
    """A policy that would be served against the suite is retired, and the default holds it again."""
    known = mended(memory(record(A, 20, 20, tokens=800), record(B, 19, 20)), suite(1.0, epsilon=0.2))
    assert [each.state for each in known.cells[0].records.values()] == ["active", "retired"]
    assert violations(known, suite(1.0, epsilon=0.2)) == ()


def test_the_default_is_not_retired() -> None:
    """Where the default violates the suite nothing can be mended."""
    known = memory(record(A, 10, 20))
    assert mended(known, suite()) == known


records = st.builds(
    lambda policy, trials, right, state: record(policy, min(right, trials), trials, state),
    st.sampled_from([A, B, {"name": "c"}, {"name": "x", "layers": [{"kind": "veto"}]}]),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from(["active", "quarantined", "retired"]),
)


@given(st.lists(records, max_size=4), st.floats(0, 1), st.integers(1, 5))
def test_mending_leaves_only_the_default_to_blame(some: list[Record], least: float, most: int) -> None:
    """Whatever is remembered, after mending no policy but the default violates the suite."""
    limits = suite(least, most=Bound(most))
    assert {each.policy for each in violations(mended(memory(*some), limits), limits)} <= {identity(A)}


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 1))
def test_violated_exactly_below_the_least(right: int, wrong: int, least: float) -> None:
    """The suite holds exactly where the share of right answers is at least what it asks for."""
    trials = right + wrong
    holds = not trials or right / trials >= least
    assert (violations(memory(record(A, right, trials)), suite(least)) == ()) is holds
