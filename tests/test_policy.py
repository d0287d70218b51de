"""Policies as values."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought import policy
from forethought.budget import Budget
from forethought.errors import InvalidPolicy
from forethought.judge.backward import Backward
from forethought.judge.majority import Majority
from forethought.judge.pairwise import Pairwise
from forethought.judge.pessimistic import Pessimistic
from forethought.policy import Policy
from forethought.ports import Bound
from forethought.search.vote import Vote
from forethought.steer.limit import Limit
from forethought.testing import Scripted

limits = st.builds(Limit, reasoning_tokens=st.none() | st.integers(0, 10**6), transition=st.text(max_size=20))
confidences = st.floats(0.51, 1.0)
judges = (
    st.builds(Majority, confidence=confidences, min_votes=st.integers(1, 9))
    | st.builds(Pessimistic, verifications=st.integers(1, 9), confidence=confidences, model=st.text(max_size=5))
    | st.builds(Backward, recoveries=st.integers(1, 9), alpha=st.floats(0, 1), max_tokens=st.none() | st.integers(1, 9))
    | st.builds(Pairwise, rounds=st.integers(0, 9), temperature=st.none() | st.floats(0, 2))
)
votes = st.builds(
    Vote, samples=st.integers(1, 256), temperature=st.none() | st.floats(0, 2), eager=st.booleans(), judge=judges
)
budgets = st.builds(
    Budget, request_limit=st.none() | st.integers(1, 99), cost_limit=st.none() | st.decimals("0.01", "99", places=4)
)
policies = st.builds(
    Policy, st.text(min_size=1, max_size=9), st.text(max_size=20), budgets, st.lists(limits | votes).map(tuple)
)


@given(policies)
def test_toml_round_trip(original: Policy) -> None:
    """A policy equals itself after TOML and back."""
    assert Policy.from_toml(original.to_toml()) == original


@given(policies)
def test_json_round_trip(original: Policy) -> None:
    """A policy equals itself after JSON and back."""
    assert Policy.from_json(original.to_json()) == original


@pytest.mark.parametrize("name", ["direct", "economy", "balanced", "thorough"])
def test_shipped(name: str) -> None:
    """Each policy that ships loads by its name and says when to use it."""
    shipped = policy.load(name)
    assert (shipped.name, bool(shipped.when)) == (name, True)


def test_shipped_in_order_of_cost() -> None:
    """The installed policies are listed from the cheapest to the dearest."""
    worst = [each.worst_case().requests for each in policy.available().values()]
    assert worst == sorted(worst)


def test_unknown_name() -> None:
    """An unknown name is refused with the names there are."""
    with pytest.raises(InvalidPolicy, match=r"'balance'.*balanced"):
        policy.load("balance")


def test_worst_case() -> None:
    """What one answer can take is computed without asking: samples times steered calls."""
    assert Policy("p", layers=(Vote(samples=8), Limit())).worst_case() == Bound(16, None)


def test_worst_case_under_a_budget() -> None:
    """A budget bounds the worst case."""
    budget = Budget(request_limit=5, output_tokens_limit=900)
    assert Policy("p", budget=budget, layers=(Vote(samples=8),)).worst_case() == Bound(5, 900)


WRONG = [
    ("name = 3", "name", 1),
    ('name = "p"\nlayer = 1', "layer", 2),
    ('name = "p"\n\n[budget]\nrequest_limit = 0', "budget.request_limit", 4),
    ('name = "p"\n[budget]\nrequests = 3', "budget.requests", 3),
    ('name = "p"\n[[layers]]\nkind = "vote"\nsamples = "8"', "layers[0].samples", 4),
    ('name = "p"\n[[layers]]\nkind = "vote"\n[[layers]]\nkind = "limit"\nreasoning_tokens = -2', "layers[1]", 6),
    ('name = "p"\n[[layers]]\nkind = "vot"', "layers[0].kind", 3),
    ('name = "p"\n[[layers]]\nsamples = 8', "layers[0].kind", 2),
    ('name = "p"\n[[layers]]\nkind = "vote"\nsample = 8', "layers[0].sample", 4),
    ('name = "p"\n[[layers]]\nkind = "vote"\n[layers.judge]\nkind = "majority"\nconfidence = 7', "confidence", 6),
    ('name = "p"\n[[layers]]\nkind = "vote"\njudge = 3', "layers[0].judge", 4),
    ('name = "p"\n[[layers]]\nkind = "vote"\njudge = {kind = "pessimistic", verifier = "x"}', "judge.verifier", 4),
    ('name = "p"\nwhen = "', "toml", 2),
    ("", "name", None),
]


@pytest.mark.parametrize(("text", "field", "line"), WRONG)
def test_wrong_policy(text: str, field: str, line: int | None) -> None:
    """A wrong policy is refused with the field, and the line where there is one."""
    with pytest.raises(InvalidPolicy) as caught:
        Policy.from_toml(text, source="mine.toml")
    assert field in caught.value.field
    assert caught.value.line == line


def test_message_of_an_error(tmp_path: Path) -> None:
    """The message names file, line, field, value and what would be right."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "p"\n[[layers]]\nkind = "vote"\nsamples = 0\n')
    with pytest.raises(InvalidPolicy, match=r"mine\.toml:4: layers\[0\]\.samples: got 0; 1 to 256"):
        policy.load(file)


def test_what_is_given_in_code_is_not_written() -> None:
    """A backend cannot be written to a file, and is not left out in silence."""
    policy = Policy("p", layers=(Vote(judge=Pessimistic(verifier=Scripted("x"))),))
    with pytest.raises(InvalidPolicy, match=r"verifier.*in code"):
        policy.to_toml()


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is refused with its path."""
    with pytest.raises(InvalidPolicy, match=r"nowhere\.toml"):
        policy.load(tmp_path / "nowhere.toml")


def test_json_file(tmp_path: Path) -> None:
    """A policy may be a JSON file."""
    file = tmp_path / "mine.json"
    file.write_text('{"name": "p", "layers": [{"kind": "vote", "samples": 3}]}')
    assert policy.load(file) == Policy("p", layers=(Vote(samples=3),))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "layers", "kind", "budget", "samples"]), inner, max_size=3)
        ),
    )
)
def test_anything_else_is_refused(value: object) -> None:
    """Whatever JSON value is given, it is a policy or an InvalidPolicy."""
    with suppress(InvalidPolicy):
        assert isinstance(Policy.from_json(value), Policy)
