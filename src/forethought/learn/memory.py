"""What is remembered of policies: for each kind of problem, which were tried, how often they were right, at what cost.

The structured memory of experience-guided reasoning (EGuR, arXiv 2511.11519), as a frozen value: `consolidate` makes
the next one out of a comparison, and `choosing` reads off it which policy a problem gets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from functools import reduce
from hashlib import blake2b
from math import sqrt
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from ..context import add_cost
from ..errors import InvalidRequest
from ..wire import JSON
from .signature import Signature

State: TypeAlias = Literal["quarantined", "active", "retired"]

JOIN = 0.7
"""The similarity from which a problem belongs to a cell."""
NEAR = 0.6
"""The similarity from which one cell borrows from another."""
ENOUGH = 8
"""Scored answers of a policy in a cell from which nothing is borrowed."""
_Z = 1.6449
"""One-sided 95 %."""


@dataclass(frozen=True, slots=True)
class Record:
    """What came of `policy` (as `Policy.to_json` writes it) on problems of one kind; `origin` says who proposed it.

    `score` sums the scores, 0 to 1, of `trials` answers; `tokens` (prompt not cached, and completion) and `cost`
    (USD, None where one is unknown) sum over `runs`, scored or not. Against the default it was compared on `pairs`
    problems: it was right where the default was wrong on `better`, wrong where that was right on `worse`, and as
    good for fewer or more tokens on `cheaper` and `dearer`. Only an active one is served at large.
    """

    policy: JSON
    state: State = "quarantined"
    origin: str = ""
    trials: int = 0
    score: float = 0.0
    runs: int = 0
    tokens: int = 0
    cost: Decimal | None = Decimal(0)
    pairs: int = 0
    better: int = 0
    worse: int = 0
    cheaper: int = 0
    dearer: int = 0

    @property
    def name(self) -> str:
        return title(self.policy)

    @property
    def accuracy(self) -> float:
        """The mean score; 0 where nothing was scored."""
        return self.score / self.trials if self.trials else 0.0

    @property
    def low(self) -> float:
        """What the accuracy is at least, at 95 % (Wilson's bound)."""
        return wilson(self.score, self.trials)[0]

    @property
    def high(self) -> float:
        """What the accuracy is at most, at 95 % (Wilson's bound)."""
        return wilson(self.score, self.trials)[1]

    @property
    def mean_tokens(self) -> float:
        return self.tokens / self.runs if self.runs else 0.0

    def plus(self, other: Record) -> Record:
        """Both records of one policy, counted together; state and origin stay."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        return replace(self, **sums, cost=add_cost(self.cost, other.cost))


_COUNTS = tuple(f.name for f in fields(Record) if f.name not in ("policy", "state", "origin", "cost"))


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of problem: the signature of its first, hashes of a few others, and the records by identity of policy."""

    signature: Signature
    examples: tuple[str, ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict[str, Record])

    @property
    def key(self) -> str:
        return self.signature.key


@dataclass(frozen=True, slots=True)
class Memory:
    """All cells of one tenant; `notes` are single lines that comparisons wrote; `compared` counts these."""

    cells: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()
    compared: int = 0

    def cell(self, signature: Signature) -> Cell | None:
        """The cell that a problem belongs to; None where it is the first of its kind."""
        nearest = max(self.cells, key=lambda cell: signature.similarity(cell.signature), default=None)
        return nearest if nearest is not None and signature.similarity(nearest.signature) >= JOIN else None

    def near(self, signature: Signature) -> list[Cell]:
        """Cells of similar problems, without the problem's own."""
        own = self.cell(signature)
        return [each for each in self.cells if each is not own and signature.similarity(each.signature) >= NEAR]

    def records(self, signature: Signature) -> Mapping[str, Record]:
        """What is known of each policy on such problems, by identity.

        A record of fewer than ENOUGH trials in the problem's own cell borrows counts from similar cells, and where
        these are still fewer, from all. A policy without a record in this cell is quarantined, unless it is active
        wherever its counts come from.
        """
        own = self.cell(signature)
        others = [each for each in self.cells if each is not own]
        near = self.near(signature)
        mine = [] if own is None else [own]
        names = dict.fromkeys(name for cell in (*mine, *others) for name in cell.records)
        return {name: _known(_of(name, mine), _of(name, near), _of(name, others)) for name in names}

    def compared_on(self, signature: Signature) -> Mapping[str, Record]:
        """What comparisons on such problems have shown, by identity of the policy.

        Similar cells lend theirs to a policy of fewer than ENOUGH in the own cell; one that has none there is active
        or retired only where it is so in all of them.
        """
        own = self.cell(signature)
        mine = [] if own is None else [own]
        near = self.near(signature)
        names = dict.fromkeys(name for cell in (*mine, *near) for name in cell.records)
        return {name: _lent(_of(name, mine), _of(name, near)) for name in names}


def _of(name: str, cells: Iterable[Cell]) -> list[Record]:
    return [cell.records[name] for cell in cells if name in cell.records]


def _known(own: Sequence[Record], near: Sequence[Record], every: Sequence[Record]) -> Record:
    """The own record with as little borrowed as makes enough."""
    widening = ([*own, *lent] for lent in ((), near, every))
    some = next((each for each in widening if sum(one.trials for one in each) >= ENOUGH), [*own, *every])
    lent_active = all(each.state == "active" for each in some)
    state = own[0].state if own else "active" if lent_active else "quarantined"
    return replace(reduce(Record.plus, some), state=state)


def _lent(own: Sequence[Record], near: Sequence[Record]) -> Record:
    """The own record, with those of similar cells where it has too few comparisons."""
    some = own if own and own[0].pairs >= ENOUGH else [*own, *near]
    states = {each.state for each in own or near}
    return replace(reduce(Record.plus, some), state=states.pop() if len(states) == 1 else "quarantined")


def title(policy: JSON) -> str:
    """The name of a policy as it may be repeated in notes: a plain word, else its identity."""
    name = str(policy.get("name", ""))
    plain = len(name) <= 40 and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    return name if plain and name.isascii() else identity(policy)


def identity(policy: JSON) -> str:
    """The same for policies that do the same, whatever they are called."""
    told = {name: policy[name] for name in ("budget", "layers") if policy.get(name)}
    return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=6).hexdigest()


def wilson(score: float, trials: int) -> tuple[float, float]:
    """The ends of what a share may be, at 95 % each (Wilson's interval); 0 and 1 without trials."""
    if not trials:
        return 0.0, 1.0
    share, square = min(1.0, score / trials), _Z * _Z / trials
    middle = share + square / 2
    reach = _Z * sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))


_MEMORY = TypeAdapter(Memory)


def to_json(memory: Memory) -> dict[str, Any]:
    """The memory as JSON values; what has its default is left out."""
    dumped: dict[str, Any] = _MEMORY.dump_python(memory, mode="json", exclude_defaults=True)
    return dumped


def from_json(value: object) -> Memory:
    """Read what `to_json` writes; raises InvalidRequest naming the field that is wrong."""
    try:
        return _MEMORY.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequest(".".join(map(str, first["loc"])), first["input"], first["msg"]) from None
