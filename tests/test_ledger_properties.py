"""Whatever calls do at once, no limit is passed by more than the prompt was miscounted, and holds balance to zero."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from forethought.budget import Budget
from forethought.context import FREE, Price, Usage
from forethought.errors import BudgetExceeded
from forethought.ledger import BudgetScope, Hold

CALLS = 64
PRICE = Price(prompt=Decimal("0.0003"), completion=Decimal("0.0011"), cached=Decimal("0.0001"))

budgets = st.builds(
    Budget,
    total_tokens_limit=st.none() | st.integers(2, 3000),
    output_tokens_limit=st.none() | st.integers(2, 1000),
    reasoning_tokens_limit=st.none() | st.integers(1, 500),
    request_limit=st.none() | st.integers(1, CALLS),
    cost_limit=st.none() | st.decimals("0.001", "2", allow_nan=False, places=4),
    answer_tokens=st.none() | st.just(1),
)


@dataclass
class Call:
    """One call in flight: what it was granted, and by how much its prompt was miscounted."""

    scope: BudgetScope
    block: AbstractContextManager[Hold]
    prompt: int
    price: Price
    hold: Hold = field(init=False)

    def __post_init__(self) -> None:
        self.hold = self.block.__enter__()

    def usage(self, miscount: int, fraction: float) -> Usage:
        """What a model that keeps to its grant used, when it wrote `fraction` of it."""
        ceiling = self.hold.max_tokens if self.hold.max_tokens is not None else 300
        written = round(ceiling * fraction)
        thought = written if self.hold.reasoning_tokens is None else min(written, self.hold.reasoning_tokens)
        return Usage(self.prompt + miscount, written, thought, requests=1)


def overspent(scope: BudgetScope, miscount: int) -> list[str]:
    """The limits that are passed by more than `miscount` prompt tokens explain."""
    limits, spent, held = scope.budget, scope.spent, scope.reserved
    money = (scope.cost or 0) + scope.reserved_cost
    checks = {
        "total": (limits.total_tokens_limit, spent.total_tokens + held.total_tokens - miscount),
        "output": (limits.output_tokens_limit, spent.completion_tokens + held.completion_tokens),
        "requests": (limits.request_limit, spent.requests + held.requests),
        "cost": (limits.cost_limit, money - miscount * PRICE.prompt),
    }
    return [name for name, (limit, used) in checks.items() if limit is not None and used > limit]


class Interleaving(RuleBasedStateMachine):
    """Calls begin, end, are cancelled and fail in any order, in any scope of a tree."""

    @initialize(chain=st.lists(budgets, min_size=1, max_size=3), side=budgets)
    def open(self, chain: list[Budget], side: Budget) -> None:
        self.scopes = [BudgetScope(chain[0], "root")]
        for depth, budget in enumerate(chain[1:]):
            self.scopes.append(self.scopes[-1].child(budget, f"depth {depth}"))
        self.scopes.append(self.scopes[0].child(side, "side"))
        self.miscounts = {id(scope): 0 for scope in self.scopes}
        self.live: list[Call] = []

    @precondition(lambda self: len(self.live) < CALLS)
    @rule(
        where=st.integers(0, 3),
        prompt=st.integers(0, 200),
        asked=st.none() | st.integers(1, 400),
        free=st.booleans(),
        answering=st.booleans(),
        share=st.sampled_from([1, 1, 2, 8, 64]),
    )
    def begin(self, where: int, prompt: int, asked: int | None, free: bool, answering: bool, share: int) -> None:
        scope = self.scopes[where % len(self.scopes)]
        price = FREE if free else PRICE
        before = [each.reserved for each in self.scopes]
        block = scope.reserve(prompt_tokens=prompt, max_tokens=asked, price=price, answering=answering, share=share)
        try:
            call = Call(scope, block, prompt, price)
        except BudgetExceeded:
            assert [each.reserved for each in self.scopes] == before
            return
        assert call.hold.max_tokens is None or 1 <= call.hold.max_tokens <= (asked or 10**12)
        self.live.append(call)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, CALLS), fraction=st.floats(0, 1), miscount=st.integers(-20, 20))
    def settle(self, which: int, fraction: float, miscount: int) -> None:
        call = self.live.pop(which % len(self.live))
        miscount = max(miscount, -call.prompt)
        usage = call.usage(miscount, fraction)
        call.hold.settle(usage, call.price.of(usage))
        call.block.__exit__(None, None, None)
        for scope in call.scope.chain:
            self.miscounts[id(scope)] += max(0, miscount)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, CALLS))
    def refund(self, which: int) -> None:
        call = self.live.pop(which % len(self.live))
        call.block.__exit__(None, None, None)

    @invariant()
    def no_limit_is_overspent(self) -> None:
        for scope in getattr(self, "scopes", ()):
            assert overspent(scope, self.miscounts[id(scope)]) == []

    @invariant()
    def holds_are_those_of_live_calls(self) -> None:
        for scope in getattr(self, "scopes", ()):
            live = [call for call in self.live if scope in call.scope.chain]
            assert scope.reserved.requests == len(live)
            assert scope.reserved.prompt_tokens == sum(call.prompt for call in live)
            assert scope.reserved.completion_tokens == sum(call.hold.max_tokens or 0 for call in live)

    def teardown(self) -> None:
        for call in getattr(self, "live", ()):
            call.block.__exit__(None, None, None)
        for scope in getattr(self, "scopes", ()):
            assert (scope.reserved, scope.reserved_cost) == (Usage(), 0)


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=60, stateful_step_count=100, deadline=None)


@given(budgets, budgets, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_64_tasks_never_overspend_together(outer: Budget, inner: Budget, seed: int) -> None:
    """Real tasks that end, fail and are cancelled at any moment leave nothing held and no limit overspent."""
    root = BudgetScope(outer, "key")
    leaves = [root, root.child(inner, "request")]
    assert asyncio.run(_spend_together(leaves, Random(seed))) >= 0
    for scope in leaves:
        assert overspent(scope, 0) == []
        assert (scope.reserved, scope.reserved_cost) == (Usage(), 0)


async def _spend_together(scopes: list[BudgetScope], random: Random) -> int:
    tasks = [asyncio.create_task(_call(random.choice(scopes), random)) for _ in range(CALLS)]
    for task in random.sample(tasks, CALLS // 4):
        await asyncio.sleep(0)
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    unexpected = [each for each in outcomes if isinstance(each, Exception) and not isinstance(each, BudgetExceeded)]
    assert unexpected == []
    return sum(each is None for each in outcomes)


async def _call(scope: BudgetScope, random: Random) -> None:
    asked = random.choice([None, random.randint(1, 200)])
    share, answering = random.choice([1, 4, 64]), random.random() < 0.5
    prompt, written = random.randint(0, 50), 0
    with scope.reserve(prompt_tokens=prompt, max_tokens=asked, price=PRICE, answering=answering, share=share) as hold:
        ceiling = 100 if hold.max_tokens is None else hold.max_tokens
        try:
            while written < ceiling and random.random() < 0.9:
                await asyncio.sleep(0)
                written += min(random.randint(1, 30), ceiling - written)
        finally:
            usage = Usage(prompt, written, requests=1)
            hold.settle(usage, PRICE.of(usage))


@given(st.integers(1, 10**6), st.integers(1, 64), st.lists(st.floats(0, 1), min_size=1, max_size=64))
def test_a_fan_out_keeps_a_reasoning_limit(limit: int, share: int, fractions: list[float]) -> None:
    """Siblings that keep to the thinking they were told never pass a reasoning limit together."""
    run = BudgetScope(Budget(reasoning_tokens_limit=limit), "run")
    blocks = [run.reserve(prompt_tokens=0, max_tokens=None, price=None, share=share) for _ in range(len(fractions))]
    holds = [block.__enter__() for block in blocks]
    assert run.reserved.reasoning_tokens <= limit
    for block, hold, fraction in zip(blocks, holds, fractions, strict=True):
        thought = int((hold.reasoning_tokens or 0) * fraction)
        hold.settle(Usage(0, thought, thought, requests=1), None)
        block.__exit__(None, None, None)
    assert run.spent.reasoning_tokens <= limit
    assert run.reserved == Usage()
