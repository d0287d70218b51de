"""Feedback on an answer finds whoever can learn from it: the layers of a policy, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

from ..errors import InvalidRequest
from ..ports import Learning
from ..wire import is_array


async def tell(holders: Iterable[object], run_id: object, score: object, *, answer: object = None) -> bool:
    """Tell all that learn among `holders`: policies, layers, backends. Each is told once; True where one knew the run.

    Raises InvalidRequest naming the field that is wrong before anyone is told, and StoreError.
    """
    if not isinstance(run_id, str) or not run_id:
        raise InvalidRequest("run_id", run_id, "the id of a run is expected")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InvalidRequest("score", score, "a number from 0 to 1 is expected")
    if answer is not None and not isinstance(answer, str):
        raise InvalidRequest("answer", answer, "a string is expected: the answer that would have been right")
    once = {id(each): each for each in learners(holders)}
    known = [await each.feedback(run_id, float(score), answer=answer) for each in once.values()]
    return any(known)


def learners(held: object) -> Iterator[Learning]:
    """Whatever learns in a value: in a policy, in its layers, in the policies or backends which those hold."""
    if isinstance(held, Learning) and not isinstance(held, type):
        yield held
    elif is_dataclass(held) and not isinstance(held, type):
        for option in fields(held):
            yield from learners(getattr(held, option.name))
    elif isinstance(held, Mapping):
        yield from learners(list(cast("Mapping[Any, object]", held).values()))
    elif is_array(held):
        for each in held:
            yield from learners(each)
