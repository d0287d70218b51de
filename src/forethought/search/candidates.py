"""The candidates of one step, side by side, each with its rollout."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ForethoughtError
from ..ports import Backend
from ..wire import Delta, Note, Request
from .fanout import Branches, Failed, Landed, Piece, fan_out
from .rollout import Reach, Rollout, merge
from .tooling import REHEARSED, Rehearsed, Tool


class Look:
    """One look ahead: the `rollouts` that were begun, by branch, and the `errors` of those that failed.

    With `merging`, candidates that say the same become one, and one that has no rival is not rolled out.
    """

    def __init__(self, reach: Reach, chars_per_token: float, *, merging: bool) -> None:
        self.rollouts: dict[int, Rollout] = {}
        self.errors: list[ForethoughtError] = []
        self._reach = reach
        self._chars_per_token = chars_per_token
        self._merging = merging

    async def take(self, inner: Backend, request: Request, width: int, tools: Mapping[str, Tool] | None) -> None:
        """Ask for `width` candidates and wait until each has ended, failed or gone far enough."""
        inner = Rehearsed(inner, tools, rounds=self._reach.ahead) if tools else inner
        async with fan_out(inner) as branches:
            for _ in range(width):
                self.rollouts[branches.start(request, of=width)] = Rollout(self._reach)
            async for happening in branches:
                self._hear(happening, branches)

    def _hear(self, happening: Piece | Landed | Failed, branches: Branches) -> None:
        """Take what a branch says; cut those that go far enough, say what another says, or have no rival."""
        rollout = self.rollouts[happening.index]
        if isinstance(happening, Failed):
            self.errors.append(happening.error)
            rollout.drop()
        elif not rollout.over:
            self._add(happening, rollout)
        if self._merging:
            merge(self.rollouts.values())
        for each, other in self.rollouts.items():
            if other.enough and each in branches.running:
                other.over = True
                branches.cancel(each)

    def _add(self, happening: Piece | Landed, rollout: Rollout) -> None:
        if isinstance(happening, Landed):
            rollout.land(happening.completion)
        elif isinstance(happening.event, Delta):
            rollout.add(happening.event, self._chars_per_token)
        elif isinstance(happening.event, Note) and happening.event.kind == REHEARSED:
            rollout.rehearse()
