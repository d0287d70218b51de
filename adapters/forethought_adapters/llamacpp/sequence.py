"""One stream being written, as the scheduler sees it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence as Tokens
from decimal import Decimal

from forethought.context import Usage
from forethought.thinking import Tags
from forethought.wire import Done, FinishReason

from .gate import Gate
from .job import Job
from .sampling import Sampler
from .state import Piece
from .writing import Writer

Outcome = Piece | Done


class Sequence:
    """Tokens, of which the first `cached` are evaluated and lie in KV cells; the rest is pending.

    `slot` is the native sequence id while it has one. While `source` is set, the first `share` tokens are
    about to be copied from it instead of being evaluated.
    """

    __slots__ = (
        "_prompt",
        "cells",
        "key",
        "limit",
        "reused",
        "sampler",
        "share",
        "slot",
        "source",
        "tokens",
        "writer",
        "written",
    )

    def __init__(self, key: int, job: Job, tokens: list[int], limit: int, tags: Tags, gate: Gate | None) -> None:
        self.key = key
        self.tokens = tokens
        self.limit = limit
        self.sampler = Sampler(job.sampling, tokens, gate)
        self.writer = Writer(tags, job.phase, job.stops, job.tools)
        self.cells: list[int] = []
        self.slot = -1
        self.source: Sequence | None = None
        self.share = 0
        self.written = 0
        self.reused: int | None = None
        self._prompt = len(tokens)

    @property
    def cached(self) -> int:
        """How many tokens are evaluated."""
        return len(self.cells)

    @property
    def pending(self) -> int:
        """How many tokens are still to be evaluated before the next one can be drawn."""
        return len(self.tokens) - len(self.cells)

    @property
    def left(self) -> int:
        """How many tokens may still be written."""
        return self.limit - self.written

    @property
    def usage(self) -> Usage:
        """What it has taken so far: its prompt, how much of that was not evaluated anew, and what was written."""
        return Usage(self._prompt, self.written, self.writer.reasoning_tokens, self.reused or 0, 1)

    def close(self) -> None:
        """Nothing more is drawn: free what is native."""
        self.sampler.close()

    def done(self, reason: FinishReason) -> Done:
        """The end of the stream and what it took; the last token is one that was written, not one that ended it."""
        return Done(
            finish_reason="tool_calls" if reason == "stop" and self.writer.called else reason,
            cost=Decimal(0),
            usage=self.usage,
        )


def common(left: Tokens[int], right: Tokens[int]) -> int:
    """The length of the longest common prefix, in a few comparisons of whole slices."""
    shorter = min(len(left), len(right))
    return bisect_left(range(1, shorter + 1), True, key=lambda size: left[:size] != right[:size])
