"""The tree of budget scopes: reserve, settle, refund, checked from the root."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from threading import Lock
from typing import Any, NoReturn, Protocol

from .context import Price, Usage, add_cost
from .errors import BudgetExceeded

ANSWER_TOKENS = 256
"""The most that is kept back for an answer where the budget does not say how much."""
_MANY = 10**12
_NOTHING = Decimal(0)


class Limits(Protocol):
    """The limits of one scope, as `forethought.budget.Budget` has them."""

    @property
    def total_tokens_limit(self) -> int | None: ...
    @property
    def output_tokens_limit(self) -> int | None: ...
    @property
    def reasoning_tokens_limit(self) -> int | None: ...
    @property
    def request_limit(self) -> int | None: ...
    @property
    def cost_limit(self) -> Decimal | None: ...
    @property
    def time_limit_s(self) -> float | None: ...
    @property
    def answer_tokens(self) -> int | None: ...
    @property
    def limited(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Remaining:
    """What can still be taken in a scope and those around it; None where nothing limits it, never below 0."""

    total_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    requests: int | None = None
    cost: Decimal | None = None
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Ask:
    """What a call wants to reserve."""

    prompt_tokens: int
    max_tokens: int | None
    price: Price | None
    answering: bool
    share: int


@dataclass(frozen=True, slots=True)
class _Room:
    """What one limit grants a call."""

    limit: str
    tokens: int


class Account:
    """What one scope has spent, and what calls in flight hold in it."""

    __slots__ = ("cost", "held", "held_cost", "spent")

    def __init__(self) -> None:
        self.spent = Usage()
        self.cost: Decimal | None = _NOTHING
        self.held = Usage()
        self.held_cost = _NOTHING

    def hold(self, usage: Usage, cost: Decimal) -> None:
        self.held += usage
        self.held_cost += cost

    def release(self, usage: Usage, cost: Decimal) -> None:
        self.held += Usage(-usage.prompt_tokens, -usage.completion_tokens, requests=-usage.requests)
        self.held_cost -= cost

    def charge(self, usage: Usage, cost: Decimal | None) -> None:
        self.spent += usage
        self.cost = add_cost(self.cost, cost)


class BudgetScope:
    """One budget in force: a node of a tree, charged upwards and checked from the root. Thread-safe.

    `chain` is this scope and all around it, the root first; they share one lock. `clock` gives monotonic
    seconds; a child uses its parent's.
    """

    __slots__ = ("account", "budget", "chain", "clock", "lock", "name", "parent", "started")

    def __init__(
        self,
        budget: Limits,
        name: str,
        parent: BudgetScope | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.name = name
        self.parent = parent
        self.account = Account()
        self.chain: tuple[BudgetScope, ...] = (*parent.chain, self) if parent else (self,)
        self.lock: Lock = parent.lock if parent else Lock()
        self.clock: Callable[[], float] = parent.clock if parent else clock
        self.started = self.clock()

    def __repr__(self) -> str:
        return f"<BudgetScope {self.name!r} {self.budget!r} spent={self.spent!r} cost={self.cost}>"

    def child(self, budget: Limits, name: str) -> BudgetScope:
        """Open a scope inside this one; what is spent there is spent here too."""
        return BudgetScope(budget, name, self)

    @property
    def spent(self) -> Usage:
        """What settled calls have used in this scope and below it."""
        return self.account.spent

    @property
    def cost(self) -> Decimal | None:
        """USD of settled calls; None as soon as one of them has no known price."""
        return self.account.cost

    @property
    def reserved(self) -> Usage:
        """What calls in flight hold in this scope and below it; all 0 when none is in flight."""
        return self.account.held

    @property
    def reserved_cost(self) -> Decimal:
        """USD that calls in flight hold."""
        return self.account.held_cost

    @property
    def remaining(self) -> Remaining:
        """What can still be reserved here, under the limits of this scope and of those around it."""
        with self.lock:
            left = [scope.left() for scope in self.chain]
        return Remaining(*(_least(getattr(each, field.name) for each in left) for field in fields(Remaining)))

    @property
    def limited(self) -> bool:
        return any(scope.budget.limited for scope in self.chain)

    @property
    def answer_tokens(self) -> int:
        """Tokens that thinking leaves over for the answer, by the tightest scope; 0 where no tokens are limited."""
        kept = (_kept(limit, scope.budget) for scope in self.chain for limit in _token_limits(scope.budget))
        return min(kept, default=0)

    def deadline(self, *, answering: bool) -> float | None:
        """The earliest end of any enclosing scope, by the scope's clock.

        Thinking ends earlier by a tenth of the limit, and at most 5 s, so that the answer can still be written.
        """
        return min((ends for scope in self.chain if (ends := scope.ends(answering)) is not None), default=None)

    def headroom(self, *, answering: bool = False) -> int | None:
        """Completion tokens that could be reserved now by a call with an empty prompt; None without a token limit."""
        ask = _Ask(0, None, None, answering, 1)
        with self.lock:
            rooms = [room.tokens for scope in self.chain for room in scope.token_rooms(ask)]
        return max(0, min(rooms)) if rooms else None

    def reasoning_headroom(self) -> int | None:
        return self.remaining.reasoning_tokens

    @contextmanager
    def reserve(
        self,
        *,
        prompt_tokens: int,
        max_tokens: int | None,
        price: Price | None,
        answering: bool = False,
        share: int = 1,
    ) -> Generator[Hold, None, None]:
        """Hold the most that one call can cost in every enclosing scope while the block runs.

        The call is granted `max_tokens`, or less where a limit on output, total or money says so: one `share`-th
        of what is not spent, at least 1, never more than what is free, and without the tokens kept for the answer
        unless it is `answering`. With `max_tokens` None and no such limit it is granted None, and no completion
        tokens are held. Reasoning tokens are charged when they are known, not held.

        Raises BudgetExceeded, and holds nothing, where not even one token is free, no request is left, the time
        is over, or a cost limit meets a call without a known price.
        """
        ask = _Ask(prompt_tokens, max_tokens, price, answering, max(1, share))
        with self.lock:
            granted = self._grant(ask)
            usage = Usage(prompt_tokens, granted or 0, requests=1)
            hold = Hold(self, granted, usage, price)
            hold.take()
        try:
            yield hold
        finally:
            hold.give_back()

    def _grant(self, ask: _Ask) -> int | None:
        granted = ask.max_tokens
        for scope in self.chain:
            scope.admit(ask)
            for room in (*scope.token_rooms(ask), *scope.money_rooms(ask)):
                if room.tokens < 1:
                    scope.refuse(room.limit)
                granted = room.tokens if granted is None else min(granted, room.tokens)
        return granted

    def admit(self, ask: _Ask) -> None:
        """Raise BudgetExceeded where this scope takes no further call, however small; wants the lock."""
        limits, account = self.budget, self.account
        ends = self.ends(ask.answering)
        if ends is not None and self.clock() >= ends:
            self.refuse("time_limit_s")
        if limits.request_limit is not None and account.spent.requests + account.held.requests >= limits.request_limit:
            self.refuse("request_limit")
        if limits.cost_limit is not None and ask.price is None:
            self.refuse("cost_limit", "the model has no known price, so its cost cannot be bounded; give its price")

    def token_rooms(self, ask: _Ask) -> Iterator[_Room]:
        """What each token limit of this scope grants; wants the lock."""
        spent, held = self.account.spent, self.account.held
        pools = (
            ("output_tokens_limit", spent.completion_tokens, held.completion_tokens, 0),
            ("total_tokens_limit", spent.total_tokens, held.total_tokens, ask.prompt_tokens),
        )
        for name, used, busy, prompt in pools:
            limit: int | None = getattr(self.budget, name)
            if limit is not None:
                pool = limit - used - (0 if ask.answering else _kept(limit, self.budget))
                yield _Room(name, min(pool - busy - prompt, max(1, pool // ask.share - prompt)))

    def money_rooms(self, ask: _Ask) -> Iterator[_Room]:
        """What the cost limit of this scope grants, in tokens at this price; wants the lock."""
        limit, price = self.budget.cost_limit, ask.price
        if limit is None or price is None:
            return
        pool = limit - (self.account.cost or _NOTHING)
        if not ask.answering:
            pool -= price.completion * _kept(_affordable(limit, price.completion), self.budget)
        prompt = price.prompt * ask.prompt_tokens
        free = pool - self.account.held_cost - prompt
        if free < 0:
            yield _Room("cost_limit", 0)
        elif price.completion:
            fair = _affordable(pool / ask.share - prompt, price.completion)
            yield _Room("cost_limit", min(_affordable(free, price.completion), max(1, fair)))

    def ends(self, answering: bool) -> float | None:
        limit = self.budget.time_limit_s
        if limit is None:
            return None
        return self.started + limit - (0.0 if answering else min(limit / 10, 5.0))

    def left(self) -> Remaining:
        """What this scope alone has left; wants the lock."""
        limits, spent, held = self.budget, self.account.spent, self.account.held
        cost = (self.account.cost or _NOTHING) + self.account.held_cost
        time_left = None if limits.time_limit_s is None else self.started + limits.time_limit_s - self.clock()
        return Remaining(
            _minus(limits.total_tokens_limit, spent.total_tokens + held.total_tokens),
            _minus(limits.output_tokens_limit, spent.completion_tokens + held.completion_tokens),
            _minus(limits.reasoning_tokens_limit, spent.reasoning_tokens),
            _minus(limits.request_limit, spent.requests + held.requests),
            None if limits.cost_limit is None else max(_NOTHING, limits.cost_limit - cost),
            None if time_left is None else max(0.0, time_left),
        )

    def refuse(self, limit: str, hint: str = "") -> NoReturn:
        spent, held = self.account.spent, self.account.held
        used = {
            "output_tokens_limit": spent.completion_tokens,
            "total_tokens_limit": spent.total_tokens,
            "request_limit": spent.requests,
            "cost_limit": self.cost,
            "time_limit_s": round(self.clock() - self.started, 3),
        }
        if not hint and held.requests:
            hint = f"{held.requests} calls in flight hold what they may still need"
        raise BudgetExceeded(self.name, limit, getattr(self.budget, limit), used[limit], hint)


class Hold:
    """What one call was granted, held in every enclosing scope until it is settled or its block is left.

    Settling charges the true usage, also where that is more than was held; it counts as at least one request.
    The first `settle` counts and later ones change nothing; one after the block was left is charged in full.
    """

    __slots__ = ("_cost", "_held", "_price", "_scope", "_settled", "_usage", "max_tokens")

    def __init__(self, scope: BudgetScope, max_tokens: int | None, usage: Usage, price: Price | None) -> None:
        self.max_tokens = max_tokens
        self._scope = scope
        self._usage = usage
        self._price = price
        self._cost = _NOTHING if price is None else price.of(usage)
        self._held = False
        self._settled = False

    def take(self) -> None:
        self._held = True
        for scope in self._scope.chain:
            scope.account.hold(self._usage, self._cost)

    def settle(self, usage: Usage, cost: Decimal | None) -> None:
        """Charge what the call did cost; an unknown cost is taken from the price it was reserved at."""
        if cost is None and self._price is not None:
            cost = self._price.of(usage)
        if not usage.requests:
            usage = replace(usage, requests=1)
        with self._scope.lock:
            if self._settled:
                return
            self._settled = True
            self._release()
            for scope in self._scope.chain:
                scope.account.charge(usage, cost)

    def give_back(self) -> None:
        with self._scope.lock:
            self._release()

    def _release(self) -> None:
        if self._held:
            self._held = False
            for scope in self._scope.chain:
                scope.account.release(self._usage, self._cost)


def _token_limits(limits: Limits) -> Iterator[int]:
    return (limit for limit in (limits.output_tokens_limit, limits.total_tokens_limit) if limit is not None)


def _kept(limit: int, limits: Limits) -> int:
    return min(ANSWER_TOKENS, limit // 4) if limits.answer_tokens is None else limits.answer_tokens


def _affordable(money: Decimal, each: Decimal) -> int:
    return _MANY if money >= each * _MANY else int(money // each)


def _minus(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def _least(values: Iterable[Any]) -> Any:
    return min((value for value in values if value is not None), default=None)
