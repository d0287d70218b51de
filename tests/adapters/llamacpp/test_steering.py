"""Steers on the engine in this process: what they cost, and where its context ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from forethought.engine import Engine
from forethought.fold import complete
from forethought.policy import Policy
from forethought.ports import Continue, Decision, Ended, Inject, Observed, Probe, Probed, Situation, Steering, Stop
from forethought.stack import stack
from forethought.steer.drive import Steered
from forethought.steer.limit import Limit
from forethought.wire import Completion, Prefix, Request
from forethought_adapters.llamacpp import LlamaCpp

THINK = replace(Request.of("Think.", temperature=0), prefix=Prefix())
LONG = "and so on " * 60
"""More than the context of the random model holds."""


@dataclass(frozen=True)
class Once(Steered):
    """Decides once, after twenty tokens, and tells what it was then told."""

    decision: Decision
    tell: Callable[[Observed], None] = lambda _: None

    def steer(self, situation: Situation, /) -> Steering:
        del situation
        seen: Observed = yield Continue()
        for _ in range(20):
            seen = yield Continue()
        self.tell((yield self.decision))
        while not isinstance(seen, Ended):
            seen = yield Continue()


@dataclass(frozen=True)
class Busy(Steered):
    """Probes, injects and stops, with twenty tokens before each."""

    def steer(self, situation: Situation, /) -> Steering:
        del situation
        for decision in (Probe(" so ", 4), Inject(" wait "), Stop("enough", " well")):
            for _ in range(20):
                yield Continue()
            yield decision


async def ask(backend: LlamaCpp, layer: Steered, max_tokens: int | None = None) -> Completion:
    request = THINK if max_tokens is None else THINK.with_max_tokens(max_tokens)
    return await complete(stack(backend, [layer]), request)


async def test_a_probe_beyond_the_context(backend: LlamaCpp) -> None:
    """A probe that runs past the end of the context brings back an empty text, and the thought is what it was."""
    told: list[Observed] = []
    probed = await ask(backend, Once(Probe(LONG, 8), told.append), 60)
    assert told == [Probed("")]
    assert probed.reasoning == (await complete(backend, THINK.with_max_tokens(60))).reasoning
    assert probed.done.report["once"] == {"probes_failed": 1}


async def test_an_injection_beyond_the_context(backend: LlamaCpp) -> None:
    """An injection that runs past the end of the context is left out, and the thought lands in an answer."""
    answer = await ask(backend, Once(Inject(LONG)), 60)
    whole = await complete(backend, THINK.with_max_tokens(60))
    assert whole.reasoning.startswith(answer.reasoning)
    assert (len(answer.reasoning) >= 20, bool(answer.text), answer.done.stop_reason) == (True, True, "context")


async def test_a_thought_up_to_the_end_of_the_context(backend: LlamaCpp) -> None:
    """A thought that fills the context is still answered, from all but its end."""
    answer = await ask(backend, Limit())
    facts = await backend.load()
    assert answer.done.report["limit"]["thought_tokens"] > facts.longest * 3 // 4
    assert (bool(answer.text), answer.done.stop_reason) == (True, "budget")


async def test_no_token_is_paid_twice(backend: LlamaCpp) -> None:
    """A thought that is probed, added to and stopped is charged each token once: what the engine has evaluated."""
    answer = await Engine(backend, Policy("p", layers=(Busy(),))).complete(THINK.with_max_tokens(200))
    usage = answer.usage
    charged = usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens
    never_evaluated = 4  # the last token of each call
    steps_in_flight = 2  # when the thought was left, for the injection and for the answer
    assert usage.requests == 4
    assert charged - never_evaluated <= backend.occupancy.evaluated <= charged + steps_in_flight
