"""The policies among which experience chooses."""

from __future__ import annotations

from typing import Any

import pytest

from forethought import Policy
from forethought.errors import InvalidPolicy
from forethought.learn.lineup import GUIDE, Lineup
from forethought.learn.memory import Cell, Memory, Record, identity
from forethought.learn.signature import Signature
from forethought.ports import Bound, Capabilities
from forethought.testing import SCRIPTED

PLAIN = {"name": "plain"}
NESTED = {"kind": "ladder", "search": {"kind": "experience"}}


def vote(samples: int, **more: Any) -> dict[str, Any]:
    return {"name": f"vote{samples}", "layers": [{"kind": "vote", "samples": samples}], **more}


def lineup(*policies: dict[str, Any]) -> Lineup:
    default, *candidates = (Policy.from_json(each) for each in policies)
    return Lineup.of(default, candidates)


def remembered(policy: dict[str, Any], origin: str = GUIDE) -> Memory:
    return Memory((Cell(Signature(), (), {identity(policy): Record(policy, "active", origin)}),))


def usable(policy: dict[str, Any], *, guided: bool = True, origin: str = GUIDE, can: Capabilities = SCRIPTED) -> bool:
    found = lineup(vote(4)).usable(remembered(policy, origin), can, guided=guided)
    return identity(policy) in found


def test_equal_ones_are_one() -> None:
    """Candidates that do the same as the default are not another policy."""
    assert list(lineup(vote(4), {**vote(4), "name": "again"}).policies) == [identity(vote(4))]


@pytest.mark.parametrize("layers", [[{"kind": "experience"}], [NESTED]])
def test_none_learns_itself(layers: list[dict[str, Any]]) -> None:
    """A policy with experience in it, however deep, is refused."""
    with pytest.raises(InvalidPolicy, match="experience"):
        lineup(PLAIN, {"name": "x", "layers": layers})


def test_worst_case_of_a_comparison() -> None:
    """At worst the default and the costliest others are compared."""
    given = lineup(PLAIN, vote(8), vote(2))
    assert [given.worst_case(Bound(), width, 0).requests for width in (2, 3, 9)] == [9, 11, 11]


def test_worst_case_of_proposals() -> None:
    """Where a guide proposes, any other may be as costly as the costliest given, and it is asked twice at most."""
    assert lineup(PLAIN, vote(8), vote(2)).worst_case(Bound(), 3, 1) == Bound(1 + 8 + 8 + 2)


def test_worst_case_counts_tokens() -> None:
    """Tokens add up where each policy's are limited."""
    limited = [{**vote(n), "budget": {"output_tokens_limit": 100 * n}} for n in (2, 3)]
    assert lineup(*limited).worst_case(Bound(), 2, 0) == Bound(5, 500)
    assert lineup(*limited, PLAIN).worst_case(Bound(), 3, 0).output_tokens is None


def test_what_a_guide_proposed_is_usable() -> None:
    """What a guide proposed may be chosen where a guide is wanted, within the costliest of those given."""
    assert [usable(vote(3)), usable(vote(3), guided=False), usable(vote(5))] == [True, False, False]


def test_what_another_layer_was_given_is_not() -> None:
    """Policies in memory that were given to another layer are not chosen."""
    assert not usable(vote(3), origin="given")


@pytest.mark.parametrize("layer", [{"kind": "veto"}, {"kind": "experience"}, NESTED])
def test_what_cannot_be_served_is_not(layer: dict[str, Any]) -> None:
    """A policy that is none any more, or would learn itself, is not chosen, whatever the store says."""
    assert not usable({"name": "x", "layers": [layer]})


def test_what_the_backend_cannot_run_is_not() -> None:
    """A policy that needs more than the backend can do is not chosen."""
    needy = {
        "name": "x",
        "layers": [{"kind": "lookahead", "candidates": 2, "ahead": 1}],
        "budget": {"request_limit": 2},
    }
    assert not usable(needy, can=Capabilities("plain"))


def test_its_key() -> None:
    """Layers of the same policies know each other's runs, others do not."""
    assert lineup(PLAIN, vote(2)).key == lineup(PLAIN, vote(2)).key != lineup(PLAIN, vote(3)).key
