"""The record of a run: a tree of calls and decisions with tokens, money, seconds, and why each branch ended.

Spans, metrics, the tree on a screen and the JSON export are views of this one record. Sinks are told each moment
as it happens; with none a node costs a few microseconds. A run belongs to one thread or event loop.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any, Final, cast

from .context import Usage, add_cost
from .errors import UpstreamStatus
from .ports import Sink

SCHEMA: Final = "forethought.run/1"
MAX_DECISIONS: Final = 1000
"""Decisions kept per node; the oldest are dropped, and counted."""
MAX_ERRORS: Final = 20
_ZERO = Usage()
_FREE = Decimal(0)


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was decided at a node, `at` seconds after the run began; facts are JSON values."""

    what: str
    facts: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Started:
    """A node was opened."""

    node: RunNode


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision was taken at a node."""

    node: RunNode
    decision: Decision


@dataclass(frozen=True, slots=True)
class Ended:
    """A node was closed; its usage, cost and attributes are final."""

    node: RunNode


class RunNode:
    """A place in the tree of a run; `operation` is its OpenTelemetry GenAI operation.

    `started` and `ended` are seconds since the run began. `usage` and `cost` are settled and include everything
    below. Calls carry these attributes where they are known: model, provider, server_address, server_port,
    request_max_tokens, request_temperature, request_top_p, request_seed, stream, response_id, response_model,
    finish_reason, time_to_first_chunk_s, local; and input_messages, output_messages (wire JSON) only where
    `capture_content()` says so.
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "children",
        "cost",
        "decisions",
        "decisions_dropped",
        "end_reason",
        "ended",
        "error_type",
        "id",
        "name",
        "operation",
        "parent",
        "run",
        "started",
        "usage",
    )

    def __init__(self, run: Run, parent: RunNode | None, name: str, operation: str, attributes: dict[str, Any]) -> None:
        self.run = run
        self.parent = parent
        self.id = run.next_id()
        self.name = name
        self.operation = operation
        self.attributes = attributes
        self.started = run.elapsed()
        self.ended: float | None = None
        self.usage = _ZERO
        self.cost: Decimal | None = _FREE
        self.end_reason = ""
        self.error_type = ""
        self.decisions: deque[Decision] = deque(maxlen=MAX_DECISIONS)
        self.decisions_dropped = 0
        self.children: list[RunNode] = []

    def __repr__(self) -> str:
        return f"<RunNode {self.id} {self.operation} {self.name!r} {self.end_reason or 'open'}>"

    @property
    def run_id(self) -> str:
        """The id of the run that this node is in."""
        return self.run.id

    @property
    def duration_s(self) -> float | None:
        """Seconds from opening to closing; None while the node is open."""
        return None if self.ended is None else self.ended - self.started

    def child(self, name: str, operation: str = "invoke_agent", **attributes: Any) -> RunNode:
        """Open a node below this one."""
        node = RunNode(self.run, self, name, operation, attributes)
        self.children.append(node)
        if self.run.sinks:
            self.run.tell(Started(node))
        return node

    def annotate(self, **attributes: Any) -> None:
        """Add attributes that were not known when the node was opened."""
        self.attributes.update(attributes)

    def decide(self, what: str, /, **facts: Any) -> None:
        """Record a decision taken here; facts are JSON values."""
        self.decisions_dropped += len(self.decisions) == MAX_DECISIONS
        decision = Decision(what, facts, self.run.elapsed())
        self.decisions.append(decision)
        if self.run.sinks:
            self.run.tell(Decided(self, decision))

    def spend(self, usage: Usage, cost: Decimal | None) -> None:
        """Charge a call to this node and to all above it."""
        node: RunNode | None = self
        while node is not None:
            node.usage += usage
            node.cost = add_cost(node.cost, cost)
            node = node.parent

    def end(self, reason: str = "", error: BaseException | None = None) -> None:
        """Close this node; `reason` says why it ended. Ending twice changes nothing.

        A cancelled node ends with reason "cancelled" and is no failure. When the root ends, every node that is
        still open ends with it, with reason "closed".
        """
        if self.ended is not None:
            return
        if self.parent is None:
            for node in self.below():
                node.end("closed")
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        self.ended = self.run.elapsed()
        self.error_type = "" if error is None or cancelled else error_type(error)
        self.end_reason = reason or ("cancelled" if cancelled else "error" if error else "")
        if self.run.sinks:
            self.run.tell(Ended(self))

    def below(self) -> Iterator[RunNode]:
        """All nodes under this one, children before their parents."""
        for child in self.children:
            yield from child.below()
            yield child

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "operation": self.operation,
            "started_s": self.started,
            "duration_s": self.duration_s,
            "end_reason": self.end_reason,
            "error_type": self.error_type,
            "usage": {name: getattr(self.usage, name) for name in Usage.__slots__},
            "cost": None if self.cost is None else str(self.cost),
            "attributes": _json(self.attributes),
            "decisions": [{"what": each.what, "at_s": each.at, "facts": _json(each.facts)} for each in self.decisions],
            "decisions_dropped": self.decisions_dropped,
            "children": [child.to_json() for child in self.children],
        }


