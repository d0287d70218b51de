"""A thought in steps, and the words it holds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.steer.steps import LONGEST_STEP, OVERTHINKING, Doubt, Steps, Words, comes_to_an_answer, stated

THOUGHT = st.text(alphabet="ab \n", max_size=200)


def cut(text: str, lines: int = 8) -> list[str]:
    steps = Steps(lines)
    return [*steps.feed(text), *steps.flush()]


def test_blank_lines_part_steps() -> None:
    """A step is a block; the blanks around it do not belong to it."""
    assert cut("\n\na\nb\n  \n\n c \n\n") == ["a\nb", "c"]


def test_many_lines_are_many_steps() -> None:
    """Where no blank line comes, a step ends with its last allowed line."""
    assert cut("a\nb\nc\nd\ne", lines=2) == ["a\nb", "c\nd", "e"]


def test_every_line_a_step() -> None:
    """With one line a step, each line is one, and a blank line makes no step of its own."""
    assert cut("a\n\nb\nc\n", lines=1) == ["a", "b", "c"]


def test_any_number_of_lines() -> None:
    """With 0 only blank lines part steps."""
    assert cut("a\n" * 50 + "\nb", lines=0) == ["\n".join("a" * 50), "b"]


def test_a_step_is_bounded() -> None:
    """A line without end is cut, so that no thought is kept whole."""
    assert [len(step) for step in cut("a" * 3 * LONGEST_STEP)] == [LONGEST_STEP] * 3


def test_the_last_line_has_not_ended() -> None:
    """What is still being written is no step yet."""
    steps = Steps()
    assert (steps.feed("a\n\nb"), steps.count) == (["a"], 1)


@given(THOUGHT, st.lists(st.integers(0, 200), max_size=20), st.integers(0, 3))
def test_pieces_do_not_matter(text: str, cuts: list[int], lines: int) -> None:
    """However the text is cut into pieces, the steps are the same."""
    places = [0, *sorted(min(place, len(text)) for place in cuts), len(text)]
    steps = Steps(lines)
    fed = [step for start, end in pairwise(places) for step in steps.feed(text[start:end])]
    assert [*fed, *steps.flush()] == cut(text, lines)


@given(st.integers(1, 700), st.text(alphabet="a\n", min_size=1, max_size=30))
def test_pieces_do_not_matter_in_long_steps(size: int, unit: str) -> None:
    """A long text has the same steps in one piece as in many."""
    text = unit * 400
    steps = Steps()
    fed = [step for start in range(0, len(text), size) for step in steps.feed(text[start : start + size])]
    assert [*fed, *steps.flush()] == cut(text)


@given(THOUGHT, st.integers(0, 3))
def test_nothing_is_lost(text: str, lines: int) -> None:
    """The steps hold every word of the thought, in order."""
    assert " ".join(cut(text, lines)).split() == text.split()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I know it now, another one", 0),
        ("Wait. WAIT, wait!", 3),
        ("butter, waiter and wait-list", 0),
        ("no-one said so", 0),
        ("Let me check", 3),
        ("recheck it", 1),
        ("wait—no", 2),
    ],
)
def test_whole_words(text: str, found: int) -> None:
    """Markers are whole words, the longest phrase wins and no word counts twice."""
    words = Words(["no", "but", "wait", "check", "recheck", "let me check"])
    words.add(text)
    assert words.found == found


@given(st.lists(st.sampled_from([*OVERTHINKING, "sum", "seven"]), max_size=30))
def test_no_double_counting(said: list[str]) -> None:
    """There are never more marker words than words."""
    words = Words(OVERTHINKING)
    words.add(". ".join(said))
    assert words.found <= words.total
    assert 0 <= words.ratio <= 1


@pytest.mark.parametrize("step", ["so 5", "The answer is 7.", r"\boxed{3}", "Therefore, x = 2"])
def test_cues(step: str) -> None:
    """A step that concludes comes to an answer."""
    assert comes_to_an_answer(step)


@pytest.mark.parametrize("step", ["b=3+4=7", "some sofa", "We add both sides."])
def test_no_cue(step: str) -> None:
    """A step in between does not, and neither does a word that holds a cue."""
    assert not comes_to_an_answer(step)


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("so 7", "7"),
        ("Therefore, 12.", "12"),
        ("a=1\nso 7", "7"),
        ("So the answer is 3.", "3"),
        (r"Thus \boxed{\frac{1}{2}}, done", r"\frac{1}{2}"),
        ("so 7\na=1", ""),
        ("so x = 3", ""),
        ("we get 7", ""),
        ("so", ""),
    ],
)
def test_stated(step: str, answer: str) -> None:
    """An answer is stated by a box, by "the answer is", or by a conclusion that is nothing else, at a step's end."""
    assert stated(step) == answer


@given(st.text(alphabet="so 7answeri\\boxed{}.\n", max_size=60))
def test_what_is_stated_concludes(step: str) -> None:
    """Only a step that comes to an answer states one."""
    assert comes_to_an_answer(step) or not stated(step)


def doubting(*steps: str, patience: int = 3) -> list[bool]:
    doubt = Doubt()
    opened: list[bool] = []
    for number, step in enumerate(steps, 1):
        doubt.read(step, number)
        opened.append(doubt.open(number, patience))
    return opened


def test_a_doubt_is_open_until_a_conclusion() -> None:
    """A step that begins with doubt opens one, and a step that concludes ends it, its own doubt too."""
    assert doubting("a", "Wait, again", "b", "so 7", "Wait, so 7") == [False, True, True, False, False]


def test_a_doubt_needs_a_word_at_the_beginning() -> None:
    """Doubt within a step, or in a part of a word, opens nothing."""
    assert doubting("we wait", "Nothing", "Waiter") == [False] * 3


def test_a_doubt_ends_with_patience() -> None:
    """After `patience` steps a doubt is no longer open, and doubts that follow it open no other one."""
    assert doubting("Wait", "b", "Wait", "Wait", "Wait", "so 7", "But") == [True, True, True, False, False, False, True]
