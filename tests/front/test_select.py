"""Which policy and budget a request gets, and that nothing but its own field and its model say so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.budget import Budget
from forethought.errors import InvalidPolicy, InvalidRequest
from forethought.front import jsonio
from forethought.front.select import Selector
from forethought.policy import Policy
from forethought.search.vote import Vote

BOLD = Policy("bold", layers=(Vote(samples=5),))
CALM = Policy("calm", layers=(Vote(samples=2),))
KNOWN = {"bold": BOLD, "calm": CALM}
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "q"}]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refused(option: Any) -> str:
    """The field for which an option is refused; that of the policy where it is taken."""
    try:
        Selector(KNOWN).select({**ASK, "forethought": option})
    except (InvalidRequest, InvalidPolicy) as error:
        return error.field
    return "forethought.policy"


@pytest.mark.parametrize(
    ("changes", "policy", "model"),
    [
        ({}, CALM, "m"),
        ({"model": "bold/m"}, BOLD, "m"),
        ({"model": "bold/meta/m"}, BOLD, "meta/m"),
        ({"model": "meta/m"}, CALM, "meta/m"),
        ({"model": "bold"}, CALM, "bold"),
        ({"model": "bold/"}, CALM, "bold/"),
        ({"model": "none/m"}, None, "m"),
        ({"forethought": None}, None, "m"),
        ({"forethought": {}}, CALM, "m"),
        ({"forethought": {"policy": None}}, None, "m"),
        ({"forethought": {"policy": "none"}}, None, "m"),
        ({"forethought": {"policy": "bold"}}, BOLD, "m"),
        ({"forethought": {"policy": "calm"}, "model": "bold/m"}, CALM, "m"),
        ({"forethought": {"progress": "none"}, "model": "bold/m"}, BOLD, "m"),
    ],
)
def test_field_then_alias_then_default(changes: dict[str, Any], policy: Policy | None, model: str) -> None:
    """The body's own field comes first, then a model id that begins with a known policy, then the default."""
    chosen = Selector(KNOWN, CALM).select({**ASK, **changes})
    assert (chosen.policy, chosen.body["model"]) == (policy, model)
    assert "forethought" not in chosen.body


def test_a_policy_can_come_along() -> None:
    """As the object that a policy file holds."""
    inline = {"layers": [{"kind": "vote", "samples": 5}]}
    chosen = Selector(KNOWN).select({**ASK, "forethought": {"policy": inline}}).policy
    assert chosen is not None
    assert chosen.layers == BOLD.layers


def test_the_cap_tightens_every_budget() -> None:
    """What a request allows itself never exceeds what the server allows it."""
    selector = Selector(KNOWN, cap=Budget(request_limit=4))
    more = {"budget": {"request_limit": 9, "time_limit_s": 2}}
    assert selector.select({**ASK, "forethought": more}).budget == Budget(request_limit=4, time_limit_s=2)
    assert selector.select(ASK).budget == Budget(request_limit=4)


@pytest.mark.parametrize(
    ("selector", "option", "plain"),
    [
        (Selector(KNOWN), {}, True),
        (Selector(KNOWN, Policy("empty")), {}, True),
        (Selector(KNOWN, CALM), {}, False),
        (Selector(KNOWN, Policy("thrifty", budget=Budget(request_limit=1))), {}, False),
        (Selector(KNOWN, cap=Budget(request_limit=1)), {}, False),
        (Selector(KNOWN), {"budget": {"request_limit": 1}}, False),
        (Selector(KNOWN, CALM), {"policy": "none"}, True),
    ],
)
def test_plain_is_what_asks_nothing_of_us(selector: Selector, option: dict[str, Any], plain: bool) -> None:
    """Neither a layer nor any limit."""
    assert selector.select({**ASK, "forethought": option}).plain is plain


@given(body=st.dictionaries(st.text(), json_values, max_size=5))
def test_a_body_that_selects_nothing_is_left_alone(body: dict[str, Any]) -> None:
    """Whatever else it holds, it is the caller's."""
    body.pop("forethought", None)
    body["model"] = "meta/bold"
    chosen = Selector(KNOWN).select(body)
    assert (chosen.body, chosen.policy, chosen.rewritten) == (body, None, False)


@given(option=json_values)
def test_any_option_is_taken_or_refused_by_name(option: Any) -> None:
    """No JSON value makes the selection fail in any other way."""
    assert refused(option).startswith("forethought")


@given(policy=json_values, budget=json_values)
def test_any_policy_and_budget_are_taken_or_refused_by_name(policy: Any, budget: Any) -> None:
    """The field that is wrong is told from the body's root."""
    assert refused({"policy": policy, "budget": budget}).startswith(("forethought.policy", "forethought.budget"))


@given(value=st.dictionaries(st.text(), json_values, max_size=4))
def test_json_comes_back_as_it_was(value: dict[str, Any]) -> None:
    """Written and read again."""
    assert jsonio.read_object(jsonio.write(value)) == value


@given(body=st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    """Nothing else is raised, whatever they are."""
    try:
        value = jsonio.read_object(body)
    except InvalidRequest as error:
        value = {error.field: "refused"}
    assert isinstance(value, dict)


def test_half_a_surrogate_can_be_written() -> None:
    """JSON can say it escaped, and so does this."""
    assert jsonio.read_object(jsonio.write({"a": "\ud800"})) == {"a": "\ud800"}
