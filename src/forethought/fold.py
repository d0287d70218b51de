"""A stream, folded into one value: the only way from events to a completion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .errors import UpstreamProtocol
from .ports import Backend
from .wire import Completion, Delta, Done, Event, Request, TokenLogprob


async def complete(backend: Backend, request: Request, /) -> Completion:
    """Ask `backend` and wait for the whole answer; raises what its stream raises."""
    async with backend.stream(request) as events:
        return await fold(events)


async def fold(events: AsyncIterator[Event], /) -> Completion:
    """Fold the rest of a stream; raises UpstreamProtocol where it ends without Done."""
    partial = Partial()
    async for event in events:
        if isinstance(event, Delta):
            partial.add(event)
        elif isinstance(event, Done):
            return partial.completion(event)
    raise UpstreamProtocol("the stream ended without saying why it ended")


class Partial:
    """What a stream has said so far."""

    __slots__ = ("_calls", "_extra", "_logprobs", "_reasoning", "_text")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._extra: dict[str, Any] = {}

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def add(self, delta: Delta) -> None:
        if delta.text:
            self._text.append(delta.text)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        if delta.logprobs:
            self._logprobs.extend(delta.logprobs)
        for piece in delta.tool_calls:
            self._add_call(dict(piece))
        for name, value in (delta.extra or {}).items():
            self._add_extra(name, value)

    def completion(self, done: Done) -> Completion:
        calls = tuple(self._calls[index] for index in sorted(self._calls))
        return Completion(self.text, self.reasoning, calls, tuple(self._logprobs), self._extra, done)

    def _add_call(self, piece: dict[str, Any]) -> None:
        index = piece.pop("index", len(self._calls))
        known = self._calls.setdefault(index, {})
        function = {**known.get("function", {})}
        given: dict[str, Any] = piece.pop("function", None) or {}
        for name, value in given.items():
            function[name] = function.get(name, "") + value if name == "arguments" else value
        known.update({name: value for name, value in piece.items() if value is not None})
        if function:
            known["function"] = function

    def _add_extra(self, name: str, value: Any) -> None:
        known: Any = self._extra.get(name)
        pieces = type(known) is type(value) and isinstance(known, str | list)
        self._extra[name] = known + value if pieces else value  # pyright: ignore[reportUnknownVariableType]
