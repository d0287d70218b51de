"""The scheduler over a model made of arithmetic, which checks what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.thinking import THINK, Phase
from forethought.wire import Done
from forethought_adapters.llamacpp.job import Job
from forethought_adapters.llamacpp.rules import Sampling
from forethought_adapters.llamacpp.scheduler import Limits, Scheduler
from forethought_adapters.llamacpp.sequence import Outcome
from forethought_adapters.llamacpp.state import Piece

END = 26
GREEDY = Sampling(temperature=0.0)
ROOMY = Limits(cells=1000, longest=200, live=8, batch=64, parked=100)


class Arithmetic:
    """A model whose next letter is a checksum of all letters before it, now and then the end.

    It keeps each sequence's tokens as (position, token, cell) and fails where native code would abort: a gap in
    the positions, an unknown slot, more cells in use than there are.
    """

    shares = True
    vocabulary = END + 1

    def __init__(self, cells: int) -> None:
        self.total = cells
        self.slots: dict[int, list[tuple[int, int]]] = {}
        self.evaluated = 0

    @property
    def used(self) -> int:
        return len({cell for held in self.slots.values() for _, cell in held})

    def tokenize(self, text: str, *, begin: bool = True) -> list[int]:
        del begin
        return [ord(letter) - ord("a") for letter in text]

    def piece(self, token: int, *, special: bool) -> bytes:
        del special
        return bytes([ord("a") + token])

    def is_end(self, token: int) -> bool:
        return token == END

    def automaton(self, grammar: str) -> None:
        del grammar

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], slots: Sequence[int], wanted: Sequence[bool]
    ) -> Any:
        rows: list[Any] = []
        for token, position, slot, want in zip(tokens, positions, slots, wanted, strict=True):
            held = self.slots.setdefault(slot, [])
            assert position == len(held)
            self.evaluated += 1
            held.append((token, self.evaluated))
            if want:
                rows.append(np.eye(END + 1)[next_token([token for token, _ in held])])
        assert self.used <= self.total
        return rows

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.slots.get(target)
        assert length <= len(self.slots[source])
        self.slots[target] = self.slots[source][:length]

    def remove(self, slot: int) -> None:
        self.slots.pop(slot, None)


def next_token(tokens: list[int]) -> int:
    return crc32(bytes(tokens)) % (END + 1)


def solo(job: Job, longest: int) -> str:
    """What the model writes after the prompt of `job`, alone."""
    tokens = [ord(letter) - ord("a") for letter in job.text]
    limit = job.max_tokens or longest - len(tokens)
    text = ""
    while len(text) < limit and (token := next_token(tokens)) != END:
        tokens.append(token)
        text += chr(ord("a") + token)
    return text


def text_of(outcome: Outcome) -> str:
    """What an outcome shows of the answer, "" where it is the end."""
    return outcome.delta.text if isinstance(outcome, Piece) and outcome.delta else ""


def run(scheduler: Scheduler, most: int = 5000) -> dict[int, str]:
    """Step until nothing is left to do; returns the finished texts."""
    texts: dict[int, str] = {}
    finished: dict[int, str] = {}
    for _ in range(most):
        if not scheduler.busy:
            return finished
        for key, outcome in scheduler.step():
            if isinstance(outcome, Piece):
                texts[key] = texts.get(key, "") + text_of(outcome)
            else:
                finished[key] = texts.get(key, "")
    pytest.fail("the scheduler does not come to an end")


PROMPTS = st.sampled_from(["abc", "abcabc", "abcabd", "b", "abc" * 7, "abc" * 7 + "z", "q" * 20])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), PROMPTS, st.integers(1, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("step"), st.integers(1, 9)),
    ),
    max_size=40,
)
TIGHT = st.builds(
    Limits,
    cells=st.integers(60, 120),
    longest=st.just(60),
    live=st.integers(1, 5),
    batch=st.integers(5, 40),
    parked=st.integers(0, 60),
)


@settings(max_examples=200, deadline=None)
@given(ACTS, TIGHT)
def test_any_interleaving_writes_what_each_would_alone(acts: list[Any], limits: Limits) -> None:
    """Submits, cancels and steps in any order: every stream left writes its solo text, and no cell is lost."""
    model = Arithmetic(limits.cells)
    scheduler = Scheduler(model, limits, THINK)
    jobs: dict[int, Job] = {}
    texts: dict[int, str] = {}
    for act in acts:
        if act[0] == "submit":
            jobs[len(jobs)] = Job(act[1], Phase.ANSWERING, GREEDY, max_tokens=act[2])
            scheduler.submit(len(jobs) - 1, jobs[len(jobs) - 1])
        elif act[0] == "cancel":
            scheduler.cancel(act[1])
        else:
            for _ in range(act[1]):
                for key, outcome in scheduler.step():
                    texts[key] = texts.get(key, "") + (text_of(outcome) or ".")
    for key, text in run(scheduler).items():
        texts[key] = texts.get(key, "") + text + "."
    for key, text in texts.items():
        whole = solo(jobs[key], limits.longest) + "."
        assert whole.startswith(text)
    assert (scheduler.occupancy.live, scheduler.occupancy.waiting) == (0, 0)
    assert scheduler.occupancy.cells == model.used <= limits.parked


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(PROMPTS, st.integers(1, 30)), min_size=1, max_size=12), TIGHT)
def test_everyone_is_served(asked: list[tuple[str, int]], limits: Limits) -> None:
    """However scarce cells and slots are, every request is answered in full."""
    scheduler = Scheduler(Arithmetic(limits.cells), limits, THINK)
    jobs = [Job(prompt, Phase.ANSWERING, GREEDY, max_tokens=most) for prompt, most in asked]
    for key, job in enumerate(jobs):
        scheduler.submit(key, job)
    assert run(scheduler) == {key: solo(job, limits.longest) for key, job in enumerate(jobs)}


def test_a_long_prompt_does_not_stall_the_others() -> None:
    """While a prompt of many batches is read, a running stream gets a token in every step."""
    scheduler = Scheduler(Arithmetic(1000), ROOMY, THINK)
    scheduler.submit(1, Job("abc" * 7, Phase.ANSWERING, GREEDY))
    scheduler.step()
    scheduler.submit(2, Job("q" * 150, Phase.ANSWERING, GREEDY))
    steps = [[key for key, _ in scheduler.step()] for _ in range(6)]
    assert all(1 in keys for keys in steps)
    assert not any(2 in keys for keys in steps)


def test_branches_wait_for_the_prompt_of_the_first() -> None:
    """Eight equal prompts are evaluated once, over several batches, but for one token each."""
    model = Arithmetic(1000)
    scheduler = Scheduler(model, ROOMY, THINK)
    for key in range(8):
        scheduler.submit(key, Job("q" * 150, Phase.ANSWERING, GREEDY, max_tokens=1))
    run(scheduler)
    assert model.evaluated == 150 + 7


def test_branches_survive_the_end_of_the_first() -> None:
    """Where the branch that reads the prompt is cancelled halfway, the next goes on from there."""
    model = Arithmetic(1000)
    scheduler = Scheduler(model, ROOMY, THINK)
    job = Job("q" * 150, Phase.ANSWERING, GREEDY, max_tokens=2)
    for key in range(3):
        scheduler.submit(key, job)
    scheduler.step()
    scheduler.cancel(0)
    assert run(scheduler) == {1: solo(job, 200), 2: solo(job, 200)}
    assert model.evaluated < 170


def test_first_come_first_served() -> None:
    """With one sequence at a time requests end in the order they came."""
    scheduler = Scheduler(Arithmetic(1000), Limits(1000, 200, live=1, batch=8, parked=0), THINK)
    for key, size in enumerate((9, 1, 5)):
        scheduler.submit(key, Job("abc", Phase.ANSWERING, GREEDY, max_tokens=size))
    assert list(run(scheduler)) == [0, 1, 2]


def test_what_one_stops_at_is_counted() -> None:
    """Usage counts prompt and written tokens; one that the model ends does not count the end."""
    scheduler = Scheduler(Arithmetic(1000), ROOMY, THINK)
    job = Job("abcabd", Phase.ANSWERING, GREEDY)
    scheduler.submit(1, job)
    ends = [outcome for _ in range(200) if scheduler.busy for _, outcome in scheduler.step()]
    done = ends[-1]
    assert isinstance(done, Done)
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (6, len(solo(job, 200)))


def test_every_token_tells_what_the_stream_has_taken() -> None:
    """With each token comes the usage so far: the prompt, what was reused of it, and all that was written."""
    scheduler = Scheduler(Arithmetic(1000), ROOMY, THINK)
    job = Job("abcabd", Phase.ANSWERING, GREEDY, max_tokens=4)
    for key in range(2):
        scheduler.submit(key, job)
        pieces = [outcome for _ in range(9) for _, outcome in scheduler.step() if isinstance(outcome, Piece)]
        assert [piece.usage.completion_tokens for piece in pieces] == [1, 2, 3, 4]
        assert {(piece.usage.prompt_tokens, piece.usage.cached_tokens) for piece in pieces} == {(6, 5 * key)}
