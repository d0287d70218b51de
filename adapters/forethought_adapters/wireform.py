"""Reads chat-completions JSON, streamed or whole, into events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from pydantic_core import to_json

from forethought.context import Usage
from forethought.errors import UpstreamError, UpstreamProtocol, UpstreamStatus
from forethought.thinking import Split, Splitter
from forethought.wire import JSON, Delta, Done, FinishReason, TokenLogprob

REASONING = ("reasoning_content", "reasoning")
META = ("id", "model", "created", "system_fingerprint", "service_tier")
KNOWN = frozenset({"role", "content", "tool_calls", *REASONING})
FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}
BROKEN = frozenset({"error", "abort", "insufficient_system_resource"})
"""Finish reasons by which servers say that the answer was not finished."""


class Reader:
    """Reads the chunks of one answer, or a whole completion, and remembers how it ended.

    `splitter` parts thinking that arrives as tags inside the content, until the server shows that it parts
    it itself. With `answering` the thinking has ended before the stream began, and what a server's parser
    still takes for reasoning is answer.
    """

    def __init__(self, splitter: Splitter | None = None, *, answering: bool = False) -> None:
        self._splitter = None if answering else splitter
        self._answering = answering
        self.ended = False
        self._finish = ""
        self._first: JSON = {}
        self._last: JSON = {}
        self._usage: Mapping[str, Any] = {}

    def read(self, chunk: Any) -> Delta | None:
        """What a chunk adds, None where nothing; raises UpstreamStatus for an error, UpstreamProtocol for nonsense."""
        try:
            if chunk.get("error"):
                raise error_in(chunk["error"])
            self._first, self._last = self._first or chunk, chunk
            if chunk.get("usage"):
                self._usage = dict(chunk["usage"])
            delta = None
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    self._finish = choice.get("finish_reason") or self._finish
                    delta = self._delta(choice)
            return delta
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UpstreamProtocol(f"not a chunk of a chat completion: {str(chunk)[:200]}") from error

    def flush(self) -> Delta | None:
        """What was held back as the possible beginning of a tag."""
        if self._splitter is None:
            return None
        rest = self._splitter.flush()
        return Delta(rest.answer, rest.reasoning) if any(rest) else None

    def done(self, cost: str | None = None) -> Done:
        """How it ended; raises UpstreamProtocol where the server did not say that it has.

        Without usage from the server the token counts are 0. `cost` is that of a response header.
        """
        if not self._finish or self._finish in BROKEN:
            raise UpstreamProtocol(f"the answer is not finished (finish_reason {self._finish or None!r})")
        self.ended = True
        known = FINISH.get(self._finish)
        try:
            usage, price = usage_of(self._usage), cost_of(self._usage.get("cost", cost))
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            raise UpstreamProtocol(f"usage: {str(self._usage)[:200]}") from error
        return Done(known or "stop", usage, price, "" if known else self._finish, self._meta)

    @property
    def _meta(self) -> dict[str, Any]:
        return {n: chunk[n] for chunk in (self._first, self._last) for n in META if chunk.get(n) is not None}

    def _delta(self, choice: Mapping[str, Any]) -> Delta | None:
        fields: Mapping[str, Any] = choice.get("delta") or choice.get("message") or {}
        content = fields.get("content")
        if len(fields) == 1 and isinstance(content, str) and not self._splitter and not choice.get("logprobs"):
            return Delta(content) if content else None  # what nearly every chunk is
        reasoning = next((fields[name] for name in REASONING if isinstance(fields.get(name), str)), "")
        thought, text = parts_of(content)
        reasoning += thought
        if self._answering:
            reasoning, text = "", reasoning + text
        elif reasoning:
            self._splitter = None
        elif text and self._splitter is not None:
            reasoning, text = self._splitter.feed(text)
            if self._splitter.over:
                self._splitter = None
        calls = tuple(numbered(fields.get("tool_calls") or ()))
        probs: JSON = choice.get("logprobs") or {}
        logprobs = tuple(map(logprob_of, probs.get("content") or ()))
        extra = {name: value for name, value in fields.items() if name not in KNOWN and value is not None}
        if not (text or reasoning or calls or logprobs or extra):
            return None
        return Delta(text, reasoning, calls, logprobs, extra or None)


def parts_of(content: Any) -> Split:
    """Thinking and text of a `content` that is a string, or a list of parts as Mistral sends it."""
    if isinstance(content, str):
        return Split(answer=content)
    split = Split()
    for part in content or ():
        if part.get("type") == "thinking":
            split = Split(split.reasoning + "".join(parts_of(part["thinking"])), split.answer)
        else:
            split = Split(split.reasoning, split.answer + part.get("text", ""))
    return split


def numbered(calls: Sequence[JSON]) -> list[JSON]:
    """Pieces of tool calls, each with its index; a whole message leaves them out."""
    return [{"index": index, **call} for index, call in enumerate(calls)]


def logprob_of(entry: JSON) -> TokenLogprob:
    top = tuple((str(other["token"]), float(other["logprob"])) for other in entry.get("top_logprobs") or ())
    return TokenLogprob(str(entry["token"]), float(entry["logprob"]), top)


def usage_of(usage: JSON) -> Usage:
    """Token counts of one call; what the server leaves out is 0."""
    written: JSON = usage.get("completion_tokens_details") or {}
    prompt: JSON = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(written.get("reasoning_tokens")),
        cached_tokens=_count(prompt.get("cached_tokens")) or _count(usage.get("prompt_cache_hit_tokens")),
        requests=1,
    )


def _count(value: Any) -> int:
    return max(0, int(value)) if value else 0


def cost_of(value: object) -> Decimal | None:
    """A cost in USD as a server reports it, None where it does not; raises ValueError for anything else."""
    if value is None:
        return None
    try:
        cost = Decimal(str(value))
    except ArithmeticError as error:
        raise ValueError(f"cost: {value!r}") from error
    return cost if cost.is_finite() and cost >= 0 else None


def error_in(error: Any) -> UpstreamError:
    """The error that a server reports inside an answer; 500 stands for a status that it does not name."""
    code = str(cast("JSON", error).get("code") if isinstance(error, dict) else "")
    status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else 500
    return UpstreamStatus(status, to_json({"error": error}))
