"""What is the answer in this text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.answers import extract, same
from forethought.wire import Completion

CASES = [
    (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
    (r"\boxed{1}, no: \boxed{\{2, 3\}}", r"\{2, 3\}"),
    (r"\boxed{1} then \boxed{2", "1"),
    ("The answer is 42. So there.", "42"),
    ("The answer is $3.50.", "$3.50"),
    ("The answer is 7. Wait. The answer is 8.", "8"),
    ("Thus the answer to the question is: 5", "5"),
    ("**Final Answer:** 42", "42"),
    ("**Final Answer**\n\n$42$", "42"),
    (r"Final Answer: \(5\)", "5"),
    (r"Final answer: the final answer is $\boxed{5}$. I hope it is correct.", "5"),
    ("9 * 2 = 18\n#### 18", "18"),
    ("#### Step 1\nIt is warm.", "It is warm"),
    ("</think>\n<answer>11/24</answer>", "11/24"),
    ("<think>surely \\boxed{3}</think>\n\n7", "7"),
    ("<think>surely \\boxed{3}", ""),
    ("<think>a tag left open.\n<answer>9</answer>", "9"),
    ('{"a": 1}', '{"a": 1}'),
    ('{"note": "the answer is \\\\boxed{3}"}', '{"note": "the answer is \\\\boxed{3}"}'),
    ("The answer is $x=5$ and $y=6$", "$x=5$ and $y=6$"),
    ('Here it is:\n{"a": [1]}', '{"a": [1]}'),
    ("Sure:\n```python\n# the answer is 3\nprint(1)\n```\nDone.", "# the answer is 3\nprint(1)"),
    ("Hence\n\\[\nx = 5\n\\]", "x = 5"),
    ("Paris", "Paris"),
    ("Let me see.\nIt is Paris.", "It is Paris"),
    ("  \n ", ""),
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_the_strongest_sign_of_an_answer_wins(text: str, answer: str) -> None:
    """Boxes, tags, cues, JSON, formulas, code and last lines are found in this order."""
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        ("(C) 5 apples", "How many? (A) 3 (B) 4 (C) 5", "C"),
        ("The answer is c.", "How many?\nA. 3\nB. 4\nC. 5", "C"),
        ("5", "How many? (A) 3 (B) 4 (C) 5", "5"),
        ("25%", "What percentage is red?", "25"),
        ("25%", "What share is red?", "25%"),
    ],
)
def test_the_question_tells_the_form_of_the_answer(text: str, question: str, answer: str) -> None:
    """An option is its letter where there are options, a percentage goes without its sign."""
    assert extract(text, question) == answer


def test_tool_calls_are_answered_by_name_and_arguments() -> None:
    """Two calls that differ in id, spacing and order of arguments are the same answer."""
    one = {"id": "a", "function": {"name": "find", "arguments": '{"city": "Rome", "days": 2}'}}
    two = {"id": "b", "function": {"name": "find", "arguments": '{ "days": 2,"city":"Rome"}'}}
    first, second = (extract(Completion(text="Let me look.", tool_calls=(call,))) for call in (one, two))
    assert first == second
    assert json.loads(first) == [{"arguments": {"city": "Rome", "days": 2}, "name": "find"}]


def test_tool_calls_with_other_arguments_are_another_answer() -> None:
    """The arguments count, not only the name; arguments that are no JSON are compared as text."""
    calls = [{"function": {"name": "find", "arguments": text}} for text in ('{"days": 2}', '{"days": 3}', '{"days')]
    first, second, third = (extract(Completion(tool_calls=(call,))) for call in calls)
    assert not same(first, second)
    assert not same(first, third)


def test_a_completion_that_was_cut_off_in_its_thinking_has_no_answer() -> None:
    """What is only in the reasoning is not an answer."""
    assert extract(Completion(reasoning="It might be 5, so \\boxed{5}")) == ""


PIECES = [
    "\\boxed{",
    "\\(",
    "a\\)",
    "}",
    "{",
    "the answer is ",
    "answer to ",
    "####",
    "```",
    "\n",
    "<answer>",
    "\\[",
    "$",
    ". A",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join), st.none() | st.text(max_size=20))
def test_no_text_is_an_error(text: str, question: str | None) -> None:
    """Whatever a model writes, extraction answers with a text without space around it."""
    answer = extract(text, question)
    assert answer == answer.strip()


@pytest.mark.parametrize("piece", PIECES)
def test_a_text_of_a_million_pieces_is_read(piece: str) -> None:
    """Repeating any sign of an answer for ever is neither an error nor a long wait."""
    assert isinstance(extract(piece * 1_000_000), str)
