"""What the owner thread is asked to write: a request, read, checked and rendered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from forethought.errors import InvalidRequest
from forethought.thinking import Phase
from forethought.wire import Request

from .grammar import Grammar, requested_grammar
from .rules import Sampling, integer, sampling_of
from .tools import Tools


@dataclass(frozen=True, slots=True)
class Job:
    """One stream to be written: go on from `text`, starting in `phase`, for at most `max_tokens` tokens.

    `max_tokens` None means as many as the context holds; `tools` None that no calls are looked for.
    `grammar` is what the answer is held to, of which `said` already stands at the end of `text`.
    """

    text: str
    phase: Phase = Phase.BEFORE
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    max_tokens: int | None = None
    tools: Tools | None = None
    grammar: Grammar | None = None
    said: str = ""


def job_of(request: Request, text: str, phase: Phase, seed: int | None, tools: Tools | None = None) -> Job:
    """The job of `request` once rendered; raises InvalidRequest naming the first field that cannot be served.

    Nothing wrong may pass: in the owner thread it would end the requests of everybody else.
    """
    if request.params.get("n") not in (None, 1):
        raise InvalidRequest("n", request.params["n"], "this backend writes one answer a call; ask as often as needed")
    grammar = requested_grammar(request.params)
    return Job(
        text,
        phase,
        sampling_of(request, seed),
        _stops(request.params.get("stop")),
        integer("max_tokens", request.max_tokens, 1),
        None if grammar else tools,  # an answer of a given form is no call, whatever it looks like
        grammar,
        request.prefix.answer if request.prefix else "",
    )


def _stops(value: Any) -> tuple[str, ...]:
    stops: Any = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in cast("list[Any]", stops)):
        raise InvalidRequest("stop", value, "a string or a list of strings is expected")
    return tuple(cast("list[str]", stops))
