"""Which policy a problem gets, and which are compared on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forethought.learn.choosing import choose, contenders, explorable
from forethought.learn.memory import Memory, from_json, to_json
from forethought.learn.signature import Signature
from support.memories import CHAIN, DEFAULT, IDS, NEARLY, kinds, memories, record, remembered


def chosen(memory: Memory, draw: float = 0.999, signature: Signature = CHAIN) -> tuple[str, str]:
    choice = choose(memory, signature, DEFAULT, 0.05, draw)
    return next(name for name, known in IDS.items() if known == choice.policy), choice.why


draws = st.floats(0, 1, exclude_max=True)
epsilons = st.floats(0, 0.5)


def test_nothing_known() -> None:
    """Without a memory the default is what a problem gets, whatever the draw."""
    assert choose(Memory(), CHAIN, DEFAULT, 0.05, 0.0).policy == DEFAULT


def test_the_cheapest_that_is_as_good() -> None:
    """Of policies that are as often right the cheapest is served."""
    memory = remembered(record("a", 40, 40, 800), record("b", 40, 40, 100), record("c", 40, 40, 200))
    assert chosen(memory) == ("b", "served")


def test_correct_first() -> None:
    """A cheap policy that is too often wrong is not served."""
    memory = remembered(record("a", 40, 40, 800), record("b", 30, 40, 100))
    assert chosen(memory) == ("a", "default")


def test_a_better_one_replaces_the_default() -> None:
    """An active policy that is right more often is served, though it costs more."""
    memory = remembered(record("a", 15, 40, 100), record("b", 38, 40, 900))
    assert chosen(memory) == ("b", "served")


@pytest.mark.parametrize("state", ["quarantined", "retired"])
def test_only_active_ones_are_served(state: str) -> None:
    """Beyond its share nothing is served that is in quarantine or retired, however good it looks."""
    memory = remembered(record("a", 20, 40, 900), record("b", 20, 40, 1, state))
    assert chosen(memory) == ("a", "default")


def test_the_share_of_an_untried_one() -> None:
    """A policy of which nothing is known gets epsilon of the problems and no more."""
    memory = remembered(record("a", 40, 40), record("b", 0, 0, 0, "quarantined"))
    assert [chosen(memory, draw) for draw in (0.049, 0.051)] == [("b", "explored"), ("a", "default")]


def test_the_share_grows_with_what_is_known() -> None:
    """The more often a policy in quarantine was right, the more problems it may get."""
    shares = [
        choose(remembered(record("a", 40, 40), record("b", n, n, 10, "quarantined")), CHAIN, DEFAULT, 0.05, 0.999).share
        for n in (0, 5, 20, 60)
    ]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (pytest.approx(0.05), 1.0)


def test_few_answers_are_no_disadvantage() -> None:
    """A policy that won is served at once: bounds are compared on as many answers as it has."""
    assert chosen(remembered(record("a", 50, 55, 800), record("b", 7, 7, 100))) == ("b", "served")


def test_an_active_one_that_is_not_sure_is_explored() -> None:
    """A policy that won, but seems less often right, gets a share, so that it can become sure."""
    memory = remembered(record("a", 50, 55, 800), record("b", 6, 8, 100))
    assert [chosen(memory, draw) for draw in (0.05, 0.9)] == [("b", "explored"), ("a", "default")]


def test_a_new_kind_borrows_from_similar_ones() -> None:
    """What is active on similar problems is served on a new kind."""
    assert chosen(remembered(record("a", 40, 40, 800), record("b", 40, 40)), signature=NEARLY) == ("b", "served")


def compared(memory: Memory, names: str = "abcd", width: int = 3) -> list[str]:
    found = contenders(memory, CHAIN, DEFAULT, [IDS[name] for name in names], width=width, runs=4)
    return [name for each in found for name in names if IDS[name] == each]


def test_untried_ones_are_compared_first() -> None:
    """Before anything is known the default is compared with the others in the order given."""
    assert compared(Memory()) == ["a", "b", "c"]


def test_the_cheapest_are_compared_first() -> None:
    """Of those that are open the cheapest are compared, after those that nobody has tried."""
    memory = remembered(*(record(name, 1, 1, tokens, "quarantined") for name, tokens in (("b", 300), ("c", 20))))
    assert compared(memory) == ["a", "d", "c"]


@pytest.mark.parametrize("changes", [{"state": "active"}, {"state": "retired"}, {"pairs": 4}, {"worse": 2}])
def test_what_is_settled_is_not_compared(changes: dict[str, Any]) -> None:
    """A policy that has won, has lost, loses, or was compared often enough, is compared no longer."""
    settled = replace(record("b", 3, 3, 50, "quarantined"), **changes)
    assert compared(remembered(record("a", 3, 3), settled), "ab") == []


def test_what_is_no_match_is_not_compared() -> None:
    """A policy that is dearer than one that won, and no more often right, is compared no longer."""
    memory = remembered(record("a", 9, 9, 800), record("b", 9, 9, 10), record("c", 3, 3, 90, "quarantined"))
    assert compared(memory, "abc") == []


@given(memories(), kinds, st.integers(2, 4))
def test_comparisons_hold_no_more_than_their_width(memory: Memory, signature: Signature, width: int) -> None:
    """Whatever is remembered, the default is compared with at least one other and at most so many, none twice."""
    found = contenders(memory, signature, DEFAULT, list(IDS.values()), width=width, runs=16)
    assert found == () or (found[0] == DEFAULT and 2 <= len(found) <= width and len(set(found)) == len(found))


def test_only_named_ones_may_be_chosen() -> None:
    """A policy that is remembered, but not among those that may be chosen, is not served."""
    memory = remembered(record("a", 40, 40, 800), record("b", 40, 40))
    assert choose(memory, CHAIN, DEFAULT, 0.05, 0.5, among={DEFAULT}).policy == DEFAULT


@given(memories(), kinds, epsilons, draws)
def test_never_beyond_its_share(memory: Memory, signature: Signature, epsilon: float, draw: float) -> None:
    """Whatever is remembered: one that is not sure is chosen only by a draw below its share, a retired one never."""
    choice = choose(memory, signature, DEFAULT, epsilon, draw)
    known = memory.records(signature)
    if choice.policy != DEFAULT:
        assert known[choice.policy].state in (("quarantined", "active") if choice.why == "explored" else ("active",))
    assert (choice.why == "explored") == (draw < choice.share)


@given(memories(), kinds, epsilons)
def test_the_share_keeps_the_mixture(memory: Memory, signature: Signature, epsilon: float) -> None:
    """The mixture of what is explored and what is served is never worse than epsilon, by the lower bound."""
    explored = choose(memory, signature, DEFAULT, epsilon, 0.0)
    assume(explored.why == "explored")
    served = choose(memory, signature, DEFAULT, epsilon, explored.share).policy if explored.share < 1 else DEFAULT
    known = memory.records(signature)
    old = known[served].high if served in known else 1.0
    mixture = explored.share * known[explored.policy].low + (1 - explored.share) * old
    assert mixture >= (1 - epsilon) * old - 1e-9 or explored.share == 1.0


@given(st.floats(0, 1), st.floats(0, 1), epsilons)
def test_the_largest_share(new: float, old: float, epsilon: float) -> None:
    """The share is a share, holds the bound, and a larger one does not."""
    share = explorable(new, old, epsilon)
    assert 0 <= share <= 1
    if share < 1:
        assert share * new + (1 - share) * old >= (1 - epsilon) * old - 1e-9
        more = share + 1e-3
        assert more * new + (1 - more) * old < (1 - epsilon) * old + 1e-9


@given(memories(), kinds, epsilons, draws)
def test_choosing_is_deterministic(memory: Memory, signature: Signature, epsilon: float, draw: float) -> None:
    """The same memory, problem and draw give the same choice, after a round trip through JSON too."""
    choice = choose(memory, signature, DEFAULT, epsilon, draw)
    assert choose(from_json(to_json(memory)), signature, DEFAULT, epsilon, draw) == choice
