"""Runs a policy over problems, several at a time, and tells of each outcome as it comes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ..context import derive_seed
from ..engine import Engine
from ..errors import ForethoughtError
from ..trace import Run
from ..wire import JSON, Request
from .outcome import Outcome
from .problems import Exam, Problem


@dataclass(frozen=True, slots=True)
class Trial:
    """One problem as it will be asked; `key` is the same for the same policy, model, question and seed."""

    key: str
    index: int
    problem: Problem
    request: Request


def trials(engine: Engine, problems: Sequence[Problem], *, model: str, params: JSON, seed: int) -> list[Trial]:
    """What is asked of `engine`; problem by problem every engine draws from one seed.

    `model` names what answers, in words; `params` are fields of the chat-completions body.
    """
    return [
        _trial(engine, model, index, problem, {**params, "seed": derive_seed(seed, index)})
        for index, problem in enumerate(problems)
    ]


def _trial(engine: Engine, model: str, index: int, problem: Problem, params: JSON) -> Trial:
    request = Request(tuple(problem.messages), params)
    how = [engine.policy.to_json(), engine.budget.to_json()]
    asked: list[Any] = [version("forethought"), model, *how, request.to_json(), problem.answer]
    key = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=12).hexdigest()
    return Trial(key, index, problem, request)


async def run(
    engine: Engine, exam: Exam, waiting: Iterable[Trial], tell: Callable[[Outcome], None], *, concurrency: int = 1
) -> None:
    """Ask every trial, `concurrency` at a time, and `tell` of each as it ends; leaving early leaves no call behind."""
    queue = iter(waiting)

    async def work() -> None:
        for trial in queue:
            tell(await attempt(engine, exam, trial))

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())


async def attempt(engine: Engine, exam: Exam, trial: Trial) -> Outcome:
    """One trial; an error of ours is its outcome, and what was spent until then is counted."""
    spent = Run.start("evaluate")
    began = time.perf_counter()
    answer = stop_reason = error = ""
    right: bool | None = None
    try:
        completion = await engine.complete(trial.request.with_context(node=spent.root))
        answer, stop_reason = completion.text, completion.done.stop_reason or completion.finish_reason
        right = exam.is_right(trial.problem, answer)
    except ForethoughtError as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Outcome(
        trial.key,
        engine.policy.name,
        trial.index,
        trial.problem.difficulty,
        right,
        spent.root.usage,
        spent.root.cost,
        time.perf_counter() - began,
        answer,
        stop_reason,
        error,
    )
