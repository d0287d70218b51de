"""The engine: a policy over a backend, inside a budget and a run record. It is itself a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import policy
from .budget import Budget, current_scope
from .context import Node, Scope
from .fold import complete
from .learn.feedback import tell
from .ledger import BudgetScope
from .meter import Metered
from .otel import OtelSink
from .policy import Policy
from .ports import Backend, Bound, Capabilities, Layer, Sink
from .pricing import Prices
from .stack import stack, totalled
from .steer.limit import Limit
from .trace import Run
from .wire import JSON, Completion, Event, Request

UNLIMITED = Budget()
DIRECTLY = Policy("none", "Ask the model once, with nothing added.")


class Engine:
    """Answers requests as `policy` says, over `backend`.

    `policy` is a Policy, the name of an installed one or the path of a TOML file; without one the model is
    asked once. `budget` tightens the policy's own for each request. `sinks` are told what happens in each
    run; OpenTelemetry by default. Raises InvalidPolicy, and MissingCapability where a layer cannot run on
    this backend, when it is made and not when it is asked.
    """

    def __init__(
        self,
        backend: Backend,
        policy: Policy | str | Path | None = None,
        *,
        budget: Budget | None = None,
        sinks: Sequence[Sink] | None = None,
        prices: Prices | None = None,
    ) -> None:
        self.backend = backend
        self.policy = _loaded(policy)
        self.budget = self.policy.budget if budget is None else self.policy.budget.tighter(budget)
        self._sinks: tuple[Sink, ...] = (OtelSink(),) if sinks is None else tuple(sinks)
        bottom = backend if backend.capabilities.metered else Metered(backend, prices or Prices())
        self._stack = stack(bottom, self.policy.layers)
        self._landing = stack(bottom, _with_landing(self.policy.layers))

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.backend.capabilities, metered=True)

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        """Answer one request; Done carries usage and cost of the whole run and `report["run"]`, its id.

        Raises BudgetExceeded only where there is nothing at all to show, UpstreamError where every try failed.
        """
        scope = self._scope(request.context.scope or current_scope())
        node, report = self._enter(request.context.node)
        bounded = scope is not None and (scope.limited or scope.deadline(answering=False))
        layered = self._landing if bounded else self._stack
        entered = layered.stream(request.with_context(scope=scope, node=node))
        async with totalled(node, entered, report) as events:
            yield events

    async def complete(self, request: Request, /) -> Completion:
        """Answer one request and wait for the whole answer."""
        return await complete(self, request)

    async def ask(self, question: str, /, *, system: str | None = None, **params: Any) -> Completion:
        """Answer a question in words; `params` are fields of the chat-completions body."""
        return await self.complete(Request.of(question, system=system, **params))

    async def feedback(self, run_id: str, score: float, *, answer: str | None = None) -> bool:
        """Say how good the answer of a run was, 0 to 1, or with `answer` what would have been right.

        `run_id` is that of `completion.run`. Every layer of the policy that learns is told, and the backend where
        that does; True where one of them knew the run. Raises InvalidRequest naming a field that is wrong, and
        StoreError where what was learned cannot be kept.
        """
        return await tell((self.policy, self.backend), run_id, score, answer=answer)

    def _scope(self, outer: Scope | None) -> Scope | None:
        """The scope of one answer; None, which costs nothing, where there is nothing to hold."""
        if outer is not None:
            return outer.child(self.budget, self.policy.name)
        return None if self.budget == UNLIMITED else BudgetScope(self.budget, self.policy.name)

    def _enter(self, around: Node | None) -> tuple[Node, JSON | None]:
        """The node of one answer and what is reported of it: a run of its own, or a part of the one around it."""
        name = self.policy.name
        if around is not None:
            return around.child(name, "invoke_workflow"), None
        run = Run.start(name, policy=name, sinks=self._sinks)
        return run.root, {"run": run.id, "policy": name}

    def worst_case(self) -> Bound:
        """The most that one answer can take, under the policy and the budget."""
        return replace(self.policy, budget=self.budget).worst_case()


def _loaded(chosen: Policy | str | Path | None) -> Policy:
    return DIRECTLY if chosen is None else policy.load(chosen)


def _with_landing(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Under a budget a thought that runs out of it must still end in an answer."""
    return layers if any(isinstance(layer, Limit) for layer in layers) else (*layers, Limit())
