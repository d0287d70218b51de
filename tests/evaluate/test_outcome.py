"""The journal of outcomes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from forethought.errors import InvalidRequest
from forethought.evaluate.outcome import Journal, Outcome

from .outcomes import OUTCOMES, outcome


@settings(deadline=None, max_examples=25)
@given(OUTCOMES)
def test_what_was_added_is_known_again(outcomes: list[Outcome]) -> None:
    """A journal that is opened again knows what was added, to the last digit."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "results.jsonl")
        with Journal(path) as journal:
            for each in outcomes:
                journal.add(each)
        with Journal(path) as again:
            assert dict(again.known) == {each.key: each for each in outcomes}


def test_a_line_cut_off_is_dropped(tmp_path: Path) -> None:
    """After a stop in mid-write the half line goes, and the next outcome stands on a line of its own."""
    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        journal.add(outcome(0, answer="two\u2028lines"))
    path.write_text(path.read_text(encoding="utf-8") + '{"key": "half', encoding="utf-8")
    with Journal(path) as journal:
        journal.add(outcome(1))
    with Journal(path) as journal:
        assert list(journal.known) == ["0", "1"]


def test_the_latest_counts(tmp_path: Path) -> None:
    """A problem that failed and was asked again has its second outcome."""
    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        journal.add(outcome(0, right=None, error="E"))
        journal.add(outcome(0))
    with Journal(path) as journal:
        assert journal.known["0"].right is True


@pytest.mark.parametrize("text", ['{"problems": 40}', '{"problems": 40}\n', "notes\nof mine\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    """A file that holds no outcomes is refused, and not written to."""
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"mine\.json"):
        Journal(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    """What cannot be opened is named."""
    with pytest.raises(InvalidRequest, match="json"):
        Journal(tmp_path)
