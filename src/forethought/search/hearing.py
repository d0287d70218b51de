"""The questions of a judge, asked as further branches of the search whose candidates it judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..context import Node, Usage
from ..meter import Metered
from ..ports import Backend, Inquiring, Inquiry
from ..pricing import Prices
from ..wire import JSON, Note
from .fanout import Branches, Failed, Landed

JUDGE = "judge"
"""The name of the node below which the questions of a judge stand in the run."""


@dataclass(slots=True)
class Hearing:
    """Asks what one judge wants to know: in flight is what it wants now, and nothing twice.

    Its branches are numbered from `first` on, clear of those of the samples. In the run they are below a node of
    their own, which is opened with the first question.
    """

    judge: Inquiring
    first: int
    usage: Usage = Usage()
    _asked: set[int] = field(default_factory=set[int])
    _open: dict[int, Inquiry] = field(default_factory=dict[int, Inquiry])
    _node: Node | None = None

    def ask(self, branches: Branches) -> None:
        """Start what is newly wanted and call off what no longer is."""
        wanted = {self.first + inquiry.key: inquiry for inquiry in self.judge.inquiries()}
        for index in self._open.keys() - wanted.keys():
            branches.cancel(index)
            del self._open[index]
        new = {index: inquiry for index, inquiry in wanted.items() if index not in self._asked}
        share = len(branches.running) + len(new)
        for index, inquiry in new.items():
            self._start(branches, index, inquiry, of=share)

    @property
    def running(self) -> int:
        """How many questions are in flight."""
        return len(self._open)

    def hears(self, index: int) -> bool:
        """Whether branch `index` is one of these."""
        return index >= self.first

    def hear(self, happening: Landed | Failed) -> Note:
        """Tell the judge what came back, unless it has called the question off."""
        inquiry = self._open.pop(happening.index, None)
        completion = happening.completion if isinstance(happening, Landed) else None
        usage = Usage() if completion is None else completion.usage
        self.usage += usage
        found = "" if inquiry is None else self.judge.answered(inquiry, completion)
        return Note("answered", found, {"branch": happening.index, "tokens": usage.completion_tokens})

    def close(self) -> None:
        """Nothing more will be asked."""
        if self._node is not None:
            self._node.end("heard")

    @property
    def report(self) -> JSON:
        """What judging took, calls that were called off included where the run is recorded."""
        usage = self.usage if self._node is None else self._node.usage
        return {"judge_calls": len(self._asked), "judge_tokens": usage.total_tokens}

    def _start(self, branches: Branches, index: int, inquiry: Inquiry, *, of: int) -> None:
        request = inquiry.request
        if request.context.node is not None:
            self._node = self._node or request.context.node.child(JUDGE)
            request = request.with_context(node=self._node)
        backend = None if inquiry.backend is None else _paid(inquiry.backend)
        self._open[index] = inquiry
        self._asked.add(index)
        branches.start(request, of=of, at=index, backend=backend)


def _paid(backend: Backend) -> Backend:
    """The backend, charged to the budget and the run of what is asked, as an engine is already."""
    return backend if backend.capabilities.metered else Metered(backend, Prices())
