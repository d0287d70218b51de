"""What the owner thread is asked to write: a request, read, checked and rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forethought.errors import InvalidRequest
from forethought.thinking import Phase
from forethought.wire import Request

MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 1 is the default of the OpenAI API; `top_k` 0 takes every token."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0

    @property
    def penalises(self) -> bool:
        """Whether tokens become less likely once written."""
        return bool(self.presence_penalty or self.frequency_penalty)


@dataclass(frozen=True, slots=True)
class Job:
    """One stream to be written: go on from `text`, starting in `phase`, for at most `max_tokens` tokens.

    `max_tokens` None means as many as the context holds.
    """

    text: str
    phase: Phase = Phase.BEFORE
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None


def job_of(request: Request, text: str, phase: Phase, seed: int | None) -> Job:
    """The job of `request` once rendered; raises InvalidRequest naming the first field that cannot be served."""
    _refuse_unserved(request.params)
    limit = request.max_tokens
    if limit is not None and (limit < 1):
        raise InvalidRequest("max_tokens", limit, "an integer of at least 1 is expected")
    return Job(text, phase, _sampling(request, seed), request.stop, limit)


def _sampling(request: Request, seed: int | None) -> Sampling:
    read = _Fields(request.params)
    asked = next((s for s in (request.params.get("seed"), request.context.seed, seed) if s is not None), None)
    top = int(read.number("top_logprobs", 0, 0, MAX_TOP_LOGPROBS))
    return Sampling(
        temperature=read.number("temperature", 1.0, 0.0, 100.0),
        top_p=read.number("top_p", 1.0, 0.0, 1.0),
        top_k=max(0, int(read.number("top_k", 0, -1, 1_000_000))),
        min_p=read.number("min_p", 0.0, 0.0, 1.0),
        presence_penalty=read.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=read.number("frequency_penalty", 0.0, -2.0, 2.0),
        seed=None if asked is None else abs(int(asked)),
        logprobs=bool(request.params.get("logprobs")),
        top_logprobs=top,
    )


class _Fields:
    """Reads numbers out of a request's body."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self._params.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidRequest(name, value, f"a number from {low:g} to {high:g} is expected")
        return value


def _refuse_unserved(params: Mapping[str, Any]) -> None:
    """Fields that would change the answer are refused rather than ignored."""
    form: Any = params.get("response_format") or {}
    if form != "text" and form.get("type", "text") != "text":
        raise InvalidRequest("response_format", form, "only type 'text' is supported by this backend yet")
    if params.get("logit_bias"):
        raise InvalidRequest("logit_bias", params["logit_bias"], "not supported by this backend yet")
    if params.get("n") not in (None, 1):
        raise InvalidRequest("n", params["n"], "this backend writes one answer a call; ask as often as needed")
