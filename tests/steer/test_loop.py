"""Ending a thought that goes round in circles."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.engine import Engine
from forethought.errors import InvalidPolicy
from forethought.policy import Policy
from forethought.ports import Capabilities, Continuation, Situation, Stop
from forethought.steer.loop import Loop
from forethought.steer.repeats import LONGEST_PERIOD, Lines, Period
from forethought.testing import Script, Scripted
from forethought.wire import Delta, Request

QUESTION = Request.of("?")
WORDS = "We add both sides and find that seven is the larger one of these two numbers. "
PARAGRAPH = " ".join(f"Sentence {n} says that {n * n % 97} apples are left." for n in range(50)) + "\n\n"
RANDOM = random.Random(7)
TABLE = "| name | value |\n|------|-------|\n" + "".join(f"| row {n} | {n * 7} |\n" for n in range(60))
CODE = "\n".join(f"    if x == {n}:\n        total += 1\n        print(total)\n        return None" for n in range(30))
LISTING = ", ".join(str(n) for n in range(400))
DIGITS = "".join(RANDOM.choice("01") for _ in range(3_000))
GRID = "0 0 0 0 0 0 0 0 0 0\n" * 20
RULER = "=" * 120 + "\n"
CHECKS = "".join(f"Check {n}: b=3+4=7, so 7 is right and we go on.\n" for n in range(40))
SAID = ("the", "a", "wait", "so", "we", "find", "that", "number", "is", "seven", "eight", "nine", "and", "or")
PROSE = " ".join(RANDOM.choice(SAID) for _ in range(3_000))
LOOP = Loop()


def stopped_at(text: str, size: int = 7) -> int | None:
    """How many characters were written when it stopped, or None."""
    steering = LOOP.steer(Situation(QUESTION, Capabilities()))
    next(steering)
    for start in range(0, len(text), size):
        if isinstance(steering.send(Delta(reasoning=text[start : start + size])), Stop):
            return min(len(text), start + size)
    return None


@pytest.mark.parametrize("unit", ["a", "ha", "wait, ", "I am stuck.\n", WORDS, PARAGRAPH], ids=len)
def test_a_repeated_unit(unit: str) -> None:
    """From one character to a paragraph, what is repeated long enough is a loop, soon after its fourth time."""
    assert len(PARAGRAPH) > 1_500
    stopped = stopped_at("The question is hard. " + unit * 600)
    assert stopped is not None
    assert stopped <= 22 + 16 + max(500, 4 * len(unit)) + len(unit) + 7


@pytest.mark.parametrize(
    "text",
    [TABLE, CODE, LISTING, DIGITS, GRID, RULER, CHECKS, PROSE, PARAGRAPH * 3],
    ids=["table", "code", "listing", "digits", "grid", "ruler", "checks", "prose", "paragraph"],
)
def test_no_loop(text: str) -> None:
    """Tables, lists of numbers, grids, repetitive code and what is said a few times are no loops."""
    assert stopped_at(text) is None


def test_rows_of_digits_loop_too() -> None:
    """What holds no word is given six times as much, and ends as well."""
    stopped = stopped_at("1/3 = 0." + "3" * 10_000)
    assert stopped is not None
    assert 3_000 <= stopped < 3_100


def test_lines_that_come_round() -> None:
    """The same few lines in ever other order are a loop, though no unit repeats."""
    said = [
        "Wait, that is not the right way to do it.",
        "Let me try the other way round again.",
        "So x is 7 after all.",
    ]
    assert stopped_at("\n".join(RANDOM.choice(said) for _ in range(200))) is not None


def test_a_loop_that_begins_late() -> None:
    """A long sound thought before the loop does not hide it."""
    stopped = stopped_at(PROSE + WORDS * 20)
    assert stopped is not None
    assert stopped > len(PROSE)


@given(st.integers(1, 50), st.integers(1, 400))
def test_pieces_do_not_matter(size: int, length: int) -> None:
    """However the thought is cut, it is stopped by the piece that completes the loop."""
    text = "So it begins. " + ("We go on and on " * 30)[:length] * (4 + 520 // length)
    alone = stopped_at(text, size=1)
    assert alone is not None
    assert stopped_at(text, size=size) == min(len(text), -(-alone // size) * size)


@given(st.text(alphabet="ab .\n", min_size=1, max_size=60), st.integers(2, 40))
def test_every_period_is_found(unit: str, copies: int) -> None:
    """Any unit, repeated, is confirmed as periodic from its third copy on at the latest."""
    period = Period()
    for character in unit * (3 + copies) + unit * 16:
        period.add(character)
    assert period.run >= len(unit) * copies
    assert (unit * 200)[: period.run] == (unit * 200)[period.period : period.period + period.run]


@given(st.text(alphabet="ab", max_size=300))
def test_a_run_is_true(text: str) -> None:
    """The last `run` characters are those one period before, whatever was written."""
    period = Period()
    for end, character in enumerate(text, 1):
        period.add(character)
        if period.run:
            start = end - period.run
            assert text[start:end] == text[start - period.period : end - period.period]


def test_a_long_way_back() -> None:
    """A unit longer than what is remembered is not seen, and what is remembered is bounded."""
    unit = "".join(RANDOM.choice("abcdefgh") for _ in range(LONGEST_PERIOD + 10))
    period = Period()
    for character in unit * 3:
        period.add(character)
    assert period.run < LONGEST_PERIOD


def test_lines_need_words() -> None:
    """Rows of numbers that come again are a table."""
    lines = Lines(2)
    lines.add("0 0 1 1 0\n0 1 0 1 0\n" * 50)
    assert lines.again == 0


async def test_end_to_end() -> None:
    """A looping thought is ended, the answer written, and the report says what went round."""
    backend = Scripted(Script("42", reasoning=WORDS * 50))
    answered = await Engine(backend, Policy("p", layers=(Loop(),))).complete(QUESTION)
    assert (answered.text, answered.done.stop_reason) == ("42", "loop")
    assert answered.done.report["loop"]["period"] == len(WORDS)
    assert answered.reasoning.endswith("so I answer with what I have.\n")


async def test_without_continuation() -> None:
    """Where a thought cannot be continued, the answer is asked for in a new turn."""
    backend = Scripted(Script("42", reasoning=WORDS * 50), capabilities=Capabilities("turns", Continuation.TURNS))
    answered = await Engine(backend, Policy("p", layers=(Loop(),))).complete(QUESTION)
    assert (answered.text, len(backend.requests)) == ("42", 2)
    assert backend.requests[1].messages[-1]["role"] == "user"


@pytest.mark.parametrize("options", [{"repeats": 1}, {"characters": 3}])
def test_options(options: dict[str, int]) -> None:
    """An option out of its range is refused by name."""
    with pytest.raises(InvalidPolicy, match=f"loop.{next(iter(options))}"):
        Loop(**options)  # type: ignore[arg-type]
