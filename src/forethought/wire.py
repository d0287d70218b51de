"""The values on the wire: what is asked, and the events that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Self, TypeAlias, TypeGuard

from .context import Context, Usage
from .errors import InvalidRequest

JSON: TypeAlias = Mapping[str, Any]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the assistant has already said; the backend goes on from the end of it.

    While `closed` is false and `answer` is empty the thinking is still open and is continued; otherwise
    the thinking has ended and the answer is continued.
    """

    reasoning: str = ""
    answer: str = ""
    closed: bool = False

    @property
    def thinking(self) -> bool:
        return not self.closed and not self.answer


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a backend: the caller's JSON verbatim, and what the run adds to it.

    `messages` and every other field (`params`) are kept as they came, unknown ones included. `prefix` asks
    to continue what the assistant has begun. `context` never reaches the upstream.
    """

    messages: tuple[JSON, ...]
    params: JSON = field(default_factory=dict[str, Any])
    prefix: Prefix | None = None
    context: Context = Context()

    @classmethod
    def of(cls, question: str, /, *, system: str | None = None, **params: Any) -> Self:
        """A request with one user message; `params` are fields of the chat-completions body."""
        opening = [{"role": "system", "content": system}] if system is not None else []
        return cls((*opening, {"role": "user", "content": question}), params)

    @classmethod
    def from_json(cls, body: object, /, context: Context = Context()) -> Self:
        """Read a chat-completions body; raises InvalidRequest naming the first field that is wrong."""
        if not is_object(body):
            raise InvalidRequest("body", body, "a JSON object is expected")
        fields = dict(body)
        messages = _messages(fields.pop("messages", None))
        for name, check in _CHECKS.items():
            if fields.get(name) is not None:
                check(name, fields[name])
        return cls(messages, fields, None, context)

    def to_json(self) -> dict[str, Any]:
        """The chat-completions body, without prefix and context."""
        return {**self.params, "messages": list(self.messages)}

    @property
    def model(self) -> str:
        return str(self.params.get("model") or "")

    @property
    def max_tokens(self) -> int | None:
        """The caller's ceiling for completion tokens, under either of its two names."""
        limit = self.params.get("max_completion_tokens")
        return limit if limit is not None else self.params.get("max_tokens")

    @property
    def stop(self) -> tuple[str, ...]:
        stop = self.params.get("stop")
        return () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop)

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return next((text_of(m) for m in reversed(self.messages) if m.get("role") == "user"), "")

    def with_params(self, **changes: Any) -> Self:
        """The same request with these body fields; None removes one."""
        params = {k: v for k, v in {**self.params, **changes}.items() if v is not None or k not in changes}
        return replace(self, params=params)

    def with_max_tokens(self, limit: int | None) -> Self:
        """The same request with another ceiling, under the name that the caller used."""
        if limit is None or limit == self.max_tokens:
            return self
        old = "max_completion_tokens" not in self.params and "max_tokens" in self.params
        return self.with_params(**{"max_tokens" if old else "max_completion_tokens": limit})

    def with_context(self, **changes: Any) -> Self:
        return type(self)(self.messages, self.params, self.prefix, self.context.child(**changes))

    def branch(self, index: int, *, of: int = 1) -> Self:
        """Branch `index` of a fan-out over `of` siblings: own seed, own share of the budget.

        A seed in the body is derived too, so that siblings differ and a run can be repeated.
        """
        own = self.params.get("seed")
        base = self.context if self.context.seed is not None else self.context.child(seed=own)
        context = base.branch(index, of=of)
        branched = replace(self, context=context)
        return branched if context.seed is None else branched.with_params(seed=context.seed)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token with its natural-log probability and the likeliest alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer as it is written; `logprobs` are those of exactly these tokens.

    `tool_calls` are wire pieces `{index, id?, function: {name?, arguments?}}`; `extra` holds delta fields
    this version does not know.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[JSON, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    extra: JSON | None = None

    def tokens(self, chars_per_token: float) -> int:
        """How many tokens this is: exact where their logprobs came along, else estimated, at least 1."""
        if self.logprobs:
            return len(self.logprobs)
        return max(1, round((len(self.text) + len(self.reasoning)) / chars_per_token))


@dataclass(frozen=True, slots=True)
class Note:
    """What a layer is doing, for progress and trace; never part of the answer. `by` is the layer's kind."""

    kind: str
    text: str = ""
    data: JSON | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a stream, exactly once and last.

    `usage` and `cost` (USD, None when unknown) are those of the whole subtree. `stop_reason` says in our
    words why it ended, where that is more than `finish_reason` can say. `meta` keeps the identity of the
    answer (id, model, created, system_fingerprint, service_tier); `report` is what layers tell the caller.
    """

    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    cost: Decimal | None = None
    stop_reason: str = ""
    meta: JSON = field(default_factory=dict[str, Any])
    report: JSON = field(default_factory=dict[str, Any])


Event: TypeAlias = Delta | Note | Done


@dataclass(frozen=True, slots=True)
class Completion:
    """A stream, folded: the whole answer and how it ended."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[JSON, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    extra: JSON = field(default_factory=dict[str, Any])
    done: Done = Done()

    @property
    def usage(self) -> Usage:
        return self.done.usage

    @property
    def finish_reason(self) -> FinishReason:
        return self.done.finish_reason

    @property
    def run(self) -> str:
        """The id of the run that gave this answer, which feedback on it names; "" where no engine ran."""
        return str(self.done.report.get("run") or "")

    @property
    def message(self) -> dict[str, Any]:
        """The assistant message in chat-completions form; `content` is null when only tools are called."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or (None if self.tool_calls else "")}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        return {**message, **self.extra}


def text_of(message: JSON) -> str:
    """The text of a message whose content is a string or a list of parts; other parts are left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not is_array(content):
        return ""
    parts = [part for part in content if is_object(part)]
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") in ("text", "input_text"))


def is_object(value: object) -> TypeGuard[JSON]:
    """Whether a JSON value is an object."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _messages(value: object) -> tuple[JSON, ...]:
    if not is_array(value) or not value:
        raise InvalidRequest("messages", value, "a non-empty list of messages is expected")
    for index, message in enumerate(value):
        if not is_object(message) or not isinstance(message.get("role"), str):
            raise InvalidRequest(f"messages[{index}]", message, "an object with a 'role' is expected")
    return tuple(value)


def _is_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidRequest(name, value, "a string is expected")


def _is_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidRequest(name, value, "true or false is expected")


def _is_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(name, value, "a number is expected")


def _is_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(name, value, "an integer of at least 1 is expected")


def _is_integer(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(name, value, "an integer is expected")


def _is_stop(name: str, value: object) -> None:
    if isinstance(value, str):
        return
    if not is_array(value) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(name, value, "a string or a list of strings is expected")


_CHECKS = {
    "model": _is_text,
    "stream": _is_flag,
    "logprobs": _is_flag,
    "temperature": _is_number,
    "top_p": _is_number,
    "n": _is_count,
    "max_tokens": _is_count,
    "max_completion_tokens": _is_count,
    "seed": _is_integer,
    "stop": _is_stop,
}
