"""What the owner thread is asked to write: a request, read, checked and rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from forethought.errors import InvalidRequest
from forethought.thinking import Phase
from forethought.wire import JSON, Request

from .tools import Tools

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

    `max_tokens` None means as many as the context holds; `tools` None that no calls are looked for.
    """

    text: str
    phase: Phase = Phase.BEFORE
    sampling: Sampling = Sampling()
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    tools: Tools | None = None


def job_of(request: Request, text: str, phase: Phase, seed: int | None, tools: Tools | None = None) -> Job:
    """The job of `request` once rendered; raises InvalidRequest naming the first field that cannot be served.

    Nothing wrong may pass: in the owner thread it would end the requests of everybody else.
    """
    _refuse_unserved(request.params)
    limit = _integer("max_tokens", request.max_tokens, 1)
    return Job(text, phase, _sampling(request, seed), _stops(request.params.get("stop")), limit, tools)


def _sampling(request: Request, seed: int | None) -> Sampling:
    params = request.params
    seeds = (_integer("seed", given) for given in (params.get("seed"), request.context.seed, seed))
    given = next((given for given in seeds if given is not None), None)
    return Sampling(
        temperature=_number(params, "temperature", 1.0, 0.0, 100.0),
        top_p=_number(params, "top_p", 1.0, 0.0, 1.0),
        top_k=max(0, int(_number(params, "top_k", 0, -1, 1_000_000))),
        min_p=_number(params, "min_p", 0.0, 0.0, 1.0),
        presence_penalty=_number(params, "presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=_number(params, "frequency_penalty", 0.0, -2.0, 2.0),
        seed=None if given is None else abs(given),
        logprobs=bool(params.get("logprobs")),
        top_logprobs=int(_number(params, "top_logprobs", 0, 0, MAX_TOP_LOGPROBS)),
    )


def _stops(value: Any) -> tuple[str, ...]:
    stops: Any = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in cast("list[Any]", stops)):
        raise InvalidRequest("stop", value, "a string or a list of strings is expected")
    return tuple(cast("list[str]", stops))


def _number(params: JSON, name: str, default: float, low: float, high: float) -> float:
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(name, value, f"a number from {low:g} to {high:g} is expected")
    return value


def _integer(name: str, value: Any, low: int | None = None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low):
        raise InvalidRequest(name, value, "an integer is expected" if low is None else f"at least {low} is expected")
    return value


def _refuse_unserved(params: JSON) -> None:
    """Fields that would change the answer are refused rather than ignored."""
    form: Any = params.get("response_format")
    if form not in (None, "text", {}, {"type": "text"}):
        raise InvalidRequest("response_format", form, "only type 'text' is supported by this backend yet")
    if params.get("logit_bias"):
        raise InvalidRequest("logit_bias", params["logit_bias"], "not supported by this backend yet")
    if params.get("n") not in (None, 1):
        raise InvalidRequest("n", params["n"], "this backend writes one answer a call; ask as often as needed")