class Run:
    """One run: its identity, its sinks and the root of its tree. `started_at` is Unix time in seconds.

    A sink that raises does not disturb the run: what it raised is kept in `errors`, the last 20 of them.
    `clock` gives monotonic seconds, `wall` Unix time.
    """

    __slots__ = ("_begun", "_clock", "_ids", "errors", "id", "policy", "root", "sinks", "started_at")

    def __init__(
        self, name: str, run_id: str, policy: str, sinks: Iterable[Sink], clock: Callable[[], float], started_at: float
    ) -> None:
        """Prefer `start`, which also tells the sinks."""
        self.id = run_id
        self.policy = policy
        self.sinks = tuple(sinks)
        self.errors: deque[Exception] = deque(maxlen=MAX_ERRORS)
        self.started_at = started_at
        self._clock = clock
        self._begun = clock()
        self._ids = count(1)
        self.root = RunNode(self, None, name, "invoke_workflow", {})

    @classmethod
    def start(
        cls,
        name: str,
        *,
        policy: str = "",
        sinks: Iterable[Sink] = (),
        id: str | None = None,  # noqa: A002  the name of the field
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> Run:
        """Begin a run and tell its sinks; without `id` it gets one of its own."""
        run = cls(name, id or f"run_{secrets.token_hex(12)}", policy, sinks, clock, wall())
        run.tell(Started(run.root))
        return run

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._begun

    def next_id(self) -> int:
        return next(self._ids)

    def tell(self, moment: Started | Decided | Ended) -> None:
        """Tell every sink what happened."""
        for sink in self.sinks:
            try:
                sink(moment)
            except Exception as error:  # noqa: BLE001  an observer, whoever wrote it, must not end what it observes
                self.errors.append(error)

    def to_json(self) -> dict[str, Any]:
        """The whole tree as JSON values; money is a string, None where it is unknown."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "policy": self.policy,
            "started_at": self.started_at,
            "sink_errors": [f"{type(error).__name__}: {error}" for error in self.errors],
            "root": self.root.to_json(),
        }


def error_type(error: BaseException) -> str:
    """A name of few values for an error: the HTTP status where there is one, else its class."""
    return str(error.status) if isinstance(error, UpstreamStatus) else type(error).__qualname__


def capture_content() -> bool:
    """Whether OpenTelemetry's standard switch asks for message content in spans; `true` does not."""
    switch = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
    return switch.strip().upper() in ("SPAN_ONLY", "SPAN_AND_EVENT")


def _json(value: object) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _json(each) for name, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Iterable):
        return [_json(each) for each in cast("Iterable[object]", value)]
    return str(value)
