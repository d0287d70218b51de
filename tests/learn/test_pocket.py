"""A handbook over a model that really thinks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from forethought import Completion, Engine, Policy, Request, open_backend
from forethought.learn.handbook import Library
from forethought.learn.trial import Bench, Case
from forethought.ports import Backend
from forethought.shape.behaviors import read
from forethought.shape.handbook import Advised, Handbook
from forethought.store.memory import MemoryStore
from forethought_pocket import RULES, Problem, handbook_path, is_right, problems

pytest.importorskip("llama_cpp", reason="the local engine needs llama-cpp-python")

COUNT = 24


@pytest.fixture
async def pocket() -> AsyncIterator[Backend]:
    backend: Any = open_backend("pocket")
    async with backend:
        yield backend


def right(problem: Problem, answer: Completion) -> bool:
    return is_right(problem, answer.text)


def cases(kind: str) -> list[Case]:
    asked = problems("dev", COUNT, kind=kind)
    return [
        Case(each.question, Request(tuple(each.messages), {"temperature": 0}), partial(right, each)) for each in asked
    ]


def test_rules_are_those_it_was_trained_on() -> None:
    """The handbook that ships holds the very words that the model was trained on."""
    assert {each.instruction for each in read(handbook_path())} == set(RULES.values())


async def test_rules_earn_their_place(pocket: Backend) -> None:
    """Both rules that ship win their trials where they fit, are promoted, and are then served."""
    library = Library(MemoryStore())
    await library.book().propose(read(handbook_path()))
    bench = Bench(Engine(pocket), [*cases("repeat"), *cases("zero"), *cases("chain")], cite=False)
    trials = [await bench.trial(each) for each in (await library.book().latest()).behaviors]
    assert [(trial.verdict(), len(trial.outcomes)) for trial in trials] == [("won", COUNT), ("won", COUNT)]
    assert all(trial.tokens_with < 0.65 * trial.tokens_without for trial in trials)
    await library.book().settle(trials)
    engine = Engine(pocket, Policy("p", layers=(Advised(library, cite=False),)))
    answer = await engine.complete(cases("zero")[0].request)
    assert answer.done.report["handbook"]["served"] == ["nothing_left"]


async def test_a_policy_serves_the_handbook_that_ships(pocket: Backend) -> None:
    """By name in a policy the handbook spares tokens, input and output, and loses no answer."""
    advised = Engine(pocket, Policy("p", layers=(Handbook("pocket", cite=False),)))
    spent = {"plain": 0, "advised": 0}
    solved = {"plain": 0, "advised": 0}
    for name, engine in (("plain", Engine(pocket)), ("advised", advised)):
        for case in (*cases("repeat")[:8], *cases("zero")[:8]):
            answer = await engine.complete(case.request)
            spent[name] += answer.usage.total_tokens
            solved[name] += case.right(answer)
    assert spent["advised"] < 0.65 * spent["plain"]
    assert solved["advised"] >= solved["plain"]
