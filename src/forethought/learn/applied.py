"""A policy over a backend, which is a backend: under its own budget, at its own place in the run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..budget import Budget
from ..context import Scope
from ..ledger import BudgetScope
from ..policy import Policy
from ..ports import Backend, Capabilities, Stream
from ..stack import stack, totalled
from ..steer.limit import Limit
from ..wire import Request

_UNLIMITED = Budget()


@dataclass(frozen=True, slots=True)
class Applied:
    """Answers as `policy` says, with `inner`; Done carries what was spent under the policy.

    What its budget cuts short still ends in an answer. With `alike` every request is that one, whatever seed a
    branch gives it, so that policies which are compared answer as each would alone. Raises MissingCapability when it
    is asked.
    """

    policy: Policy
    inner: Backend
    alike: Request | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def stream(self, request: Request, /) -> Stream:
        policy, context = self.policy, request.context
        if self.alike is not None:
            request = replace(self.alike, context=self.alike.context.child(share=context.share))
        limited = policy.budget != _UNLIMITED and not any(isinstance(layer, Limit) for layer in policy.layers)
        backend = stack(self.inner, (*policy.layers, Limit()) if limited else policy.layers)
        scope = self._scope(context.scope)
        if context.node is None:
            return backend.stream(request.with_context(scope=scope))
        node = context.node.child(policy.name, "invoke_workflow")
        return totalled(node, backend.stream(request.with_context(scope=scope, node=node)))

    def _scope(self, outer: Scope | None) -> Scope | None:
        policy = self.policy
        if policy.budget == _UNLIMITED:
            return outer
        return BudgetScope(policy.budget, policy.name) if outer is None else outer.child(policy.budget, policy.name)
