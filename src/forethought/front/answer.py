"""Events, written as a chat completion or as the chunks of a streamed one."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..context import Usage, add_cost
from ..wire import JSON, Completion, Delta, Done, Event, Note, Request, TokenLogprob
from . import jsonio, sse
from .select import Progress

IDENTITY = ("system_fingerprint", "service_tier")
"""What of the upstream's answer is still true of ours."""


def _new_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"


def _now() -> int:
    return math.floor(time.time())


@dataclass(frozen=True, slots=True)
class Form:
    """The form in which one caller wants the answer, and the identity it has. `created` is Unix time in seconds."""

    model: str
    policy: str
    logprobs: bool = False
    include_usage: bool = False
    progress: Progress = "comments"
    id: str = field(default_factory=_new_id)
    created: int = field(default_factory=_now)

    @classmethod
    def of(cls, request: Request, policy: str, progress: Progress, stream_options: JSON | None) -> Form:
        usage = bool(stream_options and stream_options.get("include_usage"))
        return cls(request.model, policy, bool(request.params.get("logprobs")), usage, progress)

    @property
    def frame(self) -> dict[str, Any]:
        """What every chunk begins with."""
        return {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}


def completion(form: Form, completions: Sequence[Completion]) -> dict[str, Any]:
    """A whole chat.completion with one choice for each of `completions`, whose usage is summed."""
    dones = [each.done for each in completions]
    meta = dones[0].meta
    runs = [extension(done, form.policy) for done in dones]
    return {
        "id": form.id,
        "object": "chat.completion",
        "created": form.created,
        "model": str(meta.get("model") or form.model),
        "choices": [_choice(form, index, each) for index, each in enumerate(completions)],
        "usage": usage(dones),
        **_identity(meta),
        "forethought": runs[0] if len(runs) == 1 else {"policy": form.policy, "runs": runs},
    }


class Chunks:
    """Writes the events of choice `index` as they come, each as the bytes of zero or more SSE events."""

    __slots__ = ("_after", "_before", "_calls", "_form", "_index", "_opened")

    def __init__(self, form: Form, index: int = 0) -> None:
        self._form = form
        self._index = index
        self._opened = False
        # A chunk with nothing but text is by far the most frequent one: all but the text is written here, once.
        self._before = b"data: %b,%b" % (jsonio.write(form.frame)[:-1], b'"choices":[{"index":%d,"delta":' % index)
        self._after = b',"logprobs":null,"finish_reason":null}]%b}\n\n' % self._no_usage

    def write(self, event: Event) -> bytes:
        """The bytes of one event; the first delta, and Done, open the choice with its role."""
        if isinstance(event, Note):
            return self._progress(event)
        opening = b"" if self._opened else self._open()
        return opening + (self._delta(event) if isinstance(event, Delta) else self._end(event))

    @property
    def _no_usage(self) -> bytes:
        return b',"usage":null' if self._form.include_usage else b""

    def _open(self) -> bytes:
        self._opened = True
        return self._before + b'{"role":"assistant","content":""}' + self._after

    def _delta(self, delta: Delta) -> bytes:
        if delta.logprobs and self._form.logprobs:
            written = jsonio.write(_logprobs(delta.logprobs))
            after = b',"logprobs":%b,"finish_reason":null}]%b}\n\n' % (written, self._no_usage)
        else:
            after = self._after
        if delta.text and not (delta.reasoning or delta.tool_calls or delta.extra):
            return b'%b{"content":%b}%b' % (self._before, jsonio.write(delta.text), after)
        said: dict[str, Any] = {}
        if delta.reasoning:
            said["reasoning_content"] = delta.reasoning
        if delta.text:
            said["content"] = delta.text
        if delta.tool_calls:
            said["tool_calls"] = [_typed(piece) if "id" in piece else piece for piece in delta.tool_calls]
        return self._before + jsonio.write({**said, **(delta.extra or {})}) + after

    def _progress(self, note: Note) -> bytes:
        if self._form.progress == "comments":
            facts = {"choice": self._index, "by": note.by, "kind": note.kind, "text": note.text, "data": note.data}
            return sse.comment(facts)
        if self._form.progress == "none":
            return b""
        opening = b"" if self._opened else self._open()
        return opening + self._delta(Delta(reasoning=f"[{note.kind}] {note.text}\n"))

    def _end(self, done: Done) -> bytes:
        choice: JSON = {"index": self._index, "delta": {}, "logprobs": None, "finish_reason": done.finish_reason}
        return sse.data(
            {
                **self._form.frame,
                **_identity(done.meta),
                "choices": [choice],
                **({"usage": None} if self._form.include_usage else {}),
                "forethought": extension(done, self._form.policy),
            }
        )


def closing(form: Form, dones: Sequence[Done]) -> bytes:
    """The end of a whole stream: the usage of all its choices where it was asked for, and the end mark."""
    if not form.include_usage:
        return sse.DONE
    return sse.data({**form.frame, "choices": [], "usage": usage(dones)}) + sse.DONE


def usage(dones: Sequence[Done]) -> dict[str, Any]:
    """The usage of everything that was asked upstream, `cost` in USD where it is known."""
    total = sum((done.usage for done in dones), Usage())
    cost: Decimal | None = Decimal(0)
    for done in dones:
        cost = add_cost(cost, done.cost)
    counts: dict[str, Any] = {
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "total_tokens": total.total_tokens,
        "prompt_tokens_details": {"cached_tokens": total.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": total.reasoning_tokens},
    }
    return counts if cost is None else {**counts, "cost": float(cost)}


def extension(done: Done, policy: str) -> dict[str, Any]:
    """What the caller is told of the run besides the answer."""
    report = {name: value for name, value in done.report.items() if name not in ("run", "policy")}
    stop = done.stop_reason or done.finish_reason
    told = {"run_id": done.report.get("run"), "policy": policy, "stop_reason": stop, "requests": done.usage.requests}
    return {**told, **report}


def _choice(form: Form, index: int, whole: Completion) -> dict[str, Any]:
    logprobs = _logprobs(whole.logprobs) if form.logprobs and whole.logprobs else None
    message = {"refusal": None, **whole.message}
    if whole.tool_calls:
        message["tool_calls"] = [_typed(call) for call in whole.tool_calls]
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": whole.finish_reason}


def _typed(call: JSON) -> JSON:
    """A call with its type, which not every backend gives."""
    return call if "type" in call else {**call, "type": "function"}


def _identity(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in IDENTITY if meta.get(name) is not None}


def _logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    content = [
        {**_token(each.token, each.logprob), "top_logprobs": [_token(token, value) for token, value in each.top]}
        for each in tokens
    ]
    return {"content": content, "refusal": None}


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}
