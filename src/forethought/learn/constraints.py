"""What must hold of a memory, whatever it has learned: a suite that each edition passes before it is written.

Memories that are rewritten towards what is rewarded drift (Alignment Tipping Process, arXiv 2510.04860). So reward
alone never decides what is served.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..errors import InvalidPolicy
from ..policy import Policy
from ..ports import Bound
from ..wire import JSON, Request, is_object
from .choosing import choose
from .memory import Cell, Memory
from .signature import Signature


@dataclass(frozen=True, slots=True)
class Constraint:
    """What serves problems like `question` must have been right on `least` of those that were scored, 0 to 1."""

    question: str
    least: float

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise InvalidPolicy("constraints.least", self.least, "a share from 0 to 1 is expected")

    @classmethod
    def of(cls, value: object) -> Constraint:
        """Read `{question, least}`; raises InvalidPolicy."""
        if not is_object(value) or set(value) != {"question", "least"} or not isinstance(value["question"], str):
            raise InvalidPolicy("constraints", value, "tables of `question` and `least` are expected")
        if isinstance(value["least"], bool) or not isinstance(value["least"], int | float):
            raise InvalidPolicy("constraints.least", value["least"], "a share from 0 to 1 is expected")
        return cls(value["question"], float(value["least"]))


@dataclass(frozen=True, slots=True)
class Suite:
    """The `constraints`, and what always holds: an active policy is valid and takes at most `most`.

    `default` is the identity of the policy that is served where nothing better is known, `epsilon` as in `choose`.
    """

    default: str
    constraints: Sequence[Constraint] = ()
    epsilon: float = 0.05
    most: Bound | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """What does not hold, in words: in the cell `cell` ("" where there is none) the policy `policy` is to blame."""

    why: str
    cell: str
    policy: str


def violations(memory: Memory, suite: Suite) -> tuple[Violation, ...]:
    """What of the suite does not hold; a kind of problem on which nothing was scored violates nothing."""
    return (*_unserved(memory, suite), *_unbounded(memory, suite.most))


def mended(memory: Memory, suite: Suite) -> Memory:
    """The memory without what violates the suite: the policy to blame is retired, as long as it is not the default."""
    for _ in range(sum(len(cell.records) for cell in memory.cells)):
        blamed = {(each.cell, each.policy) for each in violations(memory, suite) if each.policy != suite.default}
        cells = tuple(_without(cell, {name for key, name in blamed if key == cell.key}) for cell in memory.cells)
        if cells == memory.cells:
            break
        memory = replace(memory, cells=cells)
    return memory


def _without(cell: Cell, names: Collection[str]) -> Cell:
    records = {name: replace(each, state="retired") if name in names else each for name, each in cell.records.items()}
    return replace(cell, records=records)


def _unserved(memory: Memory, suite: Suite) -> Iterator[Violation]:
    for constraint in suite.constraints:
        signature = Signature.of(Request.of(constraint.question))
        served = choose(memory, signature, suite.default, suite.epsilon, draw=1.0).policy
        record, cell = memory.records(signature).get(served), memory.cell(signature)
        if record is not None and record.trials and record.accuracy < constraint.least:
            why = f"{constraint.question[:80]!r}: {record.name} would be served, at less than {constraint.least:g}"
            yield Violation(why, "" if cell is None else cell.key, served)


def _unbounded(memory: Memory, most: Bound | None) -> Iterator[Violation]:
    for cell in memory.cells:
        for name, record in cell.records.items():
            if record.state == "active" and (wrong := wrong_with(record.policy, most)):
                yield Violation(f"{record.name} is active: {wrong}", cell.key, name)


def wrong_with(policy: JSON, most: Bound | None) -> str:
    """Why a policy cannot be served, or ""; within `most` in calls, and in tokens where that limits them."""
    try:
        found = read(policy).worst_case()
    except InvalidPolicy as error:
        return str(error)
    if most is not None and found.requests > most.requests:
        return f"{found.requests} calls at worst, {most.requests} are allowed"
    tokens = None if most is None else most.output_tokens
    if tokens is not None and (found.output_tokens is None or found.output_tokens > tokens):
        return f"{found.output_tokens or 'any number of'} tokens at worst, {tokens} are allowed"
    return ""


def read(policy: JSON) -> Policy:
    """The policy that `Policy.to_json` wrote; read once, since it is asked for with every problem."""
    return _read(json.dumps(policy, sort_keys=True))


@lru_cache(maxsize=512)
def _read(text: str) -> Policy:
    return Policy.from_json(json.loads(text))
