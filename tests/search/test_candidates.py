"""One look ahead at the candidates of a step."""

from __future__ import annotations

from forethought.errors import UpstreamTimeout
from forethought.search.candidates import Look
from forethought.search.rollout import Reach
from forethought.testing import Script, Scripted
from forethought.wire import Request

QUESTION = Request.of("Left or right?").with_params(logprobs=True)
LEFT, RIGHT = Script("left", "go left\n\nso left"), Script("right", "go right\n\nso right")
REACH = Reach(ahead=1, lines=8, tokens=64)


async def look(*scripts: Script, merging: bool) -> Look:
    taken, backend = Look(REACH, 4.0, merging=merging), Scripted(*scripts)
    await taken.take(backend, QUESTION, 4, None)
    assert backend.live == 0
    return taken


async def test_equal_candidates_are_one() -> None:
    """With merging, what says the same is one candidate that speaks for all of them."""
    taken = await look(LEFT, RIGHT, merging=True)
    assert sorted(each.votes for each in taken.rollouts.values()) == [0, 0, 2, 2]


async def test_published_candidates_stay_apart() -> None:
    """Without merging, each candidate speaks for itself."""
    taken = await look(LEFT, RIGHT, merging=False)
    assert [each.votes for each in taken.rollouts.values()] == [1, 1, 1, 1]


async def test_a_failure_is_kept() -> None:
    """A branch that fails is no candidate, and its error is there to be told."""
    silent = UpstreamTimeout("silent")
    taken = await look(LEFT, Script(error=silent), merging=False)
    assert taken.errors == [silent, silent]
    assert sorted(each.votes for each in taken.rollouts.values()) == [0, 0, 1, 1]
