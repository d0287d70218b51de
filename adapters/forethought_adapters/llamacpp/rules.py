"""What a request asks of the drawing of tokens, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forethought.errors import InvalidRequest
from forethought.wire import JSON, Request, is_object

MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 1 is the default of the OpenAI API; `top_k` 0 takes every token."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0

    @property
    def penalises(self) -> bool:
        """Whether tokens change in likelihood once they stand in the text."""
        return self.repetition_penalty != 1.0 or bool(self.presence_penalty or self.frequency_penalty)


def sampling_of(request: Request, seed: int | None) -> Sampling:
    """The sampling that `request` asks for; raises InvalidRequest naming the first field that is out of range."""
    params = request.params
    seeds = (integer("seed", given) for given in (params.get("seed"), request.context.seed, seed))
    given = next((given for given in seeds if given is not None), None)
    repetition = "repeat_penalty" if params.get("repetition_penalty") is None else "repetition_penalty"
    return Sampling(
        temperature=_number(params, "temperature", 1.0, 0.0, 100.0),
        top_p=_number(params, "top_p", 1.0, 0.0, 1.0),
        top_k=max(0, int(_number(params, "top_k", 0, -1, 1_000_000))),
        min_p=_number(params, "min_p", 0.0, 0.0, 1.0),
        repetition_penalty=_number(params, repetition, 1.0, 0.01, 100.0),
        presence_penalty=_number(params, "presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=_number(params, "frequency_penalty", 0.0, -2.0, 2.0),
        logit_bias=_biases(params.get("logit_bias")),
        seed=None if given is None else abs(given),
        logprobs=bool(params.get("logprobs")),
        top_logprobs=int(_number(params, "top_logprobs", 0, 0, MAX_TOP_LOGPROBS)),
    )


def integer(name: str, value: Any, low: int | None = None) -> int | None:
    """`value` where it is an integer, of at least `low`; raises InvalidRequest naming the field otherwise."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low):
        raise InvalidRequest(name, value, "an integer is expected" if low is None else f"at least {low} is expected")
    return value


def _number(params: JSON, name: str, default: float, low: float, high: float) -> float:
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(name, value, f"a number from {low:g} to {high:g} is expected")
    return value


def _biases(value: Any) -> tuple[tuple[int, float], ...]:
    """Whether there are such tokens is known to the model alone."""
    if value is None:
        return ()
    if not is_object(value):
        raise InvalidRequest("logit_bias", value, "an object from token ids to biases is expected")
    biases = {str(key): bias for key, bias in value.items()}
    for key in biases:
        if not (key.isascii() and key.isdigit()):
            raise InvalidRequest("logit_bias", key, "a token id, an integer of at least 0, is expected")
    return tuple(
        (int(key), _number({f"logit_bias.{key}": bias}, f"logit_bias.{key}", 0.0, -100.0, 100.0))
        for key, bias in biases.items()
    )
