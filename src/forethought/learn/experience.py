"""Experience: learns which policy wins on which kind of problem, and serves it there.

Experience-guided reasoning (EGuR, Stein et al., arXiv 2511.11519): several policies answer one problem, a memory is
rewritten by comparing them, and what won is served without being made anew. There policies are programs that a model
writes and whatever is rewarded is kept; here they are data, and a new one is served no more than its lower bound
allows (StepMix, arXiv 2306.06265) until it has won.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from ..errors import InvalidPolicy
from ..policy import Policy, load
from ..ports import IN_CODE, Backend, Bound, Capabilities, Store
from ..store.disk import DiskStore
from ..wire import JSON, Event, Request, is_object
from .applied import Applied
from .constraints import Constraint, Suite
from .guide import Guide
from .keeper import Keeper
from .lineup import Lineup, lack
from .occasion import Check, Habits, Occasion


class _Opened:
    """Holds what is resolved on first use; apart from the fields, which alone make up the policy."""

    __slots__ = ("_resolved",)
    _resolved: Habits


@dataclass(frozen=True, slots=True)
class Experience(_Opened):
    """Serves the policy that has proved best on problems of this kind, and learns which that is.

    `default` and `candidates` are names of installed policies, or policies as tables; `none` asks the model once.
    While a kind of problem is new, `compare` policies at a time answer each of its problems, the default among them,
    until every candidate has won, has lost, is no match for one that won, or was compared on `learn_runs` of them.
    Then the cheapest of those that won is served as it streams, where it is as often right as the best, less
    `epsilon`. With `proposals` a model may propose that many more for each new kind, which are bounded by the
    costliest of those given.

    Answers are scored by feedback on the run, or with `verify = "agreement"` by what most policies of a comparison
    answer; a `check` in code scores each from 0 to 1. `constraints`, tables of a `question` and the `least` share of
    right answers on problems like it, must hold whatever is learned. Memories are kept in `store`, a folder that is
    there below the working directory, by default in `$XDG_DATA_HOME/forethought/experience`; tenants never share one.
    It belongs outermost, since a score is that of the run's answer.

    Done reports `experience`: the cell, the policy, why it answered, the tokens that it computed (those of the prompt
    that were not cached, and those written), and the mean of the default's.
    """

    kind: ClassVar[str] = "experience"

    default: str | JSON = "none"
    candidates: Sequence[str | JSON] = ()
    compare: int = 3
    learn_runs: int = 16
    epsilon: float = 0.05
    proposals: int = 0
    verify: Literal["feedback", "agreement"] = "feedback"
    constraints: Sequence[JSON] = ()
    store: str = ""
    memory: Store | None = field(default=None, metadata=IN_CODE)
    guide: Guide | None = field(default=None, metadata=IN_CODE)
    check: Check | None = field(default=None, metadata=IN_CODE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        for name, value, least, most in (
            ("compare", self.compare, 2, 16),
            ("learn_runs", self.learn_runs, 1, 1000),
            ("epsilon", self.epsilon, 0, 0.5),
            ("proposals", self.proposals, 0, 8),
        ):
            if not least <= value <= most:
                raise InvalidPolicy(f"experience.{name}", value, f"{least} to {most} is expected")
        for constraint in self.constraints:
            Constraint.of(constraint)
        if self.store:
            _below(self.store)
        for given in (self.default, *self.candidates):
            if is_object(given):  # names are looked up later: what they stand for may name this policy
                _policy(given)

    def worst_case(self, inner: Bound, /) -> Bound:
        return self._habits().lineup.worst_case(inner, self.compare, self.proposals)

    def missing(self, capabilities: Capabilities, /) -> str | None:
        """What the backend lacks for one of the policies; raises InvalidPolicy where one is not to be had."""
        return lack(self._habits().lineup.policies.values(), capabilities)

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        habits = self._habits()
        plain = request.context.probing or request.prefix is not None
        default = Applied(habits.lineup.policies[habits.lineup.default], inner)
        # What only continues an answer that was begun, or looks at what would be said, is no problem of its own.
        async with default.stream(request) if plain else Occasion(habits, inner, request).opened() as events:
            yield events

    async def feedback(self, run_id: str, score: float, *, answer: str | None = None) -> bool:
        """Take the `score`, 0 to 1, of what a run answered; see `forethought.ports.Learning`."""
        habits = self._habits()
        pending = await habits.keeper.take(run_id, habits.lineup.key)
        if pending is None or pending.comparison is None:
            return False
        await habits.keeper.learn(pending.tenant, pending.comparison.scored(score, answer), habits.suite)
        return True

    @property
    def suite(self) -> Suite:
        """What must hold of every memory; raises InvalidPolicy where a policy is not to be had."""
        return self._habits().suite

    def _habits(self) -> Habits:
        if not hasattr(self, "_resolved"):
            policies = [_policy(each) for each in (self.default, *self.candidates)]
            lineup = Lineup.of(policies[0], policies[1:])
            constraints = [Constraint.of(each) for each in self.constraints]
            habits = Habits(
                lineup,
                opened(self.store) if self.memory is None else Keeper(self.memory),
                Suite(lineup.default, constraints, self.epsilon, lineup.most),
                compare=self.compare,
                learn_runs=self.learn_runs,
                proposals=self.proposals,
                agreement=self.verify == "agreement",
                guide=self.guide,
                check=self.check,
            )
            object.__setattr__(self, "_resolved", habits)
        return self._resolved


def opened(store: str = "") -> Keeper:
    """The keeper of the memories in a folder below the working directory, or in that of the user."""
    return _keeper(_below(store) if store else home())


def home() -> Path:
    """Where memories are kept where nothing else is said."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data, "forethought", "experience")


@lru_cache(maxsize=32)
def _keeper(folder: Path) -> Keeper:
    """One for each folder: a policy that comes with every request must not open the store anew each time."""
    return Keeper(DiskStore(folder))


def _below(store: str) -> Path:
    """A request may bring a policy along, and must not make folders by it, nor write among other files."""
    try:
        folder = Path(store).resolve()
        inside = folder.is_relative_to(Path.cwd().resolve()) and folder.is_dir()
        fits = inside and ((folder / "cache.db").is_file() or not any(folder.iterdir()))
    except (OSError, ValueError, RuntimeError):  # a loop of links, or what is no path at all
        fits = False
    if not fits:
        hint = "a folder below the working directory is expected, empty or with memories in it"
        raise InvalidPolicy("experience.store", store, hint)
    return Path(store).resolve()


def _policy(given: str | JSON) -> Policy:
    """An installed policy by name, never a file; or one from a table, whose name may be left out."""
    if given == PLAIN.name:
        return PLAIN
    try:
        if not isinstance(given, str):
            policy = Policy.from_json({"name": INLINE, **given})
        elif given.endswith((".toml", ".json")):
            raise InvalidPolicy("name", given, "the name of an installed policy, or a policy as a table, is expected")
        else:
            policy = load(given)
        Lineup.of(policy, ())
    except InvalidPolicy as wrong:
        raise InvalidPolicy("experience.candidates", given, str(wrong)) from None
    return policy


PLAIN = Policy("none", "Ask the model once, with nothing added.")
INLINE = "inline"
