"""Feedback finds what learns in a policy, and nothing wrong gets that far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import pytest

from forethought.engine import Engine
from forethought.errors import InvalidRequest
from forethought.learn.feedback import learners, tell
from forethought.policy import Policy
from forethought.ports import Backend, Layer, Learning, Stream
from forethought.search.vote import Vote
from forethought.testing import Scripted
from forethought.wire import Completion, Request
from support.learning import Attentive


@dataclass(frozen=True, slots=True)
class Rungs:
    """A layer that holds policies."""

    rungs: tuple[Policy, ...] = ()
    named: Mapping[str, Layer] | None = None

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        return inner.stream(request)


def policy(*layers: Layer) -> Policy:
    return Policy("p", layers=layers)


async def test_a_layer_of_the_policy_is_told() -> None:
    """An engine tells a layer that learns the run, the score and the right answer."""
    layer = Attentive()
    engine = Engine(Scripted("42"), policy(Vote(3), layer))
    answer = await engine.ask("6*7?")
    assert await engine.feedback(answer.run, 0.5, answer="42")
    assert layer.heard == [(answer.run, 0.5, "42")]


async def test_nobody_learns() -> None:
    """Where no layer learns, no run is known."""
    engine = Engine(Scripted("42"), "balanced")
    assert not await engine.feedback((await engine.ask("6*7?")).run, 1)


async def test_an_unknown_run() -> None:
    """A run that no layer knows is not known, and none has learned of it."""
    layer = Attentive(frozenset())
    assert not await Engine(Scripted("42"), policy(layer)).feedback("run_of_another", 1)
    assert layer.heard == []


async def test_every_layer_is_told() -> None:
    """A layer that knows the run does not keep it from the next one."""
    layers = Attentive(), Attentive()
    assert await tell(layers, "run_1", 1)
    assert [layer.heard for layer in layers] == [[("run_1", 1.0, None)]] * 2


async def test_policies_inside_a_layer() -> None:
    """What learns inside the policies and mappings that a layer holds is found."""
    deep, named = Attentive(), Attentive()
    held = policy(Rungs((policy(), policy(Vote(2), deep)), {"x": named}))
    assert list(learners(held)) == [deep, named]


async def test_an_engine_below() -> None:
    """An engine over an engine tells the one below, whose layers took part in the same run."""
    layer = Attentive()
    outer = Engine(Engine(Scripted("42"), policy(layer)), policy(Vote(2)))
    assert await outer.feedback((await outer.ask("6*7?")).run, 1)
    assert len(layer.heard) == 1


def test_an_engine_learns() -> None:
    """An engine is itself one that learns."""
    assert isinstance(Engine(Scripted("42")), Learning)


def test_a_completion_without_a_run() -> None:
    """What no engine answered has no run."""
    assert Completion("42").run == ""


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("", 1, None), "run_id"),
        ((7, 1, None), "run_id"),
        (("run", -0.1, None), "score"),
        (("run", 1.1, None), "score"),
        (("run", nan, None), "score"),
        (("run", inf, None), "score"),
        (("run", True, None), "score"),
        (("run", "1", None), "score"),
        (("run", None, None), "score"),
        (("run", 1, 42), "answer"),
    ],
)
async def test_what_is_wrong_is_named(given: tuple[Any, Any, Any], field: str) -> None:
    """A field that is wrong is named, and nobody is told."""
    layer = Attentive()
    run, score, answer = given
    with pytest.raises(InvalidRequest) as refused:
        await tell([layer], run, score, answer=answer)
    assert (refused.value.field, layer.heard) == (field, [])
