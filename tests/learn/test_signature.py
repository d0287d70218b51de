"""What kind of problem a request is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought import Request
from forethought.learn.signature import SHAPES, Signature, Task
from forethought.wire import JSON

questions = st.text(max_size=300) | st.text(alphabet="ab 01+-*=x\n", max_size=300)
TOOL = {"type": "function", "function": {"name": "add"}}


def of(question: str, **params: object) -> Signature:
    return Signature.of(Request.of(question, **params))


@pytest.mark.parametrize(
    ("question", "params", "task"),
    [
        ("Which city?\n(A) Paris\n(B) Rome", {}, "choice"),
        ("Which city? A. Paris B. Rome", {}, "choice"),
        ("Write a python function that reverses a list.", {}, "code"),
        ("What does this do?\n```\nx = 1\n```", {}, "code"),
        ("a=3 b=a+4 b?", {}, "maths"),
        ("How many apples are left?", {}, "maths"),
        ("Who wrote Faust?", {}, "other"),
        ("The year 1984 is the title of what?", {}, "other"),
        ("Add 2 and 3", {"tools": [TOOL]}, "tools"),
        ("a=3 b=a+4 b?", {"tools": [TOOL], "tool_choice": "none"}, "maths"),
        ("Name a city.", {"response_format": {"type": "json_object"}}, "json"),
        ("Name a city.", {"response_format": {"type": "text"}}, "other"),
    ],
)
def test_task(question: str, params: JSON, task: Task) -> None:
    """The task is read off what the request asks for."""
    assert of(question, **params).task == task


def test_names_and_numbers_do_not_matter() -> None:
    """Problems that differ in the names of variables and in numbers are of one kind."""
    assert of("a=7 b=a+23 b?") == of("t=5 u=t+99 u?")


def test_operations_are_counted() -> None:
    """A sum and a chain of nine operations are of different kinds."""
    assert of("2+3").similarity(of("2+3*4-5+6-7+8*9+4-2")) < 0.5


def test_easy_operations_are_apart() -> None:
    """A product with 0 is another kind of problem than one with another number; a sum with it is not."""
    assert of("a=b*0") != of("a=b*7")
    assert of("a=b+0") == of("a=b+7")


def test_words_tell_kinds_apart() -> None:
    """Questions without a word in common are not alike at all."""
    assert of("Who wrote Faust?").similarity(of("Name any city")) == 0


def test_another_task_is_another_kind() -> None:
    """The same words asked for as JSON are half as alike."""
    plain = of("Name a city.")
    assert plain.similarity(of("Name a city.", response_format={"type": "json_object"})) == 0.5


def test_size_counts_doublings() -> None:
    """Size grows by one with each doubling of the length."""
    assert [of("x" * length).size for length in (0, 63, 64, 127, 128, 4096)] == [0, 0, 1, 1, 2, 7]


def test_no_number_is_kept() -> None:
    """A signature holds no number of the problem, so that an answer cannot stand in it."""
    assert not any("17" in shape for shape in of("What is 17.17 plus 117?").shapes)


def test_keys() -> None:
    """Equal signatures have one key, others another."""
    assert of("a=7").key == of("b=9").key != of("a+7").key


@given(questions, questions)
def test_similarity_is_a_similarity(one: str, other: str) -> None:
    """It is 1 for equal signatures, symmetric, and between 0 and 1."""
    a, b = of(one), of(other)
    assert 0 <= a.similarity(b) <= 1
    assert a.similarity(b) == pytest.approx(b.similarity(a))
    assert a.similarity(of(one)) == pytest.approx(1)


@given(questions)
def test_deterministic_and_bounded(question: str) -> None:
    """The same question has the same signature, of at most so many shapes."""
    assert of(question) == of(question)
    assert len(of(question).shapes) <= SHAPES


def test_a_huge_question_is_read_at_its_ends() -> None:
    """Of a question of ten million characters only the ends are looked at."""
    huge = of("word " + "filler " * 1_500_000 + "end")
    assert {"word", "end"} <= huge.shapes.keys()
    assert sum(huge.shapes.values()) < 1_000


def test_description() -> None:
    """People are told the task, the size and the most frequent shapes."""
    assert of("a=7 b=a+23 b?").describe() == "maths, under 64 characters: x # = +"
