"""The tree of budget scopes: reserve, settle, refund, checked from the root."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import fields, replace
from decimal import Decimal
from threading import Lock
from typing import Any, NoReturn

from .context import Price, Usage
from .errors import BudgetExceeded
from .limits import (
    NOTHING,
    Account,
    Ask,
    Limits,
    Remaining,
    kept_for_answer,
    money_rooms,
    reasoning_room,
    remaining,
    token_rooms,
)


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
        """What can still be taken here, under the limits of this scope and of those around it."""
        with self.lock:
            left = [remaining(each.budget, each.account, self.clock() - each.started) for each in self.chain]
        return Remaining(*(_least(getattr(each, field.name) for each in left) for field in fields(Remaining)))

    @property
    def requests_left(self) -> int | None:
        """Calls that can still be reserved here and in the scopes around; None where nothing limits them."""
        return self.remaining.requests

    @property
    def limited(self) -> bool:
        """Whether this scope or one around it limits tokens, calls or money."""
        return any(scope.budget.limited for scope in self.chain)

    @property
    def answer_tokens(self) -> int:
        """Tokens that thinking leaves over for one answer, by the tightest scope; 0 where no tokens are limited."""
        return min((kept for scope in self.chain for kept in kept_for_answer(scope.budget)), default=0)

    def deadline(self, *, answering: bool) -> float | None:
        """The earliest end of any enclosing scope, by the scope's clock; None without a time limit.

        Thinking ends earlier by a tenth of the limit, and at most 5 s, so that the answer can still be written.
        """
        return min((ends for scope in self.chain if (ends := scope.ends(answering)) is not None), default=None)

    def headroom(self, *, answering: bool = False, share: int = 1, prompt_tokens: int = 0) -> int | None:
        """Completion tokens that a call could be granted now; None where no tokens are limited.

        Unless it is `answering`, a thought is expected to be read again for its answer to be written, and so
        counts twice against a total, as the prompt does.
        """
        ask = Ask(prompt_tokens, answering=answering, share=share)
        with self.lock:
            rooms = [room for scope in self.chain for room in token_rooms(scope.budget, scope.account, ask)]
        twice = not answering
        granted = (
            (room.tokens - prompt_tokens) // 2 if twice and room.limit == "total_tokens_limit" else room.tokens
            for room in rooms
        )
        return max(0, min(granted)) if rooms else None

    def reasoning_headroom(self, *, share: int = 1) -> int | None:
        """Reasoning tokens that one of `share` siblings can still spend; None where nothing limits them."""
        with self.lock:
            return self._reasoning(share)

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
        tokens are held. A reasoning limit never cuts a call short: its share is held, told in the grant, and kept
        by whoever ends the thinking.

        Raises BudgetExceeded, and holds nothing, where not even one token is free, no request is left, the time
        is over, or a cost limit meets a call without a known price.
        """
        ask = Ask(prompt_tokens, max_tokens, price, answering, max(1, share))
        with self.lock:
            granted, thought = self._grant(ask), None if answering else self._reasoning(ask.share)
            if granted is not None and thought is not None:
                thought = min(granted, thought)
            hold = Hold(self, granted, thought, ask)
            hold.take()
        try:
            yield hold
        finally:
            hold.give_back()

    def _grant(self, ask: Ask) -> int | None:
        granted = ask.max_tokens
        for scope in self.chain:
            scope.admit(ask)
            limits, account = scope.budget, scope.account
            for room in (*token_rooms(limits, account, ask), *money_rooms(limits, account, ask)):
                if room.tokens < 1:
                    scope.refuse(room.limit)
                granted = room.tokens if granted is None else min(granted, room.tokens)
        return granted

    def _reasoning(self, share: int) -> int | None:
        rooms = (reasoning_room(scope.budget, scope.account, share) for scope in self.chain)
        return min((room for room in rooms if room is not None), default=None)

    def admit(self, ask: Ask) -> None:
        """Raise BudgetExceeded where this scope takes no further call, however small; wants the lock."""
        limits, account = self.budget, self.account
        ends = self.ends(ask.answering)
        if ends is not None and self.clock() >= ends:
            self.refuse("time_limit_s")
        if limits.request_limit is not None and account.spent.requests + account.held.requests >= limits.request_limit:
            self.refuse("request_limit")
        if limits.cost_limit is not None and ask.price is None:
            self.refuse("cost_limit", "the model has no known price, so its cost cannot be bounded; give its price")

    def ends(self, answering: bool) -> float | None:
        """When this scope alone ends, by its clock."""
        limit = self.budget.time_limit_s
        if limit is None:
            return None
        return self.started + limit - (0.0 if answering else min(limit / 10, 5.0))

    def refuse(self, limit: str, hint: str = "") -> NoReturn:
        """Raise BudgetExceeded for one limit of this scope."""
        spent, held = self.account.spent, self.account.held
        used = {
            "output_tokens_limit": spent.completion_tokens,
            "total_tokens_limit": spent.total_tokens,
            "request_limit": spent.requests,
            "cost_limit": self.cost,
            "time_limit_s": round(self.clock() - self.started, 3),
        }
        if not hint and held.requests and limit != "time_limit_s":
            hint = f"calls in flight: {held.requests}, which hold what they may still need"
        raise BudgetExceeded(self.name, limit, getattr(self.budget, limit), used[limit], hint)


class Hold:
    """What one call was granted, held in every enclosing scope until it is settled or its block is left.

    `max_tokens` and `reasoning_tokens` are the most it may write; None where nothing limits them. Settling
    charges the true usage, also where that is more than was held; it counts as at least one request. The first
    `settle` counts and later ones change nothing; one after the block was left is charged in full.
    """

    __slots__ = ("_cost", "_held", "_price", "_scope", "_settled", "_usage", "max_tokens", "reasoning_tokens")

    def __init__(self, scope: BudgetScope, max_tokens: int | None, reasoning_tokens: int | None, ask: Ask) -> None:
        self.max_tokens = max_tokens
        self.reasoning_tokens = reasoning_tokens
        self._scope = scope
        self._usage = Usage(ask.prompt_tokens, max_tokens or 0, reasoning_tokens or 0, requests=1)
        self._price = ask.price
        self._cost = NOTHING if ask.price is None else ask.price.of(self._usage)
        self._held = False
        self._settled = False

    def take(self) -> None:
        """Hold in every scope; wants the lock."""
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
        """Refund what is still held."""
        with self._scope.lock:
            self._release()

    def _release(self) -> None:
        if self._held:
            self._held = False
            for scope in self._scope.chain:
                scope.account.release(self._usage, self._cost)


def _least(values: Iterable[Any]) -> Any:
    return min((value for value in values if value is not None), default=None)
