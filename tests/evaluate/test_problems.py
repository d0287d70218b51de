"""Where problems come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forethought.errors import InvalidRequest
from forethought.evaluate.problems import Exam, exam
from forethought.plugins import UnknownPlugin


def written(folder: Path, *rows: Any) -> str:
    path = folder / "problems.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def questions(found: Exam) -> list[str]:
    return [each.question for each in found.problems]


def test_an_installed_set_is_found_by_name() -> None:
    """The pocket problems are asked as their package asks and judges them."""
    found = exam("pocket", 3, kind="verify")
    assert [each.answer for each in found.problems] == ["yes", "no", "yes"]
    assert found.is_right(found.problems[0], "yes")


def test_more_problems_begin_alike(tmp_path: Path) -> None:
    """Asking for more with the same seed begins with the same problems; another seed has another order."""
    path = written(tmp_path, *({"question": f"{n}?", "answer": n} for n in range(20)))
    assert questions(exam(path, 12))[:5] == questions(exam(path, 5))
    assert questions(exam(path, 12, seed=1)) != questions(exam(path, 12))


def test_a_file_may_be_short(tmp_path: Path) -> None:
    """Where a file has fewer problems than asked for, all are asked."""
    assert len(exam(written(tmp_path, {"question": "1?", "answer": 1}, ""), 500).problems) == 1


def test_answers_are_compared_by_what_they_mean(tmp_path: Path) -> None:
    """An answer in a sentence or in another notation is right."""
    found = exam(written(tmp_path, {"question": "Half of one?", "answer": 0.5}), 1)
    assert found.is_right(found.problems[0], "Thinking of it, the answer is \\boxed{\\frac12}.")
    assert not found.is_right(found.problems[0], "The answer is 2.")


def test_a_row_may_have_a_system_message_and_a_difficulty(tmp_path: Path) -> None:
    """The system message goes before the question."""
    row = {"question": "1+1?", "answer": "2", "system": "Be brief.", "difficulty": 3}
    (problem,) = exam(written(tmp_path, row), 1).problems
    assert [each["content"] for each in problem.messages] == ["Be brief.", "1+1?"]
    assert problem.difficulty == 3


@pytest.mark.parametrize(
    ("row", "named"), [({"question": "1?"}, ":2.answer"), ({"question": 1, "answer": 1}, ":2.question"), ("{", ":2")]
)
def test_a_wrong_line_is_named(tmp_path: Path, row: Any, named: str) -> None:
    """The error names line and field."""
    with pytest.raises(InvalidRequest) as raised:
        exam(written(tmp_path, {"question": "1?", "answer": 1}, row), 1)
    assert raised.value.field.endswith(named)


@pytest.mark.parametrize("source", ["nowhere.jsonl", "empty.jsonl"])
def test_a_file_without_problems_is_refused(tmp_path: Path, source: str) -> None:
    """A file that is not there, or holds nothing, is named."""
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=source):
        exam(str(tmp_path / source), 1)


def test_an_unknown_set_is_named_with_those_there_are() -> None:
    """The error lists the sets that are installed."""
    with pytest.raises(UnknownPlugin, match="pocket"):
        exam("nowhere", 1)


def test_a_kind_that_a_set_does_not_have_is_refused() -> None:
    """The set says what kinds it has."""
    with pytest.raises(InvalidRequest, match="chain"):
        exam("pocket", 1, kind="poem")
