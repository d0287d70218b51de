"""What an instruction may not tell of the problem it was drawn from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.learn.leakage import leak

QUESTION = "A train leaves at 80 km/h and runs for 3 hours and 45 minutes without a stop; how far does it get?"

LEAKS = [
    ("The distance is 300.", "300"),
    ("Remember that it comes to 300.0 in the end.", "300"),
    ("Multiply 45 minutes by the speed.", ""),
    ("Say Paris when asked.", "Paris"),
    ("For such problems the answer is 7.", "7"),
    ("The answer must be: 7!", "7"),
    ("The result = 7", "7"),
    ("When a train leaves at 80 km/h and runs for 3 hours, multiply.", ""),
    ("If it runs for 3 hours and some minutes without a stop; how far does it get, ask.", ""),
    ("Options like (B) mean the answer is B", "B"),
    (r"Note that \frac{1}{2} comes out.", r"\frac{1}{2}"),
]


@pytest.mark.parametrize(("instruction", "answer"), LEAKS)
def test_leaks(instruction: str, answer: str) -> None:
    """The answer, a telling number or a quotation is found."""
    assert leak(instruction, QUESTION, answer)


FAIR = [
    ("Convert all times to one unit before you multiply.", "300"),
    ("x*0=0, skip to it", "0"),
    ("Divide by 7 with remainder.", "7"),
    ("Check divisibility by 3 by the sum of digits.", "3"),
    ("Distances are speed times time; with 100 as a base take percents.", "300"),
    ("Recall 1300 and 3001 as bounds", "300"),
    ("A class a b c: name the answer a letter", "b"),
]


@pytest.mark.parametrize(("instruction", "answer"), FAIR)
def test_fair(instruction: str, answer: str) -> None:
    """A general rule passes, common constants and small numbers with it."""
    assert leak(instruction, QUESTION, answer) == ""


@given(st.integers(10, 10**9), st.text(max_size=30), st.text(max_size=30))
def test_every_number_that_answers(answer: int, before: str, after: str) -> None:
    """Wherever the answer stands as a number of its own, it is found."""
    assert leak(f"{before} {answer} {after}", "", str(answer))


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=20))
def test_never_raises(instruction: str, question: str, answer: str) -> None:
    """Whatever the texts, there is a finding or none."""
    assert isinstance(leak(instruction, question, answer), str)
