"""One problem under experience: several policies are compared on it, or the one that has proved best is served."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from ..answers import Clusters, extract
from ..context import Usage
from ..errors import ForethoughtError, StoreError
from ..fold import Partial
from ..policy import Policy
from ..ports import Backend
from ..search.fanout import Branches, Landed, Piece, fan_out
from ..search.vote import whole
from ..wire import Completion, Delta, Done, Event, Note, Request
from .applied import Applied
from .choosing import Choice, choose, contenders
from .consolidate import Attempt, Comparison
from .constraints import Suite
from .guide import Guide, Known
from .keeper import Keeper
from .lineup import GUIDE, Lineup
from .memory import Memory, identity
from .signature import Signature

_KEPT = 4000
"""Characters of an answer that are kept to compare it."""
_TOLD = 200

Check = Callable[[Request, Completion], float]


@dataclass(frozen=True, slots=True)
class Habits:
    """How experience goes about a problem: the options of the layer, resolved."""

    lineup: Lineup
    keeper: Keeper
    suite: Suite
    compare: int = 3
    learn_runs: int = 16
    proposals: int = 0
    agreement: bool = False
    guide: Guide | None = None
    check: Check | None = None


@dataclass(slots=True)
class Occasion:
    """Answers one request; what is learned of it is kept before Done passes, so that feedback may follow at once."""

    habits: Habits
    inner: Backend
    request: Request
    memory: Memory = field(default_factory=Memory)
    notes: list[Note] = field(default_factory=list[Note])
    kept: bool = True
    signature: Signature = field(init=False)
    usable: Mapping[str, Policy] = field(init=False)

    def __post_init__(self) -> None:
        self.signature = Signature.of(self.request)
        self.usable = self.habits.lineup.policies

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[AsyncIterator[Event]]:
        names = await self._begin()
        if len(names) > 1:
            async with fan_out(self.inner) as branches, aclosing(self._compared(branches, names)) as compared:
                yield compared
            return
        policies, default, epsilon = self.usable, self.habits.lineup.default, self.habits.suite.epsilon
        draw = _draw(self.request)
        choice = choose(self.memory, self.signature, default, epsilon, draw, among=policies.keys())
        policy = policies[choice.policy]
        async with (
            Applied(policy, self.inner).stream(self.request) as events,
            aclosing(self._alone(policy, choice, events)) as told,
        ):
            yield told

    async def _begin(self) -> Sequence[str]:
        """The policies to compare; none where the kind is known, or the memory cannot be read."""
        habits, tenant = self.habits, self.request.context.tenant
        lineup, guided = habits.lineup, habits.proposals > 0
        try:
            self.memory = await habits.keeper.memory(tenant)
            self.notes += [Note("refused", each) for each in habits.keeper.refused(tenant)]
            self.usable = lineup.usable(self.memory, self.inner.capabilities, guided=guided)
            wanted = contenders(
                self.memory,
                self.signature,
                lineup.default,
                list(self.usable),
                width=habits.compare,
                runs=habits.learn_runs,
            )
            new = guided and self.memory.cell(self.signature) is None
            worth = (wanted or new) and self._affordable(wanted)
            if not worth or not await habits.keeper.may_compare(tenant, self.memory):
                return ()
        except StoreError as error:  # a memory that cannot be read is no reason not to answer
            self.notes.append(Note("failed", str(error)))
            self.kept = False
            return ()
        proposed = await self._proposed() if new else dict[str, Policy]()
        self.usable = {**self.usable, **proposed}
        return tuple(dict.fromkeys((lineup.default, *proposed, *wanted)))[: habits.compare]

    def _affordable(self, names: Sequence[str]) -> bool:
        """Whether the calls that are left are enough for all that would be compared."""
        scope = self.request.context.scope
        left = None if scope is None else scope.requests_left
        return left is None or sum(self.usable[name].worst_case().requests for name in names) <= left

    async def _proposed(self) -> Mapping[str, Policy]:
        """What the guide proposes for a new kind of problem."""
        habits, memory = self.habits, self.memory
        records = memory.records(self.signature)
        told = {name: f"right on {each.score:g} of {each.trials}" for name, each in records.items()}
        known = [Known(policy, told.get(name, "not tried yet")) for name, policy in self.usable.items()]
        guide, bound = habits.guide or Guide(), habits.lineup.most
        made = await guide.propose(self.inner, self.request, known, memory.notes, k=habits.proposals, bound=bound)
        found = {identity(each.policy.to_json()): each.policy for each in made.made}
        self.notes.append(Note("proposed", ", ".join(each.name for each in found.values())))
        self.notes += [Note("refused", each) for each in made.refused]
        return found

    async def _alone(self, policy: Policy, choice: Choice, events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
        """The events of one policy as they come; at the end, what is known of it is kept."""
        for note in self.notes:
            yield note
        yield Note(choice.why, policy.name, {"cell": choice.cell, "share": choice.share})
        partial = Partial()
        async for event in events:
            if isinstance(event, Delta):
                partial.add(event)
            if not isinstance(event, Done):
                yield event
                continue
            completion = partial.completion(event)
            attempt = self._attempt(choice.policy, completion)
            for note in await self._keep(self._comparison((attempt,), 0)):
                yield note
            yield self._done(event, choice.why, attempt)

    async def _compared(self, branches: Branches, names: Sequence[str]) -> AsyncGenerator[Event, None]:
        """The best answer of those that several policies give to the same problem."""
        for note in self.notes:
            yield note
        usable = self.usable
        for name in names:
            applied = Applied(usable[name], self.inner, alike=self.request)
            branches.start(self.request, of=len(names), backend=applied)
        landed: dict[int, Completion] = {}
        errors: list[ForethoughtError] = []
        async for happening in branches:
            if isinstance(happening, Piece):
                continue
            name = usable[names[happening.index]].name
            if isinstance(happening, Landed):
                landed[happening.index] = happening.completion
                yield Note("candidate", name, {"tokens": _computed(happening.completion.usage)})
            else:
                errors.append(happening.error)
                yield Note("failed", str(happening.error), {"policy": name})
        if not landed:
            raise errors[0]
        async for event in self._settled({names[index]: landed[index] for index in sorted(landed)}):
            yield event

    async def _settled(self, completions: Mapping[str, Completion]) -> AsyncGenerator[Event, None]:
        names, default = list(completions), self.habits.lineup.default
        attempts = [self._attempt(name, completion) for name, completion in completions.items()]
        if self.habits.agreement and self.habits.check is None:
            attempts = agreed(attempts)
        chosen = pick(attempts, names.index(default) if default in names else -1)
        policies = [self.usable[name].name for name in names]
        yield Note("compared", policies[chosen], {"answers": [each.answer[:_TOLD] for each in attempts]})
        for note in await self._keep(self._comparison(tuple(attempts), chosen)):
            yield note
        answer = completions[names[chosen]]
        yield whole(answer)
        usage = sum((each.usage for each in completions.values()), Usage())
        yield self._done(replace(answer.done, usage=usage, cost=None), "compared", attempts[chosen], policies)

    def _attempt(self, name: str, completion: Completion) -> Attempt:
        lineup, check = self.habits.lineup, self.habits.check
        answer = extract(completion, self.request.question)[:_KEPT]
        score = None if check is None else check(self.request, completion)
        origin = GUIDE if name not in lineup.policies else "default" if name == lineup.default else "given"
        policy = {key: value for key, value in self.usable[name].to_json().items() if key != "when"}
        return Attempt(policy, answer, _computed(completion.usage), completion.done.cost, score, origin)

    def _comparison(self, attempts: tuple[Attempt, ...], returned: int) -> Comparison:
        return Comparison(self.signature, attempts, self.habits.lineup.default, returned, _hash(self.request.question))

    async def _keep(self, comparison: Comparison) -> list[Note]:
        """Learn from a comparison that was scored, else let it wait for feedback; never fails."""
        habits, context = self.habits, self.request.context
        if not self.kept:
            return []
        try:
            if any(each.score is not None for each in comparison.attempts):
                broken = await habits.keeper.learn(context.tenant, comparison, habits.suite)
                return [Note("refused", each) for each in broken]
            if context.node is not None:
                await habits.keeper.wait(context.node.run_id, habits.lineup.key, context.tenant, comparison)
        except StoreError as error:  # what cannot be kept is no reason not to answer
            return [Note("failed", str(error))]
        return []

    def _done(self, done: Done, why: str, attempt: Attempt, compared: Sequence[str] = ()) -> Done:
        record = self.memory.records(self.signature).get(self.habits.lineup.default)
        cell = self.memory.cell(self.signature)
        told: dict[str, Any] = {
            "cell": "" if cell is None else cell.key,
            "policy": attempt.policy["name"],
            "why": why,
            "tokens": attempt.tokens,
            "default_tokens": None if record is None or not record.runs else round(record.mean_tokens),
        }
        if compared:
            told["compared"] = list(compared)
        return replace(done, report={**done.report, "experience": told})


def agreed(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Attempts scored by what more than half of them answer; without a score where there is no such answer."""
    clusters = Clusters()
    places = [clusters.add(attempt.answer) for attempt in attempts]
    most = max(clusters.counts, default=0)
    if most < 2 or most * 2 <= len(attempts):
        return list(attempts)
    winner = clusters.counts.index(most)
    return [replace(each, score=float(place == winner)) for each, place in zip(attempts, places, strict=True)]


def pick(attempts: Sequence[Attempt], default: int) -> int:
    """The attempt to return: by score if any, then by how many agree; of equals the default's, else the cheapest."""
    clusters = Clusters()
    places = [clusters.add(attempt.answer) for attempt in attempts]

    def rank(index: int) -> tuple[float, int, bool, int]:
        attempt, place = attempts[index], places[index]
        agreeing = 0 if place is None else clusters.counts[place]
        return attempt.score or 0.0, agreeing, index == default, -attempt.tokens

    return max(range(len(attempts)), key=rank)


def _computed(usage: Usage) -> int:
    """Tokens that were computed: those of the prompt that nothing had cached, and those written."""
    return usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens


def _hash(question: str) -> str:
    return blake2b(question.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _draw(request: Request) -> float:
    """A number in [0, 1), the same for the same seed and question."""
    seed = request.params.get("seed") if request.context.seed is None else request.context.seed
    if seed is None:
        return random.random()  # noqa: S311  it parts traffic and guards nothing
    return int(_hash(f"{seed}/{request.question}"), 16) / 2**48
