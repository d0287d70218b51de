"""From events to the OpenAI wire: completions, stream chunks and errors, as bytes that are ready to send.

Pure and shared by every front: the proxy, and the clients that are wrapped. What the caller is told beyond the
standard travels in one extra object named `forethought`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from .context import Usage, add_cost
from .errors import (
    BudgetExceeded,
    EngineStopped,
    ForethoughtError,
    InvalidPolicy,
    InvalidRequest,
    MissingCapability,
    StoreError,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from .plugins import UnknownPlugin
from .wire import JSON, Completion, Delta, Done, TokenLogprob

DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": thinking\n\n"
"""A comment: clients skip it, and time-outs between two reads start again."""
SSE_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
JSON_HEADERS = {"content-type": "application/json"}

_dumps = json.JSONEncoder(separators=(",", ":"), default=str).encode


def comment(text: str) -> bytes:
    """`text` as a comment in an event stream, on one line."""
    return f": {' '.join(text.split())}\n\n".encode()


def completion(*choices: Completion, model: str = "") -> bytes:
    """A `chat.completion` with these choices, in order, under one usage that sums them all.

    Identity (id, model, created, system_fingerprint, service_tier) is that of the first choice's upstream answer;
    `model` stands in where it has none.
    """
    meta = {name: value for name, value in choices[0].done.meta.items() if value is not None}
    usage = sum((choice.usage for choice in choices), Usage())
    body = {
        "id": new_id(),
        "created": int(time.time()),
        "model": model,
        **meta,
        "object": "chat.completion",
        "choices": [_choice(index, choice) for index, choice in enumerate(choices)],
        "usage": usage_json(usage),
        "forethought": extension(*(choice.done for choice in choices)),
    }
    return _dumps(body).encode()


class Chunks:
    """Writes one streamed answer as `chat.completion.chunk` events, each the bytes of one server-sent event.

    Order: `first` of every choice, any number of `of`, `last` of every choice, then `usage` where it was
    asked for, and DONE. `index` is the choice.
    """

    __slots__ = ("_head", "_tail", "_usage", "created", "id")

    def __init__(self, model: str = "", *, include_usage: bool = False) -> None:
        self.id = new_id()
        self.created = int(time.time())
        self._usage = ',"usage":null' if include_usage else ""
        self._head = (
            f'data: {{"id":"{self.id}","object":"chat.completion.chunk","created":{self.created},'
            f'"model":{quoted(model)},"choices":[{{"index":'
        )
        self._tail = f',"logprobs":null,"finish_reason":null}}]{self._usage}}}\n\n'

    def first(self, index: int = 0) -> bytes:
        """The opening chunk: the assistant begins to speak."""
        return f'{self._head}{index},"delta":{{"role":"assistant","content":""}}{self._tail}'.encode()

    def of(self, delta: Delta, index: int = 0) -> bytes:
        """A piece of the answer."""
        if delta.tool_calls or delta.logprobs or delta.extra or (delta.text and delta.reasoning):
            return self._whole(delta, index)
        if delta.reasoning:
            spoken = f'"reasoning_content":{quoted(delta.reasoning)}'
        else:
            spoken = f'"content":{quoted(delta.text)}'
        return f'{self._head}{index},"delta":{{{spoken}}}{self._tail}'.encode()

    def last(self, done: Done, index: int = 0) -> bytes:
        """The closing chunk: why this choice ended, and what the caller should know of the run."""
        end = f'"delta":{{}},"logprobs":null,"finish_reason":{quoted(done.finish_reason)}}}]'
        told = f',"forethought":{_dumps(extension(done))}'
        named = "".join(
            f",{quoted(name)}:{_dumps(done.meta[name])}"
            for name in ("system_fingerprint", "service_tier")
            if done.meta.get(name) is not None
        )
        return f"{self._head}{index},{end}{named}{told}{self._usage}}}\n\n".encode()

    def usage(self, usage: Usage) -> bytes:
        """The extra chunk that `stream_options.include_usage` asks for: no choices, all that was used."""
        opening = self._head.removesuffix('{"index":')
        return f'{opening}],"usage":{_dumps(usage_json(usage))}}}\n\n'.encode()

    def _whole(self, delta: Delta, index: int) -> bytes:
        said: dict[str, Any] = {}
        if delta.reasoning:
            said["reasoning_content"] = delta.reasoning
        if delta.text:
            said["content"] = delta.text
        if delta.tool_calls:
            said["tool_calls"] = [_typed(piece) if "id" in piece else piece for piece in delta.tool_calls]
        said |= delta.extra or {}
        logprobs = _dumps(logprobs_json(delta.logprobs))
        end = f',"logprobs":{logprobs},"finish_reason":null}}]{self._usage}}}\n\n'
        return f'{self._head}{index},"delta":{_dumps(said)}{end}'.encode()


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as an answer: status, body and headers, or the event that ends a stream already begun."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def event(self) -> bytes:
        """The error as the last event of a stream; an SDK raises its APIError on it."""
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        if not isinstance(body, dict) or "error" not in body:
            text = self.body.decode("utf-8", "replace")[:300]
            body = error_json(f"upstream answered {self.status}: {text}", "upstream_error", str(self.status))
        return f"data: {_dumps(body)}\n\n".encode()


def failure(error: BaseException) -> Failure:
    """What a client is told of `error`.

    An upstream's own error keeps status, body and the headers that matter to a client. Whatever it does not
    help to repeat says `x-should-retry: false`, so that an SDK does not pay for the same run again. Of an
    error that is not ours nothing is told but that it happened.
    """
    if isinstance(error, UpstreamStatus) and error.status >= 400:
        kept = {name: value for name, value in error.headers.items() if name in _KEPT or name.startswith("x-ratelimit")}
        return Failure(error.status, error.body, kept if error.transient else {**kept, **_FINAL})
    if not isinstance(error, ForethoughtError):
        return Failure(500, _dumps(error_json("internal error", "server_error")).encode(), {**JSON_HEADERS, **_FINAL})
    status, kind, code = next(told for known, told in _TOLD if isinstance(error, known))
    param = error.field if isinstance(error, InvalidRequest | InvalidPolicy) else None
    body = error_json(str(error), kind, code, param)
    return Failure(status, _dumps(body).encode(), {**JSON_HEADERS, **_FINAL})


def error_json(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The error object of the OpenAI API."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def extension(*done: Done) -> dict[str, Any]:
    """What a caller is told beyond the standard: the report of the run, its calls and its cost in USD.

    Of several choices it is the report of the first, with calls and cost summed. Money is a string, null where
    a part of it is unknown.
    """
    first, *others = done
    cost = first.cost
    for other in others:
        cost = add_cost(cost, other.cost)
    requests = sum(each.usage.requests for each in done)
    return {**first.report, "requests": requests, "cost": None if cost is None else str(cost)}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage under the API's names."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def logprobs_json(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """The `logprobs` of a choice; null where there are none."""
    if not logprobs:
        return None
    told = [
        {**_logprob(each.token, each.logprob), "top_logprobs": [_logprob(token, value) for token, value in each.top]}
        for each in logprobs
    ]
    return {"content": told, "refusal": None}


def new_id() -> str:
    """An id for a completion that has none of its own."""
    return f"chatcmpl-{secrets.token_hex(14)}"


def _choice(index: int, answer: Completion) -> dict[str, Any]:
    message = {**answer.message, "refusal": answer.extra.get("refusal")}
    if answer.tool_calls:
        message["tool_calls"] = [_typed(call) for call in answer.tool_calls]
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs_json(answer.logprobs),
        "finish_reason": answer.finish_reason,
    }


def _typed(call: JSON) -> JSON:
    return call if "type" in call else {**call, "type": "function"}


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "surrogatepass"))}


_FINAL = {"x-should-retry": "false"}
_KEPT = frozenset(
    {"content-type", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "www-authenticate"}
)
_INVALID = "invalid_request_error"
_UPSTREAM = "upstream_error"
_TOLD: tuple[tuple[type[ForethoughtError], tuple[int, str, str]], ...] = (
    (InvalidRequest, (400, _INVALID, "invalid_value")),
    (InvalidPolicy, (400, _INVALID, "invalid_policy")),
    (MissingCapability, (400, _INVALID, "missing_capability")),
    (UnknownPlugin, (400, _INVALID, "unknown_plugin")),
    (BudgetExceeded, (402, "budget_exceeded", "budget_exceeded")),
    (UpstreamTimeout, (504, _UPSTREAM, "upstream_timeout")),
    (UpstreamUnreachable, (502, _UPSTREAM, "upstream_unreachable")),
    (UpstreamProtocol, (502, _UPSTREAM, "upstream_protocol")),
    (UpstreamStatus, (502, _UPSTREAM, "upstream_status")),
    (EngineStopped, (503, "server_error", "engine_stopped")),
    (StoreError, (503, "server_error", "store_unavailable")),
    (ForethoughtError, (500, "server_error", "server_error")),
)
