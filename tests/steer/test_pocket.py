"""The steers that end a thought, on the pocket model in this process."""

from __future__ import annotations

import pytest

from forethought.engine import Engine
from forethought.policy import Policy
from forethought.wire import Completion
from forethought_adapters.pocket import open_backend
from forethought_pocket import is_right, model_path, problems

pytestmark = pytest.mark.skipif(not model_path().exists(), reason="the pocket model is not trained yet")
ASKED = problems("test", 12, seed=1)
PROBE = 'probe = "\\nanswer "\nprobe_tokens = 1\nlines = 1\ntransition = ""\n'


async def ask(layer: str) -> list[Completion]:
    """What the pocket model answers under one layer, given as TOML."""
    policy = Policy.from_toml(f'name = "test"\n[[layers]]\n{layer}\n') if layer else None
    async with open_backend() as backend:
        engine = Engine(backend, policy)
        return [await engine.ask(problem.question, temperature=0) for problem in ASKED]


def written(answers: list[Completion]) -> int:
    return sum(answer.usage.completion_tokens for answer in answers)


def right(answers: list[Completion]) -> int:
    return sum(is_right(problem, answer.text) for problem, answer in zip(ASKED, answers, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        f'kind = "brake"\nnudge = "\\n"\n{PROBE}',
        f'kind = "settle"\nevery = 16\npatience = 12\n{PROBE}',
        f'kind = "settle"\nby = "confidence"\nevery = 8\npatience = 12\n{PROBE}',
    ],
    ids=["brake", "stability", "confidence"],
)
async def test_fewer_tokens_and_the_same_answers(layer: str) -> None:
    """From a policy file, a thought that overthinks is ended early, probes counted, and answers as well as before."""
    alone, steered = await ask(""), await ask(layer)
    assert written(steered) < 0.9 * written(alone)
    assert right(steered) >= right(alone) - 1
    assert any(answer.done.stop_reason for answer in steered)


async def test_sound_thoughts_do_not_loop() -> None:
    """The pocket model repeats its steps when it checks them, and that is no loop."""
    alone, steered = await ask(""), await ask('kind = "loop"')
    assert [answer.text for answer in steered] == [answer.text for answer in alone]
